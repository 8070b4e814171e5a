//! Many nodes: how they are connected, and whether what one says reaches the others.
#![allow(unreachable_pub, reason = "a test has no public parts")]

use core::time::Duration;

use sanspeer_core::gossip::{
    Acceptance, GossipConfig, GossipEvent, GossipProtocolId, Message, Topic,
};
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

/// Lets time pass, in which the application of each node decides on every message that waits.
/// Returns the messages that were accepted, with the nodes.
pub fn decide(
    world: &mut World,
    nodes: &[usize],
    time: Duration,
    mut judge: impl FnMut(usize, &Message) -> Acceptance,
) -> Vec<(usize, Message)> {
    let end = world.now.saturating_add(time);
    let mut accepted = Vec::new();
    while world.now < end {
        world.run_for(millis(1));
        for node in nodes {
            for message in waiting_messages(world, *node) {
                let acceptance = judge(*node, &message);
                world.with(*node, |gossip, now| gossip.report(now, &message.id, acceptance));
                if acceptance == Acceptance::Accept {
                    accepted.push((*node, message));
                }
            }
        }
    }
    accepted
}

fn waiting_messages(world: &mut World, node: usize) -> Vec<Message> {
    let events = world.take_events(node).into_iter();
    let messages = events.filter_map(|event| match event {
        GossipEvent::Message { message, needs_verdict: true, .. } => Some(message),
        GossipEvent::Message { .. }
        | GossipEvent::Subscribed { .. }
        | GossipEvent::Unsubscribed { .. }
        | GossipEvent::PeerSpeaks { .. }
        | GossipEvent::NotSupported { .. }
        | GossipEvent::Grafted { .. }
        | GossipEvent::Pruned { .. }
        | GossipEvent::SlowPeer { .. } => None,
    });
    messages.collect()
}
