//! Peers that take what is sent to them slowly.

use sanspeer_core::gossip::{GossipConfig, QueueLimits};

use crate::gossip_world::{World, millis, secs};
use crate::helpers::{config, node_with, slow_peers};

#[test]
fn a_slow_peer_loses_its_own_messages_and_delays_nobody() {
    let mut world = World::new(5);
    let queue = QueueLimits { max_bytes: 300_000, max_age: secs(5) };
    let (node, t, puppets) =
        node_with(&mut world, GossipConfig { publish_queue: queue, ..config() }, 2);
    world.run_for(secs(1));
    world.take_events(node);
    world.stall(node, puppets[0], true);
    let mut queued = Vec::new();
    for _ in 0..50 {
        let published =
            world.with(node, |gossip, now| gossip.publish(now, &t, vec![7; 10_000].into()));
        queued.push(published.unwrap().queued_for);
        world.run_for(millis(1));
    }
    world.run_for(millis(10));
    assert_eq!(world.heard_messages(puppets[1]).len(), 50);
    assert_eq!((queued[0], *queued.last().unwrap()), (2, 1), "said when it is published");
    world.run_for(secs(1));
    let lost = slow_peers(&world.take_events(node));
    assert_eq!(lost.len(), 1);
    const UNDER_WAY: u32 = 7;
    assert_eq!(lost[0].published, 50 - 29 - u64::from(UNDER_WAY));
    assert!(world.score(node, puppets[0]) < world.score(node, puppets[1]));
    // What waited too long does not come any more.
    world.run_for(secs(5));
    let lost = slow_peers(&world.take_events(node));
    assert_eq!(lost.iter().map(|lost| lost.published).sum::<u64>(), 29);
    world.stall(node, puppets[0], false);
    world.run_for(millis(20));
    assert_eq!(world.heard_messages(puppets[0]).len(), UNDER_WAY as usize);
    world.publish(node, &t, "again");
    world.run_for(millis(20));
    assert_eq!(world.heard_messages(puppets[0]).len(), 1);
}
