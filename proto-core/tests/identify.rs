//! Two Identify machines over a network that delivers in any order that streams allow.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use multiaddr::{Multiaddr, Protocol as Part};
use proptest::prelude::*;
use sanspeer_core::identify::{Identify, IdentifyConfig, IdentifyEvent};
use sanspeer_core::identity::{Identity, PeerId};
use sanspeer_core::mailbox::{OpenFailure, RequestId, StreamEnd};
use sanspeer_core::mux::{Role, StreamId};
use sanspeer_core::node::{ConnectionId, Protocol, ProtocolInput, ProtocolOutput, StreamRef};
use sanspeer_core::protocol::ProtocolId;
use sanspeer_core::rng::Seed;
use sanspeer_core::time::Timestamp;

fn tcp(port: u16) -> Multiaddr {
    Multiaddr::from(Part::Tcp(port))
}

fn identity(side: usize) -> Identity {
    Identity::ed25519(&Seed::from_u64(side as u64))
}

fn speaks_all() -> Vec<ProtocolId> {
    ["/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0"]
        .map(|text| ProtocolId::new(text).expect("a valid id"))
        .to_vec()
}

/// Two machines, the connections between them, and what is under way. Connections and streams have
/// the same number on both sides.
struct World {
    sides: [Identify; 2],
    peers: [PeerId; 2],
    now: Timestamp,
    connections: Vec<ConnectionId>,
    next_connection: u64,
    next_stream: u64,
    /// What each side will be told: per stream and of the connection itself, in order.
    under_way: BTreeMap<(usize, Option<StreamRef>), VecDeque<ProtocolInput>>,
    /// Streams of connections that are open.
    streams: BTreeSet<StreamRef>,
    events: [Vec<IdentifyEvent>; 2],
    penalties: usize,
}

impl World {
    fn new() -> Self {
        let config = || IdentifyConfig { agent: "two/1".into(), ..IdentifyConfig::default() };
        let mut sides = [0, 1].map(|side| Identify::new(config(), identity(side)));
        for side in &mut sides {
            side.set_unix_time(Timestamp::ZERO, 1_000);
            side.set_protocols(Timestamp::ZERO, speaks_all());
        }
        World {
            sides,
            peers: [0, 1].map(|side| identity(side).peer_id()),
            now: Timestamp::ZERO,
            connections: Vec::new(),
            next_connection: 0,
            next_stream: 0,
            under_way: BTreeMap::new(),
            streams: BTreeSet::new(),
            events: [Vec::new(), Vec::new()],
            penalties: 0,
        }
    }

    fn connect(&mut self) {
        let connection = ConnectionId(self.next_connection);
        self.next_connection += 1;
        self.connections.push(connection);
        for (side, role) in [(0, Role::Dialer), (1, Role::Listener)] {
            let first = self.connections.len() == 1;
            let peer = self.peers[1 - side];
            let address = tcp([100, 101][side]).with(Part::P2p(peer));
            let opened = ProtocolInput::ConnectionOpened { peer, connection, role, address, first };
            self.give(side, opened);
        }
    }

    /// Closes a connection; what is under way on it is lost.
    fn disconnect(&mut self, at: usize) {
        let connection = self.connections.remove(at);
        let of_it = |stream: &StreamRef| stream.connection == connection;
        let ended: Vec<StreamRef> = self.streams.iter().copied().filter(of_it).collect();
        self.under_way.retain(|(_, stream), _| !stream.is_some_and(|stream| of_it(&stream)));
        for side in [0, 1] {
            for stream in &ended {
                let (stream, end) = (*stream, StreamEnd::ConnectionClosed);
                self.give(side, ProtocolInput::StreamClosed { stream, end });
            }
            let (peer, last) = (self.peers[1 - side], self.connections.is_empty());
            self.give(side, ProtocolInput::ConnectionClosed { peer, connection, last });
        }
        self.streams.retain(|stream| stream.connection != connection);
    }

    fn give(&mut self, side: usize, input: ProtocolInput) {
        self.sides[side].handle(self.now, input);
        self.collect(side);
    }

