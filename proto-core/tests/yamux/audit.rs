//! Watches one direction of a session's wire and checks what each frame may be.

use std::collections::BTreeMap;

use sanspeer_core::mux::Role;
use sanspeer_core::yamux::INITIAL_WINDOW_BYTES;
use sanspeer_core::yamux::header::{Flags, FrameType, HEADER_BYTES, Header};

/// What one side sent on one stream.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    pub(crate) opened: bool,
    pub(crate) acknowledged: bool,
    pub(crate) finished: bool,
    pub(crate) reset: bool,
    pub(crate) data_bytes: u64,
    pub(crate) granted_bytes: u64,
}

/// Everything that one side sent.
#[derive(Debug)]
pub(crate) struct Audit {
    parity: u32,
    /// The beginning of a frame whose rest was not sent yet.
    partial: Vec<u8>,
    payload_bytes: usize,
    pub(crate) streams: BTreeMap<u32, Sent>,
}

impl Audit {
    pub(crate) fn of(role: Role) -> Self {
        let parity = match role {
            Role::Dialer => 1,
            Role::Listener => 0,
        };
        Audit { parity, partial: Vec::new(), payload_bytes: 0, streams: BTreeMap::new() }
    }

    /// Takes what was sent, in any pieces; `other` watches the other direction.
    pub(crate) fn watch(&mut self, mut bytes: &[u8], other: &Audit) {
        while !bytes.is_empty() {
            let skipped = self.payload_bytes.min(bytes.len());
            self.payload_bytes -= skipped;
            bytes = &bytes[skipped..];
            let n = (HEADER_BYTES - self.partial.len()).min(bytes.len());
            self.partial.extend_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
            if let Some(header) = self.partial.first_chunk::<HEADER_BYTES>() {
                let header = Header::decode(header).expect("a header");
                self.partial.clear();
                self.frame(header, other);
            }
        }
    }

    fn frame(&mut self, header: Header, other: &Audit) {
        let Header { kind, flags, stream: id, length } = header;
        if matches!(kind, FrameType::Ping | FrameType::GoAway) {
            assert_eq!(id, 0, "{header:?}");
            return;
        }
        assert_ne!(id, 0, "{header:?}");
        let ours = id % 2 == self.parity;
        let theirs = other.streams.get(&id);
        let sent = self.streams.entry(id).or_default();
        assert!(!sent.reset, "{header:?} after RST");
        if flags.contains(Flags::SYN) {
            assert!(ours && !sent.opened, "{header:?}");
            sent.opened = true;
        }
        if flags.contains(Flags::ACK) {
            assert!(!ours && !sent.acknowledged, "{header:?}");
            sent.acknowledged = true;
        }
        if ours {
            assert!(sent.opened, "{header:?} before SYN");
        } else {
            assert!(theirs.is_some_and(|theirs| theirs.opened), "{header:?} before SYN");
            let first = sent.acknowledged || flags.contains(Flags::RST);
            assert!(first, "{header:?} before ACK");
        }
        match kind {
            FrameType::Data => {
                assert!(!sent.finished, "{header:?} after FIN");
                sent.data_bytes += u64::from(length);
                let granted = theirs.map_or(0, |theirs| theirs.granted_bytes);
                let most = u64::from(INITIAL_WINDOW_BYTES) + granted;
                assert!(sent.data_bytes <= most, "{header:?} beyond {most} bytes of window");
                self.payload_bytes = length as usize;
            }
            FrameType::WindowUpdate => sent.granted_bytes += u64::from(length),
            FrameType::Ping | FrameType::GoAway => {}
        }
        sent.finished |= flags.contains(Flags::FIN);
        sent.reset |= flags.contains(Flags::RST);
    }
}
