//! Two sessions against a plain reference, under random use.
//!
//! The reference knows for each direction of each stream what was written, how much of that was
//! read, and whether it was finished or reset. Whatever the sessions do with their windows, queues
//! and frames, that is what must be seen at the other end.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use proptest::prelude::*;
use sanspeer_core::mux::{MuxEvent, MuxLimits, ReadError, Role, StreamId, WriteError};
use sanspeer_core::rng::Seed;
use sanspeer_core::send_buffer::MAX_QUEUED_BYTES;
use sanspeer_core::yamux::{INITIAL_WINDOW_BYTES, YamuxConfig};

use crate::audit::Audit;
use crate::side::Side;

const MAX_WRITE_BYTES: usize = 150_000;

/// What happens next. The first number is the side.
#[derive(Clone, Copy, Debug)]
enum Op {
    Open(usize),
    Accept(usize),
    Write(usize, usize, usize),
    Read(usize, usize, usize),
    ReadInto(usize, usize, usize),
    Finish(usize, usize),
    Reset(usize, usize),
    Transmit(usize, usize),
    Deliver(usize, usize),
    /// Much data at once, each piece read as it arrives.
    Bulk(usize, usize),
    Compact(usize),
    Advance(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let side = || 0usize..2;
    let stream = || 0usize..8;
    let size = || prop_oneof![3 => 1usize..2000, 2 => 1usize..MAX_WRITE_BYTES];
    prop_oneof![
        3 => side().prop_map(Op::Open),
        3 => side().prop_map(Op::Accept),
        8 => (side(), stream(), size()).prop_map(|(side, at, n)| Op::Write(side, at, n)),
        6 => (side(), stream(), size()).prop_map(|(side, at, n)| Op::Read(side, at, n)),
        2 => (side(), stream(), size()).prop_map(|(side, at, n)| Op::ReadInto(side, at, n)),
        2 => (side(), stream()).prop_map(|(side, at)| Op::Finish(side, at)),
        1 => (side(), stream()).prop_map(|(side, at)| Op::Reset(side, at)),
        6 => (side(), size()).prop_map(|(side, n)| Op::Transmit(side, 2 * n)),
        8 => (side(), size()).prop_map(|(side, n)| Op::Deliver(side, 2 * n)),
        2 => (side(), stream()).prop_map(|(side, at)| Op::Bulk(side, at)),
        1 => side().prop_map(Op::Compact),
        2 => (0u64..5000).prop_map(Op::Advance),
    ]
}

/// One end of a stream, as the reference knows it.
#[derive(Debug, Default)]
struct End {
    /// The application holds it.
    taken: bool,
    written: Vec<u8>,
    /// How much the other end has read of it.
    read_by_other: usize,
    finished: bool,
    /// The application has read the other end's end.
    end_read: bool,
    reset: bool,
    saw_finished: u32,
    saw_reset: u32,
}

impl End {
    fn is_gone(&self) -> bool {
        self.reset || self.saw_reset > 0
    }

    /// Both directions are through; the session forgets it once that is sent.
    fn is_through(&self) -> bool {
        self.finished && self.end_read
    }
}

struct Peer {
    side: Side,
    audit: Audit,
    /// Sent and not delivered.
    wire: VecDeque<u8>,
    held: Vec<StreamId>,
}

struct World {
    peers: [Peer; 2],
    ends: BTreeMap<StreamId, [End; 2]>,
    data: Vec<u8>,
    lease_bytes: u64,
}

impl World {
    fn new(lease_bytes: u64) -> Self {
        let config =
            YamuxConfig { keep_alive_timeout: Duration::from_secs(1 << 20), ..Default::default() };
        let limits = MuxLimits { window_lease_bytes: lease_bytes, ..MuxLimits::default() };
        let peers = [Role::Dialer, Role::Listener].map(|role| Peer {
            side: Side::with(role, config, limits),
            audit: Audit::of(role),
            wire: VecDeque::new(),
            held: Vec::new(),
        });
        let mut data = vec![0; 2 * MAX_WRITE_BYTES];
        Seed::from_u64(1).rng().fill(&mut data);
        World { peers, ends: BTreeMap::new(), data, lease_bytes }
    }

