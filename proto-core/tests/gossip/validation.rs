//! Signatures, and the verdicts of the application.

use sanspeer_core::gossip::{Acceptance, GossipConfig, VerifyWhere};

use crate::gossip_world::{World, millis, secs};
use crate::helpers::{config, data_of, forged, id_of, node_with, waiting};

#[test]
fn a_forged_copy_does_not_shadow_the_honest_message() {
    for verify in [VerifyWhere::Inline, VerifyWhere::Connection { max_in_flight: 8 }] {
        let mut world = World::new(3);
        world.verify_time = millis(20);
        let (node, t, puppets) = node_with(&mut world, GossipConfig { verify, ..config() }, 3);
        let honest = world.signed(puppets[0], 7, &t, "honest");
        world.say_messages(puppets[1], node, &[forged(&honest)]);
        world.run_for(millis(5));
        // While it may still be verified, the honest one comes, twice.
        world.say_messages(puppets[0], node, core::slice::from_ref(&honest));
        world.say_messages(puppets[2], node, &[honest]);
        world.run_for(millis(100));
        assert_eq!(data_of(&world, node), [b"honest".to_vec()], "{verify:?}");
        assert!(world.score(node, puppets[1]) < world.score(node, puppets[0]));
        let breakdown = world.gossip(node).score(&world.peer(puppets[1])).unwrap();
        assert!(breakdown.penalties < 0.0);
    }
}

#[test]
fn what_a_connection_was_asked_to_verify_is_verified_here_when_it_closes() {
    let mut world = World::new(4);
    world.verify_time = secs(100);
    let verify = VerifyWhere::Connection { max_in_flight: 8 };
    let (node, t, puppets) = node_with(&mut world, GossipConfig { verify, ..config() }, 2);
    let message = world.signed(puppets[0], 7, &t, "late");
    world.say_messages(puppets[0], node, &[message]);
    world.run_for(millis(20));
    assert!(data_of(&world, node).is_empty());
    world.disconnect_all(puppets[0], node);
    assert_eq!(data_of(&world, node), [b"late".to_vec()]);
}

#[test]
fn nothing_is_passed_on_before_the_application_accepts_it() {
    let mut world = World::new(7);
    let (node, t, puppets) = node_with(&mut world, waiting(secs(5)), 3);
    world.run_for(secs(1));
    puppets.iter().for_each(|puppet| drop(world.heard(*puppet)));
    let message = |world: &World, number| world.signed(puppets[0], number, &t, "12345");
    for number in 1..=3 {
        let message = message(&world, number);
        world.say_messages(puppets[0], node, &[message]);
    }
    // A copy that comes before the verdict.
    let copy = message(&world, 2);
    world.run_for(millis(5));
    world.say_messages(puppets[1], node, &[copy]);
    world.run_for(millis(50));
    let ids: Vec<_> = world.messages(node).iter().map(|message| message.id.clone()).collect();
    assert_eq!(ids.len(), 3);
    assert!(puppets.iter().all(|puppet| world.heard_messages(*puppet).is_empty()));
    let verdicts = [Acceptance::Accept, Acceptance::Reject, Acceptance::Ignore];
    for (id, acceptance) in ids.iter().zip(verdicts) {
        assert!(world.with(node, |gossip, now| gossip.report(now, id, acceptance)));
        assert!(!world.with(node, |gossip, now| gossip.report(now, id, acceptance)), "once");
    }
    world.run_for(millis(50));
    assert_eq!(world.heard_messages(puppets[0]).len(), 0, "never back to its sender");
    assert_eq!(world.heard_messages(puppets[1]).len(), 1);
    assert_eq!(world.heard_messages(puppets[2]).len(), 1);
    let penalties =
        |world: &World, side| world.gossip(node).score(&world.peer(side)).unwrap().penalties;
    assert!(penalties(&world, puppets[0]) < 0.0);
    assert!(penalties(&world, puppets[1]) < 0.0, "whoever sent it before the verdict too");
    assert_eq!(penalties(&world, puppets[2]), 0.0);
    // And whoever sends it later.
    let rejected = message(&world, 2);
    world.say_messages(puppets[2], node, &[rejected]);
    world.run_for(millis(5));
    assert!(penalties(&world, puppets[2]) < 0.0);
}

#[test]
fn each_verdict_costs_the_sender_of_the_message_what_it_should() {
    let mut world = World::new(195);
    let (node, t, puppets) = node_with(&mut world, waiting(secs(5)), 1);
    let verdicts = [
        (Acceptance::Accept, 0.0),
        (Acceptance::Ignore, 0.0),
        (Acceptance::Reject, -0.5),
        (Acceptance::Reject, -2.0),
        (Acceptance::Reject, -4.5),
        (Acceptance::Accept, -4.5),
    ];
    for (number, (acceptance, penalties)) in (0..).zip(verdicts) {
        let message = world.signed(puppets[0], number, &t, "m");
        world.say_messages(puppets[0], node, core::slice::from_ref(&message));
        world.run_for(millis(5));
        let id = id_of(&message);
        assert!(world.with(node, |gossip, now| gossip.report(now, &id, acceptance)));
        let breakdown = world.gossip(node).score(&world.peer(puppets[0])).unwrap();
        assert_eq!(breakdown.penalties, penalties, "after {number}");
    }
}

#[test]
fn without_a_verdict_a_message_is_ignored_after_its_deadline() {
    let mut world = World::new(8);
    let (node, t, puppets) = node_with(&mut world, waiting(secs(2)), 2);
    let message = world.signed(puppets[0], 1, &t, "m");
    world.say_messages(puppets[0], node, &[message]);
    world.run_for(secs(1));
    assert_eq!(world.gossip(node).usage().pending_messages, 1);
    world.run_for(secs(2));
    assert_eq!(world.gossip(node).usage().pending_messages, 0);
    let id = world.messages(node)[0].id.clone();
    assert!(!world.with(node, |gossip, now| gossip.report(now, &id, Acceptance::Accept)));
    assert!(world.heard_messages(puppets[1]).is_empty());
    assert_eq!(world.gossip(node).score(&world.peer(puppets[0])).unwrap().penalties, 0.0);
}

#[test]
fn messages_that_wait_for_the_application_are_bounded() {
    let mut world = World::new(9);
    let config = GossipConfig { max_pending_messages: 3, ..waiting(secs(60)) };
    let (node, t, puppets) = node_with(&mut world, config, 2);
    let messages: Vec<_> =
        (0..10).map(|number| world.signed(puppets[0], number, &t, "m")).collect();
    world.say_messages(puppets[0], node, &messages);
    world.run_for(millis(20));
    assert_eq!(world.messages(node).len(), 3);
    let id = world.messages(node)[0].id.clone();
    world.with(node, |gossip, now| gossip.report(now, &id, Acceptance::Ignore));
    // What was dropped was not seen, so that it can come again.
    world.say_messages(puppets[1], node, &messages[5..]);
    world.run_for(millis(20));
    assert_eq!(world.messages(node).len(), 4);
}
