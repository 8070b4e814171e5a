//! Topics that peers join and leave: who knows of it, and what is left of it.

use sanspeer_core::gossip::{Control, GossipEvent, Outgoing, Topic, TopicSettings, data_digest};

use crate::crowd::{assert_reaches, connect_all, connect_pairs, floodsub, subscribe_all};
use crate::gossip_world::{Kind, World, millis, secs, topic};
use crate::helpers::{LATEST, config, data_of, node_with};

/// What one node saw others do in a topic: who joined, then who left.
fn joined_and_left(world: &mut World, node: usize, of: &Topic) -> (Vec<usize>, Vec<usize>) {
    let (mut joined, mut left) = (Vec::new(), Vec::new());
    for event in world.take_events(node) {
        match event {
            GossipEvent::Subscribed { peer, topic } if topic == *of => {
                joined.extend(world.side_of(&peer));
            }
            GossipEvent::Unsubscribed { peer, topic } if topic == *of => {
                left.extend(world.side_of(&peer));
            }
            GossipEvent::Message { .. }
            | GossipEvent::Subscribed { .. }
            | GossipEvent::Unsubscribed { .. }
            | GossipEvent::PeerSpeaks { .. }
            | GossipEvent::NotSupported { .. }
            | GossipEvent::Grafted { .. }
            | GossipEvent::Pruned { .. }
            | GossipEvent::SlowPeer { .. } => {}
        }
    }
    joined.sort_unstable();
    left.sort_unstable();
    (joined, left)
}

fn others(nodes: &[usize], node: usize) -> Vec<usize> {
    nodes.iter().copied().filter(|other| *other != node).collect()
}

#[test]
fn a_node_says_which_topics_it_is_in() {
    let mut world = World::new(300);
    let node = world.add(config());
    let named = |names: &[&str]| names.iter().map(|name| topic(name)).collect::<Vec<_>>();
    let joined = |world: &World| world.gossip(node).topics();
    named(&["foo", "bar"]).iter().for_each(|topic| world.subscribe(node, topic));
    assert_eq!(joined(&world), named(&["bar", "foo"]));
    world.subscribe(node, &topic("baz"));
    assert_eq!(joined(&world), named(&["bar", "baz", "foo"]));
    world.unsubscribe(node, &topic("bar"));
    assert_eq!(joined(&world), named(&["baz", "foo"]));
    world.unsubscribe(node, &topic("foo"));
    assert_eq!(joined(&world), named(&["baz"]));
    world.subscribe(node, &topic("fish"));
    assert_eq!(joined(&world), named(&["baz", "fish"]));
    let again = world.with(node, |gossip, now| gossip.unsubscribe(now, &topic("bar")));
    assert!(!again, "it is not in it");
}

#[test]
fn a_node_knows_which_peer_is_in_which_topic() {
    for config in [config(), floodsub()] {
        let mut world = World::new(301);
        let nodes = world.add_many(4, &config);
        connect_pairs(&mut world, &[(0, 1), (0, 2), (0, 3)]);
        for (node, names) in
            [(1, &["foo", "bar", "baz"][..]), (2, &["foo", "ipfs"]), (3, &["baz", "ipfs"])]
        {
            names.iter().for_each(|name| world.subscribe(nodes[node], &topic(name)));
        }
        world.run_for(millis(200));
        for (name, expected) in
            [("ipfs", &[2, 3][..]), ("foo", &[1, 2]), ("baz", &[1, 3]), ("bar", &[1]), ("no", &[])]
        {
            let mut expected: Vec<_> = expected.iter().map(|side| world.peer(*side)).collect();
            expected.sort_unstable();
            assert_eq!(world.gossip(0).topic_peers(&topic(name)), expected, "{name}");
        }
    }
}

#[test]
fn joining_and_leaving_are_events_for_everybody_once() {
    let mut world = World::new(302);
    let (t, nodes) = (topic("t"), world.add_many(20, &config()));
    // Some are in the topic when they meet, others join later.
    subscribe_all(&mut world, &nodes[..10], &t);
    connect_all(&mut world, &nodes);
    world.run_for(millis(100));
    subscribe_all(&mut world, &nodes[10..], &t);
    world.run_for(secs(2));
    for node in &nodes {
        let (joined, left) = joined_and_left(&mut world, *node, &t);
        assert_eq!((joined, left), (others(&nodes, *node), Vec::new()), "at {node}");
    }
    // One leaves the topic, one is gone altogether.
    world.unsubscribe(1, &t);
    nodes.iter().for_each(|node| world.disconnect_all(2, *node));
    world.run_for(secs(2));
    for node in &nodes[3..] {
        assert_eq!(joined_and_left(&mut world, *node, &t), (Vec::new(), vec![1, 2]));
    }
    world.subscribe(1, &t);
    world.run_for(secs(2));
    for node in &nodes[3..] {
        assert_eq!(joined_and_left(&mut world, *node, &t), (vec![1], Vec::new()));
    }
}

