//! What several tests begin with, and look at.
#![allow(unreachable_pub, reason = "a test has no public parts")]

use core::time::Duration;

use sanspeer_core::gossip::{
    GossipConfig, GossipEvent, Lost, MeshParams, MessageId, Topic, Validation, WireMessage,
};
use sanspeer_core::identity::PeerId;

pub use crate::gossip_world::{LATEST, node_with};
use crate::gossip_world::{World, millis};

pub const V12: &[&str] = &["/meshsub/1.2.0"];
pub const V11: &[&str] = &["/meshsub/1.1.0"];
pub const V10: &[&str] = &["/meshsub/1.0.0"];
pub const FLOODSUB: &[&str] = &["/floodsub/1.0.0"];

pub fn config() -> GossipConfig {
    GossipConfig::default()
}

pub fn waiting(time: Duration) -> GossipConfig {
    GossipConfig { validation: Validation::Wait(time), ..config() }
}

/// The same, when its mesh is as large as it gets: 50 ms after its second heartbeat, the next of
/// which are a second apart.
pub fn settled_with(
    world: &mut World,
    config: GossipConfig,
    puppets: usize,
) -> (usize, Topic, Vec<usize>) {
    let all = node_with(world, config, puppets);
    world.run_for(millis(1_100));
    all
}

/// Puppets that are connected to a node, and in no topic.
pub fn add_connected(world: &mut World, node: usize, puppets: usize) -> Vec<usize> {
    let puppets = (0..puppets).map(|_| {
        let puppet = world.add_puppet(LATEST);
        world.connect(puppet, node);
        puppet
    });
    puppets.collect()
}

/// A puppet that a node has dialled, and that is in a topic.
pub fn add_dialled(world: &mut World, node: usize, topic: &Topic) -> usize {
    let puppet = world.add_puppet(LATEST);
    world.connect(node, puppet);
    world.say_subscribe(puppet, node, topic);
    puppet
}

/// D_lo, D, D_hi and D_out of a mesh.
pub fn degrees(low: usize, degree: usize, high: usize, outbound: usize) -> MeshParams {
    MeshParams {
        degree,
        degree_low: low,
        degree_high: high,
        degree_outbound: outbound,
        degree_score: degree.min(4),
        ..MeshParams::default()
    }
}

/// The application adds so much to the score of a puppet.
pub fn rate(world: &mut World, node: usize, puppet: usize, score: f64) {
    let (peer, weight) = (world.peer(puppet), config().score.application_weight);
    let rated =
        world.with(node, |gossip, now| gossip.set_application_score(now, &peer, score / weight));
    assert_eq!(rated, Ok(()));
}

/// What puppets heard so far is of no interest.
pub fn forget_heard(world: &mut World, puppets: &[usize]) {
    puppets.iter().for_each(|puppet| drop(world.heard(*puppet)));
}

/// What a puppet was told of topics, since it was last asked for what it heard.
pub fn told_topics(world: &mut World, puppet: usize) -> Vec<(bool, Topic)> {
    world.heard(puppet).into_iter().flat_map(|heard| heard.said.subscriptions).collect()
}

/// Those of `all` that are not in the mesh.
pub fn outside_mesh(world: &World, node: usize, topic: &Topic, all: &[usize]) -> Vec<usize> {
    let mesh = world.mesh(node, topic);
    all.iter().copied().filter(|puppet| !mesh.contains(puppet)).collect()
}

/// The peers of these sides, in their order.
pub fn peers_of(world: &World, sides: &[usize]) -> Vec<PeerId> {
    let mut peers: Vec<PeerId> = sides.iter().map(|side| world.peer(*side)).collect();
    peers.sort_unstable();
    peers
}

/// An id that is no message's.
pub fn some_id(text: &str) -> MessageId {
    MessageId::new(text.as_bytes()).expect("a valid id")
}

/// The id of a message, as nodes call it by default.
pub fn id_of(message: &WireMessage) -> MessageId {
    (config().message_id)(message)
}

/// What a peer's misbehaviour (P7) takes from its score.
pub fn behaviour_penalty(world: &World, node: usize, puppet: usize) -> f64 {
    let breakdown = world.gossip(node).score(&world.peer(puppet)).expect("a known peer");
    breakdown.behaviour_penalty.score()
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
