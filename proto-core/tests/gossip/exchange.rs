//! Peers that a PRUNE names.

use std::collections::BTreeSet;

use sanspeer_core::gossip::{GossipConfig, PeerInfo};
use sanspeer_core::identity::{Identity, PeerId};
use sanspeer_core::record::{RecordFormat, SignedPeerRecord};
use sanspeer_core::rng::Seed;

use crate::gossip_world::{World, millis, secs, topic};
use crate::helpers::{
    FLOODSUB, LATEST, V10, config, forget_heard, node_with, outside_mesh, peers_of, rate,
    settled_with,
};

#[test]
fn a_peer_that_a_prune_names_is_dialled_if_the_record_is_its_own() {
    let mut world = World::new(22);
    let (node, t, puppets) = node_with(&mut world, config(), 1);
    let [genuine, other] = [world.add_puppet(LATEST), world.add_puppet(LATEST)];
    let address: multiaddr::Multiaddr = "/ip4/1.2.3.4/tcp/5".parse().unwrap();
    let record = |world: &World, side: usize| {
        let identity = &world.sides[side].identity;
        let addresses = vec![address.clone()];
        SignedPeerRecord::sign(identity, RecordFormat::PeerRecord, 1, addresses).unwrap().encode()
    };
    let named = |world: &World, peer: usize, of: usize| PeerInfo {
        peer: world.peer(peer),
        signed_record: Some(record(world, of).into()),
    };
    let peers = vec![named(&world, genuine, genuine), named(&world, other, genuine)];
    world.say_prune(puppets[0], node, &t, peers.clone(), None);
    world.run_for(millis(5));
    assert!(world.sides[node].dials.is_empty(), "not of a peer with so low a score");
    world.with(node, |gossip, now| {
        let peer = gossip.topic_peers(&t)[0];
        gossip.set_application_score(now, &peer, 100.0).unwrap();
    });
    world.say_prune(puppets[0], node, &t, peers, None);
    world.run_for(millis(5));
    assert_eq!(world.sides[node].dials, [(world.peer(genuine), vec![address])]);
}

#[test]
fn a_pruned_peer_is_told_of_others_with_their_records() {
    let mut world = World::new(23);
    let (node, t, puppets) =
        node_with(&mut world, GossipConfig { exchange_peers: true, ..config() }, 3);
    world.run_for(secs(1));
    let identity = world.sides[puppets[1]].identity.clone();
    let record = SignedPeerRecord::sign(&identity, RecordFormat::PeerRecord, 1, Vec::new());
    let record: bytes::Bytes = record.unwrap().encode().into();
    let (one, two) = (world.peer(puppets[1]), world.peer(puppets[2]));
    world.with(node, |gossip, _| {
        assert!(gossip.set_peer_record(&one, record.clone()));
        assert!(!gossip.set_peer_record(&two, record.clone()), "it is another's");
    });
    world.heard(puppets[0]);
    world.unsubscribe(node, &t);
    world.run_for(millis(5));
    let heard = world.heard(puppets[0]);
    let said = &heard[0].said;
    assert_eq!(said.subscriptions, [(false, t.clone())]);
    assert_eq!(said.control.prune[0].backoff_secs, Some(10));
    let mut peers = said.control.prune[0].peers.clone();
    peers.sort_by_key(|info| info.peer);
    let mut expected = vec![
        PeerInfo { peer: one, signed_record: Some(record) },
        PeerInfo { peer: two, signed_record: None },
    ];
    expected.sort_by_key(|info| info.peer);
    assert_eq!(peers, expected);
}

/// Peers that nobody is connected to, without records.
fn strangers(count: u64) -> Vec<PeerInfo> {
    let stranger = |number| PeerInfo {
        peer: Identity::ed25519(&Seed::from_u64(1_000_000 + number)).peer_id(),
        signed_record: None,
    };
    (0..count).map(stranger).collect()
}

/// The peers that a puppet was told of by PRUNEs.
fn told_of(world: &mut World, puppet: usize) -> Vec<PeerId> {
    let prunes = world.heard_control(puppet).prune;
    prunes.into_iter().flat_map(|prune| prune.peers).map(|info| info.peer).collect()
}

