//! The messages. All are plain values: they can be cloned, logged and replayed.

use core::time::Duration;

use bytes::Bytes;
use libp2p_identity::PeerId;
use serde::{Deserialize, Serialize};

use super::lease::Lease;
use super::queue::{Message, Slot};
use super::table::ProtocolTable;
use super::usage::Usage;
use crate::close::{CloseReason, RefuseReason};
use crate::mux::{ResetCode, Role, StreamId};
use crate::protocol::ProtocolId;

/// Ties an answer to its request. Chosen by the asker, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId(pub u64);

/// A frame to be sent, without its length prefix: `head`, then `body`. The body can be shared
/// among peers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// What differs from peer to peer; may be empty.
    pub head: Bytes,
    /// What does not.
    pub body: Bytes,
}

impl Frame {
    /// A frame of one piece.
    pub fn new(body: impl Into<Bytes>) -> Self {
        Frame { head: Bytes::new(), body: body.into() }
    }

    /// Its length in bytes, without the prefix.
    #[expect(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }
}

/// From Node to a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToConnection {
    /// The connection may begin: inbound streams are taken from now on.
    Admit {
        /// What it may use.
        lease: Lease,
        /// What it speaks.
        protocols: ProtocolTable,
    },
    /// The connection is not wanted.
    Refuse(RefuseReason),
    /// The connection ends.
    Close(CloseReason),
    /// Other limits. What is in use stays.
    Lease(Lease),
    /// Other protocols. Open streams stay.
    Protocols(ProtocolTable),
    /// Opens a stream of Node's; answered by `StreamOpened` or `OpenFailed`.
    Open {
        /// The request.
        request: RequestId,
        /// What to propose, in order of preference.
        protocols: Vec<ProtocolId>,
        /// The largest frame to be received, in bytes.
        max_frame_bytes: u32,
    },
    /// Sends a frame on a stream of Node's, within its credit.
    Send {
        /// The stream.
        stream: StreamId,
        /// The frame.
        frame: Frame,
    },
    /// Ends our direction of a stream of Node's, after the frames that were sent.
    Finish(StreamId),
    /// Ends both directions of a stream of Node's at once.
    Reset {
        /// The stream.
        stream: StreamId,
        /// The code, where the transport carries one.
        code: ResetCode,
    },
    /// Checks a signature on the connection's core; answered by `Verified`.
    Verify {
        /// The request.
        request: RequestId,
        /// The public key, as protobuf.
        public_key: Bytes,
        /// What was signed.
        message: Bytes,
        /// The signature.
        signature: Bytes,
    },
}

/// From a connection to Node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToNode {
    /// The handshake is done; `Admit` or `Refuse` is awaited. First of all.
    Established {
        /// Who is at the other end.
        peer: PeerId,
        /// Which side we are.
        role: Role,
    },
    /// The last round trip of a ping.
    Rtt(Duration),
    /// A ping failed.
    PingFailed(PingFailure),
    /// The connection could use this much window lease in all, in bytes.
    LeaseRequest {
        /// See [`Lease::window_bytes`].
        window_bytes: u64,
    },
    /// The connection has reduced its window lease to this, in bytes.
    LeaseReturn {
        /// See [`Lease::window_bytes`].
        window_bytes: u64,
    },
    /// Totals so far.
    Usage(Usage),
    /// A stream that Node asked for is there.
    StreamOpened {
        /// Node's request.
        request: RequestId,
        /// The stream.
        stream: StreamId,
        /// What was agreed on.
        protocol: ProtocolId,
    },
    /// A stream that Node asked for could not be opened.
    OpenFailed {
        /// Node's request.
        request: RequestId,
        /// Why.
        failure: OpenFailure,
    },
    /// The remote opened a stream of one of Node's protocols.
    InboundStream {
        /// The stream.
        stream: StreamId,
        /// What was agreed on.
        protocol: ProtocolId,
    },
    /// A frame, whole and undecoded.
    Frame {
        /// The stream.
        stream: StreamId,
        /// The frame without its length prefix.
        frame: Bytes,
    },
    /// Credit of a stream comes back: these many bytes of frames went out. In steps of a quarter of
    /// the credit, and the rest before the stream is closed.
    Sent {
        /// The stream.
        stream: StreamId,
        /// Bytes, without length prefixes.
        bytes: u64,
    },
    /// The remote finished writing; all its frames were handed over.
    StreamFinished(StreamId),
    /// A stream of Node's is gone. Its last message.
    StreamClosed {
        /// The stream.
        stream: StreamId,
        /// Why.
        end: StreamEnd,
    },
    /// Answers `Verify`.
    Verified {
        /// Node's request.
        request: RequestId,
        /// Whether the key is valid and its signature holds.
        valid: bool,
    },
    /// The connection is over. Last of all.
    Closed {
        /// Why.
        reason: CloseReason,
        /// Totals.
        usage: Usage,
    },
}

