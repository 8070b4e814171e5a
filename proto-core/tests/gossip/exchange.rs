//! Peers that a PRUNE names.

use sanspeer_core::gossip::{GossipConfig, PeerInfo};
use sanspeer_core::record::{RecordFormat, SignedPeerRecord};

use crate::gossip_world::{World, millis, secs};
use crate::helpers::{LATEST, config, node_with};

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
