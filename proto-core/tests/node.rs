//! Node alone: whatever it is told, in whatever order and at whatever time.
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks at some outputs")]

mod host_world;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use host_world::hello::Hello;
use host_world::{id, identity};
use multiaddr::Multiaddr;
use proptest::prelude::*;
use sanspeer_core::close::{CloseReason, RefuseReason};
use sanspeer_core::identity::PeerId;
use sanspeer_core::mailbox::{
    OpenFailure, PingFailure, RequestId, StreamEnd, ToConnection, ToNode, Usage,
};
use sanspeer_core::mux::{Role, StreamId};
use sanspeer_core::node::{
    Answer, ArrivalId, Command, CommandError, CommandId, ConnectionId, ConnectionLimits,
    DialFailure, Input, ListenFailure, ListenerId, LookupId, Node, NodeConfig, NodeEvent, Output,
};
use sanspeer_core::rng::Seed;
use sanspeer_core::time::Timestamp;

fn address(text: &str) -> Multiaddr {
    text.parse().expect("an address")
}

fn peer(number: u64) -> PeerId {
    identity(number).peer_id()
}

fn node(config: NodeConfig) -> Node {
    Node::new(config, identity(1), Seed::from_u64(1), Timestamp::ZERO)
}

fn outputs(node: &mut Node, now: Timestamp, input: Input) -> Vec<Output> {
    node.handle(now, input);
    std::iter::from_fn(|| node.poll()).collect()
}

fn command(node: &mut Node, number: u64, command: Command) -> Vec<Output> {
    outputs(node, Timestamp::ZERO, Input::Command { id: CommandId(number), command })
}

fn arrive(node: &mut Node, arrival: u64, from: &str) -> Vec<Output> {
    let (arrival, listener) = (ArrivalId(arrival), ListenerId(1));
    let input = Input::Arrival { arrival, listener, remote: address(from), validated: true };
    outputs(node, Timestamp::ZERO, input)
}

fn says(node: &mut Node, connection: ConnectionId, message: ToNode) -> Vec<Output> {
    outputs(node, Timestamp::ZERO, Input::Connection { connection, message })
}

fn accepted(outputs: &[Output]) -> ConnectionId {
    match outputs {
        [Output::Accept { connection, .. }] => *connection,
        outputs => panic!("{outputs:?}"),
    }
}

/// A connection of `other`'s that is admitted, and what followed.
fn admitted(node: &mut Node, arrival: u64, other: PeerId) -> (ConnectionId, Vec<Output>) {
    let connection = accepted(&arrive(node, arrival, "/ip4/10.0.0.1/tcp/1"));
    let established = ToNode::Established { peer: other, role: Role::Listener };
    let outputs = says(node, connection, established);
    (connection, outputs)
}

#[test]
fn a_peer_is_announced_before_its_connection_may_begin() {
    let mut node = node(NodeConfig::default());
    let (connection, outputs) = admitted(&mut node, 1, peer(2));
    let place = |wanted: fn(&Output) -> bool| outputs.iter().position(wanted);
    let up = place(|output| matches!(output, Output::Event(NodeEvent::PeerConnected { .. })));
    let opened =
        place(|output| matches!(output, Output::Event(NodeEvent::ConnectionOpened { .. })));
    let admit = place(|output| {
        matches!(output, Output::Connection { message: ToConnection::Admit { .. }, .. })
    });
    let ask = place(|output| {
        matches!(output, Output::Connection { message: ToConnection::Open { .. }, .. })
    });
    assert!(up.is_some() && up < opened && opened < admit && admit < ask, "{outputs:?}");
    let usage = Usage::default();
    let closed = ToNode::Closed { reason: CloseReason::TransportEnded, usage };
    let outputs = says(&mut node, connection, closed.clone());
    let events: Vec<_> = outputs
        .iter()
        .filter_map(|output| match output {
            Output::Event(event) => Some(event),
            _ => None,
        })
        .collect();
    assert!(
        matches!(
            events[..],
            [NodeEvent::ConnectionClosed { .. }, NodeEvent::PeerDisconnected { .. }]
        ),
        "{events:?}"
    );
    assert_eq!(says(&mut node, connection, closed), [], "it is over already");
}

