//! Commands, and replay of the inputs.

use sanspeer_core::gossip::{Gossip, GossipCommand, GossipReply};
use sanspeer_core::node::{CommandId, Protocol, ProtocolInput, ProtocolOutput};

use crate::gossip_world::{World, millis, secs, topic};
use crate::helpers::{config, node_with};

#[test]
fn commands_come_and_answers_go_as_bytes() {
    let mut world = World::new(32);
    let (node, t, _) = node_with(&mut world, config(), 1);
    world.sides[node].records = true;
    let commands = [
        GossipCommand::Subscribe(topic("u")).encode(),
        GossipCommand::TopicPeers(t.clone()).encode(),
        GossipCommand::Publish { topic: t, data: "m".into() }.encode(),
        bytes::Bytes::from_static(&[0xff]),
    ];
    for (number, command) in (0..).zip(commands) {
        world.tell(node, ProtocolInput::Command { id: CommandId(number), command });
    }
    let replies: Vec<GossipReply> = world.sides[node]
        .outputs
        .iter()
        .filter_map(|output| match output {
            ProtocolOutput::Reply { reply, .. } => GossipReply::decode(reply),
            ProtocolOutput::Open { .. }
            | ProtocolOutput::Send { .. }
            | ProtocolOutput::Finish(_)
            | ProtocolOutput::Reset { .. }
            | ProtocolOutput::Verify { .. }
            | ProtocolOutput::Close { .. }
            | ProtocolOutput::Dial { .. }
            | ProtocolOutput::Protect { .. }
            | ProtocolOutput::Penalty { .. }
            | ProtocolOutput::Event(_) => None,
        })
        .collect();
    assert_eq!(replies[0], GossipReply::Subscribed(Ok(true)));
    assert_eq!(replies[1], GossipReply::Peers(world.gossip(node).topic_peers(&topic("t"))));
    assert!(
        matches!(&replies[2], GossipReply::Published(Ok(published)) if published.queued_for == 1)
    );
    assert_eq!(replies[3], GossipReply::Malformed);
}

#[test]
fn a_replay_of_the_inputs_gives_equal_outputs() {
    let mut world = World::new(6).with_delay(millis(3), millis(40));
    let (t, nodes) = (topic("t"), world.add_many(8, &config()));
    world.sides[0].records = true;
    let subscribe = GossipCommand::Subscribe(t.clone()).encode();
    world.tell(0, ProtocolInput::Command { id: CommandId(1), command: subscribe });
    for node in &nodes[1..] {
        world.subscribe(*node, &t);
        world.connect(0, *node);
        world.connect(*node, (*node % 7) + 1);
    }
    for number in 0..5 {
        world.run_for(millis(700));
        world.publish(number + 1, &t, format!("{number}"));
        let publish = GossipCommand::Publish { topic: t.clone(), data: "mine".into() }.encode();
        world.tell(0, ProtocolInput::Command { id: CommandId(2), command: publish });
    }
    world.disconnect_all(0, 3);
    world.run_for(secs(2));
    let side = &world.sides[0];
    let seed = side.seed.clone().unwrap();
    let mut again = Gossip::new(config(), side.identity.clone(), &seed).unwrap();
    let (mut outputs, mut events) = (Vec::new(), Vec::new());
    for (now, input) in side.inputs.clone() {
        again.handle(now, input);
        outputs.extend(core::iter::from_fn(|| again.poll()));
        events.extend(core::iter::from_fn(|| again.poll_event()));
    }
    assert!(outputs.len() > 30 && events.len() > 10, "{} and {}", outputs.len(), events.len());
    assert_eq!(outputs, side.outputs);
    assert_eq!(events, side.events);
}
