//! Two whole connections against each other.

mod common;

use std::time::Duration;

use common::*;
use sanspeer_core::close::CloseReason;
use sanspeer_core::connection::{ConnectionEvent, NodeRoom};
use sanspeer_core::mailbox::{Lease, OpenFailure, RequestId, StreamEnd, ToConnection, ToNode};
use sanspeer_core::mux::{Mux, ReadError, StreamId, WriteError};
use sanspeer_core::time::{DeadlineReason, Timestamp};

#[test]
fn one_proposal_and_its_data_take_one_round_trip() {
    let mut pair = Pair::established(1);
    let stream = pair.dialer.connection.open(pair.now, &[id(ECHO)]).unwrap();
    assert_eq!(pair.dialer.write(stream, b"hello"), 5);
    pair.dialer.transmit(pair.now);
    while pair.listener.receive(pair.now, &mut pair.dialer.wire) {}
    let (theirs, _) = pair.listener.connection.accept().unwrap();
    assert_eq!(pair.listener.read(theirs), (b"hello".to_vec(), false));
}

#[test]
fn a_stream_carries_bytes_both_ways_and_ends_by_halves() {
    let mut pair = Pair::established(2);
    let (ours, theirs) = pair.open_echo();
    assert_eq!(pair.dialer.write(ours, b"question"), 8);
    pair.dialer.connection.stream(ours).finish().unwrap();
    pair.run();
    assert_eq!(pair.listener.read(theirs), (b"question".to_vec(), true));
    assert_eq!(pair.listener.write(theirs, b"answer"), 6);
    pair.listener.connection.stream(theirs).finish().unwrap();
    pair.run();
    assert_eq!(pair.dialer.read(ours), (b"answer".to_vec(), true));
    assert_eq!(pair.dialer.connection.stream(ours).read(1), Err(ReadError::UnknownStream));
    assert_eq!(pair.listener.connection.stream(theirs).read(1), Err(ReadError::UnknownStream));
}

#[test]
fn a_refusal_shows_at_the_first_read() {
    let mut pair = Pair::established(3);
    let stream = pair.dialer.connection.open(pair.now, &[id("/nobody/speaks/this")]).unwrap();
    assert_eq!(pair.dialer.write(stream, b"hello"), 5);
    pair.run();
    assert_eq!(pair.dialer.connection.stream(stream).read(10), Err(ReadError::UnsupportedProtocol));
    assert_eq!(pair.dialer.connection.stream(stream).read(10), Err(ReadError::UnknownStream));
}

#[test]
fn a_refusal_shows_even_when_the_data_behind_the_proposal_looks_like_a_line() {
    let mut pair = Pair::established(6);
    let stream = pair.dialer.connection.open(pair.now, &[id("/nobody/speaks/this")]).unwrap();
    assert_eq!(pair.dialer.write(stream, b"\x06hello?"), 7);
    pair.run();
    let failure = OpenFailure::UnsupportedProtocol;
    assert!(pair.dialer.events.contains(&ConnectionEvent::OpenFailed { stream, failure }));
    let read = pair.dialer.connection.stream(stream).read(10);
    assert_eq!(read, Err(ReadError::UnsupportedProtocol));
}

#[test]
fn perf_measures_both_directions() {
    let mut pair = Pair::established(4);
    pair.dialer.connection.perf(pair.now, 3_000_000, 5_000_000).unwrap();
    pair.run();
    let Some(ConnectionEvent::Perf(report)) = pair.dialer.events.last() else {
        panic!("no report: {:?}", pair.dialer.events);
    };
    assert!(report.complete);
    assert_eq!((report.uploaded_bytes, report.downloaded_bytes), (3_000_000, 5_000_000));
}

#[test]
fn a_close_reaches_the_other_end_as_a_goodbye() {
    let mut pair = Pair::established(5);
    pair.dialer.connection.close(pair.now, CloseReason::Requested);
    pair.run();
    assert!(
        pair.dialer.events.contains(&ConnectionEvent::Closed { reason: CloseReason::Requested })
    );
    assert!(
        pair.listener
            .events
            .contains(&ConnectionEvent::Closed { reason: CloseReason::RemoteGoodbye { code: 0 } })
    );
    pair.advance(Duration::from_secs(100));
}

