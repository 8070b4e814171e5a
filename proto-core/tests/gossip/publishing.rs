//! Networks of many nodes, one of which publishes to a topic that it is not in; and what is gossiped
//! of it.

use std::collections::BTreeSet;

use sanspeer_core::gossip::{
    GossipConfig, MeshParams, PublishError, SignatureCheck, SignaturePolicy, TopicSettings,
};

use crate::crowd::{assert_reaches, connect_all, connect_pairs, connect_some, subscribe_all};
use crate::gossip_world::{World, millis, secs, topic};
use crate::helpers::{LATEST, config, data_of, node_with};

/// What is published goes to the mesh or the fanout, and no further.
fn no_flood() -> GossipConfig {
    GossipConfig { flood_publish: false, ..config() }
}

#[test]
fn what_is_published_from_outside_reaches_all_and_so_it_does_from_inside_later() {
    let mut world = World::new(200);
    let (t, nodes) = (topic("t"), world.add_many(20, &no_flood()));
    subscribe_all(&mut world, &nodes[1..], &t);
    connect_some(&mut world, &nodes, 10);
    world.run_for(secs(2));
    let degree = config().mesh.degree;
    for number in 0..20 {
        assert_reaches(&mut world, 0, &nodes[1..], &t, &format!("{number} from outside"));
        assert_eq!(world.gossip(0).fanout_peers(&t).len(), degree);
    }
    world.subscribe(0, &t);
    world.run_for(secs(1));
    assert!(world.gossip(0).fanout_peers(&t).is_empty());
    for number in 0..20 {
        assert_reaches(&mut world, 0, &nodes, &t, &format!("{number} from inside"));
    }
}

#[test]
fn a_fanout_whose_peers_all_left_is_filled_when_they_come_back() {
    let mut world = World::new(201);
    let (t, nodes) = (topic("t"), world.add_many(20, &no_flood()));
    subscribe_all(&mut world, &nodes[1..], &t);
    connect_some(&mut world, &nodes, 10);
    world.run_for(secs(2));
    assert_reaches(&mut world, 0, &nodes[1..], &t, "before");
    nodes[1..].iter().for_each(|node| world.unsubscribe(*node, &t));
    world.run_for(secs(2));
    assert!(world.gossip(0).fanout_peers(&t).is_empty());
    let nobody = world.with(0, |gossip, now| gossip.publish(now, &t, "to nobody".into()));
    assert_eq!(nobody, Err(PublishError::NotEnoughPeers { subscribed: 0 }));
    // Their meshes are back when the back-off of leaving is over.
    subscribe_all(&mut world, &nodes[1..], &t);
    world.run_for(config().unsubscribe_backoff + secs(3));
    for number in 0..20 {
        assert_reaches(&mut world, 0, &nodes[1..], &t, &format!("{number} after"));
    }
}

#[test]
fn a_fanout_is_forgotten_when_nothing_was_published_for_its_time() {
    let mut world = World::new(202);
    let brief = GossipConfig { fanout_ttl: secs(3), ..no_flood() };
    let (t, nodes) = (topic("t"), world.add_many(10, &brief));
    subscribe_all(&mut world, &nodes[1..], &t);
    connect_some(&mut world, &nodes, 9);
    world.run_for(secs(2));
    for _ in 0..3 {
        world.publish(0, &t, "again and again");
        world.run_for(secs(2));
        assert!(!world.gossip(0).fanout_peers(&t).is_empty());
    }
    world.run_for(secs(2));
    assert!(world.gossip(0).fanout_peers(&t).is_empty());
}

