use super::*;

fn topic() -> Topic {
    Topic::new("blocks").unwrap()
}

fn with_topic(params: TopicScoreParams) -> ScoreConfig {
    ScoreConfig { topics: [(topic(), params)].into(), ..ScoreConfig::default() }
}

/// What is said of a field of [`ScoreConfig`] that `change` sets.
fn refused(change: impl FnOnce(&mut ScoreConfig)) -> Option<&'static str> {
    let mut config = ScoreConfig::default();
    change(&mut config);
    match config.check() {
        Err(ScoreConfigError::OutOfRange { parameter, topic: None, .. }) => Some(parameter),
        Ok(()) => None,
        Err(other) => panic!("{other}"),
    }
}

/// The same of a field of a topic.
fn refused_of_topic(change: impl FnOnce(&mut TopicScoreParams)) -> Option<&'static str> {
    let mut params = TopicScoreParams::with_expected_rate(1.0);
    change(&mut params);
    match with_topic(params).check() {
        Err(ScoreConfigError::OutOfRange { parameter, topic: Some(of), .. }) => {
            assert_eq!(of, topic());
            Some(parameter)
        }
        Ok(()) => None,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn the_defaults_are_sound_at_every_rate() {
    assert_eq!(ScoreConfig::default().check(), Ok(()));
    for rate in [0.01, 0.1, 1.0, 10.0, 1_000.0, MAX_PARAMETER] {
        assert_eq!(with_topic(TopicScoreParams::with_expected_rate(rate)).check(), Ok(()));
    }
}

#[test]
fn the_defaults_are_those_of_the_reference() {
    let ScoreConfig { thresholds, .. } = ScoreConfig::default();
    assert_eq!((thresholds.gossip, thresholds.publish, thresholds.graylist), (-10., -50., -80.));
    assert_eq!((thresholds.accept_px, thresholds.opportunistic_graft), (10.0, 20.0));
    let config = ScoreConfig::default();
    assert_eq!(config.application_weight, 10.0);
    assert_eq!((config.ip_colocation_weight, config.ip_colocation_threshold), (-5.0, 10));
    assert_eq!((config.behaviour_penalty_weight, config.behaviour_penalty_decay), (-10.0, 0.2));
    assert_eq!((config.decay_interval, config.decay_to_zero), (Duration::from_secs(1), 0.01));
    assert_eq!(config.retain_score, Duration::from_secs(3600));
    let topic = TopicScoreParams::default();
    assert_eq!((topic.topic_weight, topic.time_in_mesh_quantum), (0.5, Duration::from_secs(1)));
    assert_eq!(topic.topic_weight * topic.time_in_mesh_weight * topic.time_in_mesh_cap, 5.0);
    assert_eq!(topic.mesh_message_deliveries_window, Duration::from_millis(10));
    assert_eq!(topic.mesh_message_deliveries_activation, Duration::from_secs(5));
    assert_eq!(topic.expected_messages_per_second, None);
}

#[test]
fn weights_have_their_sign() {
    assert_eq!(refused(|c| c.application_weight = -1.0), Some("application_weight"));
    assert_eq!(refused(|c| c.ip_colocation_weight = 1.0), Some("ip_colocation_weight"));
    assert_eq!(refused(|c| c.behaviour_penalty_weight = 1.0), Some("behaviour_penalty_weight"));
    assert_eq!(refused(|c| c.slow_peer_weight = 1.0), Some("slow_peer_weight"));
    assert_eq!(refused_of_topic(|t| t.topic_weight = -1.0), Some("topic_weight"));
    assert_eq!(refused_of_topic(|t| t.time_in_mesh_weight = -1.0), Some("time_in_mesh_weight"));
    assert_eq!(
        refused_of_topic(|t| t.first_message_deliveries_weight = -1.0),
        Some("first_message_deliveries_weight")
    );
    assert_eq!(
        refused_of_topic(|t| t.mesh_message_deliveries_weight = 1.0),
        Some("mesh_message_deliveries_weight")
    );
    assert_eq!(
        refused_of_topic(|t| t.mesh_failure_penalty_weight = 1.0),
        Some("mesh_failure_penalty_weight")
    );
    assert_eq!(
        refused_of_topic(|t| t.invalid_message_deliveries_weight = 1.0),
        Some("invalid_message_deliveries_weight")
    );
}

#[test]
fn decays_are_above_zero_and_below_one() {
    for value in [0.0, 1.0, -0.5, 1.5, f64::NAN, f64::INFINITY] {
        assert!(refused(|c| c.behaviour_penalty_decay = value).is_some(), "{value}");
        assert!(refused(|c| c.slow_peer_decay = value).is_some(), "{value}");
        assert!(refused(|c| c.decay_to_zero = value).is_some(), "{value}");
        assert!(refused_of_topic(|t| t.first_message_deliveries_decay = value).is_some());
        assert!(refused_of_topic(|t| t.mesh_failure_penalty_decay = value).is_some());
        assert!(refused_of_topic(|t| t.invalid_message_deliveries_decay = value).is_some());
    }
}

#[test]
fn caps_and_units_are_positive() {
    assert_eq!(refused(|c| c.topic_score_cap = 0.0), Some("topic_score_cap"));
    assert_eq!(refused(|c| c.slow_peer_cap = 0.0), Some("slow_peer_cap"));
    assert_eq!(refused(|c| c.ip_colocation_threshold = 0), Some("ip_colocation_threshold"));
    assert_eq!(refused(|c| c.decay_interval = Duration::ZERO), Some("decay_interval"));
    assert_eq!(refused(|c| c.decay_interval = Duration::MAX), Some("decay_interval"));
    assert_eq!(refused_of_topic(|t| t.time_in_mesh_cap = 0.0), Some("time_in_mesh_cap"));
    assert_eq!(
        refused_of_topic(|t| t.first_message_deliveries_cap = -1.0),
        Some("first_message_deliveries_cap")
    );
    let quantum = refused_of_topic(|t| t.time_in_mesh_quantum = Duration::ZERO);
    assert_eq!(quantum, Some("time_in_mesh_quantum"));
    let activation =
        refused_of_topic(|t| t.mesh_message_deliveries_activation = Duration::from_secs(3601));
    assert_eq!(activation, Some("mesh_message_deliveries_activation"));
}

#[test]
fn numbers_are_finite_and_not_too_large() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
        assert!(refused(|c| c.topic_score_cap = value).is_some(), "{value}");
        assert!(refused(|c| c.behaviour_penalty_weight = value).is_some(), "{value}");
        assert!(refused(|c| c.behaviour_penalty_threshold = value).is_some(), "{value}");
        assert!(refused(|c| c.thresholds.graylist = value).is_some(), "{value}");
        assert!(refused_of_topic(|t| t.topic_weight = value).is_some(), "{value}");
        let rate = refused_of_topic(|t| t.expected_messages_per_second = Some(value));
        assert_eq!(rate, Some("expected_messages_per_second"));
    }
    for rate in [0.0, -1.0, 0.009] {
        let rate = refused_of_topic(|t| t.expected_messages_per_second = Some(rate));
        assert_eq!(rate, Some("expected_messages_per_second"));
    }
}

