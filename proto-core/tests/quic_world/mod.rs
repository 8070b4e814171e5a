//! QUIC endpoints joined by a link in virtual time, which loses, delays, reorders and duplicates
//! datagrams as its seed says.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use sanspeer_core::close::CloseReason;
use sanspeer_core::connection::{Connection, ConnectionConfig, ConnectionEvent, NodeRoom};
use sanspeer_core::identity::{Identity, PeerId};
use sanspeer_core::mailbox::{Lease, ProtocolTable, ToConnection, ToNode};
use sanspeer_core::mux::{Mux, MuxEvent, ReadError, StreamId, WriteError};
use sanspeer_core::quic::{
    AcceptError, DatagramMeta, Ecn, EndpointEvent, FromEndpoint, IncomingId, QuicConfig,
    QuicConnectionId, QuicEndpoint, QuicMux, QuicTransmit, ToEndpoint,
};
use sanspeer_core::rng::{Rng, Seed};
use sanspeer_core::time::{Deadline, Timestamp};
use sanspeer_core::tls::TlsIdentity;
use sha2::{Digest, Sha256};

/// 2026-01-01, in Unix seconds.
pub const UNIX_SECONDS: u64 = 1_767_225_600;

const MAX_SEGMENTS: usize = 10;

/// What is carried by a connection: its multiplexer alone, or a whole [`Connection`].
pub trait Carried {
    fn wrap(mux: QuicMux, seed: &Seed, now: Timestamp) -> Self;
    fn handle_endpoint_event(&mut self, now: Timestamp, event: FromEndpoint);
    fn poll_endpoint_event(&mut self) -> Option<ToEndpoint>;
    fn poll_transmit(&mut self, now: Timestamp, buffer: &mut Vec<u8>) -> Option<QuicTransmit>;
    fn handle_timeout(&mut self, now: Timestamp);
    fn poll_timeout(&self) -> Option<Deadline>;
    fn collect(&mut self, now: Timestamp);
}

/// A multiplexer and its events so far.
pub struct Raw {
    pub mux: QuicMux,
    pub events: Vec<MuxEvent>,
}

impl Carried for Raw {
    fn wrap(mux: QuicMux, _seed: &Seed, _now: Timestamp) -> Self {
        Raw { mux, events: Vec::new() }
    }

    fn handle_endpoint_event(&mut self, now: Timestamp, event: FromEndpoint) {
        self.mux.handle_endpoint_event(now, event);
    }

    fn poll_endpoint_event(&mut self) -> Option<ToEndpoint> {
        self.mux.poll_endpoint_event()
    }

    fn poll_transmit(&mut self, now: Timestamp, buffer: &mut Vec<u8>) -> Option<QuicTransmit> {
        self.mux.poll_transmit(now, MAX_SEGMENTS, buffer)
    }

    fn handle_timeout(&mut self, now: Timestamp) {
        self.mux.handle_timeout(now);
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.mux.poll_timeout()
    }

    fn collect(&mut self, _now: Timestamp) {
        while let Some(event) = self.mux.poll_event() {
            self.events.push(event);
        }
    }
}

impl Raw {
    pub fn peer(&self) -> Option<PeerId> {
        match self.events.first() {
            Some(MuxEvent::Secured { peer }) => Some(*peer),
            _ => None,
        }
    }

    pub fn write(&mut self, stream: StreamId, data: &[u8]) -> usize {
        match self.mux.write(stream, data) {
            Ok(n) => n,
            Err(WriteError::Blocked) => 0,
            Err(error) => panic!("write on {stream}: {error:?}"),
        }
    }

    /// Reads what is there, and whether the end was seen.
    pub fn read(&mut self, stream: StreamId) -> (Vec<u8>, bool) {
        let mut all = Vec::new();
        loop {
            match self.mux.read(stream, usize::MAX) {
                Ok(bytes) if bytes.is_empty() => return (all, true),
                Ok(bytes) => all.extend_from_slice(&bytes),
                Err(ReadError::Blocked) => return (all, false),
                Err(error) => panic!("read on {stream}: {error:?}"),
            }
        }
    }