#[test]
fn of_many_peers_that_a_prune_names_sixteen_are_dialled() {
    let mut world = World::new(160);
    let (node, t, puppets) = node_with(&mut world, config(), 1);
    rate(&mut world, node, puppets[0], 100.0);
    let named = strangers(21);
    world.say_prune(puppets[0], node, &t, named.clone(), Some(60));
    world.run_for(millis(5));
    let dialled: BTreeSet<PeerId> = world.sides[node].dials.iter().map(|(peer, _)| *peer).collect();
    assert_eq!((dialled.len(), world.sides[node].dials.len()), (16, 16));
    assert!(dialled.iter().all(|peer| named.iter().any(|info| info.peer == *peer)));
}

#[test]
fn whom_to_dial_is_believed_of_peers_of_a_high_score_alone() {
    let mut world = World::new(161);
    let (node, t, puppets) = node_with(&mut world, config(), 1);
    for (score, dials) in [(-1.0, 0), (9.9, 0), (10.0, 1)] {
        rate(&mut world, node, puppets[0], score);
        world.say_prune(puppets[0], node, &t, strangers(1), Some(60));
        world.run_for(millis(5));
        assert_eq!(world.sides[node].dials.len(), dials, "at {score}");
    }
}

#[test]
fn whoever_finds_a_mesh_full_is_told_of_sixteen_others_and_of_nobody_during_its_backoff() {
    let mut world = World::new(162);
    let config = GossipConfig { exchange_peers: true, ..config() };
    let (node, t, puppets) = settled_with(&mut world, config, 20);
    forget_heard(&mut world, &puppets);
    puppets.iter().for_each(|puppet| world.say_graft(*puppet, node, &t));
    world.run_for(millis(5));
    let refused = outside_mesh(&world, node, &t, &puppets);
    assert_eq!(refused.len(), 8);
    let prune = world.heard_control(refused[0]).prune.remove(0);
    assert_eq!((&prune.topic, prune.backoff_secs), (&t, Some(60)));
    let told: BTreeSet<PeerId> = prune.peers.iter().map(|info| info.peer).collect();
    assert_eq!((told.len(), prune.peers.len()), (16, 16));
    assert!(!told.contains(&world.peer(refused[0])) && !told.contains(&world.peer(node)));
    world.say_graft(refused[0], node, &t);
    world.run_for(millis(5));
    let prune = world.heard_control(refused[0]).prune.remove(0);
    assert_eq!((prune.peers, prune.backoff_secs), (Vec::new(), Some(60)));
}

#[test]
fn peers_of_negative_scores_are_named_to_nobody_and_told_of_nobody() {
    let mut world = World::new(163);
    let config = GossipConfig { exchange_peers: true, ..config() };
    let (node, _, puppets) = settled_with(&mut world, config, 3);
    forget_heard(&mut world, &puppets);
    rate(&mut world, node, puppets[0], -10.0);
    world.unsubscribe(node, &topic("t"));
    world.run_for(millis(5));
    assert!(told_of(&mut world, puppets[0]).is_empty());
    assert_eq!(told_of(&mut world, puppets[1]), peers_of(&world, &puppets[2..]));
    assert_eq!(told_of(&mut world, puppets[2]), peers_of(&world, &puppets[1..2]));
}

#[test]
fn peers_of_version_1_0_are_told_of_nobody_and_of_floodsub_peers_nobody_is_told() {
    let mut world = World::new(164);
    let (t, config) = (topic("t"), GossipConfig { exchange_peers: true, ..config() });
    let node = world.add(config);
    world.subscribe(node, &t);
    let [old, new, _] = [V10, LATEST, FLOODSUB].map(|ids| world.add_subscriber(node, &t, ids));
    world.run_for(millis(1_150));
    assert_eq!(world.mesh(node, &t), [old, new]);
    forget_heard(&mut world, &[old, new]);
    world.unsubscribe(node, &t);
    world.run_for(millis(5));
    let prune = world.heard_control(old).prune.remove(0);
    assert_eq!((prune.peers, prune.backoff_secs), (Vec::new(), None));
    assert_eq!(told_of(&mut world, new), peers_of(&world, &[old]));
}