#[test]
fn thresholds_are_ordered() {
    let unordered = |thresholds| {
        let config = ScoreConfig { thresholds, ..ScoreConfig::default() };
        let result = config.check();
        let Err(ScoreConfigError::Unordered { parameter, value, limit }) = result else {
            panic!("{result:?}");
        };
        (parameter, value, limit)
    };
    let defaults = ScoreThresholds::default();
    let publish = ScoreThresholds { publish: -9.0, ..defaults };
    assert_eq!(unordered(publish), ("publish", -9.0, -10.0));
    let graylist = ScoreThresholds { graylist: -49.0, ..defaults };
    assert_eq!(unordered(graylist), ("graylist", -49.0, -50.0));
    assert_eq!(refused(|c| c.thresholds.gossip = 0.0), Some("gossip"));
    assert_eq!(refused(|c| c.thresholds.accept_px = -1.0), Some("accept_px"));
    let opportunistic = refused(|c| c.thresholds.opportunistic_graft = -1.0);
    assert_eq!(opportunistic, Some("opportunistic_graft"));
    assert_eq!(refused(|c| c.thresholds.graylist = -50.0), None, "equal ones are ordered");
}

/// The literal defaults of rust-libp2p leave a silent peer at +1,800 − 200.
#[test]
fn cve_2022_47547_parameters_that_reward_a_silent_peer_are_refused() {
    let params = TopicScoreParams {
        time_in_mesh_quantum: Duration::from_millis(1),
        time_in_mesh_cap: 3600.0,
        first_message_deliveries_cap: 2000.0,
        mesh_message_deliveries_weight: -400.0,
        ..TopicScoreParams::with_expected_rate(1.0)
    };
    let config = ScoreConfig { topic_score_cap: 3600.0, ..with_topic(params) };
    let refused = ScoreConfigError::SilentPeer { topic: Some(topic()), score: 3400.0 };
    assert_eq!(config.check(), Err(refused));
    let capped = ScoreConfig { topic_score_cap: 199.0, ..with_topic(params) };
    assert_eq!(capped.check(), Ok(()));
}

