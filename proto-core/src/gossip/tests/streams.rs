use super::*;
use crate::mailbox::{OpenFailure, StreamEnd};

fn fixture() -> Fixture {
    Fixture::new(GossipConfig::default())
}

fn opens(outputs: &[ProtocolOutput]) -> usize {
    outputs.iter().filter(|output| matches!(output, ProtocolOutput::Open { .. })).count()
}

fn close(fixture: &mut Fixture, stream: StreamRef, end: StreamEnd) {
    fixture.tell(ProtocolInput::StreamClosed { stream, end });
}

#[test]
fn a_peer_has_one_stream_of_ours_over_all_of_its_connections() {
    let mut fixture = fixture();
    fixture.connect(1, Role::Dialer);
    fixture.connect(1, Role::Listener);
    assert_eq!(opens(&fixture.outputs()), 1);
    fixture.open(1, LATEST);
    fixture.connect(1, Role::Dialer);
    assert_eq!(opens(&fixture.outputs()), 0);
}

#[test]
fn a_stream_of_a_protocol_that_was_not_proposed_is_reset_and_another_asked_for() {
    let mut fixture = fixture();
    fixture.connect(1, Role::Dialer);
    let stream = fixture.open(1, "/another/1.0.0");
    assert!(fixture.outputs().contains(&ProtocolOutput::Reset { stream, code: 0 }));
    assert_eq!(fixture.outbound(1), Outbound::Lost);
    fixture.beat();
    assert_eq!(opens(&fixture.outputs()), 1);
}

#[test]
fn an_answer_that_nobody_waits_for_is_reset_and_changes_nothing() {
    let mut fixture = fixture();
    let connection = fixture.connect(1, Role::Dialer);
    let first = fixture.open(1, LATEST);
    let before = fixture.outbound(1);
    let late = StreamRef { connection, stream: StreamId(99) };
    for request in [RequestId(1), RequestId(77)] {
        fixture.opened(1, request, late, LATEST);
        assert!(fixture.outputs().contains(&ProtocolOutput::Reset { stream: late, code: 0 }));
        assert_eq!(fixture.outbound(1), before);
        assert!(fixture.gossip.peers.stream(late).is_none());
    }
    assert!(fixture.gossip.peers.stream(first).is_some());
}

#[test]
fn a_peer_that_loses_stream_after_stream_is_left_alone_until_it_speaks() {
    let mut fixture = fixture();
    fixture.connect(1, Role::Dialer);
    let stream = fixture.open(1, LATEST);
    close(&mut fixture, stream, StreamEnd::Reset(0));
    fixture.beat();
    let stream = fixture.open(1, LATEST);
    close(&mut fixture, stream, StreamEnd::Reset(0));
    fixture.outputs();
    for _ in 0..100 {
        fixture.beat();
        assert_eq!(opens(&fixture.outputs()), 0);
    }
    assert_eq!(fixture.outbound(1), Outbound::Idle);
    fixture.inbound(1);
    fixture.beat();
    assert_eq!(opens(&fixture.outputs()), 1);
}

#[test]
fn a_peer_that_does_not_speak_the_protocol_is_told_of_once_and_asked_on_a_new_connection() {
    let mut fixture = fixture();
    for round in 0..3 {
        fixture.connect(1, Role::Dialer);
        let Outbound::Opening(request) = fixture.outbound(1) else { panic!("none asked for") };
        let (peer, failure) = (peer_id(1), OpenFailure::UnsupportedProtocol);
        fixture.tell(ProtocolInput::OpenFailed { request, peer, failure });
        assert_eq!(fixture.outbound(1), Outbound::Idle);
        let expected: &[_] = if round == 0 { &[GossipEvent::NotSupported { peer }] } else { &[] };
        assert_eq!(fixture.events(), expected);
        fixture.beat();
        assert_eq!(opens(&fixture.outputs()), 1, "the one that was refused");
    }
}

#[test]
fn with_the_stream_go_the_meshes_and_what_was_to_be_said() {
    let mut fixture = fixture();
    let key = fixture.peer_inside(1, Role::Dialer);
    let Outbound::Open(stream, _) = fixture.outbound(1) else { panic!("no stream") };
    assert_eq!(fixture.mesh(), [key]);
    close(&mut fixture, stream, StreamEnd::Finished);
    assert!(fixture.mesh().is_empty());
    let peer = fixture.gossip.peers.get(key).unwrap();
    assert!(peer.backlog.is_empty() && peer.told.is_empty() && !peer.queue.has_control());
    assert!(peer.topics.contains(&fixture.t), "it is in the topic all the same");
    // On the new one all is said anew.
    fixture.beat();
    fixture.outputs();
    fixture.open(1, LATEST);
    assert_eq!(fixture.said_to(1).graft, [fixture.t.clone()]);
}

#[test]
fn framing_that_is_broken_costs_its_peer_and_other_ends_do_not() {
    let ends = [
        (StreamEnd::FrameTooLong { length: u64::MAX, max: 1 }, true),
        (StreamEnd::MalformedLength, true),
        (StreamEnd::TruncatedFrame, true),
        (StreamEnd::Finished, false),
        (StreamEnd::Reset(7), false),
        (StreamEnd::ResetByUs, false),
        (StreamEnd::CreditExceeded, false),
        (StreamEnd::ReceiveStall, false),
        (StreamEnd::ConnectionClosed, false),
    ];
    for (end, costs) in ends {
        let mut fixture = fixture();
        fixture.connect(1, Role::Dialer);
        let stream = fixture.inbound(1);
        close(&mut fixture, stream, end);
        assert_eq!(fixture.penalties(1) > 0.0, costs, "{end}");
        let told = fixture.outputs();
        let penalty = told.iter().any(|told| matches!(told, ProtocolOutput::Penalty { .. }));
        assert_eq!(penalty, costs, "{end}");
        assert!(fixture.gossip.peers.stream(stream).is_none());
    }
}

#[test]
fn nothing_is_left_of_a_peer_that_goes() {
    let mut fixture = fixture();
    let connection = fixture.connect(1, Role::Dialer);
    let ours = fixture.open(1, LATEST);
    let theirs = fixture.inbound(1);
    let (key, now, t) = (fixture.key(1), fixture.now, fixture.t.clone());
    fixture.gossip.peer_joined(now, key, &t);
    fixture.disconnect(1, connection);
    assert!(fixture.gossip.peers.get(key).is_none());
    assert!(fixture.gossip.peers.stream(ours).is_none());
    assert!(fixture.gossip.peers.stream(theirs).is_none());
    assert_eq!(fixture.gossip.usage().topics, 1);
    // What comes late of it is nothing.
    fixture.tell(ProtocolInput::Frame { stream: theirs, frame: bytes::Bytes::new() });
    fixture.tell(ProtocolInput::Credit { stream: ours, bytes: 5 });
    fixture.disconnect(1, connection);
    assert_eq!(fixture.gossip.usage().peers, 0);
}