    pub fn count(&self, wanted: &MuxEvent) -> usize {
        self.events.iter().filter(|event| *event == wanted).count()
    }
}

/// A connection, admitted at once, and its events so far.
pub struct Whole {
    pub connection: Connection,
    pub events: Vec<ConnectionEvent>,
    pub protocols: ProtocolTable,
}

impl Carried for Whole {
    fn wrap(mux: QuicMux, seed: &Seed, now: Timestamp) -> Self {
        let connection = Connection::quic(mux, seed, ConnectionConfig::default(), now);
        let echo = sanspeer_core::protocol::ProtocolId::new("/test/echo/1.0.0").expect("valid");
        let protocols = ProtocolTable::new().with_perf().with_application(echo);
        Whole { connection, events: Vec::new(), protocols }
    }

    fn handle_endpoint_event(&mut self, now: Timestamp, event: FromEndpoint) {
        self.connection.handle_endpoint_event(now, event);
    }

    fn poll_endpoint_event(&mut self) -> Option<ToEndpoint> {
        self.connection.poll_endpoint_event()
    }

    fn poll_transmit(&mut self, now: Timestamp, buffer: &mut Vec<u8>) -> Option<QuicTransmit> {
        self.connection.poll_datagrams(now, MAX_SEGMENTS, buffer)
    }

    fn handle_timeout(&mut self, now: Timestamp) {
        self.connection.handle_timeout(now);
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.connection.poll_timeout()
    }

    fn collect(&mut self, now: Timestamp) {
        loop {
            while let Some(event) = self.connection.poll_event() {
                self.events.push(event);
            }
            let Some(message) = self.connection.poll_node(NodeRoom::Queue) else { return };
            if let ToNode::Established { .. } = message {
                let (lease, protocols) = (Lease::default(), self.protocols.clone());
                self.connection.handle_node(now, ToConnection::Admit { lease, protocols });
            }
        }
    }
}

/// What an endpoint does with those who want to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    Accept,
    Refuse,
    /// A retry first; then accept.
    Retry,
    /// A retry first; then refuse.
    RetryThenRefuse,
    /// Leaves them in `waiting`.
    Wait,
}

/// An endpoint with its connections.
pub struct Node<C> {
    pub endpoint: QuicEndpoint,
    pub identity: TlsIdentity,
    pub address: SocketAddr,
    pub connections: BTreeMap<QuicConnectionId, C>,
    pub gone: usize,
    /// The last that is gone.
    pub last: Option<C>,
    pub admission: Admission,
    pub waiting: Vec<(IncomingId, bool)>,
    /// Why incoming connections failed with their first packet.
    pub failed: Vec<CloseReason>,
    pub unix_seconds: u64,
    pub sent_bytes: u64,
    pub received_bytes: u64,
    seed: Seed,
}

impl<C: Carried> Node<C> {
    pub fn new(number: u64, config: QuicConfig) -> Self {
        let seed = Seed::from_u64(number);
        let identity = TlsIdentity::new(&Identity::ed25519(&seed), &seed).expect("ed25519 signs");
        let port = 10_000 + u16::try_from(number % 1_000).expect("below 1,000");
        Node {
            endpoint: QuicEndpoint::new(&identity, &seed, config, epoch()),
            identity,
            address: SocketAddr::from(([10, 0, 0, 1], port)),
            connections: BTreeMap::new(),
            gone: 0,
            last: None,
            admission: Admission::Accept,
            waiting: Vec::new(),
            failed: Vec::new(),
            unix_seconds: UNIX_SECONDS,
            sent_bytes: 0,
            received_bytes: 0,
            seed,
        }
    }

    /// The only connection, or the last that is gone.
    pub fn only(&mut self) -> &mut C {
        assert!(self.connections.len() <= 1);
        self.connections.values_mut().next().or(self.last.as_mut()).expect("one")
    }

