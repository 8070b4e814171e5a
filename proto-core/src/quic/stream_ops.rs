//! Streams of a [`QuicMux`]: what happens on them, reading, writing and ending.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use quinn_proto::{
    Dir, FinishError, ReadError as WireReadError, StreamEvent, WriteError as WireWriteError,
};

use super::mux::QuicMux;
use super::stream::{ReadHalf, Stream, WriteHalf, our_id, wire_id};
use super::windows::clamp;
use crate::mux::{MuxEvent, MuxOpenError, ReadError, ResetCode, StreamId, WriteError};

/// The most that one read hands out, in bytes.
const MAX_READ_BYTES: usize = 64 * 1024;

/// A buffer of at least this many bytes is handed out as it is.
const MIN_SLICE_BYTES: usize = 16 * 1024;

/// What is behind what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behind {
    Data,
    Nothing,
    End,
    Reset(ResetCode),
}

impl QuicMux {
    pub(super) fn handle_stream_event(&mut self, event: StreamEvent, readable: &mut Vec<StreamId>) {
        match event {
            StreamEvent::Opened { dir: Dir::Bi } => self.register_inbound(readable),
            // None are allowed.
            StreamEvent::Opened { dir: Dir::Uni } => {}
            StreamEvent::Readable { id } => self.handle_readable(our_id(id), readable),
            StreamEvent::Writable { id } => {
                let id = our_id(id);
                if let Some(stream) = self.streams.get_mut(&id)
                    && stream.write == (WriteHalf::Open { blocked: true })
                {
                    stream.write = WriteHalf::Open { blocked: false };
                    self.events.push_back(MuxEvent::Writable(id));
                }
            }
            StreamEvent::Finished { id } => {
                self.unacknowledged.remove(&our_id(id));
            }
            StreamEvent::Stopped { id, error_code } => {
                self.handle_stopped(our_id(id), error_code.into_inner());
            }
            StreamEvent::Available { .. } => {}
        }
    }

    /// Takes streams that the remote opened. A stream opens all with smaller numbers (RFC 9000,
    /// section 2.1).
    fn register_inbound(&mut self, readable: &mut Vec<StreamId>) {
        let mut any = false;
        while let Some(id) = self.connection.streams().accept(Dir::Bi) {
            let id = our_id(id);
            self.streams.insert(id, Stream::inbound());
            match self.peek(id) {
                Behind::Reset(code) => {
                    self.remote_reset(id, code);
                    continue;
                }
                Behind::Data => readable.push(id),
                Behind::Nothing => {}
                Behind::End => self.set_read(id, ReadHalf::Ended),
            }
            self.waiting.push_back(id);
            any = true;
        }
        // Streams that were reset while they waited leave their ids behind.
        if self.waiting.len() > 2 * self.streams.len() {
            let streams = &self.streams;
            self.waiting.retain(|id| streams.contains_key(id));
        }
        self.windows.allow_streams(self.limits.max_inbound_streams, &mut self.connection);
        if any && !core::mem::replace(&mut self.inbound_announced, true) {
            self.events.push_back(MuxEvent::Inbound);
        }
    }

    fn handle_readable(&mut self, id: StreamId, readable: &mut Vec<StreamId>) {
        let Some(stream) = self.streams.get(&id) else { return };
        let taken = stream.taken;
        let ReadHalf::Open { blocked } = stream.read else { return };
        // Several datagrams of one stream often come together.
        if readable.last() == Some(&id) {
            return readable.push(id);
        }
        match self.peek(id) {
            Behind::Data => {
                readable.push(id);
                if blocked && taken {
                    self.set_read(id, ReadHalf::Open { blocked: false });
                    self.events.push_back(MuxEvent::Readable(id));
                }
            }
            // A piece that comes behind one that is missing.
            Behind::Nothing => {}
            Behind::End => self.end_known(id),
            Behind::Reset(code) => self.remote_reset(id, code),
        }
    }

    /// The end has arrived, and everything before it was read.
    fn end_known(&mut self, id: StreamId) {
        self.set_read(id, ReadHalf::Ended);
        if self.streams.get(&id).is_some_and(|stream| stream.taken) {
            self.events.push_back(MuxEvent::Finished(id));
        }
    }

    fn handle_stopped(&mut self, id: StreamId, code: ResetCode) {
        // The remote is owed the answer (RFC 9000, section 3.5).
        let _ = self.connection.send_stream(wire_id(id)).reset(clamp(code));
        self.unacknowledged.remove(&id);
        let Some(stream) = self.streams.get_mut(&id) else { return };
        match stream.write {
            WriteHalf::Open { .. } => {
                stream.write = WriteHalf::Stopped(code);
                if stream.taken {
                    self.events.push_back(MuxEvent::Stopped { stream: id, code });
                }
                self.forget_if_over(id);
            }
            WriteHalf::Stopped(_) | WriteHalf::Finished => {}
        }
    }

