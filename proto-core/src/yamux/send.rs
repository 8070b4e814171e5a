//! Writing: into the send buffer as long as it and the stream's window have room, then in turn.

use std::collections::VecDeque;

use super::header::{Flags, FrameType, HEADER_BYTES, Header};
use super::machine::{Yamux, wire_id};
use crate::mux::{MuxEvent, ResetCode, StreamId, WriteError};
use crate::send_buffer::{MAX_QUEUED_DATA_BYTES, SendBuffer};
use crate::yamux::YamuxError;

/// The least that a stream may write in its turn, in bytes. With more than 96 writers there is not
/// always room for all of them, and those that got nothing come first in the next turn.
const MIN_TURN_BYTES: usize = 1024;

/// Room for one control frame in a record of its own: header, length prefix and tag.
const CONTROL_FRAME_BYTES: usize = HEADER_BYTES + 2 + 16;

/// Streams that found the send buffer full, in the order in which they did.
///
/// When there is room again all of them are called at once, which is a turn, and each may write its
/// share of it. While others wait, a stream that was called neither in this turn nor in the last
/// one waits too, however often it tries.
#[derive(Debug, Default)]
pub(super) struct Writers {
    waiting: VecDeque<u32>,
    /// How many at the front of `waiting` wrote nothing in their turn.
    unserved: usize,
    turn: u64,
    /// How many were called in this turn.
    called: usize,
    /// What each may write in this turn, if more than one competes.
    share: Option<usize>,
}

impl Writers {
    /// Puts a stream in the queue: behind those that got as little as it did.
    fn wait(&mut self, id: u32, unserved: bool) {
        if unserved {
            self.waiting.insert(self.unserved, id);
            self.unserved += 1;
        } else {
            self.waiting.push_back(id);
        }
    }

    pub(super) fn leave(&mut self, id: u32) {
        if let Some(index) = self.waiting.iter().position(|waiting| *waiting == id) {
            self.waiting.remove(index);
            self.unserved -= usize::from(index < self.unserved);
        }
    }
}

