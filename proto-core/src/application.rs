//! [`Network`]: what an application sees of a peer, whatever runs it.
//!
//! [`crate::host::Host`] implements it, drivers' handles do, and so does [`crate::scripted`], the
//! double for applications' tests. Nothing here waits: what is not ready says so, and an event
//! follows.

use bytes::Bytes;
use libp2p_identity::PeerId;
use serde::{Deserialize, Serialize};

use crate::connection::OpenError;
use crate::mailbox::{OpenFailure, StreamEnd};
use crate::mux::{ReadError, ResetCode, WriteError};
use crate::node::{Answer, Command, CommandId, NodeEvent, StreamRef};
use crate::protocol::ProtocolId;
use crate::time::Timestamp;

/// What an application does with a peer.
pub trait Network {
    /// Who we are.
    fn peer_id(&self) -> PeerId;

    /// Asks for something. [`AppEvent::Answer`] with the id follows, once.
    fn request(&mut self, now: Timestamp, command: Command) -> CommandId;

    /// The next event, if any.
    fn poll_event(&mut self) -> Option<AppEvent>;

    /// Opens a stream to a connected peer and proposes these protocols, in order of preference.
    /// With one, the stream can be written at once, and a refusal shows as
    /// [`ReadError::UnsupportedProtocol`]; with several, writes are blocked until
    /// [`AppEvent::Opened`].
    fn open(
        &mut self,
        now: Timestamp,
        peer: &PeerId,
        protocols: &[ProtocolId],
    ) -> Result<StreamRef, StreamOpenError>;

    /// Takes the oldest stream that a remote opened for the application. Read it until it blocks:
    /// what arrived before is not announced again.
    fn accept(&mut self) -> Option<InboundStream>;

    /// Reads at most `max` bytes. Empty means that the remote finished and everything was read.
    fn read(&mut self, now: Timestamp, stream: StreamRef, max: usize) -> Result<Bytes, ReadError>;

    /// Queues as much of `data` as there is room for, and returns how much that was.
    fn write(
        &mut self,
        now: Timestamp,
        stream: StreamRef,
        data: &[u8],
    ) -> Result<usize, WriteError>;

    /// Ends our direction of a stream, after everything that was written. Doing it twice is no
    /// error.
    fn finish(&mut self, now: Timestamp, stream: StreamRef) -> Result<(), WriteError>;

    /// Ends both directions of a stream at once and forgets what was not read. No event follows.
    fn reset(&mut self, now: Timestamp, stream: StreamRef, code: ResetCode);
}

/// A stream that a remote opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboundStream {
    /// The stream.
    pub stream: StreamRef,
    /// Who opened it.
    pub peer: PeerId,
    /// What was agreed on.
    pub protocol: ProtocolId,
}

/// What an application is told. Events of one peer and of one stream are in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum AppEvent {
    /// Answers a request.
    Answer {
        /// The request.
        id: CommandId,
        /// The answer.
        answer: Answer,
    },
    /// Something happened to peers, connections or listeners.
    Node(NodeEvent),
    /// A remote opened a stream; take it with [`Network::accept`].
    Inbound,
    /// The protocol of a stream of ours is agreed on.
    Opened {
        /// The stream.
        stream: StreamRef,
        /// What was agreed on.
        protocol: ProtocolId,
    },
    /// A stream of ours is gone before its protocol was agreed on.
    OpenFailed {
        /// The stream.
        stream: StreamRef,
        /// Why.
        failure: OpenFailure,
    },
    /// A read that was blocked may not be any more.
    Readable(StreamRef),
    /// A write that was blocked may not be any more.
    Writable(StreamRef),
    /// The remote finished writing: after what is buffered comes the end.
    Finished(StreamRef),
    /// The remote does not want to read any more.
    Stopped {
        /// The stream.
        stream: StreamRef,
        /// The remote's code.
        code: ResetCode,
    },
    /// A stream is gone in both directions.
    Ended {
        /// The stream.
        stream: StreamRef,
        /// Why.
        end: StreamEnd,
    },
}

/// Why a stream was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StreamOpenError {
    /// The peer is not connected, or its connection is ending; ask for
    /// [`Command::Connect`] first.
    NotConnected,
    /// This many streams are open already; try again when one has ended.
    Limit(u32),
    /// The connection has opened as many streams as its protocol can number.
    Exhausted,
    /// No protocol was named, or more than [`crate::multistream::MAX_PROPOSALS`].
    Proposals(usize),
}

impl From<OpenError> for StreamOpenError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::NotOpen => StreamOpenError::NotConnected,
            OpenError::Limit(limit) => StreamOpenError::Limit(limit),
            OpenError::Exhausted => StreamOpenError::Exhausted,
            OpenError::Proposals(count) => StreamOpenError::Proposals(count),
        }
    }
}

impl core::fmt::Display for StreamOpenError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            StreamOpenError::NotConnected => f.write_str("the peer is not connected"),
            StreamOpenError::Limit(limit) => write!(f, "{limit} streams are open already"),
            StreamOpenError::Exhausted => f.write_str("no stream ids left"),
            StreamOpenError::Proposals(count) => write!(f, "{count} protocols proposed"),
        }
    }
}

impl core::error::Error for StreamOpenError {}
