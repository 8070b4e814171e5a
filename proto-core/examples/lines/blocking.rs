//! [`BlockingDriver`]: one connection on one thread, over `std::net::TcpStream`.
//!
//! All that a driver has to do is in this file: it owns the socket and the clock, carries bytes
//! between the socket and the [`Connection`], and calls it when its deadline has come. It takes no
//! decision of a protocol's.
//!
//! While there is something to carry, the socket does not block, so that two sides that write at
//! once cannot wait for each other. Only when nothing moves does the driver block, for as long as
//! it may, on whatever has to happen next.
#![allow(dead_code, unreachable_pub, reason = "whoever includes this file uses a part of it")]
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a driver has what the core may not use: a socket, a clock, a thread to block"
)]

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use sanspeer_core::byte_mux::Security;
use sanspeer_core::close::TransportFailure;
use sanspeer_core::connection::{
    Connection, ConnectionConfig, ConnectionEvent, ConnectionSetup, NodeRoom,
};
use sanspeer_core::identity::{Identity, PeerId};
use sanspeer_core::mailbox::{Lease, ProtocolTable, ToConnection, ToNode};
use sanspeer_core::mux::Role;
use sanspeer_core::rng::Seed;
use sanspeer_core::time::Timestamp;

/// Events that wait for [`BlockingDriver::poll_event`]; with more the socket is not read.
const MAX_EVENTS: usize = 1024;

/// Messages that wait for [`BlockingDriver::poll_node`]; with more, frames stay in their streams.
const MAX_NODE_MESSAGES: usize = 64;

/// Window that a connection is granted when it asks, over all its streams, in bytes.
const MAX_WINDOW_LEASE_BYTES: u64 = 16 * 1024 * 1024;

/// How long bytes that wait to be sent may keep the driver from looking for received ones.
const MAX_WRITE_WAIT: Duration = Duration::from_millis(5);

/// The shortest wait: the operating system refuses a timeout of zero.
const MIN_WAIT: Duration = Duration::from_millis(1);

/// How long the remote may take to close its end after our goodbye.
const HANG_UP_TIMEOUT: Duration = Duration::from_millis(500);

/// A connection, its socket and its clock.
pub struct BlockingDriver {
    connection: Connection,
    socket: TcpStream,
    epoch: Instant,
    lease: Lease,
    protocols: ProtocolTable,
    /// Bounded by [`MAX_EVENTS`] and what one read can cause.
    events: VecDeque<ConnectionEvent>,
    /// Bounded by [`MAX_NODE_MESSAGES`].
    node: VecDeque<ToNode>,
    rtt: Option<Duration>,
    /// The last read emptied the socket. The next one asks before it takes a buffer, so that an
    /// idle connection holds none.
    drained: bool,
    /// The connection does not read: too much of what it received is unread, or it is ending.
    paused: bool,
    /// Writing failed; what the remote sent before that is still to be read.
    write_failed: Option<TransportFailure>,
    /// The remote closed its end of the socket, or the socket failed.
    ended: bool,
    hung_up: bool,
}

impl BlockingDriver {
    /// Drives a connection that this side dialled. With `expected_peer`, anybody else at the other
    /// end is refused. `seed` must be fresh for each connection.
    pub fn connect(
        socket: TcpStream,
        identity: &Identity,
        seed: Seed,
        expected_peer: Option<PeerId>,
        protocols: ProtocolTable,
    ) -> io::Result<Self> {
        let role = Role::Dialer;
        let security = &[Security::Noise(identity)];
        let setup = ConnectionSetup { role, security, seed, expected_peer, layer: None };
        BlockingDriver::new(socket, setup, ConnectionConfig::default(), protocols)
    }

    /// Drives a connection that this side accepted. `seed` must be fresh for each connection.
    pub fn accept(
        socket: TcpStream,
        identity: &Identity,
        seed: Seed,
        protocols: ProtocolTable,
    ) -> io::Result<Self> {
        let role = Role::Listener;
        let security = &[Security::Noise(identity)];
        let setup = ConnectionSetup { role, security, seed, expected_peer: None, layer: None };
        BlockingDriver::new(socket, setup, ConnectionConfig::default(), protocols)
    }

