//! Hosts joined in memory, in virtual time.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks at some events")]

pub mod hello;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use sanspeer_core::application::{AppEvent, Network};
use sanspeer_core::host::{Host, HostConfig, HostOutput};
use sanspeer_core::identity::{Identity, PeerId};
use sanspeer_core::mux::{ReadError, WriteError};
use sanspeer_core::node::{
    Answer, ArrivalId, Command, CommandId, ConnectionId, DialFailure, ListenFailure, ListenerId,
    NodeEvent, Protocol, StreamRef,
};
use sanspeer_core::protocol::ProtocolId;
use sanspeer_core::rng::Seed;
use sanspeer_core::time::Timestamp;

/// A protocol of the application's in every test.
pub const ECHO: &str = "/test/echo/1.0.0";
/// 2026-01-01, in Unix seconds.
pub const UNIX_SECONDS: u64 = 1_767_225_600;

pub fn id(text: &str) -> ProtocolId {
    ProtocolId::new(text).expect("a valid protocol id")
}

pub fn identity(number: u64) -> Identity {
    Identity::ed25519(&Seed::from_u64(number))
}

/// One host, and what happened to it.
pub struct Side {
    pub host: Host,
    pub peer_id: PeerId,
    pub events: Vec<AppEvent>,
    /// Streams of remotes that are answered with what they bring.
    echoing: BTreeMap<StreamRef, Vec<u8>>,
    /// Whether [`ECHO`] is served.
    pub echo: bool,
    /// Whether the application takes its events.
    pub listens: bool,
    /// Where its dials come from.
    pub from: String,
}

impl Side {
    pub fn new(number: u64, config: HostConfig, protocols: Vec<Box<dyn Protocol>>) -> Self {
        let identity = identity(number);
        let peer_id = identity.peer_id();
        let seed = Seed::from_u64(number);
        let mut host = Host::new(config, identity, &seed, Timestamp::ZERO).expect("ed25519 signs");
        for protocol in protocols {
            host.add_protocol(protocol).expect("a free name");
        }
        host.handle_unix_time(Timestamp::ZERO, UNIX_SECONDS);
        Side {
            host,
            peer_id,
            events: Vec::new(),
            echoing: BTreeMap::new(),
            echo: false,
            listens: true,
            from: format!("/memory/{}", 1_000_000 + number),
        }
    }

    /// What answered a command, once.
    pub fn answer(&self, command: CommandId) -> Option<&Answer> {
        let mut answers = self.events.iter().filter_map(|event| match event {
            AppEvent::Answer { id, answer } if *id == command => Some(answer),
            _ => None,
        });
        let answer = answers.next();
        assert_eq!(answers.next(), None, "a second answer");
        answer
    }

    pub fn node_events(&self) -> impl Iterator<Item = &NodeEvent> {
        self.events.iter().filter_map(|event| match event {
            AppEvent::Node(event) => Some(event),
            _ => None,
        })
    }

