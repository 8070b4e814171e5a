//! [`MioPeer`]: a [`Host`] over real sockets, on one thread, without async.
//!
//! It owns the sockets and the clock, does what the host wants of the world, and decides nothing
//! that a protocol decides. The application uses [`MioPeer::host`] as
//! [`sanspeer_core::application::Network`], and calls [`MioPeer::turn`] in between.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::BytesMut;
use mio::{Events, Interest, Poll, Token};
use multiaddr::Multiaddr;
use sanspeer_core::address::{Endpoint, NameFamily, Transport};
use sanspeer_core::host::{Host, HostConfig, HostOutput, SecurityProtocol};
use sanspeer_core::identity::Identity;
use sanspeer_core::node::{
    ArrivalId, ConnectionId, DialFailure, ListenFailure, ListenerId, LookupId,
};
use sanspeer_core::quic::{DatagramMeta, QuicConfig};
use sanspeer_core::rng::Seed;
use sanspeer_core::time::Timestamp;

use crate::failure::{dial_failure, listen_failure};
use crate::stream::{Progress, Stream};
use crate::udp::UdpPort;

/// Sockets that are looked at together.
const MAX_READY: usize = 256;

/// Arrivals and datagrams that are taken from one socket before it is another one's turn.
const MAX_BATCH: usize = 64;

/// The largest datagram that there is, in bytes.
const MAX_DATAGRAM_BYTES: usize = 65_535;

/// A peer on one thread.
pub struct MioPeer {
    host: Host,
    poll: Poll,
    ready: Events,
    epoch: Instant,
    next_token: usize,
    /// By their tokens. Bounded by the application's listeners.
    listeners: BTreeMap<usize, Listener>,
    /// Whose arrivals Node has not answered yet, which it does at once.
    arrivals: BTreeMap<ArrivalId, mio::net::TcpStream>,
    /// TCP connections, by their tokens. Bounded by Node's limits.
    streams: BTreeMap<usize, Stream>,
    /// The tokens of connections.
    tokens: BTreeMap<ConnectionId, usize>,
    /// UDP sockets, by their tokens: one for each listener, and two to dial from.
    ports: BTreeMap<usize, UdpPort>,
    space: Vec<u8>,
}

/// A TCP socket that others connect to.
struct Listener {
    id: ListenerId,
    socket: mio::net::TcpListener,
    ready: bool,
}

impl MioPeer {
    /// A peer that listens nowhere and knows nobody yet. `seed` must not be used twice.
    pub fn new(identity: Identity, seed: &Seed) -> io::Result<Self> {
        let config = HostConfig {
            security: vec![SecurityProtocol::Noise, SecurityProtocol::Tls],
            // Packets may be fragmented: neither std nor mio has a way to forbid it.
            quic: QuicConfig { mtu_discovery: false, ..QuicConfig::default() },
            ..HostConfig::default()
        };
        let now = Timestamp::ZERO;
        let mut host = Host::new(config, identity, seed, now).map_err(io::Error::other)?;
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        host.handle_unix_time(now, since_1970.map_or(0, |since| since.as_secs()));
        Ok(MioPeer {
            host,
            poll: Poll::new()?,
            ready: Events::with_capacity(MAX_READY),
            epoch: Instant::now(),
            next_token: 0,
            listeners: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            streams: BTreeMap::new(),
            tokens: BTreeMap::new(),
            ports: BTreeMap::new(),
            space: vec![0; MAX_DATAGRAM_BYTES],
        })
    }

    /// The host: ask, open, accept, read and write here, take its events, then take a turn.
    pub fn host(&mut self) -> &mut Host {
        &mut self.host
    }

    /// The time, as the host counts it.
    pub fn now(&self) -> Timestamp {
        Timestamp::ZERO.saturating_add(self.epoch.elapsed())
    }

    /// Does what can be done; if that is nothing, waits at most for `wait` until something can.
    pub fn turn(&mut self, wait: Duration) -> io::Result<()> {
        let moved = self.act();
        let now = self.now();
        let wait = if moved {
            Duration::ZERO
        } else {
            let streams = self.streams.values().filter_map(Stream::deadline);
            let host = self.host.poll_timeout().map(|deadline| deadline.at);
            let deadline = streams.chain(host).min();
            deadline.map_or(wait, |at| wait.min(at.saturating_since(now)))
        };
        match self.poll.poll(&mut self.ready, Some(wait)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            Ok(()) | Err(_) => {}
        }
        self.note_ready();
        let now = self.now();
        if self.host.poll_timeout().is_some_and(|deadline| deadline.at <= now) {
            self.host.handle_timeout(now);
        }
        self.act();
        Ok(())
    }

    fn note_ready(&mut self) {
        for event in &self.ready {
            let token = event.token().0;
            if let Some(listener) = self.listeners.get_mut(&token) {
                listener.ready = true;
            }
            if let Some(stream) = self.streams.get_mut(&token) {
                stream.note(event.is_readable(), event.is_writable());
            }
            if let Some(port) = self.ports.get_mut(&token) {
                port.note(event.is_readable(), event.is_writable());
            }
        }
    }

