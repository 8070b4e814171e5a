//! Direct peers.

use crate::gossip_world::{World, millis, secs};
use crate::helpers::{LATEST, config, node_with};

#[test]
fn direct_peers_get_everything_and_are_in_no_mesh() {
    let mut world = World::new(24);
    let (node, t, puppets) = node_with(&mut world, config(), 1);
    let direct = world.add_puppet(LATEST);
    let peer = world.peer(direct);
    world.with(node, |gossip, now| gossip.add_direct_peer(now, peer, Vec::new()));
    world.run_for(secs(1));
    assert_eq!(world.sides[node].dials, [(peer, Vec::new())]);
    world.connect(node, direct);
    world.say_subscribe(direct, node, &t);
    world.run_for(secs(1));
    assert_eq!(world.mesh(node, &t), puppets);
    world.heard(direct);
    world.say_graft(direct, node, &t);
    world.run_for(millis(5));
    assert_eq!(world.heard_control(direct).prune.len(), 1);
    assert_eq!(world.mesh(node, &t), puppets);
    let message = world.signed(puppets[0], 1, &t, "m");
    world.say_messages(puppets[0], node, &[message]);
    world.run_for(millis(5));
    assert_eq!(world.heard_messages(direct).len(), 1);
    // Even with the worst of scores.
    world.with(node, |gossip, now| gossip.set_application_score(now, &peer, -1e6).unwrap());
    let message = world.signed(direct, 1, &t, "from a direct peer");
    world.say_messages(direct, node, &[message]);
    world.run_for(millis(5));
    assert_eq!(world.messages(node).len(), 2);
}
