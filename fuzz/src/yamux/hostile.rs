//! One session and a remote that sends any frame at any time, and may not read.

use std::collections::BTreeSet;

use bytes::Bytes;
use sanspeer_core::mux::{MuxEvent, MuxLimits, Role, StreamId};
use sanspeer_core::recv_buffer::BlockId;
use sanspeer_core::send_buffer::{MAX_QUEUED_BYTES, SendBuffer};
use sanspeer_core::time::Timestamp;
use sanspeer_core::yamux::header::HEADER_BYTES;
use sanspeer_core::yamux::{INITIAL_WINDOW_BYTES, MIN_SLICE_BYTES, Yamux, YamuxConfig};

use crate::chunks::scaled;
use crate::script::{self, Script};

const MAX_STREAMS: u32 = 24;

/// What the remote and the application do.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the fields are named")]
pub enum Operation {
    /// A frame with this type (2 bits) and flags (4 bits), its stream, and one of [`LENGTHS`];
    /// with its payload, as long as that is no longer than a window.
    Frame {
        type_and_flags: u8,
        stream: u8,
        length: u8,
    },
    /// Bytes as they are.
    Raw {
        bytes: [u8; 3],
    },
    Open,
    Accept,
    Read {
        index: u8,
        max: u8,
    },
    Write {
        index: u8,
        length: u8,
    },
    Finish {
        index: u8,
    },
    Reset {
        index: u8,
    },
    /// The remote reads what was sent.
    Flush,
    /// So many times ten milliseconds.
    Time {
        steps: u16,
    },
    Compact,
}

const LENGTHS: [u32; 16] = [
    0,
    1,
    12,
    100,
    4_096,
    MIN_SLICE_BYTES as u32 - 1,
    MIN_SLICE_BYTES as u32,
    65_519,
    INITIAL_WINDOW_BYTES - 1,
    INITIAL_WINDOW_BYTES,
    INITIAL_WINDOW_BYTES + 1,
    0x7fff_ffff,
    u32::MAX - INITIAL_WINDOW_BYTES,
    u32::MAX - INITIAL_WINDOW_BYTES + 1,
    u32::MAX - 1,
    u32::MAX,
];

impl script::Operation for Operation {
    fn decode([kind, a, b, c]: [u8; 4]) -> Self {
        match kind % 16 {
            0..=5 => Operation::Frame { type_and_flags: a, stream: b, length: c },
            6 => Operation::Raw { bytes: [a, b, c] },
            7 => Operation::Open,
            8 => Operation::Accept,
            9 => Operation::Read { index: a, max: b },
            10 => Operation::Write { index: a, length: b },
            11 => Operation::Finish { index: a },
            12 => Operation::Reset { index: a },
            13 => Operation::Flush,
            14 => Operation::Time { steps: u16::from_be_bytes([b, c]) },
            _ => Operation::Compact,
        }
    }

    fn encode(&self) -> [u8; 4] {
        match *self {
            Operation::Frame { type_and_flags, stream, length } => {
                [0, type_and_flags, stream, length]
            }
            Operation::Raw { bytes: [a, b, c] } => [6, a, b, c],
            Operation::Open => [7, 0, 0, 0],
            Operation::Accept => [8, 0, 0, 0],
            Operation::Read { index, max } => [9, index, max, 0],
            Operation::Write { index, length } => [10, index, length, 0],
            Operation::Finish { index } => [11, index, 0, 0],
            Operation::Reset { index } => [12, index, 0, 0],
            Operation::Flush => [13, 0, 0, 0],
            Operation::Time { steps } => {
                let [high, low] = steps.to_be_bytes();
                [14, 0, high, low]
            }
            Operation::Compact => [15, 0, 0, 0],
        }
    }
}

struct Attack {
    session: Yamux,
    out: SendBuffer,
    streams: Vec<StreamId>,
    opened: BTreeSet<StreamId>,
    block: u64,
    now: Timestamp,
}

/// Runs one script. The second byte of its settings is the session's role.
pub fn run(script: &Script<Operation>) {
    let role = if script.settings[1] & 1 == 0 { Role::Listener } else { Role::Dialer };
    // Without a lease every stream keeps its first window.
    let limits = MuxLimits {
        max_inbound_streams: MAX_STREAMS,
        max_outbound_streams: MAX_STREAMS,
        window_lease_bytes: 0,
        ..MuxLimits::default()
    };
    let mut attack = Attack {
        session: Yamux::new(role, YamuxConfig::default(), limits, Timestamp::ZERO),
        out: SendBuffer::default(),
        streams: Vec::new(),
        opened: BTreeSet::new(),
        block: 0,
        now: Timestamp::ZERO,
    };
    for operation in &script.operations {
        if !attack.apply(*operation) {
            return;
        }
        attack.check();
    }
}

