//! Gossip machines joined in virtual time: frames between machines, no crypto and no transport.
//!
//! A [`World`] has nodes, each a [`Gossip`], and puppets: peers that a test plays by hand, which
//! say what they are told to ([`World::say`]) and remember what they hear ([`World::heard`]).
//! What connections and Node do between two machines is done here: streams are negotiated, frames
//! take their time, credit comes back, connections end.
#![allow(dead_code, unused_imports, unreachable_pub, reason = "each test file uses a part of it")]

mod link;
mod puppet;
mod side;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use sanspeer_core::gossip::{
    Gossip, GossipConfig, GossipEvent, Message, Published, SignatureCheck, Topic,
};
use sanspeer_core::identity::{Identity, PeerId};
use sanspeer_core::mailbox::{Frame, OpenFailure, RequestId, StreamEnd};
use sanspeer_core::mux::{Role, StreamId};
use sanspeer_core::node::{ConnectionId, Protocol, ProtocolInput, ProtocolOutput, StreamRef};
use sanspeer_core::protocol::ProtocolId;
use sanspeer_core::rng::{Rng, Seed};
use sanspeer_core::time::Timestamp;
use sha2::{Digest, Sha256};

pub use link::{Link, Speed};
pub use puppet::{Heard, Puppet};
pub use side::{Kind, Side};

/// A topic of this name.
pub fn topic(name: &str) -> Topic {
    Topic::new(name).expect("a valid topic")
}

pub fn protocol(id: &str) -> ProtocolId {
    ProtocolId::new(id).expect("a valid protocol id")
}

pub const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A stream between two sides; both call it the same.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Who opened it, and speaks on it.
    pub from: usize,
    pub to: usize,
    pub protocol: ProtocolId,
    finished: [bool; 2],
}

/// Machines and what is between them.
pub struct World {
    pub now: Timestamp,
    pub sides: Vec<Side>,
    pub links: BTreeMap<ConnectionId, Link>,
    pub streams: BTreeMap<StreamRef, Stream>,
    /// How long a frame takes, at least and at most.
    pub delay: (Duration, Duration),
    /// How long a connection takes to check a signature.
    pub verify_time: Duration,
    /// Whether dials lead to connections.
    pub dials_connect: bool,
    /// Frames with a message in them that were sent.
    pub copies_sent: u64,
    /// Inputs that are on their way, in the order in which they arrive.
    arriving: BTreeMap<(Timestamp, u64), (usize, ProtocolInput)>,
    timers: BTreeSet<(Timestamp, usize)>,
    numbers: BTreeMap<PeerId, usize>,
    /// The connections between two sides, the smaller number first; the oldest first.
    pairs: BTreeMap<(usize, usize), Vec<ConnectionId>>,
    rng: Rng,
    last: u64,
    chain: Sha256,
}

impl World {
    /// A world whose delays, and whose machines' seeds, follow from `seed`.
    pub fn new(seed: u64) -> Self {
        World {
            now: Timestamp::ZERO,
            sides: Vec::new(),
            links: BTreeMap::new(),
            streams: BTreeMap::new(),
            delay: (millis(1), millis(1)),
            verify_time: Duration::ZERO,
            dials_connect: false,
            copies_sent: 0,
            arriving: BTreeMap::new(),
            timers: BTreeSet::new(),
            numbers: BTreeMap::new(),
            pairs: BTreeMap::new(),
            rng: Seed::from_u64(seed).rng(),
            last: 0,
            chain: Sha256::new(),
        }
    }

    /// Frames take from `min` to `max`, each its own time, and do not overtake each other.
    pub fn with_delay(mut self, min: Duration, max: Duration) -> Self {
        self.delay = (min, max);
        self
    }

    /// Starts late: at this time.
    pub fn starting_at(mut self, now: Timestamp) -> Self {
        self.now = now;
        self
    }

    // Sides.

    /// Adds a node.
    pub fn add(&mut self, config: GossipConfig) -> usize {
        let number = self.sides.len();
        let seed = Seed::from_u64(self.rng.next_u64());
        let identity = Identity::ed25519(&Seed::from_u64(number as u64));
        let peer = identity.peer_id();
        let gossip = Gossip::new(config, identity.clone(), &seed).expect("a sound configuration");
        let mut side = Side::new(number, peer, identity, Kind::Node(Box::new(gossip)));
        side.seed = Some(seed);
        self.sides.push(side);
        self.numbers.insert(peer, number);
        number
    }

