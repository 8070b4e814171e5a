//! Connections and streams that come and go.

use crate::gossip_world::{World, millis, secs};
use crate::helpers::{config, node_with};

#[test]
fn a_lost_stream_is_opened_again_once_and_everything_is_said_anew() {
    let mut world = World::new(26);
    let (node, t, puppets) = node_with(&mut world, config(), 1);
    world.run_for(secs(1));
    assert_eq!(world.mesh(node, &t), puppets);
    let heard = world.heard(puppets[0]);
    assert!(heard[0].said.control.extensions.is_some(), "first of all");
    assert_eq!(heard[0].said.subscriptions, [(true, t.clone())]);
    let stream = world.stream_between(node, puppets[0]).unwrap();
    world.reset_by_receiver(stream);
    assert!(world.mesh(node, &t).is_empty());
    world.run_for(secs(2));
    let heard = world.heard(puppets[0]);
    assert!(heard[0].said.control.extensions.is_some());
    assert_eq!(heard[0].said.subscriptions, [(true, t.clone())]);
    assert_eq!(world.mesh(node, &t), puppets);
    // Whoever ends stream after stream is left alone.
    let stream = world.stream_between(node, puppets[0]).unwrap();
    world.reset_by_receiver(stream);
    world.run_for(secs(30));
    assert_eq!(world.stream_between(node, puppets[0]), None);
}

#[test]
fn the_stream_moves_to_another_connection_when_its_own_closes() {
    let mut world = World::new(27);
    let (node, t, puppets) = node_with(&mut world, config(), 1);
    let first = world.connections_of(node, puppets[0])[0];
    let second = world.connect(node, puppets[0]);
    world.run_for(secs(1));
    assert_eq!(world.stream_between(node, puppets[0]).unwrap().connection, first);
    world.disconnect(first);
    world.run_for(millis(10));
    assert_eq!(world.stream_between(node, puppets[0]).unwrap().connection, second);
    assert_eq!(world.gossip(node).topic_peers(&t).len(), 1, "it is still in its topics");
    world.run_for(secs(1));
    assert_eq!(world.mesh(node, &t), puppets);
}

#[test]
fn a_frame_that_is_no_rpc_costs_its_peer_and_its_stream() {
    let mut world = World::new(29);
    let (node, _, puppets) = node_with(&mut world, config(), 1);
    world.say_bytes(puppets[0], node, vec![0xff; 20]);
    world.run_for(millis(5));
    assert!(world.score(node, puppets[0]) < 0.0);
    assert_eq!(world.sides[node].penalties.len(), 1);
    assert_eq!(world.stream_between(puppets[0], node), None);
}
