//! A mesh peer that forwards nothing.

use core::time::Duration;

use sanspeer_core::gossip::{
    Gossip, GossipConfig, GossipConfigError, ScoreConfig, ScoreConfigError, TopicScoreParams,
};
use sanspeer_core::identity::Identity;
use sanspeer_core::rng::Seed;

use crate::gossip_world::{World, millis, topic};
use crate::{alone, node_with};

/// How long a mesh peer that brings nothing stays, in a topic of so many messages a second, when
/// others bring them. Elsewhere it may be the best of all.
fn time_until_pruned(rate: f64, is_good_elsewhere: bool) -> Option<(Duration, Duration)> {
    let params = TopicScoreParams::with_expected_rate(rate);
    let activation = params.expected_deliveries(Duration::from_secs(1))?.activation;
    let mut world = World::new(1);
    let mut config = GossipConfig::default();
    config.score.topics.insert(topic("t"), params);
    let (node, t, puppets) = node_with(&mut world, config, 5);
    let other = topic("other");
    world.subscribe(node, &other);
    puppets.iter().for_each(|puppet| world.say_subscribe(*puppet, node, &other));
    for puppet in &puppets {
        world.say_graft(*puppet, node, &t);
        world.say_graft(*puppet, node, &other);
    }
    world.run_for(millis(1_000));
    assert_eq!(world.mesh(node, &t), puppets, "all are in the mesh");
    let (silent, honest) = (puppets[0], &puppets[1..]);
    let start = world.now;
    let interval = Duration::from_secs_f64(1.0 / rate);
    let mut number = 0;
    while world.mesh(node, &t).contains(&silent) {
        let bringer = honest[usize::try_from(number).ok()? % honest.len()];
        let message = world.signed(bringer, number, &t, "m");
        world.say_messages(bringer, node, &[message]);
        if is_good_elsewhere {
            let messages: Vec<_> =
                (0..20).map(|nth| world.signed(silent, number * 20 + nth, &other, "m")).collect();
            world.say_messages(silent, node, &messages);
        }
        world.run_for(interval);
        world.take_events(node);
        number += 1;
        if world.now.saturating_since(start) > 4 * activation {
            return None;
        }
    }
    for honest in honest {
        assert!(world.mesh(node, &t).contains(honest), "who brings messages stays");
        assert!(world.score(node, *honest) > 0.0);
    }
    Some((world.now.saturating_since(start), activation))
}

#[test]
fn cve_2022_47547_a_mesh_peer_that_forwards_nothing_is_pruned_within_two_activation_windows() {
    let _alone = alone();
    for rate in [1.0, 10.0, 60.0] {
        let (time, activation) = time_until_pruned(rate, false).expect("it is pruned");
        assert!(time <= 2 * activation, "{time:?} of {activation:?} at {rate} a second");
    }
}

#[test]
fn cve_2022_47547_being_good_in_another_topic_does_not_help() {
    let _alone = alone();
    let (time, activation) = time_until_pruned(10.0, true).expect("it is pruned");
    assert!(time <= 2 * activation, "{time:?} of {activation:?}");
}

#[test]
fn cve_2022_47547_numbers_under_which_a_silent_peer_is_kept_are_refused() {
    let _alone = alone();
    let sound = TopicScoreParams::with_expected_rate(10.0);
    // What a topic may take away must outweigh what all topics may give.
    let weak = [
        TopicScoreParams { mesh_message_deliveries_weight: 0.0, ..sound },
        TopicScoreParams { mesh_message_deliveries_weight: -50.0, ..sound },
        TopicScoreParams { topic_weight: 0.0, ..sound },
        TopicScoreParams { topic_weight: 0.4, ..sound },
    ];
    for params in weak {
        let mut score = ScoreConfig::default();
        score.topics.insert(topic("t"), params);
        let refused = score.check();
        assert!(matches!(refused, Err(ScoreConfigError::SilentPeer { .. })), "{refused:?}");
        let config = GossipConfig { score, ..GossipConfig::default() };
        let identity = Identity::ed25519(&Seed::from_u64(1));
        let gossip = Gossip::new(config, identity, &Seed::from_u64(1));
        let error = gossip.err();
        assert!(matches!(
            error,
            Some(GossipConfigError::Score(ScoreConfigError::SilentPeer { .. }))
        ));
        // Nor while it runs.
        let mut world = World::new(2);
        let (node, t, _) = node_with(&mut world, GossipConfig::default(), 1);
        let refused = world.with(node, |gossip, now| gossip.set_topic_params(now, &t, params));
        assert!(matches!(refused, Err(ScoreConfigError::SilentPeer { .. })));
        let taken = world.with(node, |gossip, now| gossip.set_topic_params(now, &t, sound));
        assert_eq!(taken, Ok(()));
    }
    // Counters that outlive the window hide the silence in it.
    let late = ScoreConfig {
        decay_interval: Duration::from_secs(6),
        default_topic: sound,
        ..ScoreConfig::default()
    };
    assert!(matches!(late.check(), Err(ScoreConfigError::LateVerdict { .. })));
}
