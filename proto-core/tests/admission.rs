//! Admission, the protocol table, and the limits of streams that the remote opens.

mod common;

use std::time::Duration;

use common::*;
use sanspeer_core::close::{CloseReason, RefuseReason, TransportFailure};
use sanspeer_core::connection::{ConnectionEvent, NodeRoom, OpenError};
use sanspeer_core::mailbox::{
    Frame, Lease, OpenFailure, Owner, RequestId, StreamEnd, StreamRate, ToConnection, ToNode,
};
use sanspeer_core::mux::{Mux, ReadError, StreamId};
use sanspeer_core::time::{DeadlineReason, Timestamp};

/// A secured pair whose listener was not admitted.
fn unadmitted(seed: u64) -> Pair {
    let mut pair = Pair::new(seed);
    pair.listener.admit = None;
    pair.run();
    assert!(matches!(pair.listener.node[..], [ToNode::Established { .. }]));
    pair
}

fn admit(end: &mut End, now: Timestamp) {
    let admit = ToConnection::Admit { lease: Lease::default(), protocols: table() };
    end.connection.handle_node(now, admit);
    end.poll(now);
}

/// Opens a stream of the dialer's and writes to it.
fn open_and_write(pair: &mut Pair, data: &[u8]) -> StreamId {
    let stream = pair.dialer.connection.open(pair.now, &[id(ECHO)]).expect("room for a stream");
    assert_eq!(pair.dialer.write(stream, data), data.len());
    stream
}

/// Opens a stream of Node's from the dialer; its id there and at the listener.
fn open_frames(pair: &mut Pair, request: u64) -> (StreamId, StreamId) {
    let open = ToConnection::Open {
        request: RequestId(request),
        protocols: vec![id(FRAMES)],
        max_frame_bytes: MAX_FRAME,
    };
    pair.dialer.connection.handle_node(pair.now, open);
    pair.run();
    let Some(ToNode::StreamOpened { stream: ours, .. }) = pair.dialer.node.last() else {
        panic!("no stream: {:?}", pair.dialer.node);
    };
    let Some(ToNode::InboundStream { stream: theirs, .. }) = pair.listener.node.last() else {
        panic!("no stream: {:?}", pair.listener.node);
    };
    (*ours, *theirs)
}

fn send(end: &mut End, now: Timestamp, stream: StreamId, bytes: usize) {
    let frame = Frame::new(vec![7; bytes]);
    end.connection.handle_node(now, ToConnection::Send { stream, frame });
}

/// `Established` comes first, `Closed` last, and every stream that Node knows is closed between.
fn assert_node_order(messages: &[ToNode]) {
    assert!(matches!(messages.first(), Some(ToNode::Established { .. })), "{messages:?}");
    assert!(matches!(messages.last(), Some(ToNode::Closed { .. })), "{messages:?}");
    let mut known = Vec::new();
    let mut closed = Vec::new();
    for message in messages {
        if let ToNode::InboundStream { stream, .. } | ToNode::StreamOpened { stream, .. } = message
        {
            known.push(*stream);
        }
        if let ToNode::StreamClosed { stream, .. } = message {
            assert!(known.contains(stream) && !closed.contains(stream), "{messages:?}");
            closed.push(*stream);
        }
    }
    closed.sort();
    known.sort();
    assert_eq!(closed, known, "{messages:?}");
    let count = |is: fn(&ToNode) -> bool| messages.iter().filter(|message| is(message)).count();
    assert_eq!(count(|message| matches!(message, ToNode::Established { .. })), 1);
    assert_eq!(count(|message| matches!(message, ToNode::Closed { .. })), 1);
}

