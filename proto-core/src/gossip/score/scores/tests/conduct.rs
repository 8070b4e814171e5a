//! How honest and silent peers fare.

use super::*;

/// The default numbers at a rate.
fn expecting(rate: f64) -> ScoreConfig {
    config(TopicScoreParams::with_expected_rate(rate))
}

fn activation(rate: f64) -> Duration {
    let params = TopicScoreParams::with_expected_rate(rate);
    params.expected_deliveries(Duration::from_secs(1)).unwrap().activation
}

/// A number below `bound`, from where a sequence is.
fn next(state: &mut u64, bound: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % bound
}

#[test]
fn cve_2022_47547_who_never_forwards_is_below_zero_within_twice_the_activation_window() {
    for rate in [0.05, 1.0, 7.0, 120.0] {
        let mut world = World::with_peers(expecting(rate), 1);
        world.pass_millis(700);
        world.graft(1);
        world.pass(activation(rate) * 2);
        assert!(world.score(1) < 0.0, "{} at {rate} a second", world.score(1));
        // Nor does it come back as long as it stays.
        for _ in 0..100 {
            world.pass_secs(61);
            assert!(world.score(1) < world.scores.thresholds().gossip);
        }
    }
}

#[test]
fn cve_2022_47547_no_conduct_elsewhere_outweighs_silence_in_a_topic() {
    let mut world = World::with_peers(expecting(8.0), 1);
    let others: Vec<Topic> =
        (0..50).map(|number| Topic::new(&format!("other {number}")).unwrap()).collect();
    for topic in &others {
        world.scores.add_topic(topic);
        world.scores.graft(world.now, &peer(1), topic);
    }
    world.graft(1);
    for _ in 0..activation(8.0).as_secs() * 2 {
        for topic in &others {
            for _ in 0..50 {
                world.last_message += 1;
                let id = id(world.last_message);
                world.scores.message_arrived(world.now, &id, topic, peer(1));
                world.accept(&id);
            }
        }
        world.pass_secs(1);
    }
    assert_eq!(world.scores.breakdown(&peer(1)).unwrap().rewards, 25.0);
    assert!(world.score(1) < 0.0);
}

#[test]
fn cve_2022_47547_who_falls_silent_after_years_of_service_is_below_zero_soon() {
    for messages in [1, 120_u32] {
        let rate = f64::from(messages);
        let mut world = World::with_peers(expecting(rate), 1);
        world.graft(1);
        for _ in 0..600 {
            (0..messages).for_each(|_| world.deliver(1, &[]));
            world.pass_secs(1);
        }
        assert!(world.score(1) > 5.0);
        world.pass(activation(rate) * 3);
        assert!(world.score(1) < 0.0, "{} at {rate} a second", world.score(1));
    }
}

#[test]
fn a_silent_peer_stays_below_zero_for_the_back_off_and_is_then_forgiven() {
    let mut world = World::with_peers(expecting(8.0), 1);
    world.graft(1);
    world.pass_secs(10);
    world.prune(1);
    assert_eq!(world.score(1), -30.0);
    world.pass_secs(60);
    assert!(world.score(1) < 0.0);
    world.pass_secs(60);
    assert_eq!(world.score(1), 0.0);
}

#[test]
fn grafting_again_does_not_put_the_verdict_off() {
    let mut world = World::with_peers(expecting(8.0), 1);
    for _ in 0..10 {
        world.graft(1);
        world.pass_secs(1);
    }
    assert!(world.score(1) < 0.0);
}

#[test]
fn an_honest_peer_of_a_topic_of_one_message_a_second_is_never_below_zero() {
    let mut world = World::with_peers(expecting(1.0), 3);
    (1..=2).for_each(|number| world.graft(number));
    let mut state = 7;
    for _ in 0..600 {
        // The first brings it, the second a copy some milliseconds later, at any time of a second.
        let early = next(&mut state, 980);
        world.pass_millis(early);
        let id = world.arrive(1);
        world.accept(&id);
        world.pass_millis(9);
        world.copy(&id, 2);
        assert!(world.score(1) >= 0.0 && world.score(2) >= 0.0, "{:?}", world.now);
        world.pass_millis(1_000 - 9 - early);
        assert!(world.score(1) >= 0.0 && world.score(2) >= 0.0, "{:?}", world.now);
    }
    assert_eq!(world.scores.breakdown(&peer(2)).unwrap().penalties, 0.0);
}

