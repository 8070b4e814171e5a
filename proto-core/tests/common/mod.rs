//! Two connections joined in memory, in virtual time.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test file uses a part of it")]

mod shaking;

use std::collections::VecDeque;
use std::time::Duration;

use sanspeer_core::byte_mux::{ByteMux, ByteMuxConfig, Security, StreamLayer};
use sanspeer_core::close::CloseReason;
use sanspeer_core::connection::{
    Connection, ConnectionConfig, ConnectionEvent, ConnectionSetup, NodeRoom,
};
use sanspeer_core::identity::{Identity, PeerId};
use sanspeer_core::mailbox::{Lease, ProtocolTable, ToConnection, ToNode};
use sanspeer_core::mux::{Mux, MuxEvent, ReadError, Role, StreamId, WriteError};
use sanspeer_core::protocol::ProtocolId;
use sanspeer_core::rng::{Rng, Seed};
use sanspeer_core::time::Timestamp;
use sanspeer_core::tls::TlsIdentity;

pub use shaking::{Hand, Records, Shaking, sent, shake};

/// A protocol of the application's in every test.
pub const ECHO: &str = "/test/echo/1.0.0";
/// A protocol of Node's in every test.
pub const FRAMES: &str = "/test/frames/1.0.0";
/// The largest frame of [`FRAMES`].
pub const MAX_FRAME: u32 = 1024 * 1024;

pub fn id(text: &str) -> ProtocolId {
    ProtocolId::new(text).expect("a valid protocol id")
}

pub fn table() -> ProtocolTable {
    use sanspeer_core::mailbox::Owner;
    ProtocolTable::new().with_perf().with_application(id(ECHO)).with(
        id(FRAMES),
        Owner::Node { max_frame_bytes: MAX_FRAME },
        u32::MAX,
    )
}

/// 2027-01-15.
pub const NOW: u64 = 1_800_000_000;

/// A security protocol that an end offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secured {
    Noise,
    Tls,
}

/// Each security protocol alone.
pub const SECURED: [Secured; 2] = [Secured::Noise, Secured::Tls];

impl Secured {
    /// Its id in multistream-select.
    pub fn protocol(self) -> &'static str {
        match self {
            Secured::Noise => "/noise",
            Secured::Tls => "/tls/1.0.0",
        }
    }

    /// How many bytes the header of its records takes, of which the last two are a length.
    pub fn header_bytes(self) -> usize {
        match self {
            Secured::Noise => 2,
            Secured::Tls => 5,
        }
    }
}

/// The certificate of the end whose seed this is.
pub fn tls_identity(seed: u64) -> TlsIdentity {
    let seed = Seed::from_u64(seed);
    TlsIdentity::new(&Identity::ed25519(&seed), &seed).expect("an Ed25519 key signs")
}

/// How the transport cuts bytes.
pub enum Chunks {
    /// As they come.
    Whole,
    /// Always so many.
    Fixed(usize),
    /// 1 to so many, at random.
    Random(Box<Rng>, usize),
}

impl Chunks {
    fn next(&mut self) -> usize {
        match self {
            Chunks::Whole => usize::MAX,
            Chunks::Fixed(n) => *n,
            Chunks::Random(rng, most) => 1 + (rng.next_u32() as usize) % *most,
        }
    }
}

/// What an end does with its events and Node's messages, as they come.
pub trait App {
    /// Streams can be opened now.
    fn admitted(&mut self, connection: &mut Connection, now: Timestamp);
    /// An event of the connection's.
    fn event(&mut self, connection: &mut Connection, now: Timestamp, event: &ConnectionEvent);
    /// A message for Node.
    fn node(&mut self, connection: &mut Connection, now: Timestamp, message: &ToNode);
}

/// One end.
pub struct End {
    pub connection: Connection,
    pub identity: Identity,
    /// Everything it sent, if that is kept.
    pub sent: Option<Vec<u8>>,
    /// Sent and not received by the other end.
    pub wire: VecDeque<u8>,
    pub events: Vec<ConnectionEvent>,
    pub node: Vec<ToNode>,
    /// Admit at once when `Established` comes.
    pub admit: Option<(Lease, ProtocolTable)>,
    pub chunks: Chunks,
    pub app: Option<Box<dyn App>>,
    /// How much room Node's side has.
    pub room: Option<NodeRoom>,
    /// The other end's transport has ended, and this end was told.
    pub eof: bool,
}

impl End {
    pub fn new(
        role: Role,
        seed: u64,
        expected_peer: Option<PeerId>,
        config: ConnectionConfig,
    ) -> Self {
        End::with_layer(role, seed, expected_peer, config, None)
    }