#[test]
fn inbound_streams_are_held_until_the_connection_is_admitted_and_work_then() {
    let mut pair = unadmitted(1);
    let ours: Vec<_> = (0..3).map(|n| open_and_write(&mut pair, &[n; 1000])).collect();
    pair.run();
    assert_eq!(pair.listener.connection.accept(), None);
    assert_eq!(pair.listener.events.len(), 1, "{:?}", pair.listener.events);
    admit(&mut pair.listener, pair.now);
    pair.run();
    for (n, ours) in (0..3).zip(ours) {
        let (theirs, _) = pair.listener.connection.accept().unwrap();
        assert_eq!(pair.listener.read(theirs), (vec![n; 1000], false));
        assert_eq!(pair.listener.write(theirs, &[n; 10]), 10);
        pair.run();
        assert_eq!(pair.dialer.read(ours), (vec![n; 10], false));
    }
    assert_eq!(pair.listener.connection.accept(), None);
}

#[test]
fn a_refused_connection_closes_with_the_reason() {
    let mut pair = unadmitted(2);
    let reason = CloseReason::Refused(RefuseReason::TooManyConnections(192));
    let refuse = ToConnection::Refuse(RefuseReason::TooManyConnections(192));
    pair.listener.connection.handle_node(pair.now, refuse);
    pair.run();
    assert_eq!(pair.listener.closed(), Some(&reason));
    assert_node_order(&pair.listener.node);
    let last = pair.listener.node.last();
    assert!(matches!(last, Some(ToNode::Closed { reason: told, .. }) if *told == reason));
    // RESOURCE_LIMIT_EXCEEDED of libp2p's error codes.
    assert_eq!(pair.dialer.closed(), Some(&CloseReason::RemoteGoodbye { code: 0x1001 }));
    assert!(pair.listener.connection.is_closed() && pair.dialer.connection.is_closed());
}

#[test]
fn a_connection_that_nobody_admits_ends_after_ten_seconds() {
    let mut pair = unadmitted(3);
    pair.advance(Duration::from_millis(9_999));
    assert_eq!(pair.listener.closed(), None);
    pair.advance(Duration::from_millis(1));
    let reason = CloseReason::TimedOut(DeadlineReason::Admission);
    assert_eq!(pair.listener.closed(), Some(&reason));
    assert_node_order(&pair.listener.node);
}

#[test]
fn a_connection_that_nobody_admits_ends_though_the_remote_does_not_take_the_goodbye() {
    let mut pair = unadmitted(4);
    let end = &mut pair.listener.connection;
    let mut now = pair.now;
    while let Some(deadline) = end.poll_timeout() {
        assert!(deadline.at > now, "{deadline:?} at {now:?}");
        now = deadline.at;
        end.handle_timeout(now);
        while end.poll_event().is_some() {}
        // It stays refused, whatever Node says now.
        let admit = ToConnection::Admit { lease: Lease::default(), protocols: table() };
        if now >= Timestamp::from_secs(10) {
            end.handle_node(now, admit);
            assert_eq!(end.open(now, &[id(ECHO)]), Err(OpenError::NotOpen));
        }
    }
    assert!(end.is_closed());
    assert!(now <= Timestamp::from_secs(15), "{now:?}");
}

#[test]
fn nothing_can_be_opened_before_the_connection_is_admitted() {
    let mut pair = unadmitted(5);
    let end = &mut pair.listener.connection;
    assert_eq!(end.open(pair.now, &[id(ECHO)]), Err(OpenError::NotOpen));
    assert_eq!(end.perf(pair.now, 1, 1), Err(OpenError::NotOpen));
    let request = RequestId(9);
    let protocols = vec![id(FRAMES)];
    end.handle_node(pair.now, ToConnection::Open { request, protocols, max_frame_bytes: 10 });
    let failed = ToNode::OpenFailed { request, failure: OpenFailure::NotOpen };
    assert_eq!(end.poll_node(NodeRoom::Queue), Some(failed));
    admit(&mut pair.listener, pair.now);
    assert!(pair.listener.connection.open(pair.now, &[id(ECHO)]).is_ok());
}

