//! Both ends, the transport between them and the time.

use std::time::Duration;

use sanspeer_core::close::{CloseReason, RefuseReason, TransportFailure};
use sanspeer_core::connection::NodeRoom;
use sanspeer_core::mailbox::{Lease, ToConnection};
use sanspeer_core::mux::StreamId;
use sanspeer_core::time::Timestamp;

use super::end::{End, MAX_TURNS, identity, lease, table};
use super::operation::{Operation, Settings};
use crate::chunks::scaled;

pub(super) struct Pair {
    ends: [End; 2],
    now: Timestamp,
    /// The transport takes nothing from this end.
    stalled: [bool; 2],
    /// No more comes to this end than is on its wire.
    cut: [bool; 2],
    /// Nothing happened that ends a connection.
    undisturbed: bool,
}

impl Pair {
    pub(super) fn new(settings: [u8; 4]) -> Self {
        let settings = Settings::decode(settings);
        let expected = identity(if settings.wrong_peer { 2 } else { 1 }).peer_id();
        let [dialer_late, listener_late] = settings.late_muxer;
        let mut ends =
            [End::new(0, Some(expected), !dialer_late), End::new(1, None, !listener_late)];
        for (number, end) in ends.iter_mut().enumerate() {
            end.admit_at_once = !settings.manual_admission[number];
            end.busy_node = settings.busy_node[number];
        }
        Pair {
            ends,
            now: Timestamp::ZERO,
            stalled: [false; 2],
            cut: [false; 2],
            undisturbed: !settings.wrong_peer,
        }
    }

    /// Runs the operations, then lets everything arrive and ends. Returns the digests of both
    /// ends.
    pub(super) fn run(mut self, operations: &[Operation]) -> [u64; 2] {
        for operation in operations {
            self.apply(*operation);
            self.ends.iter_mut().for_each(|end| end.settle(self.now));
        }
        self.heal();
        if self.undisturbed {
            assert!(self.ends.iter().all(|end| !end.connection.is_closed()), "closed by itself");
            self.everything_arrived();
        }
        self.end();
        self.ends.map(|end| end.digest())
    }

    fn apply(&mut self, operation: Operation) {
        use Operation as O;
        let now = self.now;
        match operation {
            O::Transmit { side, length, times } => {
                self.transmit(side.into(), scaled(length) * (1 + usize::from(times)));
            }
            O::Deliver { side, length, times } => {
                self.deliver(side.into(), scaled(length) * (1 + usize::from(times)));
            }
            O::Exchange { length, times } => {
                self.exchange((scaled(length) * (1 + usize::from(times))).max(1));
            }
            O::Time { steps } => {
                self.undisturbed = false;
                self.pass_time(Duration::from_millis(steps.into()), false);
            }
            O::Open { side, proposals, count } => self.end_of(side).open(now, proposals, count),
            O::Accept { side } => {
                self.end_of(side).accept();
            }
            O::Write { side, index, length, times } => {
                let end = self.end_of(side);
                end.write(end.pick(index), scaled(length) * (1 + usize::from(times % 8)));
            }
            O::Read { side, index, length, times } => {
                let end = self.end_of(side);
                end.read(end.pick(index), scaled(length) * (1 + usize::from(times)));
            }
            O::Finish { side, index } => {
                let end = self.end_of(side);
                end.finish(end.pick(index));
            }
            O::Reset { side, index } => {
                let end = self.end_of(side);
                end.reset(end.pick(index));
            }
            O::Perf { side, upload, download } => {
                self.end_of(side).open_perf(now, scaled(upload) * 8, scaled(download) * 8);
            }
            O::Close { side } => {
                self.undisturbed = false;
                self.end_of(side).connection.close(now, CloseReason::Requested);
            }
            O::NodeOpen { .. }
            | O::NodeSend { .. }
            | O::NodeFinish { .. }
            | O::NodeReset { .. }
            | O::NodePoll { .. }
            | O::NodeClose { .. }
            | O::Admit { .. }
            | O::Refuse { .. }
            | O::Lease { .. }
            | O::Protocols { .. }
            | O::Verify { .. } => self.apply_to_node(operation),
            O::FlipBit { side, at } => {
                let wire = &mut self.ends[1 - usize::from(side)].wire;
                let count = wire.len().max(1);
                if let Some(byte) = wire.get_mut(usize::from(at) % count) {
                    *byte ^= 1 << (at >> 13);
                    self.undisturbed = false;
                }
            }
            O::Truncate { side, length } => {
                self.undisturbed = false;
                self.cut[usize::from(side)] = true;
                self.ends[1 - usize::from(side)].wire.truncate(scaled(length));
            }
            O::TransportError { side } => {
                self.undisturbed = false;
                self.end_of(side).connection.handle_transport_error(now, TransportFailure::Reset);
            }
            O::Stall { side } => {
                let stalled = &mut self.stalled[usize::from(side)];
                *stalled = !*stalled;
            }
        }
    }