    fn admit(&mut self, now: Timestamp) {
        while let Some(EndpointEvent::Incoming { id, validated, .. }) = self.endpoint.poll_event() {
            match (self.admission, validated) {
                (Admission::Accept, _) | (Admission::Retry, true) => self.accept(now, id),
                (Admission::Refuse, _) | (Admission::RetryThenRefuse, true) => {
                    self.endpoint.refuse(id);
                }
                (Admission::Retry | Admission::RetryThenRefuse, false) => self.endpoint.retry(id),
                (Admission::Wait, _) => self.waiting.push((id, validated)),
            }
        }
    }

    pub fn accept(&mut self, now: Timestamp, id: IncomingId) {
        match self.endpoint.accept(now, id, self.unix_seconds) {
            Ok((id, mux)) => {
                self.connections.insert(id, C::wrap(mux, &self.seed.derive("test", id.0), now));
            }
            Err(AcceptError::Failed(reason)) => self.failed.push(*reason),
            Err(AcceptError::UnknownIncoming) => {}
        }
    }

    /// Everything but time, until nothing is left to do; what is sent goes to `out`.
    fn turn(&mut self, now: Timestamp, out: &mut Vec<(SocketAddr, Option<Ecn>, Vec<u8>)>) {
        let mut buffer = Vec::new();
        loop {
            let before = out.len();
            self.admit(now);
            while let Some((id, event)) = self.endpoint.poll_connection_event() {
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.handle_endpoint_event(now, event);
                }
            }
            let mut last = Vec::new();
            for (id, connection) in &mut self.connections {
                connection.collect(now);
                while let Some(transmit) = connection.poll_transmit(now, &mut buffer) {
                    let segment = transmit.segment_size.unwrap_or(transmit.size);
                    for bytes in buffer[..transmit.size].chunks(segment) {
                        out.push((transmit.destination, transmit.ecn, bytes.to_vec()));
                    }
                }
                connection.collect(now);
                while let Some(event) = connection.poll_endpoint_event() {
                    if event.is_last() {
                        last.push(*id);
                    }
                    self.endpoint.handle_connection_event(*id, event);
                }
            }
            self.gone += last.len();
            for id in last {
                self.last = self.connections.remove(&id);
            }
            while let Some(datagram) = self.endpoint.poll_transmit() {
                out.push((datagram.destination, datagram.ecn, datagram.bytes.to_vec()));
            }
            if out.len() == before {
                return;
            }
        }
    }

    fn next_deadline(&self) -> Option<Deadline> {
        let connections = self.connections.values().filter_map(Carried::poll_timeout);
        connections.chain(self.endpoint.poll_timeout()).min()
    }

    fn handle_timeout(&mut self, now: Timestamp) {
        self.endpoint.handle_timeout(now);
        for connection in self.connections.values_mut() {
            connection.handle_timeout(now);
        }
    }
}

/// What the link does to datagrams.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    pub delay: Duration,
    /// Up to so much more, at random: reorders.
    pub jitter: Duration,
    pub loss_percent: u32,
    pub duplicate_percent: u32,
    /// So many are followed, or preceded, by a copy of which a byte was changed.
    pub changed_percent: u32,
}

impl Weather {
    pub fn fair() -> Self {
        Weather {
            delay: Duration::from_millis(10),
            jitter: Duration::ZERO,
            loss_percent: 0,
            duplicate_percent: 0,
            changed_percent: 0,
        }
    }

    pub fn foul(loss_percent: u32) -> Self {
        Weather {
            jitter: Duration::from_millis(15),
            loss_percent,
            duplicate_percent: 10,
            ..Weather::fair()
        }
    }
}

struct Flight {
    to: SocketAddr,
    from: SocketAddr,
    ecn: Option<Ecn>,
    bytes: Vec<u8>,
}

/// Two nodes, the link between them, and the time.
pub struct World<C> {
    pub dialer: Node<C>,
    pub listener: Node<C>,
    pub now: Timestamp,
    pub weather: Weather,
    pub sent: u64,
    rng: Rng,
    flights: BTreeMap<(Timestamp, u64), Flight>,
    digest: Sha256,
}

