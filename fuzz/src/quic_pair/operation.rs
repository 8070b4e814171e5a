//! What can happen to two endpoints and the connection between them.

use crate::script;

/// What a script's settings mean.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// What the listener does with who wants to connect: the lowest three bits.
    pub admission: Admission,
    /// Bit 3: the dialer expects somebody else.
    pub wrong_peer: bool,
    /// Bit 4: no side looks for larger packets.
    pub small_packets: bool,
    /// Bit 5: windows and numbers of streams are small.
    pub small_windows: bool,
    /// Bit 6: the input runs twice, and must give the same datagrams.
    pub twice: bool,
}

/// What a listener does with who wants to connect.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Admission {
    /// Accepts.
    Accept,
    /// Asks for a retry; then accepts.
    Retry,
    /// Refuses.
    Refuse,
    /// Asks for a retry; then refuses.
    RetryThenRefuse,
    /// Waits until an operation says so.
    Wait,
}

impl Settings {
    /// The first byte has it all.
    pub fn decode([flags, ..]: [u8; 4]) -> Self {
        let bit = |bit: u8| flags >> bit & 1 == 1;
        Settings {
            admission: match flags & 7 {
                0..=2 => Admission::Accept,
                3 | 4 => Admission::Retry,
                5 => Admission::Refuse,
                6 => Admission::RetryThenRefuse,
                _ => Admission::Wait,
            },
            wrong_peer: bit(3),
            small_packets: bit(4),
            small_windows: bit(5),
            twice: bit(6),
        }
    }
}

/// What becomes of a datagram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fate {
    /// It is lost.
    Lost,
    /// It takes so many milliseconds more.
    Late(u8),
    /// It comes again so many milliseconds later.
    Twice(u8),
    /// A bit of it changes, at this length as [`crate::chunks::scaled`] has it.
    Changed(u8),
    /// It is cut off at this length.
    Cut(u8),
}

/// Datagrams that nobody meant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// A short header and what looks like a ciphertext.
    Short,
    /// The first packet of version 1, which nobody encrypted.
    Initial,
    /// A version that nobody speaks.
    Version,
    /// A negotiation of versions.
    Negotiation,
}

/// One thing that happens. `side` is 0 for the dialer and 1 for the listener; `index` picks one
/// of the streams that are known there, or none that exists.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the fields are named")]
pub enum Operation {
    /// So many milliseconds, in which what is due arrives.
    Time {
        millis: u16,
    },
    /// What becomes of the next `count` datagrams of this side.
    Link {
        side: u8,
        fate: Fate,
        count: u8,
    },
    Open {
        side: u8,
        proposals: u8,
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
        length: u8,
        times: u8,
    },
    Finish {
        side: u8,
        index: u8,
    },
    Reset {
        side: u8,
        index: u8,
        code: u8,
    },
    Perf {
        side: u8,
        upload: u8,
        download: u8,
    },
    Lease {
        side: u8,
        choice: u8,
    },
    Close {
        side: u8,
    },
    /// Drops the connection of this side without a word.
    Forget {
        side: u8,
    },
    /// The listener answers who waits.
    Answer {
        admission: u8,
    },
    /// A datagram to this side, from the other one's address or, with `elsewhere`, not.
    Garbage {
        side: u8,
        shape: Shape,
        elsewhere: bool,
        length: u8,
    },
    /// A datagram that went to this side before comes again, with a bit changed unless that is 0.
    Replay {
        side: u8,
        elsewhere: bool,
        back: u8,
        bit: u8,
    },
}

impl script::Operation for Operation {
    fn decode([kind, a, b, c]: [u8; 4]) -> Self {
        let (side, index) = (a & 1, a >> 1);
        match kind % 24 {
            0..=3 => Operation::Time { millis: u16::from_be_bytes([b, c]) },
            4 | 5 => {
                let fate = match index % 5 {
                    0 => Fate::Lost,
                    1 => Fate::Late(c),
                    2 => Fate::Twice(c),
                    3 => Fate::Changed(c),
                    _ => Fate::Cut(c),
                };
                Operation::Link { side, fate, count: b }
            }
            6 => Operation::Open { side, proposals: b, count: c },
            7 => Operation::Accept { side },
            8..=10 => Operation::Write { side, index, length: b, times: c },
            11..=13 => Operation::Read { side, index, length: b, times: c },
            14 => Operation::Finish { side, index },
            15 => Operation::Reset { side, index, code: b },
            16 => Operation::Perf { side, upload: b, download: c },
            17 => Operation::Lease { side, choice: b },
            18 => Operation::Close { side },
            19 => Operation::Forget { side },
            20 => Operation::Answer { admission: b },
            21 | 22 => {
                let shape = match b % 4 {
                    0 => Shape::Short,
                    1 => Shape::Initial,
                    2 => Shape::Version,
                    _ => Shape::Negotiation,
                };
                Operation::Garbage { side, shape, elsewhere: index & 1 == 1, length: c }
            }
            _ => Operation::Replay { side, elsewhere: index & 1 == 1, back: b, bit: c },
        }
    }

    fn encode(&self) -> [u8; 4] {
        use Operation as O;
        match *self {
            O::Time { millis } => [0, 0, millis.to_be_bytes()[0], millis.to_be_bytes()[1]],
            O::Link { side, fate, count } => {
                let (fate, argument) = match fate {
                    Fate::Lost => (0, 0),
                    Fate::Late(millis) => (1, millis),
                    Fate::Twice(millis) => (2, millis),
                    Fate::Changed(at) => (3, at),
                    Fate::Cut(length) => (4, length),
                };
                [4, side | fate << 1, count, argument]
            }
            O::Open { side, proposals, count } => [6, side, proposals, count],
            O::Accept { side } => [7, side, 0, 0],
            O::Write { side, index, length, times } => [8, side | index << 1, length, times],
            O::Read { side, index, length, times } => [11, side | index << 1, length, times],
            O::Finish { side, index } => [14, side | index << 1, 0, 0],
            O::Reset { side, index, code } => [15, side | index << 1, code, 0],
            O::Perf { side, upload, download } => [16, side, upload, download],
            O::Lease { side, choice } => [17, side, choice, 0],
            O::Close { side } => [18, side, 0, 0],
            O::Forget { side } => [19, side, 0, 0],
            O::Answer { admission } => [20, 0, admission, 0],
            O::Garbage { side, shape, elsewhere, length } => {
                let shape = match shape {
                    Shape::Short => 0,
                    Shape::Initial => 1,
                    Shape::Version => 2,
                    Shape::Negotiation => 3,
                };
                [21, side | u8::from(elsewhere) << 1, shape, length]
            }
            O::Replay { side, elsewhere, back, bit } => {
                [23, side | u8::from(elsewhere) << 1, back, bit]
            }
        }
    }
}
