//! Gossip machines with each other, and with peers that are played by hand.

mod gossip_world;

use core::time::Duration;

use gossip_world::{World, millis, secs, topic};
use sanspeer_core::gossip::{
    Acceptance, Control, Gossip, GossipCommand, GossipConfig, GossipEvent, GossipReply,
    GossipVersion, Lost, Outgoing, PeerInfo, PublishError, QueueLimits, SignaturePolicy,
    SubscribeError, Topic, Validation, VerifyWhere, WireMessage,
};
use sanspeer_core::node::{CommandId, Protocol, ProtocolInput, ProtocolOutput};
use sanspeer_core::record::{RecordFormat, SignedPeerRecord};
use sanspeer_core::time::Timestamp;

const LATEST: &[&str] = &["/meshsub/1.3.0"];
const V12: &[&str] = &["/meshsub/1.2.0"];
const V11: &[&str] = &["/meshsub/1.1.0"];

fn config() -> GossipConfig {
    GossipConfig::default()
}

fn waiting(time: Duration) -> GossipConfig {
    GossipConfig { validation: Validation::Wait(time), ..config() }
}

/// A node in a topic, with some puppets in it too.
fn node_with(
    world: &mut World,
    config: GossipConfig,
    puppets: usize,
) -> (usize, Topic, Vec<usize>) {
    let t = topic("t");
    let node = world.add(config);
    world.subscribe(node, &t);
    let puppets = (0..puppets).map(|_| world.add_subscriber(node, &t, LATEST)).collect();
    world.run_for(millis(50));
    (node, t, puppets)
}

fn data_of(world: &World, node: usize) -> Vec<Vec<u8>> {
    world.messages(node).iter().map(|message| message.data.to_vec()).collect()
}

/// A message that says something else than what its author signed.
fn forged(message: &WireMessage) -> WireMessage {
    let mut bytes = message.encoded.to_vec();
    let at = bytes.windows(message.data.len()).position(|part| part == message.data);
    bytes[at.expect("the data is in it")] ^= 1;
    WireMessage::decode(&bytes.into()).expect("a well-formed message")
}

fn slow_peers(events: &[GossipEvent]) -> Vec<Lost> {
    let lost = events.iter().filter_map(|event| match event {
        GossipEvent::SlowPeer { lost, .. } => Some(*lost),
        GossipEvent::Message { .. }
        | GossipEvent::Subscribed { .. }
        | GossipEvent::Unsubscribed { .. }
        | GossipEvent::PeerSpeaks { .. }
        | GossipEvent::NotSupported { .. }
        | GossipEvent::Grafted { .. }
        | GossipEvent::Pruned { .. } => None,
    });
    lost.collect()
}

#[test]
fn two_peers_exchange_messages_and_learn_of_each_other() {
    let mut world = World::new(1);
    let (t, nodes) = (topic("t"), world.add_many(2, &config()));
    world.subscribe(nodes[0], &t);
    world.connect(nodes[0], nodes[1]);
    world.run_for(millis(20));
    world.subscribe(nodes[1], &t);
    world.run_for(secs(1));
    for (one, other) in [(0, 1), (1, 0)] {
        assert_eq!(world.gossip(one).topic_peers(&t), [world.peer(other)]);
        assert_eq!(world.mesh(one, &t), [other]);
        let (peer, version) = (world.peer(other), GossipVersion::V13);
        assert!(world.sides[one].events.contains(&GossipEvent::PeerSpeaks { peer, version }));
        let published = world.publish(one, &t, format!("from {one}"));
        assert_eq!(published.queued_for, 1);
        world.run_for(millis(20));
        let messages = world.messages(other);
        let message = messages.last().unwrap();
        assert_eq!(message.id, published.id);
        assert_eq!(message.source, Some(world.peer(one)));
        assert_eq!(message.data, format!("from {one}"));
    }
    assert_eq!(world.messages(0).len(), 1, "our own are no events");
}

