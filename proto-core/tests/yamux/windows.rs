//! Flow control: what may be sent, when more is granted, and what is leased for it.

use std::time::Duration;

use sanspeer_core::mux::{MuxEvent, MuxLimits, Role, StreamId, WriteError};
use sanspeer_core::time::{DeadlineReason, Timestamp};
use sanspeer_core::yamux::header::{Flags, FrameType};
use sanspeer_core::yamux::{INITIAL_WINDOW_BYTES, YamuxConfig, YamuxError};

use crate::side::{Frame, Side, bare, connected, exchange};

const WINDOW: usize = INITIAL_WINDOW_BYTES as usize;
const RTT: Duration = Duration::from_millis(100);

/// A listener with a stream of the remote's that it has taken.
fn receiver(limits: MuxLimits) -> (Side, StreamId) {
    let mut side = Side::with(Role::Listener, YamuxConfig::default(), limits);
    side.frame(FrameType::WindowUpdate, Flags::SYN, 1, 0).expect("a stream");
    let id = side.accept();
    side.frames();
    (side, id)
}

/// What was granted to stream 1 in these frames.
fn granted(frames: &[Frame]) -> u32 {
    frames
        .iter()
        .filter(|frame| frame.header.kind == FrameType::WindowUpdate && frame.header.stream == 1)
        .map(|frame| frame.header.length)
        .sum()
}

/// Receives and reads so much, and returns what is granted for it.
fn pass(side: &mut Side, id: StreamId, bytes: usize) -> u32 {
    side.data(Flags::NONE, 1, &vec![0; bytes]).expect("window for it");
    assert_eq!(side.read_all(id), (vec![0; bytes], false));
    granted(&side.frames())
}

/// Lets the session measure a round trip of [`RTT`]: its first grant asks for it.
fn measure(side: &mut Side, id: StreamId) {
    side.data(Flags::NONE, 1, &vec![0; WINDOW / 2]).expect("window for it");
    side.read_all(id);
    let frames = side.frames();
    assert_eq!(granted(&frames), INITIAL_WINDOW_BYTES / 2);
    assert!(frames.contains(&bare(FrameType::Ping, Flags::SYN, 0, 1)));
    side.advance(RTT).expect("no timeout");
    side.frame(FrameType::Ping, Flags::ACK, 0, 1).expect("the answer");
    assert_eq!(side.session.rtt(), Some(RTT));
}

#[test]
fn no_more_is_sent_than_was_granted() {
    let (mut a, mut b, id) = connected();
    let mut sent = 1;
    while let Ok(n) = a.write(id, &[7; 60_000]) {
        sent += n;
        let wire = a.transmit_all();
        b.receive(&wire).unwrap();
    }
    assert_eq!(sent, WINDOW);
    assert_eq!(a.write(id, b"x"), Err(WriteError::Blocked));
    a.events();
    // A grant of nothing wakes nobody.
    a.frame(FrameType::WindowUpdate, Flags::NONE, 1, 0).unwrap();
    assert!(a.events().is_empty());
    a.frame(FrameType::WindowUpdate, Flags::NONE, 1, 5).unwrap();
    assert_eq!(a.events(), [MuxEvent::Writable(id)]);
    assert_eq!(a.write(id, b"123456789"), Ok(5));
    assert_eq!(a.write(id, b"6789"), Err(WriteError::Blocked));
}

#[test]
fn a_frame_larger_than_what_is_left_of_the_window_ends_the_session() {
    let (mut side, _) = receiver(MuxLimits::default());
    side.data(Flags::NONE, 1, &vec![0; WINDOW - 10]).unwrap();
    let error = side.frame(FrameType::Data, Flags::NONE, 1, 11);
    assert_eq!(error, Err(YamuxError::WindowExceeded { stream: 1, granted: 10, length: 11 }));
}

