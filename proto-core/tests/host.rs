//! Whole peers: two or more hosts in memory, in virtual time.
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks at some events")]

mod host_world;

use std::time::Duration;

use host_world::*;
use sanspeer_core::application::{AppEvent, Network, StreamOpenError};
use sanspeer_core::close::{CloseReason, RefuseReason};
use sanspeer_core::host::{HostConfig, HostOutput, SecurityProtocol};
use sanspeer_core::mux::ReadError;
use sanspeer_core::node::{
    Answer, Command, CommandError, ConnectionLimits, DialError, DialFailure, NodeConfig, NodeEvent,
};
use sanspeer_core::time::Timestamp;

fn config(change: impl FnOnce(&mut NodeConfig)) -> HostConfig {
    let mut config = HostConfig::default();
    change(&mut config.node);
    config
}

#[test]
fn two_hosts_connect_talk_part_and_meet_again() {
    let mut world = World::new(&[1, 2]);
    let address = world.listen(1, 2);
    let (alice, bob) = (world.sides[0].peer_id, world.sides[1].peer_id);
    for round in 0..2 {
        let answer = world.connect(0, &address);
        assert!(matches!(answer, Answer::Connected { peer, .. } if peer == bob), "{answer:?}");
        assert_eq!(world.peers(0), [bob]);
        assert_eq!(world.peers(1), [alice]);
        let data = vec![round; 100_000];
        assert_eq!(world.echo(0, bob, &data), data);
        assert_eq!(world.echo(1, alice, b"and back"), b"and back");
        assert_eq!(world.ask(0, Command::Disconnect(bob)), Answer::Done);
        assert_eq!(world.peers(0), []);
        assert_eq!(world.peers(1), []);
    }
    let now = world.now;
    let gone = world.sides[0].host.open(now, &bob, &[id(ECHO)]);
    assert_eq!(gone, Err(StreamOpenError::NotConnected));
    for (side, other) in [(0, bob), (1, alice)] {
        let story: Vec<_> = world.sides[side]
            .story(other)
            .into_iter()
            .filter(|event| *event != "identified")
            .collect();
        let once = ["peer connected", "opened", "closed", "peer disconnected"];
        assert_eq!(story, [once, once].concat());
        assert_eq!(world.sides[side].host.connection_count(), 0);
    }
    let closes =
        world.outputs.iter().filter(|(_, output)| matches!(output, HostOutput::Close(_))).count();
    assert_eq!(closes, 4, "each transport is closed once");
}

#[test]
fn a_connection_over_tls_works_like_one_over_noise() {
    let tls = HostConfig { security: vec![SecurityProtocol::Tls], ..HostConfig::default() };
    let mut world = World::with_configs(vec![(1, tls.clone()), (2, tls)]);
    let address = world.listen(1, 2);
    let bob = world.sides[1].peer_id;
    assert!(matches!(world.connect(0, &address), Answer::Connected { .. }));
    assert_eq!(world.echo(0, bob, b"sealed"), b"sealed");
}

#[test]
fn nobody_there_and_somebody_else_there_are_told_apart() {
    let mut world = World::new(&[1, 2, 3]);
    let address = world.listen(1, 2);
    let (bob, carol) = (world.sides[1].peer_id, world.sides[2].peer_id);
    let Answer::Failed(CommandError::Dial(failed)) = world.connect(0, "/memory/77") else {
        panic!("nobody is there");
    };
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].1, DialError::Failed(DialFailure::Refused));
    let addresses = vec![address.parse().expect("an address")];
    let answer = world.ask(0, Command::Connect { peer: Some(carol), addresses });
    let Answer::Failed(CommandError::Dial(failed)) = answer else { panic!("{answer:?}") };
    let wrong = CloseReason::WrongPeer { expected: Box::new(carol), found: Box::new(bob) };
    assert_eq!(failed[0].1, DialError::Closed(wrong));
    world.advance(Duration::from_secs(10));
    assert_eq!(world.peers(0), []);
    assert_eq!(world.peers(1), [], "a wrong peer is never admitted");
}

#[test]
fn we_do_not_connect_to_ourselves() {
    let mut world = World::new(&[1]);
    let address = world.listen(0, 2);
    let me = world.sides[0].peer_id;
    let answer = world.connect(0, &address);
    assert!(matches!(answer, Answer::Failed(CommandError::Dial(_))), "{answer:?}");
    let refused = world.sides[0]
        .node_events()
        .filter(|event| {
            matches!(event, NodeEvent::Refused { peer, reason: RefuseReason::Ourselves, .. }
                if *peer == Some(me))
        })
        .count();
    assert!(refused >= 1);
    let answer = world.connect(0, &format!("{address}/p2p/{me}"));
    assert_eq!(answer, Answer::Failed(CommandError::Ourselves));
}

