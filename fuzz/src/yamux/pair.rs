//! Two sessions and a transport between them.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use sanspeer_core::mux::{MuxEvent, MuxLimits, ReadError, Role, StreamId, WriteError};
use sanspeer_core::recv_buffer::BlockId;
use sanspeer_core::send_buffer::{MAX_QUEUED_BYTES, SendBuffer};
use sanspeer_core::time::Timestamp;
use sanspeer_core::yamux::{Yamux, YamuxConfig, YamuxError};

use super::wire::Wire;
use crate::chunks::scaled;
use crate::pattern;
use crate::script::{self, Script};

/// What can be done with two sessions. `side` is 0 or 1; `index` picks one of its streams.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the fields are named")]
pub enum Operation {
    Open {
        side: u8,
        count: u8,
    },
    Accept {
        side: u8,
    },
    Write {
        side: u8,
        index: u8,
        length: u8,
        times: u8,
    },
    Read {
        side: u8,
        index: u8,
        max: u8,
        into: bool,
    },
    Finish {
        side: u8,
        index: u8,
    },
    Reset {
        side: u8,
        index: u8,
    },
    /// At most so many bytes from the send buffer to the wire, then from there to the other side.
    Transmit {
        side: u8,
        length: u8,
        times: u8,
    },
    Deliver {
        side: u8,
        length: u8,
        times: u8,
    },
    /// Everything that is on its way arrives.
    Exchange,
    /// So many times ten milliseconds.
    Time {
        steps: u16,
    },
    Limits {
        side: u8,
        inbound: u8,
        lease: u8,
    },
}

impl script::Operation for Operation {
    fn decode([kind, a, b, c]: [u8; 4]) -> Self {
        let (side, index) = (a & 1, a >> 1);
        match kind % 11 {
            0 => Operation::Open { side, count: b },
            1 => Operation::Accept { side },
            2 => Operation::Write { side, index, length: b, times: c },
            3 => Operation::Read { side, index, max: b, into: c & 1 == 1 },
            4 => Operation::Finish { side, index },
            5 => Operation::Reset { side, index },
            6 => Operation::Transmit { side, length: b, times: c },
            7 => Operation::Deliver { side, length: b, times: c },
            8 => Operation::Exchange,
            9 => Operation::Time { steps: u16::from_be_bytes([b, c]) },
            _ => Operation::Limits { side, inbound: b, lease: c },
        }
    }

    fn encode(&self) -> [u8; 4] {
        match *self {
            Operation::Open { side, count } => [0, side, count, 0],
            Operation::Accept { side } => [1, side, 0, 0],
            Operation::Write { side, index, length, times } => {
                [2, side | index << 1, length, times]
            }
            Operation::Read { side, index, max, into } => [3, side | index << 1, max, into.into()],
            Operation::Finish { side, index } => [4, side | index << 1, 0, 0],
            Operation::Reset { side, index } => [5, side | index << 1, 0, 0],
            Operation::Transmit { side, length, times } => [6, side, length, times],
            Operation::Deliver { side, length, times } => [7, side, length, times],
            Operation::Exchange => [8, 0, 0, 0],
            Operation::Time { steps } => {
                let [high, low] = steps.to_be_bytes();
                [9, 0, high, low]
            }
            Operation::Limits { side, inbound, lease } => [10, side, inbound, lease],
        }
    }
}

/// What one side did with a stream.
#[derive(Debug, Default)]
struct Known {
    written: u64,
    read: u64,
    finished: bool,
    end_read: bool,
    /// Reset by either side.
    gone: bool,
    read_blocked: bool,
    write_blocked: bool,
}

impl Known {
    /// The session may have forgotten it.
    fn is_over(&self) -> bool {
        self.gone || self.finished && self.end_read
    }
}

struct Side {
    session: Yamux,
    out: SendBuffer,
    /// Sent, and not received by the other side.
    wire: VecDeque<u8>,
    streams: BTreeMap<StreamId, Known>,
    block: u64,
}

struct Pair {
    sides: [Side; 2],
    wire: Wire,
    now: Timestamp,
}

