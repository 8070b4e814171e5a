//! Frames that the session owes and has not put on the wire yet.
//!
//! Window updates, acknowledgements and ends are kept in their streams and so are bounded by the
//! number of streams. What has no stream is bounded here.

use std::collections::VecDeque;

use super::error::YamuxError;

/// Resets of streams that are gone already. A remote that makes us owe more while it does not
/// read is cut off.
const MAX_OWED_RESETS: usize = 1024;

/// How many more there may be where limits allow as many streams, all of which an application may
/// reset at once.
const MAX_RESETS_OF_OPEN_STREAMS: usize = 64 * 1024;

/// Ping answers, likewise.
const MAX_OWED_PONGS: usize = 32;

#[derive(Debug, Default)]
pub(super) struct ControlQueue {
    pub(super) resets: VecDeque<u32>,
    pub(super) pongs: VecDeque<u32>,
    /// Streams with something in [`super::stream::Owed`]; may name streams that are gone.
    pub(super) streams: VecDeque<u32>,
    pub(super) ping: Option<u32>,
    pub(super) go_away: Option<u32>,
}

impl ControlQueue {
    /// Owes the reset of a stream that was refused.
    pub(super) fn owe_refusal(&mut self, stream: u32) -> Result<(), YamuxError> {
        self.owe_reset(stream, 0)
    }

    /// Owes the reset of a stream, of which `limit` may be open at once.
    pub(super) fn owe_reset(&mut self, stream: u32, limit: usize) -> Result<(), YamuxError> {
        if self.resets.len() >= MAX_OWED_RESETS + limit.min(MAX_RESETS_OF_OPEN_STREAMS) {
            return Err(YamuxError::ControlQueueFull);
        }
        self.resets.push_back(stream);
        Ok(())
    }

    pub(super) fn owe_pong(&mut self, value: u32) -> Result<(), YamuxError> {
        if self.pongs.len() >= MAX_OWED_PONGS {
            return Err(YamuxError::ControlQueueFull);
        }
        self.pongs.push_back(value);
        Ok(())
    }

    pub(super) fn is_crowded(&self) -> bool {
        self.resets.len() > MAX_OWED_RESETS / 2 || self.pongs.len() > MAX_OWED_PONGS / 2
    }

    pub(super) fn is_empty(&self) -> bool {
        self.resets.is_empty()
            && self.pongs.is_empty()
            && self.streams.is_empty()
            && self.ping.is_none()
            && self.go_away.is_none()
    }

    /// An idle session holds no queue.
    pub(super) fn release(&mut self) {
        self.resets.shrink_to_fit();
        self.pongs.shrink_to_fit();
        self.streams.shrink_to_fit();
    }
}
