//! What can happen to two connections.

use crate::script;

/// What a script's settings mean.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Bit 0: the dialer's Node admits nobody by itself; bit 1: the listener's likewise.
    pub manual_admission: [bool; 2],
    /// Bits 2 and 3: this side does not offer its muxer early.
    pub late_muxer: [bool; 2],
    /// Bit 4: the dialer expects somebody else.
    pub wrong_peer: bool,
    /// Bit 5 and 6: this side's Node takes messages only when an operation says so.
    pub busy_node: [bool; 2],
}

impl Settings {
    /// The first byte has the flags; the others seed nothing and are free.
    pub fn decode([flags, ..]: [u8; 4]) -> Self {
        let bit = |bit: u8| flags >> bit & 1 == 1;
        Settings {
            manual_admission: [bit(0), bit(1)],
            late_muxer: [bit(2), bit(3)],
            wrong_peer: bit(4),
            busy_node: [bit(5), bit(6)],
        }
    }
}

/// One thing that happens. `side` is 0 for the dialer and 1 for the listener; `index` picks one
/// of the streams that are known there, or none that exists.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the fields are named")]
pub enum Operation {
    /// Bytes from this side's buffer to the wire.
    Transmit {
        side: u8,
        length: u8,
        times: u8,
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
    /// So many milliseconds.
    Time {
        steps: u16,
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
    },
    Perf {
        side: u8,
        upload: u8,
        download: u8,
    },
    Close {
        side: u8,
    },
    Admit {
        side: u8,
        lease: u8,
        table: u8,
    },
    Refuse {
        side: u8,
    },
    Lease {
        side: u8,
        lease: u8,
    },
    Protocols {
        side: u8,
        table: u8,
    },
    NodeOpen {
        side: u8,
        proposals: u8,
        count: u8,
    },
    NodeSend {
        side: u8,
        index: u8,
        length: u8,
        times: u8,
    },
    NodeFinish {
        side: u8,
        index: u8,
    },
    NodeReset {
        side: u8,
        index: u8,
    },
    Verify {
        side: u8,
        genuine: bool,
    },
    NodeClose {
        side: u8,
    },
    /// Node takes so many messages; with `state`, it has room for those alone.
    NodePoll {
        side: u8,
        count: u8,
        state: bool,
    },
    /// Changes a bit of what is on the wire to this side.
    FlipBit {
        side: u8,
        at: u16,
    },
    /// The wire to this side ends here.
    Truncate {
        side: u8,
        length: u8,
    },
    TransportError {
        side: u8,
    },
    /// The transport takes nothing from this side any more, or does again.
    Stall {
        side: u8,
    },
}

impl script::Operation for Operation {
    fn decode([kind, a, b, c]: [u8; 4]) -> Self {
        let (side, index) = (a & 1, a >> 1);
        match kind % 32 {
            0 => Operation::Transmit { side, length: b, times: c },
            1 => Operation::Deliver { side, length: b, times: c },
            2 | 3 => Operation::Exchange { length: b, times: c },
            4 => Operation::Time { steps: u16::from_be_bytes([b, c]) },
            5 => Operation::Open { side, proposals: b, count: c },
            6 => Operation::Accept { side },
            7 | 8 => Operation::Write { side, index, length: b, times: c },
            9 | 10 => Operation::Read { side, index, length: b, times: c },
            11 => Operation::Finish { side, index },
            12 => Operation::Reset { side, index },
            13 => Operation::Perf { side, upload: b, download: c },
            14 => Operation::Close { side },
            15 => Operation::Admit { side, lease: b, table: c },
            16 => Operation::Refuse { side },
            17 => Operation::Lease { side, lease: b },
            18 => Operation::Protocols { side, table: b },
            19 => Operation::NodeOpen { side, proposals: b, count: c },
            20 | 21 => Operation::NodeSend { side, index, length: b, times: c },
            22 => Operation::NodeFinish { side, index },
            23 => Operation::NodeReset { side, index },
            24 => Operation::Verify { side, genuine: b & 1 == 1 },
            25 => Operation::NodeClose { side },
            26 | 27 => Operation::NodePoll { side, count: b, state: c & 1 == 1 },
            28 => Operation::FlipBit { side, at: u16::from_be_bytes([b, c]) },
            29 => Operation::Truncate { side, length: b },
            30 => Operation::TransportError { side },
            _ => Operation::Stall { side },
        }
    }

    fn encode(&self) -> [u8; 4] {
        use Operation as O;
        match *self {
            O::Transmit { side, length, times } => [0, side, length, times],
            O::Deliver { side, length, times } => [1, side, length, times],
            O::Exchange { length, times } => [2, 0, length, times],
            O::Time { steps } => [4, 0, steps.to_be_bytes()[0], steps.to_be_bytes()[1]],
            O::Open { side, proposals, count } => [5, side, proposals, count],
            O::Accept { side } => [6, side, 0, 0],
            O::Write { side, index, length, times } => [7, side | index << 1, length, times],
            O::Read { side, index, length, times } => [9, side | index << 1, length, times],
            O::Finish { side, index } => [11, side | index << 1, 0, 0],
            O::Reset { side, index } => [12, side | index << 1, 0, 0],
            O::Perf { side, upload, download } => [13, side, upload, download],
            O::Close { side } => [14, side, 0, 0],
            O::Admit { side, lease, table } => [15, side, lease, table],
            O::Refuse { side } => [16, side, 0, 0],
            O::Lease { side, lease } => [17, side, lease, 0],
            O::Protocols { side, table } => [18, side, table, 0],
            O::NodeOpen { side, proposals, count } => [19, side, proposals, count],
            O::NodeSend { side, index, length, times } => [20, side | index << 1, length, times],
            O::NodeFinish { side, index } => [22, side | index << 1, 0, 0],
            O::NodeReset { side, index } => [23, side | index << 1, 0, 0],
            O::Verify { side, genuine } => [24, side, genuine.into(), 0],
            O::NodeClose { side } => [25, side, 0, 0],
            O::NodePoll { side, count, state } => [26, side, count, state.into()],
            O::FlipBit { side, at } => [28, side, at.to_be_bytes()[0], at.to_be_bytes()[1]],
            O::Truncate { side, length } => [29, side, length, 0],
            O::TransportError { side } => [30, side, 0, 0],
            O::Stall { side } => [31, side, 0, 0],
        }
    }
}
