//! Gossip as a protocol that is added to whole peers, over real connections in memory.
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks at some events")]

mod host_world;

use std::time::Duration;

use host_world::{Side, World, identity};
use sanspeer_core::gossip::{
    AddedGossip, Gossip, GossipCommand, GossipConfig, GossipEvent, GossipReply, Message, Topic,
    VerifyWhere,
};
use sanspeer_core::host::HostConfig;
use sanspeer_core::node::{Answer, Command, NodeEvent};
use sanspeer_core::rng::Seed;

fn side(number: u64, verify: VerifyWhere) -> Side {
    let config = GossipConfig { verify, ..GossipConfig::default() };
    let seed = Seed::from_u64(number).derive("gossip", 0);
    let gossip = Gossip::new(config, identity(number), &seed).expect("a sound configuration");
    Side::new(number, HostConfig::default(), vec![Box::new(AddedGossip(gossip))])
}

fn ask(world: &mut World, side: usize, command: GossipCommand) -> GossipReply {
    let (name, command) = ("gossip".to_owned(), command.encode());
    match world.ask(side, Command::Protocol { name, command }) {
        Answer::Protocol(reply) => GossipReply::decode(&reply).expect("a reply"),
        answer => panic!("{answer:?}"),
    }
}

fn messages(side: &Side) -> Vec<Message> {
    side.node_events()
        .filter_map(|event| match event {
            NodeEvent::Protocol { name, event } if name == "gossip" => GossipEvent::decode(event),
            _ => None,
        })
        .filter_map(|event| match event {
            GossipEvent::Message { message, .. } => Some(message),
            _ => None,
        })
        .collect()
}

/// A line of three, of whom the middle one passes on what the ends say.
fn exchange(verify: VerifyWhere) {
    let mut world = World::of((1..=3).map(|number| side(number, verify)).collect());
    let topic = Topic::new("t").expect("a topic");
    let middle = world.listen(1, 2);
    for side in 0..3 {
        let reply = ask(&mut world, side, GossipCommand::Subscribe(topic.clone()));
        assert_eq!(reply, GossipReply::Subscribed(Ok(true)));
    }
    world.connect(0, &middle);
    world.connect(2, &middle);
    world.advance(Duration::from_secs(2));
    let mesh = ask(&mut world, 1, GossipCommand::MeshPeers(topic.clone()));
    let mut ends = vec![world.sides[0].peer_id, world.sides[2].peer_id];
    ends.sort_unstable();
    assert_eq!(mesh, GossipReply::Peers(ends));
    // One that fits, and one that is longer than the credit of a stream.
    for length in [1, 900 * 1024] {
        let data = bytes::Bytes::from(vec![7; length]);
        let reply = ask(&mut world, 0, GossipCommand::Publish { topic: topic.clone(), data });
        assert!(
            matches!(reply, GossipReply::Published(Ok(published)) if published.queued_for == 1)
        );
        world.advance(Duration::from_millis(100));
    }
    for side in [1, 2] {
        let messages = messages(&world.sides[side]);
        let lengths: Vec<usize> = messages.iter().map(|message| message.data.len()).collect();
        assert_eq!(lengths, [1, 900 * 1024]);
        let author = world.sides[0].peer_id;
        assert!(messages.iter().all(|message| message.source == Some(author)));
    }
    assert!(messages(&world.sides[0]).is_empty());
}

#[test]
fn peers_pass_messages_on_that_they_verify_themselves() {
    exchange(VerifyWhere::Inline);
}

#[test]
fn peers_pass_messages_on_that_their_connections_verify() {
    exchange(VerifyWhere::Connection { max_in_flight: 64 });
}