#[test]
fn one_connection_more_than_may_be_is_refused_and_told_why() {
    let limits = ConnectionLimits { max_inbound: 2, ..ConnectionLimits::default() };
    let limited = config(|node| node.limits = limits);
    let others = [1, 2, 3].map(|number| (number, HostConfig::default()));
    let mut world = World::with_configs([vec![(9, limited)], others.to_vec()].concat());
    let address = world.listen(0, 9);
    assert!(matches!(world.connect(1, &address), Answer::Connected { .. }));
    assert!(matches!(world.connect(2, &address), Answer::Connected { .. }));
    world.connect(3, &address);
    world.advance(Duration::from_secs(1));
    let third = world.sides[3].peer_id;
    let refused: Vec<_> = world.sides[0]
        .node_events()
        .filter_map(|event| match event {
            NodeEvent::Refused { peer, reason, .. } => Some((*peer, *reason)),
            _ => None,
        })
        .collect();
    assert_eq!(refused, [(Some(third), RefuseReason::TooManyInbound(2))]);
    assert_eq!(world.peers(0).len(), 2);
    assert_eq!(world.peers(3), []);
    // One that goes makes room for another.
    let first = world.sides[1].peer_id;
    assert_eq!(world.ask(0, Command::Disconnect(first)), Answer::Done);
    assert!(matches!(world.connect(3, &address), Answer::Connected { .. }));
    assert!(world.peers(0).contains(&third));
}

#[test]
fn two_that_dial_each_other_at_once_settle_on_the_same_connection() {
    for (one, two) in [(1, 2), (2, 1), (5, 6), (6, 5)] {
        let mut world = World::new(&[one, two]);
        world.delay = Duration::from_millis(20);
        let addresses = [world.listen(0, 1), world.listen(1, 2)];
        let peers = [world.sides[0].peer_id, world.sides[1].peer_id];
        for side in [0, 1] {
            let other = 1 - side;
            let addresses = vec![addresses[other].parse().expect("an address")];
            world.request(side, Command::Connect { peer: Some(peers[other]), addresses });
        }
        world.advance(Duration::from_secs(2));
        let winner = usize::from(peers[1] < peers[0]);
        for side in [0, 1] {
            let Answer::Peers(summaries) = world.ask(side, Command::Peers) else { panic!() };
            let [summary] = &summaries[..] else { panic!("{summaries:?}") };
            assert_eq!(summary.connections.len(), 2);
            let ours = summary.connections[0].role == sanspeer_core::mux::Role::Dialer;
            assert_eq!(ours, side == winner, "the preferred one is the smaller peer's dial");
        }
        world.advance(Duration::from_secs(30));
        for side in [0, 1] {
            let Answer::Peers(summaries) = world.ask(side, Command::Peers) else { panic!() };
            assert_eq!(summaries[0].connections.len(), 1, "the other one is closed");
            assert_eq!(world.sides[side].story(peers[1 - side]).last(), Some(&"closed"));
            let closed = world.sides[side]
                .node_events()
                .filter(|event| matches!(event, NodeEvent::PeerDisconnected { .. }));
            assert_eq!(closed.count(), 0);
        }
        assert_eq!(world.echo(0, peers[1], b"still there"), b"still there");
    }
}

#[test]
fn an_unused_connection_is_closed_after_its_time_and_a_protected_one_is_not() {
    let idle = |secs| config(|node| node.idle_timeout = Some(Duration::from_secs(secs)));
    let patient = config(|node| node.idle_timeout = None);
    let mut world = World::with_configs(vec![(1, patient.clone()), (2, idle(30)), (3, patient)]);
    let address = world.listen(1, 2);
    let (alice, carol) = (world.sides[0].peer_id, world.sides[2].peer_id);
    assert_eq!(world.ask(1, Command::Protect { peer: carol, protect: true }), Answer::Done);
    world.connect(0, &address);
    world.connect(2, &address);
    world.advance(Duration::from_millis(29_999));
    assert_eq!(world.peers(1).len(), 2);
    world.advance(Duration::from_millis(2));
    assert_eq!(world.peers(1), [carol]);
    let reason = world.sides[1].node_events().find_map(|event| match event {
        NodeEvent::PeerDisconnected { peer, reason } if *peer == alice => Some(reason),
        _ => None,
    });
    assert_eq!(reason, Some(&CloseReason::Idle));
    assert_eq!(world.ask(1, Command::Protect { peer: carol, protect: false }), Answer::Done);
    world.advance(Duration::from_secs(1));
    assert_eq!(world.peers(1), [], "its time was over long ago");
}