impl<C: Carried> World<C> {
    pub fn new(seed: u64) -> Self {
        World::with(seed, Weather::fair(), QuicConfig::default())
    }

    pub fn with(seed: u64, weather: Weather, config: QuicConfig) -> Self {
        World {
            dialer: Node::new(2 * seed, config.clone()),
            listener: Node::new(2 * seed + 1, config),
            now: Timestamp::ZERO,
            weather,
            sent: 0,
            rng: Seed::from_u64(seed).derive("link", 0).rng(),
            flights: BTreeMap::new(),
            digest: Sha256::new(),
        }
    }

    /// A world in which the dialer has dialled the listener, and both are through.
    pub fn established(seed: u64) -> Self {
        let mut world = World::new(seed);
        world.dial();
        world.run_for(Duration::from_millis(200));
        world
    }

    pub fn dial(&mut self) -> QuicConnectionId {
        let expected = self.listener.identity.peer_id();
        self.dial_expecting(Some(expected))
    }

    pub fn dial_expecting(&mut self, expected: Option<PeerId>) -> QuicConnectionId {
        let (to, unix) = (self.listener.address, self.dialer.unix_seconds);
        let (id, mux) =
            self.dialer.endpoint.connect(self.now, to, expected, unix).expect("a valid address");
        let seed = self.dialer.seed.derive("test", id.0);
        self.dialer.connections.insert(id, C::wrap(mux, &seed, self.now));
        id
    }

    /// A hash over every datagram that was sent, when, and from where.
    pub fn digest(&self) -> String {
        self.digest.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Puts a datagram of somebody's on the link.
    pub fn inject(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        self.fly(Duration::ZERO, Flight { to, from, ecn: None, bytes });
    }

    /// Takes the datagrams that are under way off the link.
    pub fn intercept(&mut self) -> Vec<Vec<u8>> {
        core::mem::take(&mut self.flights).into_values().map(|flight| flight.bytes).collect()
    }

    fn fly(&mut self, delay: Duration, flight: Flight) {
        self.sent += 1;
        self.flights.insert((self.now.saturating_add(delay), self.sent), flight);
    }

    /// Lets both do what they can now.
    pub fn settle(&mut self) {
        for dialer in [true, false] {
            let node = if dialer { &mut self.dialer } else { &mut self.listener };
            let (from, mut out) = (node.address, Vec::new());
            node.turn(self.now, &mut out);
            node.sent_bytes += out.iter().map(|(_, _, bytes)| bytes.len() as u64).sum::<u64>();
            for (to, ecn, bytes) in out {
                self.digest.update(self.now.0.to_le_bytes());
                self.digest.update(from.port().to_le_bytes());
                self.digest.update((bytes.len() as u64).to_le_bytes());
                self.digest.update(&bytes);
                self.send(Flight { to, from, ecn, bytes });
            }
        }
    }

    fn send(&mut self, flight: Flight) {
        let copies = 1 + u32::from(self.chance(self.weather.duplicate_percent));
        for _ in 0..copies {
            if self.chance(self.weather.loss_percent) {
                continue;
            }
            let delay = self.delay();
            let Flight { to, from, ecn, ref bytes } = flight;
            self.fly(delay, Flight { to, from, ecn, bytes: bytes.clone() });
        }
        if self.chance(self.weather.changed_percent) {
            let mut flight = flight;
            let at = self.rng.next_u32() as usize % flight.bytes.len();
            flight.bytes[at] ^= 1 << (self.rng.next_u32() % 8);
            let delay = self.delay();
            self.fly(delay, flight);
        }
    }

    fn delay(&mut self) -> Duration {
        let most = u64::try_from(self.weather.jitter.as_nanos()).expect("short").max(1);
        self.weather.delay + Duration::from_nanos(self.rng.next_u64() % most)
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.next_u32() % 100 < percent
    }

    /// Goes on to the next arrival or deadline, at most to `until`. Whether there was one.
    pub fn step(&mut self, until: Timestamp) -> bool {
        self.settle();
        let arrival = self.flights.first_key_value().map(|((at, _), _)| *at);
        let deadlines =
            [&self.dialer, &self.listener].map(|node| node.next_deadline().map(|d| d.at));
        let next = deadlines.into_iter().chain([arrival]).flatten().min();
        let Some(at) = next.filter(|at| *at <= until) else {
            self.now = self.now.max(until);
            return false;
        };
        self.now = self.now.max(at);
        while let Some(entry) = self.flights.first_entry()
            && entry.key().0 <= self.now
        {
            let Flight { to, from, ecn, bytes } = entry.remove();
            let node =
                if to == self.dialer.address { &mut self.dialer } else { &mut self.listener };
            if to == node.address {
                node.received_bytes += bytes.len() as u64;
                let meta = DatagramMeta { remote: from, local_ip: Some(to.ip()), ecn };
                node.endpoint.handle_datagram(self.now, meta, BytesMut::from(&bytes[..]));
            }
        }
        for node in [&mut self.dialer, &mut self.listener] {
            if node.next_deadline().is_some_and(|next| next.at <= self.now) {
                node.handle_timeout(self.now);
                let next = node.next_deadline();
                assert!(
                    next.is_none_or(|next| next.at > self.now),
                    "{next:?} after {:?}",
                    self.now
                );
            }
        }
        self.settle();
        true
    }

    pub fn run_for(&mut self, duration: Duration) {
        let until = self.now.saturating_add(duration);
        while self.step(until) {}
    }

    /// Goes on until `done` says so, at most for `duration`.
    pub fn run_until(&mut self, duration: Duration, mut done: impl FnMut(&mut World<C>) -> bool) {
        let until = self.now.saturating_add(duration);
        while !done(self) {
            assert!(self.step(until), "not done at {:?}", self.now);
        }
    }
}

/// An epoch: nothing depends on which.
#[allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "there is no other way to make an Instant, and no output depends on it"
)]
fn epoch() -> std::time::Instant {
    std::time::Instant::now()
}