    /// Adds several nodes of one configuration.
    pub fn add_many(&mut self, count: usize, config: &GossipConfig) -> Vec<usize> {
        (0..count).map(|_| self.add(config.clone())).collect()
    }

    /// Adds a peer that the test plays, which speaks these protocols.
    pub fn add_puppet(&mut self, protocols: &[&str]) -> usize {
        let number = self.sides.len();
        let identity = Identity::ed25519(&Seed::from_u64(number as u64));
        let puppet = Puppet::new(protocols.iter().map(|id| protocol(id)).collect());
        let peer = identity.peer_id();
        self.sides.push(Side::new(number, peer, identity, Kind::Puppet(puppet)));
        self.numbers.insert(peer, number);
        number
    }

    pub fn peer(&self, side: usize) -> PeerId {
        self.sides[side].peer
    }

    /// Which side this peer is.
    pub fn side_of(&self, peer: &PeerId) -> Option<usize> {
        self.numbers.get(peer).copied()
    }

    /// The machine of a node, to be looked at.
    pub fn gossip(&self, node: usize) -> &Gossip {
        match &self.sides[node].kind {
            Kind::Node(gossip) => gossip,
            Kind::Puppet(_) => panic!("side {node} is no node"),
        }
    }

    /// Calls the machine of a node, and does what it wants then.
    pub fn with<T>(&mut self, node: usize, call: impl FnOnce(&mut Gossip, Timestamp) -> T) -> T {
        let now = self.now;
        let result = match &mut self.sides[node].kind {
            Kind::Node(gossip) => call(gossip, now),
            Kind::Puppet(_) => panic!("side {node} is no node"),
        };
        self.drain(node);
        result
    }

    pub fn subscribe(&mut self, node: usize, topic: &Topic) {
        self.with(node, |gossip, now| gossip.subscribe(now, topic)).expect("room for a topic");
    }

    pub fn unsubscribe(&mut self, node: usize, topic: &Topic) {
        assert!(self.with(node, |gossip, now| gossip.unsubscribe(now, topic)), "was in it");
    }

    pub fn publish(&mut self, node: usize, topic: &Topic, data: impl Into<Bytes>) -> Published {
        let data = data.into();
        self.with(node, |gossip, now| gossip.publish(now, topic, data))
            .expect("somebody to send to")
    }

    /// The events of a node since they were last asked for.
    pub fn take_events(&mut self, node: usize) -> Vec<GossipEvent> {
        core::mem::take(&mut self.sides[node].events)
    }

    /// The messages that a node had as events, since its events were last asked for.
    pub fn messages(&self, node: usize) -> Vec<&Message> {
        let events = self.sides[node].events.iter();
        let messages = events.filter_map(|event| match event {
            GossipEvent::Message { message, .. } => Some(message),
            GossipEvent::Subscribed { .. }
            | GossipEvent::Unsubscribed { .. }
            | GossipEvent::PeerSpeaks { .. }
            | GossipEvent::NotSupported { .. }
            | GossipEvent::Grafted { .. }
            | GossipEvent::Pruned { .. }
            | GossipEvent::SlowPeer { .. } => None,
        });
        messages.collect()
    }

    /// The score of a side, as a node sees it; zero if it does not know it.
    pub fn score(&self, node: usize, side: usize) -> f64 {
        let breakdown = self.gossip(node).score(&self.peer(side));
        breakdown.map_or(0.0, |breakdown| breakdown.total)
    }

    /// The sides in a node's mesh.
    pub fn mesh(&self, node: usize, topic: &Topic) -> Vec<usize> {
        let peers = self.gossip(node).mesh_peers(topic);
        let mut sides: Vec<usize> = peers.iter().filter_map(|peer| self.side_of(peer)).collect();
        sides.sort_unstable();
        sides
    }

    // Connections.

    /// Connects two sides: `from` has dialled `to`.
    pub fn connect(&mut self, from: usize, to: usize) -> ConnectionId {
        let connection = ConnectionId(self.next());
        let first = self.connections_of(from, to).is_empty();
        self.links.insert(connection, Link::new(from, to));
        self.pairs.entry((from.min(to), from.max(to))).or_default().push(connection);
        for (side, other, role) in [(from, to, Role::Dialer), (to, from, Role::Listener)] {
            let input = ProtocolInput::ConnectionOpened {
                peer: self.peer(other),
                connection,
                role,
                address: self.sides[other].address.clone(),
                first,
            };
            self.tell(side, input);
        }
        connection
    }

