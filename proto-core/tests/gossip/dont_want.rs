//! IDONTWANT: messages that need not be sent once more.

use sanspeer_core::gossip::Acceptance;

use crate::gossip_world::{World, millis, secs};
use crate::helpers::{V11, config, forget_heard, id_of, node_with, settled_with, waiting};

#[test]
fn a_long_message_is_announced_to_those_who_do_not_have_it() {
    let mut world = World::new(10);
    let (node, t, puppets) = node_with(&mut world, waiting(secs(5)), 3);
    let older = world.add_subscriber(node, &t, V11);
    world.run_for(secs(1));
    puppets.iter().for_each(|puppet| drop(world.heard(*puppet)));
    let short = world.signed(puppets[0], 1, &t, vec![1; 1023]);
    let long = world.signed(puppets[0], 2, &t, vec![1; 1024]);
    world.say_messages(puppets[0], node, &[short, long]);
    world.run_for(millis(20));
    let id = world.messages(node)[1].id.clone();
    assert!(world.heard_control(puppets[0]).idontwant.is_empty(), "it sent it");
    assert_eq!(world.heard_control(puppets[1]).idontwant, core::slice::from_ref(&id));
    assert_eq!(world.heard_control(puppets[2]).idontwant, core::slice::from_ref(&id));
    assert!(world.heard_control(older).idontwant.is_empty(), "it does not know that");
    // The other way round.
    world.say_dont_want(puppets[1], node, vec![id.clone()]);
    world.run_for(millis(5));
    world.with(node, |gossip, now| gossip.report(now, &id, Acceptance::Accept));
    world.run_for(millis(5));
    assert!(world.heard_messages(puppets[1]).is_empty());
    assert_eq!(world.heard_messages(puppets[2]).len(), 1);
}

#[test]
fn nothing_is_announced_to_whoever_gets_the_message_in_the_same_turn() {
    let mut world = World::new(11);
    let (node, t, puppets) = node_with(&mut world, config(), 3);
    world.run_for(secs(1));
    let long = world.signed(puppets[0], 2, &t, vec![1; 5000]);
    world.say_messages(puppets[0], node, &[long]);
    world.run_for(millis(20));
    for puppet in puppets {
        assert!(world.heard_control(puppet).idontwant.is_empty());
    }
}

#[test]
fn what_a_peer_does_not_want_it_does_not_get_for_asking_until_three_heartbeats_have_passed() {
    let mut world = World::new(150);
    let (node, t, puppets) = settled_with(&mut world, config(), 3);
    forget_heard(&mut world, &puppets);
    let message = world.signed(puppets[0], 1, &t, "m");
    world.say_dont_want(puppets[1], node, vec![id_of(&message)]);
    world.run_for(millis(5));
    world.say_messages(puppets[0], node, core::slice::from_ref(&message));
    world.run_for(millis(5));
    assert_eq!(world.heard_messages(puppets[2]).len(), 1);
    for (heartbeats, copies) in [(0, 0), (2, 0), (1, 1)] {
        world.run_for(secs(heartbeats));
        assert!(world.heard_messages(puppets[1]).is_empty());
        world.say_iwant(puppets[1], node, vec![id_of(&message)]);
        world.run_for(millis(5));
        assert_eq!(world.heard_messages(puppets[1]).len(), copies);
    }
}

#[test]
fn a_message_that_takes_long_to_send_is_announced_before_it_is_sent() {
    let mut world = World::new(151);
    let (node, t, puppets) = settled_with(&mut world, config(), 3);
    let older = world.add_subscriber(node, &t, V11);
    world.run_for(secs(1));
    forget_heard(&mut world, &puppets);
    world.heard(older);
    let long = world.signed(puppets[0], 1, &t, vec![1; 32 * 1024]);
    world.say_messages(puppets[0], node, core::slice::from_ref(&long));
    world.run_for(millis(5));
    assert!(world.heard(puppets[0]).is_empty(), "it sent it");
    for puppet in &puppets[1..] {
        let heard = world.heard(*puppet);
        assert_eq!(heard[0].said.control.idontwant, [id_of(&long)]);
        assert_eq!((heard.len(), heard[1].messages.len()), (2, 1));
    }
    let heard = world.heard(older);
    assert_eq!((heard.len(), heard[0].messages.len()), (1, 1), "it does not know that");
}