#[test]
fn a_late_message_of_what_is_gone_changes_nothing_and_a_late_connection_is_refused() {
    let mut node = node(NodeConfig::default());
    let gone = ConnectionId(77);
    for message in [
        ToNode::Rtt(Duration::from_millis(1)),
        ToNode::LeaseRequest { window_bytes: 1 << 30 },
        ToNode::Usage(Usage::default()),
        ToNode::Frame { stream: StreamId(1), frame: Bytes::from_static(b"late") },
        ToNode::InboundStream { stream: StreamId(1), protocol: id("/ipfs/id/1.0.0") },
        ToNode::Closed { reason: CloseReason::Requested, usage: Usage::default() },
    ] {
        assert_eq!(says(&mut node, gone, message), []);
    }
    let established = ToNode::Established { peer: peer(2), role: Role::Dialer };
    let refuse = Output::Connection {
        connection: gone,
        message: ToConnection::Refuse(RefuseReason::Policy),
    };
    assert_eq!(says(&mut node, gone, established), [refuse]);
    assert_eq!(outputs(&mut node, Timestamp::ZERO, Input::ArrivalGone(ArrivalId(9))), []);
}

#[test]
fn an_arrival_that_is_gone_when_it_is_accepted_makes_room() {
    let limits = ConnectionLimits { max_pending_inbound: 1, ..ConnectionLimits::default() };
    let mut node = node(NodeConfig { limits, ..NodeConfig::default() });
    accepted(&arrive(&mut node, 1, "/ip4/10.0.0.1/tcp/1"));
    let refused = arrive(&mut node, 2, "/ip4/10.0.0.2/tcp/1");
    let reason = RefuseReason::TooManyPending(1);
    assert!(refused.contains(&Output::Reject { arrival: ArrivalId(2), reason }), "{refused:?}");
    outputs(&mut node, Timestamp::ZERO, Input::ArrivalGone(ArrivalId(1)));
    accepted(&arrive(&mut node, 3, "/ip4/10.0.0.3/tcp/1"));
}

#[test]
fn windows_are_doubled_as_long_as_the_budget_lasts_and_given_back() {
    let mib = 1 << 20;
    let config = NodeConfig { window_budget_bytes: 3 * mib, ..NodeConfig::default() };
    let mut node = node(config);
    let (one, _) = admitted(&mut node, 1, peer(2));
    let (two, _) = admitted(&mut node, 2, peer(3));
    let granted = |outputs: &[Output]| -> Vec<(ConnectionId, u64)> {
        outputs
            .iter()
            .filter_map(|output| match output {
                Output::Connection { connection, message: ToConnection::Lease(lease) } => {
                    Some((*connection, lease.window_bytes))
                }
                _ => None,
            })
            .collect()
    };
    let ask = |bytes: u64| ToNode::LeaseRequest { window_bytes: bytes };
    let give = |bytes: u64| ToNode::LeaseReturn { window_bytes: bytes };
    assert_eq!(granted(&says(&mut node, one, ask(16 * mib))), [(one, 2 * mib)], "doubled");
    assert_eq!(granted(&says(&mut node, one, ask(4 * mib))), [(one, 4 * mib)]);
    assert_eq!(granted(&says(&mut node, two, ask(2 * mib))), [], "nothing is left");
    assert_eq!(
        granted(&says(&mut node, one, give(2 * mib))),
        [(one, 2 * mib), (two, 2 * mib)],
        "what comes back goes to who waits"
    );
    assert_eq!(granted(&says(&mut node, one, ask(4 * mib))), [(one, 3 * mib)], "what is left");
    assert_eq!(granted(&says(&mut node, one, ask(6 * mib))), []);
    let closed = ToNode::Closed { reason: CloseReason::Requested, usage: Usage::default() };
    assert_eq!(granted(&says(&mut node, two, closed)), [(one, 4 * mib)]);
    assert_eq!(granted(&says(&mut node, one, give(0))), [(one, mib)], "never below the first");
}

#[test]
fn each_connection_hears_of_a_protocol_that_comes_or_goes() {
    let mut node = node(NodeConfig::default());
    let (one, _) = admitted(&mut node, 1, peer(2));
    let (two, _) = admitted(&mut node, 2, peer(3));
    let told = |outputs: Vec<Output>| -> Vec<(ConnectionId, bool)> {
        outputs
            .into_iter()
            .filter_map(|output| match output {
                Output::Connection { connection, message: ToConnection::Protocols(table) } => {
                    Some((connection, table.get("/test/x").is_some()))
                }
                _ => None,
            })
            .collect()
    };
    let added = told(command(&mut node, 1, Command::AddProtocol(id("/test/x"))));
    assert_eq!(added, [(one, true), (two, true)]);
    let removed = told(command(&mut node, 2, Command::RemoveProtocol(id("/test/x"))));
    assert_eq!(removed, [(one, false), (two, false)]);
}