    /// The connections between two sides, the oldest first.
    pub fn connections_of(&self, one: usize, other: usize) -> Vec<ConnectionId> {
        self.pairs.get(&(one.min(other), one.max(other))).cloned().unwrap_or_default()
    }

    /// Ends a connection, with its streams.
    pub fn disconnect(&mut self, connection: ConnectionId) {
        let Some(link) = self.links.remove(&connection) else { return };
        if let Some(pair) = self.pairs.get_mut(&(link.from.min(link.to), link.from.max(link.to))) {
            pair.retain(|other| *other != connection);
        }
        let streams: Vec<StreamRef> =
            self.streams.keys().copied().filter(|stream| stream.connection == connection).collect();
        for stream in streams {
            self.end_stream(stream, [StreamEnd::ConnectionClosed; 2]);
        }
        // What is on its way there does not arrive, and what was asked for is refused.
        let mut refused = Vec::new();
        self.arriving.retain(|_, (side, input)| {
            if link::connection_of(input) != Some(connection) {
                return true;
            }
            if let ProtocolInput::StreamOpened { request, peer, .. } = input {
                refused.push((*side, *request, *peer));
            }
            false
        });
        for (side, request, peer) in refused {
            let failure = OpenFailure::NotOpen;
            self.tell(side, ProtocolInput::OpenFailed { request, peer, failure });
        }
        let last = self.connections_of(link.from, link.to).is_empty();
        for (side, other) in [(link.from, link.to), (link.to, link.from)] {
            let peer = self.peer(other);
            self.tell(side, ProtocolInput::ConnectionClosed { peer, connection, last });
        }
    }

    /// Ends all connections between two sides.
    pub fn disconnect_all(&mut self, one: usize, other: usize) {
        for connection in self.connections_of(one, other) {
            self.disconnect(connection);
        }
    }

    /// From now on nothing that `from` sends to `to` leaves, or everything does again.
    pub fn stall(&mut self, from: usize, to: usize, stalled: bool) {
        for connection in self.connections_of(from, to) {
            let Some(link) = self.links.get_mut(&connection) else { continue };
            link.set_speed(from, if stalled { Speed::Stalled } else { Speed::Free });
            if !stalled {
                for (stream, frame) in link.take_held(from) {
                    self.carry(stream, frame);
                }
            }
        }
    }

    /// The stream on which one side speaks to another, if it is open.
    pub fn stream_between(&self, from: usize, to: usize) -> Option<StreamRef> {
        let mut streams = self.streams.iter();
        let found = streams.find(|(_, stream)| stream.from == from && stream.to == to);
        found.map(|(stream, _)| *stream)
    }

    /// Resets a stream, as its receiver.
    pub fn reset_by_receiver(&mut self, stream: StreamRef) {
        self.end_stream(stream, [StreamEnd::Reset(0), StreamEnd::ResetByUs]);
    }

    fn end_stream(&mut self, stream: StreamRef, ends: [StreamEnd; 2]) {
        let Some(Stream { from, to, .. }) = self.streams.remove(&stream) else { return };
        for (side, end) in [from, to].into_iter().zip(ends) {
            self.tell(side, ProtocolInput::StreamClosed { stream, end });
        }
    }

    // Time.