    fn collect(&mut self, side: usize) {
        while let Some(output) = self.sides[side].poll() {
            self.carry_out(side, output);
        }
        while let Some(event) = self.sides[side].poll_event() {
            self.events[side].push(event);
        }
    }

    fn send(&mut self, side: usize, stream: Option<StreamRef>, input: ProtocolInput) {
        self.under_way.entry((side, stream)).or_default().push_back(input);
    }

    fn carry_out(&mut self, side: usize, output: ProtocolOutput) {
        let other = 1 - side;
        match output {
            ProtocolOutput::Open { request, peer, connection, protocols, .. } => {
                assert_eq!(peer, self.peers[other]);
                let connection = connection.or(self.connections.first().copied());
                self.open(side, request, connection, protocols[0].clone());
            }
            ProtocolOutput::Send { stream, frame } => {
                let frame = [&frame.head[..], &frame.body].concat().into();
                self.send(other, Some(stream), ProtocolInput::Frame { stream, frame });
            }
            ProtocolOutput::Finish(stream) => {
                if self.streams.contains(&stream) {
                    self.send(other, Some(stream), ProtocolInput::StreamFinished(stream));
                }
            }
            ProtocolOutput::Reset { stream, .. } => {
                let end = StreamEnd::Reset(0);
                self.send(other, Some(stream), ProtocolInput::StreamClosed { stream, end });
            }
            ProtocolOutput::Penalty { .. } => self.penalties += 1,
            other @ (ProtocolOutput::Close { .. }
            | ProtocolOutput::Verify { .. }
            | ProtocolOutput::Dial { .. }
            | ProtocolOutput::Protect { .. }
            | ProtocolOutput::Reply { .. }
            | ProtocolOutput::Event(_)) => panic!("{other:?}"),
        }
    }

    fn open(
        &mut self,
        side: usize,
        request: RequestId,
        connection: Option<ConnectionId>,
        protocol: ProtocolId,
    ) {
        let peer = self.peers[1 - side];
        let Some(connection) = connection.filter(|id| self.connections.contains(id)) else {
            let failure = OpenFailure::NotOpen;
            return self.send(side, None, ProtocolInput::OpenFailed { request, peer, failure });
        };
        let stream = StreamRef { connection, stream: StreamId(self.next_stream) };
        self.next_stream += 1;
        self.streams.insert(stream);
        let opened =
            ProtocolInput::StreamOpened { request, peer, stream, protocol: protocol.clone() };
        self.send(side, Some(stream), opened);
        let peer = self.peers[side];
        let inbound = ProtocolInput::InboundStream { peer, stream, protocol };
        self.send(1 - side, Some(stream), inbound);
    }

    /// Delivers one of the things under way. False if there was none.
    fn deliver(&mut self, choice: usize) -> bool {
        let Some((&at, _)) = self.under_way.iter().nth(choice % self.under_way.len().max(1)) else {
            return false;
        };
        let queue = self.under_way.get_mut(&at).expect("just found");
        let input = queue.pop_front().expect("no queue is kept empty");
        if queue.is_empty() {
            self.under_way.remove(&at);
        }
        self.give(at.0, input);
        true
    }

    /// Delivers everything and lets time pass, with everything that is due meanwhile.
    fn run(&mut self, duration: Duration) {
        let end = self.now.saturating_add(duration);
        loop {
            while self.deliver(0) {}
            let due = |side: &Identify| side.poll_timeout().map(|due| due.at);
            let next = self.sides.iter().filter_map(due).min().filter(|at| *at <= end);
            let Some(at) = next else { break };
            self.now = self.now.max(at);
            for side in [0, 1] {
                self.give(side, ProtocolInput::Timeout);
            }
        }
        self.now = end;
    }

    fn set_addresses(&mut self, side: usize, addresses: Vec<Multiaddr>) {
        self.sides[side].set_listen_addresses(self.now, addresses);
        self.collect(side);
    }

    /// Where `side` believes that the other one listens.
    fn believed(&self, side: usize) -> Option<&[Multiaddr]> {
        Some(&self.sides[side].info(&self.peers[1 - side])?.addresses)
    }
}