#[test]
fn listeners_are_ready_fail_and_go() {
    let mut node = node(NodeConfig { max_listeners: 2, ..NodeConfig::default() });
    let any = address("/ip4/0.0.0.0/tcp/0");
    let [Output::Listen { listener, .. }] = command(&mut node, 1, Command::Listen(any.clone()))[..]
    else {
        panic!("it listens")
    };
    let now = Timestamp::ZERO;
    let bound = [address("/ip4/127.0.0.1/tcp/5"), address("/ip4/10.0.0.1/tcp/5")];
    let mut answers = Vec::new();
    for address in &bound {
        let input = Input::Listening { listener, address: address.clone() };
        answers.extend(outputs(&mut node, now, input).into_iter().filter_map(|output| {
            if let Output::Answer { id, answer } = output { Some((id, answer)) } else { None }
        }));
    }
    let first = Answer::Listening { listener, address: bound[0].clone() };
    assert_eq!(answers, [(CommandId(1), first)], "one answer for several addresses");
    let addresses = command(&mut node, 2, Command::Addresses);
    let [Output::Answer { answer: Answer::Addresses { listening, .. }, .. }] = &addresses[..]
    else {
        panic!("{addresses:?}")
    };
    assert_eq!(listening.iter().collect::<BTreeSet<_>>(), bound.iter().collect::<BTreeSet<_>>());
    let [Output::Listen { listener: second, .. }] =
        command(&mut node, 3, Command::Listen(any.clone()))[..]
    else {
        panic!("it listens")
    };
    let full = Answer::Failed(CommandError::Limit(2));
    assert_eq!(
        command(&mut node, 4, Command::Listen(any)),
        [Output::Answer { id: CommandId(4), answer: full }]
    );
    let failure = ListenFailure::AddressInUse;
    let failed = outputs(&mut node, now, Input::ListenFailed { listener: second, failure });
    let answer = Answer::Failed(CommandError::Listen(failure));
    assert_eq!(failed, [Output::Answer { id: CommandId(3), answer }]);
    let gone = command(&mut node, 5, Command::Unlisten(listener));
    assert!(gone.contains(&Output::Unlisten(listener)));
    let events =
        gone.iter().filter(|output| matches!(output, Output::Event(NodeEvent::AddressGone { .. })));
    assert_eq!(events.count(), 2);
    let unknown = Answer::Failed(CommandError::Unknown);
    assert_eq!(
        command(&mut node, 6, Command::Unlisten(listener)),
        [Output::Answer { id: CommandId(6), answer: unknown }]
    );
}

#[test]
fn a_transport_that_lets_somebody_else_through_is_closed() {
    let mut node = node(NodeConfig::default());
    let addresses = vec![address("/memory/5")];
    let dial = command(&mut node, 1, Command::Connect { peer: Some(peer(2)), addresses });
    let [Output::Dial { connection, .. }] = dial[..] else { panic!("{dial:?}") };
    let established = ToNode::Established { peer: peer(3), role: Role::Dialer };
    let outputs = says(&mut node, connection, established);
    let (expected, found) = (Box::new(peer(2)), Box::new(peer(3)));
    let reason = CloseReason::WrongPeer { expected, found };
    let message = ToConnection::Close(reason);
    assert!(outputs.contains(&Output::Connection { connection, message }), "{outputs:?}");
    assert!(
        !outputs
            .iter()
            .any(|output| { matches!(output, Output::Event(NodeEvent::PeerConnected { .. })) })
    );
    assert!(outputs.iter().any(|output| {
        matches!(output, Output::Answer { answer: Answer::Failed(CommandError::Dial(_)), .. })
    }));
}

// Anything at all, at any time.

#[derive(Clone, Debug)]
enum Op {
    Input(Input),
    /// A message of one of the connections so far.
    Message(usize, ToNode),
    /// The next answer of a connection to a request of Node's.
    Opened(usize, u64),
    DialFailed(usize),
    Closed(usize),
    Arrival(u8, bool),
    Command(Command),
}

