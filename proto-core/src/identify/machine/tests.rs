//! One machine against a scripted remote, and against anything at all.

use proptest::prelude::*;

use super::*;
use crate::identify::message::{MAX_FRAMES, MessageError};
use crate::mux::{Role, StreamId};
use crate::node::CommandId;
use crate::rng::Seed;

const START: Timestamp = Timestamp::from_secs(100);

fn identity(number: u64) -> Identity {
    Identity::ed25519(&Seed::from_u64(number))
}

fn peer(number: u64) -> PeerId {
    identity(number).peer_id()
}

fn tcp(port: u16) -> Multiaddr {
    Multiaddr::from(multiaddr::Protocol::Tcp(port))
}

fn id(text: &str) -> ProtocolId {
    ProtocolId::new(text).unwrap()
}

fn stream(connection: u64, stream: u64) -> StreamRef {
    StreamRef { connection: ConnectionId(connection), stream: StreamId(stream) }
}

/// What a remote says that speaks push.
fn hello() -> Message {
    Message {
        agent: Some("them/1".into()),
        protocols: vec![id(IDENTIFY), id(IDENTIFY_PUSH)],
        addresses: vec![tcp(4)],
        observed_address: Some(tcp(5)),
        ..Message::default()
    }
}

fn opened(connection: u64, of: u64) -> ProtocolInput {
    ProtocolInput::ConnectionOpened {
        peer: peer(of),
        connection: ConnectionId(connection),
        role: Role::Dialer,
        address: tcp(7),
        first: true,
    }
}

fn closed(connection: u64, of: u64) -> ProtocolInput {
    let connection = ConnectionId(connection);
    ProtocolInput::ConnectionClosed { peer: peer(of), connection, last: true }
}

fn failed(request: RequestId, failure: OpenFailure) -> ProtocolInput {
    ProtocolInput::OpenFailed { request, peer: peer(2), failure }
}

/// The machine of identity 1, and its clock.
struct World {
    identify: Identify,
    now: Timestamp,
}

impl World {
    fn new() -> Self {
        let mut identify = Identify::new(IdentifyConfig::default(), identity(1));
        identify.set_unix_time(START, 1_000);
        let mut world = World { identify, now: START };
        world.after(Duration::from_secs(1));
        world
    }

    /// Connection 1 to peer 2, who was asked on stream 1, has answered `message`, and has asked.
    fn identified(message: &Message) -> Self {
        let mut world = World::new();
        let request = request(&world.give(opened(1, 2)));
        world.open(request, stream(1, 1));
        world.finish(stream(1, 1), &[message]);
        assert_eq!(sent(&world.inbound(stream(1, 2), IDENTIFY)).len(), 1);
        world.give(ProtocolInput::StreamFinished(stream(1, 2)));
        while world.identify.poll_event().is_some() {}
        world
    }

    fn give(&mut self, input: ProtocolInput) -> Vec<ProtocolOutput> {
        self.identify.handle(self.now, input);
        self.outputs()
    }

    fn outputs(&mut self) -> Vec<ProtocolOutput> {
        core::iter::from_fn(|| self.identify.poll()).collect()
    }

    fn events(&mut self) -> Vec<IdentifyEvent> {
        core::iter::from_fn(|| self.identify.poll_event()).collect()
    }

    /// Lets time pass, with everything that is due meanwhile.
    fn after(&mut self, duration: Duration) -> Vec<ProtocolOutput> {
        let end = self.now.saturating_add(duration);
        let mut outputs = Vec::new();
        while let Some(deadline) = self.identify.poll_timeout().filter(|due| due.at <= end) {
            self.now = deadline.at;
            outputs.extend(self.give(ProtocolInput::Timeout));
            assert!(self.identify.poll_timeout().is_none_or(|next| next.at > self.now));
        }
        self.now = end;
        outputs
    }

    fn open(&mut self, request: RequestId, stream: StreamRef) -> Vec<ProtocolOutput> {
        let protocol = id(IDENTIFY);
        self.give(ProtocolInput::StreamOpened { request, peer: peer(2), stream, protocol })
    }

    fn inbound(&mut self, stream: StreamRef, protocol: &str) -> Vec<ProtocolOutput> {
        let protocol = id(protocol);
        self.give(ProtocolInput::InboundStream { peer: peer(2), stream, protocol })
    }

