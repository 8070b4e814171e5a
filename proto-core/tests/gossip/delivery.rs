//! What is published arrives, once.

use sanspeer_core::gossip::{
    GossipConfig, GossipEvent, GossipVersion, MessageId, PublishError, SignaturePolicy,
    TopicSettings, WireMessage,
};
use sanspeer_core::rng::Seed;

use crate::gossip_world::{World, millis, secs, topic};
use crate::helpers::{LATEST, config, node_with, outside_mesh, settled_with};

#[test]
fn two_peers_exchange_messages_and_learn_of_each_other() {
    let mut world = World::new(1);
    let (t, nodes) = (topic("t"), world.add_many(2, &config()));
    world.subscribe(nodes[0], &t);
    world.connect(nodes[0], nodes[1]);
    world.run_for(millis(20));
    world.subscribe(nodes[1], &t);
    world.run_for(secs(1));
    for (one, other) in [(0, 1), (1, 0)] {
        assert_eq!(world.gossip(one).topic_peers(&t), [world.peer(other)]);
        assert_eq!(world.mesh(one, &t), [other]);
        let (peer, version) = (world.peer(other), GossipVersion::V13);
        assert!(world.sides[one].events.contains(&GossipEvent::PeerSpeaks { peer, version }));
        let published = world.publish(one, &t, format!("from {one}"));
        assert_eq!(published.queued_for, 1);
        world.run_for(millis(20));
        let messages = world.messages(other);
        let message = messages.last().unwrap();
        assert_eq!(message.id, published.id);
        assert_eq!(message.source, Some(world.peer(one)));
        assert_eq!(message.data, format!("from {one}"));
    }
    assert_eq!(world.messages(0).len(), 1, "our own are no events");
}

#[test]
fn a_mesh_of_twenty_delivers_every_message_to_every_node_exactly_once() {
    let mut world = World::new(2).with_delay(millis(5), millis(60));
    let (t, nodes) = (topic("t"), world.add_many(20, &config()));
    for node in &nodes {
        world.subscribe(*node, &t);
        for step in [1, 2, 5] {
            world.connect(*node, (node + step) % 20);
        }
    }
    world.run_for(secs(3));
    for node in &nodes {
        for number in 0..3 {
            world.publish(*node, &t, format!("{node}/{number}/{}", "x".repeat(number * 2000)));
            world.run_for(millis(30));
        }
    }
    world.run_for(secs(3));
    for node in nodes {
        let mut ids: Vec<_> = world.messages(node).iter().map(|m| m.id.clone()).collect();
        assert_eq!(ids.len(), 57, "all but its own three");
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 57);
        assert!((5..=12).contains(&world.mesh(node, &t).len()));
    }
}

#[test]
fn messages_without_authors_are_passed_on_and_told_apart_by_content() {
    let unsigned = GossipConfig { signatures: SignaturePolicy::StrictNoSign, ..config() };
    let mut world = World::new(30);
    let (t, nodes) = (topic("t"), world.add_many(3, &unsigned));
    nodes.iter().for_each(|node| world.subscribe(*node, &t));
    world.connect(nodes[0], nodes[1]);
    world.connect(nodes[1], nodes[2]);
    world.run_for(secs(1));
    world.publish(nodes[0], &t, "m");
    let again = world.with(nodes[0], |gossip, now| gossip.publish(now, &t, "m".into()));
    assert!(matches!(again, Err(PublishError::Duplicate(_))));
    world.run_for(secs(1));
    let messages = world.messages(nodes[2]);
    assert_eq!(messages.len(), 1);
    assert_eq!((messages[0].source, messages[0].sequence_number), (None, None));
    // A signed one is against the policy.
    let stranger = world.add_subscriber(nodes[0], &t, LATEST);
    let signed = world.signed(stranger, 1, &t, "signed");
    world.say_messages(stranger, nodes[0], &[signed]);
    world.run_for(millis(10));
    assert!(world.messages(nodes[0]).is_empty());
    assert!(world.gossip(nodes[0]).score(&world.peer(stranger)).unwrap().penalties < 0.0);
}

/// Nodes, each of which but the first has dialled one of those before it.
fn tree(world: &mut World, count: usize, seed: u64) -> Vec<usize> {
    let nodes = world.add_many(count, &config());
    let mut rng = Seed::from_u64(seed).derive("tree", 0).rng();
    for (place, node) in nodes.iter().enumerate().skip(1) {
        let other = usize::try_from(rng.next_u64() % place as u64).expect("small");
        world.connect(*node, nodes[other]);
    }
    nodes
}

