use core::time::Duration;

use super::*;
use crate::gossip::config::MeshParams;
use crate::gossip::score::TopicScoreParams;

fn fixture() -> Fixture {
    Fixture::new(GossipConfig::default())
}

const MESH: fn() -> MeshParams = MeshParams::default;

#[test]
fn of_a_mesh_that_is_too_large_the_best_stay_and_enough_that_we_dialled() {
    let mut fixture = fixture();
    let all: Vec<PeerKey> =
        (1..=17).map(|number| fixture.peer_inside(number, Role::Listener)).collect();
    let dialled: Vec<PeerKey> =
        (18..=20).map(|number| fixture.peer_inside(number, Role::Dialer)).collect();
    for best in 1..=4 {
        fixture.set_score(best, 10.0 + best as f64);
    }
    fixture.beat();
    let mesh = fixture.mesh();
    assert_eq!(mesh.len(), MESH().degree);
    assert!(all[..MESH().degree_score].iter().all(|key| mesh.contains(key)), "the best stay");
    let outbound = dialled.iter().filter(|key| mesh.contains(key)).count();
    assert_eq!(outbound, MESH().degree_outbound);
    // The others are told, and left alone.
    let gone = (5..=17).find(|number| !mesh.contains(&fixture.key(*number))).unwrap();
    let pruned = fixture.said_to(gone).prune;
    assert_eq!(pruned.iter().map(|prune| prune.backoff_secs).collect::<Vec<_>>(), [Some(60)]);
    assert!(fixture.gossip.backoffs.get(fixture.now, &fixture.t, &peer_id(gone)).is_some());
}

#[test]
fn in_a_full_mesh_others_make_room_for_those_that_we_dialled() {
    let mut fixture = fixture();
    for number in 0..MESH().degree_high as u64 {
        fixture.peer_inside(number + 1, Role::Listener);
    }
    let dialled: Vec<PeerKey> =
        (50..55).map(|number| fixture.peer_outside(number, Role::Dialer)).collect();
    fixture.beat();
    let mesh = fixture.mesh();
    assert_eq!(mesh.len(), MESH().degree_high, "not one more");
    let outbound = dialled.iter().filter(|key| mesh.contains(key)).count();
    assert_eq!(outbound, MESH().degree_outbound);
}

#[test]
fn who_is_below_zero_leaves_the_mesh_and_is_named_nobody() {
    let config = GossipConfig { exchange_peers: true, ..GossipConfig::default() };
    let mut fixture = Fixture::new(config);
    for number in 1..=6 {
        fixture.peer_inside(number, Role::Dialer);
    }
    fixture.said_to(1);
    fixture.set_score(1, -0.1);
    let bad = fixture.key(1);
    fixture.beat();
    assert!(!fixture.mesh().contains(&bad));
    let pruned = fixture.said_to(1).prune;
    assert_eq!(pruned.len(), 1);
    assert!(pruned[0].peers.is_empty());
}

#[test]
fn nobody_below_zero_is_in_a_mesh_because_another_topic_let_it_go() {
    // Its time in two meshes just makes up for what it did; one of them is too large.
    let mut fixture = fixture();
    let (now, small, large) = (fixture.now, fixture.t.clone(), topic("z"));
    fixture.gossip.subscribe(now, &large).unwrap();
    let key = fixture.peer_inside(1, Role::Dialer);
    for number in 2..=20 {
        fixture.peer_outside(number, Role::Listener);
        fixture.set_score(number, 50.0);
    }
    for number in 1..=20 {
        let key = fixture.key(number);
        fixture.gossip.peer_joined(now, key, &large);
        fixture.gossip.graft(now, &large, key);
    }
    let settings = |mesh| crate::gossip::TopicSettings {
        mesh: Some(mesh),
        ..crate::gossip::TopicSettings::default()
    };
    let wide = MeshParams { degree_high: 30, ..MESH() };
    fixture.gossip.set_topic_settings(&large, settings(wide)).unwrap();
    for _ in 0..15 {
        fixture.beat();
    }
    assert!(fixture.gossip.score_of(key) > 8.0, "five for each mesh");
    fixture.set_score(1, -8.0);
    assert!(fixture.gossip.score_of(key) >= 0.0);
    let narrow =
        MeshParams { degree: 4, degree_low: 4, degree_high: 4, degree_outbound: 0, ..MESH() };
    fixture.gossip.set_topic_settings(&large, settings(narrow)).unwrap();
    fixture.beat();
    assert!(!fixture.gossip.mesh_of(&large).contains(&key), "the others are better");
    assert!(fixture.gossip.score_of(key) < 0.0);
    assert!(!fixture.gossip.mesh_of(&small).contains(&key));
}