    /// The remote sends `messages`, a frame each, and finishes.
    fn finish(&mut self, stream: StreamRef, messages: &[&Message]) -> Vec<ProtocolOutput> {
        for message in messages {
            let frame = message.encode().into();
            assert_eq!(self.give(ProtocolInput::Frame { stream, frame }), []);
        }
        self.give(ProtocolInput::StreamFinished(stream))
    }
}

/// The one request among `outputs`.
fn request(outputs: &[ProtocolOutput]) -> RequestId {
    match outputs {
        [ProtocolOutput::Open { request, .. }] => *request,
        other => panic!("{other:?}"),
    }
}

/// The messages among `outputs`, each with its stream.
fn sent(outputs: &[ProtocolOutput]) -> Vec<(StreamRef, Message)> {
    let message = |output: &ProtocolOutput| {
        let ProtocolOutput::Send { stream, frame } = output else { return None };
        let frame = [&frame.head[..], &frame.body].concat().into();
        Some((*stream, Message::decode(&[frame]).unwrap()))
    };
    outputs.iter().filter_map(message).collect()
}

fn penalties(outputs: &[ProtocolOutput]) -> Vec<&str> {
    let mut reasons = Vec::new();
    for output in outputs {
        if let ProtocolOutput::Penalty { reason, .. } = output {
            reasons.push(reason.as_str());
        }
    }
    reasons
}

#[test]
fn a_connection_is_asked_when_it_opens_and_finished_at_once() {
    let mut world = World::new();
    let outputs = world.give(opened(1, 2));
    let ProtocolOutput::Open { request, peer: to, connection, protocols, .. } = &outputs[0] else {
        panic!("{outputs:?}");
    };
    assert_eq!((*to, *connection), (peer(2), Some(ConnectionId(1))));
    assert_eq!(*protocols, [id(IDENTIFY)]);
    let finish = ProtocolOutput::Finish(stream(1, 1));
    assert_eq!(world.open(*request, stream(1, 1)), [finish]);
    assert_eq!(world.finish(stream(1, 1), &[&hello()]), []);
    let info = world.identify.info(&peer(2)).unwrap().clone();
    assert_eq!(info.agent, "them/1");
    assert_eq!(
        world.events(),
        [
            IdentifyEvent::Identified { peer: peer(2), info },
            IdentifyEvent::Observed { peer: peer(2), connection: ConnectionId(1), address: tcp(5) },
        ]
    );
}

#[test]
fn an_answer_may_come_in_several_frames() {
    let mut world = World::new();
    let request = request(&world.give(opened(1, 2)));
    world.open(request, stream(1, 1));
    let rest = Message { agent: Some("them/2".into()), ..Message::default() };
    world.finish(stream(1, 1), &[&hello(), &rest]);
    let info = world.identify.info(&peer(2)).unwrap();
    assert_eq!((info.agent.as_str(), info.protocols.len()), ("them/2", 2));
}

#[test]
fn it_asks_again_after_the_interval_and_tells_only_what_is_new() {
    let mut world = World::identified(&hello());
    assert_eq!(world.after(Duration::from_secs(299)), []);
    assert_eq!(world.identify.poll_timeout().unwrap().reason, DeadlineReason::Identify);
    let request = request(&world.after(Duration::from_secs(1)));
    world.open(request, stream(1, 3));
    world.finish(stream(1, 3), &[&hello()]);
    assert!(matches!(world.events()[..], [IdentifyEvent::Observed { .. }]));
}

#[test]
fn whoever_asks_is_answered_with_his_address_and_a_record_of_ours() {
    let mut world = World::new();
    world.identify.set_listen_addresses(world.now, vec![tcp(1)]);
    world.give(opened(1, 2));
    let outputs = world.inbound(stream(1, 2), IDENTIFY);
    let message = sent(&outputs).remove(0).1;
    assert_eq!(outputs[1..], [ProtocolOutput::Finish(stream(1, 2))]);
    assert_eq!(message.observed_address, Some(tcp(7)));
    let record = crate::record::SignedPeerRecord::decode(&message.signed_record.unwrap()).unwrap();
    record.verify_for(peer(1)).unwrap();
    assert_eq!(record.record().addresses, [tcp(1)]);
}

