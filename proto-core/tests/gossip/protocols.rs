//! Protocol ids of an application's own, and peers that come to speak what they did not.

use sanspeer_core::gossip::{GossipConfig, GossipEvent, GossipProtocolId, GossipVersion};

use crate::crowd::{
    assert_all_reach_all, assert_reaches, connect_all, connect_pairs, floodsub, subscribe_all,
};
use crate::gossip_world::{Kind, World, millis, protocol, secs, topic};
use crate::helpers::{LATEST, config};

fn speaking(ids: &[(&str, GossipVersion)]) -> GossipConfig {
    let id = |(id, version): &(&str, GossipVersion)| GossipProtocolId {
        protocol: protocol(id),
        version: *version,
    };
    GossipConfig { protocols: ids.iter().map(id).collect(), ..config() }
}

#[test]
fn who_speaks_two_protocols_passes_on_between_those_that_speak_one() {
    let (esh, lsr) = ("/esh/floodsub", "/lsr/floodsub");
    for version in [GossipVersion::Floodsub, GossipVersion::V12] {
        let mut world = World::new(700);
        let t = topic("t");
        let nodes = [&[esh, lsr][..], &[esh], &[lsr]].map(|ids| {
            let ids: Vec<_> = ids.iter().map(|id| (*id, version)).collect();
            world.add(speaking(&ids))
        });
        subscribe_all(&mut world, &nodes, &t);
        connect_all(&mut world, &nodes);
        world.run_for(secs(1));
        assert_all_reach_all(&mut world, &nodes, &t);
        let hub = world.peer(nodes[0]);
        assert_eq!(world.gossip(nodes[1]).topic_peers(&t), [hub], "the third is a stranger");
    }
}

#[test]
fn peers_without_a_protocol_in_common_say_nothing_to_each_other() {
    let mut world = World::new(701);
    let t = topic("t");
    let ids = ["/esh/meshsub/1.1.0", "/lsr/meshsub/1.1.0"];
    let nodes = ids.map(|id| world.add(speaking(&[(id, GossipVersion::V11)])));
    subscribe_all(&mut world, &nodes, &t);
    world.connect(nodes[0], nodes[1]);
    world.run_for(secs(2));
    for (one, other) in [(0, 1), (1, 0)] {
        let peer = world.peer(nodes[other]);
        let events = world.take_events(nodes[one]);
        assert_eq!(events, [GossipEvent::NotSupported { peer }]);
        assert!(world.gossip(nodes[one]).topic_peers(&t).is_empty());
        assert!(world.mesh(nodes[one], &t).is_empty());
    }
    assert!(world.streams.is_empty());
}

#[test]
fn those_of_a_custom_protocol_have_each_other_in_the_mesh_and_floodsub_gets_everything() {
    let mut world = World::new(702);
    let t = topic("t");
    let custom =
        [("/customsub/1.0.0", GossipVersion::V11), ("/floodsub/1.0.0", GossipVersion::Floodsub)];
    let mut nodes = world.add_many(2, &speaking(&custom));
    nodes.push(world.add(floodsub()));
    connect_all(&mut world, &nodes);
    subscribe_all(&mut world, &nodes, &t);
    world.run_for(secs(2));
    assert_eq!((world.mesh(0, &t), world.mesh(1, &t)), (vec![1], vec![0]));
    (0..3).for_each(|_| assert_all_reach_all(&mut world, &nodes, &t));
}

#[test]
fn prefixes_of_the_same_name_meet_in_the_version_that_both_have() {
    let mut world = World::new(703);
    let t = topic("t");
    let prefix = |name| GossipProtocolId::with_prefix(name).expect("a prefix");
    let with = |protocols| GossipConfig { protocols, ..config() };
    let hub = world.add(with([prefix("/a"), prefix("/meshsub")].concat()));
    let old = world.add(with(prefix("/a").split_off(2)));
    let plain = world.add(with(prefix("/meshsub")));
    let foreign = world.add(with(prefix("/b")));
    let nodes = [hub, old, plain, foreign];
    connect_pairs(&mut world, &[(hub, old), (hub, plain), (hub, foreign)]);
    subscribe_all(&mut world, &nodes, &t);
    world.run_for(secs(1));
    for (node, version) in [(old, GossipVersion::V11), (plain, GossipVersion::V13)] {
        let peer = world.peer(node);
        assert!(world.sides[hub].events.contains(&GossipEvent::PeerSpeaks { peer, version }));
    }
    assert_reaches(&mut world, hub, &[old, plain], &t, "hello");
    assert!(world.messages(foreign).is_empty());
}

#[test]
fn who_comes_to_speak_the_protocol_on_an_old_connection_is_spoken_to() {
    let mut world = World::new(704);
    let t = topic("t");
    let node = world.add(config());
    world.subscribe(node, &t);
    let puppet = world.add_puppet(&["/other/1.0.0"]);
    world.connect(node, puppet);
    world.run_for(secs(5));
    let peer = world.peer(puppet);
    assert_eq!(world.take_events(node), [GossipEvent::NotSupported { peer }]);
    if let Kind::Puppet(puppet) = &mut world.sides[puppet].kind {
        puppet.protocols = LATEST.iter().map(|id| protocol(id)).collect();
    }
    world.say_subscribe(puppet, node, &t);
    world.run_for(secs(2));
    let version = GossipVersion::V13;
    assert!(world.sides[node].events.contains(&GossipEvent::PeerSpeaks { peer, version }));
    assert_eq!(world.mesh(node, &t), [puppet]);
    world.publish(node, &t, "welcome");
    world.run_for(millis(10));
    assert_eq!(world.heard_messages(puppet).len(), 1);
}
