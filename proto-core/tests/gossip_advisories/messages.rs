//! What is verified, how often, and what is remembered of it.

use sanspeer_core::gossip::{Acceptance, GossipConfig, Validation, VerifyWhere, WireMessage};
use sanspeer_core::node::{ProtocolInput, ProtocolOutput};

use crate::gossip_world::{World, millis, secs, topic};
use crate::{alone, count, forged, left, node_with, verifications};

/// Signatures are checked elsewhere, so that each check is seen.
fn watched() -> GossipConfig {
    GossipConfig {
        verify: VerifyWhere::Connection { max_in_flight: 1_000 },
        ..GossipConfig::default()
    }
}

/// A world whose node's outputs are recorded and whose checks take a while.
fn watched_world(config: GossipConfig, puppets: usize) -> (World, usize, Vec<usize>) {
    let mut world = World::new(1);
    world.verify_time = millis(100);
    let (node, _, puppets) = node_with(&mut world, config, puppets);
    world.run_for(secs(1));
    world.sides[node].records = true;
    (world, node, puppets)
}

fn say_by_all(world: &mut World, node: usize, puppets: &[usize], message: &WireMessage) {
    for puppet in puppets {
        world.say_messages(*puppet, node, &[message.clone(), message.clone()]);
    }
    world.run_for(millis(10));
}

#[test]
fn copies_that_arrive_before_the_first_verdict_are_verified_once() {
    let _alone = alone();
    let t = topic("t");
    for validation in [Validation::Accept, Validation::Wait(secs(30))] {
        let config = GossipConfig { validation, ..watched() };
        let (mut world, node, puppets) = watched_world(config, 12);
        let message = world.signed(puppets[0], 1, &t, "m");
        for _ in 0..5 {
            say_by_all(&mut world, node, &puppets, &message);
        }
        assert!(world.messages(node).is_empty(), "it is not verified yet");
        world.run_for(millis(200));
        assert_eq!(world.messages(node).len(), 1, "{validation:?}");
        say_by_all(&mut world, node, &puppets, &message);
        world.run_for(millis(200));
        assert_eq!((verifications(&world, node), world.messages(node).len()), (1, 1));
    }
}

#[test]
fn different_copies_of_one_id_are_verified_until_one_holds_and_each_once() {
    let _alone = alone();
    let t = topic("t");
    let (mut world, node, puppets) = watched_world(watched(), 6);
    let honest = world.signed(puppets[0], 1, &t, "honest");
    let false_one = forged(&honest);
    for _ in 0..3 {
        say_by_all(&mut world, node, &puppets[1..3], &false_one);
        say_by_all(&mut world, node, &puppets[3..], &honest);
    }
    world.run_for(secs(1));
    assert_eq!(world.messages(node).len(), 1);
    assert_eq!(verifications(&world, node), 2, "the forged one, and the honest one behind it");
    for forger in &puppets[1..3] {
        assert!(world.score(node, *forger) < world.score(node, puppets[3]));
    }
    // Once the id is seen, a forged copy is a duplicate that nobody verifies.
    say_by_all(&mut world, node, &puppets, &false_one);
    world.run_for(secs(1));
    assert_eq!(verifications(&world, node), 2);
}

#[test]
fn a_replay_costs_no_verification_whatever_was_thought_of_the_message() {
    let _alone = alone();
    let t = topic("t");
    for acceptance in [Acceptance::Accept, Acceptance::Reject, Acceptance::Ignore] {
        let config = GossipConfig { validation: Validation::Wait(secs(5)), ..watched() };
        let (mut world, node, puppets) = watched_world(config, 4);
        let message = world.signed(puppets[0], 1, &t, "m");
        world.say_messages(puppets[0], node, core::slice::from_ref(&message));
        world.run_for(millis(500));
        let id = world.messages(node)[0].id.clone();
        assert!(world.with(node, |gossip, now| gossip.report(now, &id, acceptance)));
        for _ in 0..50 {
            say_by_all(&mut world, node, &puppets[1..], &message);
        }
        assert_eq!(verifications(&world, node), 1, "{acceptance:?}");
        assert_eq!(world.messages(node).len(), 1);
    }
}