/// `length` bytes that depend on `seed`.
pub fn content(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    Seed::from_u64(seed).rng().fill(&mut bytes);
    bytes
}

/// Sends `up` on a stream of the dialer's and `down` back on it, ends both directions, and returns
/// what arrived: at the listener, at the dialer.
pub fn exchange(
    world: &mut World<Raw>,
    up: &[u8],
    down: &[u8],
    limit: Duration,
) -> (Vec<u8>, Vec<u8>) {
    let ours = world.dialer.only().mux.open().expect("room for a stream");
    let (mut got_up, mut got_down) = (Vec::new(), Vec::new());
    let (mut sent_up, mut sent_down) = (0, 0);
    let (mut theirs, mut up_over, mut down_over) = (None, false, false);
    world.run_until(limit, |world| {
        let dialer = world.dialer.only();
        if sent_up <= up.len() {
            sent_up += dialer.write(ours, &up[sent_up..]);
            if sent_up == up.len() {
                dialer.mux.finish(ours).expect("open");
                sent_up += 1;
            }
        }
        if !down_over {
            let (bytes, over) = dialer.read(ours);
            got_down.extend_from_slice(&bytes);
            down_over = over;
        }
        let listener = world.listener.only();
        theirs = theirs.or_else(|| listener.mux.accept());
        if let Some(stream) = theirs {
            if !up_over {
                let (bytes, over) = listener.read(stream);
                got_up.extend_from_slice(&bytes);
                up_over = over;
            }
            if sent_down <= down.len() {
                sent_down += listener.write(stream, &down[sent_down..]);
                if sent_down == down.len() {
                    listener.mux.finish(stream).expect("open");
                    sent_down += 1;
                }
            }
        }
        up_over && down_over
    });
    (got_up, got_down)
}
