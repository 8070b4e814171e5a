//! Why QUIC ends a connection.

use serde::{Deserialize, Serialize};

use crate::tls::TlsError;

/// Why QUIC ended a connection, or the handshake inside it failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum QuicError {
    /// The TLS handshake failed on our side: the remote's certificate, or a message of it.
    Tls(TlsError),
    /// The remote violated QUIC, and we closed with this code (RFC 9000, section 20.1).
    Violation {
        /// The code.
        code: u64,
    },
    /// The remote's transport closed with this code (RFC 9000, section 20.1). 2 is a refused
    /// connection; 256 and more carry a TLS alert in the low byte: the remote did not like our
    /// certificate, or is not who answers at this address.
    ClosedByTransport {
        /// The code.
        code: u64,
    },
    /// The remote has forgotten the connection, after a restart for instance (RFC 9000, section
    /// 10.3).
    StatelessReset,
    /// Nothing came for as long as the two sides had agreed on (RFC 9000, section 10.1).
    IdleTimeout,
    /// The remote speaks no version of QUIC that we do.
    VersionMismatch,
    /// No connection ids are left.
    ConnectionIdsExhausted,
}

impl core::fmt::Display for QuicError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            QuicError::Tls(error) => write!(f, "quic: {error}"),
            QuicError::Violation { code } => {
                write!(f, "the remote violated quic, closed with code {code:#x}")
            }
            QuicError::ClosedByTransport { code } => {
                write!(f, "the remote's quic closed with code {code:#x}")
            }
            QuicError::StatelessReset => f.write_str("quic connection forgotten by the remote"),
            QuicError::IdleTimeout => f.write_str("quic connection idle for too long"),
            QuicError::VersionMismatch => f.write_str("no common quic version"),
            QuicError::ConnectionIdsExhausted => f.write_str("no quic connection ids left"),
        }
    }
}

impl core::error::Error for QuicError {}
