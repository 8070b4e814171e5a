//! What is published arrives, once.

use sanspeer_core::gossip::{
    GossipConfig, GossipEvent, GossipVersion, PublishError, SignaturePolicy,
};

use crate::gossip_world::{World, millis, secs, topic};
use crate::helpers::{LATEST, config};

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
