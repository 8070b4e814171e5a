//! Memory and leases: the receive budget, stalls, windows, usage, pings.

mod common;

use std::time::Duration;

use common::*;
use sanspeer_core::connection::ConnectionEvent;
use sanspeer_core::mailbox::{
    Lease, PingFailure, ProtocolTable, StreamEnd, ToConnection, ToNode, Usage,
};
use sanspeer_core::mux::{Mux, ReadError, StreamId};
use sanspeer_core::time::Timestamp;

const MIB: u64 = 1 << 20;
const WINDOW: u64 = 256 << 10;
/// What is read behind a proposal is kept besides, at most so much for each stream.
const BEHIND_PROPOSAL: u64 = 256;

/// Lets time pass for an end and its remote.
fn pass(remote: &mut Remote, end: &mut End, now: &mut Timestamp, duration: Duration) {
    let until = now.saturating_add(duration);
    loop {
        remote.exchange(end, *now);
        let next = [end.connection.poll_timeout(), remote.mux.poll_timeout()];
        let Some(at) = next.iter().flatten().map(|deadline| deadline.at).min() else { break };
        if at > until {
            break;
        }
        *now = (*now).max(at);
        end.connection.handle_timeout(*now);
        end.poll(*now);
        remote.mux.handle_timeout(*now);
    }
    *now = until;
    remote.exchange(end, *now);
}

/// Writes as much as goes.
fn stuff(remote: &mut Remote, stream: StreamId, end: &mut End, bytes: usize) {
    let data = vec![9; bytes];
    let mut written = 0;
    while written < bytes {
        match remote.mux.write(stream, &data[written..]) {
            Ok(n) => written += n,
            Err(_) if remote.wire.is_empty() => remote.exchange(end, Timestamp::ZERO),
            Err(_) => return,
        }
    }
    remote.exchange(end, Timestamp::ZERO);
}

fn stalled(end: &End) -> Vec<StreamId> {
    let stalled = |event: &ConnectionEvent| {
        if let ConnectionEvent::Ended { stream, end: StreamEnd::ReceiveStall } = event {
            Some(*stream)
        } else {
            None
        }
    };
    end.events.iter().filter_map(stalled).collect()
}

#[test]
fn yamux_stall_256_streams_that_nobody_reads_hold_a_mebibyte_for_ten_seconds() {
    let (mut remote, mut end) = Remote::dialing(1);
    let mut now = Timestamp::ZERO;
    // The application holds one, which has nothing to do with it.
    let held = remote.mux.open().unwrap();
    remote.mux.write(held, &proposal(ECHO)).unwrap();
    remote.exchange(&mut end, now);
    assert_eq!(end.connection.accept(), Some((held, id(ECHO))));
    let streams: Vec<_> = (0..255).map(|_| remote.mux.open().unwrap()).collect();
    for stream in &streams {
        let _ = remote.mux.write(*stream, &proposal(ECHO));
        remote.exchange(&mut end, now);
    }
    for stream in &streams {
        stuff(&mut remote, *stream, &mut end, 250_000);
    }
    remote.exchange(&mut end, now);
    let budget = MIB + WINDOW + end.connection.window_use().leased_bytes;
    let unread = end.connection.window_use().unread_bytes;
    assert!(unread <= budget, "{unread}");
    assert!(unread > budget - 70_000, "the streams were not filled: {unread}");
    assert!(end.connection.recv_buf().is_none());
    assert!(!remote.wire.is_empty());

    pass(&mut remote, &mut end, &mut now, Duration::from_millis(9_999));
    assert_eq!(stalled(&end), []);
    pass(&mut remote, &mut end, &mut now, Duration::from_millis(1));
    let reset = stalled(&end);
    assert!(!reset.is_empty());
    assert_eq!(reset, streams[..reset.len()], "oldest first");
    for stream in &reset {
        assert_eq!(end.connection.stream(*stream).read(1), Err(ReadError::UnknownStream));
    }
    assert!(end.connection.window_use().unread_bytes <= budget);

    // What the application holds goes on, however many rounds that takes.
    for _ in 0..60 {
        pass(&mut remote, &mut end, &mut now, Duration::from_secs(10));
    }
    assert!(remote.wire.is_empty(), "{} bytes wait", remote.wire.len());
    assert_eq!(remote.mux.write(held, b"still here"), Ok(10));
    remote.exchange(&mut end, now);
    assert_eq!(end.read(held), (b"still here".to_vec(), false));
    assert!(!end.connection.is_closed());
    let reset = stalled(&end);
    assert!(reset.is_sorted() && !reset.contains(&held));
}