#[test]
fn unread_data_withholds_the_window() {
    let (mut side, id) = receiver(MuxLimits::default());
    side.data(Flags::NONE, 1, &vec![0; WINDOW]).unwrap();
    assert!(side.frames().is_empty());
    side.session.read(id, WINDOW / 2 - 1).unwrap();
    assert_eq!(granted(&side.frames()), 0, "less than half of it is not worth a frame");
    side.session.read(id, 1).unwrap();
    assert_eq!(granted(&side.frames()), INITIAL_WINDOW_BYTES / 2);
    side.read_all(id);
    assert_eq!(granted(&side.frames()), INITIAL_WINDOW_BYTES / 2);
}

#[test]
fn a_window_that_was_granted_from_the_start_counts() {
    let mut side = Side::new(Role::Listener);
    side.frame(FrameType::WindowUpdate, Flags::SYN, 1, 1000).unwrap();
    let id = side.accept();
    let mut written = 0;
    while let Ok(n) = side.write(id, &[0; 10_000]) {
        written += n;
        side.frames();
    }
    assert_eq!(written, WINDOW + 1000);
}

#[test]
fn what_of_a_frame_is_still_on_its_way_is_not_granted_again() {
    let (mut side, id) = receiver(MuxLimits { window_lease_bytes: 0, ..MuxLimits::default() });
    side.data(Flags::NONE, 1, &vec![0; WINDOW / 2]).unwrap();
    // The header of the other half has come, its payload has not.
    side.frame(FrameType::Data, Flags::NONE, 1, INITIAL_WINDOW_BYTES / 2).unwrap();
    side.read_all(id);
    assert_eq!(granted(&side.frames()), INITIAL_WINDOW_BYTES / 2, "no more than was read");
    side.receive(&vec![0; WINDOW / 2]).unwrap();
    let error = side.frame(FrameType::Data, Flags::NONE, 1, INITIAL_WINDOW_BYTES / 2 + 1);
    assert!(matches!(error, Err(YamuxError::WindowExceeded { .. })), "{error:?}");
}

#[test]
fn a_window_doubles_when_half_of_it_is_used_within_two_round_trips() {
    let (mut side, id) = receiver(MuxLimits::default());
    measure(&mut side, id);
    side.advance(RTT).unwrap();
    // Exactly two round trips since the last grant: 128 KiB for what was read, 256 KiB for growth.
    assert_eq!(pass(&mut side, id, WINDOW / 2), INITIAL_WINDOW_BYTES * 3 / 2);
    assert_eq!(side.session.window_use().leased_bytes, WINDOW as u64);
    // Half of 512 KiB.
    side.advance(RTT).unwrap();
    assert_eq!(pass(&mut side, id, WINDOW - 1), 0);
    assert_eq!(pass(&mut side, id, 1), INITIAL_WINDOW_BYTES * 3);
    assert_eq!(side.session.window_use().leased_bytes, 3 * WINDOW as u64);
    assert!(!side.session.window_use().wants_lease);
}

#[test]
fn a_window_stays_when_half_of_it_lasts_longer_than_two_round_trips() {
    let (mut side, id) = receiver(MuxLimits::default());
    measure(&mut side, id);
    for _ in 0..4 {
        side.advance(2 * RTT + Duration::from_nanos(1)).unwrap();
        assert_eq!(pass(&mut side, id, WINDOW / 2), INITIAL_WINDOW_BYTES / 2);
    }
    let usage = side.session.window_use();
    assert_eq!((usage.leased_bytes, usage.wants_lease), (0, false));
}

#[test]
fn a_window_stays_while_no_round_trip_was_measured() {
    let (mut side, id) = receiver(MuxLimits::default());
    for _ in 0..4 {
        assert_eq!(pass(&mut side, id, WINDOW / 2), INITIAL_WINDOW_BYTES / 2);
    }
    assert_eq!(side.session.window_use().leased_bytes, 0);
}

