use super::*;

fn fixture() -> Fixture {
    let config = GossipConfig { direct_connect_ticks: 5, ..GossipConfig::default() };
    Fixture::new(config)
}

fn dials(fixture: &mut Fixture) -> usize {
    let outputs = fixture.outputs();
    outputs.iter().filter(|output| matches!(output, ProtocolOutput::Dial { .. })).count()
}

#[test]
fn a_direct_peer_is_dialled_at_the_next_heartbeat_and_every_so_often_until_it_is_there() {
    let mut fixture = fixture();
    let now = fixture.now;
    let address: multiaddr::Multiaddr = "/ip4/1.2.3.4/tcp/5".parse().unwrap();
    fixture.gossip.add_direct_peer(now, peer_id(1), vec![address.clone()]);
    fixture.outputs();
    fixture.beat();
    let dial = ProtocolOutput::Dial { peer: peer_id(1), addresses: vec![address] };
    assert!(fixture.outputs().contains(&dial));
    let later: Vec<usize> = (2..=10)
        .map(|_| {
            fixture.beat();
            dials(&mut fixture)
        })
        .collect();
    assert_eq!(later, [0, 0, 0, 1, 0, 0, 0, 0, 1]);
    fixture.connect(1, Role::Dialer);
    assert!(
        fixture.outputs().contains(&ProtocolOutput::Protect { peer: peer_id(1), protect: true })
    );
    (0..10).for_each(|_| fixture.beat());
    assert_eq!(dials(&mut fixture), 0);
}

#[test]
fn a_peer_that_becomes_direct_leaves_the_mesh_and_does_not_come_back() {
    let mut fixture = fixture();
    let key = fixture.peer_inside(1, Role::Dialer);
    fixture.said_to(1);
    let now = fixture.now;
    fixture.gossip.add_direct_peer(now, peer_id(1), Vec::new());
    assert!(fixture.mesh().is_empty());
    assert_eq!(fixture.said_to(1).prune.len(), 1);
    (0..200).for_each(|_| fixture.beat());
    assert!(fixture.mesh().is_empty(), "long after the back-off");
    let t = fixture.t.clone();
    assert!(fixture.gossip.always_sent_to(&t).contains(&key), "it gets everything instead");
    // And is one like all others when it is none any more.
    let now = fixture.now;
    assert!(fixture.gossip.remove_direct_peer(now, &peer_id(1)));
    assert!(!fixture.gossip.remove_direct_peer(now, &peer_id(1)));
    let protect = ProtocolOutput::Protect { peer: peer_id(1), protect: false };
    assert!(fixture.outputs().contains(&protect));
    fixture.beat();
    assert_eq!(fixture.mesh(), [key]);
}

#[test]
fn a_direct_peer_is_listened_to_and_published_to_whatever_its_score() {
    let mut fixture = fixture();
    let now = fixture.now;
    fixture.gossip.add_direct_peer(now, peer_id(1), Vec::new());
    let direct = fixture.peer_outside(1, Role::Dialer);
    let other = fixture.peer_outside(2, Role::Dialer);
    fixture.set_score(1, -100.0);
    fixture.set_score(2, -100.0);
    assert!(!fixture.gossip.is_graylisted(direct) && fixture.gossip.is_graylisted(other));
    assert!(fixture.gossip.may_publish_to(direct) && !fixture.gossip.may_publish_to(other));
    fixture.gossip.misbehaved(now, direct, 5);
    fixture.gossip.misbehaved(now, other, 5);
    assert_eq!((fixture.penalties(1), fixture.penalties(2)), (0.0, 25.0));
}