#[test]
fn a_stream_of_the_applications_keeps_its_connection() {
    let idle = config(|node| node.idle_timeout = Some(Duration::from_secs(10)));
    let mut world = World::with_configs(vec![(1, idle.clone()), (2, idle)]);
    let address = world.listen(1, 2);
    let bob = world.sides[1].peer_id;
    world.connect(0, &address);
    let now = world.now;
    let stream = world.sides[0].host.open(now, &bob, &[id(ECHO)]).expect("a stream");
    assert_eq!(world.sides[0].host.write(now, stream, b"x"), Ok(1));
    world.advance(Duration::from_secs(100));
    assert_eq!(world.peers(0), [bob]);
    assert_eq!(world.peers(1).len(), 1);
    let now = world.now;
    world.sides[0].host.reset(now, stream, 0);
    world.advance(Duration::from_secs(9));
    assert_eq!(world.peers(0), [bob]);
    world.advance(Duration::from_secs(3));
    assert_eq!(world.peers(0), []);
}

#[test]
fn streams_that_come_and_go_between_reports_keep_their_connection() {
    let idle = config(|node| node.idle_timeout = Some(Duration::from_secs(10)));
    let mut world = World::with_configs(vec![(1, idle.clone()), (2, idle)]);
    let address = world.listen(1, 2);
    let bob = world.sides[1].peer_id;
    world.connect(0, &address);
    for _ in 0..20 {
        assert_eq!(world.echo(0, bob, b"short"), b"short");
        world.advance(Duration::from_secs(4));
    }
    assert_eq!(world.peers(0), [bob]);
    assert_eq!(world.peers(1).len(), 1);
}

