//! [`Stream`]: the application's view of one of its streams.

use bytes::Bytes;

use super::entry::{Entry, Opener, Phase};
use super::machine::Connection;
use crate::frame::{FrameError, FrameReader, FrameStep};
use crate::mux::{ReadError, ResetCode, StreamId, WriteError};
use crate::protocol::ProtocolId;

use super::entry::Source;

/// One stream of the application's, borrowed from its connection. After using it, poll the
/// connection's transmissions.
pub struct Stream<'a> {
    connection: &'a mut Connection,
    id: StreamId,
}

/// What the application may do with a stream.
enum Access {
    /// Read and write.
    Open,
    /// Write behind the one proposal; read when that is answered.
    Optimistic,
    /// Neither, until a protocol is agreed on.
    Negotiating,
    /// The remote refused.
    Refused,
}

fn access(entry: &Entry) -> Option<Access> {
    match &entry.phase {
        Phase::Application { .. } => Some(Access::Open),
        Phase::Refused => Some(Access::Refused),
        Phase::Outbound(outbound) => match (&outbound.opener, outbound.optimistic) {
            (Opener::Application, true) => Some(Access::Optimistic),
            (Opener::Application, false) => Some(Access::Negotiating),
            (Opener::Node { .. } | Opener::Ping(_) | Opener::Perf(_), _) => None,
        },
        Phase::Inbound(_)
        | Phase::Node(_)
        | Phase::PingEcho(_)
        | Phase::PingAsker(_)
        | Phase::PerfServer(_)
        | Phase::PerfClient(_) => None,
    }
}

impl<'a> Stream<'a> {
    pub(super) fn new(connection: &'a mut Connection, id: StreamId) -> Self {
        Stream { connection, id }
    }

    /// The stream's id.
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// What was agreed on, or the only protocol that was proposed.
    pub fn protocol(&self) -> Option<&ProtocolId> {
        self.connection.streams.get(&self.id)?.protocol.as_ref()
    }

    /// Reads at most `max` bytes. Data of [`crate::yamux::MIN_SLICE_BYTES`] or more points into
    /// the receive buffer. Empty means that the remote finished and everything was read.
    pub fn read(&mut self, max: usize) -> Result<Bytes, ReadError> {
        self.before_read()?;
        let connection = &mut *self.connection;
        let entry = connection.streams.get_mut(&self.id).ok_or(ReadError::UnknownStream)?;
        let bytes = entry.read(self.id, connection.transport.mux(), max)?;
        connection.usage.read_bytes += bytes.len() as u64;
        if bytes.is_empty() && max > 0 {
            self.end_read();
        }
        Ok(bytes)
    }

    /// Reads into `buffer`; 0 for a buffer that is not empty means that the remote finished and
    /// everything was read.
    pub fn read_into(&mut self, buffer: &mut [u8]) -> Result<usize, ReadError> {
        self.before_read()?;
        let connection = &mut *self.connection;
        let entry = connection.streams.get_mut(&self.id).ok_or(ReadError::UnknownStream)?;
        let n = entry.read_into(self.id, connection.transport.mux(), buffer)?;
        connection.usage.read_bytes += n as u64;
        if n == 0 && !buffer.is_empty() {
            self.end_read();
        }
        Ok(n)
    }

    /// Reads a length-delimited frame with `reader`, which belongs to this stream.
    pub fn read_frame(&mut self, reader: &mut FrameReader) -> Result<FrameStep, FrameError> {
        match self.before_read() {
            Ok(()) => {}
            Err(ReadError::Blocked) => return Ok(FrameStep::Blocked),
            Err(ReadError::Reset(code)) => return Err(FrameError::Reset(code)),
            Err(ReadError::UnknownStream) => return Err(FrameError::UnknownStream),
            Err(ReadError::ConnectionClosed) => return Err(FrameError::ConnectionClosed),
            Err(ReadError::UnsupportedProtocol) => return Err(FrameError::UnsupportedProtocol),
        }
        let connection = &mut *self.connection;
        let Some(entry) = connection.streams.get_mut(&self.id) else {
            return Err(FrameError::UnknownStream);
        };
        let mut source =
            Source { prefix: &mut entry.prefix, mux: connection.transport.mux(), id: self.id };
        let step = reader.poll(&mut source)?;
        match &step {
            FrameStep::Frame(frame) => connection.usage.read_bytes += frame.len() as u64,
            FrameStep::Blocked => {}
            FrameStep::End => self.end_read(),
        }
        Ok(step)
    }

