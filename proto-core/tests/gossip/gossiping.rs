//! IHAVE and IWANT: messages that did not come through a mesh.

use std::collections::BTreeSet;

use sanspeer_core::gossip::{GossipConfig, MeshParams, MessageId};

use crate::gossip_world::{World, millis, secs, topic};
use crate::helpers::{
    behaviour_penalty, config, forget_heard, id_of, node_with, outside_mesh, settled_with,
    slow_peers, some_id,
};

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
fn a_peer_that_was_asked_before_we_left_the_topic_breaks_no_promise() {
    let mut world = World::new(34);
    let (node, t, puppets) = node_with(&mut world, config(), 1);
    let message = world.signed(puppets[0], 1, &t, "m");
    let id = (GossipConfig::default().message_id)(&message);
    world.say_ihave(puppets[0], node, &t, vec![id.clone()]);
    world.run_for(millis(5));
    assert_eq!(world.heard_control(puppets[0]).iwant, [id]);
    world.unsubscribe(node, &t);
    world.say_messages(puppets[0], node, &[message]);
    world.run_for(secs(5));
    let breakdown = world.gossip(node).score(&world.peer(puppets[0])).unwrap();
    assert_eq!(breakdown.behaviour_penalty.score(), 0.0);
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

#[test]
fn a_message_can_be_asked_for_until_five_heartbeats_have_passed() {
    let mut world = World::new(140);
    let (node, t, puppets) = settled_with(&mut world, config(), 9);
    let (author, askers) = (puppets[0], &puppets[1..]);
    let message = world.signed(author, 1, &t, "m");
    world.say_messages(author, node, core::slice::from_ref(&message));
    world.run_for(millis(5));
    forget_heard(&mut world, &puppets);
    for (heartbeats, asker) in askers.iter().enumerate() {
        world.say_iwant(*asker, node, vec![id_of(&message), some_id("nobody's")]);
        world.run_for(millis(5));
        let heard = world.heard_messages(*asker);
        assert_eq!(heard.len(), usize::from(heartbeats < 5), "after {heartbeats}");
        assert!(heard.iter().all(|heard| heard.encoded == message.encoded), "unchanged");
        world.run_for(millis(995));
    }
}

#[test]
fn nobody_is_asked_for_what_is_known_or_of_another_topic() {
    let mut world = World::new(141);
    let (node, t, puppets) = settled_with(&mut world, config(), 2);
    let message = world.signed(puppets[0], 1, &t, "m");
    world.say_messages(puppets[0], node, core::slice::from_ref(&message));
    world.run_for(millis(5));
    forget_heard(&mut world, &puppets);
    world.say_ihave(puppets[1], node, &t, vec![id_of(&message)]);
    world.say_ihave(puppets[1], node, &topic("u"), vec![some_id("irrelevant")]);
    world.run_for(millis(5));
    assert!(world.heard_control(puppets[1]).iwant.is_empty());
    world.say_ihave(puppets[1], node, &t, vec![id_of(&message), some_id("unknown")]);
    world.run_for(millis(5));
    assert_eq!(world.heard_control(puppets[1]).iwant, [some_id("unknown")]);
}

#[test]
fn gossip_goes_to_d_lazy_peers_or_a_quarter_of_those_outside_the_mesh() {
    for (puppets, told) in [(6 + 4, 4), (6 + 7, 6), (6 + 48, 12)] {
        let mut world = World::new(142);
        let (node, t, puppets) = settled_with(&mut world, config(), puppets);
        let (inside, outside) = (world.mesh(node, &t), outside_mesh(&world, node, &t, &puppets));
        assert_eq!(inside.len(), 6);
        let message = world.signed(inside[0], 1, &t, "m");
        world.say_messages(inside[0], node, core::slice::from_ref(&message));
        world.run_for(secs(1));
        let ids = outside.iter().map(|puppet| {
            world.heard_control(*puppet).ihave.into_iter().flat_map(|ihave| ihave.ids).collect()
        });
        let ids: Vec<Vec<MessageId>> = ids.filter(|ids: &Vec<_>| !ids.is_empty()).collect();
        assert_eq!(ids, vec![vec![id_of(&message)]; told]);
        for puppet in inside {
            assert!(world.heard_control(puppet).ihave.is_empty(), "it has the message");
        }
    }
}

#[test]
fn of_too_many_messages_each_peer_hears_of_others() {
    let mut world = World::new(143);
    let config = GossipConfig { max_ihave_ids: 100, ..config() };
    let (node, t, puppets) = settled_with(&mut world, config, 8);
    let (inside, outside) = (world.mesh(node, &t), outside_mesh(&world, node, &t, &puppets));
    let messages: Vec<_> =
        (0..200).map(|number| world.signed(inside[0], number, &t, "m")).collect();
    world.say_messages(inside[0], node, &messages);
    world.run_for(secs(1));
    let told = outside.iter().map(|puppet| {
        let ihave = world.heard_control(*puppet).ihave;
        ihave.into_iter().flat_map(|ihave| ihave.ids).collect::<BTreeSet<MessageId>>()
    });
    let told: Vec<_> = told.collect();
    assert_eq!((told.len(), told[0].len(), told[1].len()), (2, 100, 100));
    assert_ne!(told[0], told[1]);
    assert!(!told[0].is_disjoint(&told[1]));
}

#[test]
fn a_peer_is_asked_for_a_bounded_number_of_messages_between_heartbeats() {
    let mut world = World::new(144);
    let config = GossipConfig { max_ihave_ids: 10, ..config() };
    let (node, t, puppets) = settled_with(&mut world, config, 1);
    world.heard(puppets[0]);
    let ids: Vec<_> = (0..30).map(|number| some_id(&format!("{number}"))).collect();
    for several in [&ids[..8], &ids[..12], &ids[..20]] {
        world.say_ihave(puppets[0], node, &t, several.to_vec());
    }
    world.run_for(millis(5));
    let heard = world.heard(puppets[0]);
    let asked: Vec<_> = heard.into_iter().map(|heard| heard.said.control.iwant).collect();
    assert_eq!(asked.iter().map(Vec::len).collect::<Vec<_>>(), [8, 2]);
    assert!(asked.iter().flatten().all(|id| ids[..12].contains(id)));
    world.run_for(secs(1));
    world.heard(puppets[0]);
    world.say_ihave(puppets[0], node, &t, ids[20..].to_vec());
    world.run_for(millis(5));
    assert_eq!(world.heard_control(puppets[0]).iwant.len(), 10);
}

#[test]
fn a_broken_promise_costs_once_and_a_kept_one_nothing() {
    let mut world = World::new(145);
    let (node, t, puppets) = settled_with(&mut world, config(), 10);
    let (keeps, breaks) = puppets.split_at(5);
    let announced = |world: &World, puppet: usize| {
        [1, 2].map(|number| world.signed(puppet, number, &t, format!("{puppet}")))
    };
    for puppet in &puppets {
        let ids = announced(&world, *puppet).iter().map(id_of).collect();
        world.say_ihave(*puppet, node, &t, ids);
    }
    world.run_for(secs(2));
    for puppet in keeps {
        let messages = announced(&world, *puppet);
        world.say_messages(*puppet, node, &messages);
    }
    world.run_for(millis(900));
    assert!(puppets.iter().all(|puppet| behaviour_penalty(&world, node, *puppet) == 0.0));
    world.run_for(millis(1_100));
    assert!(keeps.iter().all(|puppet| behaviour_penalty(&world, node, *puppet) == 0.0));
    let penalties = |world: &World| -> Vec<f64> {
        breaks.iter().map(|puppet| behaviour_penalty(world, node, *puppet)).collect()
    };
    let before = penalties(&world);
    assert!(before.iter().all(|penalty| *penalty < 0.0));
    // What comes too late is taken, and changes nothing.
    for puppet in breaks {
        let messages = announced(&world, *puppet);
        world.say_messages(*puppet, node, &messages);
    }
    world.run_for(secs(1));
    assert_eq!(world.messages(node).len(), 20);
    let after = penalties(&world);
    assert!(after.iter().zip(&before).all(|(after, before)| after > before), "it decays");
}