#[test]
fn a_shutdown_sends_what_was_written_and_answers_when_all_is_over() {
    let mut world = World::new(&[1, 2]);
    world.delay = Duration::from_millis(50);
    let address = world.listen(1, 2);
    let own = world.listen(0, 1);
    let bob = world.sides[1].peer_id;
    world.sides[1].echo = false;
    let command = world.request(
        0,
        Command::Connect { peer: None, addresses: vec![address.parse().expect("an address")] },
    );
    world.advance(Duration::from_secs(1));
    assert!(matches!(world.sides[0].answer(command), Some(Answer::Connected { .. })));
    let now = world.now;
    let stream = world.sides[0].host.open(now, &bob, &[id(ECHO)]).expect("a stream");
    let data = vec![7; 50_000];
    assert_eq!(world.sides[0].host.write(now, stream, &data), Ok(data.len()));
    world.sides[0].host.finish(now, stream).expect("an open stream");
    let dial = Command::Connect { peer: None, addresses: vec!["/memory/77".parse().expect("one")] };
    world.silent.insert("/memory/77".to_owned());
    let dial = world.request(0, dial);
    let shutdown = world.request(0, Command::Shutdown);
    let late = world.request(0, Command::Peers);
    let now = world.now;
    world.sides[0].take_events(now);
    assert_eq!(world.sides[0].answer(shutdown), None, "its connection is not over");
    let refused = Answer::Failed(CommandError::ShuttingDown);
    assert_eq!(world.sides[0].answer(dial), Some(&refused));
    assert_eq!(world.sides[0].answer(late), Some(&refused));
    world.advance(Duration::from_secs(10));
    assert_eq!(world.sides[0].answer(shutdown), Some(&Answer::Done));
    assert_eq!(world.sides[0].host.connection_count(), 0);
    let gone = world.connect(1, &own);
    assert!(matches!(gone, Answer::Failed(CommandError::Dial(_))), "nobody listens any more");
    // All of it arrived, although the connection is over.
    let now = world.now;
    let host = &mut world.sides[1].host;
    let inbound = host.accept().expect("a stream");
    let mut heard = Vec::new();
    loop {
        match host.read(now, inbound.stream, 65_536) {
            Ok(bytes) if bytes.is_empty() => break,
            Ok(bytes) => heard.extend_from_slice(&bytes),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(heard, data);
}

#[test]
fn what_is_unread_when_a_connection_ends_is_kept_for_a_while() {
    let mut world = World::new(&[1, 2]);
    let address = world.listen(1, 2);
    let bob = world.sides[1].peer_id;
    world.sides[1].echo = false;
    world.connect(0, &address);
    let now = world.now;
    let stream = world.sides[0].host.open(now, &bob, &[id(ECHO)]).expect("a stream");
    world.sides[0].host.write(now, stream, b"unread").expect("room");
    world.run();
    assert_eq!(world.ask(0, Command::Disconnect(bob)), Answer::Done);
    let inbound = world.sides[1].host.accept().expect("a stream");
    assert_eq!(world.sides[1].host.connection_count(), 1);
    world.advance(Duration::from_secs(31));
    assert_eq!(world.sides[1].host.connection_count(), 0);
    let now = world.now;
    let gone = world.sides[1].host.read(now, inbound.stream, 10);
    assert_eq!(gone, Err(ReadError::UnknownStream));
}

#[test]
fn an_application_that_takes_no_events_stops_the_network_and_nothing_is_lost() {
    let small = HostConfig { max_events: 8, ..HostConfig::default() };
    let mut world = World::with_configs(vec![(1, HostConfig::default()), (2, small)]);
    let address = world.listen(1, 2);
    let bob = world.sides[1].peer_id;
    world.connect(0, &address);
    world.sides[1].listens = false;
    let now = world.now;
    let streams: Vec<_> = (0..100)
        .map(|number: u8| {
            let host = &mut world.sides[0].host;
            let stream = host.open(now, &bob, &[id(ECHO)]).expect("room");
            host.write(now, stream, &[number]).expect("room");
            host.finish(now, stream).expect("open");
            stream
        })
        .collect();
    world.run();
    world.sides[1].listens = true;
    world.run();
    for (number, stream) in (0..).zip(streams) {
        let heard = world.sides[0].host.read(now, stream, 10).expect("an answer");
        assert_eq!(heard[..], [number]);
    }
    let inbound = world.sides[1].events.iter().filter(|event| **event == AppEvent::Inbound).count();
    assert_eq!(inbound, 100);
}

/// What a world with some life in it does, in text: everything that comes out of it.
fn history(seed: u64) -> (Vec<String>, Vec<u8>) {
    let mut world = World::new(&[seed, seed + 1, seed + 2]);
    world.delay = Duration::from_millis(7);
    for side in &mut world.sides {
        side.host.start_log();
    }
    let addresses = [world.listen(0, 1), world.listen(1, 2), world.listen(2, 3)];
    let peers: Vec<_> = world.sides.iter().map(|side| side.peer_id).collect();
    for (side, other) in [(0, 1), (1, 0), (1, 2), (2, 0)] {
        let addresses = vec![addresses[other].parse().expect("an address")];
        world.request(side, Command::Connect { peer: Some(peers[other]), addresses });
    }
    world.advance(Duration::from_secs(1));
    assert_eq!(world.echo(0, peers[1], &[1; 5000]), [1; 5000]);
    assert_eq!(world.echo(2, peers[0], &[2; 70_000]), vec![2; 70_000]);
    world.request(1, Command::Disconnect(peers[2]));
    world.advance(Duration::from_secs(40));
    world.request(0, Command::Shutdown);
    world.advance(Duration::from_secs(40));
    let mut lines = Vec::new();
    for (side, output) in &world.outputs {
        lines.push(format!("{side} {}", serde_json::to_string(output).expect("plain values")));
    }
    for side in &mut world.sides {
        for event in &side.events {
            lines.push(serde_json::to_string(event).expect("plain values"));
        }
        lines.push(serde_json::to_string(&side.host.take_log()).expect("plain values"));
    }
    (lines, world.sent.concat())
}

#[test]
fn the_same_seed_and_inputs_lead_to_the_same_outputs_and_bytes() {
    let (lines, sent) = history(10);
    let (again, sent_again) = history(10);
    assert!(lines.len() > 50, "something happened");
    assert_eq!(lines, again);
    assert!(sent == sent_again, "other bytes were sent");
    assert!(sent != history(20).1, "the seed counts");
}

#[test]
fn the_log_of_a_node_replays_into_a_fresh_one() {
    use sanspeer_core::host::NodeLog;
    use sanspeer_core::node::Node;
    let (lines, _) = history(30);
    let logs: Vec<NodeLog> =
        lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert_eq!(logs.len(), 3);
    for (number, log) in (30..).zip(logs) {
        assert!(log.inputs.len() > 20, "{}", log.inputs.len());
        let seed = sanspeer_core::rng::Seed::from_u64(number).derive("node", 0);
        let mut node = Node::new(NodeConfig::default(), identity(number), seed, Timestamp::ZERO);
        // What came before the log began.
        node.handle(
            Timestamp::ZERO,
            sanspeer_core::node::Input::UnixTime { seconds: UNIX_SECONDS },
        );
        let echo = Command::AddProtocol(id(ECHO));
        let first = sanspeer_core::node::CommandId(0);
        node.handle(
            Timestamp::ZERO,
            sanspeer_core::node::Input::Command { id: first, command: echo },
        );
        while node.poll().is_some() {}
        let mut outputs = Vec::new();
        for (now, input) in log.inputs {
            node.handle(now, input);
            outputs.extend(std::iter::from_fn(|| node.poll()));
        }
        assert_eq!(outputs, log.outputs);
    }
}
