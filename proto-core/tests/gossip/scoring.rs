//! What scores lead to in a network.

use sanspeer_core::gossip::{
    Acceptance, GossipConfig, ScoreConfig, ScoreThresholds, TopicScoreParams,
};

use crate::crowd::{
    assert_all_reach_all, assert_reaches, connect_all, connect_some, decide, subscribe_all,
};
use crate::gossip_world::{World, millis, secs, topic};
use crate::helpers::{LATEST, config, data_of, forged, node_with, waiting};

fn scored(score: ScoreConfig) -> GossipConfig {
    GossipConfig { score, ..config() }
}

/// What every node's application thinks of one of them.
fn everybody_thinks(world: &mut World, nodes: &[usize], of: usize, score: f64) {
    let peer = world.peer(of);
    for node in nodes.iter().filter(|node| **node != of) {
        if world.connections_of(*node, of).is_empty() {
            continue;
        }
        let set = world.with(*node, |gossip, now| gossip.set_application_score(now, &peer, score));
        assert_eq!(set, Ok(()));
    }
}

#[test]
fn whom_nobody_thinks_well_of_hears_nothing_and_passes_nothing_on() {
    let thresholds = ScoreThresholds {
        gossip: -10.0,
        publish: -100.0,
        graylist: -10_000.0,
        ..ScoreThresholds::default()
    };
    let score = ScoreConfig { thresholds, application_weight: 1.0, ..ScoreConfig::default() };
    let mut world = World::new(600);
    let (t, nodes) = (topic("t"), world.add_many(20, &scored(score)));
    subscribe_all(&mut world, &nodes, &t);
    connect_some(&mut world, &nodes, 10);
    world.run_for(millis(10));
    let (sink, rest) = (nodes[0], &nodes[1..]);
    everybody_thinks(&mut world, &nodes, sink, -1_000.0);
    world.run_for(secs(3));
    assert_all_reach_all(&mut world, rest, &t);
    world.run_for(secs(2));
    assert!(world.messages(sink).is_empty(), "not even by gossip");
    assert!(rest.iter().all(|node| !world.mesh(*node, &t).contains(&sink)));
    // It is listened to, so that it may prove better, until it is on the graylist.
    let neighbours: Vec<_> =
        rest.iter().copied().filter(|node| !world.connections_of(sink, *node).is_empty()).collect();
    assert_reaches(&mut world, sink, &neighbours, &t, "from the sink");
    everybody_thinks(&mut world, &nodes, sink, -20_000.0);
    rest.iter().for_each(|node| drop(world.take_events(*node)));
    world.publish(sink, &t, "from the graylist");
    world.run_for(secs(3));
    assert!(rest.iter().all(|node| data_of(&world, *node).is_empty()));
}

#[test]
fn who_is_pruned_for_its_score_is_left_alone_for_the_backoff_though_it_recovers() {
    let score = ScoreConfig { behaviour_penalty_decay: 0.9999, ..ScoreConfig::default() };
    let mut world = World::new(601);
    let (t, nodes) = (topic("t"), world.add_many(10, &scored(score)));
    subscribe_all(&mut world, &nodes, &t);
    connect_all(&mut world, &nodes);
    world.run_for(secs(2));
    let before = world.mesh(0, &t);
    assert!(!before.is_empty());
    everybody_thinks(&mut world, &nodes, 0, -0.5);
    world.run_for(secs(2));
    assert!(nodes[1..].iter().all(|node| !world.mesh(*node, &t).contains(&0)));
    assert!(world.mesh(0, &t).is_empty(), "it was told so");
    for node in &before {
        assert!(world.gossip(*node).usage().backoffs >= 1);
    }
    assert_all_reach_all(&mut world, &nodes[1..], &t);
    everybody_thinks(&mut world, &nodes, 0, 0.0);
    world.run_for(config().prune_backoff - secs(5));
    let early = world.mesh(0, &t);
    assert!(early.iter().all(|node| !before.contains(node)), "{early:?} and before {before:?}");
    world.run_for(secs(10));
    assert!(world.mesh(0, &t).len() >= config().mesh.degree_low);
    assert_all_reach_all(&mut world, &nodes, &t);
    for node in &nodes[1..] {
        let breakdown = world.gossip(*node).score(&world.peer(0)).expect("connected");
        assert_eq!(breakdown.behaviour_penalty.value, 0.0, "it never grafted too early");
    }
}

