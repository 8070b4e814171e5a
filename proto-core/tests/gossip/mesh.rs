//! The size of a mesh, and who is in it.

use sanspeer_core::gossip::{GossipConfig, MeshParams, TopicSettings};

use crate::gossip_world::{World, millis, secs, topic};
use crate::helpers::{
    FLOODSUB, LATEST, add_connected, add_dialled, config, degrees, forget_heard, node_with,
    outside_mesh, rate, settled_with,
};

/// All of them graft the node.
fn graft(world: &mut World, puppets: &[usize], node: usize, topic: &sanspeer_core::gossip::Topic) {
    puppets.iter().for_each(|puppet| world.say_graft(*puppet, node, topic));
    world.run_for(millis(5));
}

#[test]
fn below_d_lo_a_mesh_is_filled_up_to_d() {
    let mut world = World::new(110);
    let (node, t, puppets) = settled_with(&mut world, config(), 9);
    let mesh = world.mesh(node, &t);
    assert_eq!(mesh.len(), 6);
    world.say_prune(mesh[0], node, &t, Vec::new(), Some(60));
    world.run_for(secs(1));
    assert_eq!(world.mesh(node, &t).len(), 5, "that is enough");
    world.say_prune(mesh[1], node, &t, Vec::new(), Some(60));
    world.run_for(millis(5));
    assert_eq!(world.mesh(node, &t).len(), 4);
    world.run_for(secs(1));
    assert_eq!(world.mesh(node, &t).len(), 6);
    let outside = outside_mesh(&world, node, &t, &puppets);
    assert!(outside.contains(&mesh[0]) && outside.contains(&mesh[1]));
}

#[test]
fn above_d_hi_a_mesh_shrinks_to_d() {
    let mut world = World::new(111);
    let (node, t, _) = node_with(&mut world, config(), 0);
    let puppets: Vec<_> = (0..22).map(|_| add_dialled(&mut world, node, &t)).collect();
    world.run_for(millis(20));
    graft(&mut world, &puppets, node, &t);
    assert_eq!(world.mesh(node, &t).len(), 22, "we chose to dial them");
    forget_heard(&mut world, &puppets);
    world.run_for(millis(100));
    assert_eq!(world.mesh(node, &t).len(), 6);
    for puppet in outside_mesh(&world, node, &t, &puppets) {
        let prune = world.heard_control(puppet).prune;
        assert_eq!((prune.len(), prune[0].backoff_secs), (1, Some(60)));
    }
}

#[test]
fn a_mesh_of_d_hi_is_full_but_for_peers_that_we_dialled() {
    let mut world = World::new(112);
    let (node, t, puppets) = node_with(&mut world, config(), 13);
    graft(&mut world, &puppets, node, &t);
    assert_eq!(world.mesh(node, &t).len(), 12);
    let refused = outside_mesh(&world, node, &t, &puppets)[0];
    assert_eq!(world.heard_control(refused).prune.len(), 1);
    let dialled = add_dialled(&mut world, node, &t);
    world.run_for(millis(5));
    graft(&mut world, &[dialled], node, &t);
    assert!(world.mesh(node, &t).contains(&dialled));
    assert!(world.heard_control(dialled).prune.is_empty());
}

#[test]
fn peers_that_we_dialled_stay_when_a_mesh_shrinks() {
    let mut world = World::new(113);
    let (node, t, puppets) = node_with(&mut world, config(), 12);
    puppets.iter().for_each(|puppet| rate(&mut world, node, *puppet, 100.0));
    graft(&mut world, &puppets, node, &t);
    let dialled = [add_dialled(&mut world, node, &t), add_dialled(&mut world, node, &t)];
    world.run_for(millis(10));
    graft(&mut world, &dialled, node, &t);
    assert_eq!(world.mesh(node, &t).len(), 14);
    world.run_for(millis(50));
    let mesh = world.mesh(node, &t);
    assert_eq!(mesh.len(), 6);
    assert!(dialled.iter().all(|puppet| mesh.contains(puppet)), "D_out of them, at any score");
}

#[test]
fn where_as_many_of_the_best_stay_as_a_mesh_has_some_make_room_for_those_that_we_dialled() {
    let mut world = World::new(119);
    let mesh = MeshParams { degree_score: 6, ..MeshParams::default() };
    let (node, t, puppets) = node_with(&mut world, GossipConfig { mesh, ..config() }, 12);
    for (puppet, score) in puppets.iter().zip(100u32..) {
        rate(&mut world, node, *puppet, f64::from(score));
    }
    graft(&mut world, &puppets, node, &t);
    let dialled = [add_dialled(&mut world, node, &t), add_dialled(&mut world, node, &t)];
    world.run_for(millis(10));
    graft(&mut world, &dialled, node, &t);
    world.run_for(millis(50));
    assert_eq!(world.mesh(node, &t), [&puppets[8..], &dialled].concat());
}

#[test]
fn nobody_with_a_negative_score_is_grafted() {
    let mut world = World::new(114);
    let (node, t, _) = node_with(&mut world, config(), 0);
    let puppets = add_connected(&mut world, node, 2);
    world.run_for(millis(10));
    rate(&mut world, node, puppets[0], -1.0);
    puppets.iter().for_each(|puppet| world.say_subscribe(*puppet, node, &t));
    world.run_for(millis(10));
    assert_eq!(world.mesh(node, &t), [puppets[1]], "not at once");
    graft(&mut world, &puppets, node, &t);
    assert_eq!(world.mesh(node, &t), [puppets[1]], "not if it grafts us");
    world.run_for(secs(3));
    assert_eq!(world.mesh(node, &t), [puppets[1]], "at no heartbeat");
    rate(&mut world, node, puppets[0], 0.0);
    world.run_for(secs(62));
    assert_eq!(world.mesh(node, &t), puppets, "when its back-off is over, and it is forgiven");
}

