//! What can happen to two sides of a session.

use crate::change::Change;
use crate::script;

/// What a script's settings mean.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// What is done.
    pub mode: Mode,
    /// Bits 2 and 3: this side expects the other one; bits 4 and 5: it expects somebody else.
    pub expects: [Expects; 2],
    /// Bit 6 and 7: this side lives in 1970, when no certificate is valid.
    pub too_early: [bool; 2],
    /// Masks of the multiplexers that each side offers.
    pub offers: [u8; 2],
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    /// Two sides run against each other.
    Pair,
    /// Bytes are all that comes to a handshake.
    Handshake,
    /// Bytes are all that comes after a handshake.
    Records,
}

/// Whom a side expects.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Expects {
    /// Anybody.
    Anybody,
    /// The one that is there.
    TheOther,
    /// One that is not.
    SomebodyElse,
}

impl Settings {
    /// The lowest two bits of the first byte are the mode; the second and third byte are the offers.
    pub fn decode([flags, dialer, listener, _]: [u8; 4]) -> Self {
        let bit = |bit: u8| flags >> bit & 1 == 1;
        let expects = |side: u8| match (bit(2 + side), bit(4 + side)) {
            (_, true) => Expects::SomebodyElse,
            (true, false) => Expects::TheOther,
            (false, false) => Expects::Anybody,
        };
        Settings {
            mode: match flags & 3 {
                0 | 1 => Mode::Pair,
                2 => Mode::Handshake,
                _ => Mode::Records,
            },
            expects: [expects(0), expects(1)],
            too_early: [bit(6), bit(7)],
            offers: [dialer, listener],
        }
    }
}

/// One thing that happens. `side` is 0 for the dialer and 1 for the listener.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the fields are named")]
pub enum Operation {
    /// What this side has to say goes to the wire.
    Transmit {
        side: u8,
    },
    /// Bytes from the wire to this side.
    Deliver {
        side: u8,
        length: u8,
        times: u8,
    },
    /// Everything that is on its way arrives, in pieces of this length.
    Exchange {
        length: u8,
        times: u8,
    },
    /// Data, in as many records as it takes.
    Send {
        side: u8,
        length: u8,
        times: u8,
    },
    /// So many records without data.
    SendNothing {
        side: u8,
        count: u8,
    },
    Close {
        side: u8,
    },
    GiveUp {
        side: u8,
    },
    /// Forgets the schedules of the ciphers.
    Release {
        side: u8,
    },
    /// Changes what is on the wire to this side, at `at` as a length.
    Change {
        side: u8,
        kind: u8,
        at: u8,
        value: u8,
    },
    /// A record that was on the wire to this side before comes again, in front or behind.
    Replay {
        side: u8,
        back: u8,
        behind: bool,
    },
    /// Two records on the wire to this side change places.
    Swap {
        side: u8,
        first: u8,
        second: u8,
    },
    /// A record of this type, in front of the others.
    Inject {
        side: u8,
        content_type: u8,
        length: u8,
    },
}

impl Operation {
    /// The change of the wire that [`Operation::Change`] makes: `at` stands for a length as
    /// [`crate::chunks::scaled`] has it.
    pub(super) fn change(kind: u8, at: u8, value: u8) -> Change {
        let at = u16::try_from(crate::chunks::scaled(at)).unwrap_or(u16::MAX);
        Change::new(kind, at, value)
    }
}

impl script::Operation for Operation {
    fn decode([kind, a, b, c]: [u8; 4]) -> Self {
        let (side, rest) = (a & 1, a >> 1);
        match kind % 16 {
            0 => Operation::Transmit { side },
            1 | 2 => Operation::Deliver { side, length: b, times: c },
            3 | 4 => Operation::Exchange { length: b, times: c },
            5 | 6 => Operation::Send { side, length: b, times: c },
            7 => Operation::SendNothing { side, count: b },
            8 => Operation::Close { side },
            9 => Operation::GiveUp { side },
            10 => Operation::Release { side },
            11 | 12 => Operation::Change { side, kind: rest, at: b, value: c },
            13 => Operation::Replay { side, back: b, behind: c & 1 == 1 },
            14 => Operation::Swap { side, first: b, second: c },
            _ => Operation::Inject { side, content_type: b, length: c },
        }
    }

    fn encode(&self) -> [u8; 4] {
        use Operation as O;
        match *self {
            O::Transmit { side } => [0, side, 0, 0],
            O::Deliver { side, length, times } => [1, side, length, times],
            O::Exchange { length, times } => [3, 0, length, times],
            O::Send { side, length, times } => [5, side, length, times],
            O::SendNothing { side, count } => [7, side, count, 0],
            O::Close { side } => [8, side, 0, 0],
            O::GiveUp { side } => [9, side, 0, 0],
            O::Release { side } => [10, side, 0, 0],
            O::Change { side, kind, at, value } => [11, side | kind << 1, at, value],
            O::Replay { side, back, behind } => [13, side, back, behind.into()],
            O::Swap { side, first, second } => [14, side, first, second],
            O::Inject { side, content_type, length } => [15, side, content_type, length],
        }
    }
}
