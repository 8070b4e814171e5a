//! PRUNE, and what it leaves.

use sanspeer_core::gossip::{Control, GossipConfig, GossipEvent, Outgoing, Prune, Topic};
use sanspeer_core::time::Timestamp;

use crate::gossip_world::{World, millis, secs, topic};
use crate::{LATEST, alone, count, left, node_with, tell};

/// Numbers of seconds that overflow somewhere: as nanoseconds, beside the time, as a sign.
const ENDLESS: [u64; 6] = [
    u64::MAX,
    u64::MAX - 1,
    u64::MAX / 1_000_000_000,
    u64::MAX / 1_000_000_000 + 1,
    1 << 63,
    3_601,
];

#[test]
fn cve_2026_33040_a_prune_backoff_near_the_end_of_time_is_clamped() {
    let _alone = alone();
    for backoff in ENDLESS {
        let mut world = World::new(1);
        let (node, t, puppets) = node_with(&mut world, GossipConfig::default(), 2);
        world.run_for(secs(1));
        world.say_prune(puppets[0], node, &t, Vec::new(), Some(backoff));
        world.run_for(millis(10));
        assert_eq!(world.mesh(node, &t), [puppets[1]]);
        world.heard(puppets[0]);
        world.run_for(secs(3_599));
        assert_eq!(world.mesh(node, &t), [puppets[1]], "{backoff} s");
        assert!(world.heard_control(puppets[0]).graft.is_empty(), "{backoff} s");
        world.run_for(secs(5));
        assert_eq!(world.mesh(node, &t).len(), 2, "an hour is the most, not {backoff} s");
        assert_eq!(world.heard_control(puppets[0]).graft, [t]);
    }
}

#[test]
fn cve_2026_34219_a_heartbeat_adds_slack_to_backoffs_that_end_with_time_itself() {
    let _alone = alone();
    for before_the_end in [10_000_000_000, 1_500_000_000, 1, 0] {
        for backoff in ENDLESS {
            let late = Timestamp(u64::MAX - before_the_end);
            let mut world = World::new(2).starting_at(late);
            let (node, t, puppets) = node_with(&mut world, GossipConfig::default(), 2);
            world.say_prune(puppets[0], node, &t, Vec::new(), Some(backoff));
            world.say_graft(puppets[0], node, &t);
            world.run_for(secs(1));
            // Heartbeats look at back-offs with the slack that they have.
            world.run_for(secs(20));
            assert_eq!(world.now, Timestamp::MAX);
            world.say_prune(puppets[1], node, &t, Vec::new(), Some(backoff));
            world.run_for(secs(1));
            let message = world.signed(puppets[0], 7, &t, "the last one");
            world.say_messages(puppets[0], node, &[message]);
            world.run_for(secs(1));
            assert_eq!(world.messages(node).len(), 1, "it goes on");
            world.publish(node, &t, "ours");
        }
    }
}

#[test]
fn ghsa_vrx6_jcp8_vm7m_prunes_of_topics_that_we_are_not_in_leave_nothing() {
    let _alone = alone();
    let mut world = World::new(3);
    let (node, _, puppets) = node_with(&mut world, GossipConfig::default(), 1);
    world.run_for(secs(1));
    let before = world.gossip(node).usage();
    let (mut most, region) = (0, count());
    for batch in 0..40 {
        let name = |number| topic(&format!("{batch}/{number}"));
        let prune =
            |number| Prune { topic: name(number), peers: Vec::new(), backoff_secs: Some(3_600) };
        let control = Control { prune: (0..2_500).map(prune).collect(), ..Control::default() };
        tell(&mut world, puppets[0], node, &Outgoing { control, ..Outgoing::default() });
        most = most.max(left(&region));
    }
    assert_eq!(world.gossip(node).usage(), before);
    assert!(most < 64 * 1024, "{most} bytes of 100,000 prunes");
}

#[test]
fn ghsa_vrx6_jcp8_vm7m_backoffs_that_outlive_their_connections_are_bounded() {
    const MOST: usize = 32 * 1024;
    let _alone = alone();
    let mut world = World::new(4);
    let node = world.add(GossipConfig::default());
    let topics: Vec<Topic> = (0..100).map(|number| topic(&number.to_string())).collect();
    topics.iter().for_each(|topic| world.subscribe(node, topic));
    let attackers: Vec<usize> = (0..400).map(|_| world.add_puppet(LATEST)).collect();
    let prune = |topic: &Topic| Prune {
        topic: topic.clone(),
        peers: Vec::new(),
        backoff_secs: Some(u64::MAX),
    };
    let control = Control { prune: topics.iter().map(prune).collect(), ..Control::default() };
    let said = Outgoing { control, ..Outgoing::default() };
    let region = count();
    for (number, attacker) in attackers.into_iter().enumerate() {
        world.connect(attacker, node);
        world.open_by_hand(attacker, node);
        world.run_for(millis(1));
        tell(&mut world, attacker, node, &said);
        world.disconnect_all(attacker, node);
        let backoffs = world.gossip(node).usage().backoffs;
        assert_eq!(backoffs, MOST.min((number + 1) * topics.len()), "they outlive connections");
    }
    let usage = world.gossip(node).usage();
    assert_eq!((usage.peers, usage.topics), (0, topics.len()));
    let held = left(&region);
    assert!(held < MOST * 512, "{held} bytes for {MOST} back-offs");
    world.run_for(secs(3_603));
    assert_eq!(world.gossip(node).usage().backoffs, 0, "they end");
}

#[test]
fn whoever_grafts_during_the_backoff_is_refused_and_pays_and_whoever_waits_is_let_in() {
    let _alone = alone();
    let mut world = World::new(5);
    let (node, t, puppets) = node_with(&mut world, GossipConfig::default(), 2);
    world.run_for(secs(1));
    world.say_prune(puppets[0], node, &t, Vec::new(), Some(30));
    world.run_for(secs(29));
    world.say_graft(puppets[0], node, &t);
    world.run_for(millis(10));
    assert_eq!(world.mesh(node, &t), [puppets[1]]);
    assert!(world.score(node, puppets[0]) < 0.0);
    // It was refused with a back-off of our own.
    world.run_for(secs(61));
    world.take_events(node);
    world.say_graft(puppets[0], node, &t);
    world.run_for(millis(10));
    let (peer, grafted) = (world.peer(puppets[0]), world.mesh(node, &t));
    assert_eq!(grafted, [puppets[0], puppets[1]]);
    assert!(world.take_events(node).contains(&GossipEvent::Grafted { peer, topic: t }));
}