#[test]
fn what_is_ignored_costs_nothing_and_what_is_rejected_does() {
    let mut world = World::new(602);
    let (t, nodes) = (topic("t"), world.add_many(3, &config()));
    let judge = world.add(waiting(secs(5)));
    for node in &nodes {
        world.connect(*node, judge);
    }
    subscribe_all(&mut world, &nodes, &t);
    world.subscribe(judge, &t);
    world.run_for(millis(500));
    for node in &nodes {
        world.publish(*node, &t, "I am not a walrus");
    }
    let [good, ignored, rejected] = [0, 1, 2].map(|node| world.peer(nodes[node]));
    let accepted = decide(&mut world, &[judge], millis(100), |_, message| match message.source {
        Some(source) if source == good => Acceptance::Accept,
        Some(source) if source == ignored => Acceptance::Ignore,
        _ => Acceptance::Reject,
    });
    assert_eq!(accepted.len(), 1);
    let score = |peer| world.gossip(judge).score(peer).expect("connected");
    assert!(score(&good).penalties == 0.0 && score(&good).total > 0.0);
    assert_eq!((score(&ignored).penalties, score(&ignored).total), (0.0, 0.0));
    assert!(score(&rejected).penalties < 0.0 && score(&rejected).total < 0.0);
}

#[test]
fn squatters_of_a_mesh_make_room_for_those_who_bring_messages() {
    const HONEST: usize = 10;
    let default_topic = TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: 0.000_277,
        time_in_mesh_cap: 3600.0,
        first_message_deliveries_decay: 0.9997,
        first_message_deliveries_cap: 100.0,
        ..TopicScoreParams::default()
    };
    let score = ScoreConfig {
        thresholds: ScoreThresholds { opportunistic_graft: 1.0, ..ScoreThresholds::default() },
        topic_score_cap: 100.0,
        ip_colocation_local: false,
        default_topic,
        ..ScoreConfig::default()
    };
    let config = GossipConfig {
        opportunistic_graft_ticks: 2,
        prune_backoff: millis(500),
        graft_flood_threshold: millis(100),
        ..scored(score)
    };
    let mut world = World::new(603);
    let (t, nodes) = (topic("t"), world.add_many(HONEST, &config));
    connect_some(&mut world, &nodes, 5);
    // They take every GRAFT, and say nothing.
    let squatters: Vec<_> = (0..40).map(|_| world.add_puppet(&["/meshsub/1.0.0"])).collect();
    for squatter in &squatters {
        for node in &nodes {
            world.connect(*squatter, *node);
            world.say_subscribe(*squatter, *node, &t);
        }
    }
    world.run_for(secs(1));
    subscribe_all(&mut world, &nodes, &t);
    world.run_for(millis(10));
    let honest = |world: &World, node: usize| {
        world.mesh(node, &t).iter().filter(|peer| **peer < HONEST).count()
    };
    let before: usize = nodes.iter().map(|node| honest(&world, *node)).sum();
    for number in 0..500 {
        world.publish(number % HONEST, &t, format!("message {number}"));
        world.run_for(millis(20));
        squatters.iter().for_each(|squatter| drop(world.heard(*squatter)));
    }
    world.run_for(secs(7));
    for node in &nodes {
        assert!(honest(&world, *node) >= 3, "{} at {node}", honest(&world, *node));
    }
    let after: usize = nodes.iter().map(|node| honest(&world, *node)).sum();
    assert!(after > before, "{before} honest links before, {after} after");
}

#[test]
fn who_brings_messages_first_is_thought_well_of() {
    let default_topic = TopicScoreParams {
        topic_weight: 1.0,
        first_message_deliveries_decay: 0.999,
        first_message_deliveries_cap: 100.0,
        time_in_mesh_weight: 0.0,
        ..TopicScoreParams::default()
    };
    let score = ScoreConfig { default_topic, topic_score_cap: 100.0, ..ScoreConfig::default() };
    let mut world = World::new(604);
    let (t, nodes) = (topic("t"), world.add_many(2, &scored(score)));
    world.connect(0, 1);
    subscribe_all(&mut world, &nodes, &t);
    world.run_for(secs(1));
    for number in 0..20 {
        world.publish(number % 2, &t, format!("message {number}"));
        world.run_for(millis(20));
    }
    world.run_for(millis(1_200));
    let breakdown = world.gossip(0).score(&world.peer(1)).expect("connected");
    assert!((9.0..=10.0).contains(&breakdown.total), "{breakdown:?}");
    let (of, part) = &breakdown.topics[0];
    assert_eq!((of, part.reward()), (&t, breakdown.total));
}

