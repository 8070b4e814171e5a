//! What is known of a stream beside what `quinn_proto` keeps.

use quinn_proto::{Dir, Side, StreamId as WireId};

use crate::mux::{ResetCode, StreamId};

/// The remote's direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadHalf {
    /// More may come. `blocked`: the last read found nothing, and [`crate::mux::MuxEvent::Readable`]
    /// is owed.
    Open { blocked: bool },
    /// Everything was read, and the next read says so.
    Ended,
    /// The end was read.
    Over,
}

/// Our direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteHalf {
    /// More may be written. `blocked`: [`crate::mux::MuxEvent::Writable`] is owed.
    Open { blocked: bool },
    /// The remote does not want to read any more.
    Stopped(ResetCode),
    /// We ended it.
    Finished,
}

/// A stream that is not over.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) inbound: bool,
    /// The application knows of it: ours, or accepted.
    pub(super) taken: bool,
    pub(super) read: ReadHalf,
    pub(super) write: WriteHalf,
    /// About how many bytes have arrived and were not read; exactly 0 while a read would block.
    pub(super) unread: u64,
}

impl Stream {
    pub(super) fn outbound() -> Self {
        Stream {
            inbound: false,
            taken: true,
            read: ReadHalf::Open { blocked: true },
            write: WriteHalf::Open { blocked: false },
            unread: 0,
        }
    }

    pub(super) fn inbound() -> Self {
        Stream { inbound: true, taken: false, ..Stream::outbound() }
    }

    /// Whether nothing more can happen on it.
    pub(super) fn is_over(&self) -> bool {
        let written = match self.write {
            WriteHalf::Open { .. } => false,
            WriteHalf::Stopped(_) | WriteHalf::Finished => true,
        };
        written && self.read == ReadHalf::Over
    }
}

/// The bidirectional stream with this number (RFC 9000, section 2.1), which every id of ours has.
pub(super) fn wire_id(id: StreamId) -> WireId {
    let initiator = if id.0 & 1 == 0 { Side::Client } else { Side::Server };
    WireId::new(initiator, Dir::Bi, id.0 >> 2)
}

pub(super) fn our_id(id: WireId) -> StreamId {
    StreamId(id.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_the_wire() {
        for (index, side, number) in [
            (0, Side::Client, 0),
            (0, Side::Server, 1),
            (1, Side::Client, 4),
            (7, Side::Server, 29),
        ] {
            let id = our_id(WireId::new(side, Dir::Bi, index));
            assert_eq!(id, StreamId(number));
            assert_eq!(our_id(wire_id(id)), id);
        }
    }
}
