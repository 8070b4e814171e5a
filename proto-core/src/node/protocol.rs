//! [`Protocol`]: one protocol of Node's, built in or of the application's own.
//!
//! A protocol is a machine like every other: inputs come with the time, outputs are polled until
//! there are none. It sees whole frames, already delimited, and sends frames within each stream's
//! credit ([`crate::connection::SEND_CREDIT_BYTES`]), which [`ProtocolInput::Credit`] returns.

use bytes::Bytes;
use libp2p_identity::PeerId;
use multiaddr::Multiaddr;
use serde::{Deserialize, Serialize};

use super::ids::{CommandId, ConnectionId, StreamRef};
use crate::close::CloseReason;
use crate::mailbox::{Frame, OpenFailure, RequestId, StreamEnd};
use crate::mux::{ResetCode, Role};
use crate::protocol::ProtocolId;
use crate::time::{Deadline, Timestamp};

/// A protocol id whose inbound streams a [`Protocol`] takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The protocol id.
    pub protocol: ProtocolId,
    /// The largest frame, in bytes; a larger one resets its stream before it is buffered.
    pub max_frame_bytes: u32,
    /// How many a remote may have open at once on one connection; one more is reset.
    pub max_inbound_streams: u32,
}

/// One protocol of Node's.
pub trait Protocol: Send {
    /// Its name, by which [`super::Command::Protocol`] and events refer to it. Unique in a node;
    /// the names of the built-in ones are taken.
    fn name(&self) -> &str;

    /// The protocol ids whose inbound streams it takes. Asked for once, when it is added.
    fn accepts(&self) -> Vec<Accepted>;

    /// Takes an input. Total: whatever a remote causes is dealt with inside.
    fn handle(&mut self, now: Timestamp, input: ProtocolInput);

    /// The next output. Polled until `None` after every input.
    fn poll(&mut self) -> Option<ProtocolOutput>;

    /// When [`ProtocolInput::Timeout`] is due.
    fn poll_timeout(&self) -> Option<Deadline>;
}

/// What a protocol is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProtocolInput {
    /// A connection was admitted.
    ConnectionOpened {
        /// The peer.
        peer: PeerId,
        /// The connection.
        connection: ConnectionId,
        /// Which side we are.
        role: Role,
        /// The remote's address.
        address: Multiaddr,
        /// Whether it is the peer's only one: the peer is up from now on.
        first: bool,
    },
    /// A connection is over; the ends of its streams were told before.
    ConnectionClosed {
        /// The peer.
        peer: PeerId,
        /// The connection.
        connection: ConnectionId,
        /// Whether it was the peer's only one: the peer is down from now on.
        last: bool,
    },
    /// A stream that was asked for is there.
    StreamOpened {
        /// The request.
        request: RequestId,
        /// The peer.
        peer: PeerId,
        /// The stream.
        stream: StreamRef,
        /// What was agreed on.
        protocol: ProtocolId,
    },
    /// A stream that was asked for could not be opened.
    OpenFailed {
        /// The request.
        request: RequestId,
        /// The peer.
        peer: PeerId,
        /// Why.
        failure: OpenFailure,
    },
    /// The remote opened a stream.
    InboundStream {
        /// The peer.
        peer: PeerId,
        /// The stream.
        stream: StreamRef,
        /// What was agreed on.
        protocol: ProtocolId,
    },
    /// A frame arrived, whole and undecoded.
    Frame {
        /// The stream.
        stream: StreamRef,
        /// The frame without its length prefix.
        frame: Bytes,
    },
    /// Credit of a stream comes back: frames of this many bytes went out. It comes in steps of a
    /// quarter, so that up to that may seem to be under way for as long as nothing else is sent.
    Credit {
        /// The stream.
        stream: StreamRef,
        /// Bytes, without length prefixes.
        bytes: u64,
    },
    /// Answers [`ProtocolOutput::Verify`]. Not to come any more once its connection is closed.
    Verified {
        /// The request.
        request: RequestId,
        /// Whether the key is valid and its signature holds.
        valid: bool,
    },
    /// The remote finished writing; all its frames were handed over.
    StreamFinished(StreamRef),
    /// A stream is gone. The last of it.
    StreamClosed {
        /// The stream.
        stream: StreamRef,
        /// Why.
        end: StreamEnd,
    },
    /// A dial that was asked for failed at every address.
    DialFailed(PeerId),
    /// A command of the application's, in the protocol's own encoding.
    Command {
        /// The command, for [`ProtocolOutput::Reply`].
        id: CommandId,
        /// What it says.
        command: Bytes,
    },
    /// The deadline of [`Protocol::poll_timeout`] has come.
    Timeout,
}

/// What a protocol wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProtocolOutput {
    /// Opens a stream, on the connection that is named or else on the peer's preferred one.
    /// Answered by `StreamOpened` or `OpenFailed`.
    Open {
        /// The request; the protocol never reuses one.
        request: RequestId,
        /// The peer.
        peer: PeerId,
        /// The connection; the preferred one if `None`.
        connection: Option<ConnectionId>,
        /// What to propose, in order of preference.
        protocols: Vec<ProtocolId>,
        /// The largest frame to be received, in bytes.
        max_frame_bytes: u32,
    },
    /// Sends a frame, within the stream's credit.
    Send {
        /// The stream.
        stream: StreamRef,
        /// The frame.
        frame: Frame,
    },
    /// Ends our direction of a stream, behind the frames that were sent.
    Finish(StreamRef),
    /// Ends both directions of a stream at once.
    Reset {
        /// The stream.
        stream: StreamRef,
        /// The code, where the transport carries one.
        code: ResetCode,
    },
    /// Has a connection check a signature, on its own core. Answered by `Verified`, unless the
    /// connection is closed before. The protocol bounds how many are under way.
    Verify {
        /// The request; the protocol never reuses one, for opening streams neither.
        request: RequestId,
        /// The connection.
        connection: ConnectionId,
        /// The public key, as protobuf.
        public_key: Bytes,
        /// What was signed.
        message: Bytes,
        /// The signature.
        signature: Bytes,
    },
    /// Ends every connection of a peer.
    Close {
        /// The peer.
        peer: PeerId,
        /// Why.
        reason: CloseReason,
    },
    /// Wants a peer to be connected. Nothing happens if it is.
    Dial {
        /// The peer.
        peer: PeerId,
        /// Where it may be found, beside what the peer store knows.
        addresses: Vec<Multiaddr>,
    },
    /// Keeps a peer's connections from being closed as idle, or no longer.
    Protect {
        /// The peer.
        peer: PeerId,
        /// Whether to protect it.
        protect: bool,
    },
    /// A remote did something wrong.
    Penalty {
        /// The peer.
        peer: PeerId,
        /// What it did, in words that go into event, log and metric.
        reason: String,
        /// How bad it was.
        points: u32,
    },
    /// Answers a command, in the protocol's own encoding.
    Reply {
        /// The command.
        id: CommandId,
        /// The answer.
        reply: Bytes,
    },
    /// Tells the application something, in the protocol's own encoding.
    Event(Bytes),
}