#[derive(Clone, Copy, Debug)]
enum Pace {
    Same,
    Later(u64),
    Earlier(u64),
    End(u64),
}

fn small_peer() -> impl Strategy<Value = PeerId> {
    // 1 is ourselves.
    (1u64..6).prop_map(peer)
}

fn some_address() -> impl Strategy<Value = Multiaddr> {
    let known = prop_oneof![
        (1u8..9).prop_map(|host| format!("/ip4/203.0.113.{host}/tcp/4001")),
        (1u8..4).prop_map(|host| format!("/ip4/10.0.0.{host}/udp/4001/quic-v1")),
        Just("/dns4/example.org/tcp/1".to_owned()),
        Just("/dnsaddr/example.org".to_owned()),
        Just("/memory/7".to_owned()),
        Just("/ip4/0.0.0.0/tcp/0".to_owned()),
    ];
    (known, proptest::option::of(small_peer())).prop_map(|(text, peer)| match peer {
        Some(peer) => address(&format!("{text}/p2p/{peer}")),
        None => address(&text),
    })
}

fn some_addresses() -> impl Strategy<Value = Vec<Multiaddr>> {
    proptest::collection::vec(some_address(), 0..4)
}

fn some_command() -> impl Strategy<Value = Command> {
    let text = proptest::sample::select(vec![
        "protect", "penalise", "close", "dial", "ask", "wake", "silence", "finish", "reset", "x",
    ]);
    let name = proptest::sample::select(vec!["a", "b", "identify", "nobody"]);
    let protocol = proptest::sample::select(vec!["/test/x", "/test/a/1.0.0", "/ipfs/ping/1.0.0"]);
    prop_oneof![
        some_address().prop_map(Command::Listen),
        (0u64..4).prop_map(|listener| Command::Unlisten(ListenerId(listener))),
        (proptest::option::of(small_peer()), some_addresses())
            .prop_map(|(peer, addresses)| Command::Connect { peer, addresses }),
        small_peer().prop_map(Command::Disconnect),
        protocol.clone().prop_map(|text| Command::AddProtocol(id(text))),
        protocol.prop_map(|text| Command::RemoveProtocol(id(text))),
        (small_peer(), some_addresses())
            .prop_map(|(peer, addresses)| Command::AddAddresses { peer, addresses }),
        some_address().prop_map(Command::AddExternalAddress),
        some_address().prop_map(Command::RemoveExternalAddress),
        (small_peer(), any::<bool>())
            .prop_map(|(peer, protect)| Command::Protect { peer, protect }),
        Just(Command::Peers),
        Just(Command::Addresses),
        (name, text).prop_map(|(name, text)| Command::Protocol {
            name: name.to_owned(),
            command: Bytes::from_static(text.as_bytes()),
        }),
    ]
}

fn some_message() -> impl Strategy<Value = ToNode> {
    let stream = (0u64..4).prop_map(StreamId);
    let protocol = proptest::sample::select(vec![
        "/test/a/1.0.0",
        "/test/b/1.0.0",
        "/ipfs/id/1.0.0",
        "/ipfs/id/push/1.0.0",
        "/test/unknown",
    ]);
    let request = (0u64..20).prop_map(RequestId);
    let frame = prop_oneof![Just(Bytes::from_static(b"hello")), Just(Bytes::from_static(b"\x0a"))];
    prop_oneof![
        4 => small_peer().prop_map(|peer| ToNode::Established { peer, role: Role::Dialer }),
        1 => any::<u64>().prop_map(|nanos| ToNode::Rtt(Duration::from_nanos(nanos))),
        1 => Just(ToNode::PingFailed(PingFailure::TimedOut)),
        2 => any::<u64>().prop_map(|window_bytes| ToNode::LeaseRequest { window_bytes }),
        1 => any::<u64>().prop_map(|window_bytes| ToNode::LeaseReturn { window_bytes }),
        2 => (0u64..3, 0u32..2).prop_map(|(application_streams, open_application_streams)| {
            ToNode::Usage(Usage {
                application_streams,
                open_application_streams,
                ..Usage::default()
            })
        }),
        1 => (request.clone(), stream.clone(), protocol.clone()).prop_map(
            |(request, stream, protocol)| ToNode::StreamOpened {
                request,
                stream,
                protocol: id(protocol),
            }
        ),
        1 => request.clone().prop_map(|request| ToNode::OpenFailed {
            request,
            failure: OpenFailure::TimedOut,
        }),
        3 => (stream.clone(), protocol)
            .prop_map(|(stream, protocol)| ToNode::InboundStream { stream, protocol: id(protocol) }),
        3 => (stream.clone(), frame).prop_map(|(stream, frame)| ToNode::Frame { stream, frame }),
        1 => (stream.clone(), any::<u64>())
            .prop_map(|(stream, bytes)| ToNode::Sent { stream, bytes }),
        1 => stream.clone().prop_map(ToNode::StreamFinished),
        1 => stream.prop_map(|stream| ToNode::StreamClosed { stream, end: StreamEnd::Finished }),
        1 => request.prop_map(|request| ToNode::Verified { request, valid: true }),
    ]
}

