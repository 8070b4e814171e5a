use super::*;

#[test]
fn time_in_mesh_counts_whole_quanta() {
    let params = TopicScoreParams {
        topic_weight: 0.5,
        time_in_mesh_weight: 1.0,
        time_in_mesh_quantum: Duration::from_millis(300),
        time_in_mesh_cap: 3600.0,
        ..blank()
    };
    let cap = 1e4;
    let mut world = World::with_peers(ScoreConfig { topic_score_cap: cap, ..config(params) }, 2);
    assert_eq!(world.score(1), 0.0);
    world.graft(1);
    world.pass_millis(999);
    assert_eq!(world.score(1), 0.0, "it shows at the end of an interval");
    world.pass_millis(1);
    assert_eq!(world.score(1), 1.5);
    world.pass_secs(200);
    assert_eq!(world.score(1), 335.0);
    assert_eq!(world.score(2), 0.0);
    world.prune(1);
    assert_eq!(world.score(1), 0.0);
}

#[test]
fn time_in_mesh_counts_up_to_its_cap() {
    let mut world = World::with_peers(ScoreConfig::default(), 1);
    world.scores.add_topic(&topic());
    world.graft(1);
    world.pass_secs(9);
    assert_eq!(world.score(1), 4.5);
    world.pass_secs(3_600);
    assert_eq!(world.score(1), 5.0);
}

#[test]
fn first_deliveries_count() {
    let params = TopicScoreParams {
        first_message_deliveries_weight: 1.0,
        first_message_deliveries_cap: 2_000.0,
        ..blank()
    };
    let cap = 1e4;
    let mut world = World::with_peers(ScoreConfig { topic_score_cap: cap, ..config(params) }, 2);
    (0..100).for_each(|_| world.deliver(1, &[2]));
    assert_eq!(world.score(1), 100.0);
    assert_eq!(world.score(2), 0.0);
}

#[test]
fn first_deliveries_count_up_to_their_cap() {
    let params = TopicScoreParams {
        first_message_deliveries_weight: 1.0,
        first_message_deliveries_cap: 20.0,
        ..blank()
    };
    let mut world = World::with_peers(config(params), 1);
    (0..100).for_each(|_| world.deliver(1, &[]));
    assert_eq!(world.score(1), 20.0);
}

#[test]
fn first_deliveries_decay() {
    let params = TopicScoreParams {
        first_message_deliveries_weight: 1.0,
        first_message_deliveries_decay: 0.9,
        first_message_deliveries_cap: 2_000.0,
        ..blank()
    };
    let cap = 1e4;
    let mut world = World::with_peers(ScoreConfig { topic_score_cap: cap, ..config(params) }, 1);
    (0..100).for_each(|_| world.deliver(1, &[]));
    world.pass_secs(1);
    assert_close(world.score(1), 90.0);
    for _ in 0..10 {
        world.pass_secs(1);
    }
    assert_close(world.score(1), 100.0 * 0.9_f64.powi(11));
    world.pass_secs(1_000);
    assert_eq!(world.score(1), 0.0);
}

#[test]
fn mesh_peers_must_deliver_before_the_window_closes() {
    let mut world = World::with_peers(config(rated()), 4);
    (1..=3).for_each(|number| world.graft(number));
    world.pass_secs(5);
    for number in 1..=4 {
        assert_eq!(world.score(number), 0.0, "the activation window is not over");
    }
    for _ in 0..3 {
        // The first peer is first, the second comes before the verdict and the third too late.
        let id = world.arrive(1);
        world.copy(&id, 2);
        world.copy(&id, 4);
        world.accept(&id);
        world.pass_millis(11);
        world.copy(&id, 3);
    }
    world.pass_secs(1);
    assert_eq!(world.score(1), 0.0);
    assert_eq!(world.score(2), 0.0);
    assert_eq!(world.score(3), -100.0);
    assert_eq!(world.score(4), 0.0, "who is not in the mesh has to deliver nothing");
}

#[test]
fn copies_within_the_window_count_once() {
    let mut world = World::with_peers(config(rated()), 2);
    world.graft(1);
    world.graft(2);
    world.pass_secs(6);
    assert_eq!(world.score(2), -100.0);
    let id = world.arrive(1);
    world.accept(&id);
    world.pass_millis(10);
    (0..5).for_each(|_| world.copy(&id, 2));
    assert_close(world.score(2), -25.0);
    (0..5).for_each(|_| world.copy(&id, 1));
    assert_close(world.score(1), -25.0);
}

