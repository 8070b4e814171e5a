//! Peers that do not read.

use core::time::Duration;

use sanspeer_core::gossip::{Control, GossipEvent};
use sanspeer_core::gossip::{GossipConfig, IHave, MessageId, Outgoing, QueueLimits};

use crate::gossip_world::{World, millis, secs, topic};
use crate::{alone, node_with};

fn ids(numbers: core::ops::Range<u32>) -> Vec<MessageId> {
    numbers.map(|number| MessageId::new(&number.to_be_bytes()).expect("an id")).collect()
}

#[test]
fn one_slow_mesh_peer_delays_nobody_else_in_the_topic() {
    const MESSAGES: u64 = 300;
    let _alone = alone();
    let mut world = World::new(1);
    let (node, t, puppets) = node_with(&mut world, GossipConfig::default(), 5);
    puppets.iter().for_each(|puppet| world.say_graft(*puppet, node, &t));
    world.run_for(secs(1));
    assert_eq!(world.mesh(node, &t), puppets);
    let (author, slow, others) = (puppets[0], puppets[1], &puppets[2..]);
    others.iter().for_each(|puppet| drop(world.heard(*puppet)));
    world.stall(node, slow, true);
    let mut sent = Vec::new();
    for number in 0..MESSAGES {
        let message = world.signed(author, number, &t, vec![1; 20_000]);
        sent.push(world.now);
        world.say_messages(author, node, &[message]);
        world.run_for(millis(2));
        world.take_events(node);
    }
    world.run_for(millis(20));
    for puppet in others {
        let heard = world.heard(*puppet).into_iter().filter(|heard| !heard.messages.is_empty());
        let delays: Vec<Duration> =
            heard.zip(&sent).map(|(heard, sent)| heard.at.saturating_since(*sent)).collect();
        assert_eq!(delays.len(), 300, "nobody else loses any");
        // A way in, and a way out.
        assert!(delays.iter().all(|delay| *delay <= millis(2)), "{delays:?}");
    }
    let queued = world.gossip(node).usage().queued_bytes;
    let most = GossipConfig::default().forward_queue.max_bytes;
    assert!(queued <= most, "{queued} bytes wait for the slow one");
    world.run_for(secs(2));
    let lost: u64 = world
        .take_events(node)
        .iter()
        .map(|event| match event {
            GossipEvent::SlowPeer { peer, lost } => {
                assert_eq!(*peer, world.peer(slow));
                lost.forwarded
            }
            GossipEvent::Message { .. }
            | GossipEvent::Subscribed { .. }
            | GossipEvent::Unsubscribed { .. }
            | GossipEvent::PeerSpeaks { .. }
            | GossipEvent::NotSupported { .. }
            | GossipEvent::Grafted { .. }
            | GossipEvent::Pruned { .. } => 0,
        })
        .sum();
    assert!(lost > 0, "the slow one does, and is told of");
    assert_eq!(world.gossip(node).usage().queued_bytes, 0);
}

#[test]
fn what_a_peer_asks_for_is_used_up_when_its_queue_is_full_too() {
    let _alone = alone();
    let mut world = World::new(2);
    let queue = QueueLimits { max_bytes: 300, max_age: secs(60) };
    let config =
        GossipConfig { max_iwant_ids: 10, forward_queue: queue, ..GossipConfig::default() };
    let (node, t, puppets) = node_with(&mut world, config, 2);
    world.run_for(millis(1_060));
    let mut wanted = Vec::new();
    for number in 0..20 {
        let message = world.signed(puppets[0], number, &t, vec![7; 100]);
        wanted.push((GossipConfig::default().message_id)(&message));
        world.say_messages(puppets[0], node, &[message]);
        world.run_for(millis(1));
    }
    world.run_for(millis(5));
    world.heard(puppets[1]);
    // Two large ones of ours use up its credit.
    world.stall(node, puppets[1], true);
    world.publish(node, &t, vec![1; 70_000]);
    for _ in 0..5 {
        world.say_iwant(puppets[1], node, wanted[..4].to_vec());
        world.run_for(millis(5));
    }
    world.stall(node, puppets[1], false);
    world.run_for(millis(20));
    let answered = world.heard_messages(puppets[1]).len() - 1;
    assert!(answered <= 2, "{answered} fit into the queue");
    world.say_iwant(puppets[1], node, wanted[4..].to_vec());
    world.run_for(millis(20));
    assert!(world.heard_messages(puppets[1]).is_empty(), "ten were asked for, and more");
    world.run_for(secs(1));
    world.say_iwant(puppets[1], node, wanted[4..5].to_vec());
    world.run_for(millis(20));
    assert_eq!(world.heard_messages(puppets[1]).len(), 1, "after a heartbeat ten more may be");
}