/// Why a stream could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OpenFailure {
    /// The connection is not admitted, or closing.
    NotOpen,
    /// This many streams are open already.
    Limit(u32),
    /// The remote speaks none of the proposed protocols.
    UnsupportedProtocol,
    /// The remote did not keep to multistream-select.
    Negotiation,
    /// The remote did not answer in time.
    TimedOut,
    /// The remote ended the stream instead of answering.
    Ended,
    /// No protocol was named, or too many.
    Proposals,
}

/// Why a ping failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PingFailure {
    /// No answer in time.
    TimedOut,
    /// The remote does not speak the protocol; it is not asked again.
    Unsupported,
    /// The answer was not what was sent.
    WrongAnswer,
    /// The stream could not be opened, or was ended.
    Stream,
}

/// Why a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StreamEnd {
    /// Both sides finished.
    Finished,
    /// The remote reset it, with this code.
    Reset(ResetCode),
    /// We reset it on request.
    ResetByUs,
    /// The remote announced a frame that is too long.
    FrameTooLong {
        /// What it announced, in bytes.
        length: u64,
        /// What is allowed, in bytes.
        max: u32,
    },
    /// A frame's length was malformed.
    MalformedLength,
    /// The stream ended within a frame.
    TruncatedFrame,
    /// Node sent more than its credit.
    CreditExceeded,
    /// The remote did not agree on a protocol in time.
    NegotiationTimedOut,
    /// Nobody held it while unread data had used up the receive budget.
    ReceiveStall,
    /// The connection ended.
    ConnectionClosed,
}

impl core::fmt::Display for OpenFailure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            OpenFailure::NotOpen => f.write_str("the connection is not open"),
            OpenFailure::Limit(limit) => write!(f, "{limit} streams are open already"),
            OpenFailure::UnsupportedProtocol => {
                f.write_str("the remote speaks none of the proposed protocols")
            }
            OpenFailure::Negotiation => f.write_str("the remote broke multistream-select"),
            OpenFailure::TimedOut => f.write_str("the remote did not answer the proposal in time"),
            OpenFailure::Ended => f.write_str("the remote ended the stream instead of answering"),
            OpenFailure::Proposals => f.write_str("no protocol was proposed, or too many"),
        }
    }
}

impl core::fmt::Display for StreamEnd {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            StreamEnd::Finished => f.write_str("both sides finished"),
            StreamEnd::Reset(code) => write!(f, "reset by the remote with code {code}"),
            StreamEnd::ResetByUs => f.write_str("reset here"),
            StreamEnd::FrameTooLong { length, max } => {
                write!(f, "frame of {length} bytes, more than {max}")
            }
            StreamEnd::MalformedLength => f.write_str("malformed length of a frame"),
            StreamEnd::TruncatedFrame => f.write_str("ended inside a frame"),
            StreamEnd::CreditExceeded => f.write_str("more was sent than the credit allows"),
            StreamEnd::NegotiationTimedOut => f.write_str("no protocol was agreed on in time"),
            StreamEnd::ReceiveStall => {
                f.write_str("unread, while unread data kept the connection from reading")
            }
            StreamEnd::ConnectionClosed => f.write_str("the connection ended"),
        }
    }
}

impl Message for ToConnection {
    fn slot(&self) -> Slot {
        match self {
            ToConnection::Close(_) => Slot::First(0),
            ToConnection::Admit { .. } | ToConnection::Refuse(_) => Slot::First(1),
            ToConnection::Lease(_) => Slot::First(2),
            ToConnection::Protocols(_) => Slot::First(3),
            ToConnection::Open { .. }
            | ToConnection::Send { .. }
            | ToConnection::Finish(_)
            | ToConnection::Reset { .. }
            | ToConnection::Verify { .. } => Slot::Queue,
        }
    }
}

impl Message for ToNode {
    fn slot(&self) -> Slot {
        match self {
            ToNode::Established { .. } => Slot::First(0),
            // The later of the two says how much is wanted now.
            ToNode::LeaseRequest { .. } | ToNode::LeaseReturn { .. } => Slot::First(1),
            ToNode::Rtt(_) | ToNode::PingFailed(_) => Slot::First(2),
            ToNode::Usage(_) => Slot::First(3),
            ToNode::Closed { .. } => Slot::Last,
            ToNode::StreamOpened { .. }
            | ToNode::OpenFailed { .. }
            | ToNode::InboundStream { .. }
            | ToNode::Frame { .. }
            | ToNode::Sent { .. }
            | ToNode::StreamFinished(_)
            | ToNode::StreamClosed { .. }
            | ToNode::Verified { .. } => Slot::Queue,
        }
    }
}
