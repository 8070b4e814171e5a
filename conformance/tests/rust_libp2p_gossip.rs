//! Gossip between our drivers and rust-libp2p, over TCP with Noise and over QUIC.

#![allow(clippy::unwrap_used, reason = "the helpers here are part of the tests")]

mod gossip_network;
#[path = "protocols/transport.rs"]
#[allow(dead_code, reason = "other test crates use the rest of it")]
mod transport;

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use futures::future::join;
use gossip_network::{Ids, Network, Ours, Peer, Theirs, data, until};
use libp2p::gossipsub::{ConfigBuilder, TopicScoreParams, Version};
use sanspeer_conformance::peer::runtime::RuntimeName;
use sanspeer_core::gossip::{GossipConfig, GossipProtocolId, GossipVersion, MeshParams};
use transport::{Transport, over_transports};

const KIB: usize = 1024;

/// A byte, a few packets, more than a stream's credit, and nearly the longest that there may be.
const LENGTHS: [usize; 4] = [1, KIB, 64 * KIB - 1, 900 * KIB];

/// A sparse graph of ten: who dials whom. With peers of two kinds in turn, each kind dials its own
/// and the other.
const SPARSE: [(usize, usize); 16] = [
    (0, 1),
    (3, 2),
    (2, 5),
    (4, 3),
    (5, 4),
    (6, 5),
    (7, 6),
    (8, 7),
    (9, 8),
    (1, 4),
    (0, 6),
    (9, 3),
    (2, 8),
    (7, 1),
    (9, 0),
    (8, 5),
];

over_transports! {
    tcp: Transport::TcpNoise, quic: Transport::Quic;
    we_dial_and_every_message_arrives_exactly_once_both_ways,
    they_dial_and_every_message_arrives_exactly_once_both_ways,
    every_message_arrives_exactly_once_in_a_mixed_mesh_of_ten,
    every_message_arrives_exactly_once_where_meshes_are_small_and_everybody_knows_everybody,
    what_the_mesh_does_not_carry_comes_by_ihave_and_iwant,
    the_latest_version_that_both_know_is_spoken,
    floodsub_carries_every_message_in_lines_of_three,
}

fn run(case: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(case);
}

async fn ours(runtime: RuntimeName, transport: Transport) -> Peer {
    Ours::start(runtime, transport, Ours::config(Ids::Specified)).await.into()
}

async fn theirs(transport: Transport) -> Peer {
    Theirs::start(transport, &Theirs::config(Ids::Specified), None).await.into()
}

/// Ours and theirs in turn, ours on each runtime in turn.
async fn ten(transport: Transport, config: &GossipConfig, their: &ConfigBuilder) -> Vec<Peer> {
    let mut peers = Vec::new();
    for at in 0..5 {
        let runtime = RuntimeName::ALL[at % RuntimeName::ALL.len()];
        peers.push(Ours::start(runtime, transport, config.clone()).await.into());
        peers.push(Theirs::start(transport, their, None).await.into());
    }
    peers
}

fn we_dial_and_every_message_arrives_exactly_once_both_ways(transport: Transport) {
    run(async {
        for runtime in RuntimeName::ALL {
            let peers = vec![ours(runtime, transport).await, theirs(transport).await];
            exchange(Network::connect_meshes(peers, &[(0, 1)]).await).await;
        }
    });
}

fn they_dial_and_every_message_arrives_exactly_once_both_ways(transport: Transport) {
    run(async {
        for runtime in RuntimeName::ALL {
            let peers = vec![theirs(transport).await, ours(runtime, transport).await];
            exchange(Network::connect_meshes(peers, &[(0, 1)]).await).await;
        }
    });
}

async fn exchange(mut network: Network) {
    network.publish_all(&LENGTHS).await;
    network.check_exactly_once().await;
    network.end().await;
}

fn every_message_arrives_exactly_once_in_a_mixed_mesh_of_ten(transport: Transport) {
    run(async {
        let (config, their) = (Ours::config(Ids::Specified), Theirs::config(Ids::Specified));
        let peers = ten(transport, &config, &their).await;
        let mut network = Network::connect_meshes(peers, &SPARSE).await;
        network.publish_all(&LENGTHS[..2]).await;
        network.check_exactly_once().await;
        network.publish_all(&LENGTHS[1..]).await;
        network.check_exactly_once().await;
        network.end().await;
    });
}

/// Most neighbours are in no mesh: GRAFT is answered by PRUNE, IHAVE by IWANT.
fn every_message_arrives_exactly_once_where_meshes_are_small_and_everybody_knows_everybody(
    transport: Transport,
) {
    run(async {
        let mesh = MeshParams {
            degree: 2,
            degree_low: 1,
            degree_high: 3,
            degree_outbound: 0,
            degree_score: 1,
            ..MeshParams::default()
        };
        let mut config = Ours::config(Ids::Specified);
        (config.mesh, config.flood_publish) = (mesh, false);
        let mut their = Theirs::config(Ids::Specified);
        their.mesh_n(2).mesh_n_low(1).mesh_n_high(3).mesh_outbound_min(0).flood_publish(false);
        let peers = ten(transport, &config, &their).await;
        let all: Vec<_> = (0..10).flat_map(|one| (0..one).map(move |two| (one, two))).collect();
        let mut network = Network::connect(peers, &all).await;
        for lengths in [&LENGTHS[..2], &[2 * KIB, 20 * KIB], &LENGTHS[1..3]] {
            network.publish_all(lengths).await;
            network.check_exactly_once().await;
        }
        network.end().await;
    });
}

