//! [`UdpDriver`]: one QUIC connection on one thread, over `std::net::UdpSocket`.
//!
//! What [`BlockingDriver`](super) is for bytes in order: it owns the socket and the clock, carries
//! datagrams between the socket, the [`QuicEndpoint`] and the one [`Connection`], and calls them
//! when their deadlines have come. It takes no decision of a protocol's.
#![allow(dead_code, unreachable_pub, reason = "whoever includes this file uses a part of it")]
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a driver has what the core may not use: a socket, a clock, a thread to block"
)]

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::BytesMut;
use sanspeer_core::connection::{Connection, ConnectionConfig, ConnectionEvent, NodeRoom};
use sanspeer_core::identity::{Identity, PeerId};
use sanspeer_core::mailbox::{Lease, ProtocolTable, ToConnection, ToNode};
use sanspeer_core::quic::{
    DatagramMeta, EndpointEvent, QuicConfig, QuicConnectionId, QuicEndpoint, QuicMux,
};
use sanspeer_core::rng::Seed;
use sanspeer_core::time::{Deadline, Timestamp};
use sanspeer_core::tls::TlsIdentity;

/// Events that wait for [`UdpDriver::poll_event`]; with more the socket is not read.
const MAX_EVENTS: usize = 1024;

/// Window that a connection is granted when it asks, over all its streams, in bytes.
const MAX_WINDOW_LEASE_BYTES: u64 = 16 * 1024 * 1024;

/// Datagrams that are received, and transmissions that are sent, before the other has its turn.
const MAX_BATCH: usize = 64;

/// The largest datagram that there is, in bytes.
const MAX_DATAGRAM_BYTES: usize = 65_535;

/// The shortest wait: the operating system refuses a timeout of zero.
const MIN_WAIT: Duration = Duration::from_millis(1);

/// A connection, its endpoint, its socket and its clock.
pub struct UdpDriver {
    endpoint: QuicEndpoint,
    id: QuicConnectionId,
    remote: SocketAddr,
    connection: Connection,
    port: Port,
    lease: Lease,
    protocols: ProtocolTable,
    /// Bounded by [`MAX_EVENTS`] and what one batch can cause.
    events: VecDeque<ConnectionEvent>,
    buffer: Vec<u8>,
}

/// The socket and the clock.
struct Port {
    socket: UdpSocket,
    epoch: Instant,
    space: Vec<u8>,
}

impl Port {
    fn new(socket: UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Port { socket, epoch: Instant::now(), space: vec![0; MAX_DATAGRAM_BYTES] })
    }

    fn now(&self) -> Timestamp {
        Timestamp::ZERO.saturating_add(self.epoch.elapsed())
    }

    /// Receives what is there, at most a batch. Whether that was anything.
    fn receive(&mut self, endpoint: &mut QuicEndpoint) -> bool {
        let mut any = false;
        for _ in 0..MAX_BATCH {
            // An error is of a datagram that was sent earlier, or there is nothing.
            let Ok((n, remote)) = self.socket.recv_from(&mut self.space) else { return any };
            let meta = DatagramMeta { remote, local_ip: None, ecn: None };
            endpoint.handle_datagram(self.now(), meta, BytesMut::from(&self.space[..n]));
            any = true;
        }
        any
    }

    /// Sends what the endpoint answers by itself.
    fn respond(&self, endpoint: &mut QuicEndpoint) {
        while let Some(datagram) = endpoint.poll_transmit() {
            self.send(&datagram.bytes, datagram.destination);
        }
    }

    /// What the socket does not take is lost, as on the way.
    fn send(&self, bytes: &[u8], to: SocketAddr) {
        let _ = self.socket.send_to(bytes, to);
    }

    /// Blocks until a datagram comes, at most for `wait`.
    fn wait(&self, wait: Duration) -> io::Result<()> {
        self.socket.set_nonblocking(false)?;
        self.socket.set_read_timeout(Some(wait.max(MIN_WAIT)))?;
        let _ = self.socket.peek_from(&mut [0]);
        self.socket.set_nonblocking(true)
    }
}

/// Seconds since 1970-01-01 UTC, by the operating system's clock.
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn endpoint(identity: &Identity, seed: &Seed, port: &Port) -> io::Result<QuicEndpoint> {
    let tls = TlsIdentity::new(identity, seed).map_err(io::Error::other)?;
    // Packets may be fragmented: std has no way to forbid it.
    let config = QuicConfig { mtu_discovery: false, ..QuicConfig::default() };
    Ok(QuicEndpoint::new(&tls, seed, config, port.epoch))
}

impl UdpDriver {
    /// Dials `remote` from a socket of its own. With `expected_peer`, anybody else at the other end
    /// is refused. `seed` must be fresh for each connection.
    pub fn connect(
        remote: SocketAddr,
        identity: &Identity,
        seed: &Seed,
        expected_peer: Option<PeerId>,
        protocols: ProtocolTable,
    ) -> io::Result<Self> {
        let socket = match remote {
            SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?,
            SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?,
        };
        let port = Port::new(socket)?;
        let mut endpoint = endpoint(identity, seed, &port)?;
        let (id, mux) = endpoint
            .connect(port.now(), remote, expected_peer, unix_seconds())
            .map_err(io::Error::other)?;
        Ok(UdpDriver::new(port, endpoint, (id, remote), mux, seed, protocols))
    }