#[test]
fn when_a_mesh_shrinks_those_of_the_best_scores_stay() {
    let mut world = World::new(115);
    let mesh = MeshParams { degree_score: 29, ..degrees(15, 30, 60, 2) };
    let (node, t, puppets) = node_with(&mut world, GossipConfig { mesh, ..config() }, 60);
    for (puppet, score) in puppets.iter().zip(0u32..) {
        rate(&mut world, node, *puppet, f64::from(score));
    }
    graft(&mut world, &puppets, node, &t);
    assert_eq!(world.mesh(node, &t), puppets);
    let dialled = add_dialled(&mut world, node, &t);
    world.run_for(millis(5));
    graft(&mut world, &[dialled], node, &t);
    assert_eq!(world.mesh(node, &t).len(), 61);
    world.run_for(millis(50));
    assert_eq!(world.mesh(node, &t), [&puppets[31..], &[dialled]].concat());
}

#[test]
fn every_so_many_heartbeats_a_mesh_of_poor_scores_gets_better_peers() {
    let mut world = World::new(116);
    let config = GossipConfig {
        mesh: degrees(3, 5, 7, 0),
        opportunistic_graft_ticks: 2,
        opportunistic_graft_peers: 2,
        ..config()
    };
    let (node, t, puppets) = node_with(&mut world, config, 5);
    graft(&mut world, &puppets, node, &t);
    let others: Vec<_> = (0..5).map(|_| world.add_subscriber(node, &t, LATEST)).collect();
    world.run_for(millis(20));
    for (place, score) in [0.0, 10.0, 20.0, 30.0, 40.0].into_iter().enumerate() {
        rate(&mut world, node, puppets[place], score);
        rate(&mut world, node, others[place], score);
    }
    world.run_for(millis(1_075));
    assert_eq!(world.mesh(node, &t), puppets, "a median of 20 is not below the threshold");
    rate(&mut world, node, puppets[2], 10.0);
    world.run_for(secs(1));
    assert_eq!(world.mesh(node, &t), puppets, "it is not time for it");
    world.run_for(secs(1));
    let mesh = world.mesh(node, &t);
    assert_eq!(mesh.len(), 7);
    assert!(puppets.iter().all(|puppet| mesh.contains(puppet)));
    assert!(!mesh.contains(&others[0]) && !mesh.contains(&others[1]), "no better than the median");
}

#[test]
fn peers_that_speak_floodsub_alone_are_in_no_mesh() {
    let mut world = World::new(117);
    let (node, t) = (world.add(config()), topic("t"));
    let dialled = world.add_puppet(FLOODSUB);
    world.connect(node, dialled);
    world.say_subscribe(dialled, node, &t);
    let puppets = [dialled, world.add_subscriber(node, &t, FLOODSUB)];
    world.run_for(millis(20));
    world.subscribe(node, &t);
    assert_eq!(world.gossip(node).topic_peers(&t).len(), 2);
    assert_eq!(world.mesh(node, &t), [0; 0], "not on joining");
    graft(&mut world, &puppets, node, &t);
    assert_eq!(world.mesh(node, &t), [0; 0], "not if they graft us");
    world.run_for(secs(3));
    assert_eq!(world.mesh(node, &t), [0; 0], "at no heartbeat");
    for puppet in puppets {
        assert!(world.heard_control(puppet).graft.is_empty());
    }
}

#[test]
fn a_topic_may_have_degrees_of_its_own() {
    let mut world = World::new(118);
    let [small, large, other] = ["small", "large", "other"].map(topic);
    let node = world.add(config());
    for (topic, mesh) in [(&small, degrees(2, 4, 6, 1)), (&large, degrees(4, 8, 12, 3))] {
        let settings = TopicSettings { mesh: Some(mesh), ..TopicSettings::default() };
        let set = world.with(node, |gossip, _| gossip.set_topic_settings(topic, settings));
        assert_eq!(set, Ok(()));
    }
    let puppets = add_connected(&mut world, node, 15);
    for topic in [&small, &large, &other] {
        world.subscribe(node, topic);
        puppets.iter().for_each(|puppet| world.say_subscribe(*puppet, node, topic));
    }
    world.run_for(millis(1_150));
    let sizes = [&small, &large, &other].map(|topic| world.mesh(node, topic).len());
    assert_eq!(sizes, [4, 8, 6]);
    // Filled up below the D_lo of its own.
    for puppet in &world.mesh(node, &small)[..3] {
        world.say_prune(*puppet, node, &small, Vec::new(), Some(60));
    }
    for puppet in &world.mesh(node, &large)[..4] {
        world.say_prune(*puppet, node, &large, Vec::new(), Some(60));
    }
    world.run_for(secs(1));
    let sizes = [&small, &large, &other].map(|topic| world.mesh(node, topic).len());
    assert_eq!(sizes, [4, 4, 6]);
    // Full at the D_hi of its own, and pruned above it.
    graft(&mut world, &puppets, node, &small);
    assert_eq!(world.mesh(node, &small).len(), 6);
    let dialled: Vec<_> = (0..3).map(|_| add_dialled(&mut world, node, &small)).collect();
    world.run_for(millis(10));
    graft(&mut world, &dialled, node, &small);
    assert_eq!(world.mesh(node, &small).len(), 9);
    world.run_for(secs(1));
    let mesh = world.mesh(node, &small);
    assert_eq!(mesh.len(), 4);
    assert!(dialled.iter().any(|puppet| mesh.contains(puppet)));
}
