use multiaddr::Multiaddr;

use super::*;
use crate::gossip::PeerInfo;
use crate::gossip::rpc::Prune;
use crate::record::{RecordFormat, SignedPeerRecord};

/// A machine that takes names of everybody.
fn fixture() -> Fixture {
    let mut config = GossipConfig { exchange_peers: true, ..GossipConfig::default() };
    config.score.thresholds.accept_px = 0.0;
    Fixture::new(config)
}

fn address() -> Multiaddr {
    "/ip4/1.2.3.4/tcp/5".parse().unwrap()
}

fn record(number: u64, addresses: usize) -> bytes::Bytes {
    let addresses = vec![address(); addresses];
    let record = SignedPeerRecord::sign(&identity(number), RecordFormat::PeerRecord, 1, addresses);
    record.unwrap().encode().into()
}

fn named(number: u64, signed_record: Option<bytes::Bytes>) -> PeerInfo {
    PeerInfo { peer: peer_id(number), signed_record }
}

/// Peer `by` prunes us and names these; whom we want to dial then.
fn prune(fixture: &mut Fixture, by: u64, peers: Vec<PeerInfo>) -> Vec<(PeerId, Vec<Multiaddr>)> {
    let prune = vec![Prune { topic: fixture.t.clone(), peers, backoff_secs: Some(1) }];
    let control = Control { prune, ..Control::default() };
    let said = crate::gossip::Outgoing { control, ..Default::default() };
    let stream = fixture.inbound(by);
    for frame in said.frames(&Default::default()) {
        fixture.tell(ProtocolInput::Frame { stream, frame: frame.body });
    }
    let dials = fixture.outputs().into_iter().filter_map(|output| {
        let ProtocolOutput::Dial { peer, addresses } = output else { return None };
        Some((peer, addresses))
    });
    dials.collect()
}

#[test]
fn strangers_are_dialled_at_the_addresses_that_they_signed() {
    let mut fixture = fixture();
    fixture.peer_inside(1, Role::Dialer);
    fixture.peer_inside(2, Role::Dialer);
    let peers = vec![
        named(0, None),
        named(1, None),
        named(2, Some(record(2, 1))),
        named(11, Some(record(11, 1))),
        named(12, Some(record(11, 1))),
        named(13, Some(bytes::Bytes::from_static(b"no record"))),
        named(14, None),
    ];
    let mut dials = prune(&mut fixture, 1, peers);
    dials.sort();
    let mut expected = vec![(peer_id(11), vec![address()]), (peer_id(14), Vec::new())];
    expected.sort();
    assert_eq!(dials, expected, "not us, nor who is known, nor by a record of another");
}

#[test]
fn so_many_are_dialled_at_once_and_more_when_some_came_or_failed() {
    let mut fixture = fixture();
    fixture.gossip.config.max_exchange_dials = 3;
    fixture.gossip.config.exchanged_peers = 2;
    fixture.peer_inside(1, Role::Dialer);
    let strangers = |from: u64| (from..from + 5).map(|number| named(number, None)).collect();
    assert_eq!(prune(&mut fixture, 1, strangers(20)).len(), 2, "of one PRUNE");
    let third = prune(&mut fixture, 1, strangers(30));
    assert_eq!(third.len(), 1, "of one peer between two heartbeats");
    fixture.beat();
    assert_eq!(prune(&mut fixture, 1, strangers(40)).len(), 0, "all under way");
    fixture.beat();
    fixture.tell(ProtocolInput::DialFailed(third[0].0));
    assert_eq!(prune(&mut fixture, 1, strangers(50)).len(), 1);
}

#[test]
fn nobody_below_the_threshold_has_peers_dialled() {
    let mut fixture = fixture();
    fixture.peer_inside(1, Role::Dialer);
    fixture.set_score(1, -1.0);
    assert!(prune(&mut fixture, 1, vec![named(20, None)]).is_empty());
}

#[test]
fn those_named_to_a_pruned_peer_are_others_of_the_topic_with_scores_that_are_not_negative() {
    let mut fixture = fixture();
    for number in 1..=30 {
        fixture.peer_outside(number, Role::Dialer);
    }
    for bad in 2..=15 {
        fixture.set_score(bad, -1.0);
    }
    let (t, except) = (fixture.t.clone(), fixture.key(1));
    let peers = fixture.gossip.peers_to_name(&t, except);
    assert_eq!(peers.len(), 15);
    let good: Vec<PeerId> = (16..=30).map(peer_id).collect();
    assert!(peers.iter().all(|info| good.contains(&info.peer)));
    assert!(fixture.gossip.peers_to_name(&topic("unknown"), except).is_empty());
}

#[test]
fn records_that_do_not_fit_are_left_out_and_their_peers_are_not() {
    let mut fixture = fixture();
    let long = record(2, 100);
    let fit = 8 * 1024 / long.len();
    for number in 2..=17 {
        fixture.peer_outside(number, Role::Dialer);
        assert!(fixture.gossip.set_peer_record(&peer_id(number), record(number, 100)));
    }
    fixture.peer_outside(1, Role::Dialer);
    assert!(!fixture.gossip.set_peer_record(&peer_id(1), long), "another's");
    assert!(!fixture.gossip.set_peer_record(&peer_id(99), record(99, 1)), "not connected");
    let (t, except) = (fixture.t.clone(), fixture.key(1));
    let peers = fixture.gossip.peers_to_name(&t, except);
    assert_eq!(peers.len(), 16);
    let bytes = peers.iter().filter_map(|info| info.signed_record.as_ref()).map(|it| it.len());
    assert_eq!(bytes.clone().count(), fit);
    assert!(bytes.sum::<usize>() <= 8 * 1024);
}