#[test]
fn a_change_is_pushed_once_to_who_was_told_something_else() {
    let mut world = World::identified(&hello());
    for port in 1..5 {
        world.identify.set_listen_addresses(world.now, vec![tcp(port)]);
        world.identify.set_protocols(world.now, vec![id(&format!("/{port}"))]);
        assert_eq!(world.after(Duration::from_millis(100)), []);
    }
    let outputs = world.after(Duration::from_millis(100));
    let ProtocolOutput::Open { connection, protocols, .. } = &outputs[0] else {
        panic!("{outputs:?}");
    };
    assert_eq!((connection, &protocols[..]), (&None, &[id(IDENTIFY_PUSH)][..]));
    let pushed = world.open(request(&outputs), stream(1, 3));
    assert_eq!(sent(&pushed)[0].1.addresses, [tcp(4)]);
    assert_eq!(sent(&pushed)[0].1.protocols, [id("/4")]);
    assert_eq!(pushed[1..], [ProtocolOutput::Finish(stream(1, 3))]);
    assert_eq!(world.give(ProtocolInput::StreamFinished(stream(1, 3))), []);
    assert_eq!(world.after(Duration::from_secs(200)), []);
}

#[test]
fn a_change_during_a_push_is_pushed_behind_it() {
    let mut world = World::identified(&hello());
    world.identify.set_listen_addresses(world.now, vec![tcp(1)]);
    let first = request(&world.after(Duration::from_secs(1)));
    world.open(first, stream(1, 3));
    world.identify.set_listen_addresses(world.now, vec![tcp(2)]);
    assert_eq!(world.after(Duration::from_secs(1)), []);
    let second = request(&world.give(ProtocolInput::StreamFinished(stream(1, 3))));
    assert_eq!(sent(&world.open(second, stream(1, 5)))[0].1.addresses, [tcp(2)]);
}

#[test]
fn nothing_is_pushed_to_who_does_not_speak_it_or_never_asked() {
    let mut world = World::identified(&Message { protocols: vec![id(IDENTIFY)], ..hello() });
    world.identify.set_listen_addresses(world.now, vec![tcp(1)]);
    assert_eq!(world.after(Duration::from_secs(100)), []);

    let mut world = World::new();
    let request = request(&world.give(opened(1, 2)));
    world.open(request, stream(1, 1));
    world.finish(stream(1, 1), &[&hello()]);
    world.identify.set_listen_addresses(world.now, vec![tcp(1)]);
    assert_eq!(world.after(Duration::from_secs(100)), []);
}

#[test]
fn a_push_that_found_no_stream_is_tried_again_unless_it_is_not_spoken() {
    let mut world = World::identified(&hello());
    world.identify.set_listen_addresses(world.now, vec![tcp(1)]);
    let first = request(&world.after(Duration::from_secs(1)));
    assert_eq!(world.give(failed(first, OpenFailure::TimedOut)), []);
    let second = request(&world.after(Duration::from_secs(60)));
    assert_eq!(world.give(failed(second, OpenFailure::UnsupportedProtocol)), []);
    assert_eq!(world.after(Duration::from_secs(100)), []);
}

#[test]
fn a_push_to_us_replaces_what_is_in_it() {
    let mut world = World::identified(&hello());
    assert_eq!(world.inbound(stream(1, 4), IDENTIFY_PUSH), []);
    let part = Message { agent: Some("them/2".into()), ..Message::default() };
    let finish = ProtocolOutput::Finish(stream(1, 4));
    assert_eq!(world.finish(stream(1, 4), &[&part]), [finish]);
    let info = world.identify.info(&peer(2)).unwrap().clone();
    assert_eq!((info.agent.as_str(), info.protocols.len()), ("them/2", 2));
    assert_eq!(world.events(), [IdentifyEvent::Identified { peer: peer(2), info }]);
}

#[test]
fn an_answer_that_does_not_end_in_time_fails() {
    let mut world = World::new();
    let request = request(&world.give(opened(1, 2)));
    world.open(request, stream(1, 1));
    assert_eq!(world.identify.poll_timeout().unwrap().reason, DeadlineReason::IdentifyTimeout);
    let frame = hello().encode().into();
    world.give(ProtocolInput::Frame { stream: stream(1, 1), frame });
    let reset = ProtocolOutput::Reset { stream: stream(1, 1), code: 0 };
    assert_eq!(world.after(Duration::from_secs(60)), [reset]);
    let (connection, failure) = (ConnectionId(1), IdentifyFailure::TimedOut);
    assert_eq!(world.events(), [IdentifyEvent::Failed { peer: peer(2), connection, failure }]);
    assert!(matches!(world.after(Duration::from_secs(300))[..], [ProtocolOutput::Open { .. }]));
}

