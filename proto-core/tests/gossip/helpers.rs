//! What several tests begin with, and look at.
#![allow(unreachable_pub, reason = "a test has no public parts")]

use core::time::Duration;

use sanspeer_core::gossip::{GossipConfig, GossipEvent, Lost, Topic, Validation, WireMessage};

use crate::gossip_world::{World, millis, topic};

pub const LATEST: &[&str] = &["/meshsub/1.3.0"];
pub const V12: &[&str] = &["/meshsub/1.2.0"];
pub const V11: &[&str] = &["/meshsub/1.1.0"];

pub fn config() -> GossipConfig {
    GossipConfig::default()
}

pub fn waiting(time: Duration) -> GossipConfig {
    GossipConfig { validation: Validation::Wait(time), ..config() }
}

/// A node in a topic, with some puppets in it too.
pub fn node_with(
    world: &mut World,
    config: GossipConfig,
    puppets: usize,
) -> (usize, Topic, Vec<usize>) {
    let t = topic("t");
    let node = world.add(config);
    world.subscribe(node, &t);
    let puppets = (0..puppets).map(|_| world.add_subscriber(node, &t, LATEST)).collect();
    world.run_for(millis(50));
    (node, t, puppets)
}

pub fn data_of(world: &World, node: usize) -> Vec<Vec<u8>> {
    world.messages(node).iter().map(|message| message.data.to_vec()).collect()
}

/// A message that says something else than what its author signed.
pub fn forged(message: &WireMessage) -> WireMessage {
    let mut bytes = message.encoded.to_vec();
    let at = bytes.windows(message.data.len()).position(|part| part == message.data);
    bytes[at.expect("the data is in it")] ^= 1;
    WireMessage::decode(&bytes.into()).expect("a well-formed message")
}

pub fn slow_peers(events: &[GossipEvent]) -> Vec<Lost> {
    let lost = events.iter().filter_map(|event| match event {
        GossipEvent::SlowPeer { lost, .. } => Some(*lost),
        GossipEvent::Message { .. }
        | GossipEvent::Subscribed { .. }
        | GossipEvent::Unsubscribed { .. }
        | GossipEvent::PeerSpeaks { .. }
        | GossipEvent::NotSupported { .. }
        | GossipEvent::Grafted { .. }
        | GossipEvent::Pruned { .. } => None,
    });
    lost.collect()
}
