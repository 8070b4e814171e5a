//! Direct peers.

use sanspeer_core::gossip::GossipConfig;

use crate::gossip_world::{World, millis, secs, topic};
use crate::helpers::{
    LATEST, add_connected, config, forget_heard, node_with, outside_mesh, peers_of, settled_with,
};

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

#[test]
fn a_direct_peer_is_dialled_and_dialled_again_when_it_is_gone() {
    let mut world = World::new(170);
    let node = world.add(GossipConfig { direct_connect_ticks: 2, ..config() });
    let direct = world.add_puppet(LATEST);
    let peer = world.peer(direct);
    world.with(node, |gossip, now| gossip.add_direct_peer(now, peer, Vec::new()));
    world.run_for(millis(150));
    assert_eq!(world.sides[node].dials.len(), 1, "at the first heartbeat");
    world.connect(node, direct);
    world.run_for(secs(3));
    assert_eq!(world.sides[node].dials.len(), 1, "while it is connected it is not");
    world.disconnect_all(node, direct);
    world.run_for(millis(1_900));
    assert_eq!(world.sides[node].dials.len(), 1, "every second heartbeat");
    world.run_for(millis(100));
    assert_eq!(world.sides[node].dials, vec![(peer, Vec::new()); 2]);
    assert!(world.with(node, |gossip, now| gossip.remove_direct_peer(now, &peer)));
    world.run_for(secs(10));
    assert_eq!(world.sides[node].dials.len(), 2);
}

#[test]
fn direct_peers_are_grafted_on_no_occasion() {
    let mut world = World::new(171);
    let node = world.add(GossipConfig { flood_publish: false, ..config() });
    let topics = ["joined", "published to", "later"].map(topic);
    let puppets = add_connected(&mut world, node, 2);
    let (direct, other) = (puppets[0], puppets[1]);
    let peer = world.peer(direct);
    world.with(node, |gossip, now| gossip.add_direct_peer(now, peer, Vec::new()));
    for topic in &topics[..2] {
        puppets.iter().for_each(|puppet| world.say_subscribe(*puppet, node, topic));
    }
    world.run_for(millis(10));
    assert_eq!(world.publish(node, &topics[1], "m").queued_for, 2);
    assert_eq!(world.gossip(node).fanout_peers(&topics[1]), peers_of(&world, &[other]));
    topics.iter().for_each(|topic| world.subscribe(node, topic));
    puppets.iter().for_each(|puppet| world.say_subscribe(*puppet, node, &topics[2]));
    for _ in 0..3 {
        world.run_for(secs(1));
        let meshes = topics.clone().map(|topic| world.mesh(node, &topic));
        assert_eq!(meshes, [[other], [other], [other]]);
    }
    assert!(world.heard_control(direct).graft.is_empty());
    assert_eq!(world.heard_control(other).graft.len(), 3);
}

#[test]
fn a_peer_of_the_mesh_that_becomes_a_direct_one_leaves_the_mesh() {
    let mut world = World::new(172);
    let (node, t, puppets) = settled_with(&mut world, config(), 2);
    forget_heard(&mut world, &puppets);
    let peer = world.peer(puppets[0]);
    world.with(node, |gossip, now| gossip.add_direct_peer(now, peer, Vec::new()));
    assert_eq!(world.mesh(node, &t), [puppets[1]]);
    assert_eq!(world.sides[node].protects, [(peer, true)]);
    world.run_for(millis(5));
    assert_eq!(world.heard_control(puppets[0]).prune.len(), 1);
    assert!(world.with(node, |gossip, now| gossip.remove_direct_peer(now, &peer)));
    assert_eq!(world.sides[node].protects, [(peer, true), (peer, false)]);
    world.run_for(secs(62));
    assert_eq!(world.mesh(node, &t), puppets, "it is one like all others again");
}

#[test]
fn no_gossip_goes_to_direct_peers() {
    let mut world = World::new(173);
    let (node, t, puppets) = settled_with(&mut world, config(), 8);
    let (inside, outside) = (world.mesh(node, &t), outside_mesh(&world, node, &t, &puppets));
    let direct = world.add_subscriber(node, &t, LATEST);
    let peer = world.peer(direct);
    world.with(node, |gossip, now| gossip.add_direct_peer(now, peer, Vec::new()));
    world.run_for(millis(5));
    let message = world.signed(inside[0], 1, &t, "m");
    world.say_messages(inside[0], node, &[message]);
    world.run_for(millis(5));
    assert_eq!(world.heard_messages(direct).len(), 1);
    world.run_for(secs(3));
    assert!(world.heard_control(direct).ihave.is_empty());
    for puppet in outside {
        assert!(!world.heard_control(puppet).ihave.is_empty());
    }
}