    /// Queues as much of `data` as there is room for, and returns how much that was.
    pub fn write(&mut self, data: &[u8]) -> Result<usize, WriteError> {
        self.before_write()?;
        let connection = &mut *self.connection;
        let written = connection.transport.mux().write(self.id, data)?;
        connection.usage.written_bytes += written as u64;
        Ok(written)
    }

    /// Ends our direction, after everything that was written. Doing it twice is no error.
    pub fn finish(&mut self) -> Result<(), WriteError> {
        let connection = &mut *self.connection;
        let closed = connection.is_closed();
        let entry = connection.streams.get_mut(&self.id).ok_or(WriteError::UnknownStream)?;
        match access(entry).ok_or(WriteError::UnknownStream)? {
            Access::Open | Access::Optimistic | Access::Negotiating => {}
            Access::Refused => return Err(WriteError::Reset(0)),
        }
        if closed {
            return Err(WriteError::ConnectionClosed);
        }
        if core::mem::replace(&mut entry.finished, true) {
            return Ok(());
        }
        entry.finish_owed = true;
        connection.flush_proposal(self.id);
        connection.forget_if_over(self.id);
        Ok(())
    }

    /// Ends both directions at once and forgets what was not read. No event follows.
    pub fn reset(&mut self, code: ResetCode) {
        let Some(entry) = self.connection.streams.get(&self.id) else { return };
        if access(entry).is_some() {
            self.connection.transport.mux().reset(self.id, code);
            self.connection.forget_stream(self.id);
        }
    }

    fn before_read(&mut self) -> Result<(), ReadError> {
        let connection = &mut *self.connection;
        let entry = connection.streams.get_mut(&self.id).ok_or(ReadError::UnknownStream)?;
        match access(entry).ok_or(ReadError::UnknownStream)? {
            Access::Open => Ok(()),
            Access::Optimistic | Access::Negotiating => {
                entry.read_blocked = true;
                connection.flush_proposal(self.id);
                Err(ReadError::Blocked)
            }
            Access::Refused => {
                connection.forget_stream(self.id);
                Err(ReadError::UnsupportedProtocol)
            }
        }
    }

    fn before_write(&mut self) -> Result<(), WriteError> {
        let connection = &mut *self.connection;
        let closed = connection.is_closed();
        let entry = connection.streams.get_mut(&self.id).ok_or(WriteError::UnknownStream)?;
        if entry.finished {
            return Err(WriteError::Finished);
        }
        if closed {
            return Err(WriteError::ConnectionClosed);
        }
        match access(entry).ok_or(WriteError::UnknownStream)? {
            Access::Open if entry.unsent.is_empty() => Ok(()),
            Access::Open | Access::Optimistic => {
                connection.flush_proposal(self.id);
                match connection.streams.get(&self.id) {
                    Some(entry) if entry.unsent.is_empty() => Ok(()),
                    Some(_) => Err(WriteError::Blocked),
                    None => Err(WriteError::UnknownStream),
                }
            }
            Access::Negotiating => {
                entry.write_blocked = true;
                Err(WriteError::Blocked)
            }
            Access::Refused => Err(WriteError::Reset(0)),
        }
    }

    /// The end was read; with our own direction ended too, the stream is over.
    fn end_read(&mut self) {
        let Some(entry) = self.connection.streams.get_mut(&self.id) else { return };
        entry.end_read = true;
        self.connection.forget_if_over(self.id);
    }
}