#[test]
fn both_learn_of_each_other_and_of_themselves() {
    let mut world = World::new();
    world.set_addresses(0, vec![tcp(1), tcp(2)]);
    world.connect();
    world.run(Duration::from_secs(1));
    let info = world.sides[1].info(&world.peers[0]).unwrap();
    assert_eq!((info.protocol_version.as_str(), info.agent.as_str()), ("ipfs/0.1.0", "two/1"));
    assert_eq!((&info.protocols, info.signed), (&speaks_all(), true));
    assert_eq!(info.addresses, [tcp(1), tcp(2)]);
    // How side 1 looks from side 0, without its peer id.
    assert_eq!(info.observed_address, Some(tcp(100)));
    for (side, port) in [(0, 101), (1, 100)] {
        let other = 1 - side;
        assert!(matches!(
            &world.events[side][..],
            [IdentifyEvent::Identified { .. }, IdentifyEvent::Observed { peer, address, .. }]
                if *peer == world.peers[other] && *address == tcp(port)
        ));
    }
}

#[test]
fn a_new_address_arrives_by_push_within_a_second() {
    let mut world = World::new();
    world.connect();
    world.run(Duration::from_secs(10));
    assert_eq!(world.believed(1), Some(&[][..]));
    world.set_addresses(0, vec![tcp(1)]);
    world.run(Duration::from_secs(1));
    assert_eq!(world.believed(1), Some(&[tcp(1)][..]));
    world.set_addresses(0, vec![]);
    world.run(Duration::from_secs(1));
    assert_eq!(world.believed(1), Some(&[][..]));
}

#[test]
fn a_peer_without_connections_is_forgotten() {
    let mut world = World::new();
    world.connect();
    world.connect();
    world.run(Duration::from_secs(1));
    world.disconnect(0);
    assert!(world.believed(0).is_some() && world.believed(1).is_some());
    world.disconnect(0);
    assert!(world.believed(0).is_none() && world.believed(1).is_none());
    world.run(Duration::from_secs(1_000));
    assert_eq!(world.sides[0].poll_timeout(), None);
}

#[derive(Clone, Debug)]
enum Step {
    Connect,
    Disconnect(usize),
    Addresses { side: usize, port: u16 },
    Deliver(usize),
    Time(Duration),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => Just(Step::Connect),
        1 => (0usize..8).prop_map(Step::Disconnect),
        2 => (0usize..2, 1u16..9).prop_map(|(side, port)| Step::Addresses { side, port }),
        10 => (0usize..100).prop_map(Step::Deliver),
        2 => (0u64..2_000).prop_map(|millis| Step::Time(Duration::from_millis(millis))),
        1 => (0u64..400).prop_map(|secs| Step::Time(Duration::from_secs(secs))),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_both_end_up_knowing_what_the_other_says(
        steps in prop::collection::vec(any_step(), 0..80),
    ) {
        let mut world = World::new();
        let mut said = [Vec::new(), Vec::new()];
        for step in steps {
            match step {
                Step::Connect if world.connections.len() < 3 => world.connect(),
                Step::Disconnect(at) if at < world.connections.len() => world.disconnect(at),
                Step::Connect | Step::Disconnect(_) => {}
                Step::Addresses { side, port } => {
                    said[side] = vec![tcp(port)];
                    world.set_addresses(side, said[side].clone());
                }
                Step::Deliver(choice) => {
                    world.deliver(choice);
                }
                Step::Time(duration) => {
                    // Only the clock and what is due: nothing is delivered.
                    world.now = world.now.saturating_add(duration);
                    for side in [0, 1] {
                        world.give(side, ProtocolInput::Timeout);
                    }
                }
            }
        }
        // Long enough for what was asked to time out, and to be asked again.
        world.run(Duration::from_secs(1_000));
        if world.connections.is_empty() {
            prop_assert!(world.believed(0).is_none() && world.believed(1).is_none());
        } else {
            for side in [0, 1] {
                prop_assert_eq!(world.believed(side), Some(&said[1 - side][..]));
            }
        }
        prop_assert_eq!(world.penalties, 0);
    }
}
