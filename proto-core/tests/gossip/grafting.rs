//! GRAFT, PRUNE and back-off.

use sanspeer_core::gossip::{Control, GossipConfig, GossipEvent};
use sanspeer_core::time::Timestamp;

use crate::gossip_world::{World, millis, secs, topic};
use crate::helpers::{add_connected, behaviour_penalty, config, node_with, settled_with};

#[test]
fn a_graft_during_the_backoff_is_refused_and_costs_its_peer() {
    let mut world = World::new(15);
    let (node, t, puppets) = node_with(&mut world, config(), 2);
    world.run_for(secs(1));
    world.say_prune(puppets[0], node, &t, Vec::new(), Some(u64::MAX));
    world.run_for(millis(5));
    assert_eq!(world.mesh(node, &t), [puppets[1]]);
    world.heard(puppets[0]);
    world.say_graft(puppets[0], node, &t);
    world.run_for(millis(5));
    assert_eq!(world.mesh(node, &t), [puppets[1]]);
    assert_eq!(world.heard_control(puppets[0]).prune[0].backoff_secs, Some(60));
    assert!(world.score(node, puppets[0]) < 0.0);
    world.run_for(secs(3_598));
    assert_eq!(world.mesh(node, &t), [puppets[1]], "an hour at most, however long was asked for");
    world.run_for(secs(10));
    assert_eq!(world.mesh(node, &t), [puppets[0], puppets[1]]);
}

#[test]
fn a_backoff_without_end_with_a_clock_near_its_end_is_no_panic() {
    // CVE-2026-33040, CVE-2026-34219.
    let late = Timestamp(u64::MAX - 5_000_000_000);
    let mut world = World::new(16).starting_at(late);
    let (node, t, puppets) = node_with(&mut world, config(), 2);
    for backoff in [u64::MAX, u64::MAX / 1_000_000_000, 1 << 32] {
        world.say_prune(puppets[0], node, &t, Vec::new(), Some(backoff));
        world.say_graft(puppets[0], node, &t);
        world.run_for(secs(1));
    }
    world.run_for(secs(10));
    assert_eq!(world.mesh(node, &t), [puppets[1]]);
    world.publish(node, &t, "the last one");
}

#[test]
fn grafts_of_unknown_topics_leave_nothing_and_cost_their_peer() {
    // GHSA-g3g5-x568-qvqx, CVE-2026-95859.
    let mut world = World::new(17);
    let (node, _, puppets) = node_with(&mut world, config(), 1);
    world.run_for(secs(1));
    let before = world.gossip(node).usage();
    for batch in 0..20 {
        let graft = (0..1_000).map(|number| topic(&format!("{batch}/{number}"))).collect();
        world.say_control(puppets[0], node, Control { graft, ..Control::default() });
        world.run_for(millis(5));
    }
    let after = world.gossip(node).usage();
    assert_eq!(after.topics, before.topics);
    assert!(after.backoffs <= 1, "our own, of a peer with so low a score");
    assert!(world.score(node, puppets[0]) < -80.0);
}

#[test]
fn prunes_of_topics_that_we_are_not_in_leave_nothing() {
    // GHSA-vrx6-jcp8-vm7m.
    let mut world = World::new(18);
    let (node, _, puppets) = node_with(&mut world, config(), 1);
    let before = world.gossip(node).usage();
    for number in 0..100 {
        world.say_prune(puppets[0], node, &topic(&number.to_string()), Vec::new(), Some(9_999));
    }
    world.run_for(millis(50));
    assert_eq!(world.gossip(node).usage(), before);
}

#[test]
fn a_graft_counts_in_the_topics_that_we_are_in_and_a_prune_ends_it() {
    let mut world = World::new(120);
    let [a, b, left, unknown] = ["a", "b", "left", "unknown"].map(topic);
    let node = world.add(config());
    [&a, &b, &left].into_iter().for_each(|topic| world.subscribe(node, topic));
    let puppet = add_connected(&mut world, node, 1)[0];
    world.run_for(millis(10));
    world.unsubscribe(node, &left);
    let graft = vec![a.clone(), b.clone(), left.clone()];
    world.say_control(puppet, node, Control { graft, ..Control::default() });
    world.run_for(millis(5));
    let meshes = [&a, &b, &left].map(|topic| world.mesh(node, topic));
    assert_eq!(meshes, [vec![puppet], vec![puppet], vec![]]);
    assert_eq!(behaviour_penalty(&world, node, puppet), 0.0, "it may not know that we left");
    let topics = world.gossip(node).usage().topics;
    world.say_graft(puppet, node, &unknown);
    world.run_for(millis(5));
    assert!(behaviour_penalty(&world, node, puppet) < 0.0);
    assert_eq!(world.gossip(node).usage().topics, topics);
    world.say_prune(puppet, node, &a, Vec::new(), None);
    world.run_for(millis(5));
    assert_eq!([&a, &b].map(|topic| world.mesh(node, topic)), [vec![], vec![puppet]]);
}