/// The one in the middle has room for one in its mesh. The other hears what there was, and asks.
fn what_the_mesh_does_not_carry_comes_by_ihave_and_iwant(transport: Transport) {
    run(async {
        for ids in [Ids::Specified, Ids::RustLibp2p] {
            let mut config = Ours::config(ids);
            config.mesh = MeshParams {
                degree: 1,
                degree_low: 1,
                degree_high: 1,
                degree_outbound: 0,
                degree_score: 1,
                ..MeshParams::default()
            };
            let mut their = Theirs::config(ids);
            their.mesh_n(1).mesh_n_low(1).mesh_n_high(1).mesh_outbound_min(0);
            let plain = || Ours::start(RuntimeName::Tokio, transport, Ours::config(ids));
            let their_plain = Theirs::config(ids);
            let theirs = |config| Theirs::start(transport, config, None);
            let in_the_middle = Ours::start(RuntimeName::Smol, transport, config).await;
            let peers =
                [plain().await.into(), in_the_middle.into(), theirs(&their_plain).await.into()];
            gossip_past_the_mesh(peers).await;
            let peers = [
                theirs(&their_plain).await.into(),
                theirs(&their).await.into(),
                plain().await.into(),
            ];
            gossip_past_the_mesh(peers).await;
        }
    });
}

/// The second has the first in its mesh, and nobody else.
async fn gossip_past_the_mesh(peers: [Peer; 3]) {
    let [first, middle, last] = &peers;
    let (only, late) = (BTreeSet::from([first.peer_id()]), last.peer_id());
    first.dial(middle).await;
    until("the first is in the mesh", || async { middle.mesh().await == only }).await;
    last.dial(middle).await;
    let knows = || async {
        middle.subscribers().await.contains(&late)
            && last.subscribers().await.contains(&middle.peer_id())
    };
    until("both know that the other is in the topic", knows).await;
    let mut letters = Vec::new();
    for (number, bytes) in (0..).zip(LENGTHS) {
        letters.push(first.publish(data(0, number, bytes)).await);
    }
    let mut network = Network::of(peers.into(), letters);
    network.check_exactly_once().await;
    assert_eq!(network.peers[1].mesh().await, only, "the last came in another way than was meant");
    network.end().await;
}

fn the_latest_version_that_both_know_is_spoken(transport: Transport) {
    let only = |version: GossipVersion| {
        let ids = GossipProtocolId::specified().into_iter();
        Some(ids.filter(|id| id.version == version).collect::<Vec<_>>())
    };
    let all: fn(&mut ConfigBuilder) = |_| {};
    let v1_1: fn(&mut ConfigBuilder) = |config| {
        config.protocol_id("/meshsub/1.1.0", Version::V1_1);
    };
    let v1_0: fn(&mut ConfigBuilder) = |config| {
        config.protocol_id("/meshsub/1.0.0", Version::V1_0);
    };
    let cases = [
        (None, all, GossipVersion::V13),
        (None, v1_1, GossipVersion::V11),
        (None, v1_0, GossipVersion::V10),
        (only(GossipVersion::V12), all, GossipVersion::V12),
        (only(GossipVersion::V11), all, GossipVersion::V11),
        (only(GossipVersion::V10), all, GossipVersion::V10),
    ];
    run(async {
        for (protocols, limit, version) in cases {
            for edge in [(0, 1), (1, 0)] {
                let mut config = Ours::config(Ids::Specified);
                config.protocols = protocols.clone().unwrap_or(config.protocols);
                let mut their = Theirs::config(Ids::Specified);
                limit(&mut their);
                let ours = Ours::start(RuntimeName::AsyncStd, transport, config).await;
                let theirs = Theirs::start(transport, &their, None).await;
                let peers = vec![ours.into(), theirs.into()];
                let network = Network::connect_meshes(peers, &[edge]).await;
                let [one, other] = &network.peers[..] else { panic!("two peers") };
                speak(one, other, version).await;
                speak(other, one, version).await;
                exchange(network).await;
            }
        }
    });
}

/// Waits until one has agreed with the other on this version. rust-libp2p takes everybody for a peer
/// that floods until it knows better.
async fn speak(one: &Peer, other: &Peer, version: GossipVersion) {
    let peer = other.peer_id();
    until("they speak this version", || async { one.speaks_with(peer).await == Some(version) })
        .await;
}

