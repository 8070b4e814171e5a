//! What holds for a session as a whole, and what a remote may not do.

use bytes::Bytes;
use proptest::prelude::*;
use sanspeer_core::mux::{MuxEvent, MuxLimits, MuxOpenError, Role, StreamId};
use sanspeer_core::recv_buffer::BlockId;
use sanspeer_core::yamux::header::{Flags, FrameType, Header};
use sanspeer_core::yamux::machine::MAX_ACK_BACKLOG;
use sanspeer_core::yamux::{INITIAL_WINDOW_BYTES, YamuxConfig, YamuxError};

use crate::side::{Side, bare, connected, exchange, pair};

fn limited(max_inbound_streams: u32, max_outbound_streams: u32) -> Side {
    let limits = MuxLimits { max_inbound_streams, max_outbound_streams, ..MuxLimits::default() };
    Side::with(Role::Listener, YamuxConfig::default(), limits)
}

#[test]
fn a_dialer_numbers_its_streams_odd_and_a_listener_even() {
    let (mut a, mut b) = pair();
    for number in 0..4 {
        assert_eq!(a.open(), StreamId(2 * number + 1));
        assert_eq!(b.open(), StreamId(2 * number + 2));
    }
}

#[test]
fn a_stream_with_our_parity_or_without_a_number_is_refused() {
    for id in [0, 2, 4] {
        for kind in [FrameType::Data, FrameType::WindowUpdate] {
            let (_, mut b) = pair();
            let error = b.frame(kind, Flags::SYN, id, 0);
            let expected = if id == 0 && kind == FrameType::Data {
                YamuxError::SessionData
            } else {
                YamuxError::Parity { stream: id }
            };
            assert_eq!(error, Err(expected));
            assert_eq!(b.session.stream_count(), 0);
        }
    }
    let (mut a, _) = pair();
    let error = a.frame(FrameType::WindowUpdate, Flags::SYN, 1, 0);
    assert_eq!(error, Err(YamuxError::Parity { stream: 1 }));
}

#[test]
fn an_id_is_never_used_twice() {
    let (_, mut b) = pair();
    b.data(Flags::SYN, 1, b"x").unwrap();
    assert_eq!(b.frame(FrameType::Data, Flags::SYN, 1, 0), Err(YamuxError::Reused { stream: 1 }));

    // Nor when the stream is long gone.
    let (_, mut b) = pair();
    b.data(Flags::SYN, 1, b"x").unwrap();
    b.frame(FrameType::WindowUpdate, Flags::RST, 1, 0).unwrap();
    let error = b.frame(FrameType::WindowUpdate, Flags::SYN, 1, 0);
    assert_eq!(error, Err(YamuxError::Reused { stream: 1 }));

    // Nor when it was refused.
    let mut b = limited(0, 0);
    b.frame(FrameType::WindowUpdate, Flags::SYN, 1, 0).unwrap();
    let error = b.frame(FrameType::WindowUpdate, Flags::SYN, 1, 0);
    assert_eq!(error, Err(YamuxError::Reused { stream: 1 }));
}

#[test]
fn data_for_the_session_ends_it() {
    let (_, mut b) = pair();
    assert_eq!(b.frame(FrameType::Data, Flags::NONE, 0, 0), Err(YamuxError::SessionData));
}

#[test]
fn unknown_versions_and_types_end_the_session() {
    let (_, mut b) = pair();
    let mut bytes = Header::new(FrameType::Ping, Flags::SYN, 0, 0).encode();
    bytes[0] = 1;
    assert_eq!(b.receive(&bytes), Err(YamuxError::Version(1)));
    let (_, mut b) = pair();
    bytes[..2].copy_from_slice(&[0, 4]);
    assert_eq!(b.receive(&bytes), Err(YamuxError::Type(4)));
}

#[test]
fn data_after_the_remotes_end_ends_the_session() {
    let (_, mut b) = pair();
    b.data(Flags::SYN.with(Flags::FIN), 1, b"all").unwrap();
    let error = b.frame(FrameType::Data, Flags::NONE, 1, 1);
    assert_eq!(error, Err(YamuxError::DataAfterFin { stream: 1 }));
}

