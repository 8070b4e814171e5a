//! Gossip that ends before its node does.

use sanspeer_core::gossip::PublishError;
use sanspeer_core::node::ConnectionId;

use crate::gossip_world::{Speed, World, millis, secs, topic};
use crate::helpers::config;

/// A node that is in no topic, and one in `t` that it has dialled.
fn publisher_and_reader(world: &mut World) -> (usize, usize, ConnectionId) {
    let (publisher, reader) = (world.add(config()), world.add(config()));
    world.subscribe(reader, &topic("t"));
    let connection = world.connect(publisher, reader);
    world.run_for(millis(50));
    (publisher, reader, connection)
}

#[test]
fn what_waits_is_sent_before_the_streams_are_ended() {
    let mut world = World::new(1);
    let (publisher, reader, connection) = publisher_and_reader(&mut world);
    let link = world.links.get_mut(&connection).expect("a connection");
    link.set_speed(publisher, Speed::BytesPerSecond(500_000));
    for number in 0..20 {
        world.publish(publisher, &topic("t"), vec![number; 50_000]);
    }
    assert_eq!(world.with(publisher, |gossip, now| gossip.finish(now)), 1);
    assert!(world.gossip(publisher).usage().queued_bytes > 800_000, "most of it waits");
    world.run_for(secs(1));
    assert_eq!(world.with(publisher, |gossip, now| gossip.finish(now)), 1, "half of it is read");
    world.run_for(secs(2));
    let read: Vec<u8> = world.messages(reader).iter().map(|message| message.data[0]).collect();
    assert_eq!(read, (0..20).collect::<Vec<_>>());
    assert_eq!(world.with(publisher, |gossip, now| gossip.finish(now)), 0);
}

#[test]
fn nothing_is_published_and_no_stream_is_opened_afterwards() {
    let mut world = World::new(2);
    let (publisher, reader, _) = publisher_and_reader(&mut world);
    world.with(publisher, |gossip, now| gossip.finish(now));
    let result =
        world.with(publisher, |gossip, now| gossip.publish(now, &topic("t"), "late".into()));
    assert_eq!(result, Err(PublishError::NotEnoughPeers { subscribed: 1 }));
    world.run_for(secs(3));
    let late = world.add(config());
    world.connect(publisher, late);
    world.run_for(secs(3));
    for other in [reader, late] {
        assert_eq!(world.stream_between(publisher, other), None);
        assert!(world.stream_between(other, publisher).is_some(), "others may speak to us");
    }
    assert_eq!(world.with(publisher, |gossip, now| gossip.finish(now)), 0);
}

#[test]
fn a_stream_that_the_peer_does_not_end_is_over_with_its_connection() {
    let mut world = World::new(3);
    let (publisher, reader, connection) = publisher_and_reader(&mut world);
    world.stall(publisher, reader, true);
    world.publish(publisher, &topic("t"), vec![0; 100_000]);
    world.publish(publisher, &topic("t"), vec![1; 100_000]);
    for _ in 0..3 {
        assert_eq!(world.with(publisher, |gossip, now| gossip.finish(now)), 1);
        world.run_for(secs(1));
    }
    world.disconnect(connection);
    assert_eq!(world.with(publisher, |gossip, now| gossip.finish(now)), 0);
}

#[test]
fn two_runs_within_one_second_have_other_sequence_numbers() {
    let numbers: Vec<_> = [1_700_000_000_000_000_000, 1_700_000_000_000_400_000]
        .into_iter()
        .map(|nanoseconds| {
            let mut world = World::new(4);
            let (publisher, reader, _) = publisher_and_reader(&mut world);
            world.with(publisher, |gossip, now| gossip.set_unix_nanoseconds(now, nanoseconds));
            world.publish(publisher, &topic("t"), "one");
            world.run_for(millis(50));
            world.messages(reader)[0].sequence_number
        })
        .collect();
    assert_eq!(numbers, [Some(1_700_000_000_000_000_000), Some(1_700_000_000_000_400_000)]);
}