    pub fn with_layer(
        role: Role,
        seed: u64,
        expected_peer: Option<PeerId>,
        config: ConnectionConfig,
        layer: Option<Box<dyn StreamLayer>>,
    ) -> Self {
        End::offering(role, seed, expected_peer, config, layer, &[Secured::Noise])
    }

    /// One that offers these, the preferred first.
    pub fn offering(
        role: Role,
        seed: u64,
        expected_peer: Option<PeerId>,
        config: ConnectionConfig,
        layer: Option<Box<dyn StreamLayer>>,
        offer: &[Secured],
    ) -> Self {
        let (identity, certificate) =
            (Identity::ed25519(&Seed::from_u64(seed)), tls_identity(seed));
        let offer: Vec<_> = offer
            .iter()
            .map(|secured| match secured {
                Secured::Noise => Security::Noise(&identity),
                Secured::Tls => Security::Tls { identity: &certificate, unix_seconds: NOW },
            })
            .collect();
        End::with_security(role, seed, expected_peer, config, layer, &offer)
    }

    /// One that offers anything.
    pub fn with_security(
        role: Role,
        seed: u64,
        expected_peer: Option<PeerId>,
        config: ConnectionConfig,
        layer: Option<Box<dyn StreamLayer>>,
        security: &[Security<'_>],
    ) -> Self {
        let seed = Seed::from_u64(seed);
        let identity = Identity::ed25519(&seed);
        let setup = ConnectionSetup {
            role,
            security,
            seed: seed.derive("connection", 7),
            expected_peer,
            layer,
        };
        End {
            connection: Connection::new(setup, config, Timestamp::ZERO),
            identity,
            sent: None,
            wire: VecDeque::new(),
            events: Vec::new(),
            node: Vec::new(),
            admit: Some((Lease::default(), table())),
            chunks: Chunks::Whole,
            app: None,
            room: Some(NodeRoom::Queue),
            eof: false,
        }
    }

    /// Takes events and Node's messages until there are none.
    pub fn poll(&mut self, now: Timestamp) {
        self.poll_events(now);
        while let Some(room) = self.room
            && let Some(message) = self.connection.poll_node(room)
        {
            if let (ToNode::Established { .. }, Some((lease, protocols))) = (&message, &self.admit)
            {
                let (lease, protocols) = (*lease, protocols.clone());
                self.connection.handle_node(now, ToConnection::Admit { lease, protocols });
                if let Some(app) = &mut self.app {
                    app.admitted(&mut self.connection, now);
                }
            }
            if let Some(app) = &mut self.app {
                app.node(&mut self.connection, now, &message);
            }
            self.node.push(message);
            self.poll_events(now);
        }
    }

    fn poll_events(&mut self, now: Timestamp) {
        while let Some(event) = self.connection.poll_event() {
            if let Some(app) = &mut self.app {
                app.event(&mut self.connection, now, &event);
            }
            self.events.push(event);
        }
    }

    /// Moves everything that is to be sent to the wire. Whether that was anything.
    pub fn transmit(&mut self, now: Timestamp) -> bool {
        let mut any = false;
        while let Some(bytes) = self.connection.poll_transmit(now) {
            let n = bytes.len();
            self.wire.extend(bytes);
            if let Some(sent) = &mut self.sent {
                sent.extend_from_slice(bytes);
            }
            self.connection.handle_transmitted(n);
            any = true;
            self.poll(now);
        }
        any
    }

    /// Receives one piece from `wire`. Whether that was anything.
    pub fn receive(&mut self, now: Timestamp, wire: &mut VecDeque<u8>) -> bool {
        let most = self.chunks.next();
        if wire.is_empty() {
            return false;
        }
        let Some(space) = self.connection.recv_buf() else { return false };
        let n = space.len().min(most).min(wire.len());
        for (slot, byte) in space.iter_mut().zip(wire.drain(..n)) {
            *slot = byte;
        }
        self.connection.handle_recv(now, n);
        self.poll(now);
        true
    }

    pub fn write(&mut self, stream: StreamId, data: &[u8]) -> usize {
        match self.connection.stream(stream).write(data) {
            Ok(n) => n,
            Err(WriteError::Blocked) => 0,
            Err(error) => panic!("write on {stream}: {error:?}"),
        }
    }

    /// Reads what is there, and whether the end was seen.
    pub fn read(&mut self, stream: StreamId) -> (Vec<u8>, bool) {
        let mut all = Vec::new();
        loop {
            match self.connection.stream(stream).read(usize::MAX) {
                Ok(bytes) if bytes.is_empty() => return (all, true),
                Ok(bytes) => all.extend_from_slice(&bytes),
                Err(ReadError::Blocked) => return (all, false),
                Err(error) => panic!("read on {stream}: {error:?}"),
            }
        }
    }

    /// Why the connection ended, if it did.
    pub fn closed(&self) -> Option<&CloseReason> {
        self.events.iter().find_map(|event| {
            if let ConnectionEvent::Closed { reason } = event { Some(reason) } else { None }
        })
    }

    /// The events so far that tell of lives, not of readiness.
    pub fn lifecycle(&self) -> Vec<ConnectionEvent> {
        self.events
            .iter()
            .filter(|event| {
                !matches!(event, ConnectionEvent::Readable(_) | ConnectionEvent::Writable(_))
            })
            .cloned()
            .collect()
    }
}

/// Tells `to` once that the transport of `from` has ended. Whether it did.
fn end_transport(from: &End, to: &mut End, now: Timestamp) -> bool {
    if !from.connection.is_closed() || !from.wire.is_empty() || to.eof {
        return false;
    }
    to.eof = true;
    to.connection.handle_eof(now);
    to.poll(now);
    true
}

/// Two ends and the time.
pub struct Pair {
    pub dialer: End,
    pub listener: End,
    pub now: Timestamp,
}

impl Pair {
    pub fn new(seed: u64) -> Self {
        Pair::with_config(seed, ConnectionConfig::default())
    }

