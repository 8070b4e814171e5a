//! Peers that speak an older version.

use sanspeer_core::gossip::{GossipEvent, GossipVersion};

use crate::gossip_world::{World, millis, secs, topic};
use crate::helpers::{LATEST, V11, V12, config};

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