#[test]
fn who_publishes_without_being_in_a_topic_hears_nothing_of_it() {
    let mut world = World::new(203);
    let (t, nodes) = (topic("t"), world.add_many(5, &config()));
    subscribe_all(&mut world, &nodes[1..], &t);
    connect_all(&mut world, &nodes);
    world.run_for(secs(2));
    assert_reaches(&mut world, 0, &nodes[1..], &t, "from outside");
    assert_reaches(&mut world, 1, &nodes[1..], &t, "from inside");
    world.run_for(secs(3));
    assert!(world.messages(0).is_empty());
    assert!(nodes[1..].iter().all(|node| !world.mesh(*node, &t).contains(&0)));
}

#[test]
fn direct_peers_are_in_no_fanout_and_get_everything() {
    let mut world = World::new(204);
    let (t, nodes) = (topic("t"), world.add_many(3, &no_flood()));
    for (one, other) in [(1, 2), (2, 1)] {
        let peer = world.peer(other);
        world.with(one, |gossip, now| gossip.add_direct_peer(now, peer, Vec::new()));
    }
    connect_pairs(&mut world, &[(0, 1), (0, 2), (1, 2)]);
    subscribe_all(&mut world, &nodes[..2], &t);
    world.run_for(secs(1));
    for number in 0..3 {
        assert_reaches(&mut world, 2, &nodes[..2], &t, &format!("message {number}"));
    }
    assert_eq!(world.gossip(2).fanout_peers(&t), [world.peer(0)]);
    world.subscribe(2, &t);
    world.run_for(secs(2));
    assert_eq!(world.mesh(2, &t), [0]);
    assert_reaches(&mut world, 2, &nodes, &t, "from inside");
}

#[test]
fn who_joins_late_gets_the_last_messages_by_gossip() {
    let mut world = World::new(205);
    let (t, nodes) = (topic("t"), world.add_many(20, &no_flood()));
    let (early, late) = (&nodes[1..7], &nodes[7..]);
    connect_all(&mut world, &nodes[..7]);
    let mut others = late.to_vec();
    others.push(0);
    connect_all(&mut world, &others);
    subscribe_all(&mut world, early, &t);
    world.run_for(secs(1));
    for number in 0..5 {
        assert_reaches(&mut world, 0, early, &t, &format!("{number}"));
    }
    subscribe_all(&mut world, late, &t);
    world.run_for(secs(3));
    for node in late {
        // None of them is older than three heartbeats.
        let mut data = data_of(&world, *node);
        data.sort_unstable();
        let expected: Vec<_> = (0..5).map(|number| format!("{number}").into_bytes()).collect();
        assert_eq!(data, expected, "at {node}");
    }
}

#[test]
fn who_wants_everything_that_it_is_told_of_gets_it() {
    const MESSAGES: usize = 200;
    let mesh = MeshParams {
        degree: 1,
        degree_low: 1,
        degree_high: 1,
        degree_outbound: 0,
        degree_score: 1,
        ..config().mesh
    };
    let mut world = World::new(206);
    let (node, t, puppets) = node_with(&mut world, GossipConfig { mesh, ..no_flood() }, 2);
    world.run_for(millis(500));
    let inside = world.mesh(node, &t)[0];
    let outside = puppets.into_iter().find(|puppet| *puppet != inside).expect("another");
    let (mut told, mut got) = (0, BTreeSet::new());
    for number in 0..MESSAGES + 100 {
        if number < MESSAGES {
            let data = vec![u8::try_from(number).expect("few"); 20_000];
            assert_eq!(world.publish(node, &t, data).queued_for, 1);
        }
        world.run_for(millis(20));
        for heard in world.heard(outside) {
            assert!(heard.messages.len() <= 1, "a message has a frame of its own");
            got.extend(heard.messages.iter().map(|message| message.data[0]));
            for ihave in heard.said.control.ihave {
                told += ihave.ids.len();
                world.say_iwant(outside, node, ihave.ids);
            }
        }
    }
    assert_eq!(got.len(), MESSAGES);
    assert!(told >= MESSAGES, "told of {told}");
    assert_eq!(world.heard_messages(inside).len(), MESSAGES);
}