#[test]
fn an_end_that_is_said_twice_is_one_event() {
    let (_, mut b) = pair();
    b.data(Flags::SYN, 1, b"").unwrap();
    b.accept();
    b.events();
    b.data(Flags::FIN, 1, b"").unwrap();
    b.frame(FrameType::WindowUpdate, Flags::FIN, 1, 0).unwrap();
    assert_eq!(b.events(), [MuxEvent::Finished(StreamId(1))]);
}

#[test]
fn a_stream_beyond_the_limit_is_reset_and_its_data_is_skipped() {
    let mut b = limited(2, 0);
    for id in [1, 3, 5] {
        b.data(Flags::SYN, id, &[7; 1000]).unwrap();
    }
    b.data(Flags::FIN, 5, &[7; 1000]).unwrap();
    b.data(Flags::NONE, 3, b"still in step").unwrap();
    assert_eq!(b.session.stream_count(), 2);
    assert_eq!(b.frames(), [bare(FrameType::WindowUpdate, Flags::RST, 5, 0)]);
    assert_eq!((b.accept(), b.accept()), (StreamId(1), StreamId(3)));
    assert_eq!(b.session.accept(), None);
    assert_eq!(b.session.unread_bytes(StreamId(3)), 1013);

    // With one gone there is room again.
    b.frame(FrameType::WindowUpdate, Flags::RST, 1, 0).unwrap();
    b.data(Flags::SYN, 7, b"x").unwrap();
    assert_eq!(b.accept(), StreamId(7));
}

#[test]
fn an_application_may_reset_all_its_streams_at_once() {
    let mut b = limited(4000, 0);
    for n in 0..4000 {
        b.frame(FrameType::WindowUpdate, Flags::SYN, 2 * n + 1, 0).unwrap();
    }
    for n in 0..4000 {
        assert_eq!(b.session.reset(StreamId(2 * n + 1), 0), Ok(()));
    }
    let resets = b.frames();
    assert_eq!(resets.len(), 4000);
    assert!(resets.iter().all(|frame| frame.header.flags == Flags::RST));
}

#[test]
fn limits_that_shrink_leave_open_streams_alone() {
    let (_, mut b) = pair();
    b.data(Flags::SYN, 1, b"x").unwrap();
    b.session.set_limits(MuxLimits {
        max_inbound_streams: 0,
        max_outbound_streams: 0,
        ..MuxLimits::default()
    });
    assert_eq!(b.accept(), StreamId(1));
    b.data(Flags::SYN, 3, b"x").unwrap();
    assert_eq!(b.session.accept(), None);
    assert_eq!(b.session.open(), Err(MuxOpenError::Limit(0)));
}

#[test]
fn our_own_streams_are_limited_and_freed() {
    let mut b = limited(0, 2);
    let first = b.open();
    b.open();
    assert_eq!(b.session.open(), Err(MuxOpenError::Limit(2)));
    b.session.reset(first, 0).unwrap();
    assert_eq!(b.open(), StreamId(6), "ids of streams that were never announced are not reused");
}

#[test]
fn no_more_than_256_streams_wait_for_their_acknowledgement() {
    let mut b = limited(0, 10_000);
    for _ in 0..256 {
        let id = b.open();
        b.write_all(id, b"x");
        b.transmit_all();
    }
    assert_eq!(b.session.open(), Err(MuxOpenError::Limit(MAX_ACK_BACKLOG)));
    assert_eq!(MAX_ACK_BACKLOG, 256);
    // On a data frame, on a window update, twice, and by a reset.
    b.frame(FrameType::Data, Flags::ACK, 2, 0).unwrap();
    b.frame(FrameType::WindowUpdate, Flags::ACK, 2, 0).unwrap();
    b.frame(FrameType::WindowUpdate, Flags::ACK, 4, 0).unwrap();
    b.frame(FrameType::WindowUpdate, Flags::RST, 6, 0).unwrap();
    for _ in 0..3 {
        b.open();
    }
    assert_eq!(b.session.open(), Err(MuxOpenError::Limit(MAX_ACK_BACKLOG)));
}