#[test]
fn who_joins_and_leaves_many_times_is_where_it_ended() {
    let mut world = World::new(303);
    let (t, nodes) = (topic("t"), world.add_many(35, &config()));
    for node in &nodes[1..] {
        world.connect(0, *node);
    }
    world.run_for(millis(100));
    for round in 0..10 {
        for node in &nodes[1..] {
            if round % 2 == 0 {
                world.subscribe(*node, &t);
            } else {
                world.unsubscribe(*node, &t);
            }
        }
        world.run_for(millis(if round % 3 == 0 { 0 } else { 10 }));
    }
    world.run_for(millis(10));
    assert!(world.gossip(0).topic_peers(&t).is_empty());
    let (mut joined, left) = joined_and_left(&mut world, 0, &t);
    assert_eq!(joined, left);
    joined.dedup();
    assert_eq!(joined, nodes[1..]);
    assert_eq!(world.gossip(0).usage().topics, 0);
}

#[test]
fn who_leaves_a_topic_hears_nothing_and_who_comes_back_does() {
    for config in [config(), floodsub()] {
        let mut world = World::new(304);
        let (t, nodes) = (topic("cats"), world.add_many(3, &config));
        connect_pairs(&mut world, &[(0, 1), (0, 2)]);
        subscribe_all(&mut world, &nodes[1..], &t);
        world.run_for(secs(1));
        assert_reaches(&mut world, 0, &[1, 2], &t, "apples and oranges");
        world.unsubscribe(2, &t);
        world.run_for(millis(50));
        world.take_events(2);
        assert_reaches(&mut world, 0, &[1], &t, "potato");
        assert!(data_of(&world, 2).is_empty());
        assert!(world.gossip(2).topics().is_empty());
        world.subscribe(2, &t);
        world.run_for(millis(100));
        assert_reaches(&mut world, 0, &[1, 2], &t, "and again");
    }
}

#[test]
fn who_disconnects_is_in_no_topic_and_no_mesh_any_more() {
    let mut world = World::new(305);
    let (t, nodes) = (topic("t"), world.add_many(2, &config()));
    world.connect(0, 1);
    subscribe_all(&mut world, &nodes, &t);
    world.run_for(secs(1));
    assert_eq!(world.gossip(0).topic_peers(&t), [world.peer(1)]);
    assert_eq!(world.mesh(0, &t), [1]);
    world.disconnect_all(0, 1);
    assert!(world.gossip(0).topic_peers(&t).is_empty());
    assert!(world.mesh(0, &t).is_empty());
    assert_eq!(world.gossip(0).usage().peers, 0);
}

#[test]
fn who_left_a_topic_is_grafted_again_when_the_backoff_of_leaving_is_over() {
    let mut world = World::new(306);
    let (t, nodes) = (topic("t"), world.add_many(3, &config()));
    connect_pairs(&mut world, &[(0, 1), (0, 2)]);
    subscribe_all(&mut world, &nodes[..2], &t);
    world.run_for(secs(2));
    assert_eq!((world.mesh(0, &t), world.mesh(1, &t)), (vec![1], vec![0]));
    world.unsubscribe(0, &t);
    world.run_for(millis(10));
    assert_eq!(world.gossip(0).usage().backoffs, 1);
    assert_eq!(world.gossip(1).usage().backoffs, 1);
    // Back at once, with another who never was in the mesh.
    subscribe_all(&mut world, &[0, 2], &t);
    let backoff = config().unsubscribe_backoff;
    for _ in 0..backoff.as_secs() - 1 {
        world.run_for(secs(1));
        assert_eq!((world.mesh(0, &t), world.mesh(1, &t)), (vec![2], vec![]));
    }
    world.run_for(secs(4));
    assert_eq!((world.mesh(0, &t), world.mesh(1, &t)), (vec![1, 2], vec![0]));
    for node in nodes {
        for other in 0..3 {
            assert!(world.score(node, other) >= 0.0, "nobody grafted too early");
        }
    }
}

#[test]
fn grafts_of_several_topics_in_one_frame_are_all_heeded() {
    let mut world = World::new(307);
    let node = world.add(config());
    let topics = [topic("one"), topic("two"), topic("three")];
    topics.iter().for_each(|topic| world.subscribe(node, topic));
    let puppet = world.add_puppet(LATEST);
    world.connect(puppet, node);
    world.run_for(millis(10));
    let graft = topics.to_vec();
    world.say_control(puppet, node, Control { graft, ..Control::default() });
    world.run_for(millis(10));
    for topic in &topics {
        assert_eq!(world.mesh(node, topic), [puppet]);
        assert_eq!(world.gossip(node).topic_peers(topic), [world.peer(puppet)], "it is in it");
    }
}

