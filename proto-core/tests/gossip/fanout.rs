//! Publishing to topics that a node is not in.

use sanspeer_core::gossip::{GossipConfig, PublishError, TopicSettings};

use crate::gossip_world::{World, millis, secs, topic};
use crate::helpers::{FLOODSUB, LATEST, config, degrees, forget_heard};

#[test]
fn without_being_in_a_topic_messages_go_to_a_fanout_that_ends() {
    let mut world = World::new(20);
    let node = world.add(GossipConfig { flood_publish: false, ..config() });
    let t = topic("t");
    let refused = world.with(node, |gossip, now| gossip.publish(now, &t, "m".into()));
    assert_eq!(refused, Err(PublishError::NotEnoughPeers { subscribed: 0 }));
    let puppets: Vec<_> = (0..10).map(|_| world.add_subscriber(node, &t, LATEST)).collect();
    world.run_for(millis(50));
    assert_eq!(world.publish(node, &t, "m").queued_for, 6);
    world.run_for(millis(50));
    let heard: usize = puppets.iter().map(|puppet| world.heard_messages(*puppet).len()).sum();
    assert_eq!(heard, 6);
    let fanout = world.gossip(node).fanout_peers(&t);
    assert_eq!(fanout.len(), 6);
    world.publish(node, &t, "n");
    assert_eq!(world.gossip(node).fanout_peers(&t), fanout, "the same ones");
    // Those who go are replaced.
    let gone = world.side_of(&fanout[0]).unwrap();
    world.say_unsubscribe(gone, node, &t);
    world.run_for(secs(1));
    assert_eq!(world.gossip(node).fanout_peers(&t).len(), 6);
    world.run_for(secs(61));
    assert!(world.gossip(node).fanout_peers(&t).is_empty());
}

#[test]
fn whoever_joins_a_topic_starts_with_its_fanout() {
    let mut world = World::new(21);
    let node = world.add(GossipConfig { flood_publish: false, ..config() });
    let t = topic("t");
    for _ in 0..20 {
        world.add_subscriber(node, &t, LATEST);
    }
    world.run_for(millis(50));
    world.publish(node, &t, "m");
    let fanout = world.gossip(node).fanout_peers(&t);
    world.subscribe(node, &t);
    assert_eq!(world.gossip(node).mesh_peers(&t), fanout);
    assert!(world.gossip(node).fanout_peers(&t).is_empty());
}

#[test]
fn peers_that_speak_floodsub_alone_get_everything_and_are_in_no_fanout() {
    let mut world = World::new(130);
    let node = world.add(GossipConfig { flood_publish: false, ..config() });
    let t = topic("t");
    let floodsub: Vec<_> = (0..2).map(|_| world.add_subscriber(node, &t, FLOODSUB)).collect();
    world.run_for(millis(20));
    assert_eq!(world.publish(node, &t, "m").queued_for, 2);
    assert!(world.gossip(node).fanout_peers(&t).is_empty());
    for _ in 0..4 {
        world.add_subscriber(node, &t, LATEST);
    }
    world.run_for(millis(20));
    assert_eq!(world.publish(node, &t, "n").queued_for, 6);
    assert_eq!(world.gossip(node).fanout_peers(&t).len(), 4);
    // The same when the node is in the topic.
    world.subscribe(node, &t);
    world.run_for(secs(2));
    forget_heard(&mut world, &floodsub);
    assert_eq!(world.publish(node, &t, "o").queued_for, 6);
    world.run_for(millis(5));
    for puppet in floodsub {
        assert_eq!(world.heard_messages(puppet).len(), 1);
    }
}

#[test]
fn the_fanout_of_a_topic_has_the_degree_of_that_topic() {
    let mut world = World::new(131);
    let node = world.add(GossipConfig { flood_publish: false, ..config() });
    let t = topic("t");
    let settings = TopicSettings { mesh: Some(degrees(2, 4, 7, 1)), ..TopicSettings::default() };
    world.with(node, |gossip, _| gossip.set_topic_settings(&t, settings)).unwrap();
    let puppets: Vec<_> = (0..10).map(|_| world.add_subscriber(node, &t, LATEST)).collect();
    world.run_for(millis(20));
    assert_eq!(world.publish(node, &t, "m").queued_for, 4);
    assert_eq!(world.gossip(node).fanout_peers(&t).len(), 4);
    world.run_for(millis(5));
    let heard = puppets.iter().filter(|puppet| !world.heard_messages(**puppet).is_empty());
    assert_eq!(heard.count(), 4);
}