/// Runs one script. Of its settings, the second limits how many streams may be open.
pub fn run(script: &Script<Operation>) {
    let limits = MuxLimits {
        max_inbound_streams: 16 + u32::from(script.settings[1]) * 2,
        max_outbound_streams: 600,
        ..MuxLimits::default()
    };
    let side = |role| Side {
        session: Yamux::new(role, YamuxConfig::default(), limits, Timestamp::ZERO),
        out: SendBuffer::default(),
        wire: VecDeque::new(),
        streams: BTreeMap::new(),
        block: 0,
    };
    let mut pair = Pair {
        sides: [side(Role::Dialer), side(Role::Listener)],
        wire: Wire::default(),
        now: Timestamp::ZERO,
    };
    for operation in &script.operations {
        if !pair.apply(*operation) {
            return;
        }
        pair.check();
    }
    pair.nobody_missed_a_wake_up();
    pair.everything_arrived();
    pair.nothing_is_left();
}

impl Pair {
    /// False when the session ended, as it should.
    fn apply(&mut self, operation: Operation) -> bool {
        match operation {
            Operation::Open { side, count } => {
                for _ in 0..=count % 32 {
                    self.open(side.into());
                }
            }
            Operation::Accept { side } => {
                self.accept(side.into());
            }
            Operation::Write { side, index, length, times } => {
                self.write(side.into(), index, scaled(length) * (1 + usize::from(times % 16)));
            }
            Operation::Read { side, index, max, into } => {
                if let Some(id) = self.sides[usize::from(side)].pick(index) {
                    self.read(side.into(), id, scaled(max) * 4, into);
                }
            }
            Operation::Finish { side, index } => self.finish(side.into(), index),
            Operation::Reset { side, index } => self.reset(side.into(), index),
            Operation::Transmit { side, length, times } => {
                self.transmit(side.into(), scaled(length) * (1 + usize::from(times)));
            }
            Operation::Deliver { side, length, times } => {
                self.deliver(side.into(), scaled(length) * (1 + usize::from(times)));
            }
            Operation::Exchange => self.exchange(),
            Operation::Time { steps } => return self.pass_time(steps),
            Operation::Limits { side, inbound, lease } => {
                let limits = MuxLimits {
                    max_inbound_streams: inbound.into(),
                    window_lease_bytes: u64::from(lease) * 64 * 1024,
                    ..MuxLimits::default()
                };
                self.sides[usize::from(side)].session.set_limits(limits);
            }
        }
        true
    }

    fn open(&mut self, side: usize) {
        let side_is_dialer = side == 0;
        let side = &mut self.sides[side];
        side.session.advance(self.now);
        if let Ok(id) = side.session.open() {
            assert_eq!(id.0 % 2 == 1, side_is_dialer, "the parity of {id}");
            assert!(side.streams.insert(id, Known::default()).is_none(), "{id} was used before");
        }
    }

    fn accept(&mut self, side: usize) -> bool {
        let side_is_dialer = side == 0;
        let side = &mut self.sides[side];
        let Some(id) = side.session.accept() else { return false };
        assert_eq!(id.0 % 2 == 0, side_is_dialer, "the parity of {id}");
        let fresh = Known { read_blocked: false, ..Known::default() };
        assert!(side.streams.insert(id, fresh).is_none(), "{id} was accepted twice");
        side.poll();
        true
    }

    fn write(&mut self, side: usize, index: u8, length: usize) {
        let direction = side as u8;
        let side = &mut self.sides[side];
        let Some(id) = side.pick(index) else { return };
        let Some(known) = side.streams.get_mut(&id) else { return };
        let data = pattern::bytes(id.0, direction, known.written, length);
        match side.session.write(id, &data, &mut side.out) {
            Ok(n) => {
                assert!(n <= data.len() && (n > 0 || data.is_empty()));
                assert!(!known.finished && !known.gone);
                known.written += n as u64;
            }
            Err(WriteError::Blocked) => known.write_blocked = true,
            Err(WriteError::Finished) => assert!(known.finished),
            Err(WriteError::UnknownStream) => assert!(known.is_over(), "{id}: {known:?}"),
            Err(error) => panic!("write on {id}: {error:?}"),
        }
    }