#[test]
fn a_writer_that_is_ahead_of_the_answer_to_its_proposal_is_woken() {
    let (mut remote, mut end) = Remote::listening(6);
    let stream = end.connection.open(Timestamp::ZERO, &[id(ECHO)]).unwrap();
    end.events.clear();
    // More than is queued, less than the window.
    let mut written = end.write(stream, &[1; 250_000]);
    assert_eq!(end.write(stream, &[1]), 0);
    assert!(written < 250_000);
    remote.exchange(&mut end, Timestamp::ZERO);
    assert_eq!(end.events, [ConnectionEvent::Writable(stream)]);
    written += end.write(stream, &vec![1; 250_000 - written]);
    assert_eq!(written, 250_000);
    end.transmit(Timestamp::ZERO);
    // Now more than the window.
    written += end.write(stream, &[1; 100_000]);
    assert_eq!(end.write(stream, &[1]), 0);
    assert!(written < 300_000);
    end.events.clear();
    remote.exchange(&mut end, Timestamp::ZERO);
    assert_eq!(end.events, []);
    let theirs = remote.mux.accept().unwrap();
    while remote.mux.read(theirs, usize::MAX).is_ok() {}
    remote.exchange(&mut end, Timestamp::ZERO);
    assert_eq!(end.events, [ConnectionEvent::Writable(stream)]);
}

/// A stream of Node's that the dialer opened: its id, known to both Nodes.
fn open_frames(pair: &mut Pair) -> StreamId {
    let open = ToConnection::Open {
        request: RequestId(1),
        protocols: vec![id(FRAMES)],
        max_frame_bytes: MAX_FRAME,
    };
    pair.dialer.connection.handle_node(pair.now, open);
    pair.run();
    let opened = pair.dialer.node.iter().find_map(|message| {
        if let ToNode::StreamOpened { stream, .. } = message { Some(*stream) } else { None }
    });
    opened.expect("the stream is opened")
}

#[test]
fn a_half_finished_stream_of_node_ends_before_its_connection() {
    let mut pair = Pair::established(6);
    let stream = open_frames(&mut pair);
    pair.dialer.connection.handle_node(pair.now, ToConnection::Finish(stream));
    pair.run();
    assert!(pair.listener.node.contains(&ToNode::StreamFinished(stream)));
    pair.dialer.connection.close(pair.now, CloseReason::Requested);
    pair.run();
    pair.listener.connection.handle_eof(pair.now);
    pair.run();
    let closed = ToNode::StreamClosed { stream, end: StreamEnd::ConnectionClosed };
    for end in [&pair.dialer, &pair.listener] {
        let [.., before_last, last] = &end.node[..] else { panic!("{:?}", end.node) };
        assert_eq!(before_last, &closed);
        assert!(matches!(last, ToNode::Closed { .. }));
    }
}

#[test]
fn a_connection_that_was_not_admitted_in_time_has_no_deadline_in_the_past() {
    let mut pair = Pair::new(7);
    pair.dialer.admit = None;
    pair.run();
    let connection = &mut pair.dialer.connection;
    let admission = Timestamp::from_secs(10);
    connection.handle_timeout(admission);
    pair.dialer.poll(admission);
    // Its transport takes nothing, so that the goodbye has to linger.
    let deadline = pair.dialer.connection.poll_timeout().expect("it lingers");
    assert_eq!((deadline.at, deadline.reason), (Timestamp::from_secs(15), DeadlineReason::Linger));
}

#[test]
fn nothing_is_told_to_node_after_closed() {
    let mut pair = Pair::new(8);
    let lease = Lease { ping_interval: Some(Duration::from_secs(1)), ..Lease::default() };
    pair.dialer.admit = Some((lease, table()));
    pair.run();
    pair.dialer.connection.close(pair.now, CloseReason::Requested);
    pair.run();
    assert!(matches!(pair.dialer.node.last(), Some(ToNode::Closed { .. })));
    let now = Timestamp::from_secs(60);
    let connection = &mut pair.dialer.connection;
    connection.handle_timeout(now);
    let (request, protocols) = (RequestId(1), vec![id(FRAMES)]);
    let late = ToConnection::Open { request, protocols, max_frame_bytes: MAX_FRAME };
    connection.handle_node(now, late);
    assert_eq!(connection.poll_event(), None);
    assert_eq!(connection.poll_node(NodeRoom::Queue), None);
}