    /// Lets time pass.
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now.saturating_add(duration);
        loop {
            let arrival = self.arriving.first_key_value().map(|((at, _), _)| *at);
            let timer = self.timers.first().map(|(at, _)| *at);
            let Some(at) = [arrival, timer].into_iter().flatten().min().filter(|at| *at <= end)
            else {
                break;
            };
            self.now = self.now.max(at);
            if arrival == Some(at) {
                let Some((_, (side, input))) = self.arriving.pop_first() else { break };
                self.tell(side, input);
            } else if let Some((_, side)) = self.timers.pop_first() {
                self.sides[side].deadline = None;
                self.tell(side, ProtocolInput::Timeout);
                let deadline = self.sides[side].deadline;
                assert!(deadline.is_none_or(|at| at > self.now), "a deadline in the past");
            }
        }
        self.now = end;
    }

    /// A hash over all that the machines wanted so far, and when.
    pub fn digest(&self) -> [u8; 32] {
        self.chain.clone().finalize().into()
    }

    // What machines want.

    /// Gives a side an input, now.
    pub fn tell(&mut self, side: usize, input: ProtocolInput) {
        let now = self.now;
        if self.sides[side].records {
            self.sides[side].inputs.push((now, input.clone()));
        }
        match &mut self.sides[side].kind {
            Kind::Node(gossip) => gossip.handle(now, input),
            Kind::Puppet(puppet) => puppet.handle(now, input),
        }
        self.drain(side);
    }

    fn tell_later(&mut self, at: Timestamp, side: usize, input: ProtocolInput) {
        let serial = self.next();
        self.arriving.insert((at, serial), (side, input));
    }

    fn drain(&mut self, number: usize) {
        loop {
            let Kind::Node(gossip) = &mut self.sides[number].kind else { return };
            if let Some(output) = gossip.poll() {
                self.note(number, &output);
                self.apply(number, output);
            } else if let Some(event) = gossip.poll_event() {
                self.chain.update(event.encode());
                self.sides[number].events.push(event);
            } else {
                break;
            }
        }
        let Kind::Node(gossip) = &self.sides[number].kind else { return };
        let deadline = gossip.poll_timeout().map(|deadline| deadline.at);
        let side = &mut self.sides[number];
        if side.deadline != deadline {
            if let Some(at) = side.deadline {
                self.timers.remove(&(at, number));
            }
            self.timers.extend(deadline.map(|at| (at, number)));
            side.deadline = deadline;
        }
    }

    fn note(&mut self, side: usize, output: &ProtocolOutput) {
        let encoded = postcard::to_stdvec(output).expect("outputs serialize");
        self.chain.update((side as u64).to_le_bytes());
        self.chain.update(self.now.0.to_le_bytes());
        self.chain.update(encoded);
        if self.sides[side].records {
            self.sides[side].outputs.push(output.clone());
        }
    }

    fn apply(&mut self, side: usize, output: ProtocolOutput) {
        match output {
            ProtocolOutput::Open { request, peer, connection, protocols, .. } => {
                self.open(side, request, &peer, connection, &protocols);
            }
            ProtocolOutput::Send { stream, frame } => self.send(side, stream, frame),
            ProtocolOutput::Finish(stream) => self.finish(side, stream),
            ProtocolOutput::Reset { stream, .. } => {
                let Some(Stream { from, .. }) = self.streams.get(&stream) else { return };
                let (us, them) = (StreamEnd::ResetByUs, StreamEnd::Reset(0));
                self.end_stream(stream, if *from == side { [us, them] } else { [them, us] });
            }
            ProtocolOutput::Close { peer, .. } => {
                if let Some(other) = self.side_of(&peer) {
                    self.disconnect_all(side, other);
                }
            }
            ProtocolOutput::Dial { peer, addresses } => {
                self.sides[side].dials.push((peer, addresses));
                self.dial(side, &peer);
            }
            ProtocolOutput::Protect { peer, protect } => {
                self.sides[side].protects.push((peer, protect));
            }
            ProtocolOutput::Penalty { peer, reason, .. } => {
                self.sides[side].penalties.push((peer, reason));
            }
            ProtocolOutput::Verify { request, public_key, message, signature, .. } => {
                let valid = SignatureCheck { public_key, message, signature }.verify().is_ok();
                let at = self.now.saturating_add(self.verify_time);
                self.tell_later(at, side, ProtocolInput::Verified { request, valid });
            }
            ProtocolOutput::Reply { .. } | ProtocolOutput::Event(_) => {}
        }
    }

    fn dial(&mut self, side: usize, peer: &PeerId) {
        match self.side_of(peer).filter(|_| self.dials_connect) {
            Some(other) if self.connections_of(side, other).is_empty() => {
                self.connect(side, other);
            }
            Some(_) => {}
            None => self.tell_later(self.now, side, ProtocolInput::DialFailed(*peer)),
        }
    }

    fn open(
        &mut self,
        from: usize,
        request: RequestId,
        peer: &PeerId,
        connection: Option<ConnectionId>,
        proposed: &[ProtocolId],
    ) {
        let peer = *peer;
        let to = self.side_of(&peer).expect("a known peer");
        let open = self.connections_of(from, to);
        let connection = connection.or(open.last().copied()).filter(|id| open.contains(id));
        let Some(connection) = connection else {
            let failure = OpenFailure::NotOpen;
            return self.tell_later(
                self.now,
                from,
                ProtocolInput::OpenFailed { request, peer, failure },
            );
        };
        let there = self.arrival(connection, from);
        let back = there.saturating_add(self.delay.1);
        let accepted = self.sides[to].accepts();
        let Some(protocol) = proposed.iter().find(|id| accepted.contains(id)).cloned() else {
            let failure = OpenFailure::UnsupportedProtocol;
            return self.tell_later(
                back,
                from,
                ProtocolInput::OpenFailed { request, peer, failure },
            );
        };
        let stream = self.add_stream(connection, from, to, protocol.clone());
        let inbound = self.peer(from);
        self.tell_later(
            there,
            to,
            ProtocolInput::InboundStream { peer: inbound, stream, protocol: protocol.clone() },
        );
        let opened = ProtocolInput::StreamOpened { request, peer, stream, protocol };
        self.tell_later(back, from, opened);
    }

    fn add_stream(
        &mut self,
        connection: ConnectionId,
        from: usize,
        to: usize,
        protocol: ProtocolId,
    ) -> StreamRef {
        let stream = StreamRef { connection, stream: StreamId(self.next()) };
        self.streams.insert(stream, Stream { from, to, protocol, finished: [false; 2] });
        stream
    }

    fn send(&mut self, side: usize, stream: StreamRef, frame: Frame) {
        let Some(Stream { from, .. }) = self.streams.get(&stream) else { return };
        assert_eq!(*from, side, "only who opened a stream speaks on it");
        // A message has its own key and length before it, which nothing else has.
        self.copies_sent += u64::from(!frame.head.is_empty());
        let Some(link) = self.links.get_mut(&stream.connection) else { return };
        if link.speed(side) == Speed::Stalled {
            return link.hold(side, stream, frame);
        }
        self.carry(stream, frame);
    }

    fn carry(&mut self, stream: StreamRef, frame: Frame) {
        let Some(Stream { from, to, .. }) = self.streams.get(&stream) else { return };
        let (from, to, bytes) = (*from, *to, frame.len() as u64);
        let sent =
            self.links.get_mut(&stream.connection).map(|link| link.sent(self.now, from, bytes));
        let frame: Bytes = match frame.head.is_empty() {
            true => frame.body,
            false => [&frame.head[..], &frame.body[..]].concat().into(),
        };
        let at = self.arrival(stream.connection, from);
        self.tell_later(at, to, ProtocolInput::Frame { stream, frame });
        let credit = ProtocolInput::Credit { stream, bytes };
        self.tell_later(sent.unwrap_or(self.now), from, credit);
    }

    fn finish(&mut self, side: usize, stream: StreamRef) {
        let Some(known) = self.streams.get_mut(&stream) else { return };
        let ours = known.from == side;
        let other = if ours { known.to } else { known.from };
        known.finished[usize::from(ours)] = true;
        if known.finished == [true; 2] {
            return self.end_stream(stream, [StreamEnd::Finished; 2]);
        }
        // It is behind what was sent.
        let at = self.arrival(stream.connection, side);
        self.tell_later(at, other, ProtocolInput::StreamFinished(stream));
    }

    /// When what `from` sends now arrives: never before what it sent earlier.
    fn arrival(&mut self, connection: ConnectionId, from: usize) -> Timestamp {
        let (min, max) = self.delay;
        let spread = u64::try_from((max - min).as_nanos()).expect("a short delay");
        let extra = if spread == 0 { 0 } else { self.rng.next_u64() % spread };
        let at = self.now.saturating_add(min).saturating_add(Duration::from_nanos(extra));
        match self.links.get_mut(&connection) {
            Some(link) => link.arrival(from, at),
            None => at,
        }
    }

    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

/// The latest version that puppets speak.
pub const LATEST: &[&str] = &["/meshsub/1.3.0"];

/// A node in a topic, with some puppets in it too.
pub fn node_with(
    world: &mut World,
    config: GossipConfig,
    puppets: usize,
) -> (usize, Topic, Vec<usize>) {
    let t = topic("t");
    let node = world.add(config);
    world.subscribe(node, &t);
    let puppets = (0..puppets).map(|_| world.add_subscriber(node, &t, LATEST)).collect();
    world.run_for(millis(50));
    (node, t, puppets)
}