#[test]
fn a_window_that_finds_no_lease_stays_and_says_so_until_there_are_new_limits() {
    let limits = MuxLimits { window_lease_bytes: 1000, ..MuxLimits::default() };
    let (mut side, id) = receiver(limits);
    measure(&mut side, id);
    assert_eq!(pass(&mut side, id, WINDOW / 2), INITIAL_WINDOW_BYTES / 2 + 1000);
    let usage = side.session.window_use();
    assert_eq!((usage.leased_bytes, usage.wants_lease), (1000, true));
    side.session.set_limits(MuxLimits { window_lease_bytes: 1024 * 1024, ..limits });
    assert!(!side.session.window_use().wants_lease);
    let read = WINDOW / 2 + 500;
    assert_eq!(
        pass(&mut side, id, read),
        u32::try_from(read).unwrap() + INITIAL_WINDOW_BYTES + 1000,
        "what was read, and another 262,144 + 1,000 bytes"
    );
    assert!(!side.session.window_use().wants_lease);
}

#[test]
fn a_window_does_not_grow_beyond_its_maximum() {
    let limits = MuxLimits { max_stream_window_bytes: 300_000, ..MuxLimits::default() };
    let (mut side, id) = receiver(limits);
    measure(&mut side, id);
    for _ in 0..4 {
        pass(&mut side, id, 150_000);
    }
    let usage = side.session.window_use();
    assert_eq!(usage.leased_bytes, 300_000 - u64::from(INITIAL_WINDOW_BYTES));
    assert!(!usage.wants_lease, "it is not the lease that is missing");
}

#[test]
fn the_lease_is_shared_by_all_streams_and_returned_when_they_end() {
    let limits = MuxLimits { window_lease_bytes: WINDOW as u64 * 3 / 2, ..MuxLimits::default() };
    let (mut side, first) = receiver(limits);
    measure(&mut side, first);
    side.frame(FrameType::WindowUpdate, Flags::SYN, 3, 0).unwrap();
    let second = side.accept();
    pass(&mut side, first, WINDOW / 2);
    side.data(Flags::NONE, 3, &vec![0; WINDOW / 2]).unwrap();
    side.read_all(second);
    let usage = side.session.window_use();
    assert_eq!((usage.leased_bytes, usage.wants_lease), (WINDOW as u64 * 3 / 2, true));
    side.session.reset(second, 0).unwrap();
    assert_eq!(side.session.window_use().leased_bytes, WINDOW as u64);
    side.frame(FrameType::WindowUpdate, Flags::RST, 1, 0).unwrap();
    assert_eq!(side.session.window_use().leased_bytes, 0);
    assert_eq!(side.session.stream_count(), 0);
}

#[test]
fn the_lease_of_a_stream_that_the_remote_finished_is_returned_as_it_is_read() {
    let (mut side, id) = receiver(MuxLimits::default());
    measure(&mut side, id);
    pass(&mut side, id, WINDOW / 2);
    assert_eq!(side.session.window_use().leased_bytes, WINDOW as u64);
    side.data(Flags::FIN, 1, &vec![0; WINDOW + 1000]).unwrap();
    assert_eq!(side.session.window_use().leased_bytes, 1000, "the rest cannot be used any more");
    side.session.read(id, 1000).unwrap();
    assert_eq!(side.session.window_use().leased_bytes, 0);
}