#[test]
fn mesh_deliveries_decay_to_a_deficit() {
    let mut world = World::with_peers(config(rated()), 2);
    world.graft(1);
    world.graft(2);
    for _ in 0..6 {
        (0..8).for_each(|_| world.deliver(1, &[]));
        world.pass_secs(1);
    }
    assert_eq!(world.score(1), 0.0);
    // From the cap of 8 to the threshold of 2, five sixths a second.
    world.pass_secs(6);
    assert_eq!(world.score(1), 0.0);
    world.pass_secs(1);
    assert_close(world.score(1), -100.0 * (1.0 - 4.0 * (5.0_f64 / 6.0).powi(8)).powi(2));
    world.pass_secs(60);
    assert_eq!(world.score(1), -100.0);
}

#[test]
fn a_deficit_sticks_when_a_peer_is_pruned() {
    let params = TopicScoreParams {
        mesh_failure_penalty_weight: -10.0,
        mesh_failure_penalty_decay: 0.9,
        ..rated()
    };
    let mut world = World::with_peers(config(params), 3);
    (1..=3).for_each(|number| world.graft(number));
    for _ in 0..6 {
        (0..8).for_each(|_| world.deliver(1, &[]));
        world.pass_secs(1);
    }
    assert_eq!(world.score(1), 0.0);
    assert_eq!(world.score(2), -100.0);
    (1..=2).for_each(|number| world.prune(number));
    assert_eq!(world.score(1), 0.0);
    assert_eq!(world.score(2), -10.0, "P3 ends and P3b begins");
    world.pass_secs(1);
    assert_close(world.score(2), -9.0);
    world.graft(2);
    assert_close(world.score(2), -9.0);
    world.pass_secs(60);
    assert_close(world.score(2), -100.0);
}

#[test]
fn who_is_pruned_before_the_activation_window_is_over_takes_nothing_along() {
    let params = TopicScoreParams { mesh_failure_penalty_weight: -10.0, ..rated() };
    let mut world = World::with_peers(config(params), 1);
    world.graft(1);
    world.pass_secs(5);
    world.prune(1);
    assert_eq!(world.score(1), 0.0);
}

#[test]
fn invalid_messages_count_squared() {
    let params = TopicScoreParams { invalid_message_deliveries_weight: -1.0, ..blank() };
    let mut world = World::with_peers(config(params), 1);
    (0..100).for_each(|_| world.invalid(1));
    assert_eq!(world.score(1), -10_000.0);
}

#[test]
fn invalid_messages_decay() {
    let params = TopicScoreParams {
        invalid_message_deliveries_weight: -1.0,
        invalid_message_deliveries_decay: 0.9,
        ..blank()
    };
    let mut world = World::with_peers(config(params), 1);
    (0..100).for_each(|_| world.invalid(1));
    world.pass_secs(1);
    assert_close(world.score(1), -8_100.0);
    world.pass_secs(10);
    assert_close(world.score(1), -(100.0 * 0.9_f64.powi(11)).powi(2));
}

#[test]
fn what_a_verdict_does_to_those_who_brought_the_message() {
    let params = TopicScoreParams { invalid_message_deliveries_weight: -1.0, ..blank() };
    let mut world = World::with_peers(config(params), 2);
    let ignored = world.arrive(1);
    world.copy(&ignored, 2);
    world.scores.message_ignored(world.now, &ignored);
    world.copy(&ignored, 2);
    world.reject(&ignored);
    assert_eq!((world.score(1), world.score(2)), (0.0, 0.0), "it was ignored");

    let rejected = world.arrive(1);
    world.reject(&rejected);
    assert_eq!((world.score(1), world.score(2)), (-1.0, 0.0));
    world.reject(&rejected);
    world.accept(&rejected);
    assert_eq!((world.score(1), world.score(2)), (-1.0, 0.0), "a verdict counts once");
    // The verdict is kept with the id, so that a later copy is known to be invalid.
    world.scores.invalid_message(world.now, peer(2), &topic());
    assert_eq!((world.score(1), world.score(2)), (-1.0, -1.0));

    let rejected = world.arrive(1);
    (0..3).for_each(|_| world.copy(&rejected, 2));
    world.reject(&rejected);
    assert_eq!((world.score(1), world.score(2)), (-4.0, -4.0));

    let accepted = world.arrive(1);
    world.accept(&accepted);
    world.reject(&accepted);
    assert_eq!((world.score(1), world.score(2)), (-4.0, -4.0), "the first verdict stands");
}

