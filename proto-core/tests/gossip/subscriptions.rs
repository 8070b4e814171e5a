//! What peers tell each other of topics.

use sanspeer_core::gossip::{GossipEvent, Outgoing, Topic};
use sanspeer_core::mux::StreamId;
use sanspeer_core::node::{ConnectionId, ProtocolInput, StreamRef};

use crate::gossip_world::{World, millis, secs, topic};
use crate::helpers::{
    add_connected, config, forget_heard, outside_mesh, peers_of, settled_with, told_topics,
};

fn say(world: &mut World, puppet: usize, node: usize, subscriptions: &[(bool, &Topic)]) {
    let subscriptions =
        subscriptions.iter().map(|(subscribe, topic)| (*subscribe, (*topic).clone())).collect();
    world.say(puppet, node, Outgoing { subscriptions, ..Outgoing::default() });
    world.run_for(millis(5));
}

#[test]
fn every_peer_hears_of_the_topics_that_are_joined_and_left() {
    let mut world = World::new(100);
    let (a, b) = (topic("a"), topic("b"));
    let node = world.add(config());
    let puppets = add_connected(&mut world, node, 20);
    for puppet in &puppets {
        world.say_subscribe(*puppet, node, &a);
    }
    world.run_for(millis(20));
    forget_heard(&mut world, &puppets);
    world.subscribe(node, &a);
    world.subscribe(node, &b);
    assert_eq!(world.gossip(node).topics(), [a.clone(), b.clone()]);
    assert_eq!(world.mesh(node, &a).len(), 6);
    assert_eq!(world.mesh(node, &b).len(), 0);
    world.run_for(millis(5));
    for puppet in &puppets {
        let told = told_topics(&mut world, *puppet);
        assert_eq!(told, [(true, a.clone()), (true, b.clone())]);
    }
    world.unsubscribe(node, &a);
    world.unsubscribe(node, &b);
    assert!(world.gossip(node).topics().is_empty());
    assert_eq!(world.mesh(node, &a).len(), 0);
    world.run_for(millis(5));
    let mut prunes = 0;
    for puppet in &puppets {
        let heard = world.heard(*puppet);
        prunes += heard.iter().map(|heard| heard.said.control.prune.len()).sum::<usize>();
        let told: Vec<_> = heard.into_iter().flat_map(|heard| heard.said.subscriptions).collect();
        assert_eq!(told, [(false, a.clone()), (false, b.clone())]);
    }
    assert_eq!(prunes, 6, "those of the mesh");
}

#[test]
fn whoever_connects_hears_of_all_topics_in_one_frame() {
    let mut world = World::new(101);
    let topics = ["alpha", "beta", "gamma"].map(topic);
    let node = world.add(config());
    topics.iter().for_each(|topic| world.subscribe(node, topic));
    let puppets = add_connected(&mut world, node, 5);
    world.run_for(millis(20));
    for puppet in puppets {
        let heard = world.heard(puppet);
        assert_eq!(heard.len(), 1);
        assert_eq!(heard[0].said.subscriptions, topics.clone().map(|topic| (true, topic)));
    }
}

#[test]
fn the_topics_of_peers_are_those_that_they_said() {
    let mut world = World::new(102);
    let [a, b, c, d] = ["a", "b", "c", "d"].map(topic);
    let node = world.add(config());
    [&a, &b, &c, &d].into_iter().for_each(|topic| world.subscribe(node, topic));
    let puppets = add_connected(&mut world, node, 3);
    world.run_for(millis(20));
    world.take_events(node);
    let said = [(true, &a), (true, &b), (true, &c), (false, &d)];
    say(&mut world, puppets[0], node, &said);
    say(&mut world, puppets[1], node, &said);
    // Nobody knows whose stream this is.
    let stream = StreamRef { connection: ConnectionId(9_999), stream: StreamId(1) };
    let frame = bytes::Bytes::from_static(b"\x0a\x05\x08\x01\x12\x01a");
    world.tell(node, ProtocolInput::Frame { stream, frame });
    let both = peers_of(&world, &puppets[..2]);
    for topic in [&a, &b, &c] {
        assert_eq!(world.gossip(node).topic_peers(topic), both);
    }
    assert!(world.gossip(node).topic_peers(&d).is_empty());
    say(&mut world, puppets[0], node, &[(false, &a)]);
    assert_eq!(world.gossip(node).topic_peers(&a), peers_of(&world, &puppets[1..2]));
    assert_eq!(world.gossip(node).topic_peers(&b), both);
    let peer = world.peer(puppets[0]);
    let events = world.take_events(node);
    let joined = events.iter().filter(|event| {
        [&a, &b, &c]
            .into_iter()
            .any(|topic| **event == GossipEvent::Subscribed { peer, topic: topic.clone() })
    });
    assert_eq!(joined.count(), 3);
    assert!(events.contains(&GossipEvent::Unsubscribed { peer, topic: a }));
    assert!(!events.contains(&GossipEvent::Unsubscribed { peer, topic: d }), "it never was");
}

#[test]
fn of_all_that_a_peer_says_of_a_topic_at_once_the_last_counts() {
    let mut world = World::new(103);
    let (a, b) = (topic("a"), topic("b"));
    let node = world.add(config());
    let puppet = add_connected(&mut world, node, 1)[0];
    say(&mut world, puppet, node, &[(true, &a)]);
    let said = [(false, &a), (false, &b), (true, &b), (true, &a), (false, &a), (true, &b)];
    say(&mut world, puppet, node, &said);
    assert!(world.gossip(node).topic_peers(&a).is_empty());
    assert_eq!(world.gossip(node).topic_peers(&b), [world.peer(puppet)]);
    world.disconnect_all(puppet, node);
    assert_eq!(world.gossip(node).usage().topics, 0);
}

#[test]
fn a_topic_that_is_joined_again_gets_a_mesh_of_others() {
    let mut world = World::new(104);
    let (node, t, puppets) = settled_with(&mut world, config(), 20);
    let before = world.mesh(node, &t);
    assert_eq!(before.len(), 6);
    world.unsubscribe(node, &t);
    world.run_for(secs(1));
    forget_heard(&mut world, &puppets);
    world.subscribe(node, &t);
    let after = world.mesh(node, &t);
    assert_eq!(after.len(), 6);
    assert!(before.iter().all(|puppet| !after.contains(puppet)), "they are backed off");
    world.run_for(millis(5));
    for puppet in &puppets {
        let graft = world.heard_control(*puppet).graft;
        assert_eq!(graft.len(), usize::from(after.contains(puppet)));
    }
    assert_eq!(outside_mesh(&world, node, &t, &puppets).len(), 14);
}
