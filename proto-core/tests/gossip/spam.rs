//! Peers that say too much: each of them is cut off at some number, and pays where it broke the
//! protocol.

use sanspeer_core::gossip::{
    Control, Extensions, GossipConfig, MessageFields, MessageId, Outgoing, ScoreConfig,
    ScoreThresholds, SignaturePolicy, WireMessage, data_digest,
};

use crate::gossip_world::{World, millis, secs, topic};
use crate::helpers::{LATEST, V12, config, node_with};

fn id(number: u32) -> MessageId {
    MessageId::new(&number.to_be_bytes()).expect("short")
}

fn misbehaviour(world: &World, node: usize, side: usize) -> f64 {
    let breakdown = world.gossip(node).score(&world.peer(side)).expect("a known peer");
    breakdown.behaviour_penalty.score()
}

/// Misbehaviour is remembered for long, and leads to the graylist at some time.
fn unforgiving() -> GossipConfig {
    let thresholds = ScoreThresholds {
        gossip: -100.0,
        publish: -500.0,
        graylist: -1000.0,
        ..ScoreThresholds::default()
    };
    let score = ScoreConfig {
        thresholds,
        behaviour_penalty_weight: -100.0,
        behaviour_penalty_decay: 0.9999,
        ..ScoreConfig::default()
    };
    GossipConfig { score, ..config() }
}

#[test]
fn a_mesh_peer_that_asks_for_a_message_again_and_again_gets_it_three_times_more() {
    let mut world = World::new(400);
    let (node, t, puppets) = node_with(&mut world, config(), 1);
    world.run_for(millis(200));
    assert_eq!(world.mesh(node, &t), puppets);
    let published = world.publish(node, &t, "m");
    world.run_for(millis(10));
    let mut copies = 0;
    loop {
        let got = world.heard_messages(puppets[0]).len();
        if got == 0 {
            break;
        }
        copies += got;
        world.say_iwant(puppets[0], node, vec![published.id.clone(); 2]);
        world.run_for(millis(10));
    }
    assert_eq!(copies, 1 + usize::from(config().cache.max_retransmissions));
}

#[test]
fn a_flood_of_iwants_is_answered_up_to_a_number_between_two_heartbeats() {
    let mut world = World::new(401);
    let config = GossipConfig { max_iwant_ids: 5, ..config() };
    let (node, t, puppets) = node_with(&mut world, config, 1);
    world.run_for(millis(200));
    let ids: Vec<_> = (0..10).map(|_| world.publish(node, &t, "m").id).collect();
    world.run_for(millis(10));
    assert_eq!(world.heard_messages(puppets[0]).len(), 10);
    for _ in 0..2 {
        // What does not exist counts too.
        world.say_iwant(puppets[0], node, [&[id(1), id(2)], &ids[..]].concat());
        world.say_iwant(puppets[0], node, ids.clone());
        world.run_for(millis(10));
        assert_eq!(world.heard_messages(puppets[0]).len(), 3);
        world.run_for(secs(1));
    }
}

#[test]
fn of_an_ihave_flood_a_few_are_asked_for_each_heartbeat_and_are_promises() {
    let mut world = World::new(402);
    let config = GossipConfig { iwant_followup: secs(10), ..config() };
    let (most, length) = (config.max_ihave_messages, config.max_ihave_ids);
    let (node, t, puppets) = node_with(&mut world, config, 1);
    world.run_for(millis(200));
    world.heard(puppets[0]);
    let mut number = 0;
    for _ in 0..2 {
        for _ in 0..3 * length {
            number += 1;
            world.say_ihave(puppets[0], node, &t, vec![id(number)]);
        }
        world.run_for(millis(500));
        assert_eq!(world.heard_control(puppets[0]).iwant.len(), most);
        world.run_for(millis(500));
        assert_eq!(misbehaviour(&world, node, puppets[0]), 0.0, "nothing was promised for now");
    }
    world.run_for(secs(10));
    assert!(misbehaviour(&world, node, puppets[0]) < 0.0);
    assert_eq!(world.gossip(node).usage().asked_ids, 0);
}

#[test]
fn a_graft_of_an_unknown_topic_is_not_answered() {
    let mut world = World::new(403);
    let (node, t, puppets) = node_with(&mut world, config(), 1);
    world.say_graft(puppets[0], node, &t);
    world.say_graft(puppets[0], node, &topic("unknown"));
    world.run_for(millis(30));
    assert!(world.heard_control(puppets[0]).prune.is_empty());
    assert_eq!(world.gossip(node).usage().topics, 1);
    assert!(misbehaviour(&world, node, puppets[0]) < 0.0);
}

