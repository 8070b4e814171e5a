//! Many nodes: how they are connected, and whether what one says reaches the others.
#![allow(unreachable_pub, reason = "a test has no public parts")]

use sanspeer_core::gossip::{GossipConfig, GossipProtocolId, Topic};
use sanspeer_core::rng::Seed;

use crate::gossip_world::{World, millis};
use crate::helpers::{config, data_of};

/// Speaks floodsub and nothing else.
pub fn floodsub() -> GossipConfig {
    GossipConfig { protocols: vec![GossipProtocolId::floodsub()], ..config() }
}

/// Lets each node dial some others, chosen at random, as far as they are not connected.
pub fn connect_some(world: &mut World, nodes: &[usize], dials: usize) {
    let mut rng = Seed::from_u64(nodes.len() as u64).derive("dials", dials as u64).rng();
    for node in nodes {
        for _ in 0..dials {
            let at = usize::try_from(rng.next_u64() % nodes.len() as u64).expect("small");
            let other = nodes[at];
            if other != *node && world.connections_of(*node, other).is_empty() {
                world.connect(*node, other);
            }
        }
    }
}

/// Connects each node with each.
pub fn connect_all(world: &mut World, nodes: &[usize]) {
    for (at, node) in nodes.iter().enumerate() {
        for other in &nodes[at + 1..] {
            world.connect(*node, *other);
        }
    }
}

/// Connects these pairs, the first of which dials.
pub fn connect_pairs(world: &mut World, pairs: &[(usize, usize)]) {
    for (from, to) in pairs {
        world.connect(*from, *to);
    }
}

pub fn subscribe_all(world: &mut World, nodes: &[usize], topic: &Topic) {
    nodes.iter().for_each(|node| world.subscribe(*node, topic));
}

/// What `from` publishes comes to each of the others within a fifth of a second, which is before
/// gossip could mend anything, and nothing else does.
pub fn assert_reaches(world: &mut World, from: usize, others: &[usize], topic: &Topic, data: &str) {
    others.iter().for_each(|node| drop(world.take_events(*node)));
    world.publish(from, topic, data.to_owned());
    world.run_for(millis(200));
    for node in others.iter().filter(|node| **node != from) {
        assert_eq!(data_of(world, *node), [data.as_bytes().to_vec()], "from {from} at {node}");
    }
}

/// Each of some nodes publishes once, and it reaches all of them.
pub fn assert_all_reach_all(world: &mut World, nodes: &[usize], topic: &Topic) {
    for node in nodes {
        assert_reaches(world, *node, nodes, topic, &format!("message of {node}"));
    }
}

/// Whoever has another in its mesh is in the other's.
pub fn assert_mutual(world: &World, nodes: &[usize], topic: &Topic) {
    for node in nodes {
        for other in world.mesh(*node, topic) {
            assert!(world.mesh(other, topic).contains(node), "{node} has {other}");
        }
    }
}
