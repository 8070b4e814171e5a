//! Protocols that run in Node: identify, and those that an application adds.
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks at some events")]

mod host_world;

use std::time::Duration;

use host_world::hello::Hello;
use host_world::*;
use sanspeer_core::host::HostConfig;
use sanspeer_core::identity::PeerId;
use sanspeer_core::node::{
    AddProtocolError, Answer, Command, CommandError, NodeEvent, PeerSummary,
};
use sanspeer_core::protocol::ProtocolId;

/// What a side's protocol `of` said, in order.
fn said(side: &Side, of: &str) -> Vec<String> {
    side.node_events()
        .filter_map(|event| match event {
            NodeEvent::Protocol { name, event } if name == of => {
                Some(String::from_utf8_lossy(event).into_owned())
            }
            _ => None,
        })
        .collect()
}

fn command(world: &mut World, side: usize, name: &str, text: &str) -> Answer {
    let (name, command) = (name.to_owned(), text.to_owned().into());
    world.ask(side, Command::Protocol { name, command })
}

fn done(text: &str) -> Answer {
    Answer::Protocol(format!("{text} done").into())
}

/// Two sides with the protocols `a` and `b`, connected.
fn greeting() -> (World, [PeerId; 2]) {
    let side = |number| {
        let protocols = vec![Hello::boxed("a"), Hello::boxed("b")];
        let mut config = HostConfig::default();
        config.node.idle_timeout = Some(Duration::from_secs(20));
        Side::new(number, config, protocols)
    };
    let mut world = World::of(vec![side(1), side(2)]);
    let address = world.listen(1, 2);
    world.connect(0, &address);
    let peers = [world.sides[0].peer_id, world.sides[1].peer_id];
    (world, peers)
}

#[test]
fn both_sides_hear_who_the_other_is_and_what_changes() {
    let mut world = World::new(&[1, 2]);
    let address = world.listen(1, 2);
    let bob = world.sides[1].peer_id;
    let external = "/ip4/198.51.100.1/tcp/4001".parse().expect("an address");
    assert_eq!(world.ask(1, Command::AddExternalAddress(external)), Answer::Done);
    world.connect(0, &address);
    world.advance(Duration::from_secs(1));
    let summary = |world: &mut World| -> PeerSummary {
        match world.ask(0, Command::Peers) {
            Answer::Peers(peers) => peers.into_iter().next().expect("a peer"),
            answer => panic!("{answer:?}"),
        }
    };
    let known = summary(&mut world);
    assert_eq!(known.peer, bob);
    assert!(known.agent.expect("an agent").starts_with("sanspeer/"));
    let speaks = |summary: &[ProtocolId], text: &str| summary.contains(&id(text));
    for protocol in ["/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0", "/ipfs/ping/1.0.0", ECHO] {
        assert!(speaks(&known.protocols, protocol), "{:?}", known.protocols);
    }
    let info = world.sides[0].node_events().find_map(|event| match event {
        NodeEvent::Identified { peer, info } if *peer == bob => Some(info.clone()),
        _ => None,
    });
    let info = info.expect("an answer");
    assert!(info.signed);
    assert_eq!(
        info.addresses,
        [
            "/ip4/198.51.100.1/tcp/4001".parse().expect("an address"),
            address.parse().expect("an address")
        ]
    );
    // A protocol more is pushed, and so is one less.
    assert_eq!(world.ask(1, Command::AddProtocol(id("/test/new/1"))), Answer::Done);
    world.advance(Duration::from_secs(2));
    assert!(speaks(&summary(&mut world).protocols, "/test/new/1"));
    assert_eq!(world.ask(1, Command::RemoveProtocol(id("/test/new/1"))), Answer::Done);
    world.advance(Duration::from_secs(2));
    assert!(!speaks(&summary(&mut world).protocols, "/test/new/1"));
    assert_eq!(
        world.ask(1, Command::RemoveProtocol(id("/ipfs/ping/1.0.0"))),
        Answer::Failed(CommandError::Unknown),
        "not the application's"
    );
    assert_eq!(
        world.ask(1, Command::AddProtocol(id("/ipfs/id/1.0.0"))),
        Answer::Failed(CommandError::Taken)
    );
    let rtt = |world: &mut World| summary(world).rtt;
    world.delay = Duration::from_millis(5);
    world.advance(Duration::from_secs(40));
    assert_eq!(rtt(&mut world), Some(Duration::from_millis(10)));
}

#[test]
fn a_peer_is_found_again_where_it_said_that_it_listens() {
    let mut world = World::new(&[1, 2]);
    let address = world.listen(1, 2);
    let own = world.listen(0, 1);
    let (alice, bob) = (world.sides[0].peer_id, world.sides[1].peer_id);
    world.connect(0, &address);
    world.advance(Duration::from_secs(1));
    assert_eq!(world.ask(0, Command::Disconnect(bob)), Answer::Done);
    // Bob was never told where Alice listens but by Alice.
    assert!(own.starts_with("/memory/"));
    let answer = world.ask(1, Command::Connect { peer: Some(alice), addresses: Vec::new() });
    assert!(matches!(answer, Answer::Connected { peer, .. } if peer == alice), "{answer:?}");
}