#[test]
fn a_mesh_of_twenty_delivers_every_message_to_every_node_exactly_once() {
    let mut world = World::new(2).with_delay(millis(5), millis(60));
    let (t, nodes) = (topic("t"), world.add_many(20, &config()));
    for node in &nodes {
        world.subscribe(*node, &t);
        for step in [1, 2, 5] {
            world.connect(*node, (node + step) % 20);
        }
    }
    world.run_for(secs(3));
    for node in &nodes {
        for number in 0..3 {
            world.publish(*node, &t, format!("{node}/{number}/{}", "x".repeat(number * 2000)));
            world.run_for(millis(30));
        }
    }
    world.run_for(secs(3));
    for node in nodes {
        let mut ids: Vec<_> = world.messages(node).iter().map(|m| m.id.clone()).collect();
        assert_eq!(ids.len(), 57, "all but its own three");
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 57);
        assert!((5..=12).contains(&world.mesh(node, &t).len()));
    }
}

#[test]
fn a_forged_copy_does_not_shadow_the_honest_message() {
    for verify in [VerifyWhere::Inline, VerifyWhere::Connection { max_in_flight: 8 }] {
        let mut world = World::new(3);
        world.verify_time = millis(20);
        let (node, t, puppets) = node_with(&mut world, GossipConfig { verify, ..config() }, 3);
        let honest = world.signed(puppets[0], 7, &t, "honest");
        world.say_messages(puppets[1], node, &[forged(&honest)]);
        world.run_for(millis(5));
        // While it may still be verified, the honest one comes, twice.
        world.say_messages(puppets[0], node, core::slice::from_ref(&honest));
        world.say_messages(puppets[2], node, &[honest]);
        world.run_for(millis(100));
        assert_eq!(data_of(&world, node), [b"honest".to_vec()], "{verify:?}");
        assert!(world.score(node, puppets[1]) < world.score(node, puppets[0]));
        let breakdown = world.gossip(node).score(&world.peer(puppets[1])).unwrap();
        assert!(breakdown.penalties < 0.0);
    }
}

#[test]
fn what_a_connection_was_asked_to_verify_is_verified_here_when_it_closes() {
    let mut world = World::new(4);
    world.verify_time = secs(100);
    let verify = VerifyWhere::Connection { max_in_flight: 8 };
    let (node, t, puppets) = node_with(&mut world, GossipConfig { verify, ..config() }, 2);
    let message = world.signed(puppets[0], 7, &t, "late");
    world.say_messages(puppets[0], node, &[message]);
    world.run_for(millis(20));
    assert!(data_of(&world, node).is_empty());
    world.disconnect_all(puppets[0], node);
    assert_eq!(data_of(&world, node), [b"late".to_vec()]);
}

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

#[test]
fn nothing_is_passed_on_before_the_application_accepts_it() {
    let mut world = World::new(7);
    let (node, t, puppets) = node_with(&mut world, waiting(secs(5)), 3);
    world.run_for(secs(1));
    puppets.iter().for_each(|puppet| drop(world.heard(*puppet)));
    let message = |world: &World, number| world.signed(puppets[0], number, &t, "12345");
    for number in 1..=3 {
        let message = message(&world, number);
        world.say_messages(puppets[0], node, &[message]);
    }
    // A copy that comes before the verdict.
    let copy = message(&world, 2);
    world.run_for(millis(5));
    world.say_messages(puppets[1], node, &[copy]);
    world.run_for(millis(50));
    let ids: Vec<_> = world.messages(node).iter().map(|message| message.id.clone()).collect();
    assert_eq!(ids.len(), 3);
    assert!(puppets.iter().all(|puppet| world.heard_messages(*puppet).is_empty()));
    let verdicts = [Acceptance::Accept, Acceptance::Reject, Acceptance::Ignore];
    for (id, acceptance) in ids.iter().zip(verdicts) {
        assert!(world.with(node, |gossip, now| gossip.report(now, id, acceptance)));
        assert!(!world.with(node, |gossip, now| gossip.report(now, id, acceptance)), "once");
    }
    world.run_for(millis(50));
    assert_eq!(world.heard_messages(puppets[0]).len(), 0, "never back to its sender");
    assert_eq!(world.heard_messages(puppets[1]).len(), 1);
    assert_eq!(world.heard_messages(puppets[2]).len(), 1);
    let penalties =
        |world: &World, side| world.gossip(node).score(&world.peer(side)).unwrap().penalties;
    assert!(penalties(&world, puppets[0]) < 0.0);
    assert!(penalties(&world, puppets[1]) < 0.0, "whoever sent it before the verdict too");
    assert_eq!(penalties(&world, puppets[2]), 0.0);
    // And whoever sends it later.
    let rejected = message(&world, 2);
    world.say_messages(puppets[2], node, &[rejected]);
    world.run_for(millis(5));
    assert!(penalties(&world, puppets[2]) < 0.0);
}