#[test]
fn a_stream_that_opens_too_late_is_reset() {
    let mut world = World::new();
    let late = request(&world.give(opened(1, 2)));
    assert_eq!(world.after(Duration::from_secs(60)), []);
    let reset = ProtocolOutput::Reset { stream: stream(1, 1), code: 0 };
    assert_eq!(world.open(late, stream(1, 1)), [reset]);
}

#[test]
fn who_cannot_be_asked_is_asked_again() {
    let mut world = World::new();
    let request = request(&world.give(opened(1, 2)));
    let failure = OpenFailure::UnsupportedProtocol;
    assert_eq!(world.give(failed(request, failure)), []);
    let (connection, failure) = (ConnectionId(1), IdentifyFailure::Open(failure));
    assert_eq!(world.events(), [IdentifyEvent::Failed { peer: peer(2), connection, failure }]);
    assert!(matches!(world.after(Duration::from_secs(300))[..], [ProtocolOutput::Open { .. }]));
}

#[test]
fn the_key_of_somebody_else_is_penalised_and_nothing_learned() {
    let mut world = World::new();
    let request = request(&world.give(opened(1, 2)));
    world.open(request, stream(1, 1));
    let key = Some(identity(3).public_key().clone());
    let outputs = world.finish(stream(1, 1), &[&Message { public_key: key, ..hello() }]);
    assert_eq!(penalties(&outputs), ["identify: the key of somebody else"]);
    assert_eq!(world.identify.info(&peer(2)), None);
}

#[test]
fn cve_2023_40583_a_record_of_another_peer_is_penalised_and_the_rest_holds() {
    let mut world = World::new();
    let request = request(&world.give(opened(1, 2)));
    world.open(request, stream(1, 1));
    let record = crate::record::SignedPeerRecord::sign(
        &identity(3),
        crate::record::RecordFormat::PeerRecord,
        1,
        vec![tcp(6)],
    );
    let signed_record = Some(record.unwrap().encode().into());
    let outputs = world.finish(stream(1, 1), &[&Message { signed_record, ..hello() }]);
    assert_eq!(penalties(&outputs).len(), 1);
    assert_eq!(world.identify.info(&peer(2)).unwrap().addresses, [tcp(4)]);
    assert_eq!(world.identify.info(&peer(3)), None);
}

#[test]
fn identify_bloat_too_many_protocols_or_frames_are_penalised() {
    for (message, frames) in [
        (Message { protocols: vec![id("/x"); 1_025], ..Message::default() }, 1),
        (Message::default(), MAX_FRAMES + 1),
    ] {
        let mut world = World::new();
        let request = request(&world.give(opened(1, 2)));
        world.open(request, stream(1, 1));
        let mut outputs = Vec::new();
        for _ in 0..frames {
            let frame = message.encode().into();
            outputs.extend(world.give(ProtocolInput::Frame { stream: stream(1, 1), frame }));
        }
        outputs.extend(world.give(ProtocolInput::StreamFinished(stream(1, 1))));
        assert_eq!(penalties(&outputs).len(), 1);
        assert!(matches!(
            world.events()[..],
            [IdentifyEvent::Failed {
                failure: IdentifyFailure::Message(
                    MessageError::TooManyProtocols(1_025) | MessageError::TooManyFrames(11)
                ),
                ..
            }]
        ));
        assert_eq!(world.identify.info(&peer(2)), None);
    }
}

#[test]
fn an_empty_stream_is_no_answer_and_no_misbehaviour() {
    let mut world = World::new();
    let request = request(&world.give(opened(1, 2)));
    world.open(request, stream(1, 1));
    assert_eq!(world.finish(stream(1, 1), &[]), []);
    let failure = IdentifyFailure::Silent;
    let connection = ConnectionId(1);
    assert_eq!(world.events(), [IdentifyEvent::Failed { peer: peer(2), connection, failure }]);
}