    /// Drives any connection.
    pub fn new(
        socket: TcpStream,
        setup: ConnectionSetup<'_>,
        config: ConnectionConfig,
        protocols: ProtocolTable,
    ) -> io::Result<Self> {
        // The core fills segments itself; what it gives should leave at once.
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        Ok(BlockingDriver {
            connection: Connection::new(setup, config, Timestamp::ZERO),
            socket,
            epoch: Instant::now(),
            lease: Lease::default(),
            protocols,
            events: VecDeque::new(),
            node: VecDeque::new(),
            rtt: None,
            drained: false,
            paused: false,
            write_failed: None,
            ended: false,
            hung_up: false,
        })
    }

    /// Replaces what the connection is admitted with; to be called before the first turn.
    #[must_use]
    pub fn with_lease(mut self, lease: Lease) -> Self {
        self.lease = lease;
        self
    }

    /// The connection: open, accept, read and write streams here, then take a turn.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// The time, as the connection counts it.
    pub fn now(&self) -> Timestamp {
        Timestamp::ZERO.saturating_add(self.epoch.elapsed())
    }

    /// The last round trip of `/ipfs/ping/1.0.0`, if the lease asks for pings.
    pub fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// The next event of the connection. Take all before each turn.
    pub fn poll_event(&mut self) -> Option<ConnectionEvent> {
        self.events.pop_front().or_else(|| self.next_event())
    }

    /// The next message about streams whose owner is Node; there is none without such protocols.
    pub fn poll_node(&mut self) -> Option<ToNode> {
        self.node.pop_front()
    }

    /// Sends what is to be sent, receives what is there, and handles timeouts. When nothing moves,
    /// waits for at most `wait` until something can. True while the connection goes on; once it is
    /// over, what its streams have received can still be read.
    ///
    /// A failure of the socket is not an error here but the reason of
    /// [`ConnectionEvent::Closed`].
    pub fn turn(&mut self, wait: Duration) -> io::Result<bool> {
        // Received bytes are taken apart while events are polled, so this comes before all else.
        while self.events.len() < MAX_EVENTS
            && let Some(event) = self.next_event()
        {
            self.events.push_back(event);
        }
        if self.connection.is_closed() {
            self.hang_up()?;
            return Ok(false);
        }
        let sent = self.transmit();
        let received = self.receive();
        if !sent && !received && self.events.is_empty() {
            self.wait(wait)?;
        }
        let now = self.now();
        if self.connection.poll_timeout().is_some_and(|deadline| deadline.at <= now) {
            self.connection.handle_timeout(now);
        }
        Ok(true)
    }

    /// The connection's next event, and, once there is none, Node's part: everybody is admitted,
    /// and window is granted on request.
    fn next_event(&mut self) -> Option<ConnectionEvent> {
        loop {
            if let Some(event) = self.connection.poll_event() {
                return Some(event);
            }
            let room =
                if self.node.len() < MAX_NODE_MESSAGES { NodeRoom::Queue } else { NodeRoom::State };
            let now = self.now();
            match self.connection.poll_node(room)? {
                ToNode::Established { .. } => {
                    let (lease, protocols) = (self.lease, self.protocols.clone());
                    self.connection.handle_node(now, ToConnection::Admit { lease, protocols });
                }
                ToNode::LeaseRequest { window_bytes } => {
                    let granted = window_bytes.min(MAX_WINDOW_LEASE_BYTES);
                    self.lease.window_bytes = self.lease.window_bytes.max(granted);
                    self.connection.handle_node(now, ToConnection::Lease(self.lease));
                }
                ToNode::LeaseReturn { window_bytes } => self.lease.window_bytes = window_bytes,
                ToNode::Rtt(rtt) => self.rtt = Some(rtt),
                // Both can be asked of the connection; its end is an event too.
                ToNode::PingFailed(_) | ToNode::Usage(_) | ToNode::Closed { .. } => {}
                message @ (ToNode::StreamOpened { .. }
                | ToNode::OpenFailed { .. }
                | ToNode::InboundStream { .. }
                | ToNode::Frame { .. }
                | ToNode::Sent { .. }
                | ToNode::StreamFinished(_)
                | ToNode::StreamClosed { .. }
                | ToNode::Verified { .. }) => self.node.push_back(message),
            }
        }
    }

