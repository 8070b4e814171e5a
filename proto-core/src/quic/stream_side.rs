//! [`Mux`] for [`QuicMux`].

use bytes::Bytes;

use super::mux::QuicMux;
use crate::close::CloseReason;
use crate::mux::{
    Mux, MuxEvent, MuxLimits, MuxOpenError, ReadError, ResetCode, StreamId, WindowUse, WriteError,
};
use crate::time::{Deadline, Timestamp};

impl QuicMux {
    /// What arrived before the connection ended can be read; what did not will not arrive.
    fn read_error(&self, error: ReadError) -> ReadError {
        if error == ReadError::Blocked && !self.can_receive() {
            ReadError::ConnectionClosed
        } else {
            error
        }
    }
}

impl Mux for QuicMux {
    fn poll_event(&mut self) -> Option<MuxEvent> {
        if self.events.is_empty() {
            self.pump();
            self.progress_closing();
        }
        let event = self.events.pop_front();
        if event == Some(MuxEvent::Inbound) {
            self.inbound_announced = false;
        }
        event
    }

    fn open(&mut self) -> Result<StreamId, MuxOpenError> {
        self.open_stream()
    }

    fn accept(&mut self) -> Option<StreamId> {
        self.accept_stream()
    }

    fn read(&mut self, stream: StreamId, max: usize) -> Result<Bytes, ReadError> {
        self.read_stream(stream, max).map_err(|error| self.read_error(error))
    }

    fn read_into(&mut self, stream: StreamId, buffer: &mut [u8]) -> Result<usize, ReadError> {
        self.read_stream_into(stream, buffer).map_err(|error| self.read_error(error))
    }

    fn write(&mut self, stream: StreamId, data: &[u8]) -> Result<usize, WriteError> {
        self.write_stream(stream, data)
    }

    fn finish(&mut self, stream: StreamId) -> Result<(), WriteError> {
        self.finish_stream(stream)
    }

    fn reset(&mut self, stream: StreamId, code: ResetCode) {
        self.reset_stream(stream, code);
    }

    fn set_limits(&mut self, limits: MuxLimits) {
        self.limits = limits;
        self.windows.set_limits(limits, &mut self.connection);
    }

    fn window_use(&self) -> WindowUse {
        self.windows.window_use()
    }

    fn unread_bytes(&self, stream: StreamId) -> u64 {
        self.streams.get(&stream).map_or(0, |stream| stream.unread)
    }

    fn close(&mut self, reason: CloseReason) {
        self.start_closing(reason);
    }

    fn handle_timeout(&mut self, now: Timestamp) {
        self.on_timeout(now);
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.next_deadline()
    }
}
