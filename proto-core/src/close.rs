//! Why connections and streams end.

use libp2p_identity::PeerId;
use serde::{Deserialize, Serialize};

use crate::multistream::NegotiationError;
use crate::noise::{NoiseError, RecordError};
use crate::quic::QuicError;
use crate::time::DeadlineReason;
use crate::tls::{self, TlsError};
use crate::yamux::YamuxError;

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CloseReason {
    /// We asked for it: the application, or Node without a more precise reason.
    Requested,
    /// Node did not admit the connection.
    Refused(RefuseReason),
    /// The peer, or its address, is banned.
    Banned,
    /// The remote said goodbye with this code; 0 is a normal end.
    RemoteGoodbye {
        /// Yamux: 0 normal, 1 protocol error, 2 internal error.
        code: u32,
    },
    /// The transport ended without a goodbye.
    TransportEnded,
    /// The transport failed.
    TransportFailed(TransportFailure),
    /// A phase took longer than it may.
    TimedOut(DeadlineReason),
    /// The remote proved an identity other than the one that was dialled.
    WrongPeer {
        /// Who was dialled.
        expected: Box<PeerId>,
        /// Who answered.
        found: Box<PeerId>,
    },
    /// No security protocol or muxer was agreed on.
    Multistream(NegotiationError),
    /// The Noise handshake failed.
    Noise(NoiseError),
    /// A Noise record did not open, or no more can be sealed. Those of TLS are
    /// [`CloseReason::TlsRecord`].
    Record(RecordError),
    /// The remote violated Yamux.
    Yamux(YamuxError),
    /// The remote's application closed a QUIC connection with this code; 0 is a normal end.
    RemoteClosed {
        /// The application's code (RFC 9000, section 20.2).
        code: u64,
    },
    /// QUIC ended the connection, or the handshake inside it failed.
    Quic(QuicError),
    /// The TLS handshake failed, or the remote gave up with an alert, then or later. A dialer's
    /// certificate is refused by an alert after [`crate::mux::MuxEvent::Secured`].
    Tls(TlsError),
    /// A TLS record did not open, or no more can be sealed.
    TlsRecord(tls::RecordError),
    /// No security protocol was given to offer.
    NoSecurity,
}

/// Why Node refuses a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefuseReason {
    /// As many connections are open as may be, in all or from this place.
    TooManyConnections,
    /// As many connections to this peer are open as may be.
    TooManyConnectionsOfPeer,
    /// The peer is ourselves.
    Ourselves,
    /// Another rule of Node's.
    Policy,
}

/// What the driver knows of a transport's failure, in words that every platform has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransportFailure {
    /// The remote reset it.
    Reset,
    /// It was cut off on the way.
    Aborted,
    /// The operating system gave up waiting for the remote.
    TimedOut,
    /// Anything else.
    Other,
}

impl core::fmt::Display for CloseReason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            CloseReason::Requested => f.write_str("closed on request"),
            CloseReason::Refused(reason) => write!(f, "not admitted: {reason}"),
            CloseReason::Banned => f.write_str("the peer or its address is banned"),
            CloseReason::RemoteGoodbye { code: 0 } => f.write_str("the remote said goodbye"),
            CloseReason::RemoteGoodbye { code } => {
                write!(f, "the remote ended the connection with code {code}")
            }
            CloseReason::TransportEnded => {
                f.write_str("the remote closed the transport without a goodbye")
            }
            CloseReason::TransportFailed(failure) => write!(f, "the transport failed: {failure}"),
            CloseReason::TimedOut(phase) => write!(f, "timed out: {phase}"),
            CloseReason::WrongPeer { expected, found } => {
                write!(f, "wrong peer: dialled {expected}, but {found} answered")
            }
            CloseReason::Multistream(error) => write!(f, "{error}"),
            CloseReason::Noise(error) => write!(f, "{error}"),
            CloseReason::Record(error) => write!(f, "{error}"),
            CloseReason::Yamux(error) => write!(f, "{error}"),
            CloseReason::RemoteClosed { code: 0 } => {
                f.write_str("the remote closed the connection")
            }
            CloseReason::RemoteClosed { code } => {
                write!(f, "the remote closed the connection with code {code}")
            }
            CloseReason::Quic(error) => write!(f, "{error}"),
            CloseReason::Tls(error) => write!(f, "{error}"),
            CloseReason::TlsRecord(error) => write!(f, "{error}"),
            CloseReason::NoSecurity => f.write_str("no security protocol to offer"),
        }
    }
}

impl core::fmt::Display for RefuseReason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            RefuseReason::TooManyConnections => "too many connections",
            RefuseReason::TooManyConnectionsOfPeer => "too many connections to this peer",
            RefuseReason::Ourselves => "the peer is ourselves",
            RefuseReason::Policy => "policy",
        })
    }
}

impl core::fmt::Display for TransportFailure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            TransportFailure::Reset => "reset by the remote",
            TransportFailure::Aborted => "aborted",
            TransportFailure::TimedOut => "the remote did not respond",
            TransportFailure::Other => "an error of the operating system",
        })
    }
}