#[test]
fn a_frame_that_is_too_long_is_penalised() {
    let mut world = World::new();
    let request = request(&world.give(opened(1, 2)));
    world.open(request, stream(1, 1));
    let end = StreamEnd::FrameTooLong { length: 9_000, max: MAX_FRAME_BYTES };
    let outputs = world.give(ProtocolInput::StreamClosed { stream: stream(1, 1), end });
    assert_eq!(penalties(&outputs), ["identify: frame of 9000 bytes, more than 8192"]);
}

#[test]
fn inbound_streams_are_bounded_and_end_in_time() {
    let mut world = World::new();
    world.give(opened(1, 2));
    for n in 0..MAX_INBOUND_ASKS.into() {
        assert_eq!(sent(&world.inbound(stream(1, 100 + n), IDENTIFY)).len(), 1);
    }
    for n in 0..MAX_INBOUND_PUSHES.into() {
        assert_eq!(world.inbound(stream(1, 200 + n), IDENTIFY_PUSH), []);
    }
    let reset = |number| vec![ProtocolOutput::Reset { stream: stream(1, number), code: 0 }];
    assert_eq!(world.inbound(stream(1, 300), IDENTIFY), reset(300));
    assert_eq!(world.inbound(stream(1, 301), IDENTIFY_PUSH), reset(301));
    assert_eq!(world.inbound(stream(1, 302), "/other"), reset(302));
    let resets = world.after(Duration::from_secs(60));
    assert_eq!(resets.len(), (MAX_INBOUND_ASKS + MAX_INBOUND_PUSHES) as usize);
    assert_eq!(sent(&world.inbound(stream(1, 303), IDENTIFY)).len(), 1);
}

#[test]
fn the_last_connection_takes_everything_with_it() {
    let mut world = World::identified(&hello());
    world.identify.set_listen_addresses(world.now, vec![tcp(1)]);
    world.give(opened(2, 2));
    request(&world.after(Duration::from_secs(1)));
    world.inbound(stream(2, 8), IDENTIFY_PUSH);
    world.give(closed(1, 2));
    assert!(world.identify.info(&peer(2)).is_some());
    world.give(closed(2, 2));
    assert_eq!(world.identify.info(&peer(2)), None);
    let identify = &world.identify;
    assert_eq!((identify.peers.len(), identify.links.len(), identify.requests.len()), (0, 0, 0));
    assert_eq!(identify.timers.len(), 0);
    assert_eq!(identify.poll_timeout(), None);
}

#[test]
fn a_push_whose_connection_closes_moves_to_another() {
    let mut world = World::identified(&hello());
    world.give(opened(2, 2));
    world.identify.set_listen_addresses(world.now, vec![tcp(1)]);
    let first = request(&world.after(Duration::from_secs(1)));
    assert_eq!(world.give(failed(first, OpenFailure::NotOpen)), []);
    let second = request(&world.give(closed(1, 2)));
    assert_eq!(sent(&world.open(second, stream(2, 1))).len(), 1);
    world.give(opened(3, 2));
    let third = request(&world.give(closed(2, 2)));
    assert_eq!(sent(&world.open(third, stream(3, 1))).len(), 1);
}

#[test]
fn a_command_is_answered_with_nothing() {
    let mut world = World::new();
    let command = ProtocolInput::Command { id: CommandId(3), command: Bytes::new() };
    let reply = ProtocolOutput::Reply { id: CommandId(3), reply: Bytes::new() };
    assert_eq!(world.give(command), [reply]);
}

#[test]
fn at_the_end_of_time_nothing_is_due() {
    let mut world = World::new();
    world.now = Timestamp::MAX;
    world.give(opened(1, 2));
    world.identify.set_listen_addresses(world.now, vec![tcp(1)]);
    world.give(ProtocolInput::Timeout);
    assert_eq!(world.identify.poll_timeout(), None);
}