#[test]
fn streams_that_the_application_holds_bring_their_windows_and_are_never_reset() {
    let mut pair = Pair::established(2);
    let streams: Vec<_> = (0..12).map(|_| pair.open_echo()).collect();
    let (reader, reader_there) = pair.open_echo();
    for (ours, _) in &streams {
        let mut written = 0;
        while written < 262_000 {
            let n = pair.dialer.write(*ours, &vec![1; 262_000 - written]);
            written += n;
            pair.run();
        }
    }
    let unread = pair.listener.connection.window_use().unread_bytes;
    assert!(unread >= 12 * WINDOW, "{unread}");
    assert!(unread <= MIB + 13 * WINDOW, "{unread}");
    // All of them are full and unread, and the other one flows.
    let mut received = 0;
    for _ in 0..30 {
        assert!(pair.dialer.write(reader, &[2; 50_000]) > 0, "no way through at {received}");
        pair.run();
        received += pair.listener.read(reader_there).0.len();
        pair.run();
    }
    assert_eq!(received, 1_500_000);
    pair.advance(Duration::from_secs(60));
    assert_eq!(stalled(&pair.listener), []);
    for (_, theirs) in &streams {
        assert_eq!(pair.listener.read(*theirs).0.len(), 262_000);
    }
}

/// Moves so many bytes through a stream.
fn bulk(pair: &mut Pair, (ours, theirs): (StreamId, StreamId), bytes: usize) {
    let data = vec![4; 64 * 1024];
    let mut received = 0;
    let mut written = 0;
    while received < bytes {
        let n = data.len().min(bytes - written);
        written += pair.dialer.write(ours, &data[..n]);
        pair.run();
        let (read, _) = pair.listener.read(theirs);
        assert!(read.iter().all(|byte| *byte == 4));
        received += read.len();
        pair.run();
    }
}

fn lease_requests(end: &End) -> Vec<u64> {
    let request = |message: &ToNode| {
        if let ToNode::LeaseRequest { window_bytes } = message { Some(*window_bytes) } else { None }
    };
    end.node.iter().filter_map(request).collect()
}

#[test]
fn window_lease_is_asked_for_by_doubling_and_returned_when_it_is_not_used() {
    let mut pair = Pair::established(3);
    let streams = pair.open_echo();
    bulk(&mut pair, streams, 20_000_000);
    assert_eq!(lease_requests(&pair.listener), [2 * MIB]);
    let leased = pair.listener.connection.window_use().leased_bytes;
    assert!(leased > MIB / 2 && leased <= MIB, "{leased}");

    // Node has no more to give: the question is not asked again before there is a new cause.
    let now = pair.now;
    pair.listener.connection.handle_node(now, ToConnection::Lease(Lease::default()));
    for _ in 0..100 {
        pair.run();
    }
    assert_eq!(lease_requests(&pair.listener), [2 * MIB]);

    let lease = Lease { window_bytes: 2 * MIB, ..Lease::default() };
    pair.listener.connection.handle_node(now, ToConnection::Lease(lease));
    bulk(&mut pair, streams, 40_000_000);
    assert_eq!(lease_requests(&pair.listener), [2 * MIB, 4 * MIB]);
    let leased = pair.listener.connection.window_use().leased_bytes;
    assert!(leased > MIB && leased <= 2 * MIB, "{leased}");

    let returned = |end: &End| {
        end.node.iter().any(
            |message| matches!(message, ToNode::LeaseReturn { window_bytes } if *window_bytes == MIB),
        )
    };
    pair.dialer.connection.stream(streams.0).reset(0);
    pair.run();
    assert_eq!(pair.listener.connection.window_use().leased_bytes, 0);
    pair.advance(Duration::from_millis(9_000));
    assert!(!returned(&pair.listener));
    pair.advance(Duration::from_secs(2));
    assert!(returned(&pair.listener), "{:?}", pair.listener.node);
}

#[test]
fn an_idle_connection_holds_no_buffer() {
    for secured in SECURED {
        let mut pair = Pair::established_over(4, secured);
        let streams = pair.open_echo();
        bulk(&mut pair, streams, 2_000_000);
        assert!(pair.listener.connection.buffer_bytes().0 > 0);
        assert!(pair.dialer.connection.buffer_bytes().1 > 0);
        pair.advance(Duration::from_secs(3));
        for end in [&pair.dialer, &pair.listener] {
            assert_eq!(end.connection.buffer_bytes(), (0, 0));
            assert_eq!(end.connection.window_use().unread_bytes, 0);
        }
        bulk(&mut pair, streams, 100_000);
    }
}

