//! Networks whose applications decide on messages.

use std::collections::BTreeMap;

use sanspeer_core::gossip::{
    Acceptance, GossipConfig, Message, SeenCacheConfig, TopicSettings, Validation,
};

use crate::crowd::{assert_reaches, connect_some, decide, subscribe_all};
use crate::gossip_world::{World, millis, secs, topic};
use crate::helpers::{LATEST, config, data_of, node_with, waiting};

#[test]
fn what_the_first_application_refuses_nobody_else_hears() {
    let mut world = World::new(900);
    let (t, nodes) = (topic("t"), world.add_many(3, &waiting(secs(5))));
    subscribe_all(&mut world, &nodes, &t);
    for pair in nodes.windows(2) {
        world.connect(pair[0], pair[1]);
    }
    world.run_for(secs(1));
    let messages = ["a legal one", "nothing controversial", "openly illegal", "1ll3g4l content"];
    for (number, text) in messages.iter().enumerate() {
        world.publish(0, &t, *text);
        let mut asked = Vec::new();
        let accepted = decide(&mut world, &nodes, millis(50), |node, message| {
            asked.push(node);
            let legal = !message.data.windows(7).any(|part| part == b"illegal");
            if legal { Acceptance::Accept } else { Acceptance::Reject }
        });
        let heard: Vec<_> = accepted.iter().map(|(node, _)| *node).collect();
        let (expected_asked, expected_heard) =
            if number == 2 { (vec![1], vec![]) } else { (vec![1, 2], vec![1, 2]) };
        assert_eq!((asked, heard), (expected_asked, expected_heard), "{text}");
    }
}

#[test]
fn each_topic_may_be_decided_on_or_not() {
    let mut world = World::new(901);
    let (t, u) = (topic("decided on"), topic("not decided on"));
    let nodes = world.add_many(10, &config());
    for node in &nodes {
        let validation = Some(Validation::Wait(millis(100)));
        let settings = TopicSettings { validation, ..TopicSettings::default() };
        let set = world.with(*node, |gossip, _| gossip.set_topic_settings(&t, settings));
        assert_eq!(set, Ok(()));
    }
    connect_some(&mut world, &nodes, 3);
    subscribe_all(&mut world, &nodes, &t);
    subscribe_all(&mut world, &nodes, &u);
    world.run_for(secs(1));
    for node in nodes.clone() {
        world.publish(node, &t, format!("message {node}"));
        let accepted = decide(&mut world, &nodes, millis(100), |_, _| Acceptance::Accept);
        assert_eq!(accepted.len(), nodes.len() - 1);
        assert_reaches(&mut world, node, &nodes, &u, &format!("message {node}"));
    }
}

#[test]
fn an_application_that_counts_sequence_numbers_stops_replays_of_what_was_forgotten() {
    const NODES: usize = 19;
    let seen = SeenCacheConfig { ttl: millis(1), ..SeenCacheConfig::default() };
    let mut world = World::new(902);
    let config = GossipConfig { seen, ..waiting(secs(5)) };
    let (t, nodes) = (topic("t"), world.add_many(NODES, &config));
    subscribe_all(&mut world, &nodes, &t);
    connect_some(&mut world, &nodes, 3);
    // A peer that says again whatever it hears, to somebody else.
    let replayer = world.add_puppet(LATEST);
    for node in [0, 5, 10] {
        world.connect(replayer, node);
        world.say_subscribe(replayer, node, &t);
    }
    world.run_for(secs(1));
    let mut highest = BTreeMap::new();
    let mut replays = 0;
    let mut counted = |node: usize, message: &Message| {
        let (source, number) = (message.source, message.sequence_number);
        let last = highest.entry((node, source)).or_insert(None);
        if number > *last {
            *last = number;
            return Acceptance::Accept;
        }
        replays += 1;
        Acceptance::Ignore
    };
    let mut accepted = Vec::new();
    for round in 0..10 {
        world.publish(round * 7 % NODES, &t, format!("message {round}"));
        for _ in 0..5 {
            accepted.extend(decide(&mut world, &nodes, millis(50), &mut counted));
            let heard = world.heard_messages(replayer);
            for to in [0, 5, 10] {
                world.say_messages(replayer, to, &heard);
            }
        }
    }
    assert!(replays > 10, "{replays} replays");
    let mut times = BTreeMap::new();
    for (node, message) in accepted {
        *times.entry((node, message.data)).or_insert(0) += 1;
    }
    assert_eq!(times.len(), 10 * (NODES - 1));
    assert!(times.values().all(|times| *times == 1));
    assert!(nodes.iter().all(|node| data_of(&world, *node).is_empty()), "none waits");
}

#[test]
fn a_message_that_is_forgotten_as_seen_while_it_waits_takes_its_room_once() {
    let mut world = World::new(903);
    let config = GossipConfig {
        seen: SeenCacheConfig { ttl: millis(1), ..SeenCacheConfig::default() },
        max_pending_bytes: 2_000,
        ..waiting(secs(60))
    };
    let (node, t, puppets) = node_with(&mut world, config, 1);
    let message = world.signed(puppets[0], 1, &t, vec![7; 500]);
    for _ in 0..10 {
        world.say_messages(puppets[0], node, core::slice::from_ref(&message));
        world.run_for(millis(10));
    }
    assert_eq!(world.gossip(node).usage().pending_messages, 1);
    let another = world.signed(puppets[0], 2, &t, "another");
    world.say_messages(puppets[0], node, &[another]);
    world.run_for(millis(10));
    assert_eq!(world.gossip(node).usage().pending_messages, 2, "there is room");
    // Each is decided on once.
    let first = world.messages(node)[0].id.clone();
    assert!(world.with(node, |gossip, now| gossip.report(now, &first, Acceptance::Ignore)));
    assert!(!world.with(node, |gossip, now| gossip.report(now, &first, Acceptance::Ignore)));
    world.run_for(secs(61));
    assert_eq!(world.gossip(node).usage().pending_messages, 0);
}