    /// Moves what can be moved now. Whether that was anything.
    fn act(&mut self) -> bool {
        let mut moved = self.take_arrivals();
        moved |= self.receive_datagrams();
        moved |= self.move_streams();
        moved |= self.obey();
        moved |= self.send();
        moved
    }

    fn take_arrivals(&mut self) -> bool {
        let now = self.now();
        let mut moved = false;
        for listener in self.listeners.values_mut() {
            for _ in 0..MAX_BATCH {
                if !listener.ready {
                    break;
                }
                match listener.socket.accept() {
                    Ok((socket, remote)) => {
                        let remote = Endpoint::Tcp(remote).to_multiaddr();
                        let arrival = self.host.handle_arrival(now, listener.id, remote);
                        self.arrivals.insert(arrival, socket);
                        moved = true;
                    }
                    // Who arrived is gone, or there are no descriptors: the next event tells.
                    Err(_) => listener.ready = false,
                }
            }
        }
        moved
    }

    fn receive_datagrams(&mut self) -> bool {
        let mut moved = false;
        for port in self.ports.values_mut() {
            for _ in 0..MAX_BATCH {
                let Some((n, remote)) = port.receive(&mut self.space) else { break };
                let meta = DatagramMeta { remote, local_ip: None, ecn: None };
                let now = Timestamp::ZERO.saturating_add(self.epoch.elapsed());
                let datagram = BytesMut::from(&self.space[..n]);
                self.host.handle_datagram(now, port.endpoint, meta, datagram);
                moved = true;
            }
        }
        moved
    }

    fn move_streams(&mut self) -> bool {
        let now = self.now();
        let mut moved = false;
        let mut over = Vec::new();
        for (token, stream) in &mut self.streams {
            match stream.advance(now, &mut self.host) {
                Progress::Nothing => {}
                Progress::Something => moved = true,
                Progress::Over => over.push(*token),
            }
        }
        for token in over {
            moved = true;
            self.remove_stream(token);
        }
        moved
    }

    /// Does what the host wants.
    fn obey(&mut self) -> bool {
        let mut moved = false;
        while let Some(output) = self.host.poll_output() {
            moved = true;
            let now = self.now();
            match output {
                HostOutput::Listen { listener, address } => self.listen(now, listener, &address),
                HostOutput::Unlisten(listener) => self.unlisten(listener),
                HostOutput::Accept { arrival, connection } => {
                    self.accept(now, arrival, connection);
                }
                HostOutput::Reject { arrival, reason: _ } => drop(self.arrivals.remove(&arrival)),
                HostOutput::Dial { connection, address } => self.dial(now, connection, &address),
                HostOutput::CancelDial(connection) | HostOutput::Close(connection) => {
                    self.close(now, connection);
                }
                HostOutput::LookUp { lookup, address } => self.look_up(now, lookup, &address),
            }
        }
        moved
    }

    fn send(&mut self) -> bool {
        let mut moved = false;
        let now = self.now();
        while let Some(connection) = self.host.poll_sendable() {
            if let Some(stream) =
                self.tokens.get(&connection).and_then(|token| self.streams.get_mut(token))
            {
                moved |= stream.transmit(now, &mut self.host);
            }
        }
        for port in self.ports.values_mut() {
            moved |= port.transmit(now, &mut self.host);
        }
        moved
    }

    fn listen(&mut self, now: Timestamp, listener: ListenerId, address: &Multiaddr) {
        let listening = match Endpoint::parse(address) {
            // To say where that is reached takes the list of interfaces, which std does not have.
            Some(Endpoint::Tcp(at) | Endpoint::Quic(at)) if at.ip().is_unspecified() => {
                Err(ListenFailure::Unsupported)
            }
            Some(Endpoint::Tcp(at)) => {
                self.listen_tcp(listener, at).map_err(|error| listen_failure(&error))
            }
            Some(Endpoint::Quic(at)) => {
                self.bind(Some(listener), at).map_err(|error| listen_failure(&error)).map(|token| {
                    let port = self.ports.get(&token);
                    port.map_or(at, |port| port.bound)
                })
            }
            Some(_) | None => Err(ListenFailure::Unsupported),
        };
        match (listening, Endpoint::parse(address)) {
            (Ok(bound), Some(Endpoint::Tcp(_))) => {
                let address = Endpoint::Tcp(bound).to_multiaddr();
                self.host.handle_listening(now, listener, address);
            }
            (Ok(bound), _) => {
                let address = Endpoint::Quic(bound).to_multiaddr();
                self.host.handle_listening(now, listener, address);
            }
            (Err(failure), _) => self.host.handle_listen_failed(now, listener, failure),
        }
    }