    /// Sends until there is nothing more to send or the socket is full. Whether anything was sent.
    fn transmit(&mut self) -> bool {
        let mut sent = false;
        let now = self.now();
        while self.write_failed.is_none()
            && let Some(bytes) = self.connection.poll_transmit(now)
        {
            match self.socket.write(bytes) {
                Ok(n) => {
                    self.connection.handle_transmitted(n);
                    sent = true;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The remote may have said why before it closed: first read on.
                Err(error) => self.write_failed = Some(failure(&error)),
            }
        }
        sent
    }

    /// Receives once. Whether that was anything, the end included.
    fn receive(&mut self) -> bool {
        if self.events.len() >= MAX_EVENTS {
            return false;
        }
        if self.drained && self.write_failed.is_none() {
            match self.socket.peek(&mut [0]) {
                Err(error) if is_retry(&error) => return false,
                Ok(_) | Err(_) => self.drained = false,
            }
        }
        let now = self.now();
        let Some(space) = self.connection.recv_buf() else {
            self.paused = true;
            return self.give_up_writing(now);
        };
        self.paused = false;
        let room = space.len();
        match self.socket.read(space) {
            Ok(0) => {
                self.ended = true;
                self.connection.handle_eof(now);
            }
            Ok(n) => {
                self.drained = n < room;
                self.connection.handle_recv(now, n);
            }
            Err(error) if is_retry(&error) => {
                self.drained = true;
                return self.give_up_writing(now);
            }
            Err(error) => {
                self.ended = true;
                self.connection.handle_transport_error(now, failure(&error));
            }
        }
        true
    }

    /// With nothing left to read, a failure to write is the end.
    fn give_up_writing(&mut self, now: Timestamp) -> bool {
        let Some(failure) = self.write_failed else { return false };
        self.ended = true;
        self.connection.handle_transport_error(now, failure);
        true
    }

    /// Blocks until the next deadline, at most for `most`, or until the socket can do what is next:
    /// send, if something waits to be sent; otherwise receive.
    fn wait(&mut self, most: Duration) -> io::Result<()> {
        let now = self.now();
        let wait = match self.connection.poll_timeout() {
            Some(deadline) => most.min(deadline.at.saturating_since(now)),
            None => most,
        };
        if wait.is_zero() {
            return Ok(());
        }
        let wait = wait.max(MIN_WAIT);
        if let Some(bytes) = self.connection.poll_transmit(now) {
            self.socket.set_nonblocking(false)?;
            self.socket.set_write_timeout(Some(wait.min(MAX_WRITE_WAIT)))?;
            // A failure shows again when this is sent without waiting.
            let written = self.socket.write(bytes).unwrap_or(0);
            self.connection.handle_transmitted(written);
        } else if !self.paused {
            self.socket.set_nonblocking(false)?;
            self.socket.set_read_timeout(Some(wait))?;
            // Only waits, and takes no buffer of the connection's meanwhile.
            let _ = self.socket.peek(&mut [0]);
        } else {
            // Only the application or time can help.
            std::thread::sleep(wait);
            return Ok(());
        }
        self.socket.set_nonblocking(true)
    }

    /// Closes our end of the socket and waits until the remote has closed its own: bytes that
    /// arrive at a closed socket make the operating system reset it, and our goodbye would be lost.
    fn hang_up(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.hung_up, true) || self.ended {
            return Ok(());
        }
        if self.socket.shutdown(Shutdown::Write).is_err() {
            // The remote was faster.
            return Ok(());
        }
        self.socket.set_nonblocking(false)?;
        let until = Instant::now() + HANG_UP_TIMEOUT;
        let mut scrap = [0; 4096];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.socket.set_read_timeout(Some(left.max(MIN_WAIT)))?;
            if self.socket.read(&mut scrap).unwrap_or(0) == 0 {
                return Ok(());
            }
        }
    }
}

fn is_retry(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

#[allow(clippy::wildcard_enum_match_arm, reason = "the enum is std's, and it grows")]
fn failure(error: &io::Error) -> TransportFailure {
    match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => TransportFailure::Reset,
        ErrorKind::ConnectionAborted => TransportFailure::Aborted,
        ErrorKind::TimedOut => TransportFailure::TimedOut,
        _ => TransportFailure::Other,
    }
}