#[test]
fn an_idle_window_shrinks_after_ten_seconds_and_its_lease_follows_as_credit_is_used_up() {
    let (mut side, id) = receiver(MuxLimits::default());
    measure(&mut side, id);
    pass(&mut side, id, WINDOW / 2);
    let received_at = side.now;
    let deadline = side.session.poll_timeout().unwrap();
    assert_eq!(deadline.at, received_at.saturating_add(Duration::from_secs(10)));
    assert_eq!(deadline.reason, DeadlineReason::Idle);
    side.advance(Duration::from_nanos(9_999_999_999)).unwrap();
    assert_eq!(side.session.poll_timeout().unwrap().reason, DeadlineReason::Idle);
    side.advance(Duration::from_nanos(1)).unwrap();
    assert_ne!(side.session.poll_timeout().unwrap().reason, DeadlineReason::Idle);
    // 512 KiB are granted and cannot be taken back; as they are used, they are not renewed.
    assert_eq!(side.session.window_use().leased_bytes, WINDOW as u64);
    assert_eq!(pass(&mut side, id, 100_000), 0);
    assert_eq!(side.session.window_use().leased_bytes, WINDOW as u64 - 100_000);
    assert_eq!(pass(&mut side, id, WINDOW - 100_000), 0);
    assert_eq!(side.session.window_use().leased_bytes, 0);
    // And from here on it is as at first.
    side.advance(Duration::from_secs(1)).unwrap();
    assert_eq!(pass(&mut side, id, WINDOW / 2), INITIAL_WINDOW_BYTES / 2);
}

#[test]
fn a_window_in_use_does_not_shrink() {
    let (mut side, id) = receiver(MuxLimits::default());
    measure(&mut side, id);
    pass(&mut side, id, WINDOW / 2);
    for _ in 0..5 {
        side.advance(Duration::from_secs(6)).unwrap();
        side.frames();
        pass(&mut side, id, 1000);
    }
    assert_eq!(side.session.window_use().leased_bytes, WINDOW as u64);
    assert_eq!(side.session.poll_timeout().unwrap().reason, DeadlineReason::Idle);
}

#[test]
fn the_round_trip_is_measured_anew_while_windows_are_granted() {
    let (mut side, id) = receiver(MuxLimits::default());
    measure(&mut side, id);
    side.advance(Duration::from_millis(9_999)).unwrap();
    side.data(Flags::NONE, 1, &vec![0; WINDOW / 2]).unwrap();
    side.read_all(id);
    let pings = |frames: &[Frame]| {
        frames.iter().filter(|frame| frame.header.kind == FrameType::Ping).count()
    };
    assert_eq!(pings(&side.frames()), 0);
    side.advance(Duration::from_millis(1)).unwrap();
    side.data(Flags::NONE, 1, &vec![0; WINDOW / 2]).unwrap();
    side.read_all(id);
    assert_eq!(pings(&side.frames()), 1);
}

#[test]
fn unread_bytes_count_by_the_memory_that_holds_them() {
    let (mut side, id) = receiver(MuxLimits::default());
    // One slice of 16 KiB holds the whole block.
    side.data(Flags::NONE, 1, &vec![1; 20_000]).unwrap();
    let held = side.session.window_use().unread_bytes;
    assert!(held >= 20_000, "{held} bytes");
    side.session.compact();
    assert_eq!(side.session.window_use().unread_bytes, 20_000);
    assert_eq!(side.session.unread_bytes(id), 20_000);
    assert_eq!(side.read_all(id), (vec![1; 20_000], false));
    assert_eq!(side.session.window_use().unread_bytes, 0);
}

#[test]
fn a_full_duplex_transfer_of_many_windows_arrives_in_order() {
    let (mut a, mut b, id) = connected();
    let data: Vec<u8> = (0..2_000_000u32).map(|n| (n % 251) as u8).collect();
    let (mut to_b, mut to_a) = (&data[..], &data[..]);
    let (mut at_a, mut at_b) = (Vec::new(), Vec::new());
    while at_a.len() < data.len() || at_b.len() < data.len() {
        let before = at_a.len() + at_b.len();
        if let Ok(n) = a.write(id, to_b) {
            to_b = &to_b[n..];
        }
        if let Ok(n) = b.write(id, to_a) {
            to_a = &to_a[n..];
        }
        exchange(&mut a, &mut b);
        at_a.extend(a.read_all(id).0);
        at_b.extend(b.read_all(id).0);
        assert!(at_a.len() + at_b.len() > before, "nothing moves after {before} bytes");
    }
    assert!(at_a == data && at_b == data);
    assert_eq!(a.now, Timestamp::ZERO);
}