    /// The names of its events about `peer`, in order.
    pub fn story(&self, of: PeerId) -> Vec<&'static str> {
        self.node_events()
            .filter_map(|event| match event {
                NodeEvent::PeerConnected { peer, .. } => (*peer == of).then_some("peer connected"),
                NodeEvent::PeerDisconnected { peer, .. } => {
                    (*peer == of).then_some("peer disconnected")
                }
                NodeEvent::ConnectionOpened { peer, .. } => (*peer == of).then_some("opened"),
                NodeEvent::ConnectionClosed { peer, .. } => (*peer == of).then_some("closed"),
                NodeEvent::PreferredConnection { peer, .. } => (*peer == of).then_some("preferred"),
                NodeEvent::Identified { peer, .. } => (*peer == of).then_some("identified"),
                _ => None,
            })
            .collect()
    }

    /// Takes the application's events, and serves what it has to. Whether there was anything.
    pub fn take_events(&mut self, now: Timestamp) -> bool {
        let mut any = false;
        while self.listens
            && let Some(event) = self.host.poll_event()
        {
            any = true;
            if self.echo
                && event == AppEvent::Inbound
                && let Some(inbound) = self.host.accept()
                && inbound.protocol == id(ECHO)
            {
                self.echoing.insert(inbound.stream, Vec::new());
            }
            self.events.push(event);
        }
        any | self.serve(now)
    }

    /// Moves what echoing streams bring. Whether that was anything.
    fn serve(&mut self, now: Timestamp) -> bool {
        let mut any = false;
        let mut over = Vec::new();
        for (stream, buffer) in &mut self.echoing {
            loop {
                while !buffer.is_empty() {
                    match self.host.write(now, *stream, buffer) {
                        Ok(n) => drop(buffer.drain(..n)),
                        Err(WriteError::Blocked) => break,
                        Err(_) => {
                            over.push(*stream);
                            break;
                        }
                    }
                    any = true;
                }
                if !buffer.is_empty() {
                    break;
                }
                match self.host.read(now, *stream, 65_536) {
                    Ok(bytes) if bytes.is_empty() => {
                        let _ = self.host.finish(now, *stream);
                        over.push(*stream);
                        break;
                    }
                    Ok(bytes) => buffer.extend_from_slice(&bytes),
                    Err(ReadError::Blocked) => break,
                    Err(_) => {
                        over.push(*stream);
                        break;
                    }
                }
                any = true;
            }
        }
        for stream in over {
            self.echoing.remove(&stream);
        }
        any
    }
}

/// One direction of a transport.
#[derive(Default)]
struct Wire {
    /// What is under way, and when it arrives.
    bytes: VecDeque<(Timestamp, VecDeque<u8>)>,
    /// The other side has closed.
    ended: bool,
    told: bool,
}

type End = (usize, ConnectionId);

/// Hosts, what joins them, and the time.
pub struct World {
    pub sides: Vec<Side>,
    pub now: Timestamp,
    /// How long bytes are under way.
    pub delay: Duration,
    /// Names that can be looked up.
    pub names: BTreeMap<String, Vec<String>>,
    /// Addresses where dials are never answered.
    pub silent: BTreeSet<String>,
    listening: BTreeMap<String, (usize, ListenerId)>,
    arrivals: BTreeMap<(usize, ArrivalId), End>,
    /// What goes to each end, and its other end.
    wires: BTreeMap<End, (End, Wire)>,
    /// Everything that hosts wanted of the world.
    pub outputs: Vec<(usize, HostOutput)>,
    /// What each has sent.
    pub sent: Vec<Vec<u8>>,
}

impl World {
    /// Hosts with these numbers, which listen at `/memory/<number>` and serve [`ECHO`].
    pub fn new(numbers: &[u64]) -> Self {
        World::with_configs(numbers.iter().map(|number| (*number, HostConfig::default())).collect())
    }

    pub fn with_configs(configs: Vec<(u64, HostConfig)>) -> Self {
        let sides =
            configs.into_iter().map(|(number, config)| Side::new(number, config, Vec::new()));
        World::of(sides.collect())
    }

    pub fn of(sides: Vec<Side>) -> Self {
        let count = sides.len();
        let mut world = World {
            sides,
            now: Timestamp::ZERO,
            delay: Duration::ZERO,
            names: BTreeMap::new(),
            silent: BTreeSet::new(),
            listening: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            wires: BTreeMap::new(),
            outputs: Vec::new(),
            sent: vec![Vec::new(); count],
        };
        for side in 0..count {
            world.request(side, Command::AddProtocol(id(ECHO)));
            world.sides[side].echo = true;
        }
        world
    }

    /// Listens at `/memory/<port>`.
    pub fn listen(&mut self, side: usize, port: u64) -> String {
        let address = format!("/memory/{port}");
        let command = self.request(side, Command::Listen(address.parse().expect("an address")));
        self.run();
        assert!(matches!(self.sides[side].answer(command), Some(Answer::Listening { .. })));
        address
    }