#[test]
fn grafts_during_the_backoff_are_refused_until_they_are_not_listened_to() {
    let mut world = World::new(404);
    let (node, t, puppets) = node_with(&mut world, unforgiving(), 1);
    let puppet = puppets[0];
    world.say_graft(puppet, node, &t);
    world.run_for(millis(30));
    assert_eq!(world.mesh(node, &t), [puppet]);
    world.say_prune(puppet, node, &t, Vec::new(), None);
    world.run_for(millis(30));
    assert!(world.mesh(node, &t).is_empty());
    assert!(world.heard_control(puppet).prune.is_empty());
    // One penalty for a GRAFT too early, two for one right after a PRUNE.
    world.run_for(config().graft_flood_threshold + millis(1));
    for expected in [1, 3, 5] {
        world.say_graft(puppet, node, &t);
        world.run_for(millis(20));
        assert_eq!(world.heard_control(puppet).prune.len(), 1, "after {expected}");
        let penalty = misbehaviour(&world, node, puppet);
        let expected = -100.0 * f64::from(expected * expected);
        assert!((penalty - expected).abs() < 10.0, "{penalty}, not {expected}");
    }
    assert!(world.score(node, puppet) < -1000.0);
    world.run_for(config().prune_backoff + secs(2));
    world.say_graft(puppet, node, &t);
    world.run_for(secs(2));
    assert!(world.heard_control(puppet).prune.is_empty(), "it is not even refused");
    assert!(world.mesh(node, &t).is_empty());
}

#[test]
fn the_backoff_that_is_told_is_not_shorter_than_the_one_that_is_held() {
    let mut world = World::new(410);
    let config =
        GossipConfig { prune_backoff: millis(1_001), unsubscribe_backoff: millis(500), ..config() };
    let (node, t, puppets) = node_with(&mut world, config, 1);
    let peer = world.peer(puppets[0]);
    world.with(node, |gossip, now| gossip.set_application_score(now, &peer, -1.0)).unwrap();
    world.run_for(millis(100));
    let prune = world.heard_control(puppets[0]).prune;
    assert_eq!(prune[0].backoff_secs, Some(2));
    world.with(node, |gossip, now| gossip.set_application_score(now, &peer, 0.0)).unwrap();
    world.run_for(secs(4));
    assert_eq!(world.mesh(node, &t), puppets);
    world.unsubscribe(node, &t);
    world.run_for(millis(10));
    let prune = world.heard_control(puppets[0]).prune;
    assert_eq!(prune[0].backoff_secs, Some(1));
}

#[test]
fn who_sends_invalid_messages_is_pruned_and_then_not_listened_to() {
    let mut world = World::new(405);
    let config = GossipConfig { exchange_peers: true, ..config() };
    let (node, t, puppets) = node_with(&mut world, config, 2);
    world.run_for(millis(200));
    assert_eq!(world.mesh(node, &t), puppets);
    puppets.iter().for_each(|puppet| drop(world.heard(*puppet)));
    let source = world.peer(puppets[0]).to_bytes();
    let unsigned = |number: u64| {
        let mut fields = MessageFields::new(t.clone(), "unsigned");
        fields.from = Some(source.clone().into());
        fields.seqno = Some(number.to_be_bytes().to_vec().into());
        fields.encode()
    };
    let messages: Vec<WireMessage> = (0..100).map(unsigned).collect();
    world.say_messages(puppets[0], node, &messages[..5]);
    world.run_for(secs(1));
    let score = world.score(node, puppets[0]);
    assert!(score < 0.0 && score > -80.0, "{score}");
    assert_eq!(world.mesh(node, &t), [puppets[1]]);
    let prune = &world.heard_control(puppets[0]).prune;
    assert_eq!(prune.len(), 1);
    assert!(prune[0].peers.is_empty(), "no others are named to it");
    world.say_messages(puppets[0], node, &messages[5..]);
    world.run_for(millis(50));
    let graylisted = world.score(node, puppets[0]);
    assert!(graylisted < -80.0, "{graylisted}");
    // Not one more counts.
    world.say_messages(puppets[0], node, &messages);
    world.run_for(millis(50));
    assert_eq!(world.score(node, puppets[0]), graylisted);
    assert!(world.messages(node).is_empty());
    assert!(world.heard_messages(puppets[1]).is_empty(), "none was passed on");
}

