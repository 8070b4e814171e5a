use core::time::Duration;

use super::*;
use crate::gossip::config::Validation;
use crate::gossip::seen_cache::{SeenCacheConfig, Verdict};
use crate::gossip::validation::{Acceptance, Pending};
use crate::gossip::{MessageId, source_and_sequence};

fn id(number: u8) -> MessageId {
    MessageId::new(&[number]).unwrap()
}

fn message(bytes: usize) -> WireMessage {
    crate::gossip::MessageFields::new(topic("t"), vec![7; bytes]).encode()
}

#[test]
fn what_waits_is_counted_and_uncounted() {
    let mut pending = Pending::new(3, 1_000);
    assert!(!pending.is_full());
    pending.insert(id(1), message(400), Timestamp::from_secs(5));
    // The same once more is in its place.
    pending.insert(id(1), message(100), Timestamp::from_secs(7));
    assert_eq!((pending.len(), pending.held_bytes()), (1, message(100).encoded.len()));
    assert_eq!(pending.first_deadline(), Some(Timestamp::from_secs(7)));
    pending.insert(id(2), message(900), Timestamp::from_secs(6));
    assert!(pending.is_full(), "in bytes");
    assert!(pending.contains(&id(1)) && !pending.contains(&id(3)));
}

#[test]
fn a_deadline_at_the_end_of_time_never_comes() {
    let mut pending = Pending::new(3, 1_000);
    pending.insert(id(1), message(1), Timestamp::MAX);
    assert_eq!(pending.first_deadline(), None);
    pending.insert(id(2), message(1), Timestamp(u64::MAX - 1));
    assert_eq!(pending.first_deadline(), Some(Timestamp(u64::MAX - 1)));
}

/// A machine whose application has a long time, and which remembers ids for a short one.
fn forgetful(max_entries: usize) -> Fixture {
    let ttl = Duration::from_secs(10);
    let mut fixture = Fixture::new(GossipConfig {
        validation: Validation::Wait(Duration::from_secs(60)),
        seen: SeenCacheConfig { ttl, max_entries, ..SeenCacheConfig::default() },
        ..GossipConfig::default()
    });
    for number in 1..=3 {
        fixture.peer_inside(number, Role::Dialer);
    }
    fixture
}

fn say(fixture: &mut Fixture, number: u64, messages: &[WireMessage]) -> usize {
    let stream = fixture.inbound(number);
    fixture.tell(ProtocolInput::Frame { stream, frame: frame_of(messages) });
    let events = fixture.events();
    events.iter().filter(|event| matches!(event, GossipEvent::Message { .. })).count()
}

#[test]
fn a_message_that_waits_longer_than_its_id_is_remembered_comes_once_and_is_decided_on_once() {
    let mut fixture = forgetful(1_000);
    let message = signed(1, 1, &fixture.t, b"m");
    let id = source_and_sequence(&message);
    let begin = fixture.now;
    assert_eq!(say(&mut fixture, 1, core::slice::from_ref(&message)), 1);
    for later in [20, 40] {
        fixture.now = begin.saturating_add(Duration::from_secs(later));
        assert_eq!(say(&mut fixture, 2, core::slice::from_ref(&message)), 0);
        let usage = fixture.gossip.usage();
        let bytes = frame_of(core::slice::from_ref(&message)).len();
        assert_eq!((usage.pending_messages, usage.pending_bytes), (1, bytes));
    }
    let (now, bytes) = (fixture.now, message.encoded);
    assert!(fixture.gossip.report(now, &id, Acceptance::Accept));
    assert_eq!(fixture.gossip.usage().pending_bytes, 0);
    assert_eq!(fixture.gossip.seen.verdict(now, id.as_bytes()), Some(Verdict::Accepted));
    // It goes to who did not bring it of late, unchanged.
    let sent: Vec<_> = fixture
        .outputs()
        .into_iter()
        .filter(
            |output| matches!(output, ProtocolOutput::Send { frame, .. } if frame.body == bytes),
        )
        .collect();
    assert_eq!(sent.len(), 1, "peer 1 wrote it, peer 2 brought it");
    // No deadline is left behind.
    fixture.now = begin.saturating_add(Duration::from_secs(600));
    fixture.tell(ProtocolInput::Timeout);
    assert!(fixture.gossip.poll_timeout().unwrap().at > fixture.now);
}

#[test]
fn a_message_whose_id_made_room_for_others_is_ignored_once_at_its_deadline() {
    let mut fixture = forgetful(2);
    let wanted = signed(1, 1, &fixture.t, b"m");
    let begin = fixture.now;
    assert_eq!(say(&mut fixture, 1, core::slice::from_ref(&wanted)), 1);
    let others: Vec<_> = (2..6).map(|number| signed(1, number, &fixture.t, b"m")).collect();
    assert_eq!(say(&mut fixture, 1, &others), 4);
    assert_eq!(say(&mut fixture, 2, core::slice::from_ref(&wanted)), 0, "it waits already");
    assert_eq!(fixture.gossip.usage().pending_messages, 5);
    fixture.now = begin.saturating_add(Duration::from_secs(61));
    fixture.tell(ProtocolInput::Timeout);
    let usage = fixture.gossip.usage();
    assert_eq!((usage.pending_messages, usage.pending_bytes), (0, 0));
}

#[test]
fn without_room_for_a_message_nobody_is_to_blame_and_it_may_come_again() {
    let mut fixture = Fixture::new(GossipConfig {
        validation: Validation::Wait(Duration::from_secs(60)),
        max_pending_messages: 1,
        ..GossipConfig::default()
    });
    fixture.peer_inside(1, Role::Dialer);
    let messages: Vec<_> = (1..=2).map(|number| signed(9, number, &fixture.t, b"m")).collect();
    let (first, second) = (source_and_sequence(&messages[0]), source_and_sequence(&messages[1]));
    // It was asked for the second.
    let (key, until) = (fixture.key(1), fixture.now.saturating_add(Duration::from_secs(3)));
    fixture.gossip.promises.add(key, core::slice::from_ref(&second), until);
    assert_eq!(say(&mut fixture, 1, &messages), 1);
    fixture.now = until;
    fixture.beat();
    fixture.beat();
    assert_eq!(fixture.penalties(1), 0.0, "it kept its promise");
    let now = fixture.now;
    assert!(fixture.gossip.report(now, &first, Acceptance::Ignore));
    assert_eq!(say(&mut fixture, 1, &messages), 1);
}

#[test]
fn what_waits_in_a_topic_that_is_left_is_ignored() {
    let mut fixture = forgetful(1_000);
    let message = signed(1, 1, &fixture.t, b"m");
    let id = source_and_sequence(&message);
    say(&mut fixture, 1, &[message]);
    let (now, t) = (fixture.now, fixture.t.clone());
    assert!(fixture.gossip.unsubscribe(now, &t));
    assert_eq!(fixture.gossip.usage().pending_messages, 0);
    assert!(!fixture.gossip.report(now, &id, Acceptance::Reject));
    assert_eq!(fixture.gossip.seen.verdict(now, id.as_bytes()), Some(Verdict::Ignored));
    assert_eq!(fixture.gossip.score(&peer_id(1)).unwrap().penalties, 0.0);
}
