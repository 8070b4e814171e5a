//! [`TlsError`]: why a handshake failed.

use libp2p_identity::PeerId;
use serde::{Deserialize, Serialize};

use super::certificate::CertificateError;
use super::engine::negotiation::alert_name;

/// Why a handshake failed. A handshake that failed once answers every call with the same error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TlsError {
    /// The remote sent more than [`MAX_HANDSHAKE_BYTES`](super::MAX_HANDSHAKE_BYTES) before the
    /// handshake was over.
    TooLong,
    /// The certificate of the remote is not acceptable.
    Certificate(CertificateError),
    /// The remote sent no certificate.
    NoCertificate,
    /// The remote proved to be somebody else. Boxed, since a peer id takes 80 bytes.
    WrongPeer {
        /// Who it should be.
        expected: Box<PeerId>,
        /// Who it is: this key did sign, so the address is the found peer's.
        found: Box<PeerId>,
    },
    /// The remote gave up with this alert (RFC 8446, section 6).
    Alert(u8),
    /// The remote said that it closes before the handshake was over.
    Closed,
    /// The remote's client offered protocols, and neither `libp2p` nor a multiplexer of ours is one.
    NoCommonProtocol,
    /// The two have no version, cipher suite, group or signature scheme in common.
    Incompatible,
    /// A message of the remote is malformed, or breaks TLS's rules.
    Misbehaved,
    /// A record or a signature of the remote is not authentic.
    Forged,
    /// The handshake is not finished yet: a misuse, never caused by the remote.
    Unfinished,
    /// Something of ours failed that cannot: the configuration, or a draw outside of a seed scope.
    Internal,
}

impl core::fmt::Display for TlsError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            TlsError::TooLong => {
                let max = super::MAX_HANDSHAKE_BYTES;
                write!(f, "tls handshake of more than {max} bytes")
            }
            TlsError::Certificate(error) => write!(f, "tls: {error}"),
            TlsError::NoCertificate => f.write_str("tls: no certificate"),
            TlsError::WrongPeer { expected, found } => {
                write!(f, "expected peer {expected}, found {found}")
            }
            TlsError::Alert(code) => {
                write!(f, "tls alert {code} ({:?}) from the remote", alert_name(*code))
            }
            TlsError::Closed => f.write_str("closed during the tls handshake"),
            TlsError::NoCommonProtocol => f.write_str("tls: no application protocol in common"),
            TlsError::Incompatible => f.write_str("tls: nothing in common"),
            TlsError::Misbehaved => f.write_str("tls: the remote broke the protocol"),
            TlsError::Forged => f.write_str("tls handshake is not authentic"),
            TlsError::Unfinished => f.write_str("the tls handshake is not finished"),
            TlsError::Internal => f.write_str("tls: internal error"),
        }
    }
}

impl core::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            TlsError::Certificate(error) => Some(error),
            TlsError::TooLong
            | TlsError::NoCertificate
            | TlsError::WrongPeer { .. }
            | TlsError::Alert(_)
            | TlsError::Closed
            | TlsError::NoCommonProtocol
            | TlsError::Incompatible
            | TlsError::Misbehaved
            | TlsError::Forged
            | TlsError::Unfinished
            | TlsError::Internal => None,
        }
    }
}

impl From<CertificateError> for TlsError {
    fn from(error: CertificateError) -> Self {
        TlsError::Certificate(error)
    }
}