    fn apply_to_node(&mut self, operation: Operation) {
        use Operation as O;
        let now = self.now;
        match operation {
            O::Admit { side, lease: choice, table: mask } => {
                self.end_of(side).admit(now, lease(choice), table(mask));
            }
            O::Refuse { side } => {
                self.undisturbed = false;
                let refusal = ToConnection::Refuse(RefuseReason::Policy);
                self.end_of(side).tell(now, refusal);
            }
            O::Lease { side, lease: choice } => self.end_of(side).set_lease(now, lease(choice)),
            O::Protocols { side, table: mask } => {
                self.end_of(side).tell(now, ToConnection::Protocols(table(mask)));
            }
            O::NodeOpen { side, proposals, count } => {
                self.end_of(side).open_for_node(now, proposals, count);
            }
            O::NodeSend { side, index, length, times } => {
                let end = self.end_of(side);
                let length = scaled(length) * (1 + usize::from(times % 4));
                end.send(now, end.pick_node(index), length, times >= 240);
            }
            O::NodeFinish { side, index } => {
                let end = self.end_of(side);
                end.finish_for_node(now, end.pick_node(index));
            }
            O::NodeReset { side, index } => {
                let end = self.end_of(side);
                let stream = end.pick_node(index);
                end.tell(now, ToConnection::Reset { stream, code: 3 });
            }
            O::Verify { side, genuine } => self.end_of(side).verify(now, genuine),
            O::NodeClose { side } => {
                self.undisturbed = false;
                self.end_of(side).tell(now, ToConnection::Close(CloseReason::Banned));
            }
            O::NodePoll { side, count, state } => {
                let room = if state { NodeRoom::State } else { NodeRoom::Queue };
                self.end_of(side).poll_node(now, count.into(), room);
            }
            _ => unreachable!("the caller handles the others"),
        }
    }

    fn end_of(&mut self, side: u8) -> &mut End {
        &mut self.ends[usize::from(side)]
    }

    // The transport.

    fn transmit(&mut self, side: usize, most: usize) -> bool {
        !self.stalled[side] && self.ends[side].transmit(self.now, most)
    }

    /// Delivers to `side`.
    fn deliver(&mut self, side: usize, most: usize) -> bool {
        let [dialer, listener] = &mut self.ends;
        let (to, from) = if side == 0 { (dialer, listener) } else { (listener, dialer) };
        if to.receive(self.now, &mut from.wire, most) {
            return true;
        }
        let ended = self.cut[side] || from.connection.is_closed();
        if ended && from.wire.is_empty() && !to.connection.is_closed() {
            to.connection.handle_eof(self.now);
            to.settle(self.now);
            return true;
        }
        false
    }

    /// Moves everything in pieces of at most so many bytes, as long as anything moves.
    fn exchange(&mut self, piece: usize) {
        // Small pieces of much data would take for ever.
        let mut turns_left = MAX_TURNS;
        let mut piece = piece;
        loop {
            let mut any = false;
            for side in [0, 1] {
                any |= self.transmit(side, usize::MAX);
                if !self.cut[1 - side] || !self.ends[side].wire.is_empty() {
                    any |= self.deliver(1 - side, piece);
                } else {
                    self.ends[side].wire.clear();
                    any |= self.deliver(1 - side, piece);
                }
            }
            if !any {
                return;
            }
            turns_left = turns_left.checked_sub(1).expect("the exchange does not end");
            if turns_left == MAX_TURNS / 2 {
                piece = usize::MAX;
            }
        }
    }

    // Time.