    pub fn request(&mut self, side: usize, command: Command) -> CommandId {
        self.sides[side].host.request(self.now, command)
    }

    /// Asks, runs, and gives the answer.
    pub fn ask(&mut self, side: usize, command: Command) -> Answer {
        let command = self.request(side, command);
        self.run();
        self.sides[side].answer(command).expect("an answer").clone()
    }

    /// Connects to whoever is there.
    pub fn connect(&mut self, side: usize, address: &str) -> Answer {
        let addresses = vec![address.parse().expect("an address")];
        self.ask(side, Command::Connect { peer: None, addresses })
    }

    /// Sends `data` on an echo stream, and returns what comes back.
    pub fn echo(&mut self, side: usize, peer: PeerId, data: &[u8]) -> Vec<u8> {
        let now = self.now;
        let host = &mut self.sides[side].host;
        let stream = host.open(now, &peer, &[id(ECHO)]).expect("a connected peer");
        let (mut sent, mut heard) = (0, Vec::new());
        for _ in 0..100_000 {
            let now = self.now;
            let host = &mut self.sides[side].host;
            while sent < data.len()
                && let Ok(n) = host.write(now, stream, &data[sent..])
            {
                sent += n;
            }
            if sent == data.len() {
                host.finish(now, stream).expect("an open stream");
            }
            match host.read(now, stream, 65_536) {
                Ok(bytes) if bytes.is_empty() => return heard,
                Ok(bytes) => heard.extend_from_slice(&bytes),
                Err(ReadError::Blocked) => self.step(Timestamp::MAX),
                Err(error) => panic!("{error}"),
            }
        }
        panic!("no end of the echo");
    }

    /// Lets everybody do what can be done without time passing.
    pub fn run(&mut self) {
        loop {
            let mut any = false;
            for side in 0..self.sides.len() {
                any |= self.sides[side].take_events(self.now);
                while let Some(output) = self.sides[side].host.poll_output() {
                    any = true;
                    self.outputs.push((side, output.clone()));
                    self.apply(side, output);
                }
                any |= self.transmit(side);
            }
            any |= self.receive();
            if !any {
                return;
            }
        }
    }

    fn apply(&mut self, side: usize, output: HostOutput) {
        let now = self.now;
        match output {
            HostOutput::Listen { listener, address } => {
                let text = address.to_string();
                let host = &mut self.sides[side].host;
                let holder = *self.listening.entry(text).or_insert((side, listener));
                if holder == (side, listener) {
                    host.handle_listening(now, listener, address);
                } else {
                    host.handle_listen_failed(now, listener, ListenFailure::AddressInUse);
                }
            }
            HostOutput::Unlisten(listener) => {
                self.listening.retain(|_, entry| *entry != (side, listener));
            }
            HostOutput::Dial { connection, address } => {
                if self.silent.contains(&address.to_string()) {
                    return;
                }
                let Some((other, listener)) = self.listening.get(&address.to_string()).copied()
                else {
                    let failure = DialFailure::Refused;
                    return self.sides[side].host.handle_dial_failed(now, connection, failure);
                };
                let from = self.sides[side].from.parse().expect("an address");
                let arrival = self.sides[other].host.handle_arrival(now, listener, from);
                self.arrivals.insert((other, arrival), (side, connection));
            }
            HostOutput::Accept { arrival, connection } => {
                let dialer = self.arrivals.remove(&(side, arrival)).expect("an arrival");
                if !self.sides[dialer.0].host.begin(now, dialer.1, None) {
                    return self.sides[side].host.handle_arrival_gone(now, arrival);
                }
                let listener = (side, connection);
                assert!(self.sides[side].host.begin(now, connection, None));
                self.wires.insert(dialer, (listener, Wire::default()));
                self.wires.insert(listener, (dialer, Wire::default()));
            }
            HostOutput::Reject { arrival, .. } => {
                let (dialer, connection) =
                    self.arrivals.remove(&(side, arrival)).expect("an arrival");
                let failure = DialFailure::Refused;
                self.sides[dialer].host.handle_dial_failed(now, connection, failure);
            }
            HostOutput::CancelDial(_) => {}
            HostOutput::LookUp { lookup, address } => {
                let found = self.names.get(&address.to_string()).cloned().unwrap_or_default();
                let found = found.iter().map(|text| text.parse().expect("an address")).collect();
                self.sides[side].host.handle_looked_up(now, lookup, found);
            }
            HostOutput::Close(connection) => {
                let Some((other, _)) = self.wires.get(&(side, connection)) else { return };
                let other = *other;
                if let Some((_, wire)) = self.wires.get_mut(&other) {
                    wire.ended = true;
                }
            }
        }
    }

