//! What must hold of the bytes that two sessions send, whatever made them send it.

use std::collections::BTreeMap;

use sanspeer_core::yamux::INITIAL_WINDOW_BYTES;
use sanspeer_core::yamux::header::{Flags, FrameType, HEADER_BYTES, Header};
use sanspeer_core::yamux::machine::MAX_ACK_BACKLOG;

/// The frames of both directions, in the order in which they were put on the wire.
#[derive(Debug, Default)]
pub(super) struct Wire {
    sides: [Direction; 2],
}

#[derive(Debug, Default)]
struct Direction {
    header: Vec<u8>,
    payload_left: usize,
    streams: BTreeMap<u32, Said>,
}

/// What one side said about a stream.
#[derive(Debug, Default)]
struct Said {
    opened: bool,
    acknowledged: bool,
    finished: bool,
    reset: bool,
    sent_bytes: u64,
    granted_bytes: u64,
}

impl Wire {
    /// Takes what `side` sent: 0 is the dialer, 1 the listener.
    pub(super) fn sent(&mut self, side: usize, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let direction = &mut self.sides[side];
            if direction.payload_left > 0 {
                let n = direction.payload_left.min(bytes.len());
                direction.payload_left -= n;
                bytes = &bytes[n..];
                continue;
            }
            let n = (HEADER_BYTES - direction.header.len()).min(bytes.len());
            direction.header.extend_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
            let decoded = direction.header[..].try_into().map(Header::decode);
            if let Ok(header) = decoded {
                direction.header.clear();
                self.frame(side, header.expect("a header of ours"));
            }
        }
    }

    /// Whether `side` ended nothing within a frame.
    pub(super) fn is_between_frames(&self, side: usize) -> bool {
        self.sides[side].header.is_empty() && self.sides[side].payload_left == 0
    }

    fn frame(&mut self, side: usize, header: Header) {
        let Header { kind, flags, stream, length } = header;
        match kind {
            FrameType::Ping | FrameType::GoAway => return assert_eq!(stream, 0),
            FrameType::Data => self.sides[side].payload_left = length as usize,
            FrameType::WindowUpdate => {}
        }
        assert_ne!(stream, 0, "{header:?}");
        let is_ours = stream % 2 == 1 - side as u32;
        let granted =
            self.sides[1 - side].streams.get(&stream).map_or(0, |said| said.granted_bytes);
        let said = self.sides[side].streams.entry(stream).or_default();
        assert!(!said.reset, "a frame after the reset of {stream}");
        if flags.contains(Flags::SYN) {
            assert!(is_ours && !said.opened, "{header:?}");
            said.opened = true;
        }
        if is_ours {
            assert!(said.opened, "a frame before its stream was opened: {header:?}");
        }
        if flags.contains(Flags::ACK) {
            assert!(!is_ours && !said.acknowledged, "{header:?}");
            said.acknowledged = true;
        }
        said.reset |= flags.contains(Flags::RST);
        match kind {
            FrameType::Data => {
                assert!(!said.finished, "data after the end: {header:?}");
                said.sent_bytes += u64::from(length);
                assert!(
                    said.sent_bytes <= u64::from(INITIAL_WINDOW_BYTES) + granted,
                    "stream {stream}: {} bytes sent, {granted} granted",
                    said.sent_bytes
                );
            }
            FrameType::WindowUpdate => said.granted_bytes += u64::from(length),
            FrameType::Ping | FrameType::GoAway => {}
        }
        said.finished |= flags.contains(Flags::FIN);
        if flags.contains(Flags::SYN) {
            let backlog = self.sides[side].streams.iter().filter(|(stream, said)| {
                let answer = self.sides[1 - side].streams.get(stream);
                let answered = answer.is_some_and(|answer| answer.acknowledged || answer.reset);
                said.opened && !said.reset && !answered
            });
            assert!(backlog.count() <= MAX_ACK_BACKLOG as usize, "the ACK backlog is over");
        }
    }
}