    /// Goes from deadline to deadline; with `moving`, bytes move in between.
    fn pass_time(&mut self, duration: Duration, moving: bool) {
        let until = self.now.saturating_add(duration);
        for _ in 0..MAX_TURNS {
            if moving {
                self.exchange(usize::MAX);
            }
            let deadlines = self.ends.iter().filter_map(|end| end.connection.poll_timeout());
            let next = deadlines.map(|deadline| deadline.at).min();
            let Some(at) = next.filter(|at| *at <= until) else {
                self.now = until;
                self.time_out();
                return;
            };
            self.now = self.now.max(at);
            self.time_out();
        }
        panic!("deadlines do not end");
    }

    fn time_out(&mut self) {
        for end in &mut self.ends {
            end.connection.handle_timeout(self.now);
            end.settle(self.now);
            if let Some(deadline) = end.connection.poll_timeout() {
                assert!(deadline.at > self.now, "{deadline:?} is not after {:?}", self.now);
            }
        }
    }

    // The end.

    /// Nothing stands in the way any more, and everything is read.
    fn heal(&mut self) {
        self.stalled = [false; 2];
        for end in &mut self.ends {
            end.busy_node = false;
            end.admit_at_once = true;
            end.settle(self.now);
            if end.established && !end.admitted {
                end.admit(self.now, Lease::default(), table(0));
            }
        }
        self.exchange(usize::MAX);
        self.nobody_missed_a_wake_up();
        for _ in 0..MAX_TURNS {
            let mut any = false;
            for end in &mut self.ends {
                while end.accept() {}
                let ids: Vec<StreamId> = end.streams.keys().copied().collect();
                for id in ids {
                    while end.read(id, 100_000).is_some() {
                        any = true;
                    }
                }
                end.settle(self.now);
            }
            self.exchange(usize::MAX);
            if !any {
                return;
            }
        }
        panic!("reading does not end");
    }

    /// Once everything has arrived, whoever was blocked and was not told otherwise still is.
    fn nobody_missed_a_wake_up(&mut self) {
        for end in &mut self.ends {
            if end.connection.is_closed() {
                continue;
            }
            let blocked: Vec<StreamId> = end
                .streams
                .iter()
                .filter(|(_, stream)| stream.read_blocked && !stream.over && !stream.end_read)
                .map(|(id, _)| *id)
                .collect();
            for id in blocked {
                let before = end.streams[&id].end_read;
                let found = end.read(id, 1);
                assert!(found.is_none(), "{id} was not announced as readable");
                assert_eq!(before, end.streams[&id].end_read, "the end of {id} was not announced");
            }
        }
    }

    fn everything_arrived(&mut self) {
        let [dialer, listener] = &self.ends;
        for (ours, theirs) in [(dialer, listener), (listener, dialer)] {
            for (id, sent) in ours.streams.iter().filter(|(_, sent)| !sent.over) {
                if sent.written == 0 && !sent.finished {
                    continue;
                }
                let Some(received) = theirs.streams.get(id) else {
                    panic!("{id} never arrived: {sent:?}");
                };
                if !received.over {
                    let ended = received.finished && received.end_read;
                    assert!(received.accepted || ended, "{id} was never offered");
                    assert_eq!(received.read, sent.written, "bytes of {id}");
                    assert_eq!(received.end_read, sent.finished, "the end of {id}");
                }
            }
            for (id, sent) in &ours.node_streams {
                let Some(received) = theirs.node_streams.get(id) else { continue };
                if sent.closed && !sent.finished || received.closed && !received.end_told {
                    assert!(sent.sent.starts_with(&received.received), "frames of {id}");
                    continue;
                }
                if !received.closed && !sent.closed {
                    assert_eq!(received.received, sent.sent, "frames of {id}");
                    assert_eq!(received.end_told, sent.finished, "the end of {id}");
                }
            }
            assert!(ours.open_requests.is_empty(), "Node's requests are not answered");
            assert!(ours.perf.is_empty(), "measurements do not end");
        }
    }

    /// One end closes, and both are gone.
    fn end(&mut self) {
        self.ends[0].connection.close(self.now, CloseReason::Requested);
        self.ends[0].settle(self.now);
        self.pass_time(Duration::from_secs(100), true);
        for end in &self.ends {
            assert!(end.connection.is_closed(), "still there after the other end has gone");
            assert!(end.node_closed, "Node was not told of the end");
            assert!(end.perf.is_empty(), "measurements do not end");
            assert_eq!(end.connection.poll_timeout(), None);
        }
    }
}