/// Anything that a node could say, in any order, with few ids so that they meet.
fn any_input() -> impl Strategy<Value = ProtocolInput> {
    let any_stream = || (0u64..4, 0u64..12).prop_map(|(c, s)| stream(c, s));
    let any_protocol =
        || prop_oneof![Just(id(IDENTIFY)), Just(id(IDENTIFY_PUSH)), Just(id("/other"))];
    let any_frame = || {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            Just(hello().encode()),
            Just(vec![0x82; 9_000]),
            (0u64..4).prop_map(|n| {
                let public_key = Some(identity(n).public_key().clone());
                Message { public_key, ..hello() }.encode()
            }),
        ]
    };
    let any_end = prop_oneof![
        Just(StreamEnd::Finished),
        Just(StreamEnd::Reset(1)),
        Just(StreamEnd::FrameTooLong { length: 9_000, max: 1 }),
        Just(StreamEnd::ConnectionClosed),
    ];
    let any_failure = prop_oneof![
        Just(OpenFailure::NotOpen),
        Just(OpenFailure::UnsupportedProtocol),
        Just(OpenFailure::TimedOut),
    ];
    prop_oneof![
        2 => (0u64..4, 1u64..4).prop_map(|(c, of)| opened(c, of)),
        1 => (0u64..4, 1u64..4).prop_map(|(c, of)| closed(c, of)),
        4 => (0u64..20, 1u64..4, any_stream(), any_protocol()).prop_map(|(n, of, stream, protocol)| {
            ProtocolInput::StreamOpened { request: RequestId(n), peer: peer(of), stream, protocol }
        }),
        1 => (0u64..20, any_failure).prop_map(|(n, failure)| failed(RequestId(n), failure)),
        4 => (1u64..4, any_stream(), any_protocol()).prop_map(|(of, stream, protocol)| {
            ProtocolInput::InboundStream { peer: peer(of), stream, protocol }
        }),
        6 => (any_stream(), any_frame()).prop_map(|(stream, frame)| {
            ProtocolInput::Frame { stream, frame: frame.into() }
        }),
        3 => any_stream().prop_map(ProtocolInput::StreamFinished),
        2 => (any_stream(), any_end).prop_map(|(stream, end)| {
            ProtocolInput::StreamClosed { stream, end }
        }),
        1 => any_stream().prop_map(|stream| ProtocolInput::Credit { stream, bytes: u64::MAX }),
        1 => Just(ProtocolInput::DialFailed(peer(2))),
        3 => Just(ProtocolInput::Timeout),
    ]
}

/// How much time passes: sometimes none, sometimes back, sometimes nearly all.
fn any_time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        8 => (0u64..2_000).prop_map(Timestamp::from_secs),
        1 => Just(Timestamp::MAX),
        1 => any::<u64>().prop_map(Timestamp),
    ]
}

fn assert_bounded(identify: &Identify) {
    for link in identify.links.values() {
        let count = |is_it: fn(&Purpose) -> bool| link.count(is_it);
        assert!(count(|it| matches!(it, Purpose::Ask(_))) <= 1);
        assert!(count(|it| matches!(it, Purpose::Push)) <= 1);
        assert!(count(|it| matches!(it, Purpose::Answer)) <= MAX_INBOUND_ASKS as usize);
        assert!(count(|it| matches!(it, Purpose::Pushed(_))) <= MAX_INBOUND_PUSHES as usize);
    }
    let (peers, links) = (identify.peers.len(), identify.links.len());
    assert!(peers <= links);
    assert_eq!(identify.peers.values().map(|peer| peer.links).sum::<usize>(), links);
    assert!(identify.requests.len() <= links + peers);
    let streams: usize = identify.links.values().map(|link| link.streams.len()).sum();
    assert!(identify.timers.len() <= links + peers + streams + 2);
}

proptest! {
    #[test]
    fn the_machine_is_total_and_bounded(
        steps in prop::collection::vec((any_time(), any_input(), prop::option::of(any::<u16>())), 0..120),
    ) {
        let mut identify = Identify::new(IdentifyConfig::default(), identity(1));
        let mut clock = Clock::default();
        for (now, input, port) in steps {
            let now_or_before = clock.advance(now);
            if let Some(port) = port {
                identify.set_listen_addresses(now, vec![tcp(port)]);
                identify.set_unix_time(now, port.into());
            }
            let timeout = input == ProtocolInput::Timeout;
            identify.handle(now, input);
            while identify.poll().is_some() {}
            while identify.poll_event().is_some() {}
            assert_bounded(&identify);
            if timeout {
                let next = identify.poll_timeout();
                prop_assert!(next.is_none_or(|next| next.at > now_or_before), "{next:?}");
            }
        }
        for connection in 0..4 {
            identify.handle(clock.now(), closed(connection, 1));
        }
        prop_assert_eq!((identify.peers.len(), identify.requests.len()), (0, 0));
    }
}
