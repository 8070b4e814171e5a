//! Networks that find together: a star around one peer that has no mesh and names others to whoever
//! grafts it, and direct peers that dial each other.

use sanspeer_core::gossip::{GossipConfig, MeshParams, ScoreConfig, ScoreThresholds};
use sanspeer_core::record::{RecordFormat, SignedPeerRecord};

use crate::crowd::{assert_all_reach_all, connect_pairs, subscribe_all};
use crate::gossip_world::{World, secs, topic};
use crate::helpers::config;

const NODES: usize = 20;

fn mesh(degree: usize) -> MeshParams {
    MeshParams {
        degree,
        degree_low: degree.saturating_sub(1),
        degree_high: if degree == 0 { 0 } else { degree + 1 },
        degree_outbound: 0,
        degree_lazy: degree,
        degree_score: degree.saturating_sub(1),
    }
}

/// A star whose centre is the first node. Nothing is known of scores yet when others are named.
fn star(seed: u64) -> (World, Vec<usize>) {
    let thresholds = ScoreThresholds { accept_px: 0.0, ..ScoreThresholds::default() };
    let score = ScoreConfig { thresholds, ..ScoreConfig::default() };
    let leaf = GossipConfig { mesh: mesh(4), exchange_peers: true, score, ..config() };
    let centre = GossipConfig { mesh: mesh(0), ..leaf.clone() };
    let mut world = World::new(seed);
    world.dials_connect = true;
    let mut nodes = vec![world.add(centre)];
    nodes.extend(world.add_many(NODES - 1, &leaf));
    for node in &nodes[1..] {
        world.connect(*node, nodes[0]);
    }
    world.run_for(secs(1));
    (world, nodes)
}

fn assert_is_a_network(world: &mut World, nodes: &[usize]) {
    let t = topic("t");
    subscribe_all(world, nodes, &t);
    world.run_for(secs(10));
    assert!(world.mesh(nodes[0], &t).is_empty(), "the centre is in no mesh");
    for node in &nodes[1..] {
        let peers = world.gossip(*node).usage().peers;
        assert!(peers > 1, "{peers} at {node}");
        assert!(!world.mesh(*node, &t).is_empty());
    }
    assert_all_reach_all(world, nodes, &t);
}

#[test]
fn a_star_becomes_a_network_by_what_its_centre_names() {
    let (mut world, nodes) = star(800);
    assert_is_a_network(&mut world, &nodes);
    assert!(world.sides[1..].iter().any(|side| !side.dials.is_empty()));
    let mut dials = world.sides.iter().flat_map(|side| &side.dials);
    assert!(dials.all(|(_, addresses)| addresses.is_empty()), "no record was known");
}

#[test]
fn a_star_becomes_a_network_by_the_records_that_its_centre_hands_on() {
    let (mut world, nodes) = star(801);
    for node in &nodes[1..] {
        let (peer, addresses) = (world.peer(*node), vec![world.sides[*node].address.clone()]);
        let identity = &world.sides[*node].identity;
        let record = SignedPeerRecord::sign(identity, RecordFormat::PeerRecord, 1, addresses);
        let envelope = record.expect("a record").encode().into();
        assert!(world.with(nodes[0], |gossip, _| gossip.set_peer_record(&peer, envelope)));
    }
    assert_is_a_network(&mut world, &nodes);
    let dials: Vec<_> = world.sides.iter().flat_map(|side| side.dials.clone()).collect();
    assert!(dials.iter().any(|(_, addresses)| !addresses.is_empty()));
    for (peer, addresses) in dials {
        let side = world.side_of(&peer).expect("one of them");
        // Whoever was named by another leaf came without: only the centre knows records.
        assert!(addresses.is_empty() || addresses == [world.sides[side].address.clone()]);
    }
}

/// Three nodes, the last two of which are direct peers of each other and not connected yet.
fn with_direct_peers(seed: u64) -> (World, Vec<usize>) {
    let mut world = World::new(seed);
    world.dials_connect = true;
    let nodes = world.add_many(3, &GossipConfig { direct_connect_ticks: 2, ..config() });
    connect_pairs(&mut world, &[(0, 1), (0, 2)]);
    for (one, other) in [(1, 2), (2, 1)] {
        let (peer, addresses) = (world.peer(other), vec![world.sides[other].address.clone()]);
        world.with(one, |gossip, now| gossip.add_direct_peer(now, peer, addresses));
    }
    (world, nodes)
}

#[test]
fn direct_peers_are_dialled_and_dialled_again_when_they_are_lost() {
    let (mut world, nodes) = with_direct_peers(802);
    let t = topic("t");
    world.run_for(secs(2));
    assert!(!world.connections_of(1, 2).is_empty());
    subscribe_all(&mut world, &nodes, &t);
    world.run_for(secs(1));
    assert_all_reach_all(&mut world, &nodes, &t);
    let before = world.sides[1].dials.len() + world.sides[2].dials.len();
    world.disconnect_all(1, 2);
    world.run_for(secs(3));
    assert!(!world.connections_of(1, 2).is_empty());
    assert!(world.sides[1].dials.len() + world.sides[2].dials.len() > before);
    assert_all_reach_all(&mut world, &nodes, &t);
    assert_eq!((world.mesh(1, &t), world.mesh(2, &t)), (vec![0], vec![0]));
}

#[test]
fn a_direct_peer_can_become_one_like_all_others() {
    let (mut world, nodes) = with_direct_peers(803);
    let t = topic("t");
    subscribe_all(&mut world, &nodes, &t);
    world.run_for(secs(2));
    let direct = world.peer(2);
    assert_eq!(world.sides[1].protects.last(), Some(&(direct, true)));
    for (one, other) in [(1, 2), (2, 1)] {
        let peer = world.peer(other);
        assert!(world.with(one, |gossip, now| gossip.remove_direct_peer(now, &peer)));
        assert!(!world.with(one, |gossip, now| gossip.remove_direct_peer(now, &peer)));
    }
    assert_eq!(world.sides[1].protects.last(), Some(&(direct, false)));
    world.run_for(secs(2));
    assert_eq!((world.mesh(1, &t), world.mesh(2, &t)), (vec![0, 2], vec![0, 1]));
    world.disconnect_all(1, 2);
    world.run_for(secs(5));
    assert!(world.connections_of(1, 2).is_empty(), "nobody dials it again");
}