#[test]
fn node_hears_the_end_of_every_stream_before_the_end_of_the_connection() {
    for end_of_transport in [false, true] {
        let mut pair = Pair::established(6);
        // One that is idle, one with frames that Node did not take, one that the remote finished,
        // one that we finished, one that is over, and one of which Node has not heard.
        let (_, _) = open_frames(&mut pair, 0);
        let (unread, unread_there) = open_frames(&mut pair, 1);
        let (theirs_ended, _) = open_frames(&mut pair, 2);
        let (_, ours_ended) = open_frames(&mut pair, 3);
        let (over, over_there) = open_frames(&mut pair, 4);
        pair.dialer.connection.handle_node(pair.now, ToConnection::Finish(theirs_ended));
        pair.listener.connection.handle_node(pair.now, ToConnection::Finish(ours_ended));
        pair.dialer.connection.handle_node(pair.now, ToConnection::Finish(over));
        pair.listener.connection.handle_node(pair.now, ToConnection::Finish(over_there));
        pair.run();
        let finished = StreamEnd::Finished;
        let over_there = ToNode::StreamClosed { stream: over_there, end: finished };
        assert!(pair.listener.node.contains(&over_there));
        pair.listener.room = None;
        send(&mut pair.dialer, pair.now, unread, 1000);
        send(&mut pair.dialer, pair.now, unread, 2000);
        let open = ToConnection::Open {
            request: RequestId(5),
            protocols: vec![id(FRAMES)],
            max_frame_bytes: 10,
        };
        pair.dialer.connection.handle_node(pair.now, open);
        pair.run();
        if end_of_transport {
            pair.listener.connection.handle_eof(pair.now);
            pair.dialer.connection.handle_transport_error(pair.now, TransportFailure::Reset);
        } else {
            pair.dialer.connection.close(pair.now, CloseReason::Requested);
        }
        pair.run();
        assert!(pair.listener.connection.is_closed());
        pair.listener.room = Some(NodeRoom::Queue);
        pair.run();
        for end in [&pair.dialer, &pair.listener] {
            assert_node_order(&end.node);
        }
        // What had arrived is handed over first.
        let frames = pair.listener.node.iter().filter(
            |message| matches!(message, ToNode::Frame { stream, .. } if *stream == unread_there),
        );
        assert_eq!(frames.count(), 2);
        let usage = pair.listener.node.last();
        assert!(matches!(usage, Some(ToNode::Closed { usage, .. }) if usage.received_frames == 2));
    }
}

#[test]
fn nothing_follows_the_end() {
    let mut pair = Pair::established(7);
    let (ours, _) = open_frames(&mut pair, 0);
    pair.dialer.connection.close(pair.now, CloseReason::Requested);
    pair.run();
    assert_node_order(&pair.dialer.node);
    let end = &mut pair.dialer.connection;
    let request = RequestId(1);
    let protocols = vec![id(FRAMES)];
    end.handle_node(pair.now, ToConnection::Open { request, protocols, max_frame_bytes: 1 });
    let frame = Frame::new("late");
    end.handle_node(pair.now, ToConnection::Send { stream: ours, frame });
    end.handle_node(
        pair.now,
        ToConnection::Lease(Lease {
            ping_interval: Some(Duration::from_secs(1)),
            ..Lease::default()
        }),
    );
    end.handle_node(pair.now, ToConnection::Close(CloseReason::Banned));
    for seconds in [1, 10, 100] {
        end.handle_timeout(Timestamp::from_secs(seconds));
        assert_eq!(end.poll_event(), None);
        assert_eq!(end.poll_node(NodeRoom::Queue), None);
        assert_eq!(end.poll_timeout(), None);
    }
    assert!(end.recv_buf().is_none() && end.poll_transmit(pair.now).is_none());
}