#[test]
fn frames_for_streams_that_do_not_exist_are_ignored() {
    let (_, mut b) = pair();
    for id in [1, 2, 9, u32::MAX] {
        b.data(Flags::NONE, id, b"payload").unwrap();
        b.data(Flags::FIN, id, b"payload").unwrap();
        b.data(Flags::RST, id, b"payload").unwrap();
        b.data(Flags::ACK, id, b"payload").unwrap();
        b.frame(FrameType::WindowUpdate, Flags::NONE, id, u32::MAX).unwrap();
        b.frame(FrameType::WindowUpdate, Flags::RST, id, 0).unwrap();
    }
    // More than any window: nothing is held of it.
    b.data(Flags::NONE, 9, &vec![0; 2 * INITIAL_WINDOW_BYTES as usize]).unwrap();
    assert_eq!(b.session.window_use().unread_bytes, 0);
    assert_eq!(b.session.stream_count(), 0);
    assert!(b.frames().is_empty());
    assert!(b.events().is_empty());
}

#[test]
fn after_the_remotes_goodbye_nothing_is_opened_and_open_streams_go_on() {
    let (mut a, mut b, id) = connected();
    a.session.go_away(0);
    a.write_all(id, b"still here");
    exchange(&mut a, &mut b);
    assert_eq!(b.session.remote_went_away(), Some(0));
    assert_eq!(b.session.open(), Err(MuxOpenError::NotOpen));
    assert_eq!(b.read_all(id), (b"still here".to_vec(), false));
    b.write_all(id, b"so am I");
    exchange(&mut a, &mut b);
    assert_eq!(a.read_all(id), (b"so am I".to_vec(), false));
    // Whoever left does not come back with a stream.
    b.data(Flags::SYN, 3, b"x").unwrap();
    assert_eq!(b.frames(), [bare(FrameType::WindowUpdate, Flags::RST, 3, 0)]);
}

#[test]
fn a_goodbye_goes_behind_everything_that_is_owed() {
    let (_, mut b) = pair();
    b.data(Flags::SYN, 1, b"x").unwrap();
    b.session.go_away(1);
    let id = b.accept();
    b.write_all(id, b"data");
    b.session.finish(id).unwrap();
    b.frame(FrameType::Ping, Flags::SYN, 0, 5).unwrap();
    let frames = b.frames();
    assert_eq!(frames.last(), Some(&bare(FrameType::GoAway, Flags::NONE, 0, 1)));
    assert_eq!(frames.len(), 4);
}

/// Mostly plausible headers, so that random ones reach past the first check.
fn header() -> impl Strategy<Value = Vec<u8>> {
    let kinds = prop_oneof![
        Just(FrameType::Data),
        Just(FrameType::WindowUpdate),
        Just(FrameType::Ping),
        Just(FrameType::GoAway),
    ];
    let flags = prop_oneof![4 => 0u16..16, 1 => any::<u16>()];
    let ids = prop_oneof![8 => 0u32..12, 1 => any::<u32>(), 1 => u32::MAX - 4..=u32::MAX];
    let lengths = prop_oneof![
        6 => 0u32..100,
        2 => 0u32..=300_000,
        1 => any::<u32>(),
        1 => u32::MAX - 300_000..=u32::MAX,
    ];
    (kinds, flags, ids, lengths, any::<bool>()).prop_map(|(kind, flags, id, length, whole)| {
        let mut bytes = Header::new(kind, Flags(flags), id, length).encode().to_vec();
        if kind == FrameType::Data && whole {
            bytes.resize(bytes.len() + length.min(300_000) as usize, 9);
        }
        bytes
    })
}

/// What an application does between two arrivals.
fn use_streams(side: &mut Side, choice: u8) {
    match choice % 6 {
        0 => drop(side.session.accept()),
        1 => drop(side.session.open()),
        2 => {
            for id in 0..12 {
                let _ = side.session.read(StreamId(id), 5000);
            }
        }
        3 => {
            for id in 0..12 {
                let _ = side.write(StreamId(id), &[1; 3000]);
            }
        }
        4 => drop(side.session.finish(StreamId(u64::from(choice) % 12))),
        _ => drop(side.session.reset(StreamId(u64::from(choice) % 12), 0)),
    }
}