#[test]
fn what_topics_we_are_in_is_told_however_long_a_peer_does_not_read() {
    let mut world = World::new(308);
    let (node, t, puppets) = node_with(&mut world, config(), 1);
    world.run_for(secs(1));
    world.heard(puppets[0]);
    world.stall(node, puppets[0], true);
    // More than is under way at once.
    for _ in 0..10 {
        let data = vec![0; 50_000].into();
        world.with(node, |gossip, now| gossip.publish(now, &t, data)).expect("one always fits");
    }
    let (u, v) = (topic("u"), topic("v"));
    world.subscribe(node, &u);
    world.subscribe(node, &v);
    world.run_for(secs(60));
    world.unsubscribe(node, &v);
    world.stall(node, puppets[0], false);
    world.run_for(millis(10));
    let heard = world.heard(puppets[0]);
    let told: Vec<_> = heard.into_iter().flat_map(|heard| heard.said.subscriptions).collect();
    assert_eq!(told, [(true, u)], "what changed back meanwhile is no news");
}

#[test]
fn nothing_is_left_of_a_peer_that_goes_on_to_speak_when_it_cannot_be_spoken_to() {
    let mut world = World::new(309);
    let (node, t, puppets) = node_with(&mut world, config(), 2);
    let puppet = puppets[0];
    world.run_for(secs(1));
    // It ends our stream and takes no other, while its own goes on.
    if let Kind::Puppet(puppet) = &mut world.sides[puppet].kind {
        puppet.protocols.clear();
    }
    let ours = world.stream_between(node, puppet).expect("a stream of ours");
    world.reset_by_receiver(ours);
    world.run_for(secs(2));
    assert_eq!(world.mesh(node, &t), [puppets[1]]);
    world.say_subscribe(puppet, node, &topic("another"));
    world.run_for(millis(500));
    assert_eq!(world.gossip(node).topic_peers(&topic("another")), [world.peer(puppet)]);
    world.disconnect_all(puppet, node);
    world.run_for(secs(1));
    let usage = world.gossip(node).usage();
    assert_eq!((usage.peers, usage.topics), (1, 1));
    assert!(world.gossip(node).topic_peers(&topic("another")).is_empty());
    assert_eq!(world.gossip(node).topic_peers(&t), [world.peer(puppets[1])]);
}

#[test]
fn a_topic_is_forgotten_with_the_last_peer_in_it() {
    let mut world = World::new(310);
    let node = world.add(config());
    let (own, shared) = (topic("of one"), topic("of two"));
    let one = world.add_subscriber(node, &own, LATEST);
    let two = world.add_subscriber(node, &shared, LATEST);
    world.say_subscribe(one, node, &shared);
    world.run_for(millis(50));
    assert_eq!(world.gossip(node).usage().topics, 2);
    world.say_unsubscribe(one, node, &own);
    world.say_unsubscribe(one, node, &shared);
    world.run_for(millis(50));
    assert_eq!(world.gossip(node).usage().topics, 1);
    assert_eq!(world.gossip(node).topic_peers(&shared), [world.peer(two)]);
    world.disconnect_all(two, node);
    assert_eq!(world.gossip(node).usage().topics, 0);
}

#[test]
fn a_subscription_that_is_taken_back_in_the_same_frame_is_none() {
    let mut world = World::new(311);
    let node = world.add(config());
    let (t, u) = (topic("t"), topic("u"));
    let puppet = world.add_subscriber(node, &t, LATEST);
    for subscribed in [true, false] {
        world.say_subscribe(puppet, node, &t);
        let subscriptions =
            [(true, &t), (true, &t), (true, &u), (false, &u)].map(|(on, t)| (on, t.clone()));
        let subscriptions = subscriptions.to_vec();
        world.say(puppet, node, Outgoing { subscriptions, ..Outgoing::default() });
        if !subscribed {
            world.say_unsubscribe(puppet, node, &t);
        }
        world.run_for(millis(10));
        let expected = if subscribed { vec![world.peer(puppet)] } else { Vec::new() };
        assert_eq!(world.gossip(node).topic_peers(&t), expected);
        assert!(world.gossip(node).topic_peers(&u).is_empty());
    }
}

#[test]
fn a_topic_may_name_its_messages_in_its_own_way() {
    let mut world = World::new(312);
    let (a, b) = (topic("a"), topic("b"));
    let nodes = world.add_many(2, &config());
    for node in &nodes {
        let settings = TopicSettings { message_id: Some(data_digest), ..TopicSettings::default() };
        let set = world.with(*node, |gossip, _| gossip.set_topic_settings(&b, settings));
        assert_eq!(set, Ok(()));
    }
    [&a, &b].into_iter().for_each(|topic| subscribe_all(&mut world, &nodes, topic));
    world.connect(0, 1);
    world.run_for(secs(1));
    let one = world.publish(0, &a, "pubsub");
    let other = world.publish(0, &b, "pubsub");
    world.run_for(millis(50));
    let ids: Vec<_> = world.messages(1).iter().map(|message| message.id.clone()).collect();
    assert_eq!(ids, [one.id.clone(), other.id.clone()]);
    assert!(one.id.as_bytes().starts_with(&world.peer(0).to_bytes()), "author and number");
    assert_eq!(other.id.as_bytes().len(), 32, "a digest");
}
