//! Networks of many nodes, in which everybody hears everything.

use sanspeer_core::gossip::{GossipConfig, GossipEvent, PublishError, RpcLimits, ScoreConfig};

use crate::crowd::{
    assert_all_reach_all, assert_mutual, assert_reaches, connect_all, connect_pairs, connect_some,
    floodsub, subscribe_all,
};
use crate::gossip_world::{Speed, World, millis, secs, topic};
use crate::helpers::{LATEST, config, slow_peers};

/// Ten nodes, none of which has more than three neighbours.
const TREE: [(usize, usize); 9] =
    [(0, 1), (1, 2), (1, 4), (2, 3), (0, 5), (5, 6), (5, 8), (6, 7), (8, 9)];

#[test]
fn in_a_sparse_network_everything_reaches_everybody() {
    let mut world = World::new(100);
    let (t, nodes) = (topic("t"), world.add_many(20, &config()));
    subscribe_all(&mut world, &nodes, &t);
    connect_some(&mut world, &nodes, 3);
    world.run_for(secs(2));
    (0..5).for_each(|_| assert_all_reach_all(&mut world, &nodes, &t));
    assert_mutual(&world, &nodes, &t);
}

#[test]
fn in_a_dense_network_everything_reaches_everybody_once_however_much_gossip_there_is() {
    let mut world = World::new(101);
    let (t, nodes) = (topic("t"), world.add_many(20, &config()));
    subscribe_all(&mut world, &nodes, &t);
    connect_some(&mut world, &nodes, 10);
    world.run_for(secs(2));
    // Heartbeats come in between.
    (0..5).for_each(|_| assert_all_reach_all(&mut world, &nodes, &t));
    let params = config().mesh;
    for node in &nodes {
        let size = world.mesh(*node, &t).len();
        assert!((params.degree_low..=params.degree_high).contains(&size), "{size} at {node}");
    }
    assert_mutual(&world, &nodes, &t);
}

#[test]
fn nodes_that_join_one_after_the_other_become_one_network() {
    let mut world = World::new(102);
    let (t, nodes) = (topic("t"), world.add_many(20, &config()));
    connect_some(&mut world, &nodes, 3);
    world.run_for(secs(1));
    for node in &nodes {
        world.subscribe(*node, &t);
        world.run_for(millis(100));
    }
    world.run_for(secs(1));
    (0..5).for_each(|_| assert_all_reach_all(&mut world, &nodes, &t));
}

#[test]
fn when_some_leave_the_topic_the_others_go_on_and_they_can_still_publish() {
    let mut world = World::new(103);
    let (t, nodes) = (topic("t"), world.add_many(20, &config()));
    subscribe_all(&mut world, &nodes, &t);
    connect_some(&mut world, &nodes, 10);
    world.run_for(secs(2));
    let (gone, rest) = nodes.split_at(5);
    gone.iter().for_each(|node| world.unsubscribe(*node, &t));
    world.run_for(millis(100));
    for node in gone {
        world.take_events(*node);
        assert_reaches(&mut world, *node, rest, &t, &format!("from outside, {node}"));
    }
    assert_all_reach_all(&mut world, rest, &t);
    assert!(gone.iter().all(|node| world.messages(*node).is_empty()), "they hear nothing");
    assert!(rest.iter().all(|node| world.mesh(*node, &t).iter().all(|peer| rest.contains(peer))));
}

#[test]
fn when_some_disconnect_the_others_go_on() {
    let mut world = World::new(104);
    let (t, nodes) = (topic("t"), world.add_many(20, &config()));
    subscribe_all(&mut world, &nodes, &t);
    connect_some(&mut world, &nodes, 10);
    world.run_for(secs(2));
    let (gone, rest) = nodes.split_at(5);
    for node in gone {
        nodes.iter().for_each(|other| world.disconnect_all(*node, *other));
    }
    world.run_for(secs(1));
    assert_all_reach_all(&mut world, rest, &t);
    assert_mutual(&world, rest, &t);
    for node in rest {
        assert_eq!(world.gossip(*node).usage().topics, 1);
        let peers = world.gossip(*node).topic_peers(&t);
        assert!(gone.iter().all(|other| !peers.contains(&world.peer(*other))));
    }
}

#[test]
fn a_node_has_a_mesh_in_each_of_many_topics() {
    let mut world = World::new(105);
    let nodes = world.add_many(10, &config());
    connect_all(&mut world, &nodes);
    let topics: Vec<_> = (0..35).map(|number| topic(&format!("topic {number}"))).collect();
    for t in &topics {
        subscribe_all(&mut world, &nodes, t);
    }
    world.run_for(secs(5));
    for (number, t) in topics.iter().enumerate() {
        let owner = nodes[number % nodes.len()];
        assert_reaches(&mut world, owner, &nodes, t, &format!("in topic {number}"));
        assert_mutual(&world, &nodes, t);
    }
}