#[test]
fn what_is_published_is_signed_or_bears_nothing_of_its_author() {
    for signatures in [SignaturePolicy::StrictSign, SignaturePolicy::StrictNoSign] {
        let mut world = World::new(210);
        let config = GossipConfig { signatures, ..config() };
        let (node, t, puppets) = node_with(&mut world, config, 1);
        world.publish(node, &t, "this is a message");
        world.run_for(millis(10));
        let message = world.heard_messages(puppets[0]).remove(0);
        assert_eq!(message.data, "this is a message");
        let signs = signatures == SignaturePolicy::StrictSign;
        let bears = [&message.from, &message.seqno, &message.signature].map(Option::is_some);
        assert_eq!(bears, [signs; 3]);
        assert_eq!(message.source().unwrap(), signs.then(|| world.peer(node)));
        assert_eq!(SignatureCheck::of(&message).is_ok_and(|check| check.verify().is_ok()), signs);
    }
}

#[test]
fn a_mesh_of_one_topic_may_have_another_size() {
    let mut world = World::new(207);
    let (t, u) = (topic("t"), topic("u"));
    let nodes = world.add_many(20, &config());
    let mesh = MeshParams {
        degree: 3,
        degree_low: 2,
        degree_high: 4,
        degree_outbound: 1,
        degree_score: 2,
        ..config().mesh
    };
    for node in &nodes {
        let settings = TopicSettings { mesh: Some(mesh), ..TopicSettings::default() };
        let set = world.with(*node, |gossip, _| gossip.set_topic_settings(&u, settings));
        assert_eq!(set, Ok(()));
    }
    for topic in [&t, &u] {
        subscribe_all(&mut world, &nodes, topic);
    }
    connect_all(&mut world, &nodes);
    world.run_for(secs(5));
    for node in &nodes {
        let (one, other) = (world.mesh(*node, &t).len(), world.mesh(*node, &u).len());
        assert!((5..=12).contains(&one), "{one} at {node}");
        assert!((1..=4).contains(&other), "{other} at {node}");
    }
}

#[test]
fn nobody_hears_what_is_published_without_connections() {
    let mut world = World::new(208);
    let (t, nodes) = (topic("t"), world.add_many(10, &config()));
    world.subscribe(nodes[5], &t);
    let refused = world.with(0, |gossip, now| gossip.publish(now, &t, "to nobody".into()));
    assert_eq!(refused, Err(PublishError::NotEnoughPeers { subscribed: 0 }));
    world.run_for(secs(2));
    assert!(world.messages(nodes[5]).is_empty());
    // With others there are enough, once they know of each other.
    subscribe_all(&mut world, &nodes[..5], &t);
    connect_all(&mut world, &nodes);
    world.run_for(secs(3));
    assert_eq!(world.publish(0, &t, "to five").queued_for, 5);
    assert!(world.mesh(0, &t).len() >= config().mesh.degree_low);
}

#[test]
fn a_bootstrapper_without_a_mesh_grafts_nobody() {
    let mesh = MeshParams {
        degree: 0,
        degree_low: 0,
        degree_high: 0,
        degree_outbound: 0,
        degree_lazy: 0,
        degree_score: 0,
    };
    let mut world = World::new(209);
    let (node, t, puppets) = node_with(&mut world, GossipConfig { mesh, ..config() }, 5);
    world.say_graft(puppets[0], node, &t);
    world.run_for(secs(3));
    assert!(world.mesh(node, &t).is_empty());
    for (number, puppet) in puppets.into_iter().enumerate() {
        let heard = world.heard_control(puppet);
        assert!(heard.graft.is_empty(), "{number}");
        assert_eq!(heard.prune.len(), usize::from(number == 0), "who grafts it is refused");
    }
    let late = world.add_subscriber(node, &t, LATEST);
    world.run_for(secs(2));
    assert!(world.heard_control(late).graft.is_empty());
}