#[test]
fn protocols_of_the_applications_exchange_frames_each_on_its_own_streams() {
    let (mut world, _) = greeting();
    for name in ["a", "b"] {
        assert_eq!(said(&world.sides[1], name), ["hello"]);
        assert_eq!(said(&world.sides[0], name), ["hello to you"]);
    }
    assert_eq!(command(&mut world, 1, "a", "news"), done("news"));
    assert_eq!(said(&world.sides[0], "a"), ["hello to you", "news"]);
    assert_eq!(said(&world.sides[0], "b"), ["hello to you"]);
    // Who finishes is answered by a finish; the stream is over then.
    assert_eq!(command(&mut world, 0, "b", "finish"), done("finish"));
    for side in [0, 1] {
        let last = said(&world.sides[side], "b").pop();
        assert_eq!(last.as_deref(), Some("stream closed: both sides finished"));
    }
    assert_eq!(command(&mut world, 0, "a", "reset"), done("reset"));
    assert_eq!(said(&world.sides[0], "a").pop().as_deref(), Some("stream closed: reset here"));
    let there = said(&world.sides[1], "a").pop().expect("an end");
    assert!(there.starts_with("stream closed: reset by the remote"), "{there}");
}

#[test]
fn a_protocols_streams_keep_their_connection_and_its_word_protects_it() {
    let (mut world, [alice, bob]) = greeting();
    world.advance(Duration::from_secs(60));
    assert_eq!(world.peers(0), [bob], "the streams are in use");
    for name in ["a", "b"] {
        assert_eq!(command(&mut world, 0, name, "finish"), done("finish"));
    }
    for side in [0, 1] {
        assert_eq!(command(&mut world, side, "a", "protect"), done("protect"));
    }
    world.advance(Duration::from_secs(60));
    assert_eq!(world.peers(1), [alice], "it is protected");
    assert_eq!(command(&mut world, 0, "b", "close"), done("close"));
    assert_eq!(world.peers(1), []);
    // Its word ended with the connection.
    assert_eq!(command(&mut world, 0, "b", "dial"), done("dial"));
    assert_eq!(world.peers(0), [bob], "at the address that is known");
    for name in ["a", "b"] {
        assert_eq!(command(&mut world, 0, name, "finish"), done("finish"));
    }
    world.advance(Duration::from_secs(30));
    assert_eq!(world.peers(0), []);
}

#[test]
fn a_protocol_hears_of_failures_and_of_time_and_speaks_to_the_application() {
    let (mut world, [_, bob]) = greeting();
    assert_eq!(command(&mut world, 0, "a", "penalise"), done("penalise"));
    let penalties: Vec<_> = world.sides[0]
        .node_events()
        .filter_map(|event| match event {
            NodeEvent::Penalty { peer, protocol, points, .. } => {
                Some((*peer, protocol.clone(), *points))
            }
            _ => None,
        })
        .collect();
    assert_eq!(penalties, [(bob, "a".to_owned(), 3)]);
    assert_eq!(command(&mut world, 0, "a", "wake"), done("wake"));
    world.advance(Duration::from_millis(2_999));
    assert!(!said(&world.sides[0], "a").contains(&"awake".to_owned()));
    world.advance(Duration::from_millis(1));
    assert!(said(&world.sides[0], "a").contains(&"awake".to_owned()));
    assert_eq!(
        command(&mut world, 0, "nobody", "hello"),
        Answer::Failed(CommandError::Unknown),
        "no such protocol"
    );
    assert_eq!(world.ask(1, Command::Shutdown), Answer::Done);
    world.run();
    assert_eq!(
        said(&world.sides[0], "a").pop().as_deref(),
        Some("stream closed: the connection ended")
    );
    assert_eq!(command(&mut world, 0, "a", "ask"), done("ask"));
    let last = said(&world.sides[0], "a").pop();
    assert_eq!(last.as_deref(), Some("not opened: the connection is not open"));
    assert_eq!(command(&mut world, 0, "a", "dial"), done("dial"));
    world.advance(Duration::from_secs(20));
    assert_eq!(said(&world.sides[0], "a").pop().as_deref(), Some("dial failed"));
    // A command that its protocol does not answer is answered at the end.
    let (name, text) = ("a".to_owned(), "silence".to_owned().into());
    let silence = world.request(0, Command::Protocol { name, command: text });
    world.run();
    assert_eq!(world.sides[0].answer(silence), None);
    assert_eq!(world.ask(0, Command::Shutdown), Answer::Done);
    let ended = Answer::Failed(CommandError::ShuttingDown);
    assert_eq!(world.sides[0].answer(silence), Some(&ended));
}

#[test]
fn names_and_streams_belong_to_one_protocol_each() {
    let mut side = Side::new(1, HostConfig::default(), vec![Hello::boxed("a")]);
    let taken = side.host.add_protocol(Hello::boxed("identify"));
    assert_eq!(taken, Err(AddProtocolError::Started), "it was told the time");
    let identity = identity(2);
    let seed = sanspeer_core::rng::Seed::from_u64(2);
    let now = sanspeer_core::time::Timestamp::ZERO;
    let mut node = sanspeer_core::node::Node::new(Default::default(), identity, seed, now);
    assert_eq!(node.add_protocol(Hello::boxed("a")), Ok(()));
    let taken = node.add_protocol(Hello::boxed("a"));
    assert_eq!(taken, Err(AddProtocolError::NameTaken("a".to_owned())));
    let taken = node.add_protocol(Hello::boxed("identify"));
    assert_eq!(taken, Err(AddProtocolError::NameTaken("identify".to_owned())));
}