#[test]
fn a_message_reaches_every_node_of_any_connected_graph() {
    for (seed, count) in [(1, 2), (2, 3), (3, 8), (4, 21), (5, 50), (6, 50), (7, 50)] {
        let mut world = World::new(seed).with_delay(millis(5), millis(60));
        let (t, nodes) = (topic("t"), tree(&mut world, count, seed));
        nodes.iter().for_each(|node| world.subscribe(*node, &t));
        world.run_for(secs(3));
        world.publish(nodes[0], &t, "m");
        world.run_for(secs(5));
        for node in &nodes[1..] {
            assert_eq!(world.messages(*node).len(), 1, "node {node} of {count}");
        }
    }
}

#[test]
fn our_messages_go_to_everybody_in_the_topic_or_to_the_mesh_alone() {
    for (flood_publish, puppets, copies) in [(true, 22, 22), (false, 22, 6), (false, 3, 3)] {
        let mut world = World::new(210);
        let config = GossipConfig { flood_publish, ..config() };
        let (node, t, puppets) = settled_with(&mut world, config, puppets);
        let published = world.publish(node, &t, "m");
        assert_eq!(published.queued_for, copies);
        world.run_for(millis(5));
        let outside = outside_mesh(&world, node, &t, &puppets);
        let mut heard = 0;
        for puppet in &puppets {
            let copies = world.heard_messages(*puppet).len();
            assert_eq!(copies, usize::from(flood_publish || !outside.contains(puppet)));
            heard += copies;
        }
        assert_eq!(heard, copies);
        // Whoever did not get it can ask for it.
        if let Some(puppet) = outside.first() {
            world.say_iwant(*puppet, node, vec![published.id]);
            world.run_for(millis(5));
            assert_eq!(world.heard_messages(*puppet).len(), 1);
        }
    }
}

#[test]
fn a_message_of_our_own_that_comes_back_is_no_event_and_costs_nobody() {
    let mut world = World::new(211);
    let (node, t, puppets) = node_with(&mut world, config(), 2);
    world.publish(node, &t, "new");
    world.run_for(millis(5));
    let ours = world.heard_messages(puppets[0]);
    world.heard(puppets[1]);
    // And one of a life before this one, which it does not remember.
    let old = world.signed(node, 1, &t, "old");
    world.say_messages(puppets[0], node, &[ours[0].clone(), old.clone(), old]);
    world.run_for(millis(5));
    assert!(world.messages(node).is_empty());
    assert!(world.heard_messages(puppets[1]).is_empty());
    assert_eq!(world.gossip(node).score(&world.peer(puppets[0])).unwrap().penalties, 0.0);
}

#[test]
fn messages_are_called_as_the_application_says() {
    fn by_length(message: &WireMessage) -> MessageId {
        MessageId::new(&message.data.len().to_be_bytes()).expect("a short id")
    }
    fn by_first_byte(message: &WireMessage) -> MessageId {
        MessageId::new(&message.data[..1]).expect("a short id")
    }
    let mut world = World::new(212);
    let (t, u) = (topic("t"), topic("u"));
    let nodes = world.add_many(2, &GossipConfig { message_id: by_length, ..config() });
    let settings = TopicSettings { message_id: Some(by_first_byte), ..TopicSettings::default() };
    for node in &nodes {
        world.with(*node, |gossip, _| gossip.set_topic_settings(&u, settings)).unwrap();
        world.subscribe(*node, &t);
        world.subscribe(*node, &u);
    }
    world.connect(nodes[0], nodes[1]);
    world.run_for(secs(1));
    world.take_events(nodes[1]);
    let cases = [
        (&t, "abc", Some(3u64.to_be_bytes().to_vec())),
        (&t, "xyz", None),
        (&t, "abcd", Some(4u64.to_be_bytes().to_vec())),
        (&u, "abc", Some(b"a".to_vec())),
        (&u, "xyz", Some(b"x".to_vec())),
        (&u, "abcd", None),
    ];
    for (topic, data, id) in cases {
        let published = world.with(nodes[0], |gossip, now| gossip.publish(now, topic, data.into()));
        world.run_for(millis(5));
        let heard = world.take_events(nodes[1]);
        match id {
            Some(id) => {
                assert_eq!(published.unwrap().id.as_bytes(), id);
                assert!(matches!(
                    &heard[..],
                    [GossipEvent::Message { message, .. }] if message.id.as_bytes() == id
                ));
            }
            None => {
                assert!(matches!(published, Err(PublishError::Duplicate(_))));
                assert!(heard.is_empty());
            }
        }
    }
}
