//! What a connection tells the application.

use core::time::Duration;

use libp2p_identity::PeerId;

use crate::close::CloseReason;
use crate::mailbox::{OpenFailure, StreamEnd};
use crate::mux::{ResetCode, StreamId};
use crate::protocol::ProtocolId;

/// What a connection tells the application. Events carry no stream data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionEvent {
    /// The remote proved who it is. Streams can be opened once the connection is admitted.
    Secured {
        /// Who is at the other end.
        peer: PeerId,
    },
    /// The remote opened a stream of one of the application's protocols; take it with
    /// [`super::Connection::accept`].
    Inbound {
        /// The stream.
        stream: StreamId,
        /// What was agreed on.
        protocol: ProtocolId,
    },
    /// The protocol of a stream of ours is agreed on.
    Opened {
        /// The stream.
        stream: StreamId,
        /// What was agreed on.
        protocol: ProtocolId,
    },
    /// A stream of ours is gone before its protocol was agreed on.
    OpenFailed {
        /// The stream.
        stream: StreamId,
        /// Why.
        failure: OpenFailure,
    },
    /// A read that was blocked may not be any more.
    Readable(StreamId),
    /// A write that was blocked may not be any more.
    Writable(StreamId),
    /// The remote finished writing: after what is buffered comes the end.
    Finished(StreamId),
    /// The remote does not want to read any more.
    Stopped {
        /// The stream.
        stream: StreamId,
        /// The remote's code.
        code: ResetCode,
    },
    /// A stream of the application's is gone in both directions.
    Ended {
        /// The stream.
        stream: StreamId,
        /// Why.
        end: StreamEnd,
    },
    /// A measurement that [`super::Connection::perf`] began is complete.
    Perf(PerfReport),
    /// The connection is over. What streams had received can still be read.
    Closed {
        /// Why.
        reason: CloseReason,
    },
}

/// What a `/perf/1.0.0` exchange measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerfReport {
    /// The stream it ran on.
    pub stream: StreamId,
    /// Bytes that were sent, without the header.
    pub uploaded_bytes: u64,
    /// Bytes that came back.
    pub downloaded_bytes: u64,
    /// From the opening of the stream to the last byte back.
    pub duration: Duration,
    /// Whether all bytes that were asked for came back.
    pub complete: bool,
}

/// Why a stream was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// The connection is not admitted yet, or closing.
    NotOpen,
    /// This many streams are open already; try again when one has ended.
    Limit(u32),
    /// The connection has opened as many streams as its protocol can number.
    Exhausted,
    /// No protocol was named, or more than [`crate::multistream::MAX_PROPOSALS`].
    Proposals(usize),
}

impl core::fmt::Display for OpenError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            OpenError::NotOpen => f.write_str("connection not open"),
            OpenError::Limit(limit) => write!(f, "{limit} streams are open already"),
            OpenError::Exhausted => f.write_str("no stream ids left"),
            OpenError::Proposals(count) => write!(f, "{count} protocols proposed"),
        }
    }
}

impl core::error::Error for OpenError {}