fn some_op() -> impl Strategy<Value = Op> {
    let listener = (0u64..4).prop_map(ListenerId);
    let input = prop_oneof![
        (listener.clone(), some_address())
            .prop_map(|(listener, address)| Input::Listening { listener, address }),
        (listener.clone(), some_address())
            .prop_map(|(listener, address)| Input::AddressGone { listener, address }),
        listener.prop_map(|listener| Input::ListenFailed {
            listener,
            failure: ListenFailure::AddressInUse,
        }),
        (0u64..20).prop_map(|arrival| Input::ArrivalGone(ArrivalId(arrival))),
        (0u64..10, some_addresses()).prop_map(|(lookup, addresses)| Input::LookedUp {
            lookup: LookupId(lookup),
            addresses,
        }),
        any::<u64>().prop_map(|seconds| Input::UnixTime { seconds }),
        Just(Input::Timeout),
        Just(Input::Timeout),
    ];
    prop_oneof![
        4 => input.prop_map(Op::Input),
        12 => (any::<usize>(), some_message()).prop_map(|(at, message)| Op::Message(at, message)),
        3 => (any::<usize>(), 10u64..14).prop_map(|(at, stream)| Op::Opened(at, stream)),
        1 => any::<usize>().prop_map(Op::DialFailed),
        2 => any::<usize>().prop_map(Op::Closed),
        5 => (0u8..8, any::<bool>()).prop_map(|(host, validated)| Op::Arrival(host, validated)),
        6 => some_command().prop_map(Op::Command),
    ]
}

fn some_pace() -> impl Strategy<Value = Pace> {
    prop_oneof![
        6 => Just(Pace::Same),
        6 => (0u64..20_000_000_000).prop_map(Pace::Later),
        1 => any::<u64>().prop_map(Pace::Later),
        1 => any::<u64>().prop_map(Pace::Earlier),
        1 => (0u64..3).prop_map(Pace::End),
    ]
}

/// What must hold of everything that comes out.
struct Model {
    node: Node,
    now: Timestamp,
    /// The latest time that Node was told.
    told: Timestamp,
    limits: ConnectionLimits,
    next_command: u64,
    next_arrival: u64,
    answers: BTreeMap<CommandId, u32>,
    /// Accepted and dialled ones that are not over, with their roles.
    live: BTreeMap<ConnectionId, Role>,
    ids: Vec<ConnectionId>,
    open: BTreeMap<ConnectionId, PeerId>,
    closed: BTreeSet<ConnectionId>,
    up: BTreeMap<PeerId, ConnectionId>,
    requests: BTreeMap<ConnectionId, Vec<RequestId>>,
}

impl Model {
    fn new() -> Self {
        let limits = ConnectionLimits {
            max_connections: 5,
            max_inbound: 3,
            max_outbound: 3,
            max_pending_inbound: 4,
            max_per_peer: 2,
            max_per_host: 3,
            arrival_burst: 200,
            ..ConnectionLimits::default()
        };
        let config = NodeConfig {
            limits: limits.clone(),
            validate_threshold: 2,
            window_budget_bytes: 5_000_000,
            ..NodeConfig::default()
        };
        let mut node = node(config);
        for name in ["a", "b"] {
            node.add_protocol(Hello::boxed(name)).expect("a free name");
        }
        Model {
            node,
            now: Timestamp::ZERO,
            told: Timestamp::ZERO,
            limits,
            next_command: 0,
            next_arrival: 0,
            answers: BTreeMap::new(),
            live: BTreeMap::new(),
            ids: vec![ConnectionId(999)],
            open: BTreeMap::new(),
            closed: BTreeSet::new(),
            up: BTreeMap::new(),
            requests: BTreeMap::new(),
        }
    }