#[test]
fn whoever_grafts_us_is_in_the_topic() {
    let mut world = World::new(121);
    let (node, t, _) = node_with(&mut world, config(), 0);
    let puppet = add_connected(&mut world, node, 1)[0];
    world.run_for(millis(10));
    world.say_graft(puppet, node, &t);
    world.run_for(millis(5));
    let peer = world.peer(puppet);
    assert_eq!(world.mesh(node, &t), [puppet]);
    assert_eq!(world.gossip(node).topic_peers(&t), [peer]);
    let subscribed = GossipEvent::Subscribed { peer, topic: t.clone() };
    assert!(world.take_events(node).contains(&subscribed));
    world.disconnect_all(puppet, node);
    assert!(world.gossip(node).topic_peers(&t).is_empty());
    world.unsubscribe(node, &t);
    assert_eq!(world.gossip(node).usage().topics, 0);
}

#[test]
fn whoever_pruned_us_is_grafted_a_heartbeat_after_the_backoff() {
    let mut world = World::new(122);
    let (node, t, puppets) = settled_with(&mut world, config(), 1);
    world.heard(puppets[0]);
    world.say_prune(puppets[0], node, &t, Vec::new(), Some(1));
    world.run_for(secs(2));
    assert_eq!(world.mesh(node, &t), [0; 0], "the heartbeat after it is too early for the peer");
    assert!(world.heard_control(puppets[0]).graft.is_empty());
    world.run_for(secs(1));
    assert_eq!(world.mesh(node, &t), puppets);
    assert_eq!(world.heard_control(puppets[0]).graft, [t]);
}

#[test]
fn a_prune_without_a_backoff_means_the_one_that_is_configured() {
    let mut world = World::new(123);
    let config = GossipConfig { prune_backoff: secs(3), ..config() };
    let (node, t, puppets) = settled_with(&mut world, config, 1);
    world.say_prune(puppets[0], node, &t, Vec::new(), None);
    world.run_for(secs(4));
    assert_eq!(world.mesh(node, &t), [0; 0]);
    world.run_for(secs(1));
    assert_eq!(world.mesh(node, &t), puppets);
}

#[test]
fn the_backoff_of_a_topic_that_is_left_is_a_shorter_one() {
    let mut world = World::new(124);
    let (node, t, puppets) = settled_with(&mut world, config(), 1);
    world.heard(puppets[0]);
    world.unsubscribe(node, &t);
    world.run_for(millis(5));
    assert_eq!(world.heard_control(puppets[0]).prune[0].backoff_secs, Some(10));
    world.subscribe(node, &t);
    world.run_for(secs(11));
    assert_eq!(world.mesh(node, &t), [0; 0]);
    assert!(world.heard_control(puppets[0]).graft.is_empty());
    world.run_for(secs(1));
    assert_eq!(world.mesh(node, &t), puppets);
}

#[test]
fn a_graft_soon_after_the_prune_counts_twice() {
    let mut world = World::new(125);
    let (node, t, puppets) = settled_with(&mut world, config(), 2);
    for puppet in &puppets {
        world.say_prune(*puppet, node, &t, Vec::new(), Some(60));
    }
    world.run_for(secs(5));
    world.say_graft(puppets[0], node, &t);
    world.run_for(millis(5));
    assert_eq!(behaviour_penalty(&world, node, puppets[0]), -40.0, "two squared, by its weight");
    world.run_for(secs(6));
    world.say_graft(puppets[1], node, &t);
    world.run_for(millis(5));
    assert_eq!(behaviour_penalty(&world, node, puppets[1]), -10.0);
    let before = behaviour_penalty(&world, node, puppets[1]);
    world.run_for(secs(1));
    assert!(behaviour_penalty(&world, node, puppets[1]) > before, "it decays");
}