#[test]
fn a_mesh_of_poor_scores_gets_a_few_that_are_better() {
    let config = GossipConfig { opportunistic_graft_ticks: 3, ..GossipConfig::default() };
    let mut fixture = Fixture::new(config);
    for number in 1..=6 {
        fixture.peer_inside(number, Role::Dialer);
    }
    let better: Vec<PeerKey> =
        (11..=15).map(|number| fixture.peer_outside(number, Role::Listener)).collect();
    let worse = fixture.peer_outside(16, Role::Listener);
    for number in 11..=15 {
        fixture.set_score(number, 30.0);
    }
    for beats in 1..=3 {
        fixture.beat();
        let grafted = better.iter().filter(|key| fixture.mesh().contains(key)).count();
        assert_eq!(grafted, if beats == 3 { 2 } else { 0 });
    }
    assert!(!fixture.mesh().contains(&worse));
    // Not where the median is good.
    for number in 1..=6 {
        fixture.set_score(number, 30.0);
    }
    (0..3).for_each(|_| fixture.beat());
    assert_eq!(fixture.mesh().len(), 8);
}

#[test]
fn a_fanout_is_mended_while_it_is_used_and_then_forgotten() {
    let config = GossipConfig { flood_publish: false, ..GossipConfig::default() };
    let mut fixture = Fixture::new(config);
    let (now, other) = (fixture.now, topic("other"));
    for number in 1..=8 {
        let key = fixture.peer_outside(number, Role::Dialer);
        fixture.gossip.peer_joined(now, key, &other);
    }
    fixture.gossip.publish(now, &other, "m".into()).unwrap();
    assert_eq!(fixture.gossip.fanout_peers(&other).len(), MESH().degree);
    let gone = fixture.gossip.fanout_peers(&other)[0];
    fixture.gossip.set_application_score(now, &gone, -6.0).unwrap();
    fixture.beat();
    let fanout = fixture.gossip.fanout_peers(&other);
    assert_eq!(fanout.len(), MESH().degree);
    assert!(!fanout.contains(&gone), "below the threshold for publishing");
    for _ in 0..60 {
        fixture.beat();
    }
    assert!(fixture.gossip.fanout_peers(&other).is_empty());
    assert!(fixture.gossip.topics.with_fanout().next().is_none());
}

#[test]
fn allowances_begin_anew_and_left_topics_are_forgotten() {
    let mut fixture = fixture();
    let key = fixture.peer_outside(1, Role::Dialer);
    let (now, t) = (fixture.now, fixture.t.clone());
    fixture.gossip.peers.get_mut(key).unwrap().used.iwant_ids = 5_000;
    assert!(fixture.gossip.unsubscribe(now, &t));
    assert!(fixture.gossip.left.contains_key(&t));
    fixture.beat();
    assert_eq!(fixture.gossip.peers.get(key).unwrap().used.iwant_ids, 0);
    while fixture.now < now.saturating_add(Duration::from_secs(11)) {
        fixture.beat();
    }
    assert!(fixture.gossip.left.is_empty());
}

#[test]
fn a_heartbeat_that_is_late_by_hours_is_one_heartbeat() {
    let mut fixture = fixture();
    let now = fixture.now;
    fixture.gossip.set_topic_params(now, &topic("t"), TopicScoreParams::default()).unwrap();
    fixture.beat();
    let tick = fixture.gossip.tick;
    fixture.now = fixture.now.saturating_add(Duration::from_secs(10_000));
    fixture.tell(ProtocolInput::Timeout);
    assert_eq!(fixture.gossip.tick, tick + 1);
    fixture.tell(ProtocolInput::Timeout);
    assert_eq!(fixture.gossip.tick, tick + 1, "and no other before its time");
    assert!(fixture.gossip.poll_timeout().unwrap().at > fixture.now);
}