#[test]
fn the_application_s_score_counts_by_its_weight() {
    let config = ScoreConfig { application_weight: 0.5, ..ScoreConfig::default() };
    let mut world = World::with_peers(config, 1);
    for score in [-100.0, -0.5, 0.0, 3.0, 100.0] {
        world.scores.set_application_score(world.now, &peer(1), score).unwrap();
        assert_eq!(world.score(1), score * 0.5);
        world.pass_secs(100);
        assert_eq!(world.score(1), score * 0.5, "it does not decay");
    }
    let nan = world.scores.set_application_score(world.now, &peer(1), f64::NAN);
    assert_eq!(nan, Err(ApplicationScoreError::NotANumber));
    let unknown = world.scores.set_application_score(world.now, &peer(2), 1.0);
    assert_eq!(unknown, Err(ApplicationScoreError::UnknownPeer));
    world.scores.set_application_score(world.now, &peer(1), f64::INFINITY).unwrap();
    assert_eq!(world.score(1), 500_000.0);
}

#[test]
fn peers_too_many_at_an_address_lose_the_square_of_the_surplus() {
    let config = ScoreConfig { ip_colocation_threshold: 1, ..ScoreConfig::default() };
    let mut world = World::new(config);
    world.connect(1, Some("1.2.3.4"));
    world.connect(2, Some("2.3.4.5"));
    world.connect(3, Some("2.3.4.5"));
    world.connect_again(3, 13, Some("3.4.5.6"));
    world.connect(4, Some("2.3.4.5"));
    let scores = |world: &World| [1, 2, 3, 4].map(|number| world.score(number));
    assert_eq!(scores(&world), [0.0, -20.0, -20.0, -20.0]);
    // A second connection to the same address is not a second peer.
    world.connect_again(1, 11, Some("::ffff:1.2.3.4"));
    assert_eq!(scores(&world), [0.0, -20.0, -20.0, -20.0]);
    world.disconnect(4);
    assert_eq!(scores(&world), [0.0, -5.0, -5.0, 0.0]);
    // The third peer is still there, but not at the address of the second.
    world.disconnect(3);
    assert_eq!(scores(&world), [0.0; 4]);
    world.disconnect(1);
    world.connect(5, Some("1.2.3.4"));
    assert_eq!((world.score(1), world.score(5)), (-5.0, -5.0), "one connection is left");
}

#[test]
fn a_peer_at_two_crowded_addresses_loses_for_both() {
    let config = ScoreConfig { ip_colocation_threshold: 1, ..ScoreConfig::default() };
    let mut world = World::new(config);
    world.connect(1, Some("1.2.3.4"));
    world.connect_again(1, 11, Some("2.3.4.5"));
    world.connect(2, Some("1.2.3.4"));
    world.connect(3, Some("2.3.4.5"));
    world.connect(4, Some("2.3.4.5"));
    assert_eq!([1, 2, 3, 4].map(|number| world.score(number)), [-25.0, -5.0, -20.0, -20.0]);
}

#[test]
fn all_of_an_ipv6_64_is_one_address() {
    let config = ScoreConfig { ip_colocation_threshold: 1, ..ScoreConfig::default() };
    let mut world = World::new(config);
    world.connect(1, Some("2001:db8:1:2::1"));
    world.connect(2, Some("2001:db8:1:2:ffff::1"));
    world.connect(3, Some("2001:db8:1:3::1"));
    assert_eq!([1, 2, 3].map(|number| world.score(number)), [-5.0, -5.0, 0.0]);
}