#[test]
fn new_numbers_of_a_topic_hold_at_once_and_unsound_ones_are_refused() {
    let mut world = World::new(605);
    let (node, t, puppets) = node_with(&mut world, waiting(secs(5)), 1);
    let message = world.signed(puppets[0], 1, &t, "bad");
    world.say_messages(puppets[0], node, &[message]);
    decide(&mut world, &[node], millis(10), |_, _| Acceptance::Reject);
    let penalties = |world: &World| {
        world.gossip(node).score(&world.peer(puppets[0])).expect("connected").penalties
    };
    assert_eq!(penalties(&world), -0.5);
    let set = |world: &mut World, weight| {
        let params = TopicScoreParams {
            topic_weight: 1.0,
            invalid_message_deliveries_weight: weight,
            ..TopicScoreParams::default()
        };
        world.with(node, |gossip, now| gossip.set_topic_params(now, &t, params))
    };
    assert_eq!(set(&mut world, -10.0), Ok(()));
    assert_eq!(penalties(&world), -10.0);
    assert!(set(&mut world, 1.0).is_err(), "a reward for invalid messages");
    assert_eq!(penalties(&world), -10.0);
}

#[test]
fn who_goes_with_a_bad_score_comes_back_with_it() {
    let mut world = World::new(606);
    let (node, t, puppets) = node_with(&mut world, config(), 2);
    world.run_for(millis(200));
    // A good peer leaves at the same time.
    let messages: Vec<_> =
        (0..6).map(|number| world.signed(puppets[0], number, &t, "honest")).collect();
    let bad: Vec<_> = messages.iter().map(forged).collect();
    world.say_messages(puppets[0], node, &bad);
    world.run_for(secs(2));
    let before = world.score(node, puppets[0]);
    assert!(before < -10.0, "{before}");
    assert!(world.score(node, puppets[1]) > 0.0);
    puppets.iter().for_each(|puppet| world.disconnect_all(*puppet, node));
    world.run_for(secs(5));
    assert_eq!(world.gossip(node).usage().peers, 0);
    assert!(world.score(node, puppets[0]) < 0.0, "it is remembered");
    assert_eq!(world.score(node, puppets[1]), 0.0, "and the other is not");
    for puppet in &puppets {
        world.connect(*puppet, node);
        world.say_subscribe(*puppet, node, &t);
    }
    world.run_for(secs(2));
    assert!(world.score(node, puppets[0]) < 0.0);
    assert_eq!(world.mesh(node, &t), [puppets[1]]);
    // It is forgotten at last.
    world.disconnect_all(puppets[0], node);
    world.run_for(ScoreConfig::default().retain_score + secs(2));
    assert_eq!(world.score(node, puppets[0]), 0.0);
}

#[test]
fn peers_at_one_crowded_address_are_in_no_mesh() {
    let mut world = World::new(607);
    let t = topic("t");
    let node = world.add(config());
    world.subscribe(node, &t);
    let crowd: Vec<_> = (0..15).map(|_| world.add_puppet(LATEST)).collect();
    for puppet in &crowd {
        world.sides[*puppet].address = "/ip4/1.2.3.4/tcp/4001".parse().expect("an address");
        world.connect(*puppet, node);
        world.say_subscribe(*puppet, node, &t);
    }
    let alone = world.add_subscriber(node, &t, LATEST);
    world.run_for(secs(3));
    assert_eq!(world.mesh(node, &t), [alone]);
    for puppet in &crowd {
        let breakdown = world.gossip(node).score(&world.peer(*puppet)).expect("connected");
        assert!(breakdown.ip_colocation.score() < 0.0);
    }
    // When some are gone the others are as good as anybody.
    crowd[..5].iter().for_each(|puppet| world.disconnect_all(*puppet, node));
    world.run_for(config().prune_backoff + secs(3));
    assert!(world.mesh(node, &t).len() >= config().mesh.degree_low);
}