#[test]
fn topics_that_are_joined_during_a_flood_of_messages_work_after_it() {
    // Nobody is pruned for being slow, and nothing goes past the meshes.
    let score = ScoreConfig { slow_peer_weight: 0.0, ..ScoreConfig::default() };
    let config = GossipConfig { flood_publish: false, score, ..config() };
    let mut world = World::new(106);
    let (flood, nodes) = (topic("flood"), world.add_many(10, &config));
    connect_all(&mut world, &nodes);
    subscribe_all(&mut world, &nodes, &flood);
    world.run_for(secs(1));
    for link in world.links.values_mut() {
        for from in [link.from, link.to] {
            link.set_speed(from, Speed::BytesPerSecond(100_000));
        }
    }
    let topics: Vec<_> = (0..5).map(|number| topic(&format!("topic {number}"))).collect();
    for number in 0..1_000 {
        let data = vec![b'x'; 10_000];
        let published = world.with(0, |gossip, now| gossip.publish(now, &flood, data.into()));
        assert!(matches!(published, Ok(_) | Err(PublishError::QueuesFull { .. })));
        if let (0, Some(t)) = (number % 200, topics.get(number / 200)) {
            subscribe_all(&mut world, &nodes, t);
        }
        world.run_for(millis(1));
    }
    world.run_for(secs(3));
    let lost: u64 = slow_peers(&world.take_events(0)).iter().map(|lost| lost.published).sum();
    assert!(lost > 1_000, "it was a flood, of which {lost} copies were lost");
    // What is on its way still.
    world.run_for(secs(2));
    for t in &topics {
        nodes.iter().for_each(|node| drop(world.take_events(*node)));
        world.publish(nodes[3], t, "through");
        world.run_for(secs(2));
        for node in nodes.iter().filter(|node| **node != nodes[3]) {
            assert!(world.messages(*node).iter().any(|message| message.data == "through"));
        }
        assert_mutual(&world, &nodes, t);
    }
}

#[test]
fn nodes_that_speak_floodsub_alone_are_part_of_the_network() {
    let mut world = World::new(107);
    let (t, mut nodes) = (topic("t"), world.add_many(20, &config()));
    let old = world.add_many(10, &floodsub());
    nodes.extend(&old);
    subscribe_all(&mut world, &nodes, &t);
    connect_some(&mut world, &nodes, 3);
    world.run_for(secs(2));
    (0..3).for_each(|_| assert_all_reach_all(&mut world, &nodes, &t));
    for node in &nodes {
        assert!(world.mesh(*node, &t).iter().all(|peer| !old.contains(peer)));
    }
}

#[test]
fn a_network_of_floodsub_alone_needs_no_heartbeat() {
    let mut world = World::new(108);
    let (t, nodes) = (topic("t"), world.add_many(20, &floodsub()));
    subscribe_all(&mut world, &nodes, &t);
    connect_some(&mut world, &nodes, 3);
    world.run_for(millis(50));
    (0..5).for_each(|_| assert_all_reach_all(&mut world, &nodes, &t));
}

#[test]
fn a_chain_passes_on_what_somebody_outside_says_at_its_end() {
    for config in [config(), floodsub()] {
        let mut world = World::new(109);
        let (t, nodes) = (topic("t"), world.add_many(6, &config));
        for pair in nodes.windows(2) {
            world.connect(pair[0], pair[1]);
        }
        subscribe_all(&mut world, &nodes[1..], &t);
        world.run_for(secs(2));
        assert_reaches(&mut world, nodes[0], &nodes[1..], &t, "hello");
        assert!(world.messages(nodes[0]).is_empty());
    }
}

#[test]
fn a_tree_passes_on_what_its_leaves_say() {
    for config in [config(), floodsub()] {
        let mut world = World::new(110);
        let (t, nodes) = (topic("t"), world.add_many(10, &config));
        connect_pairs(&mut world, &TREE);
        subscribe_all(&mut world, &nodes, &t);
        world.run_for(secs(2));
        for (node, expected) in [(0, &[1, 5][..]), (1, &[0, 2, 4]), (2, &[1, 3])] {
            let peers = world.gossip(node).topic_peers(&t);
            let mut sides: Vec<_> = peers.iter().filter_map(|peer| world.side_of(peer)).collect();
            sides.sort_unstable();
            assert_eq!(sides, expected);
        }
        for leaf in [9, 3] {
            assert_reaches(&mut world, leaf, &nodes, &t, &format!("from {leaf}"));
        }
    }
}

