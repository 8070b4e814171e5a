//! IHAVE and IWANT: messages that did not come through a mesh.

use sanspeer_core::gossip::{GossipConfig, MeshParams, MessageId};

use crate::gossip_world::{World, millis, secs};
use crate::helpers::{config, node_with, slow_peers};

#[test]
fn gossip_tells_of_messages_and_they_come_when_asked_for() {
    let mut world = World::new(12);
    let mesh = MeshParams {
        degree: 2,
        degree_low: 2,
        degree_high: 2,
        degree_outbound: 0,
        degree_score: 1,
        ..Default::default()
    };
    let (node, t, puppets) = node_with(&mut world, GossipConfig { mesh, ..config() }, 6);
    world.run_for(millis(1_060));
    let inside = world.mesh(node, &t);
    assert_eq!(inside.len(), 2);
    let outside: Vec<_> = puppets.iter().copied().filter(|p| !inside.contains(p)).collect();
    let message = world.signed(inside[0], 1, &t, "m");
    world.say_messages(inside[0], node, &[message]);
    world.run_for(secs(1));
    let id = world.messages(node)[0].id.clone();
    for puppet in &outside {
        let heard = world.heard_control(*puppet);
        assert_eq!(heard.ihave.len(), 1);
        assert_eq!(heard.ihave[0].ids, core::slice::from_ref(&id));
    }
    for time in 0..5 {
        world.say_iwant(outside[0], node, vec![id.clone()]);
        world.run_for(millis(5));
        assert_eq!(world.heard_messages(outside[0]).len(), usize::from(time < 3), "three times");
    }
}

#[test]
fn a_promise_that_is_not_kept_costs_its_peer() {
    let mut world = World::new(13);
    let (node, t, puppets) = node_with(&mut world, config(), 2);
    let message = world.signed(puppets[1], 1, &t, "m");
    let known = (GossipConfig::default().message_id)(&message);
    let unknown = MessageId::new(b"nobody has it").unwrap();
    world.say_ihave(puppets[0], node, &t, vec![unknown.clone()]);
    world.say_ihave(puppets[1], node, &t, vec![known.clone()]);
    world.run_for(millis(5));
    assert_eq!(world.heard_control(puppets[0]).iwant, [unknown]);
    assert_eq!(world.heard_control(puppets[1]).iwant, [known]);
    world.say_messages(puppets[1], node, &[message]);
    let penalty = |world: &World, side| {
        world.gossip(node).score(&world.peer(side)).unwrap().behaviour_penalty.score()
    };
    world.run_for(secs(2));
    assert_eq!(penalty(&world, puppets[0]), 0.0);
    world.run_for(millis(1_500));
    assert!(penalty(&world, puppets[0]) < 0.0);
    assert_eq!(penalty(&world, puppets[1]), 0.0);
}

#[test]
fn a_peer_that_may_not_have_been_asked_breaks_no_promise() {
    let mut world = World::new(33);
    let (node, t, puppets) = node_with(&mut world, config(), 1);
    let id = |text: &str| MessageId::new(text.as_bytes()).unwrap();
    world.say_ihave(puppets[0], node, &t, vec![id("asked for")]);
    world.run_for(millis(5));
    assert_eq!(world.heard_control(puppets[0]).iwant, [id("asked for")]);
    let stream = world.stream_between(node, puppets[0]).unwrap();
    world.reset_by_receiver(stream);
    world.say_ihave(puppets[0], node, &t, vec![id("cannot be asked for")]);
    world.run_for(secs(5));
    assert!(world.heard_control(puppets[0]).iwant.is_empty());
    let breakdown = world.gossip(node).score(&world.peer(puppets[0])).unwrap();
    assert_eq!(breakdown.behaviour_penalty.score(), 0.0);
    assert!(slow_peers(&world.take_events(node)).is_empty());
}

#[test]
fn of_a_flood_of_ihaves_a_bounded_number_is_looked_at() {
    let mut world = World::new(14);
    let (node, t, puppets) = node_with(&mut world, config(), 1);
    world.run_for(secs(1));
    world.heard(puppets[0]);
    let id = |number: u32| MessageId::new(&number.to_be_bytes()).unwrap();
    for number in 0..20 {
        world.say_ihave(puppets[0], node, &t, (number * 10..number * 10 + 5).map(id).collect());
    }
    world.run_for(millis(50));
    assert_eq!(world.heard_control(puppets[0]).iwant.len(), 50, "ten IHAVEs between heartbeats");
    world.run_for(secs(1));
    world.say_ihave(puppets[0], node, &t, (10_000..20_000).map(id).collect());
    world.run_for(millis(50));
    assert!(world.heard_control(puppets[0]).iwant.len() <= 5000);
}
