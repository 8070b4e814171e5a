//! GRAFT, PRUNE and back-off.

use sanspeer_core::gossip::Control;
use sanspeer_core::time::Timestamp;

use crate::gossip_world::{World, millis, secs, topic};
use crate::helpers::{config, node_with};

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