    fn end(&mut self, side: usize, id: StreamId) -> &mut End {
        &mut self.ends.get_mut(&id).expect("a stream that was opened")[side]
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Open(side) => {
                let id = self.peers[side].side.open();
                let mut ends = [End::default(), End::default()];
                ends[side].taken = true;
                assert!(self.ends.insert(id, ends).is_none(), "{id} is used twice");
                self.peers[side].held.push(id);
            }
            Op::Accept(side) => {
                let _ = self.accept(side);
            }
            Op::Write(side, at, n) => self.with(side, at, |world, id| world.write(side, id, n)),
            Op::Read(side, at, n) => self.with(side, at, |world, id| {
                let _ = world.read(side, id, n);
            }),
            Op::ReadInto(side, at, n) => {
                self.with(side, at, |world, id| world.read_into(side, id, n));
            }
            Op::Finish(side, at) => self.with(side, at, |world, id| world.finish(side, id)),
            Op::Reset(side, at) => self.with(side, at, |world, id| world.reset(side, id)),
            Op::Transmit(side, n) => {
                let _ = self.transmit(side, n);
            }
            Op::Deliver(side, n) => self.deliver(side, n),
            Op::Bulk(side, at) => self.with(side, at, |world, id| world.bulk(side, id)),
            Op::Compact(side) => self.peers[side].side.session.compact(),
            Op::Advance(millis) => {
                for peer in &mut self.peers {
                    let passed = Duration::from_millis(millis);
                    peer.side.advance(passed).expect("a remote that is given time");
                }
            }
        }
        for side in 0..2 {
            self.see_events(side);
            self.check(side);
        }
    }

    /// Lets an operation choose among the streams that a side holds.
    fn with(&mut self, side: usize, at: usize, act: impl FnOnce(&mut Self, StreamId)) {
        let held = &self.peers[side].held;
        if !held.is_empty() {
            let id = held[at % held.len()];
            act(self, id);
        }
    }

    fn accept(&mut self, side: usize) -> bool {
        let Some(id) = self.peers[side].side.session.accept() else { return false };
        let other_reset = self.end(1 - side, id).reset;
        let end = self.end(side, id);
        assert!(!end.taken, "{id} is taken twice");
        assert!(!end.is_gone() || other_reset);
        end.taken = true;
        self.peers[side].held.push(id);
        true
    }

    fn write(&mut self, side: usize, id: StreamId, n: usize) {
        let start = self.end(side, id).written.len() * 7 % MAX_WRITE_BYTES;
        let data = self.data[start..start + n].to_vec();
        let result = self.peers[side].side.write(id, &data);
        let end = self.end(side, id);
        match result {
            Ok(written) => {
                assert!(!end.finished && !end.is_gone() && written > 0 && written <= n);
                end.written.extend_from_slice(&data[..written]);
            }
            Err(WriteError::Blocked) => assert!(!end.finished && !end.is_gone()),
            Err(WriteError::Finished) => assert!(end.finished && !end.is_gone()),
            Err(WriteError::UnknownStream) => assert!(end.is_gone() || end.is_through()),
            Err(
                error @ (WriteError::Stopped(_)
                | WriteError::Reset(_)
                | WriteError::ConnectionClosed),
            ) => panic!("{error:?}"),
        }
    }

    /// Checks what was read, and returns how much it was.
    fn found(&mut self, side: usize, id: StreamId, result: Result<&[u8], ReadError>) -> usize {
        match result {
            Ok([]) => {
                let other = self.end(1 - side, id);
                assert!(other.finished && other.read_by_other == other.written.len());
                self.end(side, id).end_read = true;
                0
            }
            Ok(bytes) => {
                assert!(!self.end(side, id).is_gone());
                let other = self.end(1 - side, id);
                let unread = &other.written[other.read_by_other..];
                assert!(unread.starts_with(bytes), "{id}: {} bytes are wrong", bytes.len());
                other.read_by_other += bytes.len();
                bytes.len()
            }
            Err(ReadError::Blocked) => {
                let end = self.end(side, id);
                assert!(!end.is_gone() && !end.end_read);
                0
            }
            Err(ReadError::UnknownStream) => {
                let end = self.end(side, id);
                assert!(end.is_gone() || end.is_through());
                0
            }
            Err(
                error @ (ReadError::Reset(_)
                | ReadError::ConnectionClosed
                | ReadError::UnsupportedProtocol),
            ) => panic!("{error:?}"),
        }
    }

    fn read(&mut self, side: usize, id: StreamId, n: usize) -> usize {
        let result = self.peers[side].side.session.read(id, n);
        self.found(side, id, result.as_deref().map_err(|error| *error))
    }

    fn read_into(&mut self, side: usize, id: StreamId, n: usize) {
        let mut buffer = vec![0; n];
        let result = self.peers[side].side.session.read_into(id, &mut buffer);
        self.found(side, id, result.map(|n| &buffer[..n]));
    }

    fn finish(&mut self, side: usize, id: StreamId) {
        let result = self.peers[side].side.session.finish(id);
        let end = self.end(side, id);
        match result {
            Ok(()) => {
                assert!(!end.is_gone());
                end.finished = true;
            }
            Err(error) => {
                assert_eq!(error, WriteError::UnknownStream);
                assert!(end.is_gone() || end.is_through());
            }
        }
    }

    fn reset(&mut self, side: usize, id: StreamId) {
        let end = self.end(side, id);
        if end.is_gone() || end.is_through() {
            return;
        }
        end.reset = true;
        self.peers[side].side.session.reset(id, 0).expect("room for a reset");
    }