    fn listen_tcp(&mut self, id: ListenerId, at: SocketAddr) -> io::Result<SocketAddr> {
        let mut socket = mio::net::TcpListener::bind(at)?;
        let bound = socket.local_addr()?;
        let token = self.token();
        self.poll.registry().register(&mut socket, Token(token), Interest::READABLE)?;
        self.listeners.insert(token, Listener { id, socket, ready: true });
        Ok(bound)
    }

    /// A UDP socket for the arrivals of a listener, or only to dial from. Its token.
    fn bind(&mut self, listener: Option<ListenerId>, at: SocketAddr) -> io::Result<usize> {
        let mut socket = mio::net::UdpSocket::bind(at)?;
        let bound = socket.local_addr()?;
        let token = self.token();
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut socket, Token(token), interest)?;
        let endpoint = self.host.add_endpoint(listener, self.epoch);
        self.ports.insert(token, UdpPort::new(socket, bound, endpoint, listener.is_none()));
        Ok(token)
    }

    /// A UDP socket goes on for the connections that it has.
    fn unlisten(&mut self, listener: ListenerId) {
        self.listeners.retain(|_, known| known.id != listener);
    }

    fn accept(&mut self, now: Timestamp, arrival: ArrivalId, connection: ConnectionId) {
        let begun = self.arrivals.remove(&arrival).map(|socket| {
            let token = self.token();
            Stream::accepted(self.poll.registry(), Token(token), socket, connection)
                .map(|stream| (token, stream))
        });
        match begun {
            Some(Ok((token, stream))) if self.host.begin(now, connection, None) => {
                self.add_stream(token, connection, stream);
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => self.host.handle_arrival_gone(now, arrival),
        }
    }

    fn dial(&mut self, now: Timestamp, connection: ConnectionId, address: &Multiaddr) {
        let dialled = match Endpoint::parse(address) {
            Some(Endpoint::Tcp(remote)) => {
                let token = self.token();
                Stream::dialled(self.poll.registry(), Token(token), remote, connection)
                    .map(|stream| self.add_stream(token, connection, stream))
                    .map_err(|error| dial_failure(&error))
            }
            Some(Endpoint::Quic(remote)) => match self.port_to_dial_from(remote) {
                Ok(endpoint) => {
                    // What becomes of it, the host knows.
                    self.host.begin_quic(now, connection, endpoint, remote);
                    Ok(())
                }
                Err(error) => Err(dial_failure(&error)),
            },
            Some(_) | None => Err(DialFailure::Unsupported),
        };
        if let Err(failure) = dialled {
            self.host.handle_dial_failed(now, connection, failure);
        }
    }

    /// The socket from which a remote is dialled over QUIC, one for each family.
    fn port_to_dial_from(
        &mut self,
        remote: SocketAddr,
    ) -> io::Result<sanspeer_core::host::EndpointId> {
        let known = self
            .ports
            .values()
            .find(|port| port.dials && port.bound.is_ipv4() == remote.is_ipv4())
            .map(|port| port.endpoint);
        if let Some(endpoint) = known {
            return Ok(endpoint);
        }
        let any: IpAddr = match remote {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let token = self.bind(None, SocketAddr::new(any, 0))?;
        let port = self.ports.get(&token).ok_or(ErrorKind::NotFound)?;
        Ok(port.endpoint)
    }

    /// Asks the operating system, and blocks meanwhile. Others would ask on a thread of their own.
    fn look_up(&mut self, now: Timestamp, lookup: LookupId, address: &Multiaddr) {
        let found = match Endpoint::parse(address) {
            Some(Endpoint::Name { family, host, transport, port }) => {
                let resolved = std::net::ToSocketAddrs::to_socket_addrs(&(host.as_str(), port));
                let wanted = |socket: &SocketAddr| match family {
                    NameFamily::Any => true,
                    NameFamily::V4 => socket.is_ipv4(),
                    NameFamily::V6 => socket.is_ipv6(),
                };
                let endpoint = |socket| match transport {
                    Transport::Tcp => Endpoint::Tcp(socket).to_multiaddr(),
                    Transport::Quic => Endpoint::Quic(socket).to_multiaddr(),
                };
                resolved.map_or(Vec::new(), |all| all.filter(wanted).map(endpoint).collect())
            }
            // Text records are another program's.
            Some(_) | None => Vec::new(),
        };
        self.host.handle_looked_up(now, lookup, found);
    }

    fn close(&mut self, now: Timestamp, connection: ConnectionId) {
        if let Some(token) = self.tokens.get(&connection)
            && let Some(stream) = self.streams.get_mut(token)
        {
            stream.close(now);
        }
    }

    fn add_stream(&mut self, token: usize, connection: ConnectionId, stream: Stream) {
        self.streams.insert(token, stream);
        self.tokens.insert(connection, token);
    }

    fn remove_stream(&mut self, token: usize) {
        if let Some(stream) = self.streams.remove(&token) {
            self.tokens.remove(&stream.connection);
        }
    }

    fn token(&mut self) -> usize {
        self.next_token += 1;
        self.next_token
    }
}