#[test]
fn without_a_verdict_a_message_is_ignored_after_its_deadline() {
    let mut world = World::new(8);
    let (node, t, puppets) = node_with(&mut world, waiting(secs(2)), 2);
    let message = world.signed(puppets[0], 1, &t, "m");
    world.say_messages(puppets[0], node, &[message]);
    world.run_for(secs(1));
    assert_eq!(world.gossip(node).usage().pending_messages, 1);
    world.run_for(secs(2));
    assert_eq!(world.gossip(node).usage().pending_messages, 0);
    let id = world.messages(node)[0].id.clone();
    assert!(!world.with(node, |gossip, now| gossip.report(now, &id, Acceptance::Accept)));
    assert!(world.heard_messages(puppets[1]).is_empty());
    assert_eq!(world.gossip(node).score(&world.peer(puppets[0])).unwrap().penalties, 0.0);
}

#[test]
fn messages_that_wait_for_the_application_are_bounded() {
    let mut world = World::new(9);
    let config = GossipConfig { max_pending_messages: 3, ..waiting(secs(60)) };
    let (node, t, puppets) = node_with(&mut world, config, 2);
    let messages: Vec<_> =
        (0..10).map(|number| world.signed(puppets[0], number, &t, "m")).collect();
    world.say_messages(puppets[0], node, &messages);
    world.run_for(millis(20));
    assert_eq!(world.messages(node).len(), 3);
    let id = world.messages(node)[0].id.clone();
    world.with(node, |gossip, now| gossip.report(now, &id, Acceptance::Ignore));
    // What was dropped was not seen, so that it can come again.
    world.say_messages(puppets[1], node, &messages[5..]);
    world.run_for(millis(20));
    assert_eq!(world.messages(node).len(), 4);
}

#[test]
fn a_long_message_is_announced_to_those_who_do_not_have_it() {
    let mut world = World::new(10);
    let (node, t, puppets) = node_with(&mut world, waiting(secs(5)), 3);
    let older = world.add_subscriber(node, &t, V11);
    world.run_for(secs(1));
    puppets.iter().for_each(|puppet| drop(world.heard(*puppet)));
    let short = world.signed(puppets[0], 1, &t, vec![1; 1023]);
    let long = world.signed(puppets[0], 2, &t, vec![1; 1024]);
    world.say_messages(puppets[0], node, &[short, long]);
    world.run_for(millis(20));
    let id = world.messages(node)[1].id.clone();
    assert!(world.heard_control(puppets[0]).idontwant.is_empty(), "it sent it");
    assert_eq!(world.heard_control(puppets[1]).idontwant, core::slice::from_ref(&id));
    assert_eq!(world.heard_control(puppets[2]).idontwant, core::slice::from_ref(&id));
    assert!(world.heard_control(older).idontwant.is_empty(), "it does not know that");
    // The other way round.
    world.say_dont_want(puppets[1], node, vec![id.clone()]);
    world.run_for(millis(5));
    world.with(node, |gossip, now| gossip.report(now, &id, Acceptance::Accept));
    world.run_for(millis(5));
    assert!(world.heard_messages(puppets[1]).is_empty());
    assert_eq!(world.heard_messages(puppets[2]).len(), 1);
}

#[test]
fn nothing_is_announced_to_whoever_gets_the_message_in_the_same_turn() {
    let mut world = World::new(11);
    let (node, t, puppets) = node_with(&mut world, config(), 3);
    world.run_for(secs(1));
    let long = world.signed(puppets[0], 2, &t, vec![1; 5000]);
    world.say_messages(puppets[0], node, &[long]);
    world.run_for(millis(20));
    for puppet in puppets {
        assert!(world.heard_control(puppet).idontwant.is_empty());
    }
}

