//! Maps that are keyed by what a remote says.

use sanspeer_core::gossip::{
    Control, GossipConfig, IHave, MessageId, Outgoing, PeerInfo, Prune, RpcLimits,
};
use sanspeer_core::identity::Identity;
use sanspeer_core::node::ProtocolOutput;
use sanspeer_core::rng::Seed;

use crate::gossip_world::{World, millis, secs};
use crate::{alone, count, left, node_with, tell};

/// Ids as long as those of signed messages.
fn ids(first: u32, count: u32) -> Vec<MessageId> {
    let id = |number: u32| {
        let mut bytes = [7; 46];
        bytes[42..].copy_from_slice(&number.to_be_bytes());
        MessageId::new(&bytes).expect("an id")
    };
    (first..first + count).map(id).collect()
}

fn say(control: Control) -> Outgoing {
    Outgoing { control, ..Outgoing::default() }
}

/// What a node holds of one peer when it says `said` for a minute, ten times a second.
fn held(said: impl Fn(u32) -> Outgoing) -> usize {
    let mut world = World::new(1);
    let mut config = GossipConfig::default();
    config.score.behaviour_penalty_weight = 0.0;
    let (node, _, puppets) = node_with(&mut world, config, 1);
    world.run_for(secs(1));
    let region = count();
    let mut most = 0;
    for number in 0..600 {
        let said = said(number);
        tell(&mut world, puppets[0], node, &said);
        drop(said);
        world.run_for(millis(100));
        world.heard(puppets[0]);
        world.take_events(node);
        most = most.max(left(&region));
    }
    most
}

#[test]
fn ids_that_a_peer_does_not_want_are_bounded() {
    let _alone = alone();
    let flood =
        |number| say(Control { idontwant: ids(number * 5_000, 5_000), ..Control::default() });
    let most = held(flood);
    assert!(most < 1 << 20, "{most} bytes of 3,000,000 ids");
}

#[test]
fn ids_that_a_peer_says_to_have_are_bounded() {
    let _alone = alone();
    let flood = |number| {
        let topic = crate::gossip_world::topic("t");
        let ihave = vec![IHave { topic, ids: ids(number * 5_000, 5_000) }];
        say(Control { ihave, ..Control::default() })
    };
    let most = held(flood);
    assert!(most < 8 << 20, "{most} bytes of 3,000,000 ids");
}

#[test]
fn ids_that_a_peer_asks_for_leave_nothing() {
    let _alone = alone();
    let flood = |number| say(Control { iwant: ids(number * 5_000, 5_000), ..Control::default() });
    let most = held(flood);
    assert!(most < 64 << 10, "{most} bytes of 3,000,000 ids");
}

#[test]
fn streams_of_a_peer_are_bounded() {
    let _alone = alone();
    let mut world = World::new(2);
    let (node, _, puppets) = node_with(&mut world, GossipConfig::default(), 1);
    for _ in 0..100 {
        world.open_by_hand(puppets[0], node);
        world.run_for(millis(2));
    }
    let open = world.streams.values().filter(|stream| stream.to == node).count();
    assert_eq!(open, 4, "the oldest of more are reset");
}

#[test]
fn of_the_peers_that_a_peer_names_a_bounded_number_is_looked_at() {
    let _alone = alone();
    let mut world = World::new(3);
    let mut config = GossipConfig::default();
    config.score.thresholds.accept_px = 0.0;
    let most = config.max_exchange_dials;
    let (node, t, puppets) = node_with(&mut world, config, 1);
    world.run_for(millis(1_060));
    world.sides[node].records = true;
    let stranger = |number: u64| {
        let peer = Identity::ed25519(&Seed::from_u64(1_000_000 + number)).peer_id();
        PeerInfo { peer, signed_record: None }
    };
    let dials = |world: &World| {
        let outputs = world.sides[node].outputs.iter();
        outputs.filter(|output| matches!(output, ProtocolOutput::Dial { .. })).count()
    };
    for batch in 0..20 {
        let peers = (0..16).map(|number| stranger(batch * 16 + number)).collect();
        let prune = vec![Prune { topic: t.clone(), peers, backoff_secs: Some(1) }];
        // Each dial fails at once, so that there is room for others.
        tell(&mut world, puppets[0], node, &say(Control { prune, ..Control::default() }));
        world.run_for(millis(1));
    }
    assert_eq!(dials(&world), most, "between two heartbeats");
    world.run_for(secs(1));
    let peers = (400..416).map(stranger).collect();
    let prune = vec![Prune { topic: t, peers, backoff_secs: Some(1) }];
    tell(&mut world, puppets[0], node, &say(Control { prune, ..Control::default() }));
    assert_eq!(dials(&world), most + 16, "and then again");
}

#[test]
fn a_message_that_many_peers_bring_notes_a_bounded_number_of_them() {
    let _alone = alone();
    let mut world = World::new(4);
    let config = GossipConfig {
        validation: sanspeer_core::gossip::Validation::Wait(secs(60)),
        ..GossipConfig::default()
    };
    let (node, t, puppets) = node_with(&mut world, config, 300);
    let message = world.signed(puppets[0], 1, &t, "m");
    world.say_messages(puppets[0], node, core::slice::from_ref(&message));
    world.run_for(millis(5));
    let region = count();
    for puppet in &puppets[1..] {
        world.say_messages(*puppet, node, core::slice::from_ref(&message));
    }
    world.run_for(millis(5));
    assert_eq!(world.messages(node).len(), 1);
    let most = left(&region);
    assert!(most < 64 << 10, "{most} bytes");
    assert!(RpcLimits::default().max_messages >= 300);
}
