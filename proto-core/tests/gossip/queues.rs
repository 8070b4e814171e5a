//! Peers that take what is sent to them slowly.

use sanspeer_core::gossip::{GossipConfig, Lost, PublishError, QueueLimits, Topic};

use crate::gossip_world::{World, millis, secs};
use crate::helpers::{
    behaviour_penalty, config, id_of, node_with, settled_with, slow_peers, some_id,
};

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

/// From now on nothing more leaves for a puppet: its credit is used up.
fn use_up_credit(world: &mut World, node: usize, puppet: usize, topic: &Topic) {
    world.stall(node, puppet, true);
    world.publish(node, topic, vec![0; 70_000]);
}

#[test]
fn a_message_that_fits_into_no_queue_is_not_published() {
    let mut world = World::new(190);
    let publish_queue = QueueLimits { max_bytes: 10_000, max_age: secs(60) };
    let (node, t, puppets) = node_with(&mut world, GossipConfig { publish_queue, ..config() }, 1);
    use_up_credit(&mut world, node, puppets[0], &t);
    assert_eq!(world.publish(node, &t, vec![1; 9_000]).queued_for, 1);
    let before = world.gossip(node).usage();
    let refused = world.with(node, |gossip, now| gossip.publish(now, &t, vec![2; 9_000].into()));
    assert_eq!(refused, Err(PublishError::QueuesFull { peers: 1 }));
    assert_eq!(world.gossip(node).usage(), before, "nothing is remembered of it");
    world.stall(node, puppets[0], false);
    world.run_for(millis(10));
    assert_eq!(world.heard_messages(puppets[0]).len(), 2);
    assert_eq!(world.publish(node, &t, vec![2; 9_000]).queued_for, 1);
}

#[test]
fn what_a_slow_peer_loses_of_control_and_of_others_messages_is_told() {
    let mut world = World::new(191);
    let config = GossipConfig {
        forward_queue: QueueLimits { max_bytes: 2_000, max_age: secs(60) },
        control_queue: QueueLimits { max_bytes: 40, max_age: secs(60) },
        ..config()
    };
    let (node, t, puppets) = settled_with(&mut world, config, 2);
    let (slow, other) = (puppets[0], puppets[1]);
    use_up_credit(&mut world, node, slow, &t);
    let messages = [1, 2].map(|number| world.signed(other, number, &t, vec![0; 900]));
    world.say_messages(other, node, &messages);
    world.run_for(millis(5));
    // What it asks for cannot be sent to it either.
    world.say_iwant(slow, node, vec![id_of(&messages[1]); 2]);
    // Nor can it be asked for all that it announces: each of these ids takes four bytes.
    let ids = (1_000..1_020).map(|number| some_id(&format!("{number}"))).collect();
    world.say_ihave(slow, node, &t, ids);
    world.take_events(node);
    world.run_for(secs(1));
    let lost = slow_peers(&world.take_events(node));
    assert_eq!(lost, [Lost { control: 10, published: 0, forwarded: 3 }]);
    assert!(world.score(node, slow) < world.score(node, other));
    world.run_for(secs(5));
    assert_eq!(behaviour_penalty(&world, node, slow), 0.0, "it may not have been asked");
    let lost = slow_peers(&world.take_events(node));
    assert!(lost.iter().all(|lost| lost.forwarded == 0), "told once");
}
