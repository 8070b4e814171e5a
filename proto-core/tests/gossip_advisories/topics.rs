//! Topics that a remote makes up.

use sanspeer_core::gossip::{Control, GossipConfig, Outgoing};

use crate::gossip_world::{World, millis, secs, topic};
use crate::{LATEST, alone, count, left, node_with, tell};

/// GRAFTs of topics that nobody heard of: `count` of batch `batch`.
fn grafts(batch: usize, count: usize) -> Outgoing {
    let graft = (0..count).map(|number| topic(&format!("{batch}/{number}"))).collect();
    Outgoing { control: Control { graft, ..Control::default() }, ..Outgoing::default() }
}

#[test]
fn ghsa_g3g5_x568_qvqx_grafts_of_a_million_novel_topics_grow_nothing() {
    let _alone = alone();
    let mut world = World::new(1);
    let mut config = GossipConfig::default();
    // Misbehaviour costs nothing here, so that all of it is looked at.
    config.score.behaviour_penalty_weight = 0.0;
    let (node, _, puppets) = node_with(&mut world, config, 1);
    world.run_for(secs(1));
    world.heard(puppets[0]);
    let before = world.gossip(node).usage();
    let (mut most, region) = (0, count());
    for batch in 0..200 {
        tell(&mut world, puppets[0], node, &grafts(batch, 5_000));
        assert_eq!(world.gossip(node).usage(), before);
        most = most.max(left(&region));
    }
    assert!(most < 64 * 1024, "{most} bytes of a million grafts");
    world.run_for(secs(2));
    assert!(world.heard_control(puppets[0]).prune.is_empty(), "nor is any of it answered");
    assert_eq!(world.gossip(node).usage(), before);
    assert!(world.gossip(node).topic_peers(&topic("0/0")).is_empty());
}

#[test]
fn cve_2026_95859_grafts_of_novel_topics_cost_their_peer_until_nobody_listens_to_it() {
    let _alone = alone();
    let mut world = World::new(2);
    let (node, t, puppets) = node_with(&mut world, GossipConfig::default(), 2);
    world.run_for(secs(1));
    let mut before = world.score(node, puppets[0]);
    for batch in 0..3 {
        tell(&mut world, puppets[0], node, &grafts(batch, 10));
        let now = world.score(node, puppets[0]);
        assert!(now < before, "each frame of them costs: {now} after {before}");
        before = now;
    }
    assert!(before < GossipConfig::default().score.thresholds.graylist);
    let message = world.signed(puppets[0], 1, &t, "m");
    world.say_messages(puppets[0], node, &[message]);
    world.run_for(secs(1));
    assert!(world.messages(node).is_empty());
    assert_eq!(world.mesh(node, &t), [puppets[1]], "and it is in no mesh");
    assert!(world.score(node, puppets[1]) >= 0.0);
}

#[test]
fn a_graft_of_a_topic_that_we_left_just_now_costs_nothing() {
    let _alone = alone();
    let mut world = World::new(3);
    let (node, t, puppets) = node_with(&mut world, GossipConfig::default(), 1);
    world.run_for(secs(1));
    let before = world.score(node, puppets[0]);
    world.unsubscribe(node, &t);
    world.say_graft(puppets[0], node, &t);
    world.run_for(millis(100));
    let breakdown = world.gossip(node).score(&world.peer(puppets[0])).unwrap_or_default();
    assert_eq!(breakdown.behaviour_penalty.value, 0.0, "{before}");
    world.run_for(secs(20));
    world.say_graft(puppets[0], node, &t);
    world.run_for(millis(100));
    assert!(world.score(node, puppets[0]) < 0.0, "but it should know by now");
}

#[test]
fn cve_2026_46679_subscriptions_of_a_peer_are_bounded_in_number_and_bytes() {
    const MOST: usize = 1_024;
    let _alone = alone();
    for (length, topics) in [(8, MOST), (1_000, 65)] {
        let mut world = World::new(4);
        let (node, _, puppets) = node_with(&mut world, GossipConfig::default(), 1);
        world.run_for(secs(1));
        let region = count();
        let mut most = 0;
        for batch in 0..100 {
            let name = |number| topic(&format!("{batch:04}{number:04}{}", "x".repeat(length - 8)));
            let subscriptions = (0..1_000).map(|number| (true, name(number))).collect();
            let said = Outgoing { subscriptions, ..Outgoing::default() };
            tell(&mut world, puppets[0], node, &said);
            drop(said);
            world.take_events(node);
            most = most.max(left(&region));
        }
        // And the one that we are in.
        assert_eq!(world.gossip(node).usage().topics, 1 + topics.min(MOST - 1));
        assert!(most < 1_024 * 1_024, "{most} bytes of 100,000 subscriptions");
        world.disconnect_all(puppets[0], node);
        world.take_events(node);
        assert_eq!(world.gossip(node).usage().topics, 1);
        let held = left(&region);
        assert!(held < 64 * 1024, "{held} bytes outlive the peer");
    }
}

#[test]
fn topics_that_many_peers_make_up_are_forgotten_with_them() {
    let _alone = alone();
    let mut world = World::new(5);
    let (node, t, _) = node_with(&mut world, GossipConfig::default(), 0);
    let attackers: Vec<usize> = (0..20).map(|_| world.add_subscriber(node, &t, LATEST)).collect();
    world.run_for(millis(50));
    for (number, attacker) in attackers.iter().enumerate() {
        let name = |topic_number| topic(&format!("{number}/{topic_number}"));
        let subscriptions = (0..2_000).map(|number| (true, name(number))).collect();
        tell(&mut world, *attacker, node, &Outgoing { subscriptions, ..Outgoing::default() });
    }
    assert_eq!(world.gossip(node).usage().topics, 1 + 20 * 1_023);
    attackers.iter().for_each(|attacker| world.disconnect_all(*attacker, node));
    assert_eq!(world.gossip(node).usage().topics, 1);
    assert!(world.gossip(node).topic_peers(&t).is_empty());
}
