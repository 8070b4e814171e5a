//! IDONTWANT among several nodes: who is told, and what it leads to.

use std::collections::BTreeMap;

use sanspeer_core::gossip::{
    Acceptance, GossipConfig, MessageFields, MessageId, PublishError, SignaturePolicy, Topic,
    data_digest,
};
use sanspeer_core::node::ProtocolInput;

use crate::crowd::{connect_all, connect_pairs, subscribe_all};
use crate::gossip_world::{World, millis, secs, topic};
use crate::helpers::{LATEST, V11, config, node_with, waiting};

/// Messages are called by what they say, so that their ids are known before they are published.
fn by_content() -> GossipConfig {
    GossipConfig {
        signatures: SignaturePolicy::StrictNoSign,
        message_id: data_digest,
        flood_publish: false,
        ..config()
    }
}

fn id_of(t: &Topic, data: &str) -> MessageId {
    data_digest(&MessageFields::new(t.clone(), data.to_owned()).encode())
}

/// Two nodes in a topic, and a puppet at the second, which is in its mesh or backs it off.
fn line(world: &mut World, config: &GossipConfig, speaks: &[&str], mesh: bool) -> (Topic, usize) {
    let (t, nodes) = (topic("t"), world.add_many(2, config));
    subscribe_all(world, &nodes, &t);
    connect_pairs(world, &[(0, 1)]);
    let puppet = world.add_subscriber(1, &t, speaks);
    if mesh {
        world.say_graft(puppet, 1, &t);
    } else {
        world.say_prune(puppet, 1, &t, Vec::new(), None);
    }
    world.run_for(millis(500));
    assert_eq!(world.mesh(1, &t), if mesh { vec![0, puppet] } else { vec![0] });
    world.heard(puppet);
    (t, puppet)
}

#[test]
fn a_mesh_peer_is_told_of_long_messages_before_the_application_decided() {
    let mut world = World::new(500);
    let (t, puppet) = line(&mut world, &waiting(secs(5)), LATEST, true);
    let mut ids: Vec<_> =
        (0..10_u8).map(|number| world.publish(0, &t, vec![number; 1024]).id).collect();
    world.publish(0, &t, "a short one");
    world.run_for(millis(50));
    assert_eq!(world.messages(1).len(), 11, "they wait");
    let mut told = world.heard_control(puppet).idontwant;
    ids.sort_unstable();
    told.sort_unstable();
    assert_eq!(told, ids);
}

#[test]
fn nobody_is_told_of_long_messages_outside_the_mesh_or_in_an_older_version() {
    for (speaks, mesh) in [(LATEST, false), (V11, true)] {
        let mut world = World::new(501);
        let (t, puppet) = line(&mut world, &waiting(secs(5)), speaks, mesh);
        for number in 0..10 {
            world.publish(0, &t, vec![number; 2000]);
        }
        world.run_for(millis(50));
        assert_eq!(world.messages(1).len(), 10);
        assert!(world.heard_control(puppet).idontwant.is_empty());
    }
}

#[test]
fn whoever_sent_a_long_message_is_not_told_that_it_is_not_wanted() {
    let mut world = World::new(502);
    let (t, puppet) = line(&mut world, &waiting(secs(5)), LATEST, true);
    let message = world.signed(puppet, 1, &t, vec![7; 5000]);
    world.sides[0].records = true;
    world.say_messages(puppet, 1, &[message]);
    world.run_for(millis(50));
    assert_eq!(world.messages(1).len(), 1);
    assert!(world.heard_control(puppet).idontwant.is_empty());
    let inputs = world.sides[0].inputs.iter();
    let frames = inputs.filter(|(_, input)| matches!(input, ProtocolInput::Frame { .. }));
    assert_eq!(frames.count(), 1, "the other one is told");
}