    fn transmit(&mut self, side: usize, n: usize) -> usize {
        let [dialer, listener] = &mut self.peers;
        let (peer, other) = if side == 0 { (dialer, listener) } else { (listener, dialer) };
        let bytes = peer.side.transmit(n);
        peer.audit.watch(&bytes, &other.audit);
        peer.wire.extend(&bytes);
        bytes.len()
    }

    /// Takes bytes that `side` sent to the other.
    fn deliver(&mut self, side: usize, n: usize) {
        let wire = &mut self.peers[side].wire;
        let bytes: Vec<u8> = wire.drain(..n.min(wire.len())).collect();
        self.peers[1 - side].side.receive(&bytes).expect("frames of ours");
        self.see_events(1 - side);
    }

    fn bulk(&mut self, side: usize, id: StreamId) {
        for _ in 0..6 {
            self.write(side, id, MAX_WRITE_BYTES);
            self.transmit(side, usize::MAX);
            self.deliver(side, usize::MAX);
            if self.end(1 - side, id).taken {
                while self.read(1 - side, id, usize::MAX) > 0 {}
            }
            self.transmit(1 - side, usize::MAX);
            self.deliver(1 - side, usize::MAX);
        }
    }

    fn see_events(&mut self, side: usize) {
        for event in self.peers[side].side.events() {
            match event {
                MuxEvent::Inbound => {}
                MuxEvent::Readable(id) | MuxEvent::Writable(id) => {
                    assert!(self.end(side, id).taken, "{event:?}");
                }
                MuxEvent::Finished(id) => {
                    assert!(self.end(1 - side, id).finished);
                    let end = self.end(side, id);
                    end.saw_finished += 1;
                    assert!(end.taken && end.saw_finished == 1);
                }
                MuxEvent::Reset { stream, .. } => {
                    assert!(self.end(1 - side, stream).reset);
                    let end = self.end(side, stream);
                    end.saw_reset += 1;
                    assert!(end.taken && !end.reset && end.saw_reset == 1);
                }
                MuxEvent::Secured { .. } | MuxEvent::Stopped { .. } | MuxEvent::Closed { .. } => {
                    panic!("{event:?}")
                }
            }
        }
    }

    /// What holds at every step.
    fn check(&self, side: usize) {
        let Peer { side: peer, audit, .. } = &self.peers[side];
        assert!(peer.out.queued() <= MAX_QUEUED_BYTES);
        let usage = peer.session.window_use();
        assert!(usage.leased_bytes <= self.lease_bytes, "{usage:?}");
        for (id, ends) in &self.ends {
            let unread = peer.session.unread_bytes(*id);
            let most = u64::from(INITIAL_WINDOW_BYTES) + self.lease_bytes;
            assert!(unread <= most, "{id}: {unread} bytes are unread");
            // Never more than what was read and one window are granted.
            let wire_id = u32::try_from(id.0).expect("an id of 32 bits");
            if let Some(sent) = audit.streams.get(&wire_id) {
                let read = ends[1 - side].read_by_other as u64;
                assert!(sent.granted_bytes <= read + self.lease_bytes, "{id}: {sent:?}");
            }
        }
    }

    /// Finishes everything and reads until nothing moves any more.
    fn run_out(&mut self) {
        loop {
            let mut moved = 0;
            for side in 0..2 {
                while self.accept(side) {}
                for id in self.peers[side].held.clone() {
                    self.finish(side, id);
                    loop {
                        let read = self.read(side, id, usize::MAX);
                        moved += read;
                        if read == 0 {
                            break;
                        }
                    }
                }
                moved += self.transmit(side, usize::MAX) + self.peers[side].wire.len();
                self.deliver(side, usize::MAX);
                self.check(side);
            }
            if moved == 0 {
                return;
            }
        }
    }

    /// What must have come of it all.
    fn check_end(&mut self) {
        for (id, ends) in &self.ends {
            let was_reset = ends.iter().any(|end| end.reset);
            for side in 0..2 {
                let (end, other) = (&ends[side], &ends[1 - side]);
                if !was_reset {
                    assert!(end.taken, "{id} was never taken");
                    assert_eq!(other.read_by_other, other.written.len(), "{id} lost bytes");
                    assert!(end.end_read, "{id}: the end was not seen");
                    assert_eq!((end.saw_finished, end.saw_reset), (1, 0), "{id}");
                } else if end.taken && !end.reset && !end.is_through() {
                    assert_eq!(end.saw_reset, 1, "{id}: the reset was not seen");
                }
            }
        }
        for peer in &self.peers {
            assert_eq!(peer.side.session.stream_count(), 0);
            let usage = peer.side.session.window_use();
            assert_eq!((usage.unread_bytes, usage.leased_bytes), (0, 0));
            assert!(!peer.side.session.owes_frames());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn two_sessions_do_what_a_plain_reference_says(
        lease_bytes in prop_oneof![Just(0), Just(100_000), Just(4 << 20)],
        ops in proptest::collection::vec(op(), 1..200),
    ) {
        let mut world = World::new(lease_bytes);
        for op in ops {
            world.apply(op);
        }
        world.run_out();
        world.check_end();
    }
}
