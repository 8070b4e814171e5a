//! Both sides and the wire between them.

use std::collections::VecDeque;
use std::num::NonZero;

use sanspeer_core::tls::{CertificateError, HEADER_BYTES, RecordError, TlsError};

use super::end::{End, Failure};
use super::identity;
use super::operation::{Expects, Operation, Settings};
use crate::chunks::scaled;

/// Moving everything takes fewer turns than this, or does not end.
const MAX_TURNS: usize = 20_000;

/// So many records can come again.
const MAX_HISTORY: usize = 64;

/// More than this on the wire tells nothing new.
const MAX_WIRE_BYTES: usize = 256 << 10;

pub(super) struct Pair {
    settings: Settings,
    ends: [End; 2],
    /// To each side.
    wires: [VecDeque<u8>; 2],
    /// Records that were on the wire to each side, the last behind.
    history: [Vec<Vec<u8>>; 2],
    /// What is on a wire is not what was sent.
    touched: bool,
    /// Somebody sent records without data.
    sent_nothing: bool,
}

impl Pair {
    pub(super) fn new(settings: Settings) -> Self {
        Pair {
            settings,
            ends: [End::new(0, &settings), End::new(1, &settings)],
            wires: Default::default(),
            history: Default::default(),
            touched: false,
            sent_nothing: false,
        }
    }

    pub(super) fn run(mut self, operations: &[Operation]) {
        for operation in operations {
            self.apply(*operation);
            self.check();
        }
        self.exchange(usize::MAX);
        self.check();
        if !self.touched {
            self.everything_arrived();
        }
    }

    fn apply(&mut self, operation: Operation) {
        use Operation as O;
        match operation {
            O::Transmit { side } => {
                self.say(side, |end, wire| {
                    end.transmit(wire);
                });
            }
            O::Deliver { side, length, times } => {
                self.deliver(side, scaled(length) * (1 + usize::from(times)));
            }
            O::Exchange { length, times } => {
                self.exchange((scaled(length) * (1 + usize::from(times))).max(1));
            }
            O::Send { side, length, times } => {
                let length = scaled(length) * (1 + usize::from(times % 8));
                self.say(side, |end, wire| end.send(length, wire));
            }
            O::SendNothing { side, count } => {
                self.sent_nothing = true;
                self.say(side, |end, wire| end.send_nothing(count % 64, wire));
            }
            O::Close { side } => self.say(side, End::close),
            O::GiveUp { side } => self.say(side, End::give_up),
            O::Release { side } => self.ends[usize::from(side)].release(),
            O::Change { side, kind, at, value } => {
                self.change(side, |wire| Operation::change(kind, at, value).apply(wire));
            }
            O::Replay { side, back, behind } => self.replay(side, back.into(), behind),
            O::Swap { side, first, second } => self.change(side, |wire| {
                let mut records = records(wire);
                if let Some(count) = NonZero::new(records.len()) {
                    records.swap(usize::from(first) % count, usize::from(second) % count);
                    *wire = records.concat();
                }
            }),
            O::Inject { side, content_type, length } => {
                let length = scaled(length);
                let [.., high, low] = length.to_be_bytes();
                let mut record = vec![content_type, 3, 3, high, low];
                record.resize(HEADER_BYTES + length, content_type);
                self.change(side, |wire| drop(wire.splice(..0, record)));
            }
        }
    }

    /// Changes what is on the wire to `side`.
    fn change(&mut self, side: u8, change: impl FnOnce(&mut Vec<u8>)) {
        let wire = &mut self.wires[usize::from(side)];
        if wire.len() > MAX_WIRE_BYTES {
            return;
        }
        let before = Vec::from(core::mem::take(wire));
        let mut after = before.clone();
        change(&mut after);
        self.touched |= after != before;
        *wire = after.into();
    }

    /// Lets `side` say something, and remembers it.
    fn say(&mut self, side: u8, what: impl FnOnce(&mut End, &mut Vec<u8>)) {
        if self.wires[1 - usize::from(side)].len() <= MAX_WIRE_BYTES {
            self.say_however_much(side, what);
        }
    }

    fn say_however_much(&mut self, side: u8, what: impl FnOnce(&mut End, &mut Vec<u8>)) {
        let (side, other) = (usize::from(side), 1 - usize::from(side));
        let mut said = Vec::new();
        what(&mut self.ends[side], &mut said);
        let history = &mut self.history[other];
        history.extend(records(&said));
        history.drain(..history.len().saturating_sub(MAX_HISTORY));
        self.wires[other].extend(said);
    }

