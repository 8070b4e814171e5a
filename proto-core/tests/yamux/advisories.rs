//! Failures of other implementations of Yamux, by their ids.

use sanspeer_core::mux::{MuxLimits, Role, StreamId};
use sanspeer_core::yamux::header::{Flags, FrameType, Header};
use sanspeer_core::yamux::{INITIAL_WINDOW_BYTES, YamuxConfig, YamuxError};

use crate::side::{Side, parse};

/// Feeds what `attack` makes until the session ends, or `frames` are through, to a side that
/// cannot send. Returns how the session ended and how many bytes of frames it owes then.
fn flood(
    side: &mut Side,
    frames: u32,
    attack: impl Fn(u32) -> Vec<u8>,
) -> (Option<YamuxError>, usize) {
    let mut ended = None;
    for n in 0..frames {
        if let Err(error) = side.receive(&attack(n)) {
            ended = Some(error);
            break;
        }
        side.events();
    }
    (ended, side.transmit_all().len())
}

fn listener(max_inbound_streams: u32) -> Side {
    let limits = MuxLimits { max_inbound_streams, ..MuxLimits::default() };
    Side::with(Role::Listener, YamuxConfig::default(), limits)
}

#[test]
fn cve_2024_32984_pending_control_frames_are_bounded_while_the_remote_does_not_read() {
    // Pings.
    let mut side = listener(512);
    let ping = |n| Header::new(FrameType::Ping, Flags::SYN, 0, n).encode().to_vec();
    let (ended, owed) = flood(&mut side, 1_000_000, ping);
    assert_eq!(ended, Some(YamuxError::ControlQueueFull));
    assert!(owed <= 100 * 12, "{owed} bytes are owed");

    // Streams beyond the limit, each of which is answered with a reset.
    let mut side = listener(1);
    let syn = |n| Header::new(FrameType::WindowUpdate, Flags::SYN, 2 * n + 1, 0).encode().to_vec();
    let (ended, owed) = flood(&mut side, 1_000_000, syn);
    assert_eq!(ended, Some(YamuxError::ControlQueueFull));
    assert!(owed <= 2000 * 12, "{owed} bytes are owed");
    assert_eq!(side.session.stream_count(), 1);

    // Streams that are opened and reset at once: nothing is owed for them, and nothing is kept.
    let mut side = listener(512);
    let open_and_reset = |n| {
        let syn = Header::new(FrameType::WindowUpdate, Flags::SYN, 2 * n + 1, 0).encode();
        let rst = Header::new(FrameType::WindowUpdate, Flags::RST, 2 * n + 1, 0).encode();
        [syn, rst].concat()
    };
    let (ended, owed) = flood(&mut side, 200_000, open_and_reset);
    assert_eq!((ended, owed), (None, 0));
    assert_eq!(side.session.stream_count(), 0);
    assert_eq!(side.session.accept(), None);

    // The same in one frame.
    let both = Flags::SYN.with(Flags::RST);
    let at_once = |n| Header::new(FrameType::Data, both, 2 * n + 400_001, 0).encode().to_vec();
    let (ended, owed) = flood(&mut side, 200_000, at_once);
    assert_eq!((ended, owed), (None, 0));
    assert_eq!(side.session.stream_count(), 0);
}

#[test]
fn cve_2024_32984_a_remote_that_makes_us_reset_its_streams_is_cut_off() {
    let mut side = listener(512);
    let mut ended = None;
    for n in 0..100_000 {
        let id = 2 * n + 1;
        side.frame(FrameType::WindowUpdate, Flags::SYN, id, 0).unwrap();
        if let Err(error) = side.session.reset(StreamId(id.into()), 0) {
            ended = Some(error);
            break;
        }
    }
    assert_eq!(ended, Some(YamuxError::ControlQueueFull));
    // 1,024, and one for each stream that may be open.
    assert!(side.transmit_all().len() <= 2048 * 12);
}

#[test]
fn cve_2024_32984_window_updates_and_acknowledgements_are_merged_per_stream() {
    let mut side = listener(512);
    side.frame(FrameType::WindowUpdate, Flags::SYN, 1, 0).unwrap();
    let id = side.accept();
    // More data than a window, a little at a time, each read at once, while nothing is sent.
    let piece = vec![5; INITIAL_WINDOW_BYTES as usize / 2];
    for _ in 0..64 {
        side.data(Flags::NONE, 1, &piece).unwrap();
        assert_eq!(side.read_all(id).0.len(), piece.len());
    }
    let frames = parse(&side.transmit_all());
    let updates: Vec<_> =
        frames.iter().filter(|frame| frame.header.kind == FrameType::WindowUpdate).collect();
    assert_eq!(updates.len(), 1);
    assert_eq!(updates[0].header.flags, Flags::ACK);
    assert_eq!(updates[0].header.length, 32 * INITIAL_WINDOW_BYTES);
    assert!(frames.len() <= 2, "one window update, and a ping at most");
}

#[test]
fn cve_2026_31814_window_update_overflow_ends_the_session() {
    let mut side = listener(512);
    side.frame(FrameType::WindowUpdate, Flags::SYN, 1, 0).unwrap();
    let error = side.frame(FrameType::WindowUpdate, Flags::NONE, 1, u32::MAX);
    assert_eq!(
        error,
        Err(YamuxError::WindowOverflow {
            stream: 1,
            window: INITIAL_WINDOW_BYTES,
            update: u32::MAX
        })
    );

    // As the first frame of a stream: nothing is registered.
    let mut side = listener(512);
    let most = u32::MAX - INITIAL_WINDOW_BYTES;
    let error = side.frame(FrameType::WindowUpdate, Flags::SYN, 1, most + 1);
    assert!(matches!(error, Err(YamuxError::WindowOverflow { stream: 1, .. })), "{error:?}");
    assert_eq!(side.session.stream_count(), 0);

    // Exactly to the brim is allowed, and one byte more is not.
    let mut side = listener(512);
    side.frame(FrameType::WindowUpdate, Flags::SYN, 1, most).unwrap();
    side.frame(FrameType::WindowUpdate, Flags::NONE, 1, 0).unwrap();
    let error = side.frame(FrameType::WindowUpdate, Flags::NONE, 1, 1);
    assert_eq!(error, Err(YamuxError::WindowOverflow { stream: 1, window: u32::MAX, update: 1 }));
}

#[test]
fn cve_2026_32314_syn_data_frame_larger_than_the_window_registers_nothing() {
    let mut side = listener(512);
    let error = side.frame(FrameType::Data, Flags::SYN, 1, INITIAL_WINDOW_BYTES + 1);
    assert_eq!(
        error,
        Err(YamuxError::WindowExceeded {
            stream: 1,
            granted: INITIAL_WINDOW_BYTES,
            length: INITIAL_WINDOW_BYTES + 1
        })
    );
    assert_eq!(side.session.stream_count(), 0);
    assert!(side.events().is_empty());
    assert_eq!(side.session.accept(), None);

    // The whole window at once is allowed.
    let mut side = listener(512);
    side.data(Flags::SYN, 1, &vec![0; INITIAL_WINDOW_BYTES as usize]).unwrap();
    assert_eq!(side.session.unread_bytes(StreamId(1)), u64::from(INITIAL_WINDOW_BYTES));
}