    pub fn with_config(seed: u64, config: ConnectionConfig) -> Self {
        Pair::with_configs(seed, config.clone(), config)
    }

    pub fn with_configs(seed: u64, dialer: ConnectionConfig, config: ConnectionConfig) -> Self {
        let listener = End::new(Role::Listener, 2 * seed + 1, None, config);
        let expected = Some(listener.identity.peer_id());
        let dialer = End::new(Role::Dialer, 2 * seed, expected, dialer);
        Pair { dialer, listener, now: Timestamp::ZERO }
    }

    /// A pair of which each end offers these.
    pub fn offering(seed: u64, dialer: &[Secured], listener: &[Secured]) -> Self {
        let end = |role, seed, expected, offer| {
            End::offering(role, seed, expected, ConnectionConfig::default(), None, offer)
        };
        let listener = end(Role::Listener, 2 * seed + 1, None, listener);
        let expected = Some(listener.identity.peer_id());
        let dialer = end(Role::Dialer, 2 * seed, expected, dialer);
        Pair { dialer, listener, now: Timestamp::ZERO }
    }

    /// A pair whose streams run.
    pub fn established(seed: u64) -> Self {
        Pair::established_over(seed, Secured::Noise)
    }

    /// The same, secured by this.
    pub fn established_over(seed: u64, secured: Secured) -> Self {
        let mut pair = Pair::offering(seed, &[secured], &[secured]);
        pair.run();
        assert!(pair.dialer.connection.peer().is_some(), "{:?}", pair.dialer.closed());
        assert!(pair.listener.connection.peer().is_some(), "{:?}", pair.listener.closed());
        pair
    }

    /// Moves bytes both ways until nothing moves any more.
    pub fn run(&mut self) {
        loop {
            self.dialer.poll(self.now);
            self.listener.poll(self.now);
            let mut any = self.dialer.transmit(self.now);
            any |= self.listener.transmit(self.now);
            any |= self.dialer.receive(self.now, &mut self.listener.wire);
            any |= self.listener.receive(self.now, &mut self.dialer.wire);
            any |= end_transport(&self.dialer, &mut self.listener, self.now);
            any |= end_transport(&self.listener, &mut self.dialer, self.now);
            if !any {
                return;
            }
        }
    }

    /// Like [`Pair::run`], but an end sends only when it has received all there was, so that how
    /// its input is cut does not change when it sends.
    pub fn run_in_turns(&mut self) {
        loop {
            self.dialer.poll(self.now);
            let mut any = self.dialer.transmit(self.now);
            while self.listener.receive(self.now, &mut self.dialer.wire) {}
            self.listener.poll(self.now);
            any |= self.listener.transmit(self.now);
            while self.dialer.receive(self.now, &mut self.listener.wire) {}
            if !any {
                return;
            }
        }
    }

