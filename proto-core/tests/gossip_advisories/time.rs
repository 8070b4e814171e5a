//! Time that does not come, and time that ends.

use core::time::Duration;

use sanspeer_core::gossip::{
    Acceptance, Control, Gossip, GossipConfig, IHave, MessageId, Outgoing, Prune, Validation,
};
use sanspeer_core::identity::Identity;
use sanspeer_core::mailbox::OpenFailure;
use sanspeer_core::node::{Protocol, ProtocolInput, ProtocolOutput};
use sanspeer_core::rng::Seed;
use sanspeer_core::time::{DeadlineReason, Timestamp};

use crate::gossip_world::{World, millis, secs, topic};
use crate::{LATEST, alone, node_with};

#[test]
fn heartbeats_go_on_when_nothing_else_wakes_the_node() {
    let _alone = alone();
    let identity = Identity::ed25519(&Seed::from_u64(1));
    let mut gossip =
        Gossip::new(GossipConfig::default(), identity, &Seed::from_u64(1)).expect("sound");
    let begin = Timestamp::from_secs(7);
    gossip.subscribe(begin, &topic("t")).expect("room");
    let mut now = begin;
    for beat in 0..10_000 {
        while gossip.poll().is_some() || gossip.poll_event().is_some() {}
        let deadline = gossip.poll_timeout().expect("there is always a next one");
        let due = begin.saturating_add(Duration::from_millis(100 + 1_000 * beat));
        assert_eq!((deadline.at, deadline.reason), (due, DeadlineReason::Heartbeat));
        now = deadline.at;
        gossip.handle(now, ProtocolInput::Timeout);
    }
    // However late it is woken, the next one is ahead.
    for late in [3u64, 70, 100_000] {
        now = now.saturating_add(Duration::from_secs(late));
        gossip.handle(now, ProtocolInput::Timeout);
        let next = gossip.poll_timeout().expect("a next one").at;
        assert!(now < next && next <= now.saturating_add(secs(1)), "{next:?} at {now:?}");
    }
}

#[test]
fn whatever_comes_in_does_not_put_the_heartbeat_off() {
    let _alone = alone();
    let mut world = World::new(1);
    let (node, t, puppets) = node_with(&mut world, GossipConfig::default(), 2);
    let due = world.gossip(node).poll_timeout().map(|deadline| deadline.at);
    for number in 0..20 {
        let message = world.signed(puppets[0], number, &t, "m");
        world.say_messages(puppets[0], node, &[message]);
        world.run_for(millis(2));
    }
    assert_eq!(world.gossip(node).poll_timeout().map(|deadline| deadline.at), due);
}

#[test]
fn no_arithmetic_of_time_overflows_at_its_end() {
    let _alone = alone();
    for before_the_end in [0, 1, 3_000_000_000] {
        let mut world = World::new(2).starting_at(Timestamp(u64::MAX - before_the_end));
        let config = GossipConfig {
            validation: Validation::Wait(Duration::MAX),
            prune_backoff: Duration::MAX,
            unsubscribe_backoff: Duration::MAX,
            iwant_followup: Duration::MAX,
            fanout_ttl: Duration::MAX,
            heartbeat_interval: Duration::MAX,
            heartbeat_initial_delay: Duration::MAX,
            flood_publish: false,
            exchange_peers: true,
            ..GossipConfig::default()
        };
        let (node, t, puppets) = node_with(&mut world, config, 3);
        let other = topic("other");
        world.say_subscribe(puppets[0], node, &other);
        let id = MessageId::new(b"an id").expect("an id");
        let prune = Prune { topic: t.clone(), peers: Vec::new(), backoff_secs: Some(u64::MAX) };
        let control = Control {
            ihave: vec![IHave { topic: t.clone(), ids: vec![id.clone()] }],
            iwant: vec![id.clone()],
            idontwant: vec![id],
            graft: vec![t.clone(), other.clone()],
            prune: vec![prune],
            ..Control::default()
        };
        for puppet in &puppets {
            let control = control.clone();
            world.say(*puppet, node, Outgoing { control, ..Outgoing::default() });
        }
        world.run_for(secs(1));
        world.publish(node, &other, "to a fanout");
        let message = world.signed(puppets[0], 1, &t, "m");
        world.say_messages(puppets[0], node, &[message]);
        world.run_for(secs(1));
        let id = world.messages(node)[0].id.clone();
        assert!(world.with(node, |gossip, now| gossip.report(now, &id, Acceptance::Accept)));
        for _ in 0..3 {
            world.tell(node, ProtocolInput::Timeout);
            world.run_for(secs(10));
        }
        assert_eq!(world.now, Timestamp::MAX);
        world.unsubscribe(node, &t);
        world.subscribe(node, &t);
        world.disconnect_all(puppets[0], node);
        world.add_subscriber(node, &t, LATEST);
        world.run_for(secs(1));
        assert!(world.gossip(node).topic_peers(&t).len() >= 2, "it goes on");
    }
}

#[test]
fn a_stream_that_could_not_be_opened_yet_is_opened_at_the_next_heartbeat() {
    let _alone = alone();
    let mut world = World::new(3);
    let t = topic("t");
    let node = world.add(GossipConfig::default());
    world.subscribe(node, &t);
    world.sides[node].records = true;
    let puppet = world.add_subscriber(node, &t, LATEST);
    let asked = |world: &World| {
        let outputs = world.sides[node].outputs.iter();
        let requests = outputs.filter_map(|output| {
            let ProtocolOutput::Open { request, .. } = output else { return None };
            Some(*request)
        });
        requests.collect::<Vec<_>>()
    };
    // It was announced before it could be used.
    let request = asked(&world)[0];
    let (peer, failure) = (world.peer(puppet), OpenFailure::NotOpen);
    world.tell(node, ProtocolInput::OpenFailed { request, peer, failure });
    world.run_for(millis(50));
    assert!(world.mesh(node, &t).is_empty());
    world.run_for(secs(1));
    assert_eq!(asked(&world).len(), 2);
    assert_eq!(world.mesh(node, &t), [puppet]);
}