    /// Whether there may be more to read.
    fn read(&mut self, side: usize, id: StreamId, max: usize, into: bool) -> bool {
        let direction = 1 - side as u8;
        let side = &mut self.sides[side];
        let Some(known) = side.streams.get_mut(&id) else { return false };
        let result = if into {
            let mut buffer = vec![0; max];
            side.session.read_into(id, &mut buffer).map(|n| Bytes::from(buffer).slice(..n))
        } else {
            side.session.read(id, max)
        };
        match result {
            Ok(bytes) => {
                assert!(bytes.len() <= max);
                assert!(!known.gone);
                pattern::check(id.0, direction, known.read, &bytes);
                assert!(bytes.is_empty() || !known.end_read, "data behind the end of {id}");
                known.read += bytes.len() as u64;
                known.end_read |= bytes.is_empty() && max > 0;
                !bytes.is_empty()
            }
            Err(ReadError::Blocked) => {
                assert!(!known.end_read);
                known.read_blocked = true;
                false
            }
            Err(ReadError::UnknownStream) => {
                assert!(known.is_over(), "{id}: {known:?}");
                false
            }
            Err(error) => panic!("read on {id}: {error:?}"),
        }
    }

    fn finish(&mut self, side: usize, index: u8) {
        let side = &mut self.sides[side];
        let Some(id) = side.pick(index) else { return };
        side.finish(id);
    }

    fn reset(&mut self, side: usize, index: u8) {
        let side = &mut self.sides[side];
        let Some(id) = side.pick(index) else { return };
        if let Some(known) = side.streams.get_mut(&id) {
            known.gone |= !known.is_over();
        }
        side.session.reset(id, 0).expect("fewer resets than are kept");
    }

    fn transmit(&mut self, side: usize, most: usize) -> bool {
        let number = side;
        let side = &mut self.sides[side];
        side.session.flush(&mut side.out);
        let bytes = side.out.transmit(None).expect("nothing is sealed");
        let n = bytes.len().min(most);
        side.wire.extend(&bytes[..n]);
        self.wire.sent(number, &bytes[..n]);
        side.out.transmitted(n);
        side.session.flush(&mut side.out);
        side.poll();
        n > 0
    }

    fn deliver(&mut self, side: usize, most: usize) -> bool {
        let wire = &mut self.sides[1 - side].wire;
        let n = wire.len().min(most);
        let mut input: Bytes = wire.drain(..n).collect();
        let side = &mut self.sides[side];
        side.session.advance(self.now);
        side.session.received();
        side.block += 1;
        let block = BlockId { number: side.block, bytes: n };
        while !input.is_empty() {
            let before = input.len();
            side.session.handle(&mut input, block).expect("the other side keeps to Yamux");
            assert!(side.poll() || input.len() < before, "no progress");
        }
        side.poll();
        n > 0
    }

    fn exchange(&mut self) {
        for _ in 0..10_000 {
            let mut any = false;
            for side in [0, 1] {
                any |= self.transmit(side, usize::MAX);
                any |= self.deliver(1 - side, usize::MAX);
            }
            if !any {
                return;
            }
        }
        panic!("the exchange does not end");
    }

    fn pass_time(&mut self, steps: u16) -> bool {
        self.now = Timestamp(self.now.0 + u64::from(steps) * 10_000_000);
        for side in &mut self.sides {
            match side.session.handle_timeout(self.now) {
                Ok(()) => {}
                // Its ping, or the answer, is still on its way.
                Err(YamuxError::KeepAliveTimeout) => return false,
                Err(error) => panic!("timeout: {error}"),
            }
            side.poll();
            let deadline = side.session.poll_timeout();
            assert!(deadline.is_none_or(|deadline| deadline.at > self.now), "{deadline:?} is past");
        }
        true
    }

    fn check(&self) {
        for side in &self.sides {
            assert!(side.out.queued() <= MAX_QUEUED_BYTES, "{} bytes queued", side.out.queued());
            let unread: u64 = side.streams.keys().map(|id| side.session.unread_bytes(*id)).sum();
            assert!(side.session.window_use().unread_bytes >= unread);
        }
    }