#[test]
fn gossip_tells_of_messages_and_they_come_when_asked_for() {
    let mut world = World::new(12);
    let mesh = sanspeer_core::gossip::MeshParams {
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
    let unknown = sanspeer_core::gossip::MessageId::new(b"nobody has it").unwrap();
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
    let id = |text: &str| sanspeer_core::gossip::MessageId::new(text.as_bytes()).unwrap();
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
    let id = |number: u32| sanspeer_core::gossip::MessageId::new(&number.to_be_bytes()).unwrap();
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
fn a_graft_during_the_backoff_is_refused_and_costs_its_peer() {
    let mut world = World::new(15);
    let (node, t, puppets) = node_with(&mut world, config(), 2);
    world.run_for(secs(1));
    world.say_prune(puppets[0], node, &t, Vec::new(), Some(u64::MAX));
    world.run_for(millis(5));
    assert_eq!(world.mesh(node, &t), [puppets[1]]);
    world.heard(puppets[0]);
    world.say_graft(puppets[0], node, &t);
    world.run_for(millis(5));
    assert_eq!(world.mesh(node, &t), [puppets[1]]);
    assert_eq!(world.heard_control(puppets[0]).prune[0].backoff_secs, Some(60));
    assert!(world.score(node, puppets[0]) < 0.0);
    world.run_for(secs(3_598));
    assert_eq!(world.mesh(node, &t), [puppets[1]], "an hour at most, however long was asked for");
    world.run_for(secs(10));
    assert_eq!(world.mesh(node, &t), [puppets[0], puppets[1]]);
}

#[test]
fn a_backoff_without_end_with_a_clock_near_its_end_is_no_panic() {
    // CVE-2026-33040, CVE-2026-34219.
    let late = Timestamp(u64::MAX - 5_000_000_000);
    let mut world = World::new(16).starting_at(late);
    let (node, t, puppets) = node_with(&mut world, config(), 2);
    for backoff in [u64::MAX, u64::MAX / 1_000_000_000, 1 << 32] {
        world.say_prune(puppets[0], node, &t, Vec::new(), Some(backoff));
        world.say_graft(puppets[0], node, &t);
        world.run_for(secs(1));
    }
    world.run_for(secs(10));
    assert_eq!(world.mesh(node, &t), [puppets[1]]);
    world.publish(node, &t, "the last one");
}

#[test]
fn grafts_of_unknown_topics_leave_nothing_and_cost_their_peer() {
    // GHSA-g3g5-x568-qvqx, CVE-2026-95859.
    let mut world = World::new(17);
    let (node, _, puppets) = node_with(&mut world, config(), 1);
    world.run_for(secs(1));
    let before = world.gossip(node).usage();
    for batch in 0..20 {
        let graft = (0..1_000).map(|number| topic(&format!("{batch}/{number}"))).collect();
        world.say_control(puppets[0], node, Control { graft, ..Control::default() });
        world.run_for(millis(5));
    }
    let after = world.gossip(node).usage();
    assert_eq!(after.topics, before.topics);
    assert!(after.backoffs <= 1, "our own, of a peer with so low a score");
    assert!(world.score(node, puppets[0]) < -80.0);
}

#[test]
fn prunes_of_topics_that_we_are_not_in_leave_nothing() {
    // GHSA-vrx6-jcp8-vm7m.
    let mut world = World::new(18);
    let (node, _, puppets) = node_with(&mut world, config(), 1);
    let before = world.gossip(node).usage();
    for number in 0..100 {
        world.say_prune(puppets[0], node, &topic(&number.to_string()), Vec::new(), Some(9_999));
    }
    world.run_for(millis(50));
    assert_eq!(world.gossip(node).usage(), before);
}

#[test]
fn topics_of_a_peer_are_bounded() {
    // CVE-2026-46679, CVE-2026-86040.
    let mut world = World::new(19);
    let (node, _, puppets) = node_with(&mut world, config(), 1);
    for batch in 0..10 {
        let subscriptions =
            (0..1_000).map(|number| (true, topic(&format!("{batch}/{number}")))).collect();
        world.say(puppets[0], node, Outgoing { subscriptions, ..Outgoing::default() });
    }
    world.run_for(millis(50));
    assert!(world.gossip(node).usage().topics <= 1 + GossipConfig::default().max_peer_topics);
    world.disconnect_all(puppets[0], node);
    assert_eq!(world.gossip(node).usage().topics, 1);
}

#[test]
fn without_being_in_a_topic_messages_go_to_a_fanout_that_ends() {
    let mut world = World::new(20);
    let node = world.add(GossipConfig { flood_publish: false, ..config() });
    let t = topic("t");
    let refused = world.with(node, |gossip, now| gossip.publish(now, &t, "m".into()));
    assert_eq!(refused, Err(PublishError::NotEnoughPeers { subscribed: 0 }));
    let puppets: Vec<_> = (0..10).map(|_| world.add_subscriber(node, &t, LATEST)).collect();
    world.run_for(millis(50));
    assert_eq!(world.publish(node, &t, "m").queued_for, 6);
    world.run_for(millis(50));
    let heard: usize = puppets.iter().map(|puppet| world.heard_messages(*puppet).len()).sum();
    assert_eq!(heard, 6);
    let fanout = world.gossip(node).fanout_peers(&t);
    assert_eq!(fanout.len(), 6);
    world.publish(node, &t, "n");
    assert_eq!(world.gossip(node).fanout_peers(&t), fanout, "the same ones");
    // Those who go are replaced.
    let gone = world.side_of(&fanout[0]).unwrap();
    world.say_unsubscribe(gone, node, &t);
    world.run_for(secs(1));
    assert_eq!(world.gossip(node).fanout_peers(&t).len(), 6);
    world.run_for(secs(61));
    assert!(world.gossip(node).fanout_peers(&t).is_empty());
}

#[test]
fn whoever_joins_a_topic_starts_with_its_fanout() {
    let mut world = World::new(21);
    let node = world.add(GossipConfig { flood_publish: false, ..config() });
    let t = topic("t");
    for _ in 0..20 {
        world.add_subscriber(node, &t, LATEST);
    }
    world.run_for(millis(50));
    world.publish(node, &t, "m");
    let fanout = world.gossip(node).fanout_peers(&t);
    world.subscribe(node, &t);
    assert_eq!(world.gossip(node).mesh_peers(&t), fanout);
    assert!(world.gossip(node).fanout_peers(&t).is_empty());
}

#[test]
fn a_peer_that_a_prune_names_is_dialled_if_the_record_is_its_own() {
    let mut world = World::new(22);
    let (node, t, puppets) = node_with(&mut world, config(), 1);
    let [genuine, other] = [world.add_puppet(LATEST), world.add_puppet(LATEST)];
    let address: multiaddr::Multiaddr = "/ip4/1.2.3.4/tcp/5".parse().unwrap();
    let record = |world: &World, side: usize| {
        let identity = &world.sides[side].identity;
        let addresses = vec![address.clone()];
        SignedPeerRecord::sign(identity, RecordFormat::PeerRecord, 1, addresses).unwrap().encode()
    };
    let named = |world: &World, peer: usize, of: usize| PeerInfo {
        peer: world.peer(peer),
        signed_record: Some(record(world, of).into()),
    };
    let peers = vec![named(&world, genuine, genuine), named(&world, other, genuine)];
    world.say_prune(puppets[0], node, &t, peers.clone(), None);
    world.run_for(millis(5));
    assert!(world.sides[node].dials.is_empty(), "not of a peer with so low a score");
    world.with(node, |gossip, now| {
        let peer = gossip.topic_peers(&t)[0];
        gossip.set_application_score(now, &peer, 100.0).unwrap();
    });
    world.say_prune(puppets[0], node, &t, peers, None);
    world.run_for(millis(5));
    assert_eq!(world.sides[node].dials, [(world.peer(genuine), vec![address])]);
}

#[test]
fn a_pruned_peer_is_told_of_others_with_their_records() {
    let mut world = World::new(23);
    let (node, t, puppets) =
        node_with(&mut world, GossipConfig { exchange_peers: true, ..config() }, 3);
    world.run_for(secs(1));
    let identity = world.sides[puppets[1]].identity.clone();
    let record = SignedPeerRecord::sign(&identity, RecordFormat::PeerRecord, 1, Vec::new());
    let record: bytes::Bytes = record.unwrap().encode().into();
    let (one, two) = (world.peer(puppets[1]), world.peer(puppets[2]));
    world.with(node, |gossip, _| {
        assert!(gossip.set_peer_record(&one, record.clone()));
        assert!(!gossip.set_peer_record(&two, record.clone()), "it is another's");
    });
    world.heard(puppets[0]);
    world.unsubscribe(node, &t);
    world.run_for(millis(5));
    let heard = world.heard(puppets[0]);
    let said = &heard[0].said;
    assert_eq!(said.subscriptions, [(false, t.clone())]);
    assert_eq!(said.control.prune[0].backoff_secs, Some(10));
    let mut peers = said.control.prune[0].peers.clone();
    peers.sort_by_key(|info| info.peer);
    let mut expected = vec![
        PeerInfo { peer: one, signed_record: Some(record) },
        PeerInfo { peer: two, signed_record: None },
    ];
    expected.sort_by_key(|info| info.peer);
    assert_eq!(peers, expected);
}

#[test]
fn direct_peers_get_everything_and_are_in_no_mesh() {
    let mut world = World::new(24);
    let (node, t, puppets) = node_with(&mut world, config(), 1);
    let direct = world.add_puppet(LATEST);
    let peer = world.peer(direct);
    world.with(node, |gossip, now| gossip.add_direct_peer(now, peer, Vec::new()));
    world.run_for(secs(1));
    assert_eq!(world.sides[node].dials, [(peer, Vec::new())]);
    world.connect(node, direct);
    world.say_subscribe(direct, node, &t);
    world.run_for(secs(1));
    assert_eq!(world.mesh(node, &t), puppets);
    world.heard(direct);
    world.say_graft(direct, node, &t);
    world.run_for(millis(5));
    assert_eq!(world.heard_control(direct).prune.len(), 1);
    assert_eq!(world.mesh(node, &t), puppets);
    let message = world.signed(puppets[0], 1, &t, "m");
    world.say_messages(puppets[0], node, &[message]);
    world.run_for(millis(5));
    assert_eq!(world.heard_messages(direct).len(), 1);
    // Even with the worst of scores.
    world.with(node, |gossip, now| gossip.set_application_score(now, &peer, -1e6).unwrap());
    let message = world.signed(direct, 1, &t, "from a direct peer");
    world.say_messages(direct, node, &[message]);
    world.run_for(millis(5));
    assert_eq!(world.messages(node).len(), 2);
}

#[test]
fn a_graylisted_peer_is_not_listened_to() {
    let mut world = World::new(25);
    let (node, t, puppets) = node_with(&mut world, config(), 2);
    let peer = world.peer(puppets[0]);
    world.with(node, |gossip, now| gossip.set_application_score(now, &peer, -100.0).unwrap());
    let message = world.signed(puppets[0], 1, &t, "m");
    world.say_messages(puppets[0], node, core::slice::from_ref(&message));
    world.run_for(millis(5));
    assert!(world.messages(node).is_empty());
    world.say_messages(puppets[1], node, &[message]);
    world.run_for(secs(1));
    assert_eq!(world.messages(node).len(), 1);
    assert_eq!(world.mesh(node, &t), [puppets[1]], "it is pruned at the heartbeat");
    world.say_unsubscribe(puppets[0], node, &t);
    world.run_for(millis(5));
    assert_eq!(world.gossip(node).topic_peers(&t), [world.peer(puppets[1])]);
}

#[test]
fn a_lost_stream_is_opened_again_once_and_everything_is_said_anew() {
    let mut world = World::new(26);
    let (node, t, puppets) = node_with(&mut world, config(), 1);
    world.run_for(secs(1));
    assert_eq!(world.mesh(node, &t), puppets);
    let heard = world.heard(puppets[0]);
    assert!(heard[0].said.control.extensions.is_some(), "first of all");
    assert_eq!(heard[0].said.subscriptions, [(true, t.clone())]);
    let stream = world.stream_between(node, puppets[0]).unwrap();
    world.reset_by_receiver(stream);
    assert!(world.mesh(node, &t).is_empty());
    world.run_for(secs(2));
    let heard = world.heard(puppets[0]);
    assert!(heard[0].said.control.extensions.is_some());
    assert_eq!(heard[0].said.subscriptions, [(true, t.clone())]);
    assert_eq!(world.mesh(node, &t), puppets);
    // Whoever ends stream after stream is left alone.
    let stream = world.stream_between(node, puppets[0]).unwrap();
    world.reset_by_receiver(stream);
    world.run_for(secs(30));
    assert_eq!(world.stream_between(node, puppets[0]), None);
}

#[test]
fn the_stream_moves_to_another_connection_when_its_own_closes() {
    let mut world = World::new(27);
    let (node, t, puppets) = node_with(&mut world, config(), 1);
    let first = world.connections_of(node, puppets[0])[0];
    let second = world.connect(node, puppets[0]);
    world.run_for(secs(1));
    assert_eq!(world.stream_between(node, puppets[0]).unwrap().connection, first);
    world.disconnect(first);
    world.run_for(millis(10));
    assert_eq!(world.stream_between(node, puppets[0]).unwrap().connection, second);
    assert_eq!(world.gossip(node).topic_peers(&t).len(), 1, "it is still in its topics");
    world.run_for(secs(1));
    assert_eq!(world.mesh(node, &t), puppets);
}

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

#[test]
fn a_frame_that_is_no_rpc_costs_its_peer_and_its_stream() {
    let mut world = World::new(29);
    let (node, _, puppets) = node_with(&mut world, config(), 1);
    world.say_bytes(puppets[0], node, vec![0xff; 20]);
    world.run_for(millis(5));
    assert!(world.score(node, puppets[0]) < 0.0);
    assert_eq!(world.sides[node].penalties.len(), 1);
    assert_eq!(world.stream_between(puppets[0], node), None);
}

#[test]
fn messages_without_authors_are_passed_on_and_told_apart_by_content() {
    let unsigned = GossipConfig { signatures: SignaturePolicy::StrictNoSign, ..config() };
    let mut world = World::new(30);
    let (t, nodes) = (topic("t"), world.add_many(3, &unsigned));
    nodes.iter().for_each(|node| world.subscribe(*node, &t));
    world.connect(nodes[0], nodes[1]);
    world.connect(nodes[1], nodes[2]);
    world.run_for(secs(1));
    world.publish(nodes[0], &t, "m");
    let again = world.with(nodes[0], |gossip, now| gossip.publish(now, &t, "m".into()));
    assert!(matches!(again, Err(PublishError::Duplicate(_))));
    world.run_for(secs(1));
    let messages = world.messages(nodes[2]);
    assert_eq!(messages.len(), 1);
    assert_eq!((messages[0].source, messages[0].sequence_number), (None, None));
    // A signed one is against the policy.
    let stranger = world.add_subscriber(nodes[0], &t, LATEST);
    let signed = world.signed(stranger, 1, &t, "signed");
    world.say_messages(stranger, nodes[0], &[signed]);
    world.run_for(millis(10));
    assert!(world.messages(nodes[0]).is_empty());
    assert!(world.gossip(nodes[0]).score(&world.peer(stranger)).unwrap().penalties < 0.0);
}

#[test]
fn limits_of_the_application_are_errors_that_name_them() {
    let mut world = World::new(31);
    let config = GossipConfig { max_topics: 2, max_message_bytes: 100, ..config() };
    let node = world.add(config);
    for name in ["a", "b"] {
        world.subscribe(node, &topic(name));
    }
    world.with(node, |gossip, now| {
        assert_eq!(gossip.subscribe(now, &topic("a")), Ok(false));
        assert_eq!(gossip.subscribe(now, &topic("c")), Err(SubscribeError::TooManyTopics(2)));
        let long = gossip.publish(now, &topic("a"), vec![0; 101].into());
        assert_eq!(long, Err(PublishError::TooLarge { bytes: 101, max: 100 }));
        assert_eq!(gossip.topics(), [topic("a"), topic("b")]);
    });
}

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
