//! The application's side of a host.

use std::collections::VecDeque;

use bytes::Bytes;
use libp2p_identity::PeerId;

use super::machine::Host;
use crate::application::{AppEvent, InboundStream, Network, StreamOpenError};
use crate::mux::{ReadError, ResetCode, WriteError};
use crate::node::{Command, CommandId, ConnectionId, Input, StreamRef};
use crate::protocol::ProtocolId;
use crate::time::Timestamp;

impl Host {
    /// Opens a stream on a connection; see [`Network::open`].
    pub fn open_on(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        protocols: &[ProtocolId],
    ) -> Result<StreamRef, StreamOpenError> {
        let now = self.clock.advance(now);
        let carried = self.connections.get_mut(&connection).ok_or(StreamOpenError::NotConnected)?;
        let stream = carried.connection.open(now, protocols)?;
        self.mark(connection);
        self.pump(now);
        Ok(StreamRef { connection, stream })
    }

    /// Reads into `buffer`; 0 for a buffer that is not empty means that the remote finished and
    /// everything was read.
    pub fn read_into(
        &mut self,
        now: Timestamp,
        stream: StreamRef,
        buffer: &mut [u8],
    ) -> Result<usize, ReadError> {
        let mut result = Err(ReadError::UnknownStream);
        self.touch(now, stream.connection, |connection, _| {
            result = connection.stream(stream.stream).read_into(buffer);
        });
        result
    }
}

impl Network for Host {
    fn peer_id(&self) -> PeerId {
        self.identity.peer_id()
    }

    fn request(&mut self, now: Timestamp, command: Command) -> CommandId {
        let id = CommandId(self.next_command);
        self.next_command = self.next_command.saturating_add(1);
        self.input(now, Input::Command { id, command });
        id
    }

    fn poll_event(&mut self) -> Option<AppEvent> {
        let event = self.events.pop_front()?;
        if !self.dirty.is_empty() {
            self.pump(self.clock.now());
        }
        if self.events.is_empty() {
            self.events = VecDeque::new();
        }
        Some(event)
    }

    fn open(
        &mut self,
        now: Timestamp,
        peer: &PeerId,
        protocols: &[ProtocolId],
    ) -> Result<StreamRef, StreamOpenError> {
        let connection = self.routes.get(peer).ok_or(StreamOpenError::NotConnected)?;
        self.open_on(now, *connection, protocols)
    }

    fn accept(&mut self) -> Option<InboundStream> {
        while let Some(id) = self.acceptable.pop_front() {
            let Some(carried) = self.connections.get_mut(&id) else { continue };
            let Some(peer) = carried.connection.peer() else { continue };
            if let Some((stream, protocol)) = carried.connection.accept() {
                let stream = StreamRef { connection: id, stream };
                self.mark(id);
                self.pump(self.clock.now());
                return Some(InboundStream { stream, peer, protocol });
            }
        }
        None
    }

    fn read(&mut self, now: Timestamp, stream: StreamRef, max: usize) -> Result<Bytes, ReadError> {
        let mut result = Err(ReadError::UnknownStream);
        self.touch(now, stream.connection, |connection, _| {
            result = connection.stream(stream.stream).read(max);
        });
        result
    }

    fn write(
        &mut self,
        now: Timestamp,
        stream: StreamRef,
        data: &[u8],
    ) -> Result<usize, WriteError> {
        let mut result = Err(WriteError::UnknownStream);
        self.touch(now, stream.connection, |connection, _| {
            result = connection.stream(stream.stream).write(data);
        });
        result
    }

    fn finish(&mut self, now: Timestamp, stream: StreamRef) -> Result<(), WriteError> {
        let mut result = Err(WriteError::UnknownStream);
        self.touch(now, stream.connection, |connection, _| {
            result = connection.stream(stream.stream).finish();
        });
        result
    }

    fn reset(&mut self, now: Timestamp, stream: StreamRef, code: ResetCode) {
        self.touch(now, stream.connection, |connection, _| {
            connection.stream(stream.stream).reset(code);
        });
    }
}