#[test]
fn what_we_ask_for_is_used_up_when_the_queue_is_full_too() {
    let _alone = alone();
    let mut world = World::new(3);
    let queue = QueueLimits { max_bytes: 40, max_age: secs(60) };
    let config =
        GossipConfig { max_ihave_ids: 30, control_queue: queue, ..GossipConfig::default() };
    let (node, t, puppets) = node_with(&mut world, config, 1);
    world.run_for(millis(1_060));
    world.heard(puppets[0]);
    world.stall(node, puppets[0], true);
    world.publish(node, &t, vec![1; 70_000]);
    for number in 0..3 {
        world.say_ihave(puppets[0], node, &t, ids(number * 10..number * 10 + 10));
        world.run_for(millis(5));
    }
    world.stall(node, puppets[0], false);
    world.run_for(millis(20));
    assert_eq!(world.heard_control(puppets[0]).iwant.len(), 10, "all that fit");
    world.say_ihave(puppets[0], node, &t, ids(100..130));
    world.run_for(millis(20));
    assert!(world.heard_control(puppets[0]).iwant.is_empty(), "thirty were asked for");
    world.run_for(secs(1));
    world.say_ihave(puppets[0], node, &t, ids(100..110));
    world.run_for(millis(20));
    assert_eq!(world.heard_control(puppets[0]).iwant.len(), 10, "after a heartbeat again");
}

#[test]
fn a_graft_that_waits_is_not_sent_when_the_peer_pruned_us_meanwhile() {
    let _alone = alone();
    for leaves in [false, true] {
        let mut world = World::new(4);
        let (node, t, puppets) = node_with(&mut world, GossipConfig::default(), 1);
        world.run_for(secs(1));
        let other = topic("other");
        world.say_subscribe(puppets[0], node, &other);
        world.run_for(millis(5));
        world.heard(puppets[0]);
        world.stall(node, puppets[0], true);
        world.publish(node, &t, vec![1; 70_000]);
        world.subscribe(node, &other);
        assert_eq!(world.mesh(node, &other), [puppets[0]], "it is grafted, and not told yet");
        if leaves {
            world.say_unsubscribe(puppets[0], node, &other);
        } else {
            world.say_prune(puppets[0], node, &other, Vec::new(), Some(60));
        }
        world.run_for(millis(5));
        assert!(world.mesh(node, &other).is_empty());
        world.stall(node, puppets[0], false);
        world.run_for(millis(20));
        assert!(world.heard_control(puppets[0]).graft.is_empty());
    }
}

#[test]
fn a_peer_that_reads_nothing_holds_no_more_than_its_queues() {
    let _alone = alone();
    let mut world = World::new(5);
    let config = GossipConfig::default();
    let (node, t, puppets) = node_with(&mut world, config.clone(), 2);
    world.run_for(secs(1));
    world.stall(node, puppets[0], true);
    let mut most = (0, 0);
    for number in 0..40u32 {
        world.publish(node, &t, vec![1; 500_000]);
        let other = world.signed(puppets[1], u64::from(number), &t, vec![2; 500_000]);
        world.say_messages(puppets[1], node, &[other]);
        let ihave =
            vec![IHave { topic: t.clone(), ids: ids(number * 5_000..number * 5_000 + 5_000) }];
        let control = Control { ihave, ..Control::default() };
        world.say(puppets[0], node, Outgoing { control, ..Outgoing::default() });
        world.run_for(millis(100));
        world.take_events(node);
        world.heard(puppets[1]);
        let usage = world.gossip(node).usage();
        most = (most.0.max(usage.queued_bytes), most.1.max(usage.control_bytes));
    }
    let lanes = config.publish_queue.max_bytes + config.forward_queue.max_bytes;
    assert!(most.0 <= lanes && most.0 > lanes / 4, "{} bytes of messages", most.0);
    assert!(most.1 <= config.control_queue.max_bytes, "{} bytes of control", most.1);
}