#[test]
fn frames_that_node_sends_to_a_closing_connection_lose_nothing_that_had_arrived() {
    let mut pair = Pair::established(8);
    let (ours, theirs) = open_frames(&mut pair, 0);
    pair.listener.room = None;
    send(&mut pair.dialer, pair.now, ours, 1000);
    pair.run();
    pair.dialer.connection.close(pair.now, CloseReason::Requested);
    pair.run();
    assert!(pair.listener.connection.is_closed());
    send(&mut pair.listener, pair.now, theirs, 10);
    pair.listener.room = Some(NodeRoom::Queue);
    pair.run();
    assert_node_order(&pair.listener.node);
    let frame = |m: &&ToNode| matches!(m, ToNode::Frame { stream, .. } if *stream == theirs);
    assert_eq!(pair.listener.node.iter().filter(frame).count(), 1, "{:?}", pair.listener.node);
    let closed = ToNode::StreamClosed { stream: theirs, end: StreamEnd::ConnectionClosed };
    assert!(pair.listener.node.contains(&closed), "{:?}", pair.listener.node);
}

#[test]
fn what_had_arrived_can_be_read_when_the_connection_is_over() {
    let mut pair = Pair::established(9);
    let (ours, theirs) = pair.open_echo();
    assert_eq!(pair.dialer.write(ours, &[5; 100_000]), 100_000);
    let second = open_and_write(&mut pair, b"not even taken");
    pair.dialer.connection.stream(second).finish().unwrap();
    pair.run();
    pair.dialer.connection.close(pair.now, CloseReason::Requested);
    pair.run();
    assert_eq!(pair.listener.closed(), Some(&CloseReason::RemoteGoodbye { code: 0 }));
    let mut read = 0;
    let error = loop {
        match pair.listener.connection.stream(theirs).read(usize::MAX) {
            Ok(bytes) => read += bytes.len(),
            Err(error) => break error,
        }
    };
    assert_eq!((read, error), (100_000, ReadError::ConnectionClosed));
    let (theirs, _) = pair.listener.connection.accept().unwrap();
    assert_eq!(pair.listener.read(theirs), (b"not even taken".to_vec(), true));
}

#[test]
fn a_protocol_that_is_taken_from_the_table_ends_no_stream_that_is_open() {
    let mut pair = Pair::established(10);
    let (ours, theirs) = pair.open_echo();
    let (frames, frames_there) = open_frames(&mut pair, 0);
    let protocols = table().without(ECHO).without(FRAMES);
    pair.listener.connection.handle_node(pair.now, ToConnection::Protocols(protocols));
    assert_eq!(pair.dialer.write(ours, b"still"), 5);
    send(&mut pair.dialer, pair.now, frames, 3);
    let refused = open_and_write(&mut pair, b"new");
    pair.run();
    assert_eq!(pair.listener.read(theirs), (b"still".to_vec(), false));
    let frame = ToNode::Frame { stream: frames_there, frame: vec![7; 3].into() };
    assert_eq!(pair.listener.node.last(), Some(&frame));
    let failed =
        ConnectionEvent::OpenFailed { stream: refused, failure: OpenFailure::UnsupportedProtocol };
    assert_eq!(pair.dialer.events.last(), Some(&failed));
    pair.listener.connection.handle_node(pair.now, ToConnection::Protocols(table()));
    pair.open_echo();
}

#[test]
fn one_stream_more_than_its_protocol_allows_is_reset() {
    let mut pair = Pair::new(11);
    let protocols = table().with(id(ECHO), Owner::Application, 2);
    pair.listener.admit = Some((Lease::default(), protocols));
    pair.run();
    let (first, theirs) = pair.open_echo();
    pair.open_echo();
    let third = open_and_write(&mut pair, b"one too many");
    pair.run();
    assert_eq!(pair.listener.connection.accept(), None);
    let failed = ConnectionEvent::OpenFailed { stream: third, failure: OpenFailure::Ended };
    assert_eq!(pair.dialer.events.last(), Some(&failed));
    assert_eq!(pair.listener.connection.usage().refused_streams, 1);
    // Other protocols are not meant, and room comes back.
    open_frames(&mut pair, 0);
    pair.dialer.connection.stream(first).reset(0);
    pair.run();
    assert_eq!(pair.listener.connection.stream(theirs).read(1), Err(ReadError::UnknownStream));
    pair.open_echo();
}