/// rust-libp2p speaks floodsub if it is told to, and with those who speak nothing else.
fn floodsub_carries_every_message_in_lines_of_three(transport: Transport) {
    run(async {
        let flooding = || {
            let protocols = vec![GossipProtocolId::floodsub()];
            let config = GossipConfig { protocols, ..Ours::config(Ids::Specified) };
            Ours::start(RuntimeName::Tokio, transport, config)
        };
        let mut their = Theirs::config(Ids::Specified);
        their.support_floodsub();
        let theirs = || Theirs::start(transport, &their, None);
        for theirs_in_the_middle in [true, false] {
            let peers: Vec<Peer> = match theirs_in_the_middle {
                true => {
                    vec![flooding().await.into(), theirs().await.into(), flooding().await.into()]
                }
                false => {
                    vec![theirs().await.into(), flooding().await.into(), theirs().await.into()]
                }
            };
            let network = Network::connect(peers, &[(0, 1), (1, 2)]).await;
            for (one, other) in [(0, 1), (1, 0), (1, 2), (2, 1)] {
                speak(&network.peers[one], &network.peers[other], GossipVersion::Floodsub).await;
            }
            exchange(network).await;
        }
    });
}

/// How long peers watch each other.
const TRAFFIC_TIME: Duration = Duration::from_secs(300);

/// How often each of ten peers publishes, and how often all look at scores.
const TRAFFIC_INTERVAL: Duration = Duration::from_secs(1);

#[test]
fn nobody_honest_falls_below_zero_in_five_minutes_of_traffic_over_tcp_and_quic() {
    run(async {
        join(traffic(Transport::TcpNoise), traffic(Transport::Quic)).await;
    });
}

/// Of ten peers nine are heard, each once a second. We ask for half of that; they score by the same
/// numbers, or, one of them, by rust-libp2p's own.
async fn traffic(transport: Transport) {
    let mut config = Ours::config(Ids::Specified);
    let mut of_topic = sanspeer_core::gossip::TopicScoreParams::with_expected_rate(4.5);
    // Time for all of them to meet and to begin.
    of_topic.mesh_message_deliveries_activation = Duration::from_secs(30);
    config.score.default_topic = of_topic;
    let their = Theirs::config(Ids::Specified);
    let mut peers: Vec<Peer> = Vec::new();
    for at in 0..5 {
        let runtime = RuntimeName::ALL[at % RuntimeName::ALL.len()];
        peers.push(Ours::start(runtime, transport, config.clone()).await.into());
        let scored = match at {
            0 => TopicScoreParams::default(),
            _ => as_rust_libp2p_has_it(&of_topic, config.score.decay_interval),
        };
        peers.push(Theirs::start(transport, &their, Some(scored)).await.into());
    }
    let mut network = Network::connect_meshes(peers, &SPARSE).await;
    let rounds = TRAFFIC_TIME.as_secs() / TRAFFIC_INTERVAL.as_secs();
    let mut interval = tokio::time::interval(TRAFFIC_INTERVAL);
    for round in 0..rounds {
        interval.tick().await;
        let bytes = if round % 20 == 0 { 40 * KIB } else { KIB };
        network.publish_all(&[bytes]).await;
        for (at, peer) in network.peers.iter().enumerate() {
            for (other, (score, made_of)) in peer.scores(&network.neighbours(at)).await {
                assert!(score >= 0.0, "{at} has {other} at {score} in round {round}: {made_of}");
            }
        }
    }
    // Everybody is thought well of, not merely left alone.
    for (at, peer) in network.peers.iter().enumerate() {
        for (other, (score, made_of)) in peer.scores(&network.neighbours(at)).await {
            assert!(score > 0.0, "{at} has {other} at {score} in the end: {made_of}");
        }
    }
    network.check_exactly_once().await;
    network.end().await;
}

/// Our numbers of a topic, as rust-libp2p wants them. It takes the square of the messages that are
/// missing, and we the square of their share.
fn as_rust_libp2p_has_it(
    ours: &sanspeer_core::gossip::TopicScoreParams,
    decay_interval: Duration,
) -> TopicScoreParams {
    let expected = ours.expected_deliveries(decay_interval).unwrap();
    let of_share = |weight: f64| weight / (expected.threshold * expected.threshold);
    TopicScoreParams {
        topic_weight: ours.topic_weight,
        time_in_mesh_weight: ours.time_in_mesh_weight,
        time_in_mesh_quantum: ours.time_in_mesh_quantum,
        time_in_mesh_cap: ours.time_in_mesh_cap,
        first_message_deliveries_weight: ours.first_message_deliveries_weight,
        first_message_deliveries_decay: ours.first_message_deliveries_decay,
        first_message_deliveries_cap: ours.first_message_deliveries_cap,
        mesh_message_deliveries_weight: of_share(ours.mesh_message_deliveries_weight),
        mesh_message_deliveries_decay: expected.decay,
        mesh_message_deliveries_cap: expected.cap,
        mesh_message_deliveries_threshold: expected.threshold,
        mesh_message_deliveries_window: ours.mesh_message_deliveries_window,
        mesh_message_deliveries_activation: expected.activation,
        mesh_failure_penalty_weight: of_share(ours.mesh_failure_penalty_weight),
        mesh_failure_penalty_decay: ours.mesh_failure_penalty_decay,
        invalid_message_deliveries_weight: ours.invalid_message_deliveries_weight,
        invalid_message_deliveries_decay: ours.invalid_message_deliveries_decay,
    }
}