#[test]
fn totals_count_what_went_through() {
    let mut pair = Pair::established(5);
    let streams = pair.open_echo();
    bulk(&mut pair, streams, 1_000_000);
    pair.advance(Duration::from_secs(2));
    bulk(&mut pair, streams, 1_000);
    let [dialer, listener] = [&pair.dialer, &pair.listener].map(|end| end.connection.usage());
    assert_eq!(dialer.sent_bytes, listener.received_bytes);
    assert_eq!(dialer.received_bytes, listener.sent_bytes);
    assert_eq!((dialer.written_bytes, listener.read_bytes), (1_001_000, 1_001_000));
    assert!(dialer.sent_bytes > 1_001_000 && dialer.sent_bytes < 1_030_000, "{dialer:?}");
    assert_eq!((dialer.outbound_streams, dialer.inbound_streams), (1, 0));
    assert_eq!((listener.outbound_streams, listener.inbound_streams), (0, 1));
    let told: Vec<Usage> = pair
        .listener
        .node
        .iter()
        .filter_map(|message| if let ToNode::Usage(usage) = message { Some(*usage) } else { None })
        .collect();
    assert!(!told.is_empty() && told.len() < 5, "{told:?}");
    assert!(told.is_sorted_by_key(|usage| usage.received_bytes));
}

/// A pair whose dialer asks pings.
fn pinging(seed: u64, listener: ProtocolTable) -> Pair {
    let mut pair = Pair::new(seed);
    let ping_interval = Some(Duration::from_secs(5));
    pair.dialer.admit = Some((Lease { ping_interval, ..Lease::default() }, table()));
    pair.listener.admit = Some((Lease::default(), listener));
    pair.run();
    pair
}

fn pings(end: &End) -> Vec<Result<Duration, PingFailure>> {
    let mut pings = Vec::new();
    for message in &end.node {
        if let ToNode::Rtt(rtt) = message {
            pings.push(Ok(*rtt));
        }
        if let ToNode::PingFailed(failure) = message {
            pings.push(Err(*failure));
        }
    }
    pings
}

#[test]
fn pings_are_asked_as_often_as_the_lease_says() {
    let mut pair = pinging(6, table());
    pair.advance(Duration::from_secs(21));
    assert_eq!(pings(&pair.dialer), [Ok(Duration::ZERO); 5]);
    assert_eq!(pings(&pair.listener), []);
    // One stream serves them all.
    assert_eq!(pair.dialer.connection.usage().outbound_streams, 1);
    let never = ToConnection::Lease(Lease::default());
    pair.dialer.connection.handle_node(pair.now, never);
    pair.advance(Duration::from_secs(60));
    assert_eq!(pings(&pair.dialer).len(), 5);
}

#[test]
fn the_round_trip_is_the_time_until_the_answer() {
    let mut pair = pinging(7, table());
    pair.advance(Duration::from_secs(4));
    pair.now = pair.now.saturating_add(Duration::from_secs(1));
    pair.dialer.connection.handle_timeout(pair.now);
    pair.dialer.poll(pair.now);
    pair.dialer.transmit(pair.now);
    pair.now = pair.now.saturating_add(Duration::from_millis(150));
    pair.run();
    assert_eq!(pings(&pair.dialer), [Ok(Duration::ZERO), Ok(Duration::from_millis(150))]);
}

#[test]
fn a_remote_that_does_not_speak_ping_is_asked_once() {
    let mut pair = pinging(8, table().without("/ipfs/ping/1.0.0"));
    pair.advance(Duration::from_secs(60));
    assert_eq!(pings(&pair.dialer), [Err(PingFailure::Unsupported)]);
    let ping_interval = Some(Duration::from_secs(1));
    let lease = Lease { ping_interval, ..Lease::default() };
    pair.dialer.connection.handle_node(pair.now, ToConnection::Lease(lease));
    pair.advance(Duration::from_secs(60));
    assert_eq!(pings(&pair.dialer).len(), 1);
    assert_eq!(pair.dialer.closed(), None);
}

#[test]
fn a_ping_that_is_not_answered_fails_after_twenty_seconds_and_is_asked_again() {
    let (mut remote, mut end) = Remote::listening(9);
    let mut now = Timestamp::ZERO;
    let ping_interval = Some(Duration::from_secs(30));
    let lease = Lease { ping_interval, ..Lease::default() };
    end.connection.handle_node(now, ToConnection::Lease(lease));
    pass(&mut remote, &mut end, &mut now, Duration::ZERO);
    let stream = remote.mux.accept().unwrap();
    remote.mux.write(stream, &proposal("/ipfs/ping/1.0.0")).unwrap();
    pass(&mut remote, &mut end, &mut now, Duration::from_millis(19_999));
    assert_eq!(pings(&end), []);
    pass(&mut remote, &mut end, &mut now, Duration::from_millis(1));
    assert_eq!(pings(&end), [Err(PingFailure::TimedOut)]);
    assert!(remote.mux.write(stream, &[0; 32]).is_err());
    // The next one, with the wrong answer.
    pass(&mut remote, &mut end, &mut now, Duration::from_secs(30));
    let stream = remote.mux.accept().unwrap();
    remote.mux.write(stream, &proposal("/ipfs/ping/1.0.0")).unwrap();
    remote.mux.write(stream, &[0; 32]).unwrap();
    pass(&mut remote, &mut end, &mut now, Duration::ZERO);
    assert_eq!(pings(&end), [Err(PingFailure::TimedOut), Err(PingFailure::WrongAnswer)]);
    assert!(!end.connection.is_closed());
}