    /// Once everything has arrived, whoever was blocked and was not told otherwise still is.
    fn nobody_missed_a_wake_up(&mut self) {
        self.exchange();
        for side in [0, 1] {
            let blocked: Vec<StreamId> = self.sides[side]
                .streams
                .iter()
                .filter(|(_, known)| known.read_blocked && !known.is_over())
                .map(|(id, _)| *id)
                .collect();
            for id in blocked {
                let found = self.sides[side].session.read(id, 1);
                assert_eq!(found, Err(ReadError::Blocked), "{id} was not announced as readable");
            }
        }
    }

    fn read_all(&mut self) {
        for side in [0, 1] {
            while self.accept(side) {}
            let ids: Vec<StreamId> = self.sides[side].streams.keys().copied().collect();
            for id in ids {
                while self.read(side, id, 100_000, false) {}
            }
        }
    }

    fn everything_arrived(&mut self) {
        self.settle();
        let [dialer, listener] = &self.sides;
        for (ours, theirs) in [(dialer, listener), (listener, dialer)] {
            for (id, sent) in &ours.streams {
                let waits = sent.write_blocked && !sent.finished && !sent.is_over();
                assert!(!waits, "{id} was never told of room");
                if sent.gone || sent.written == 0 && !sent.finished {
                    continue;
                }
                let Some(received) = theirs.streams.get(id) else {
                    panic!("{id} never arrived: {sent:?}");
                };
                if !received.gone {
                    assert_eq!(received.read, sent.written, "bytes of {id}");
                    assert_eq!(received.end_read, sent.finished, "the end of {id}");
                }
            }
        }
    }

    /// With every stream finished on both sides, nothing is held.
    fn nothing_is_left(&mut self) {
        for _ in 0..3 {
            for side in &mut self.sides {
                let ids: Vec<StreamId> = side.streams.keys().copied().collect();
                ids.into_iter().for_each(|id| side.finish(id));
            }
            self.settle();
        }
        for (number, side) in self.sides.iter().enumerate() {
            assert_eq!(side.session.stream_count(), 0, "streams are left over");
            let window_use = side.session.window_use();
            assert_eq!((window_use.unread_bytes, window_use.leased_bytes), (0, 0));
            assert!(side.out.is_empty() && !side.session.owes_frames());
            assert!(self.wire.is_between_frames(number));
        }
    }

    /// Everything is read until nothing moves.
    fn settle(&mut self) {
        let read = |pair: &Pair| -> u64 {
            pair.sides.iter().flat_map(|side| side.streams.values()).map(|known| known.read).sum()
        };
        for _ in 0..10_000 {
            let before = read(self);
            self.exchange();
            self.read_all();
            self.exchange();
            if read(self) == before {
                return;
            }
        }
        panic!("reading does not end");
    }
}

impl Side {
    fn pick(&self, index: u8) -> Option<StreamId> {
        let count = self.streams.len().max(1);
        self.streams.keys().nth(usize::from(index) % count).copied()
    }

    fn finish(&mut self, id: StreamId) {
        let Some(known) = self.streams.get_mut(&id) else { return };
        match self.session.finish(id) {
            Ok(()) => known.finished = true,
            Err(WriteError::UnknownStream) => assert!(known.is_over(), "{id}: {known:?}"),
            Err(error) => panic!("finish on {id}: {error:?}"),
        }
    }

    /// Takes events until there are none; whether there were any.
    fn poll(&mut self) -> bool {
        let mut any = false;
        for _ in 0..10_000 {
            let Some(event) = self.session.poll_event() else { return any };
            any = true;
            match event {
                MuxEvent::Inbound => {}
                MuxEvent::Readable(id) | MuxEvent::Finished(id) => {
                    self.known(id).read_blocked = false;
                }
                MuxEvent::Writable(id) => self.known(id).write_blocked = false,
                MuxEvent::Reset { stream, .. } => self.known(stream).gone = true,
                event @ (MuxEvent::Secured { .. }
                | MuxEvent::Stopped { .. }
                | MuxEvent::Closed { .. }) => panic!("{event:?} of a session"),
            }
        }
        panic!("events do not end");
    }

    fn known(&mut self, id: StreamId) -> &mut Known {
        self.streams.entry(id).or_default()
    }
}
