use super::*;
use crate::gossip::config::MeshParams;

fn fixture() -> Fixture {
    Fixture::new(GossipConfig::default())
}

/// A peer that is connected and can be spoken to; it says that it is in the topic.
fn joins(fixture: &mut Fixture, number: u64, role: Role) {
    fixture.connect(number, role);
    fixture.open(number, LATEST);
    let (key, now, t) = (fixture.key(number), fixture.now, fixture.t.clone());
    assert!(fixture.gossip.peer_joined(now, key, &t));
}

#[test]
fn peers_are_grafted_as_they_come_until_half_of_the_degree_with_room_for_those_we_dialled() {
    let mut fixture = fixture();
    for number in 1..=10 {
        joins(&mut fixture, number, Role::Listener);
    }
    assert_eq!(fixture.mesh().len(), 1, "two of three places are for peers that we dial");
    for number in 11..=20 {
        joins(&mut fixture, number, Role::Dialer);
    }
    assert_eq!(fixture.mesh().len(), 3);
    assert_eq!(fixture.gossip.outbound_in_mesh(&fixture.t), 2);
    // They have met just now, and others may be about to graft us.
    fixture.beat();
    assert_eq!(fixture.mesh().len(), 3);
    fixture.beat();
    assert_eq!(fixture.mesh().len(), MeshParams::default().degree, "the rest at a heartbeat");
}

#[test]
fn where_the_degree_is_zero_nobody_is_grafted() {
    let none = MeshParams {
        degree: 0,
        degree_low: 0,
        degree_high: 0,
        degree_outbound: 0,
        degree_lazy: 0,
        degree_score: 0,
    };
    let mut fixture = Fixture::new(GossipConfig { mesh: none, ..GossipConfig::default() });
    for number in 1..=4 {
        joins(&mut fixture, number, Role::Dialer);
        assert!(fixture.mesh().is_empty());
        fixture.beat();
        assert!(fixture.said_to(number).graft.is_empty());
    }
}

#[test]
fn nobody_is_grafted_who_cannot_be_in_a_mesh() {
    let mut fixture = fixture();
    // One speaks floodsub, one cannot be spoken to, one is direct, one has a poor score.
    fixture.connect(1, Role::Dialer);
    fixture.open(1, "/floodsub/1.0.0");
    fixture.connect(2, Role::Dialer);
    let now = fixture.now;
    fixture.gossip.add_direct_peer(now, peer_id(3), Vec::new());
    fixture.connect(3, Role::Dialer);
    fixture.open(3, LATEST);
    fixture.connect(4, Role::Dialer);
    fixture.open(4, LATEST);
    fixture.set_score(4, -1.0);
    for number in 1..=4 {
        let (key, t) = (fixture.key(number), fixture.t.clone());
        assert!(fixture.gossip.peer_joined(now, key, &t));
        let rpc = Rpc::decode(&grafting(&t), &RpcLimits::default()).unwrap();
        fixture.gossip.handle_graft(now, key, &rpc.control.graft);
        assert!(fixture.mesh().is_empty(), "peer {number}");
    }
    fixture.beat();
    assert!(fixture.mesh().is_empty());
    fixture.set_score(4, 0.0);
    assert!(fixture.gossip.backoffs.get(fixture.now, &fixture.t, &peer_id(4)).is_some());
}

/// A frame with a GRAFT.
fn grafting(topic: &Topic) -> bytes::Bytes {
    let name = topic.as_str().as_bytes();
    let length = u8::try_from(name.len()).unwrap();
    let graft = [&[0x0a, length], name].concat();
    [&[0x1a, length + 4, 0x1a, length + 2], &graft[..]].concat().into()
}

#[test]
fn a_full_mesh_takes_no_more_but_those_that_we_dialled() {
    let mut fixture = fixture();
    let most = MeshParams::default().degree_high;
    for number in 0..most as u64 {
        fixture.peer_inside(number + 1, Role::Listener);
    }
    assert_eq!(fixture.mesh().len(), most);
    let (t, now) = (fixture.t.clone(), fixture.now);
    let rpc = Rpc::decode(&grafting(&t), &RpcLimits::default()).unwrap();
    for (number, role, taken) in [(50, Role::Listener, false), (51, Role::Dialer, true)] {
        let key = fixture.peer_outside(number, role);
        fixture.outputs();
        fixture.gossip.handle_graft(now, key, &rpc.control.graft);
        assert_eq!(fixture.mesh().contains(&key), taken);
        let pruned = fixture.said_to(number).prune;
        assert_eq!(pruned.is_empty(), taken, "one that is refused is told so");
    }
    fixture.beat();
    assert!(fixture.mesh().len() <= most);
}

#[test]
fn a_graft_that_was_not_told_yet_is_forgotten_with_its_reason() {
    let mut fixture = fixture();
    let key = fixture.peer_inside(1, Role::Dialer);
    let (t, now) = (fixture.t.clone(), fixture.now);
    fixture.gossip.remove_from_mesh(now, &t, key);
    assert!(fixture.said_to(1).graft.is_empty());
    // What is to be said in its place stays.
    fixture.gossip.graft(now, &t, key);
    fixture.gossip.prune(now, &t, key, false);
    let said = fixture.said_to(1);
    assert!(said.graft.is_empty());
    assert_eq!(said.prune.iter().map(|prune| &prune.topic).collect::<Vec<_>>(), [&t]);
}

#[test]
fn a_graft_that_is_repeated_changes_nothing_and_costs_nothing() {
    let mut fixture = fixture();
    let key = fixture.peer_inside(1, Role::Dialer);
    fixture.said_to(1);
    fixture.events();
    let (t, now) = (fixture.t.clone(), fixture.now);
    let rpc = Rpc::decode(&grafting(&t), &RpcLimits::default()).unwrap();
    for _ in 0..10 {
        fixture.gossip.handle_graft(now, key, &rpc.control.graft);
    }
    assert_eq!((fixture.mesh(), fixture.penalties(1)), (vec![key], 0.0));
    assert!(fixture.events().is_empty());
    assert_eq!(fixture.said_to(1), Control::default());
}

#[test]
fn a_graft_just_after_a_prune_costs_twice_what_a_later_one_does() {
    for (wait, cost) in [(1, 2.0), (20, 1.0)] {
        let mut fixture = fixture();
        let key = fixture.peer_inside(1, Role::Dialer);
        let (t, now) = (fixture.t.clone(), fixture.now);
        fixture.gossip.prune(now, &t, key, false);
        fixture.now = now.saturating_add(core::time::Duration::from_secs(wait));
        let now = fixture.gossip.advance(fixture.now);
        let rpc = Rpc::decode(&grafting(&t), &RpcLimits::default()).unwrap();
        fixture.gossip.handle_graft(now, key, &rpc.control.graft);
        let value = fixture.penalties(1);
        assert_eq!(value, cost * cost, "after {wait} s");
        assert!(fixture.mesh().is_empty());
    }
}