#[test]
fn exempt_addresses_are_not_counted() {
    let mut config = ScoreConfig { ip_colocation_threshold: 1, ..ScoreConfig::default() };
    config.ip_colocation_exempt = vec!["2.3.0.0/16".parse().unwrap()];
    let crowd = |config: &ScoreConfig, ip: &str| {
        let mut world = World::new(config.clone());
        (1..=3).for_each(|number| world.connect(number, Some(ip)));
        world.score(1)
    };
    assert_eq!(crowd(&config, "2.3.4.5"), 0.0);
    assert_eq!(crowd(&config, "2.4.4.5"), -20.0);
    for local in ["127.0.0.1", "10.0.0.1", "192.168.1.1", "::1", "fe80::1", "fd00::1"] {
        assert_eq!(crowd(&config, local), 0.0, "{local}");
    }
    config.ip_colocation_local = true;
    assert_eq!(crowd(&config, "127.0.0.1"), -20.0);
}

#[test]
fn by_default_ten_peers_may_share_an_address() {
    let mut world = World::new(ScoreConfig::default());
    (1..=10).for_each(|number| world.connect(number, Some("1.2.3.4")));
    assert_eq!(world.score(1), 0.0);
    world.connect(11, Some("1.2.3.4"));
    assert_eq!(world.score(1), -5.0);
    world.connect(12, Some("1.2.3.4"));
    assert_eq!(world.score(12), -20.0);
}

#[test]
fn misbehaviour_counts_squared_above_what_is_forgiven() {
    let config = ScoreConfig {
        behaviour_penalty_weight: -1.0,
        behaviour_penalty_threshold: 1.0,
        behaviour_penalty_decay: 0.99,
        ..ScoreConfig::default()
    };
    let mut world = World::with_peers(config, 1);
    world.misbehave(2, 1);
    assert_eq!(world.score(2), 0.0, "nothing is known of it");
    world.misbehave(1, 1);
    assert_eq!(world.score(1), 0.0);
    world.misbehave(1, 1);
    assert_eq!(world.score(1), -1.0);
    world.misbehave(1, 2);
    assert_eq!(world.score(1), -9.0);
    world.pass_secs(1);
    assert_close(world.score(1), -(4.0_f64 * 0.99 - 1.0).powi(2));
}

#[test]
fn by_default_misbehaviour_is_soon_forgiven_and_twice_is_grave() {
    let mut world = World::with_peers(ScoreConfig::default(), 2);
    world.misbehave(1, 1);
    world.misbehave(2, 3);
    assert_eq!((world.score(1), world.score(2)), (-10.0, -90.0));
    world.pass_secs(1);
    assert_close(world.score(1), -0.4);
    world.pass_secs(3);
    assert_eq!(world.score(1), 0.0);
}

#[test]
fn slowness_counts_up_to_its_cap() {
    let mut world = World::with_peers(ScoreConfig::default(), 1);
    world.scores.slow_peer(world.now, &peer(1), 10);
    assert_close(world.score(1), -2.0);
    world.scores.slow_peer(world.now, &peer(1), u32::MAX);
    assert_close(world.score(1), -20.0);
    assert!(world.score(1) > world.scores.thresholds().publish);
    world.pass_secs(1);
    assert_close(world.score(1), -4.0);
}

#[test]
fn a_negative_score_is_kept_for_its_time() {
    let config = ScoreConfig { retain_score: Duration::from_secs(10), ..ScoreConfig::default() };
    let mut world = World::with_peers(config, 1);
    world.scores.set_application_score(world.now, &peer(1), -100.0).unwrap();
    world.misbehave(1, 1);
    assert_eq!(world.score(1), -1_010.0);
    world.disconnect(1);
    assert_eq!((world.score(1), world.scores.retained_peers()), (-1_010.0, 1));
    world.pass_secs(9);
    assert_eq!(world.score(1), -1_010.0, "it does not decay");
    world.pass_secs(1);
    assert_eq!((world.score(1), world.scores.retained_peers()), (0.0, 0));
}

#[test]
fn a_peer_that_comes_back_goes_on_with_its_negative_score() {
    let mut world = World::with_peers(ScoreConfig::default(), 1);
    world.misbehave(1, 2);
    world.disconnect(1);
    world.pass_secs(1_800);
    world.connect(1, None);
    assert_eq!((world.score(1), world.scores.retained_peers()), (-40.0, 0));
    world.pass_secs(1);
    assert_close(world.score(1), -1.6);
}