#[test]
fn the_centre_of_a_star_floods_what_it_publishes_to_all() {
    let mut world = World::new(111);
    let (t, nodes) = (topic("t"), world.add_many(20, &config()));
    for node in &nodes[1..] {
        world.connect(nodes[0], *node);
    }
    subscribe_all(&mut world, &nodes, &t);
    world.run_for(secs(2));
    assert!(world.mesh(nodes[0], &t).len() <= config().mesh.degree_high);
    for number in 0..20 {
        assert_reaches(&mut world, nodes[0], &nodes, &t, &format!("message {number}"));
    }
    assert_eq!(world.publish(nodes[0], &t, "to nineteen").queued_for, 19);
}

#[test]
fn a_message_names_its_author_and_whoever_passed_it_on() {
    let mut world = World::new(112);
    let (t, nodes) = (topic("t"), world.add_many(3, &config()));
    connect_pairs(&mut world, &[(0, 1), (1, 2)]);
    subscribe_all(&mut world, &nodes, &t);
    world.run_for(secs(2));
    for author in 0..3 {
        nodes.iter().for_each(|node| drop(world.take_events(*node)));
        world.publish(author, &t, format!("{author} sent it"));
        world.run_for(millis(50));
        for node in nodes.iter().copied().filter(|node| *node != author) {
            // Whoever is not in the middle hears everything of it.
            let passed_on_by = world.peer(if node == 1 { author } else { 1 });
            let author = world.peer(author);
            assert!(world.take_events(node).iter().any(|event| matches!(
                event,
                GossipEvent::Message { propagation_source, message, .. }
                    if *propagation_source == passed_on_by && message.source == Some(author)
            )));
        }
    }
}

#[test]
fn messages_of_two_mebibytes_pass_where_all_allow_them() {
    const MIB: usize = 1024 * 1024;
    let received = RpcLimits { max_frame_bytes: 4 * MIB, ..RpcLimits::default() };
    let large = GossipConfig { received, max_message_bytes: 4 * MIB, ..config() };
    let mut world = World::new(113);
    let (t, nodes) = (topic("t"), world.add_many(10, &large));
    connect_some(&mut world, &nodes, 3);
    subscribe_all(&mut world, &nodes, &t);
    world.run_for(secs(1));
    assert_reaches(&mut world, nodes[0], &nodes, &t, &"x".repeat(2 * MIB));
    let usual = world.add(config());
    let data = vec![0; 2 * MIB].into();
    let refused = world.with(usual, |gossip, now| gossip.publish(now, &t, data));
    let (bytes, max) = (2 * MIB, config().max_message_bytes);
    assert_eq!(refused, Err(PublishError::TooLarge { bytes, max }));
}

#[test]
fn a_hundred_messages_that_are_published_at_once_all_arrive() {
    let mut world = World::new(114);
    let (t, nodes) = (topic("t"), world.add_many(20, &config()));
    subscribe_all(&mut world, &nodes, &t);
    connect_some(&mut world, &nodes, 3);
    world.run_for(secs(2));
    nodes.iter().for_each(|node| drop(world.take_events(*node)));
    (0..100).for_each(|number| drop(world.publish(nodes[0], &t, format!("{number}"))));
    world.run_for(millis(200));
    for node in &nodes[1..] {
        let mut numbers: Vec<u32> = world
            .messages(*node)
            .iter()
            .map(|message| str::from_utf8(&message.data).unwrap().parse().unwrap())
            .collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..100).collect::<Vec<_>>(), "at {node}");
    }
}

#[test]
fn a_mesh_that_others_filled_beyond_d_hi_is_pruned_to_d() {
    let mut world = World::new(115);
    let t = topic("t");
    let node = world.add(config());
    world.subscribe(node, &t);
    let puppets: Vec<_> = (0..15).map(|_| world.add_puppet(LATEST)).collect();
    for puppet in &puppets {
        // Those that it dialled itself may come beyond the bound.
        world.connect(node, *puppet);
        world.say_subscribe(*puppet, node, &t);
    }
    world.run_for(millis(50));
    puppets.iter().for_each(|puppet| world.say_graft(*puppet, node, &t));
    world.run_for(millis(10));
    assert_eq!(world.mesh(node, &t), puppets);
    world.run_for(secs(1));
    assert_eq!(world.mesh(node, &t).len(), config().mesh.degree);
    let prunes: usize = puppets.iter().map(|puppet| world.heard_control(*puppet).prune.len()).sum();
    assert_eq!(prunes, 15 - config().mesh.degree);
}