    fn replay(&mut self, side: u8, back: usize, behind: bool) {
        let history = &self.history[usize::from(side)];
        let Some(record) = history.len().checked_sub(1 + back % MAX_HISTORY) else { return };
        let record = history[record].clone();
        self.change(side, |wire| {
            let at = if behind { wire.len() } else { 0 };
            drop(wire.splice(at..at, record));
        });
    }

    fn deliver(&mut self, side: u8, most: usize) -> bool {
        let wire = &mut self.wires[usize::from(side)];
        let piece: Vec<u8> = wire.drain(..most.min(wire.len())).collect();
        if piece.is_empty() {
            return false;
        }
        // What is taken off the wire must arrive. Few bytes answer it.
        self.say_however_much(side, |end, wire| end.receive(&piece, wire));
        true
    }

    /// Moves everything in pieces of at most so many bytes, as long as anything moves.
    fn exchange(&mut self, piece: usize) {
        let mut piece = piece;
        for turn in 0..MAX_TURNS {
            // Small pieces of much data would take for ever.
            if turn == MAX_TURNS / 2 {
                piece = usize::MAX;
            }
            let mut any = false;
            for side in [0, 1] {
                self.say(side, |end, wire| any |= end.transmit(wire));
                any |= self.deliver(1 - side, piece);
            }
            if !any {
                return;
            }
        }
        panic!("the exchange does not end");
    }

    fn check(&self) {
        let [dialer, listener] = &self.ends;
        assert!(dialer.received <= listener.sent && listener.received <= dialer.sent);
        for (side, end) in self.ends.iter().enumerate() {
            let expects = self.settings.expects[side];
            let refuses = expects == Expects::SomebodyElse || self.settings.too_early[side];
            assert!(!refuses || !end.was_secured, "side {side} is open to whom it refuses");
        }
        // The listener is the last.
        let finished = self.ends.each_ref().map(|end| end.was_secured);
        assert!(finished != [false, true], "the dialer did not send its last message");
    }

    /// Nothing was changed on the way.
    fn everything_arrived(&self) {
        if self.refused() {
            return;
        }
        let [dialer, listener] = &self.ends;
        assert!(dialer.was_secured && listener.was_secured);
        for (ours, theirs) in [(dialer, listener), (listener, dialer)] {
            match &ours.failure {
                None => {
                    assert!(ours.is_open());
                    assert_eq!(ours.received, theirs.sent);
                    assert_eq!(ours.remote_closed, theirs.closed);
                }
                Some(Failure::Record(RecordError::Alert(_))) => {
                    assert!(theirs.gave_up || theirs.failure.is_some());
                }
                Some(Failure::Record(RecordError::TooManyMessages)) => assert!(self.sent_nothing),
                Some(failure) => panic!("failed with {failure:?}"),
            }
        }
    }

    /// Whether a side refuses the other; then both have ended as they should.
    fn refused(&self) -> bool {
        let [dialer, listener] = &self.ends;
        for (side, end) in [dialer, listener].into_iter().enumerate() {
            let other = 1 - u8::try_from(side).expect("one of two");
            let error = if self.settings.too_early[side] {
                let (from, now) = (157_766_400, 0);
                TlsError::Certificate(CertificateError::NotYetValid { from, now })
            } else if self.settings.expects[side] == Expects::SomebodyElse {
                let expected = Box::new(identity(2).peer_id());
                TlsError::WrongPeer { expected, found: Box::new(identity(other).peer_id()) }
            } else {
                continue;
            };
            assert_eq!(end.failure, Some(Failure::Handshake(error)));
            let told = &self.ends[usize::from(other)].failure;
            assert!(
                matches!(
                    told,
                    Some(
                        Failure::Handshake(TlsError::Alert(_))
                            | Failure::Record(RecordError::Alert(_))
                    )
                ),
                "{told:?}"
            );
            return true;
        }
        false
    }
}

/// Whole records, and behind them what is none.
fn records(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    while let [_, _, _, high, low, ..] = bytes {
        let length = HEADER_BYTES + usize::from(u16::from_be_bytes([*high, *low]));
        let Some((record, rest)) = bytes.split_at_checked(length) else { break };
        records.push(record.to_vec());
        bytes = rest;
    }
    if !bytes.is_empty() {
        records.push(bytes.to_vec());
    }
    records
}