#[test]
fn six_mesh_peers_that_share_the_first_deliveries_are_never_below_zero() {
    for rate in [1, 4, 30] {
        let mut world = World::with_peers(expecting(rate as f64), 6);
        (1..=6).for_each(|number| world.graft(number));
        let mut state = rate;
        for _ in 0..600 {
            // Everybody else's copy comes too late to count.
            (0..rate).for_each(|_| world.deliver(1 + next(&mut state, 6), &[]));
            world.pass_secs(1);
            for number in 1..=6 {
                assert!(world.score(number) >= 0.0, "peer {number} at {rate} {:?}", world.now);
            }
        }
    }
}

#[test]
fn without_a_rate_a_silent_peer_is_not_punished_and_earns_no_more_than_five() {
    let mut world = World::with_peers(ScoreConfig::default(), 1);
    world.scores.add_topic(&topic());
    world.graft(1);
    world.pass_secs(3_600);
    assert_eq!(world.score(1), 5.0);
}

#[test]
fn thirteen_invalid_messages_graylist_a_peer() {
    let mut world = World::with_peers(ScoreConfig::default(), 1);
    world.scores.add_topic(&topic());
    for messages in 1..=13 {
        assert!(world.score(1) >= world.scores.thresholds().graylist, "{messages}");
        world.invalid(1);
    }
    assert!(world.score(1) < world.scores.thresholds().graylist);
}

#[test]
fn invalid_messages_cost_those_who_left_before_the_verdict() {
    let mut world = World::with_peers(ScoreConfig::default(), 2);
    world.scores.add_topic(&topic());
    let id = world.arrive(1);
    world.copy(&id, 2);
    world.disconnect(1);
    assert_eq!(world.scores.peers().count(), 1, "it is forgotten");
    world.reject(&id);
    assert_eq!((world.score(1), world.score(2)), (-0.5, -0.5));
    world.connect(1, None);
    assert_eq!(world.score(1), -0.5);
    assert_eq!(world.scores.retained_peers(), 0);
}

#[test]
fn who_left_earns_nothing() {
    let mut world = World::with_peers(ScoreConfig::default(), 1);
    world.scores.add_topic(&topic());
    world.misbehave(1, 1);
    let id = world.arrive(1);
    world.disconnect(1);
    world.accept(&id);
    world.graft(1);
    world.connect(1, None);
    world.pass_secs(60);
    assert_eq!(world.score(1), 0.0);
}

#[test]
fn a_breakdown_shows_every_part() {
    let mut config = expecting(8.0);
    config.ip_colocation_threshold = 1;
    let mut world = World::new(config);
    (1..=2).for_each(|number| world.connect(number, Some("1.2.3.4")));
    world.graft(1);
    world.pass_secs(6);
    world.prune(1);
    world.graft(1);
    world.pass_secs(6);
    world.deliver(1, &[]);
    world.invalid(1);
    world.misbehave(1, 2);
    world.scores.slow_peer(world.now, &peer(1), 3);
    world.scores.set_application_score(world.now, &peer(1), 1.5).unwrap();
    let breakdown = world.scores.breakdown(&peer(1)).unwrap();
    assert!(breakdown.is_connected);
    let [(of, parts)] = breakdown.topics.as_slice() else { panic!("{breakdown:?}") };
    assert_eq!((of, parts.topic_weight), (&topic(), 0.5));
    assert_eq!(parts.time_in_mesh, Part { value: 6.0, weight: 1.0 });
    assert_eq!(parts.first_message_deliveries, Part { value: 1.0, weight: 1.0 });
    assert_eq!(parts.mesh_message_deliveries, Part { value: 0.25, weight: -60.0 });
    assert_close(parts.mesh_failure_penalty.value, 0.96_f64.powi(6));
    assert_eq!(parts.invalid_message_deliveries, Part { value: 1.0, weight: -1.0 });
    assert_eq!(breakdown.rewards, 3.5);
    assert_close(breakdown.penalties, -0.5 * (15.0 + 60.0 * 0.96_f64.powi(6) + 1.0));
    assert_eq!(breakdown.application, Part { value: 1.5, weight: 10.0 });
    assert_eq!(breakdown.ip_colocation, Part { value: 1.0, weight: -5.0 });
    assert_eq!(breakdown.behaviour_penalty, Part { value: 4.0, weight: -10.0 });
    assert_eq!(breakdown.slow_peer, Part { value: 3.0, weight: -0.2 });
    let sum = 3.5 + breakdown.penalties + 15.0 - 5.0 - 40.0 - 3.0 * 0.2;
    assert_close(breakdown.total, sum);
    assert_eq!(breakdown.total, world.score(1));
    let json = serde_json::to_string(&breakdown).unwrap();
    assert_eq!(serde_json::from_str::<ScoreBreakdown>(&json).unwrap(), breakdown);
    assert_eq!(world.scores.breakdown(&peer(9)), None);
}