#[test]
fn a_message_of_a_topic_that_we_are_not_in_is_neither_verified_nor_remembered() {
    let _alone = alone();
    let (mut world, node, puppets) = watched_world(watched(), 2);
    let elsewhere = topic("elsewhere");
    let messages: Vec<_> =
        (0..200).map(|number| world.signed(puppets[0], number, &elsewhere, "m")).collect();
    world.say_messages(puppets[0], node, &messages);
    world.run_for(millis(10));
    world.sides[node].inputs.clear();
    let (before, region) = (world.gossip(node).usage(), count());
    world.say_messages(puppets[1], node, &messages);
    world.run_for(millis(10));
    world.sides[node].inputs.clear();
    assert_eq!(world.gossip(node).usage(), before);
    assert_eq!(before.seen_messages, 0);
    assert_eq!(verifications(&world, node), 0);
    assert!(world.messages(node).is_empty());
    let held = left(&region);
    assert!(held < 64 * 1024, "{held} bytes are held of 200 messages");
    assert!(world.score(node, puppets[1]) >= 0.0, "nor does it cost whoever sent it");
}

#[test]
fn a_message_whose_topic_was_left_while_it_was_verified_is_remembered() {
    let _alone = alone();
    let t = topic("t");
    let (mut world, node, puppets) = watched_world(watched(), 3);
    let message = world.signed(puppets[0], 1, &t, "m");
    say_by_all(&mut world, node, &puppets, &message);
    world.unsubscribe(node, &t);
    world.run_for(millis(200));
    world.subscribe(node, &t);
    say_by_all(&mut world, node, &puppets, &message);
    world.run_for(millis(200));
    assert_eq!((verifications(&world, node), world.messages(node).len()), (1, 0));
    assert_eq!(world.gossip(node).usage().seen_messages, 1);
}

#[test]
fn a_forged_message_leaves_nothing_behind() {
    let _alone = alone();
    let t = topic("t");
    let (mut world, node, puppets) = watched_world(watched(), 3);
    for number in 0..20 {
        let message = forged(&world.signed(puppets[0], number, &t, "m"));
        world.say_messages(puppets[1], node, &[message]);
    }
    world.run_for(millis(10));
    assert_eq!(world.gossip(node).usage().seen_messages, 20, "they are being verified");
    world.run_for(millis(200));
    let usage = world.gossip(node).usage();
    assert_eq!((usage.seen_messages, usage.verifying_bytes, usage.cached_messages), (0, 0, 0));
    assert!(world.messages(node).is_empty());
    for puppet in puppets {
        assert!(world.heard_messages(puppet).is_empty(), "none went on");
    }
}

#[test]
fn checks_that_are_never_answered_are_bounded() {
    let _alone = alone();
    let t = topic("t");
    let config = GossipConfig { verify: VerifyWhere::Connection { max_in_flight: 5 }, ..watched() };
    let (mut world, node, puppets) = watched_world(config, 2);
    world.verify_time = secs(1_000);
    for number in 0..100 {
        let message = world.signed(puppets[0], number, &t, "m");
        world.say_messages(puppets[0], node, &[message]);
    }
    world.run_for(millis(100));
    assert_eq!(verifications(&world, node), 5);
    assert_eq!(world.messages(node).len(), 95, "beyond that they are checked at once");
    let asked = world.sides[node].outputs.iter().find_map(|output| {
        let ProtocolOutput::Verify { request, .. } = output else { return None };
        Some(*request)
    });
    let request = asked.expect("five");
    world.tell(node, ProtocolInput::Verified { request, valid: true });
    world.tell(node, ProtocolInput::Verified { request, valid: true });
    assert_eq!(world.messages(node).len(), 96, "an answer counts once");
}