    fn go(&mut self, pace: Pace) -> Timestamp {
        let at = match pace {
            Pace::Same => self.now.0,
            Pace::Later(nanos) => self.now.0.saturating_add(nanos),
            Pace::Earlier(nanos) => return Timestamp(self.now.0.saturating_sub(nanos)),
            Pace::End(nanos) => u64::MAX - nanos,
        };
        self.now = self.now.max(Timestamp(at));
        self.now
    }

    fn pick(&self, at: usize) -> ConnectionId {
        self.ids[at % self.ids.len()]
    }

    fn apply(&mut self, now: Timestamp, op: Op) {
        let input = match op {
            Op::Input(input) => input,
            Op::Message(at, message) => Input::Connection { connection: self.pick(at), message },
            Op::Opened(at, stream) => {
                let connection = self.pick(at);
                let requests = self.requests.entry(connection).or_default();
                let Some(request) = requests.pop() else { return };
                let (stream, protocol) = (StreamId(stream), id("/test/a/1.0.0"));
                let message = ToNode::StreamOpened { request, stream, protocol };
                Input::Connection { connection, message }
            }
            Op::DialFailed(at) => {
                let failure = DialFailure::Refused;
                Input::DialFailed { connection: self.pick(at), failure }
            }
            Op::Closed(at) => return self.close(now, self.pick(at)),
            Op::Arrival(host, validated) => {
                let (arrival, listener) = (ArrivalId(self.next_arrival), ListenerId(1));
                self.next_arrival += 1;
                let remote = address(&format!("/ip4/198.51.100.{host}/tcp/1"));
                Input::Arrival { arrival, listener, remote, validated }
            }
            Op::Command(command) => {
                let id = CommandId(self.next_command);
                self.next_command += 1;
                self.answers.insert(id, 0);
                Input::Command { id, command }
            }
        };
        self.input(now, input);
    }

    fn close(&mut self, now: Timestamp, connection: ConnectionId) {
        let reason = CloseReason::TransportEnded;
        let message = ToNode::Closed { reason, usage: Usage::default() };
        self.input(now, Input::Connection { connection, message });
        self.live.remove(&connection);
    }

    fn input(&mut self, now: Timestamp, input: Input) {
        let timeout = input == Input::Timeout;
        self.told = self.told.max(now);
        self.node.handle(now, input);
        let mut count = 0;
        while let Some(output) = self.node.poll() {
            self.check(output);
            count += 1;
            assert!(count < 2000, "an input caused too much");
        }
        if timeout {
            let next = self.node.poll_timeout();
            // At the end of time nothing can be later.
            assert!(
                next.is_none_or(|next| next.at > self.told || next.at == Timestamp::MAX),
                "{next:?} is not after {:?}",
                self.told
            );
        }
        self.check_limits();
    }

    fn check(&mut self, output: Output) {
        match output {
            Output::Answer { id, .. } => {
                let count = self.answers.get_mut(&id).expect("a command");
                *count += 1;
                assert_eq!(*count, 1, "{id:?} is answered twice");
            }
            Output::Accept { connection, .. } => self.begun(connection, Role::Listener),
            Output::Dial { connection, .. } => self.begun(connection, Role::Dialer),
            Output::CancelDial(connection) => {
                assert_eq!(self.live.remove(&connection), Some(Role::Dialer));
                assert!(!self.open.contains_key(&connection), "it is open");
            }
            Output::Connection { connection, message } => self.heard(connection, message),
            Output::Event(event) => self.event(event),
            Output::Listen { .. }
            | Output::Unlisten(_)
            | Output::Reject { .. }
            | Output::Validate(_)
            | Output::LookUp { .. } => {}
        }
    }

    fn begun(&mut self, connection: ConnectionId, role: Role) {
        assert!(!self.ids.contains(&connection), "an id is used twice");
        self.ids.push(connection);
        self.live.insert(connection, role);
    }

    fn heard(&mut self, connection: ConnectionId, message: ToConnection) {
        match message {
            // Whoever comes late is refused, whoever he is.
            ToConnection::Refuse(_) => {}
            ToConnection::Close(_) => assert!(self.live.contains_key(&connection)),
            ToConnection::Open { request, .. } => {
                assert!(self.open.contains_key(&connection), "it is not open");
                self.requests.entry(connection).or_default().push(request);
            }
            _ => assert!(self.open.contains_key(&connection), "it is not open"),
        }
    }