#[test]
fn a_peer_that_comes_back_too_late_is_a_new_one() {
    let mut world = World::with_peers(ScoreConfig::default(), 1);
    world.pass_millis(500);
    world.misbehave(1, 2);
    world.disconnect(1);
    // The last interval of decay ended before the time was over.
    world.pass_secs(3_600);
    world.connect(1, None);
    assert_eq!((world.score(1), world.scores.retained_peers()), (0.0, 0));
}

#[test]
fn a_positive_score_is_forgotten() {
    let mut world = World::with_peers(ScoreConfig::default(), 2);
    world.scores.add_topic(&topic());
    world.graft(1);
    world.deliver(1, &[]);
    world.pass_secs(1);
    assert!(world.score(1) > 0.0);
    world.disconnect(1);
    world.disconnect(2);
    assert_eq!(world.scores.peers().count(), 0);
    world.connect(1, None);
    assert_eq!(world.score(1), 0.0);
}

#[test]
fn what_a_peer_earned_does_not_cover_its_faults_when_it_leaves() {
    let mut world = World::with_peers(ScoreConfig::default(), 1);
    world.scores.add_topic(&topic());
    world.graft(1);
    (0..40).for_each(|_| world.deliver(1, &[]));
    world.invalid(1);
    assert_eq!(world.score(1), 19.5);
    world.disconnect(1);
    assert_eq!(world.score(1), -0.5);
    world.connect(1, None);
    assert_eq!(world.score(1), -0.5);
}

#[test]
fn lower_caps_hold_at_once() {
    let params = TopicScoreParams {
        first_message_deliveries_weight: 10.0,
        first_message_deliveries_cap: 1_000.0,
        ..blank()
    };
    let cap = 1e6;
    let mut world = World::with_peers(ScoreConfig { topic_score_cap: cap, ..config(params) }, 2);
    (0..100).for_each(|_| world.deliver(1, &[]));
    assert_eq!((world.score(1), world.score(2)), (1_000.0, 0.0));
    let params = TopicScoreParams { first_message_deliveries_cap: 50.0, ..params };
    world.scores.set_topic_params(world.now, &topic(), params).unwrap();
    assert_eq!((world.score(1), world.score(2)), (500.0, 0.0));
    let params = TopicScoreParams { first_message_deliveries_cap: 1_000.0, ..params };
    world.scores.set_topic_params(world.now, &topic(), params).unwrap();
    assert_eq!(world.score(1), 500.0, "what was cut off does not come back");
    assert_eq!(world.scores.topic_params(&topic()), Some(&params));
}

#[test]
fn new_weights_apply_to_what_was_counted() {
    let params = TopicScoreParams { invalid_message_deliveries_weight: -1.0, ..blank() };
    let mut world = World::with_peers(config(params), 1);
    (0..100).for_each(|_| world.invalid(1));
    assert_eq!(world.score(1), -10_000.0);
    let params = TopicScoreParams { invalid_message_deliveries_weight: -10.0, ..params };
    world.scores.set_topic_params(world.now, &topic(), params).unwrap();
    assert_eq!(world.score(1), -100_000.0);
}

#[test]
fn unsound_numbers_change_nothing() {
    let mut world = World::with_peers(config(rated()), 1);
    let unsound = TopicScoreParams { mesh_message_deliveries_weight: -1.0, ..rated() };
    let refused = world.scores.set_topic_params(world.now, &topic(), unsound);
    let error = ScoreConfigError::SilentPeer { topic: Some(topic()), score: 24.0 };
    assert_eq!(refused, Err(error));
    assert_eq!(world.scores.topic_params(&topic()), Some(&rated()));
    assert!(Scores::new(Timestamp::ZERO, config(unsound)).is_err());
}

#[test]
fn a_rate_that_is_stated_or_taken_back_changes_what_is_expected() {
    let mut world = World::with_peers(config(blank()), 1);
    world.graft(1);
    world.pass_secs(60);
    assert_eq!(world.score(1), 0.0);
    world.scores.set_topic_params(world.now, &topic(), rated()).unwrap();
    assert_eq!(world.score(1), -100.0);
    world.scores.set_topic_params(world.now, &topic(), blank()).unwrap();
    assert_eq!(world.score(1), 0.0);
}