impl Attack {
    /// False when the session ended.
    fn apply(&mut self, operation: Operation) -> bool {
        match operation {
            Operation::Frame { type_and_flags, stream, length } => {
                return self.receive(&frame(type_and_flags, stream, length));
            }
            Operation::Raw { bytes } => return self.receive(&bytes),
            Operation::Open => {
                if let Ok(id) = self.session.open() {
                    self.know(id);
                }
            }
            Operation::Accept => {
                if let Some(id) = self.session.accept() {
                    self.know(id);
                }
            }
            Operation::Read { index, max } => {
                if let Some(id) = self.pick(index)
                    && let Ok(bytes) = self.session.read(id, scaled(max) * 8)
                {
                    assert!(bytes.len() <= scaled(max) * 8);
                }
            }
            Operation::Write { index, length } => {
                let data = vec![index; scaled(length) * 8];
                if let Some(id) = self.pick(index)
                    && let Ok(n) = self.session.write(id, &data, &mut self.out)
                {
                    assert!(n <= data.len() && (n > 0 || data.is_empty()));
                }
            }
            Operation::Finish { index } => {
                if let Some(id) = self.pick(index) {
                    let _ = self.session.finish(id);
                }
            }
            Operation::Reset { index } => {
                if let Some(id) = self.pick(index) {
                    return self.session.reset(id, 0).is_ok();
                }
            }
            Operation::Flush => self.flush(),
            Operation::Time { steps } => {
                self.now = Timestamp(self.now.0 + u64::from(steps) * 10_000_000);
                if self.session.handle_timeout(self.now).is_err() {
                    return false;
                }
                self.poll();
                let deadline = self.session.poll_timeout();
                assert!(deadline.is_none_or(|deadline| deadline.at > self.now), "{deadline:?}");
            }
            Operation::Compact => {
                self.session.compact();
                let unread: u64 =
                    self.streams.iter().map(|id| self.session.unread_bytes(*id)).sum();
                let most = self.unread_most();
                assert!((unread..=most).contains(&self.session.window_use().unread_bytes));
            }
        }
        self.poll();
        true
    }

    fn receive(&mut self, bytes: &[u8]) -> bool {
        self.block += 1;
        let block = BlockId { number: self.block, bytes: bytes.len() };
        let mut input = Bytes::copy_from_slice(bytes);
        self.session.advance(self.now);
        self.session.received();
        while !input.is_empty() {
            let before = input.len();
            if self.session.handle(&mut input, block).is_err() {
                return false;
            }
            assert!(self.poll() || input.len() < before, "no progress");
        }
        true
    }

    fn flush(&mut self) {
        for _ in 0..10_000 {
            self.session.flush(&mut self.out);
            let n = self.out.transmit(None).expect("nothing is sealed").len();
            if n == 0 {
                return;
            }
            self.out.transmitted(n);
            self.poll();
        }
        panic!("sending does not end");
    }

    fn poll(&mut self) -> bool {
        let mut any = false;
        for _ in 0..10_000 {
            let Some(event) = self.session.poll_event() else { return any };
            any = true;
            if let MuxEvent::Readable(id) | MuxEvent::Writable(id) | MuxEvent::Finished(id) = event
            {
                assert!(self.opened.contains(&id), "{event:?} of a stream that nobody has");
            }
        }
        panic!("events do not end");
    }

    fn know(&mut self, id: StreamId) {
        assert!(self.opened.insert(id), "{id} came twice");
        self.streams.push(id);
        // Only what is open can hold anything.
        self.streams.retain(|id| {
            !matches!(self.session.read(*id, 0), Err(sanspeer_core::mux::ReadError::UnknownStream))
        });
    }

    fn pick(&self, index: u8) -> Option<StreamId> {
        self.streams.get(usize::from(index) % self.streams.len().max(1)).copied()
    }

    /// Every window is the first one; a slice counts its whole block, which is a frame here.
    fn unread_most(&self) -> u64 {
        self.session.stream_count() as u64 * 2 * u64::from(INITIAL_WINDOW_BYTES)
    }

    fn check(&self) {
        assert!(self.session.stream_count() <= 2 * MAX_STREAMS as usize);
        assert!(self.out.queued() <= MAX_QUEUED_BYTES);
        for id in &self.streams {
            assert!(self.session.unread_bytes(*id) <= u64::from(INITIAL_WINDOW_BYTES));
        }
        let window_use = self.session.window_use();
        assert_eq!(window_use.leased_bytes, 0);
        assert!(
            window_use.unread_bytes <= self.unread_most(),
            "{} bytes held by {} streams",
            window_use.unread_bytes,
            self.session.stream_count()
        );
    }
}

fn frame(type_and_flags: u8, stream: u8, length: u8) -> Vec<u8> {
    let length = LENGTHS[usize::from(length) % LENGTHS.len()];
    let stream = match stream {
        0..=250 => u32::from(stream),
        251..=255 => u32::MAX - u32::from(255 - stream),
    };
    let mut bytes = vec![0; HEADER_BYTES];
    bytes[1] = type_and_flags & 3;
    bytes[3] = type_and_flags >> 2 & 15;
    bytes[4..8].copy_from_slice(&stream.to_be_bytes());
    bytes[8..].copy_from_slice(&length.to_be_bytes());
    if bytes[1] == 0 && length <= INITIAL_WINDOW_BYTES {
        bytes.resize(HEADER_BYTES + length as usize, 7);
    }
    bytes
}
