//! What a score leads to.

use sanspeer_core::gossip::score::TopicBreakdown;
use sanspeer_core::gossip::{GossipConfig, ScoreConfig, Topic, TopicScoreParams};

use crate::gossip_world::{World, millis, secs, topic};
use crate::helpers::{
    LATEST, behaviour_penalty, config, forget_heard, id_of, node_with, outside_mesh, rate,
    settled_with, some_id,
};

#[test]
fn a_graylisted_peer_is_not_listened_to() {
    let mut world = World::new(25);
    let (node, t, puppets) = node_with(&mut world, config(), 2);
    let peer = world.peer(puppets[0]);
    world.with(node, |gossip, now| gossip.set_application_score(now, &peer, -100.0).unwrap());
    let message = world.signed(puppets[0], 1, &t, "m");
    world.say_messages(puppets[0], node, core::slice::from_ref(&message));
    world.run_for(millis(5));
    assert!(world.messages(node).is_empty());
    world.say_messages(puppets[1], node, &[message]);
    world.run_for(secs(1));
    assert_eq!(world.messages(node).len(), 1);
    assert_eq!(world.mesh(node, &t), [puppets[1]], "it is pruned at the heartbeat");
    world.say_unsubscribe(puppets[0], node, &t);
    world.run_for(millis(5));
    assert_eq!(world.gossip(node).topic_peers(&t), [world.peer(puppets[1])]);
}

#[test]
fn a_peer_of_negative_score_leaves_the_mesh_at_the_heartbeat_and_is_told_of_nobody() {
    let mut world = World::new(180);
    let config = GossipConfig { exchange_peers: true, ..config() };
    let (node, t, puppets) = settled_with(&mut world, config, 2);
    forget_heard(&mut world, &puppets);
    rate(&mut world, node, puppets[0], -10.0);
    world.run_for(millis(900));
    assert_eq!(world.mesh(node, &t), puppets, "not before");
    world.run_for(millis(100));
    assert_eq!(world.mesh(node, &t), [puppets[1]]);
    let prune = world.heard_control(puppets[0]).prune.remove(0);
    assert_eq!((prune.topic, prune.peers, prune.backoff_secs), (t, Vec::new(), Some(60)));
}

#[test]
fn below_the_threshold_of_gossip_none_comes_or_goes() {
    let mut world = World::new(181);
    let (node, t, puppets) = settled_with(&mut world, config(), 8);
    let (inside, outside) = (world.mesh(node, &t), outside_mesh(&world, node, &t, &puppets));
    rate(&mut world, node, outside[0], -10.1);
    rate(&mut world, node, outside[1], -9.9);
    let message = world.signed(inside[0], 1, &t, "m");
    world.say_messages(inside[0], node, core::slice::from_ref(&message));
    world.run_for(secs(1));
    let ihaves = [0, 1].map(|place: usize| world.heard_control(outside[place]).ihave.len());
    assert_eq!(ihaves, [0, 1]);
    for puppet in &outside {
        world.say_iwant(*puppet, node, vec![id_of(&message)]);
    }
    world.run_for(millis(5));
    let messages = [0, 1].map(|place: usize| world.heard_messages(outside[place]).len());
    assert_eq!(messages, [0, 1]);
    for puppet in &outside {
        world.say_ihave(*puppet, node, &t, vec![some_id("theirs")]);
    }
    world.run_for(millis(5));
    let iwants = [0, 1].map(|place: usize| world.heard_control(outside[place]).iwant.len());
    assert_eq!(iwants, [0, 1]);
}

#[test]
fn nothing_is_published_to_peers_below_the_threshold_of_that() {
    for flood_publish in [false, true] {
        let mut world = World::new(182);
        let t = topic("t");
        let node = world.add(GossipConfig { flood_publish, ..config() });
        let puppets = [0; 2].map(|_| world.add_subscriber(node, &t, LATEST));
        world.run_for(millis(20));
        rate(&mut world, node, puppets[0], -50.1);
        rate(&mut world, node, puppets[1], -49.9);
        for joined in [false, true] {
            if joined {
                world.subscribe(node, &t);
            }
            world.run_for(secs(1));
            assert_eq!(world.publish(node, &t, format!("{joined}")).queued_for, 1);
            world.run_for(millis(5));
            assert!(world.heard_messages(puppets[0]).is_empty());
            assert_eq!(world.heard_messages(puppets[1]).len(), 1);
        }
    }
}

#[test]
fn of_a_graylisted_peer_only_its_topics_are_looked_at() {
    let mut world = World::new(183);
    let (node, t, _) = node_with(&mut world, config(), 0);
    for (score, looked_at) in [(-80.1, false), (-79.9, true)] {
        let puppet = world.add_puppet(LATEST);
        world.connect(puppet, node);
        world.run_for(millis(5));
        rate(&mut world, node, puppet, score);
        world.say_subscribe(puppet, node, &t);
        let message = world.signed(puppet, 1, &t, "m");
        world.say_messages(puppet, node, &[message]);
        world.say_graft(puppet, node, &t);
        world.run_for(millis(5));
        assert!(world.gossip(node).topic_peers(&t).contains(&world.peer(puppet)));
        assert_eq!(world.messages(node).len(), usize::from(looked_at), "at {score}");
        let refused = world.heard_control(puppet).prune.len();
        assert_eq!(refused, usize::from(looked_at), "at {score}");
    }
}