    /// Lets time pass, and runs.
    pub fn advance(&mut self, duration: Duration) {
        let until = self.now.saturating_add(duration);
        loop {
            self.run();
            let next = [&self.dialer, &self.listener]
                .iter()
                .filter_map(|end| end.connection.poll_timeout())
                .map(|deadline| deadline.at)
                .filter(|at| *at <= until)
                .min();
            let Some(at) = next else { break };
            assert!(at >= self.now || self.now == Timestamp::ZERO, "a deadline in the past");
            self.now = self.now.max(at);
            self.dialer.connection.handle_timeout(self.now);
            self.listener.connection.handle_timeout(self.now);
            for end in [&mut self.dialer, &mut self.listener] {
                end.poll(self.now);
                if let Some(deadline) = end.connection.poll_timeout() {
                    assert!(deadline.at > self.now, "{deadline:?} is not after {:?}", self.now);
                }
            }
        }
        self.now = until;
        self.run();
    }

    /// Opens an echo stream from the dialer and takes it at the listener.
    pub fn open_echo(&mut self) -> (StreamId, StreamId) {
        let ours = self.dialer.connection.open(self.now, &[id(ECHO)]).expect("room for a stream");
        assert_eq!(self.dialer.connection.stream(ours).read(1), Err(ReadError::Blocked));
        self.run();
        let (theirs, protocol) = self.listener.connection.accept().expect("an inbound stream");
        assert_eq!(protocol, id(ECHO));
        (ours, theirs)
    }
}

/// A remote without a [`Connection`]: its streams carry what the test writes.
pub struct Remote {
    pub mux: ByteMux,
    pub peer_id: PeerId,
    /// Sent and not received by the other end.
    pub wire: VecDeque<u8>,
    pub events: Vec<MuxEvent>,
}

impl Remote {
    pub fn new(role: Role, seed: u64) -> Self {
        let seed = Seed::from_u64(seed);
        let identity = Identity::ed25519(&seed);
        let setup = ConnectionSetup {
            role,
            security: &[Security::Noise(&identity)],
            seed: seed.derive("connection", 7),
            expected_peer: None,
            layer: None,
        };
        let mux = ByteMux::new(setup, ByteMuxConfig::default(), Timestamp::ZERO);
        let peer_id = identity.peer_id();
        Remote { mux, peer_id, wire: VecDeque::new(), events: Vec::new() }
    }

    fn poll(&mut self) {
        while let Some(event) = self.mux.poll_event() {
            self.events.push(event);
        }
    }

    /// Moves bytes between this and `end` until nothing moves.
    pub fn exchange(&mut self, end: &mut End, now: Timestamp) {
        loop {
            self.poll();
            end.poll(now);
            let mut any = end.transmit(now);
            while let Some(bytes) = self.mux.poll_transmit(now) {
                let n = bytes.len();
                self.wire.extend(bytes);
                self.mux.handle_transmitted(n);
                self.poll();
                any = true;
            }
            any |= end.receive(now, &mut self.wire);
            if !end.wire.is_empty()
                && let Some(space) = self.mux.recv_buf()
            {
                let n = space.len().min(end.wire.len());
                for (slot, byte) in space.iter_mut().zip(end.wire.drain(..n)) {
                    *slot = byte;
                }
                self.mux.handle_recv(now, n);
                any = true;
            }
            if !any {
                return;
            }
        }
    }

    /// A listener of a [`Connection`] and a dialling remote, with streams running.
    pub fn dialing(seed: u64) -> (Self, End) {
        let mut remote = Remote::new(Role::Dialer, 2 * seed);
        let mut end = End::new(Role::Listener, 2 * seed + 1, None, ConnectionConfig::default());
        remote.exchange(&mut end, Timestamp::ZERO);
        assert_eq!(end.connection.peer(), Some(remote.peer_id));
        (remote, end)
    }

    /// The other way round.
    pub fn listening(seed: u64) -> (Self, End) {
        let mut remote = Remote::new(Role::Listener, 2 * seed + 1);
        let expected = Some(remote.peer_id);
        let mut end = End::new(Role::Dialer, 2 * seed, expected, ConnectionConfig::default());
        remote.exchange(&mut end, Timestamp::ZERO);
        assert_eq!(end.connection.peer(), Some(remote.peer_id));
        (remote, end)
    }
}

/// A line of multistream-select.
pub fn line(text: &str) -> Vec<u8> {
    let mut line = vec![u8::try_from(text.len() + 1).expect("a short line")];
    line.extend_from_slice(text.as_bytes());
    line.push(b'\n');
    line
}

/// What opens a stream of this protocol.
pub fn proposal(protocol: &str) -> Vec<u8> {
    [line("/multistream/1.0.0"), line(protocol)].concat()
}