    fn event(&mut self, event: NodeEvent) {
        match event {
            NodeEvent::PeerConnected { peer, connected } => {
                assert_ne!(peer, self.node.peer_id());
                assert_eq!(self.up.insert(peer, connected.connection), None, "up twice");
            }
            NodeEvent::ConnectionOpened { peer, connected } => {
                assert!(self.up.contains_key(&peer), "before the peer is");
                assert!(self.live.contains_key(&connected.connection));
                assert_eq!(self.open.insert(connected.connection, peer), None, "open twice");
            }
            NodeEvent::ConnectionClosed { peer, connection, .. } => {
                assert_eq!(self.open.remove(&connection), Some(peer));
                assert!(self.closed.insert(connection), "closed twice");
            }
            NodeEvent::PeerDisconnected { peer, .. } => {
                assert!(self.up.remove(&peer).is_some(), "down, and was not up");
                assert!(self.open.values().all(|open| *open != peer), "it has connections");
            }
            NodeEvent::PreferredConnection { peer, connection } => {
                assert_eq!(self.open.get(&connection), Some(&peer));
                self.up.insert(peer, connection).expect("a peer that is up");
            }
            _ => {}
        }
    }

    fn check_limits(&self) {
        let count =
            |role: Role| self.open.keys().filter(|id| self.live.get(id) == Some(&role)).count();
        let (inbound, outbound) = (count(Role::Listener), count(Role::Dialer));
        assert!(inbound <= self.limits.max_inbound as usize);
        assert!(outbound <= self.limits.max_outbound as usize);
        assert!(inbound + outbound <= self.limits.max_connections as usize);
        for peer in self.up.keys() {
            let of_peer = self.open.values().filter(|open| *open == peer).count();
            assert!((1..=self.limits.max_per_peer as usize).contains(&of_peer));
        }
        for (peer, preferred) in &self.up {
            assert_eq!(self.open.get(preferred), Some(peer), "the preferred one is open");
        }
    }

    /// Shuts down, and ends every connection.
    fn end(mut self) {
        let now = self.now;
        self.apply(now, Op::Command(Command::Shutdown));
        self.apply(now, Op::Command(Command::Peers));
        for connection in self.live.keys().copied().collect::<Vec<_>>() {
            self.close(now, connection);
        }
        assert!(self.open.is_empty() && self.up.is_empty(), "{:?} {:?}", self.open, self.up);
        let unanswered: Vec<_> = self.answers.iter().filter(|(_, count)| **count != 1).collect();
        assert!(unanswered.is_empty(), "{unanswered:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn whatever_it_is_told_its_promises_hold(
        ops in proptest::collection::vec((some_pace(), some_op()), 0..200),
    ) {
        let mut model = Model::new();
        for (pace, op) in ops {
            let now = model.go(pace);
            model.apply(now, op);
        }
        model.end();
    }

    #[test]
    fn the_same_inputs_lead_to_the_same_outputs(
        ops in proptest::collection::vec((some_pace(), some_op()), 0..100),
    ) {
        let mut model = Model::new();
        let mut inputs = Vec::new();
        for (pace, op) in ops {
            let now = model.go(pace);
            if let Op::Input(input) = op {
                inputs.push((now, input));
            } else if let Op::Command(command) = op {
                let id = CommandId(inputs.len() as u64);
                inputs.push((now, Input::Command { id, command }));
            } else if let Op::Message(at, message) = op {
                let connection = ConnectionId(at as u64 % 8);
                inputs.push((now, Input::Connection { connection, message }));
            }
        }
        let run = || {
            let mut node = node(NodeConfig::default());
            node.add_protocol(Hello::boxed("a")).expect("a free name");
            let mut lines = Vec::new();
            for (now, input) in &inputs {
                // What is logged is read back.
                let text = serde_json::to_string(input).expect("plain values");
                let read: Input = serde_json::from_str(&text).expect("plain values");
                assert_eq!(read, *input);
                for output in outputs(&mut node, *now, read) {
                    lines.push(serde_json::to_string(&output).expect("plain values"));
                }
                lines.push(format!("{:?}", node.poll_timeout()));
            }
            lines
        };
        prop_assert_eq!(run(), run());
    }
}
