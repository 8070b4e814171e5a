//! The application above one `sanspeer_core` connection: it admits it, and has one stream.

use anyhow::{Result, anyhow, bail};
use sanspeer_core::connection::{Connection, ConnectionEvent, NodeRoom};
use sanspeer_core::mailbox::{Lease, ProtocolTable, ToConnection, ToNode};
use sanspeer_core::mux::{ReadError, Role, StreamId, WriteError};
use sanspeer_core::protocol::ProtocolId;
use sanspeer_core::time::Timestamp;

use crate::contender::STREAM_PROTOCOL;
use crate::loops::Read;

/// The protocol of the stream, and the table that has it.
pub struct Protocol {
    id: ProtocolId,
    table: ProtocolTable,
}

impl Protocol {
    pub fn new() -> Result<Self> {
        let id = ProtocolId::new(STREAM_PROTOCOL)?;
        Ok(Self { table: ProtocolTable::new().with_application(id.clone()), id })
    }
}

/// A connection with at most one stream. The dialer opens it with the first write.
pub struct Application {
    pub connection: Connection,
    stream: Option<StreamId>,
    /// What the dialer opens; the listener has none.
    opens: Option<ProtocolId>,
    /// Until the connection is admitted.
    protocols: Option<ProtocolTable>,
}

impl Application {
    pub fn new(connection: Connection, protocol: &Protocol) -> Self {
        let opens = (connection.role() == Role::Dialer).then(|| protocol.id.clone());
        Self { connection, stream: None, opens, protocols: Some(protocol.table.clone()) }
    }

    /// Takes what the connection has to say.
    pub fn poll(&mut self, now: Timestamp) -> Result<()> {
        loop {
            while let Some(event) = self.connection.poll_event() {
                if let ConnectionEvent::Closed { reason } = event {
                    bail!("connection closed: {reason:?}");
                }
                if let ConnectionEvent::Inbound { .. } = event {
                    self.stream = self.connection.accept().map(|(stream, _)| stream);
                }
            }
            let Some(message) = self.connection.poll_node(NodeRoom::Queue) else { return Ok(()) };
            if let (ToNode::Established { .. }, Some(protocols)) = (message, self.protocols.take())
            {
                let admit = ToConnection::Admit { lease: Lease::default(), protocols };
                self.connection.handle_node(now, admit);
            }
        }
    }

    pub fn write(&mut self, now: impl FnOnce() -> Timestamp, bytes: &[u8]) -> Result<usize> {
        if self.stream.is_none()
            && let Some(protocol) = &self.opens
        {
            self.stream = self.connection.open(now(), std::slice::from_ref(protocol)).ok();
        }
        let Some(stream) = self.stream else { return Ok(0) };
        match self.connection.stream(stream).write(bytes) {
            Ok(n) => Ok(n),
            Err(WriteError::Blocked) => Ok(0),
            Err(error) => Err(anyhow!("write: {error:?}")),
        }
    }

    /// Reads what the connection hands out as it lies in its buffers, if it is long enough.
    pub fn read(&mut self, max_bytes: usize, take: &mut dyn FnMut(&[u8])) -> Result<Read> {
        let Some(stream) = self.stream else { return Ok(Read::Blocked) };
        match self.connection.stream(stream).read(max_bytes) {
            Ok(bytes) if bytes.is_empty() => Ok(Read::Finished),
            Ok(bytes) => {
                take(&bytes);
                Ok(Read::Some)
            }
            Err(ReadError::Blocked) => Ok(Read::Blocked),
            Err(error) => Err(anyhow!("read: {error:?}")),
        }
    }

    /// Reads through a buffer of the application's, as an `AsyncRead` does.
    pub fn read_into(&mut self, buffer: &mut [u8], take: &mut dyn FnMut(&[u8])) -> Result<Read> {
        let Some(stream) = self.stream else { return Ok(Read::Blocked) };
        match self.connection.stream(stream).read_into(buffer) {
            Ok(0) => Ok(Read::Finished),
            Ok(n) => {
                take(&buffer[..n]);
                Ok(Read::Some)
            }
            Err(ReadError::Blocked) => Ok(Read::Blocked),
            Err(error) => Err(anyhow!("read: {error:?}")),
        }
    }

    pub fn finish(&mut self) -> Result<()> {
        let Some(stream) = self.stream else { bail!("no stream to finish") };
        self.connection.stream(stream).finish().map_err(|error| anyhow!("finish: {error:?}"))
    }
}
