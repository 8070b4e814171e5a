//! [`Stream`]: one TCP connection.
//!
//! mio tells of readiness once: it is kept here until a call would block.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use sanspeer_core::host::Host;
use sanspeer_core::node::ConnectionId;
use sanspeer_core::time::Timestamp;

use crate::failure::{dial_failure, transport_failure};

/// Reads of one turn. Each moves at most what the connection buffers.
const MAX_READS: usize = 8;

/// How long the remote may take to close its end after ours: bytes that arrive at a closed socket
/// make the operating system reset it, and what we said last would be lost.
const HANG_UP: Duration = Duration::from_secs(1);

/// One TCP connection.
pub struct Stream {
    pub connection: ConnectionId,
    socket: TcpStream,
    state: State,
    readable: bool,
    writable: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The handshake of TCP is under way.
    Connecting,
    Open,
    /// The remote's direction has ended, or the transport has failed.
    ReadOver,
    /// The connection is over; the remote has until then to close its end.
    HangingUp(Timestamp),
}

/// What came of a turn.
pub enum Progress {
    Nothing,
    Something,
    /// There is nothing left to do.
    Over,
}

impl Stream {
    pub fn accepted(
        registry: &Registry,
        token: Token,
        socket: TcpStream,
        connection: ConnectionId,
    ) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        Stream::new(registry, token, socket, connection, State::Open)
    }

    pub fn dialled(
        registry: &Registry,
        token: Token,
        remote: SocketAddr,
        connection: ConnectionId,
    ) -> io::Result<Self> {
        let socket = TcpStream::connect(remote)?;
        Stream::new(registry, token, socket, connection, State::Connecting)
    }

    fn new(
        registry: &Registry,
        token: Token,
        mut socket: TcpStream,
        connection: ConnectionId,
        state: State,
    ) -> io::Result<Self> {
        registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        let open = state == State::Open;
        Ok(Stream { connection, socket, state, readable: open, writable: open })
    }

    pub fn note(&mut self, readable: bool, writable: bool) {
        self.readable |= readable;
        self.writable |= writable;
    }

    pub fn deadline(&self) -> Option<Timestamp> {
        match self.state {
            State::HangingUp(until) => Some(until),
            State::Connecting | State::Open | State::ReadOver => None,
        }
    }

    /// Moves what can be moved now.
    pub fn advance(&mut self, now: Timestamp, host: &mut Host) -> Progress {
        match self.state {
            State::Connecting if self.writable => self.connected(now, host),
            State::Connecting => Progress::Nothing,
            State::Open | State::ReadOver => {
                let received = self.receive(now, host);
                // What did not fit before.
                if received | self.transmit(now, host) {
                    Progress::Something
                } else {
                    Progress::Nothing
                }
            }
            State::HangingUp(until) => {
                if now >= until || self.is_ended() {
                    Progress::Over
                } else {
                    Progress::Nothing
                }
            }
        }
    }

    /// The handshake of TCP is over, in one way or the other.
    fn connected(&mut self, now: Timestamp, host: &mut Host) -> Progress {
        let failed = match self.socket.take_error() {
            Ok(None) => self.socket.peer_addr().and_then(|_| self.socket.set_nodelay(true)).err(),
            Ok(Some(error)) | Err(error) => Some(error),
        };
        match failed {
            None => {
                self.state = State::Open;
                self.readable = true;
                if host.begin(now, self.connection, None) {
                    Progress::Something
                } else {
                    Progress::Over
                }
            }
            // An event of something else.
            Some(error) if error.kind() == ErrorKind::NotConnected => {
                self.writable = false;
                Progress::Nothing
            }
            Some(error) => {
                host.handle_dial_failed(now, self.connection, dial_failure(&error));
                Progress::Over
            }
        }
    }

    fn receive(&mut self, now: Timestamp, host: &mut Host) -> bool {
        let mut moved = false;
        for _ in 0..MAX_READS {
            if !self.readable || self.state != State::Open {
                break;
            }
            // None while too much is unread: a read by the application makes room.
            let Some(space) = host.recv_buf(self.connection) else { break };
            match self.socket.read(space) {
                Ok(0) => {
                    self.state = State::ReadOver;
                    host.handle_eof(now, self.connection);
                    return true;
                }
                Ok(n) => host.handle_recv(now, self.connection, n),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.readable = false;
                    break;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.state = State::ReadOver;
                    host.handle_transport_error(now, self.connection, transport_failure(&error));
                    return true;
                }
            }
            moved = true;
        }
        moved
    }

    /// Sends what the connection has. Whether that was anything.
    pub fn transmit(&mut self, now: Timestamp, host: &mut Host) -> bool {
        let mut moved = false;
        while self.writable
            && self.state != State::Connecting
            && let Some(bytes) = host.poll_transmit(now, self.connection)
        {
            match self.socket.write(bytes) {
                Ok(n) => {
                    host.handle_transmitted(now, self.connection, n);
                    moved = true;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The remote may have said why before it closed: that is read first.
                Err(_) => self.writable = false,
            }
        }
        moved
    }

    /// Ends our direction, or gives a dial up.
    pub fn close(&mut self, now: Timestamp) {
        let hangs_up = match self.state {
            State::Open => self.socket.shutdown(Shutdown::Write).is_ok(),
            State::Connecting | State::ReadOver | State::HangingUp(_) => false,
        };
        let until = if hangs_up { now.saturating_add(HANG_UP) } else { now };
        self.state = State::HangingUp(until);
    }

    /// Reads away what the remote still sends. Whether it has ended.
    fn is_ended(&mut self) -> bool {
        let mut scrap = [0; 4096];
        for _ in 0..MAX_READS {
            match self.socket.read(&mut scrap) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() != ErrorKind::WouldBlock,
            }
        }
        false
    }
}