    /// The remote ended its direction at once; ours ends with it.
    fn remote_reset(&mut self, id: StreamId, code: ResetCode) {
        let _ = self.connection.send_stream(wire_id(id)).reset(clamp(code));
        if let Some(stream) = self.forget(id)
            && stream.taken
        {
            self.events.push_back(MuxEvent::Reset { stream: id, code });
        }
    }

    /// What a read would find. Learns of an end and of a reset only once everything before the end
    /// was read, and forgets them: `quinn_proto` then does so too.
    fn peek(&mut self, id: StreamId) -> Behind {
        let mut wire = self.connection.recv_stream(wire_id(id));
        let Ok(mut chunks) = wire.read(true) else { return Behind::Nothing };
        let behind = behind(chunks.next(0).map(|chunk| chunk.is_some()));
        let _ = chunks.finalize();
        behind
    }

    fn set_read(&mut self, id: StreamId, read: ReadHalf) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.read = read;
        }
    }

    /// Counts what arrived for the streams that it made readable, by how often each is named.
    pub(super) fn count_unread(&mut self, readable: &[StreamId], arrived_bytes: u64) {
        let share = arrived_bytes.checked_div(readable.len() as u64).unwrap_or(0);
        for id in readable {
            if let Some(stream) = self.streams.get_mut(id) {
                stream.unread = stream.unread.saturating_add(share);
                self.windows.unread = self.windows.unread.saturating_add(share);
            }
        }
    }

    pub(super) fn open_stream(&mut self) -> Result<StreamId, MuxOpenError> {
        if !self.is_open() {
            return Err(MuxOpenError::NotOpen);
        }
        let max = self.limits.max_outbound_streams;
        if self.outbound >= max {
            return Err(MuxOpenError::Limit(max));
        }
        // Streams that are over for us but whose end the remote does not acknowledge.
        let kept = self.connection.streams().send_streams();
        if kept >= max.saturating_add(self.limits.max_inbound_streams) as usize {
            return Err(MuxOpenError::Limit(max));
        }
        let Some(id) = self.connection.streams().open(Dir::Bi) else {
            return Err(MuxOpenError::Limit(self.outbound));
        };
        let id = our_id(id);
        self.outbound += 1;
        self.streams.insert(id, Stream::outbound());
        Ok(id)
    }

    pub(super) fn accept_stream(&mut self) -> Option<StreamId> {
        while let Some(id) = self.waiting.pop_front() {
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            stream.taken = true;
            match stream.read {
                ReadHalf::Open { .. } => {
                    let blocked = stream.unread == 0 && self.peek(id) != Behind::Data;
                    self.set_read(id, ReadHalf::Open { blocked });
                }
                ReadHalf::Ended | ReadHalf::Over => self.events.push_back(MuxEvent::Finished(id)),
            }
            if let Some(Stream { write: WriteHalf::Stopped(code), .. }) = self.streams.get(&id) {
                self.events.push_back(MuxEvent::Stopped { stream: id, code: *code });
            }
            return Some(id);
        }
        self.waiting = VecDeque::new();
        None
    }

    pub(super) fn read_stream(&mut self, id: StreamId, max: usize) -> Result<Bytes, ReadError> {
        let max = max.min(MAX_READ_BYTES);
        let unread = self.streams.get(&id).map_or(0, |stream| stream.unread);
        let expected = usize::try_from(unread).unwrap_or(max).min(max);
        let mut first = Bytes::new();
        let mut all = BytesMut::new();
        let n = self.drain(id, max, &mut |chunk| {
            if first.is_empty() {
                first = chunk;
                return;
            }
            if all.is_empty() {
                all.reserve(expected);
                all.extend_from_slice(&first);
            }
            all.extend_from_slice(&chunk);
        })?;
        // Chunks pin the receive buffer of the socket, and what was expected is an estimate: both
        // may be many times larger.
        Ok(match (all.is_empty(), n) {
            (true, 0 | MIN_SLICE_BYTES..) => first,
            (true, _) => Bytes::copy_from_slice(&first),
            (false, _) if all.capacity() / 2 <= n => all.freeze(),
            (false, _) => Bytes::copy_from_slice(&all),
        })
    }

    pub(super) fn read_stream_into(
        &mut self,
        id: StreamId,
        buffer: &mut [u8],
    ) -> Result<usize, ReadError> {
        let mut filled = 0;
        self.drain(id, buffer.len(), &mut |chunk| {
            buffer[filled..filled + chunk.len()].copy_from_slice(&chunk);
            filled += chunk.len();
        })
    }

    /// Hands at most `max` bytes to `sink` and returns how many; 0 for a `max` that is not 0 means
    /// that the end was reached.
    fn drain(
        &mut self,
        id: StreamId,
        max: usize,
        sink: &mut dyn FnMut(Bytes),
    ) -> Result<usize, ReadError> {
        let stream = self.streams.get_mut(&id).ok_or(ReadError::UnknownStream)?;
        match stream.read {
            ReadHalf::Open { .. } => {}
            // Who asks for nothing does not learn of the end.
            ReadHalf::Ended | ReadHalf::Over if max == 0 => return Ok(0),
            ReadHalf::Ended | ReadHalf::Over => {
                stream.read = ReadHalf::Over;
                self.forget_if_over(id);
                return Ok(0);
            }
        }
        let mut wire = self.connection.recv_stream(wire_id(id));
        let mut chunks = wire.read(true).map_err(|_| ReadError::UnknownStream)?;
        let mut n = 0;
        let behind = loop {
            match chunks.next(max - n) {
                Ok(Some(chunk)) if chunk.bytes.is_empty() => break Behind::Data,
                Ok(Some(chunk)) => {
                    n += chunk.bytes.len();
                    sink(chunk.bytes);
                }
                end => break behind(end.map(|chunk| chunk.is_some())),
            }
        };
        let _ = chunks.finalize();
        self.count_read(id, n as u64, behind);
        match behind {
            Behind::Data => {}
            Behind::Nothing if n == 0 => {
                self.set_read(id, ReadHalf::Open { blocked: true });
                return Err(ReadError::Blocked);
            }
            Behind::Nothing => {}
            Behind::End => self.end_known(id),
            Behind::Reset(code) => {
                self.remote_reset(id, code);
                if n == 0 {
                    return Err(ReadError::Reset(code));
                }
            }
        }
        Ok(n)
    }

    fn count_read(&mut self, id: StreamId, bytes: u64, behind: Behind) {
        if let Some(stream) = self.streams.get_mut(&id) {
            let left = match behind {
                Behind::Data => stream.unread.saturating_sub(bytes).max(1),
                Behind::Nothing | Behind::End | Behind::Reset(_) => 0,
            };
            self.windows.unread =
                self.windows.unread.saturating_sub(stream.unread).saturating_add(left);
            stream.unread = left;
        }
        if bytes > 0 {
            let now = self.clock.now();
            self.windows.consume(bytes, &self.limits, now, &mut self.connection);
        }
    }

    pub(super) fn write_stream(&mut self, id: StreamId, data: &[u8]) -> Result<usize, WriteError> {
        if !self.is_open() {
            return Err(WriteError::ConnectionClosed);
        }
        let stream = self.streams.get_mut(&id).ok_or(WriteError::UnknownStream)?;
        match stream.write {
            WriteHalf::Open { .. } => {}
            WriteHalf::Stopped(code) => return Err(WriteError::Stopped(code)),
            WriteHalf::Finished => return Err(WriteError::Finished),
        }
        if data.is_empty() {
            return Ok(0);
        }
        match self.connection.send_stream(wire_id(id)).write(data) {
            Ok(n) => Ok(n),
            Err(WireWriteError::Blocked) => {
                stream.write = WriteHalf::Open { blocked: true };
                Err(WriteError::Blocked)
            }
            Err(WireWriteError::Stopped(code)) => Err(WriteError::Stopped(code.into_inner())),
            Err(WireWriteError::ClosedStream) => Err(WriteError::UnknownStream),
        }
    }

    pub(super) fn finish_stream(&mut self, id: StreamId) -> Result<(), WriteError> {
        if !self.is_open() {
            return Err(WriteError::ConnectionClosed);
        }
        let stream = self.streams.get_mut(&id).ok_or(WriteError::UnknownStream)?;
        match stream.write {
            WriteHalf::Open { .. } => {}
            WriteHalf::Stopped(code) => return Err(WriteError::Stopped(code)),
            WriteHalf::Finished => return Ok(()),
        }
        match self.connection.send_stream(wire_id(id)).finish() {
            Ok(()) => {
                stream.write = WriteHalf::Finished;
                self.unacknowledged.insert(id);
                self.forget_if_over(id);
                Ok(())
            }
            Err(FinishError::Stopped(code)) => Err(WriteError::Stopped(code.into_inner())),
            Err(FinishError::ClosedStream) => Err(WriteError::UnknownStream),
        }
    }

    pub(super) fn reset_stream(&mut self, id: StreamId, code: ResetCode) {
        if self.forget(id).is_none() {
            return;
        }
        // Either half may be over already.
        let _ = self.connection.recv_stream(wire_id(id)).stop(clamp(code));
        let _ = self.connection.send_stream(wire_id(id)).reset(clamp(code));
    }

    fn forget_if_over(&mut self, id: StreamId) {
        if self.streams.get(&id).is_some_and(Stream::is_over) {
            // Its end is still to be acknowledged.
            let unacknowledged = self.unacknowledged.contains(&id);
            self.forget(id);
            if unacknowledged {
                self.unacknowledged.insert(id);
            }
        }
    }

    fn forget(&mut self, id: StreamId) -> Option<Stream> {
        let stream = self.streams.remove(&id)?;
        self.unacknowledged.remove(&id);
        self.windows.unread = self.windows.unread.saturating_sub(stream.unread);
        if !stream.inbound {
            self.outbound -= 1;
        }
        Some(stream)
    }
}

fn behind(next: Result<bool, WireReadError>) -> Behind {
    match next {
        Ok(true) => Behind::Data,
        Ok(false) => Behind::End,
        Err(WireReadError::Blocked) => Behind::Nothing,
        Err(WireReadError::Reset(code)) => Behind::Reset(code.into_inner()),
    }
}
