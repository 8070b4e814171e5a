//! Peers that speak an older version.

use sanspeer_core::gossip::{GossipConfig, GossipEvent, GossipProtocolId, GossipVersion};

use crate::gossip_world::{World, millis, protocol, secs, topic};
use crate::helpers::{FLOODSUB, LATEST, V11, V12, config};

#[test]
fn a_peer_is_spoken_to_in_the_version_that_both_know() {
    let mut world = World::new(28);
    let t = topic("t");
    let node = world.add(config());
    world.subscribe(node, &t);
    let all: [(&[&str], GossipVersion); 5] = [
        (LATEST, GossipVersion::V13),
        (V12, GossipVersion::V12),
        (V11, GossipVersion::V11),
        (&["/meshsub/1.0.0"], GossipVersion::V10),
        (&["/floodsub/1.0.0"], GossipVersion::Floodsub),
    ];
    let puppets: Vec<_> =
        all.iter().map(|(protocols, _)| world.add_subscriber(node, &t, protocols)).collect();
    let silent = world.add_puppet(&["/other/1.0.0"]);
    world.connect(node, silent);
    world.run_for(secs(1));
    for (puppet, (_, version)) in puppets.iter().zip(all) {
        let (peer, has_mesh) = (world.peer(*puppet), version != GossipVersion::Floodsub);
        assert!(world.sides[node].events.contains(&GossipEvent::PeerSpeaks { peer, version }));
        let heard = world.heard_control(*puppet);
        assert_eq!(heard.extensions.is_some(), version == GossipVersion::V13);
        assert_eq!(heard.graft.len(), usize::from(has_mesh));
    }
    let peer = world.peer(silent);
    assert!(world.sides[node].events.contains(&GossipEvent::NotSupported { peer }));
    world.publish(node, &t, "for all");
    world.run_for(millis(5));
    for puppet in &puppets {
        assert_eq!(world.heard_messages(*puppet).len(), 1);
    }
    world.unsubscribe(node, &t);
    world.run_for(millis(5));
    let backoffs: Vec<_> = puppets
        .iter()
        .map(|puppet| world.heard_control(*puppet).prune.first().map(|prune| prune.backoff_secs))
        .collect();
    let ten = Some(Some(10));
    assert_eq!(backoffs, [ten, ten, ten, Some(None), None]);
}

#[test]
fn with_protocol_ids_of_its_own_a_network_is_one_of_its_own() {
    let mut world = World::new(200);
    let mut protocols = GossipProtocolId::with_prefix("/purple").unwrap();
    protocols.push(GossipProtocolId { protocol: protocol("/green"), version: GossipVersion::V12 });
    protocols.push(GossipProtocolId::floodsub());
    let node = world.add(GossipConfig { protocols, ..config() });
    let spoken: [(&[&str], Option<GossipVersion>); 5] = [
        (&["/purple/1.0.0", "/purple/1.1.0"], Some(GossipVersion::V11)),
        (&["/purple/1.0.0", "/meshsub/1.3.0"], Some(GossipVersion::V10)),
        (&["/green"], Some(GossipVersion::V12)),
        (FLOODSUB, Some(GossipVersion::Floodsub)),
        (LATEST, None),
    ];
    for (protocols, version) in spoken {
        let puppet = world.add_puppet(protocols);
        world.connect(node, puppet);
        world.run_for(millis(10));
        let peer = world.peer(puppet);
        let expected = version.map_or(GossipEvent::NotSupported { peer }, |version| {
            GossipEvent::PeerSpeaks { peer, version }
        });
        assert_eq!(world.take_events(node), [expected], "{protocols:?}");
    }
}
