//! Bounds on what peers and the application can make grow.

use sanspeer_core::gossip::{GossipConfig, Outgoing, PublishError, SubscribeError, Topic};

use crate::gossip_world::{World, millis, topic};
use crate::helpers::{config, node_with};

#[test]
fn topics_of_a_peer_are_bounded() {
    // CVE-2026-46679, CVE-2026-86040.
    let mut world = World::new(19);
    let (node, _, puppets) = node_with(&mut world, config(), 1);
    for batch in 0..10 {
        let subscriptions =
            (0..1_000).map(|number| (true, topic(&format!("{batch}/{number}")))).collect();
        world.say(puppets[0], node, Outgoing { subscriptions, ..Outgoing::default() });
    }
    world.run_for(millis(50));
    assert!(world.gossip(node).usage().topics <= 1 + GossipConfig::default().max_peer_topics);
    world.disconnect_all(puppets[0], node);
    assert_eq!(world.gossip(node).usage().topics, 1);
}

#[test]
fn limits_of_the_application_are_errors_that_name_them() {
    let mut world = World::new(31);
    let config = GossipConfig { max_topics: 2, max_message_bytes: 100, ..config() };
    let node = world.add(config);
    for name in ["a", "b"] {
        world.subscribe(node, &topic(name));
    }
    world.with(node, |gossip, now| {
        assert_eq!(gossip.subscribe(now, &topic("a")), Ok(false));
        assert_eq!(gossip.subscribe(now, &topic("c")), Err(SubscribeError::TooManyTopics(2)));
        let long = gossip.publish(now, &topic("a"), vec![0; 101].into());
        assert_eq!(long, Err(PublishError::TooLarge { bytes: 101, max: 100 }));
        assert_eq!(gossip.topics(), [topic("a"), topic("b")]);
    });
}

#[test]
fn a_peer_that_leaves_a_topic_may_be_in_another() {
    let mut world = World::new(220);
    let (node, _, puppets) =
        node_with(&mut world, GossipConfig { max_peer_topics: 2, ..config() }, 1);
    let [a, b, c] = ["a", "b", "c"].map(topic);
    let mut say = |subscriptions: &[(bool, &Topic)]| {
        let subscriptions =
            subscriptions.iter().map(|(subscribe, topic)| (*subscribe, (*topic).clone())).collect();
        world.say(puppets[0], node, Outgoing { subscriptions, ..Outgoing::default() });
        world.run_for(millis(5));
        [&a, &b, &c].map(|topic| world.gossip(node).topic_peers(topic).len())
    };
    assert_eq!(say(&[(true, &a), (true, &b), (true, &c)]), [1, 0, 0], "with the one that it is in");
    assert_eq!(say(&[(true, &b), (false, &a), (true, &b)]), [0, 1, 0], "in this order");
    assert_eq!(say(&[(false, &b), (false, &c), (true, &c)]), [0, 0, 1]);
}