#[test]
fn the_remote_opens_streams_no_faster_than_its_lease_says() {
    let mut pair = Pair::new(12);
    let inbound_rate = Some(StreamRate { per_second: 2, burst: 3 });
    pair.listener.admit = Some((Lease { inbound_rate, ..Lease::default() }, table()));
    pair.run();
    let mut admitted = Vec::new();
    for _ in 0..4 {
        for _ in 0..10 {
            let stream = open_and_write(&mut pair, b"hello");
            pair.run();
            pair.dialer.connection.stream(stream).reset(0);
        }
        pair.run();
        admitted.push(pair.listener.events.len());
        pair.advance(Duration::from_secs(1));
    }
    let inbound = |event: &&ConnectionEvent| matches!(event, ConnectionEvent::Inbound { .. });
    let all = pair.listener.events.iter().filter(inbound).count();
    // 3 at once, then 2 a second.
    assert_eq!(all, 3 + 2 + 2 + 2, "{admitted:?}");
    let usage = pair.listener.connection.usage();
    assert_eq!((usage.inbound_streams, usage.refused_streams), (40, 31));
}

#[test]
fn the_remote_has_no_more_streams_open_than_its_lease_says() {
    let mut pair = Pair::new(13);
    pair.listener.admit = Some((Lease { inbound_streams: 5, ..Lease::default() }, table()));
    pair.run();
    for _ in 0..8 {
        open_and_write(&mut pair, b"hello");
    }
    pair.run();
    assert_eq!(core::iter::from_fn(|| pair.listener.connection.accept()).count(), 5);
    let failed = |event: &&ConnectionEvent| matches!(event, ConnectionEvent::OpenFailed { .. });
    assert_eq!(pair.dialer.events.iter().filter(failed).count(), 3);
}

#[test]
fn a_remote_that_proposes_a_byte_a_second_loses_its_stream_after_ten_seconds() {
    let (mut remote, mut end) = Remote::dialing(14);
    let stream = remote.mux.open().unwrap();
    for (second, byte) in (0..).zip(proposal(ECHO)) {
        let now = Timestamp::from_secs(second);
        end.connection.handle_timeout(now);
        if second >= 10 {
            remote.exchange(&mut end, now);
            let reset = remote.mux.write(stream, &[byte]);
            assert!(reset.is_err(), "open at {second} s");
            assert_eq!(end.connection.usage().refused_streams, 1);
            assert!(!end.connection.is_closed());
            return;
        }
        assert_eq!(remote.mux.write(stream, &[byte]), Ok(1), "at {second} s");
        remote.exchange(&mut end, now);
    }
    panic!("the proposal was taken");
}

#[test]
fn a_remote_that_answers_a_byte_a_second_loses_our_stream_after_ten_seconds() {
    for (request, silent) in [(None, true), (None, false), (Some(RequestId(3)), false)] {
        let (mut remote, mut end) = Remote::listening(15);
        match request {
            None => {
                let stream = end.connection.open(Timestamp::ZERO, &[id(ECHO)]).unwrap();
                end.write(stream, b"hello");
            }
            Some(request) => {
                let protocols = vec![id(ECHO), id(FRAMES)];
                let open = ToConnection::Open { request, protocols, max_frame_bytes: 10 };
                end.connection.handle_node(Timestamp::ZERO, open);
            }
        }
        remote.exchange(&mut end, Timestamp::ZERO);
        let stream = remote.mux.accept().unwrap();
        for (second, byte) in (0..=10).zip(proposal(ECHO)) {
            let now = Timestamp::from_secs(second);
            if !silent {
                remote.mux.write(stream, &[byte]).unwrap();
            }
            end.connection.handle_timeout(now);
            remote.exchange(&mut end, now);
            let failure = OpenFailure::TimedOut;
            let failed = match request {
                None => matches!(
                    end.events.last(),
                    Some(ConnectionEvent::OpenFailed { failure: told, .. }) if *told == failure
                ),
                Some(request) => end.node.last() == Some(&ToNode::OpenFailed { request, failure }),
            };
            assert_eq!(failed, second == 10, "at {second} s");
        }
    }
}
