//! What does not grow, what does not overflow, and what late or wrong calls do.

use super::*;

#[test]
fn retained_scores_are_bounded_and_the_worst_are_kept() {
    let mut world = World::new(ScoreConfig { max_retained_peers: 4, ..ScoreConfig::default() });
    for number in 1..=20 {
        world.connect(number, None);
        // The later half is worse.
        world.misbehave(number, 1 + (number > 10) as u32);
        world.disconnect(number);
        assert!(world.scores.retained_peers() <= 4);
        assert_eq!(world.scores.peers().count(), world.scores.retained_peers());
    }
    let kept = (1..=20).filter(|number| world.score(*number) < 0.0).collect::<Vec<_>>();
    assert_eq!(kept.len(), 4);
    assert!(kept.iter().all(|number| *number > 10), "{kept:?}");
    // Small faults do not push out grave ones.
    world.connect(30, None);
    world.misbehave(30, 1);
    world.disconnect(30);
    assert_eq!(world.score(30), 0.0);
    assert!(kept.iter().all(|number| world.score(*number) < 0.0));
}

#[test]
fn offenders_that_are_gone_are_bounded_too() {
    let mut world = World::new(ScoreConfig { max_retained_peers: 3, ..ScoreConfig::default() });
    world.scores.add_topic(&topic());
    for number in 1..=20 {
        world.scores.invalid_message(world.now, peer(number), &topic());
        assert!(world.scores.retained_peers() <= 3);
    }
    world.pass_secs(3_600);
    assert_eq!((world.scores.retained_peers(), world.scores.peers().count()), (0, 0));
}

#[test]
fn where_nothing_is_retained_everybody_starts_anew() {
    let mut world = World::new(ScoreConfig { max_retained_peers: 0, ..ScoreConfig::default() });
    world.connect(1, None);
    world.misbehave(1, 5);
    world.disconnect(1);
    assert_eq!((world.score(1), world.scores.peers().count()), (0.0, 0));
}

#[test]
fn retained_peers_count_at_their_address_until_they_are_forgotten() {
    let config = ScoreConfig {
        ip_colocation_threshold: 1,
        retain_score: Duration::from_secs(10),
        ..ScoreConfig::default()
    };
    let mut world = World::new(config);
    world.connect(1, Some("1.2.3.4"));
    world.misbehave(1, 1);
    world.disconnect(1);
    world.connect(2, Some("1.2.3.4"));
    assert_eq!(world.score(2), -5.0, "another identity does not help");
    world.connect(1, Some("2.3.4.5"));
    assert_eq!(world.score(2), 0.0);
    world.disconnect(1);
    world.connect(3, Some("2.3.4.5"));
    assert_eq!(world.score(3), -5.0);
    world.pass_secs(10);
    assert_eq!(world.score(3), 0.0);
}

#[test]
fn a_crowded_address_alone_is_not_remembered() {
    let mut world = World::new(ScoreConfig::default());
    (1..=20).for_each(|number| world.connect(number, Some("1.2.3.4")));
    assert_eq!(world.score(1), -500.0);
    (1..=20).for_each(|number| world.disconnect(number));
    assert_eq!((world.scores.retained_peers(), world.scores.peers().count()), (0, 0));
    assert!(world.scores.colocation.is_empty());
}

#[test]
fn no_remote_adds_a_topic() {
    let mut world = World::with_peers(ScoreConfig::default(), 1);
    for number in 0..1_000 {
        let topic = Topic::new(&format!("novel {number}")).unwrap();
        world.scores.graft(world.now, &peer(1), &topic);
        world.scores.prune(world.now, &peer(1), &topic);
        world.scores.invalid_message(world.now, peer(1), &topic);
        world.scores.message_arrived(world.now, &id(number), &topic, peer(1));
        world.accept(&id(number));
        assert_eq!(world.scores.topic_params(&topic), None);
    }
    world.pass_secs(60);
    assert_eq!(world.score(1), 0.0);
    assert!(world.scores.breakdown(&peer(1)).unwrap().topics.is_empty());
}

#[test]
fn a_forgotten_topic_takes_along_what_was_counted_in_it() {
    let mut world = World::with_peers(ScoreConfig::default(), 1);
    world.scores.add_topic(&topic());
    world.invalid(1);
    let pending = world.arrive(1);
    assert_eq!(world.score(1), -0.5);
    world.scores.forget_topic(world.now, &topic());
    assert_eq!(world.score(1), 0.0);
    world.reject(&pending);
    world.scores.add_topic(&topic());
    assert_eq!(world.score(1), 0.0);
    world.invalid(1);
    assert_eq!(world.score(1), -0.5);
}

#[test]
fn counters_that_decayed_are_not_held() {
    let mut world = World::with_peers(ScoreConfig::default(), 1);
    world.scores.add_topic(&topic());
    world.deliver(1, &[]);
    assert_eq!(world.scores.breakdown(&peer(1)).unwrap().topics.len(), 1);
    world.pass_secs(10);
    assert!(world.scores.breakdown(&peer(1)).unwrap().topics.is_empty());
}