#[test]
fn the_remote_has_two_ping_streams_and_no_more() {
    let (mut remote, mut end) = Remote::dialing(10);
    let now = Timestamp::ZERO;
    let streams: Vec<_> = (0..3).map(|_| remote.mux.open().unwrap()).collect();
    for stream in &streams {
        let opening = [proposal("/ipfs/ping/1.0.0"), vec![7; 32 + 10]].concat();
        remote.mux.write(*stream, &opening).unwrap();
        remote.exchange(&mut end, now);
    }
    for stream in &streams[..2] {
        // One answer; the second question is not whole.
        let expected = [proposal("/ipfs/ping/1.0.0"), vec![7; 32]].concat();
        let mut answer = Vec::new();
        while let Ok(bytes) = remote.mux.read(*stream, usize::MAX) {
            answer.extend_from_slice(&bytes);
        }
        assert_eq!(answer, expected);
    }
    assert!(remote.mux.write(streams[2], &[7; 32]).is_err());
    // When one ends, another may begin.
    remote.mux.finish(streams[0]).unwrap();
    remote.exchange(&mut end, now);
    assert!(matches!(remote.mux.read(streams[0], 1), Ok(end) if end.is_empty()));
    let stream = remote.mux.open().unwrap();
    let opening = [proposal("/ipfs/ping/1.0.0"), vec![8; 32]].concat();
    remote.mux.write(stream, &opening).unwrap();
    remote.exchange(&mut end, now);
    assert!(remote.mux.read(stream, usize::MAX).is_ok());
}

#[test]
fn a_remote_that_asks_pings_and_takes_no_answers_is_not_read_for_ever() {
    let (mut remote, mut end) = Remote::dialing(11);
    let now = Timestamp::ZERO;
    let stream = remote.mux.open().unwrap();
    remote.mux.write(stream, &proposal("/ipfs/ping/1.0.0")).unwrap();
    let mut asked = 0;
    for _ in 0..1000 {
        let Ok(n) = remote.mux.write(stream, &[7; 32 * 100]) else { break };
        asked += n;
        remote.exchange(&mut end, now);
    }
    // The answers' window and the questions', as far as that has grown.
    assert!(asked as u64 <= 3 * WINDOW, "{asked}");
    assert!(end.connection.window_use().unread_bytes <= MIB);
}

#[test]
fn a_measurement_is_refused_where_the_table_does_not_offer_it() {
    let mut pair = Pair::new(12);
    pair.listener.admit = Some((Lease::default(), ProtocolTable::new()));
    pair.run();
    let stream = pair.dialer.connection.perf(pair.now, 10, 10).unwrap();
    pair.run();
    let Some(ConnectionEvent::Perf(report)) = pair.dialer.events.last() else {
        panic!("no report: {:?}", pair.dialer.events);
    };
    assert_eq!((report.stream, report.complete, report.downloaded_bytes), (stream, false, 0));
    assert_eq!(pair.listener.connection.usage().refused_streams, 1);
}

#[test]
fn what_is_kept_of_unread_streams_is_within_the_budget_in_bytes_of_capacity() {
    // Small pieces, each in a frame of its own: what holds them must be counted.
    let (mut remote, mut end) = Remote::dialing(13);
    let now = Timestamp::ZERO;
    let streams: Vec<_> = (0..250).map(|_| remote.mux.open().unwrap()).collect();
    for stream in &streams {
        remote.mux.write(*stream, &proposal(ECHO)).unwrap();
    }
    for _ in 0..60 {
        for stream in &streams {
            let _ = remote.mux.write(*stream, &[1; 100]);
        }
        remote.exchange(&mut end, now);
    }
    let unread: u64 = end.connection.window_use().unread_bytes;
    assert!(unread <= MIB, "{unread}");
    assert!(unread >= 250 * (60 * 100 - BEHIND_PROPOSAL) / 2, "{unread}");
}
