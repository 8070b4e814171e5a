//! [`Link`]: a connection between two sides.

use sanspeer_core::mailbox::Frame;
use sanspeer_core::node::{ConnectionId, ProtocolInput, StreamRef};
use sanspeer_core::time::Timestamp;

/// How fast what one side sends leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speed {
    /// At once.
    Free,
    /// So many bytes a second.
    BytesPerSecond(u64),
    /// Not at all.
    Stalled,
}

/// A connection between two sides, and its two directions.
pub struct Link {
    /// Who dialled.
    pub from: usize,
    pub to: usize,
    directions: [Direction; 2],
}

struct Direction {
    speed: Speed,
    /// When everything that was sent so far has left.
    free_at: Timestamp,
    /// When the last of it arrives.
    arrived_at: Timestamp,
    held: Vec<(StreamRef, Frame)>,
}

impl Link {
    pub fn new(from: usize, to: usize) -> Self {
        let direction = || Direction {
            speed: Speed::Free,
            free_at: Timestamp::ZERO,
            arrived_at: Timestamp::ZERO,
            held: Vec::new(),
        };
        Link { from, to, directions: [direction(), direction()] }
    }

    fn direction(&mut self, from: usize) -> &mut Direction {
        &mut self.directions[usize::from(from == self.from)]
    }

    pub fn set_speed(&mut self, from: usize, speed: Speed) {
        self.direction(from).speed = speed;
    }

    pub fn speed(&mut self, from: usize) -> Speed {
        self.direction(from).speed
    }

    pub fn hold(&mut self, from: usize, stream: StreamRef, frame: Frame) {
        self.direction(from).held.push((stream, frame));
    }

    pub fn take_held(&mut self, from: usize) -> Vec<(StreamRef, Frame)> {
        core::mem::take(&mut self.direction(from).held)
    }

    /// When these bytes have left.
    pub fn sent(&mut self, now: Timestamp, from: usize, bytes: u64) -> Timestamp {
        let direction = self.direction(from);
        let takes = match direction.speed {
            Speed::Free | Speed::Stalled => 0,
            Speed::BytesPerSecond(speed) => bytes.saturating_mul(1_000_000_000) / speed.max(1),
        };
        direction.free_at = Timestamp(direction.free_at.max(now).0.saturating_add(takes));
        direction.free_at
    }

    /// When something arrives that would arrive at `at` by itself.
    pub fn arrival(&mut self, from: usize, at: Timestamp) -> Timestamp {
        let direction = self.direction(from);
        direction.arrived_at = direction.arrived_at.max(at).max(direction.free_at);
        direction.arrived_at
    }
}

/// The connection that an input came by, of those that can be on their way.
pub fn connection_of(input: &ProtocolInput) -> Option<ConnectionId> {
    match input {
        ProtocolInput::StreamOpened { stream, .. }
        | ProtocolInput::InboundStream { stream, .. }
        | ProtocolInput::Frame { stream, .. }
        | ProtocolInput::Credit { stream, .. }
        | ProtocolInput::StreamFinished(stream)
        | ProtocolInput::StreamClosed { stream, .. } => Some(stream.connection),
        ProtocolInput::ConnectionOpened { .. }
        | ProtocolInput::ConnectionClosed { .. }
        | ProtocolInput::OpenFailed { .. }
        | ProtocolInput::Verified { .. }
        | ProtocolInput::DialFailed(_)
        | ProtocolInput::Command { .. }
        | ProtocolInput::Timeout => None,
    }
}