#[test]
fn to_be_refused_for_a_score_makes_it_no_worse() {
    let mut world = World::new(184);
    let (t, nodes) = (topic("t"), world.add_many(2, &config()));
    world.subscribe(nodes[0], &t);
    world.connect(nodes[0], nodes[1]);
    world.run_for(millis(20));
    rate(&mut world, nodes[0], nodes[1], -1.0);
    world.subscribe(nodes[1], &t);
    world.run_for(millis(20));
    assert_eq!(world.mesh(nodes[1], &t), [0; 0], "its GRAFT was answered by a PRUNE");
    world.run_for(secs(5));
    assert_eq!(world.mesh(nodes[0], &t), [0; 0]);
    assert_eq!(behaviour_penalty(&world, nodes[0], nodes[1]), 0.0);
    assert_eq!(world.score(nodes[0], nodes[1]), -1.0);
}

/// What is counted of a puppet in a topic.
fn counted(world: &World, node: usize, puppet: usize, topic: &Topic) -> TopicBreakdown {
    let breakdown = world.gossip(node).score(&world.peer(puppet)).expect("a known peer");
    let counted = breakdown.topics.into_iter().find(|(other, _)| other == topic);
    counted.map(|(_, counted)| counted).unwrap_or_default()
}

#[test]
fn time_in_the_mesh_and_first_deliveries_are_worth_something() {
    let mut world = World::new(185);
    let (node, t, puppets) = settled_with(&mut world, config(), 2);
    world.run_for(secs(2));
    for puppet in &puppets {
        assert_eq!(counted(&world, node, *puppet, &t).time_in_mesh.score(), 2.0);
        assert_eq!(world.score(node, *puppet), 1.0, "by the weight of the topic");
    }
    let messages: Vec<_> = (0..4).map(|number| world.signed(puppets[0], number, &t, "m")).collect();
    world.say_messages(puppets[0], node, &messages);
    world.say_messages(puppets[1], node, &messages);
    world.run_for(millis(5));
    let first = |world: &World, place: usize| {
        counted(world, node, puppets[place], &t).first_message_deliveries.score()
    };
    assert_eq!([first(&world, 0), first(&world, 1)], [4.0, 0.0], "copies are worth nothing here");
    world.say_prune(puppets[0], node, &t, Vec::new(), None);
    world.run_for(millis(5));
    assert_eq!(counted(&world, node, puppets[0], &t).time_in_mesh.score(), 0.0);
    assert_eq!(first(&world, 0), 4.0);
}

#[test]
fn whoever_delivers_nothing_in_a_topic_with_a_rate_is_pruned_and_pays_on() {
    let mut world = World::new(186);
    let (node, t, puppets) = node_with(&mut world, config(), 3);
    let params = TopicScoreParams {
        expected_messages_per_second: Some(10.0),
        ..TopicScoreParams::default()
    };
    world.with(node, |gossip, now| gossip.set_topic_params(now, &t, params)).unwrap();
    world.run_for(secs(1));
    assert_eq!(world.mesh(node, &t), puppets);
    for number in 0..100 {
        let message = world.signed(puppets[0], number, &t, "m");
        world.say_messages(puppets[0], node, core::slice::from_ref(&message));
        world.say_messages(puppets[1], node, &[message]);
        world.run_for(millis(100));
    }
    assert_eq!(world.mesh(node, &t), puppets[..2], "a copy in time is a delivery");
    assert!(counted(&world, node, puppets[2], &t).mesh_failure_penalty.score() < 0.0);
    assert!(world.score(node, puppets[2]) < 0.0);
    for puppet in &puppets[..2] {
        assert_eq!(counted(&world, node, *puppet, &t).penalty(), 0.0);
        assert!(world.score(node, *puppet) > 0.0);
    }
}

#[test]
fn peers_too_many_at_an_address_lose_for_each_address_that_they_have() {
    let mut world = World::new(187);
    let score = ScoreConfig {
        ip_colocation_threshold: 5,
        ip_colocation_weight: -2.0,
        ..ScoreConfig::default()
    };
    let node = world.add(GossipConfig { score, ..config() });
    let addresses: [multiaddr::Multiaddr; 2] =
        ["/ip4/1.2.3.4/tcp/1", "/ip4/1.2.3.5/tcp/1"].map(|text| text.parse().unwrap());
    let connect = |world: &mut World, puppet: usize, address: usize| {
        world.sides[puppet].address = addresses[address].clone();
        world.connect(puppet, node);
    };
    let puppets: Vec<_> = (0..9).map(|_| world.add_puppet(LATEST)).collect();
    let (ones, others) = puppets.split_at(5);
    ones.iter().for_each(|puppet| connect(&mut world, *puppet, 0));
    others.iter().for_each(|puppet| connect(&mut world, *puppet, 1));
    let scores = |world: &World| -> Vec<f64> {
        puppets.iter().map(|puppet| world.score(node, *puppet)).collect()
    };
    assert_eq!(scores(&world), [0.0; 9]);
    others[..3].iter().for_each(|puppet| connect(&mut world, *puppet, 0));
    assert_eq!(scores(&world), [[-18.0; 8].as_slice(), &[0.0]].concat(), "three squared");
    ones[..3].iter().for_each(|puppet| connect(&mut world, *puppet, 1));
    let both = [-26.0, -26.0, -26.0, -18.0, -18.0, -26.0, -26.0, -26.0, -8.0];
    assert_eq!(scores(&world), both);
    connect(&mut world, ones[0], 0);
    assert_eq!(scores(&world), both, "a second connection to it is no second peer");
}