    /// Accepts the first connection that comes to `socket`, and refuses others. `seed` must be
    /// fresh for each call.
    pub fn accept(
        socket: UdpSocket,
        identity: &Identity,
        seed: &Seed,
        protocols: ProtocolTable,
    ) -> io::Result<Self> {
        let mut port = Port::new(socket)?;
        let mut endpoint = endpoint(identity, seed, &port)?;
        loop {
            port.receive(&mut endpoint);
            while let Some(EndpointEvent::Incoming { id, remote, .. }) = endpoint.poll_event() {
                if let Ok((id, mux)) = endpoint.accept(port.now(), id, unix_seconds()) {
                    return Ok(UdpDriver::new(port, endpoint, (id, remote), mux, seed, protocols));
                }
            }
            port.respond(&mut endpoint);
            port.wait(Duration::from_secs(1))?;
        }
    }

    fn new(
        port: Port,
        endpoint: QuicEndpoint,
        (id, remote): (QuicConnectionId, SocketAddr),
        mux: QuicMux,
        seed: &Seed,
        protocols: ProtocolTable,
    ) -> Self {
        let config = ConnectionConfig::default();
        let connection = Connection::quic(mux, &seed.derive("driver", id.0), config, port.now());
        UdpDriver {
            endpoint,
            id,
            remote,
            connection,
            port,
            lease: Lease::default(),
            protocols,
            events: VecDeque::new(),
            buffer: Vec::new(),
        }
    }

    /// The connection: open, accept, read and write streams here, then take a turn.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Where the remote was when the connection began.
    pub fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// The time, as the connection counts it.
    pub fn now(&self) -> Timestamp {
        self.port.now()
    }

    /// The next event of the connection. Take all before each turn.
    pub fn poll_event(&mut self) -> Option<ConnectionEvent> {
        self.events.pop_front().or_else(|| self.next_event())
    }

    /// Sends what is to be sent, receives what is there, and handles timeouts. When nothing moves,
    /// waits for at most `wait` until something can. True while the connection goes on; once it is
    /// over, what its streams have received can still be read.
    pub fn turn(&mut self, wait: Duration) -> io::Result<bool> {
        let sent = self.transmit();
        let received = self.events.len() < MAX_EVENTS && self.receive();
        while self.events.len() < MAX_EVENTS
            && let Some(event) = self.next_event()
        {
            self.events.push_back(event);
        }
        if self.connection.is_closed() {
            return Ok(false);
        }
        if !sent && !received && self.events.is_empty() {
            let wait = match self.next_deadline() {
                Some(deadline) => wait.min(deadline.at.saturating_since(self.now())),
                None => wait,
            };
            if !wait.is_zero() {
                self.port.wait(wait)?;
            }
        }
        let now = self.now();
        if self.next_deadline().is_some_and(|deadline| deadline.at <= now) {
            self.endpoint.handle_timeout(now);
            self.connection.handle_timeout(now);
        }
        Ok(true)
    }

    fn next_deadline(&self) -> Option<Deadline> {
        Deadline::earlier(self.endpoint.poll_timeout(), self.connection.poll_timeout())
    }

    /// The connection's next event, and, once there is none, Node's part: everybody is admitted,
    /// and window is granted on request.
    fn next_event(&mut self) -> Option<ConnectionEvent> {
        loop {
            match self.connection.poll_event() {
                Some(event @ ConnectionEvent::Closed { .. }) => {
                    // The remote is told why, if it was not.
                    self.transmit();
                    return Some(event);
                }
                Some(event) => return Some(event),
                None => {}
            }
            let now = self.now();
            match self.connection.poll_node(NodeRoom::Queue)? {
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
                // None of the table's protocols is Node's.
                ToNode::Rtt(_)
                | ToNode::PingFailed(_)
                | ToNode::Usage(_)
                | ToNode::Closed { .. }
                | ToNode::StreamOpened { .. }
                | ToNode::OpenFailed { .. }
                | ToNode::InboundStream { .. }
                | ToNode::Frame { .. }
                | ToNode::Sent { .. }
                | ToNode::StreamFinished(_)
                | ToNode::StreamClosed { .. }
                | ToNode::Verified { .. } => {}
            }
        }
    }

    /// Sends what is to be sent, at most a batch. Whether that was anything.
    fn transmit(&mut self) -> bool {
        let mut any = false;
        for _ in 0..MAX_BATCH {
            let now = self.now();
            let Some(transmit) = self.connection.poll_datagrams(now, 1, &mut self.buffer) else {
                break;
            };
            self.port.send(&self.buffer[..transmit.size], transmit.destination);
            any = true;
        }
        while let Some(event) = self.connection.poll_endpoint_event() {
            self.endpoint.handle_connection_event(self.id, event);
        }
        self.hand_over();
        self.port.respond(&mut self.endpoint);
        any
    }

    fn receive(&mut self) -> bool {
        let any = self.port.receive(&mut self.endpoint);
        while let Some(EndpointEvent::Incoming { id, .. }) = self.endpoint.poll_event() {
            self.endpoint.refuse(id);
        }
        self.hand_over();
        any
    }

    /// Gives the connection what the endpoint has for it.
    fn hand_over(&mut self) {
        while let Some((id, event)) = self.endpoint.poll_connection_event() {
            if id == self.id {
                let now = self.port.now();
                self.connection.handle_endpoint_event(now, event);
            }
        }
    }
}