    fn transmit(&mut self, side: usize) -> bool {
        let mut any = false;
        let (now, arrives) = (self.now, self.now.saturating_add(self.delay));
        let host = &mut self.sides[side].host;
        while let Some(connection) = host.poll_sendable() {
            while let Some(bytes) = host.poll_transmit(now, connection) {
                let n = bytes.len();
                self.sent[side].extend_from_slice(bytes);
                let other = self.wires.get(&(side, connection)).map(|(other, _)| *other);
                if let Some((_, wire)) = other.and_then(|other| self.wires.get_mut(&other)) {
                    wire.bytes.push_back((arrives, bytes.iter().copied().collect()));
                }
                host.handle_transmitted(now, connection, n);
                any = true;
            }
        }
        any
    }

    fn receive(&mut self) -> bool {
        let mut any = false;
        for ((side, connection), (_, wire)) in &mut self.wires {
            let host = &mut self.sides[*side].host;
            while let Some((at, bytes)) = wire.bytes.front_mut()
                && *at <= self.now
            {
                let Some(space) = host.recv_buf(*connection) else { break };
                let n = space.len().min(bytes.len());
                for (slot, byte) in space.iter_mut().zip(bytes.drain(..n)) {
                    *slot = byte;
                }
                if bytes.is_empty() {
                    wire.bytes.pop_front();
                }
                host.handle_recv(self.now, *connection, n);
                any = true;
            }
            if wire.ended && wire.bytes.is_empty() && !wire.told {
                wire.told = true;
                host.handle_eof(self.now, *connection);
                any = true;
            }
        }
        any
    }

    /// Runs, and goes on to the next moment at which something happens, at most to `until`.
    pub fn step(&mut self, until: Timestamp) {
        self.run();
        // What has arrived and is not read waits for its reader.
        let wires = self.wires.values().filter_map(|(_, wire)| Some(wire.bytes.front()?.0));
        let wires = wires.filter(|at| *at > self.now);
        let deadlines = self.sides.iter().filter_map(|side| Some(side.host.poll_timeout()?.at));
        let Some(at) = wires.chain(deadlines).filter(|at| *at <= until).min() else {
            self.now = if until == Timestamp::MAX { self.now } else { until };
            return;
        };
        self.now = self.now.max(at);
        let at = self.now;
        for side in &mut self.sides {
            if side.host.poll_timeout().is_some_and(|deadline| deadline.at <= at) {
                side.host.handle_timeout(at);
                let next = side.host.poll_timeout();
                assert!(next.is_none_or(|next| next.at > at), "{next:?} is not after {at:?}");
            }
        }
        self.run();
    }

    /// Lets time pass.
    pub fn advance(&mut self, duration: Duration) {
        let until = self.now.saturating_add(duration);
        while self.now < until {
            self.step(until);
        }
        self.run();
    }

    /// Whom each of these is connected to, as `Peers` says.
    pub fn peers(&mut self, side: usize) -> Vec<PeerId> {
        match self.ask(side, Command::Peers) {
            Answer::Peers(peers) => peers.into_iter().map(|summary| summary.peer).collect(),
            answer => panic!("{answer:?}"),
        }
    }
}