/// Feeds `pieces` until the session ends, and then still what is left of them.
fn survives(role: Role, pieces: &[Vec<u8>], choices: &[u8]) {
    let mut side = Side::new(role);
    let mut choices = choices.iter().cycle();
    for piece in pieces {
        let _ = side.receive(piece);
        use_streams(&mut side, *choices.next().expect("a choice"));
        side.events();
        let use_ = side.session.window_use();
        // 512 streams, each with its first window; blocks and buffers count whole.
        assert!(use_.unread_bytes <= 2 * 512 * u64::from(INITIAL_WINDOW_BYTES));
        assert!(use_.leased_bytes <= MuxLimits::default().window_lease_bytes);
        assert!(side.session.stream_count() <= 1024);
    }
    side.session.flush(&mut side.out);
    for id in 0..40_000 {
        let _ = side.session.reset(StreamId(id), 0);
    }
    side.session.compact();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_sequence_of_frames_makes_a_session_panic(
        dialer in any::<bool>(),
        frames in proptest::collection::vec(header(), 1..60),
        choices in proptest::collection::vec(any::<u8>(), 1..60),
    ) {
        let role = if dialer { Role::Dialer } else { Role::Listener };
        survives(role, &frames, &choices);
    }

    #[test]
    fn no_bytes_make_a_session_panic(
        pieces in proptest::collection::vec(
            proptest::collection::vec(prop_oneof![4 => 0u8..4, 1 => any::<u8>()], 1..100),
            1..40,
        ),
        choices in proptest::collection::vec(any::<u8>(), 1..40),
    ) {
        survives(Role::Listener, &pieces, &choices);
    }

    #[test]
    fn cutting_the_bytes_anywhere_changes_neither_streams_nor_events(
        frames in proptest::collection::vec(header(), 1..30),
        cuts in proptest::collection::vec(1usize..5000, 1..50),
    ) {
        let bytes = frames.concat();
        let mut whole = Side::new(Role::Listener);
        let outcome = whole.receive(&bytes);
        let mut cut = Side::new(Role::Listener);
        let mut rest = &bytes[..];
        let mut cut_outcome = Ok(());
        for size in cuts.iter().cycle() {
            if rest.is_empty() || cut_outcome.is_err() {
                break;
            }
            let (piece, later) = rest.split_at(rest.len().min(*size));
            cut_outcome = cut.receive(piece);
            rest = later;
        }
        prop_assert_eq!(outcome, cut_outcome);
        prop_assert_eq!(whole.events(), cut.events());
        prop_assert_eq!(whole.session.stream_count(), cut.session.stream_count());
        while let Some(id) = whole.session.accept() {
            prop_assert_eq!(cut.session.accept(), Some(id));
            prop_assert_eq!(whole.read_all(id), cut.read_all(id));
        }
        prop_assert_eq!(cut.session.accept(), None);
    }
}

#[test]
fn nothing_is_taken_apart_while_an_event_waits() {
    let (_, mut b) = pair();
    let mut input = Bytes::from(
        [
            Header::new(FrameType::WindowUpdate, Flags::SYN, 1, 0).encode(),
            Header::new(FrameType::Ping, Flags::SYN, 0, 9).encode(),
        ]
        .concat(),
    );
    let block = BlockId { number: 1, bytes: 24 };
    b.session.handle(&mut input, block).unwrap();
    assert_eq!(input.len(), 12);
    b.session.handle(&mut input, block).unwrap();
    assert_eq!(input.len(), 12);
    assert_eq!(b.session.poll_event(), Some(MuxEvent::Inbound));
    b.session.handle(&mut input, block).unwrap();
    assert!(input.is_empty());
    assert_eq!(b.frames(), [bare(FrameType::Ping, Flags::ACK, 0, 9)]);
}
