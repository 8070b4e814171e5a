use super::*;
use crate::gossip::config::VerifyWhere;
use crate::gossip::message::WireMessage;

fn fixture(max_in_flight: usize) -> Fixture {
    let verify = VerifyWhere::Connection { max_in_flight };
    Fixture::new(GossipConfig { verify, ..GossipConfig::default() })
}

fn forged(message: &WireMessage) -> WireMessage {
    let mut bytes = message.encoded.to_vec();
    let at = bytes.windows(message.data.len()).position(|part| part == message.data).unwrap();
    bytes[at] ^= 1;
    WireMessage::decode(&bytes.into()).unwrap()
}

/// Requests to verify since outputs were taken last, and where.
fn asked(fixture: &mut Fixture) -> Vec<(RequestId, ConnectionId)> {
    let outputs = fixture.outputs().into_iter();
    let asked = outputs.filter_map(|output| {
        let ProtocolOutput::Verify { request, connection, .. } = output else { return None };
        Some((request, connection))
    });
    asked.collect()
}

fn say(
    fixture: &mut Fixture,
    number: u64,
    message: &WireMessage,
) -> Vec<(RequestId, ConnectionId)> {
    let stream = fixture.inbound(number);
    let frame = frame_of(core::slice::from_ref(message));
    fixture.tell(ProtocolInput::Frame { stream, frame });
    asked(fixture)
}

fn delivered(fixture: &mut Fixture) -> usize {
    let events = fixture.events();
    events.iter().filter(|event| matches!(event, GossipEvent::Message { .. })).count()
}

#[test]
fn so_many_are_checked_elsewhere_and_the_rest_here() {
    let mut fixture = fixture(2);
    let connection = fixture.connect(1, Role::Dialer);
    let mut requests = Vec::new();
    for number in 1..=5 {
        let message = signed(9, number, &fixture.t, b"m");
        requests.extend(say(&mut fixture, 1, &message));
    }
    assert_eq!(requests.iter().map(|(_, asked)| *asked).collect::<Vec<_>>(), [connection; 2]);
    assert_eq!(delivered(&mut fixture), 3);
    for (request, _) in requests {
        fixture.tell(ProtocolInput::Verified { request, valid: true });
        assert_eq!(delivered(&mut fixture), 1);
        fixture.tell(ProtocolInput::Verified { request, valid: true });
        assert_eq!(delivered(&mut fixture), 0, "answered once");
    }
}

#[test]
fn when_a_copy_is_forged_the_next_one_is_checked_in_its_place() {
    let mut fixture = fixture(8);
    for number in 1..=3 {
        fixture.peer_outside(number, Role::Dialer);
    }
    fixture.outputs();
    let honest = signed(9, 1, &fixture.t, b"honest");
    let first = say(&mut fixture, 1, &forged(&honest));
    assert_eq!(first.len(), 1);
    assert!(say(&mut fixture, 2, &honest).is_empty(), "it waits behind the other");
    fixture.tell(ProtocolInput::Verified { request: first[0].0, valid: false });
    let second = asked(&mut fixture);
    assert_eq!(second.len(), 1);
    fixture.tell(ProtocolInput::Verified { request: second[0].0, valid: true });
    assert_eq!(delivered(&mut fixture), 1);
    let penalties =
        |fixture: &Fixture, number| fixture.gossip.score(&peer_id(number)).unwrap().penalties;
    assert!(penalties(&fixture, 1) < 0.0);
    assert_eq!(penalties(&fixture, 2), 0.0);
}

#[test]
fn with_its_connection_goes_a_check_and_is_done_here() {
    let mut fixture = fixture(8);
    let connection = fixture.connect(1, Role::Dialer);
    let other = fixture.connect(2, Role::Dialer);
    let honest = signed(9, 1, &fixture.t, b"honest");
    let lost = say(&mut fixture, 1, &forged(&honest));
    say(&mut fixture, 2, &honest);
    let message = signed(9, 2, &fixture.t, b"m");
    let kept = say(&mut fixture, 2, &message);
    assert_eq!((lost[0].1, kept[0].1), (connection, other));
    fixture.disconnect(1, connection);
    assert_eq!(delivered(&mut fixture), 1, "the honest copy behind the forged one");
    fixture.tell(ProtocolInput::Verified { request: lost[0].0, valid: true });
    assert_eq!(delivered(&mut fixture), 0, "too late");
    fixture.tell(ProtocolInput::Verified { request: kept[0].0, valid: true });
    assert_eq!(delivered(&mut fixture), 1);
}

#[test]
fn a_message_that_cannot_be_checked_is_forged_without_a_check() {
    let mut fixture = fixture(8);
    fixture.connect(1, Role::Dialer);
    let message = signed(9, 1, &fixture.t, b"m");
    // The key that it brings is another's.
    let key = identity(8).public_key().encode_protobuf();
    let bytes = [&message.encoded[..], &[0x32, u8::try_from(key.len()).unwrap()], &key].concat();
    let message = WireMessage::decode(&bytes.into()).unwrap();
    assert!(say(&mut fixture, 1, &message).is_empty());
    assert_eq!(delivered(&mut fixture), 0);
    assert!(fixture.gossip.score(&peer_id(1)).unwrap().penalties < 0.0);
    assert_eq!(fixture.gossip.usage().seen_messages, 0);
}