impl Yamux {
    /// Queues as much of `data` as there is room for; see [`crate::mux::Mux::write`].
    pub fn write(
        &mut self,
        id: StreamId,
        data: &[u8],
        out: &mut SendBuffer,
    ) -> Result<usize, WriteError> {
        let id = wire_id(id).ok_or(WriteError::UnknownStream)?;
        let share = self.writers.share.unwrap_or(usize::MAX);
        let turn = self.writers.turn;
        let others_wait = !self.writers.waiting.is_empty();
        let stream = self.streams.get_mut(&id).ok_or(WriteError::UnknownStream)?;
        if stream.finished {
            return Err(WriteError::Finished);
        }
        if data.is_empty() {
            return Ok(0);
        }
        if stream.send_window == 0 {
            stream.window_blocked = true;
            return Err(WriteError::Blocked);
        }
        let may_write = !stream.room_blocked && (!others_wait || stream.turn + 1 >= turn);
        if may_write && stream.turn != turn {
            stream.turn = turn;
            stream.turn_bytes = 0;
        }
        let left_of_share = share.saturating_sub(stream.turn_bytes);
        let room = out.data_room().saturating_sub(CONTROL_FRAME_BYTES).min(left_of_share);
        if room == 0 || !may_write {
            if !core::mem::replace(&mut stream.room_blocked, true) {
                let unserved = may_write && stream.turn_bytes == 0;
                self.writers.wait(id, unserved);
            }
            return Err(WriteError::Blocked);
        }
        let allowed = room.min(stream.send_window as usize).min(data.len());
        let flags = self.take_flags(id);
        let header = Header::new(FrameType::Data, flags, id, 0).encode();
        let mut written = 0;
        while written < allowed {
            let extend = written > 0 || flags == Flags::NONE;
            written += out.append_data_frame(
                id,
                extend,
                header_after(header, written),
                &data[written..allowed],
            );
        }
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.send_window -= u32::try_from(written).unwrap_or(u32::MAX);
            stream.turn_bytes += written;
        }
        Ok(written)
    }

    /// Ends our direction; see [`crate::mux::Mux::finish`].
    pub fn finish(&mut self, id: StreamId) -> Result<(), WriteError> {
        let id = wire_id(id).ok_or(WriteError::UnknownStream)?;
        let stream = self.streams.get_mut(&id).ok_or(WriteError::UnknownStream)?;
        if !core::mem::replace(&mut stream.finished, true) {
            stream.owed.fin = true;
            self.owe(id);
        }
        Ok(())
    }

    /// Ends both directions; see [`crate::mux::Mux::reset`].
    pub fn reset(&mut self, id: StreamId, _code: ResetCode) -> Result<(), YamuxError> {
        let Some(id) = wire_id(id) else { return Ok(()) };
        let limits = &self.limits;
        let limit = limits.max_inbound_streams.saturating_add(limits.max_outbound_streams);
        match self.forget(id) {
            // The remote never heard of it.
            Some(stream) if stream.owed.syn => Ok(()),
            Some(_) => self.control.owe_reset(id, limit as usize),
            None => Ok(()),
        }
    }

    /// Says goodbye with this code, behind everything that is queued.
    pub fn go_away(&mut self, code: u32) {
        self.control.go_away = Some(code);
    }

    /// Puts the frames that are owed into the send buffer, as far as there is room, and wakes
    /// waiting writers once half of it is free.
    pub fn flush(&mut self, out: &mut SendBuffer) {
        while !self.control.is_empty() && out.control_room() >= 4 * CONTROL_FRAME_BYTES {
            if let Some(id) = self.control.resets.pop_front() {
                append(out, FrameType::WindowUpdate, Flags::RST, id, 0);
            } else if let Some(value) = self.control.pongs.pop_front() {
                append(out, FrameType::Ping, Flags::ACK, 0, value);
            } else if let Some(value) = self.control.ping.take() {
                append(out, FrameType::Ping, Flags::SYN, 0, value);
            } else if let Some(id) = self.control.streams.pop_front() {
                self.flush_stream(id, out);
            } else if let Some(code) = self.control.go_away.take() {
                append(out, FrameType::GoAway, Flags::NONE, 0, code);
            }
        }
        if self.control.is_empty() {
            self.control.release();
        }
        if out.data_room() >= MAX_QUEUED_DATA_BYTES / 2 {
            self.wake_writers(out.data_room().saturating_sub(CONTROL_FRAME_BYTES));
        }
    }

    /// Whether so many answers are owed that they should not wait for the next transmission.
    pub fn is_crowded(&self) -> bool {
        self.control.is_crowded()
    }

    /// Whether [`Yamux::flush`] has something to do.
    pub fn owes_frames(&self) -> bool {
        !self.control.is_empty()
    }

    fn flush_stream(&mut self, id: u32, out: &mut SendBuffer) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.owed.queued = false;
        let window = core::mem::take(&mut stream.owed.window);
        let fin = core::mem::take(&mut stream.owed.fin);
        let over = fin && stream.end_read;
        let flags = self.take_flags(id);
        if window > 0 || flags != Flags::NONE {
            append(out, FrameType::WindowUpdate, flags, id, window);
        }
        if fin {
            append(out, FrameType::Data, Flags::FIN, id, 0);
        }
        if over {
            self.forget(id);
        }
    }

    fn wake_writers(&mut self, room: usize) {
        if self.writers.waiting.is_empty() {
            return;
        }
        let waiting = core::mem::take(&mut self.writers.waiting);
        self.writers.unserved = 0;
        // Those that were called before may still be about to write.
        let competing = waiting.len().max(self.writers.called);
        self.writers.called = waiting.len();
        self.writers.turn += 1;
        self.writers.share = (competing > 1).then_some((room / competing).max(MIN_TURN_BYTES));
        for id in waiting {
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.room_blocked = false;
                stream.turn = self.writers.turn;
                stream.turn_bytes = 0;
                self.events.push_back(MuxEvent::Writable(StreamId(id.into())));
            }
        }
    }
}

/// Later frames of one write do not open the stream again.
fn header_after(mut header: [u8; HEADER_BYTES], written: usize) -> [u8; HEADER_BYTES] {
    if written > 0 {
        header[2..4].copy_from_slice(&Flags::NONE.0.to_be_bytes());
    }
    header
}

fn append(out: &mut SendBuffer, kind: FrameType, flags: Flags, stream: u32, length: u32) {
    out.append(&Header::new(kind, flags, stream, length).encode());
}
