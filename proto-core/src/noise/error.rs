//! [`NoiseError`]: why a handshake failed.

use libp2p_identity::PeerId;
use serde::{Deserialize, Serialize};

use super::payload::PayloadError;
use crate::identity::KeyError;

/// Why a handshake failed. A handshake that failed once answers every call with the same error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoiseError {
    /// A handshake message announced a length that it cannot have. Nothing of it was buffered.
    MessageLength {
        /// Which message: 1, 2 or 3.
        message: u8,
        /// The announced length, in bytes.
        length: usize,
        /// The shortest possible, in bytes.
        min: usize,
        /// The longest allowed, in bytes.
        max: usize,
    },
    /// A handshake message does not decrypt, or holds a key of low order.
    Message {
        /// Which message: 1, 2 or 3.
        message: u8,
    },
    /// The payload of the remote is not acceptable.
    Payload(PayloadError),
    /// The identity key of the remote is not acceptable.
    IdentityKey(KeyError),
    /// The identity key did not sign the remote's Noise key.
    Signature,
    /// The remote proved to be somebody else. Boxed, since a peer id takes 80 bytes.
    WrongPeer {
        /// Who it should be.
        expected: Box<PeerId>,
        /// Who it is: this key did sign, so the address is the found peer's.
        found: Box<PeerId>,
    },
    /// Both sides offered multiplexers, and none is in both offers (inlined muxer negotiation,
    /// Multiplexer Negotiation over Noise).
    NoCommonMuxer,
    /// The handshake is not finished yet: a misuse, never caused by the remote.
    Unfinished,
}

impl core::fmt::Display for NoiseError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            NoiseError::MessageLength { message, length, min, max } => {
                write!(f, "noise handshake message {message} of {length} bytes, not {min} to {max}")
            }
            NoiseError::Message { message } => {
                write!(f, "noise handshake message {message} is not authentic")
            }
            NoiseError::Payload(error) => write!(f, "noise handshake payload: {error}"),
            NoiseError::IdentityKey(error) => write!(f, "noise identity key: {error}"),
            NoiseError::Signature => f.write_str("the identity key did not sign the noise key"),
            NoiseError::WrongPeer { expected, found } => {
                write!(f, "expected peer {expected}, found {found}")
            }
            NoiseError::NoCommonMuxer => f.write_str("no multiplexer in common"),
            NoiseError::Unfinished => f.write_str("the noise handshake is not finished"),
        }
    }
}

impl core::error::Error for NoiseError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            NoiseError::Payload(error) => Some(error),
            NoiseError::IdentityKey(error) => Some(error),
            NoiseError::MessageLength { .. }
            | NoiseError::Message { .. }
            | NoiseError::Signature
            | NoiseError::WrongPeer { .. }
            | NoiseError::NoCommonMuxer
            | NoiseError::Unfinished => None,
        }
    }
}

impl From<PayloadError> for NoiseError {
    fn from(error: PayloadError) -> Self {
        NoiseError::Payload(error)
    }
}