#[test]
fn what_a_mesh_peer_does_not_want_is_neither_passed_on_nor_published_to_it() {
    let mut world = World::new(503);
    let (t, puppet) = line(&mut world, &by_content(), LATEST, true);
    let ids = ["passed on", "published"].map(|data| id_of(&t, data));
    world.say_dont_want(puppet, 1, ids.to_vec());
    world.run_for(millis(10));
    world.publish(0, &t, "passed on");
    world.publish(1, &t, "published");
    world.publish(1, &t, "wanted");
    world.run_for(millis(50));
    let heard = world.heard_messages(puppet);
    assert_eq!(heard.iter().map(|message| &message.data[..]).collect::<Vec<_>>(), [b"wanted"]);
    assert_eq!(world.messages(0).len(), 2, "others want it");
}

#[test]
fn what_every_peer_has_already_counts_as_published() {
    let mut world = World::new(507);
    let (node, t, puppets) = node_with(&mut world, by_content(), 1);
    world.say_dont_want(puppets[0], node, vec![id_of(&t, "m")]);
    world.run_for(millis(10));
    let published = world.publish(node, &t, "m");
    assert_eq!(published.queued_for, 0);
    let again = world.with(node, |gossip, now| gossip.publish(now, &t, "m".into()));
    assert_eq!(again, Err(PublishError::Duplicate(published.id.clone())));
    // Others can ask for it.
    let other = world.add_subscriber(node, &t, LATEST);
    world.run_for(millis(10));
    world.say_iwant(other, node, vec![published.id]);
    world.run_for(millis(10));
    assert_eq!(world.heard_messages(other).len(), 1);
    assert!(world.heard_messages(puppets[0]).is_empty());
}

#[test]
fn what_a_peer_does_not_want_it_does_not_get_for_asking() {
    let mut world = World::new(504);
    let (t, puppet) = line(&mut world, &by_content(), LATEST, false);
    let published = world.publish(0, &t, "gossip");
    world.run_for(secs(1));
    let told: Vec<_> =
        world.heard_control(puppet).ihave.into_iter().flat_map(|ihave| ihave.ids).collect();
    assert_eq!(told, core::slice::from_ref(&published.id));
    world.say_dont_want(puppet, 1, told.clone());
    world.say_iwant(puppet, 1, told.clone());
    world.run_for(millis(50));
    assert!(world.heard_messages(puppet).is_empty());
    // It may change its mind when that is forgotten.
    world.run_for(secs(3));
    world.say_iwant(puppet, 1, told);
    world.run_for(millis(50));
    assert_eq!(world.heard_messages(puppet).len(), 1);
}

#[test]
fn an_idontwant_holds_for_three_heartbeats() {
    for (seconds, expected) in [(2, 0), (4, 1)] {
        let mut world = World::new(505);
        let (t, puppet) = line(&mut world, &by_content(), LATEST, true);
        world.say_dont_want(puppet, 1, vec![id_of(&t, "m")]);
        world.run_for(secs(seconds));
        world.publish(0, &t, "m");
        world.run_for(millis(50));
        assert_eq!(world.heard_messages(puppet).len(), expected, "after {seconds} s");
    }
}

#[test]
fn long_messages_cross_a_network_with_fewer_copies_than_short_ones() {
    let copies = |bytes: usize| {
        let mut world = World::new(506);
        let config = GossipConfig { flood_publish: false, ..waiting(secs(5)) };
        let (t, nodes) = (topic("t"), world.add_many(12, &config));
        subscribe_all(&mut world, &nodes, &t);
        connect_all(&mut world, &nodes);
        world.run_for(secs(3));
        let before = world.copies_sent;
        world.publish(0, &t, vec![1; bytes]);
        // Applications that take their time, so that what is announced comes before the message.
        let (mut waiting, mut accepted) = (BTreeMap::new(), 0);
        for _ in 0..20 {
            world.run_for(millis(10));
            for (node, id) in core::mem::take(&mut waiting) {
                world.with(node, |gossip, now| gossip.report(now, &id, Acceptance::Accept));
                accepted += 1;
            }
            for node in &nodes {
                let new = world.messages(*node).first().map(|message| message.id.clone());
                waiting.extend(new.map(|id| (*node, id)));
                world.take_events(*node);
            }
        }
        assert_eq!(accepted, nodes.len() - 1);
        world.copies_sent - before
    };
    let (long, short) = (copies(1024), copies(1023));
    assert!(long < short, "{long} copies of a long message and {short} of a short one");
}
