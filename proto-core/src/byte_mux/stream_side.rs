//! [`Mux`] for [`ByteMux`]: the streams of its Yamux session.

use bytes::Bytes;

use super::machine::ByteMux;
use super::upgrade::Phase;
use crate::close::CloseReason;
use crate::mux::{
    Mux, MuxEvent, MuxLimits, MuxOpenError, ReadError, ResetCode, StreamId, WindowUse, WriteError,
};
use crate::time::{Deadline, Timestamp};
use crate::yamux::Yamux;

impl ByteMux {
    fn session(&self) -> Option<&Yamux> {
        match &self.phase {
            Phase::Open { session, .. } => Some(session),
            Phase::Security(_) | Phase::Handshake(_) | Phase::Muxer(_) | Phase::Ended => None,
        }
    }

    fn session_mut(&mut self) -> Option<&mut Yamux> {
        match &mut self.phase {
            Phase::Open { session, .. } => Some(session),
            Phase::Security(_) | Phase::Handshake(_) | Phase::Muxer(_) | Phase::Ended => None,
        }
    }

    /// What arrived before the connection ended can be read; what did not will not arrive.
    fn read_error(&self, error: ReadError) -> ReadError {
        if error == ReadError::Blocked && !self.can_receive() {
            ReadError::ConnectionClosed
        } else {
            error
        }
    }
}

impl Mux for ByteMux {
    fn poll_event(&mut self) -> Option<MuxEvent> {
        self.next_event()
    }

    fn open(&mut self) -> Result<StreamId, MuxOpenError> {
        if !self.is_open() {
            return Err(MuxOpenError::NotOpen);
        }
        self.session_mut().ok_or(MuxOpenError::NotOpen)?.open()
    }

    fn accept(&mut self) -> Option<StreamId> {
        self.session_mut()?.accept()
    }

    fn read(&mut self, stream: StreamId, max: usize) -> Result<Bytes, ReadError> {
        let session = self.session_mut().ok_or(ReadError::UnknownStream)?;
        session.read(stream, max).map_err(|error| self.read_error(error))
    }

    fn read_into(&mut self, stream: StreamId, buffer: &mut [u8]) -> Result<usize, ReadError> {
        let session = self.session_mut().ok_or(ReadError::UnknownStream)?;
        session.read_into(stream, buffer).map_err(|error| self.read_error(error))
    }

    fn write(&mut self, stream: StreamId, data: &[u8]) -> Result<usize, WriteError> {
        if !self.is_open() {
            return Err(WriteError::ConnectionClosed);
        }
        match &mut self.phase {
            Phase::Open { session, .. } => session.write(stream, data, &mut self.send),
            Phase::Security(_) | Phase::Handshake(_) | Phase::Muxer(_) | Phase::Ended => {
                Err(WriteError::UnknownStream)
            }
        }
    }

    fn finish(&mut self, stream: StreamId) -> Result<(), WriteError> {
        if !self.is_open() {
            return Err(WriteError::ConnectionClosed);
        }
        self.session_mut().ok_or(WriteError::UnknownStream)?.finish(stream)
    }

    fn reset(&mut self, stream: StreamId, code: ResetCode) {
        if let Some(session) = self.session_mut()
            && let Err(error) = session.reset(stream, code)
        {
            self.fail(CloseReason::Yamux(error));
        }
    }

    fn set_limits(&mut self, limits: MuxLimits) {
        self.limits = limits;
        if let Some(session) = self.session_mut() {
            session.set_limits(limits);
        }
    }

    fn window_use(&self) -> WindowUse {
        self.session().map_or_else(WindowUse::default, Yamux::window_use)
    }

    fn unread_bytes(&self, stream: StreamId) -> u64 {
        self.session().map_or(0, |session| session.unread_bytes(stream))
    }

    fn close(&mut self, reason: CloseReason) {
        self.close_normally(reason);
    }

    fn handle_timeout(&mut self, now: Timestamp) {
        self.on_timeout(now);
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.next_deadline()
    }
}
