//! What a score leads to.

use crate::gossip_world::{World, millis, secs};
use crate::helpers::{config, node_with};

#[test]
fn a_graylisted_peer_is_not_listened_to() {
    let mut world = World::new(25);
    let (node, t, puppets) = node_with(&mut world, config(), 2);
    let peer = world.peer(puppets[0]);
    world.with(node, |gossip, now| gossip.set_application_score(now, &peer, -100.0).unwrap());
    let message = world.signed(puppets[0], 1, &t, "m");
    world.say_messages(puppets[0], node, core::slice::from_ref(&message));
    world.run_for(millis(5));
    assert!(world.messages(node).is_empty());
    world.say_messages(puppets[1], node, &[message]);
    world.run_for(secs(1));
    assert_eq!(world.messages(node).len(), 1);
    assert_eq!(world.mesh(node, &t), [puppets[1]], "it is pruned at the heartbeat");
    world.say_unsubscribe(puppets[0], node, &t);
    world.run_for(millis(5));
    assert_eq!(world.gossip(node).topic_peers(&t), [world.peer(puppets[1])]);
}