#[test]
fn late_and_wrong_calls_change_nothing() {
    let mut world = World::with_peers(ScoreConfig::default(), 1);
    world.scores.add_topic(&topic());
    world.graft(2);
    world.prune(2);
    world.disconnect(2);
    world.scores.slow_peer(world.now, &peer(2), 1);
    world.scores.remove_connection(world.now, &peer(1), ConnectionId(9));
    world.copy(&id(7), 1);
    world.accept(&id(7));
    world.reject(&id(7));
    world.prune(1);
    assert_eq!(world.scores.peers().collect::<Vec<_>>(), [&peer(1)]);
    assert_eq!((world.score(1), world.score(2)), (0.0, 0.0));
    world.disconnect(1);
    world.disconnect(1);
    assert_eq!(world.scores.retained_peers(), 0);
}

#[test]
fn a_connection_that_is_told_twice_is_one() {
    let config = ScoreConfig { ip_colocation_threshold: 1, ..ScoreConfig::default() };
    let mut world = World::new(config);
    world.connect(1, Some("1.2.3.4"));
    world.connect(1, Some("1.2.3.4"));
    world.connect(2, Some("1.2.3.4"));
    assert_eq!(world.score(1), -5.0);
    world.disconnect(1);
    assert_eq!((world.score(1), world.score(2)), (0.0, 0.0));
    world.disconnect(2);
    assert!(world.scores.colocation.is_empty());
}

#[test]
fn time_does_not_go_back() {
    let mut world = World::with_peers(config(blank()), 1);
    world.scores.refresh(Timestamp::from_secs(100));
    world.graft(1);
    assert_eq!(world.scores.refresh(Timestamp::from_secs(1)), Timestamp::from_secs(100));
    assert_eq!(world.scores.next_refresh(), Some(Timestamp::from_secs(101)));
}

#[test]
fn at_the_end_of_time_scores_are_finite_and_nothing_is_due() {
    let mut config = config(TopicScoreParams::with_expected_rate(8.0));
    config.max_retained_peers = 2;
    let mut world = World::starting_at(Timestamp(u64::MAX - 10_500_000_000), config);
    (1..=3).for_each(|number| world.connect(number, Some("1.2.3.4")));
    (1..=3).for_each(|number| world.graft(number));
    world.deliver(1, &[2]);
    world.pass_secs(10);
    assert!(world.score(3) < 0.0);
    assert_eq!(world.scores.next_refresh(), None);
    world.pass_secs(10);
    assert_eq!(world.now, Timestamp::MAX);
    world.deliver(1, &[2]);
    world.invalid(3);
    (1..=3).for_each(|number| world.prune(number));
    assert!([1, 2, 3].iter().all(|number| world.score(*number).is_finite()));
    (1..=3).for_each(|number| world.disconnect(number));
    assert!(world.scores.retained_peers() <= 2);
}

#[test]
fn the_largest_numbers_give_finite_scores() {
    const MAX: f64 = crate::gossip::score::MAX_PARAMETER;
    let params = TopicScoreParams {
        topic_weight: MAX,
        time_in_mesh_weight: MAX,
        time_in_mesh_cap: MAX,
        first_message_deliveries_weight: MAX,
        first_message_deliveries_cap: MAX,
        expected_messages_per_second: Some(MAX),
        mesh_message_deliveries_weight: -MAX,
        mesh_failure_penalty_weight: -MAX,
        invalid_message_deliveries_weight: -MAX,
        ..TopicScoreParams::default()
    };
    let config = ScoreConfig {
        topic_score_cap: MAX,
        application_weight: MAX,
        behaviour_penalty_weight: -MAX,
        ip_colocation_weight: -MAX,
        slow_peer_weight: -MAX,
        slow_peer_cap: MAX,
        ..config(params)
    };
    let mut world = World::with_peers(config, 1);
    world.graft(1);
    world.pass_secs(3_600);
    world.deliver(1, &[]);
    (0..1_000).for_each(|_| world.misbehave(1, u32::MAX));
    world.scores.slow_peer(world.now, &peer(1), u32::MAX);
    world.scores.set_application_score(world.now, &peer(1), f64::MAX).unwrap();
    world.invalid(1);
    assert!(world.score(1) < -1e17);
    world.pass_secs(3_600);
    assert!(world.score(1).is_finite());
}

#[test]
fn many_intervals_at_once_are_as_many_one_by_one() {
    let run = |steps: &[u64]| {
        let mut world = World::with_peers(config(TopicScoreParams::with_expected_rate(8.0)), 1);
        world.graft(1);
        (0..9).for_each(|_| world.deliver(1, &[]));
        (0..9).for_each(|_| world.invalid(1));
        world.misbehave(1, 3);
        steps.iter().for_each(|secs| world.pass_secs(*secs));
        world.score(1)
    };
    assert_close(run(&[20]), run(&[1; 20]));
    assert_close(run(&[3, 0, 17]), run(&[1; 20]));
}

#[test]
fn scores_depend_on_when_things_happen_and_not_on_when_they_are_looked_at() {
    let run = |looks: bool| {
        let mut world = World::with_peers(config(TopicScoreParams::with_expected_rate(8.0)), 1);
        for step in 0..50 {
            world.now = world.now.saturating_add(Duration::from_millis(730));
            if looks {
                world.scores.refresh(world.now);
            }
            match step % 10 {
                0 => world.graft(1),
                3 | 4 => world.deliver(1, &[]),
                5 => world.invalid(1),
                9 => world.misbehave(1, 2),
                _ => {}
            }
        }
        world.pass_secs(1);
        world.score(1)
    };
    assert_close(run(false), run(true));
}
