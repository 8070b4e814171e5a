//! [`IdentifyEvent`]: what [`super::Identify`] tells its owner.

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;
use serde::{Deserialize, Serialize};

use super::info::PeerInfo;
use super::message::MessageError;
use crate::mailbox::{OpenFailure, StreamEnd};
use crate::node::ConnectionId;

/// What [`super::Identify`] tells its owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IdentifyEvent {
    /// A connected peer said who it is, for the first time or something new.
    Identified {
        /// The peer.
        peer: PeerId,
        /// All that it said.
        info: PeerInfo,
    },
    /// How a connected peer sees our side of a connection, each time that it says so. Only its
    /// word.
    Observed {
        /// The peer.
        peer: PeerId,
        /// The connection.
        connection: ConnectionId,
        /// Our address, as it looks from there.
        address: Multiaddr,
    },
    /// A connected peer did not say who it is. It is asked again after the interval.
    Failed {
        /// The peer.
        peer: PeerId,
        /// The connection on which it was asked.
        connection: ConnectionId,
        /// Why.
        failure: IdentifyFailure,
    },
}

/// Why there is no answer, or none that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IdentifyFailure {
    /// No stream could be opened.
    Open(OpenFailure),
    /// It was not complete in time.
    TimedOut,
    /// The stream was finished without a message.
    Silent,
    /// The stream ended before the message did.
    Stream(StreamEnd),
    /// The message is not acceptable.
    Message(MessageError),
    /// The key in the message is not the one of the peer.
    WrongKey,
}

impl IdentifyFailure {
    /// Whether the remote broke the protocol, and not only did not get through.
    pub(super) fn is_misbehaviour(self) -> bool {
        match self {
            IdentifyFailure::Message(_) | IdentifyFailure::WrongKey => true,
            IdentifyFailure::Stream(end) => match end {
                StreamEnd::FrameTooLong { .. }
                | StreamEnd::MalformedLength
                | StreamEnd::TruncatedFrame => true,
                StreamEnd::Finished
                | StreamEnd::Reset(_)
                | StreamEnd::ResetByUs
                | StreamEnd::CreditExceeded
                | StreamEnd::NegotiationTimedOut
                | StreamEnd::ReceiveStall
                | StreamEnd::ConnectionClosed => false,
            },
            IdentifyFailure::Open(_) | IdentifyFailure::TimedOut | IdentifyFailure::Silent => false,
        }
    }
}

impl core::fmt::Display for IdentifyFailure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            IdentifyFailure::Open(failure) => write!(f, "identify: {failure}"),
            IdentifyFailure::TimedOut => f.write_str("identify: the message took too long"),
            IdentifyFailure::Silent => f.write_str("identify: no message"),
            IdentifyFailure::Stream(end) => write!(f, "identify: {end}"),
            IdentifyFailure::Message(error) => write!(f, "identify: {error}"),
            IdentifyFailure::WrongKey => f.write_str("identify: the key of somebody else"),
        }
    }
}

impl core::error::Error for IdentifyFailure {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            IdentifyFailure::Message(error) => Some(error),
            IdentifyFailure::Open(_)
            | IdentifyFailure::TimedOut
            | IdentifyFailure::Silent
            | IdentifyFailure::Stream(_)
            | IdentifyFailure::WrongKey => None,
        }
    }
}