#[test]
fn node_hears_of_a_connection_first_that_it_is_established() {
    let mut pair = Pair::new(9);
    // The handshake takes longer than the interval of usage reports, and Node is early.
    pair.dialer.transmit(pair.now);
    let lease = Lease { ping_interval: Some(Duration::from_secs(1)), ..Lease::default() };
    pair.dialer.connection.handle_node(pair.now, ToConnection::Lease(lease));
    pair.now = Timestamp::from_secs(5);
    pair.dialer.connection.handle_timeout(pair.now);
    pair.run();
    assert!(matches!(pair.dialer.node.first(), Some(ToNode::Established { .. })));
}

#[test]
fn reading_nothing_does_not_take_the_end() {
    let mut pair = Pair::established(10);
    let (ours, theirs) = pair.open_echo();
    pair.dialer.connection.stream(ours).finish().unwrap();
    pair.listener.connection.stream(theirs).finish().unwrap();
    pair.run();
    for _ in 0..2 {
        assert_eq!(pair.dialer.connection.stream(ours).read(0).unwrap().len(), 0);
        assert_eq!(pair.dialer.connection.stream(ours).read_into(&mut []), Ok(0));
    }
    assert_eq!(pair.dialer.read(ours), (Vec::new(), true));
    assert_eq!(pair.dialer.connection.stream(ours).read(1), Err(ReadError::UnknownStream));
}

#[test]
fn finishing_after_the_end_loses_nothing_that_was_received() {
    let mut pair = Pair::established(11);
    let (ours, theirs) = pair.open_echo();
    pair.listener.write(theirs, b"the last words");
    pair.run();
    pair.dialer.connection.handle_eof(pair.now);
    pair.run();
    let mut stream = pair.dialer.connection.stream(ours);
    assert_eq!(stream.finish(), Err(WriteError::ConnectionClosed));
    assert_eq!(stream.write(b"more"), Err(WriteError::ConnectionClosed));
    assert_eq!(stream.read(100).unwrap(), "the last words");
    assert_eq!(stream.read(100), Err(ReadError::ConnectionClosed));
    assert_eq!(pair.dialer.connection.poll_event(), None);
}

#[test]
fn a_connection_that_was_quiet_for_long_still_says_goodbye() {
    let mut pair = Pair::established(13);
    // No timer of its own was handled meanwhile, and one is late when it is closed.
    pair.now = pair.now.saturating_add(Duration::from_secs(20));
    pair.dialer.connection.close(pair.now, CloseReason::Requested);
    pair.dialer.connection.handle_timeout(pair.now);
    pair.run();
    assert_eq!(pair.dialer.closed(), Some(&CloseReason::Requested));
    assert_eq!(pair.listener.closed(), Some(&CloseReason::RemoteGoodbye { code: 0 }));
}

#[test]
fn the_reset_of_the_last_stream_behind_a_goodbye_is_told() {
    let mut pair = Pair::established(12);
    let (ours, theirs) = pair.open_echo();
    pair.dialer.connection.close(pair.now, CloseReason::Requested);
    let goodbye = pair.dialer.connection.poll_transmit(pair.now).unwrap();
    let n = goodbye.len();
    pair.dialer.wire.extend(goodbye);
    pair.dialer.connection.stream(ours).reset(0);
    pair.dialer.connection.handle_transmitted(n);
    pair.run();
    let [.., before_last, last] = &pair.listener.events[..] else { panic!("no events") };
    let ended = ConnectionEvent::Ended { stream: theirs, end: StreamEnd::Reset(0) };
    assert_eq!(before_last, &ended);
    let reason = CloseReason::RemoteGoodbye { code: 0 };
    assert_eq!(last, &ConnectionEvent::Closed { reason });
}