#[test]
fn of_a_flood_of_idontwants_a_number_is_heeded_between_two_heartbeats() {
    const MOST: usize = 10;
    let mut world = World::new(406);
    let config = GossipConfig {
        max_ihave_ids: MOST,
        signatures: SignaturePolicy::StrictNoSign,
        message_id: data_digest,
        ..config()
    };
    let (node, t, puppets) = node_with(&mut world, config, 1);
    world.run_for(millis(200));
    assert_eq!(world.mesh(node, &t), puppets);
    world.heard(puppets[0]);
    let text = |number: usize| format!("number {number}");
    let ids: Vec<_> = (0..=MOST + 1)
        .map(|number| data_digest(&MessageFields::new(t.clone(), text(number)).encode()))
        .collect();
    // All but the last of what is in one frame, and in several.
    world.say_dont_want(puppets[0], node, ids[..5].to_vec());
    world.say_dont_want(puppets[0], node, ids[5..=MOST].to_vec());
    world.run_for(millis(10));
    for number in 0..=MOST {
        world.publish(node, &t, text(number));
    }
    world.run_for(millis(10));
    let heard = world.heard_messages(puppets[0]);
    assert_eq!(heard.iter().map(|message| &message.data[..]).collect::<Vec<_>>(), [b"number 10"]);
    // And after the heartbeat again.
    world.run_for(secs(1));
    world.say_dont_want(puppets[0], node, vec![ids[MOST + 1].clone()]);
    world.run_for(millis(10));
    world.publish(node, &t, text(MOST + 1));
    world.run_for(millis(10));
    assert!(world.heard_messages(puppets[0]).is_empty());
}

#[test]
fn idontwants_without_ids_cost_nothing_and_keep_nothing() {
    let mut world = World::new(407);
    let (node, t, puppets) = node_with(&mut world, config(), 1);
    world.run_for(millis(200));
    let before = world.gossip(node).usage();
    // An IDONTWANT entry that is empty, then a control message that is.
    for bytes in [vec![0x1a, 0x02, 0x2a, 0x00], vec![0x1a, 0x00]] {
        world.say_bytes(puppets[0], node, bytes);
    }
    world.run_for(millis(10));
    assert_eq!(world.gossip(node).usage(), before);
    assert_eq!(world.mesh(node, &t), puppets);
    assert!(world.score(node, puppets[0]) >= 0.0);
}

#[test]
fn who_tells_its_extensions_twice_is_punished_and_who_tells_them_once_is_not() {
    let mut world = World::new(408);
    let t = topic("t");
    let node = world.add(config());
    let [polite, rude] = [(); 2].map(|()| world.add_puppet(LATEST));
    let extensions = || Control { extensions: Some(Extensions::default()), ..Control::default() };
    for puppet in [polite, rude] {
        world.connect(puppet, node);
        world.say_control(puppet, node, extensions());
        for _ in 0..3 {
            world.say_subscribe(puppet, node, &t);
        }
    }
    world.run_for(millis(50));
    assert_eq!(misbehaviour(&world, node, polite), 0.0);
    assert_eq!(misbehaviour(&world, node, rude), 0.0);
    world.say_control(rude, node, extensions());
    world.run_for(millis(10));
    assert_eq!(misbehaviour(&world, node, polite), 0.0);
    assert!(misbehaviour(&world, node, rude) < 0.0);
}

#[test]
fn of_many_streams_that_a_peer_opens_the_oldest_are_reset() {
    let mut world = World::new(409);
    let t = topic("t");
    let node = world.add(config());
    let puppet = world.add_puppet(V12);
    world.connect(puppet, node);
    let streams: Vec<_> = (0..6)
        .map(|_| {
            let stream = world.open_by_hand(puppet, node);
            world.run_for(millis(100));
            stream
        })
        .collect();
    let open: Vec<_> = streams.iter().map(|stream| world.streams.contains_key(stream)).collect();
    assert_eq!(open, [false, false, true, true, true, true]);
    // What is said on those that are left is heard.
    world.say(
        puppet,
        node,
        Outgoing { subscriptions: vec![(true, t.clone())], ..Outgoing::default() },
    );
    world.run_for(millis(10));
    assert_eq!(world.gossip(node).topic_peers(&t), [world.peer(puppet)]);
}