#[test]
fn cve_2022_47547_a_penalty_that_others_topics_may_outweigh_is_refused() {
    let silent = |change: fn(&mut TopicScoreParams)| {
        let mut params = TopicScoreParams::with_expected_rate(1.0);
        change(&mut params);
        let as_topic = with_topic(params).check();
        let by_default = ScoreConfig { default_topic: params, ..ScoreConfig::default() }.check();
        match (as_topic, by_default) {
            (
                Err(ScoreConfigError::SilentPeer { topic: Some(_), score }),
                Err(ScoreConfigError::SilentPeer { topic: None, score: same }),
            ) => {
                assert_eq!(score, same);
                Some(score)
            }
            (Ok(()), Ok(())) => None,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(silent(|t| t.mesh_message_deliveries_weight = 0.0), Some(25.0));
    assert_eq!(silent(|t| t.mesh_message_deliveries_weight = -50.0), Some(0.0));
    assert_eq!(silent(|t| t.mesh_message_deliveries_weight = -50.1), None);
    assert_eq!(silent(|t| t.topic_weight = 0.0), Some(25.0));
    // Without a rate nothing is promised.
    let params = TopicScoreParams { topic_weight: 0.0, ..TopicScoreParams::default() };
    assert_eq!(with_topic(params).check(), Ok(()));
}

#[test]
fn cve_2022_47547_decay_that_is_slower_than_activation_is_refused() {
    let config = ScoreConfig {
        decay_interval: Duration::from_secs(31),
        ..with_topic(TopicScoreParams::with_expected_rate(1.0))
    };
    let activation = Duration::from_secs(30);
    let refused = ScoreConfigError::LateVerdict { topic: Some(topic()), activation };
    assert_eq!(config.check(), Err(refused));
    let config = ScoreConfig { decay_interval: Duration::from_secs(30), ..config };
    assert_eq!(config.check(), Ok(()));
}

#[test]
fn errors_name_the_parameter_the_topic_and_the_value() {
    let mut config = with_topic(TopicScoreParams { topic_weight: -1.5, ..Default::default() });
    let error = config.check().unwrap_err().to_string();
    assert_eq!(error, "score parameter topic_weight of topic blocks cannot be -1.5");
    config.topics.clear();
    config.thresholds.publish = -5.0;
    let error = config.check().unwrap_err().to_string();
    assert_eq!(error, "score threshold publish cannot be -5, above -10");
}

#[test]
fn a_config_reads_what_it_writes_and_fills_in_what_is_missing() {
    let config = with_topic(TopicScoreParams::with_expected_rate(2.0));
    let json = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<ScoreConfig>(&json).unwrap(), config);
    let json = r#"{ "topics": { "blocks": { "expected_messages_per_second": 2.0 } } }"#;
    assert_eq!(serde_json::from_str::<ScoreConfig>(json).unwrap(), config);
    assert!(serde_json::from_str::<ScoreConfig>(r#"{ "topic_score_kap": 1.0 }"#).is_err());
}
