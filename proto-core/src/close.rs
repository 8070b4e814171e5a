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
        /// Yamux: 0 normal, 1 protocol error, 2 internal error; from 0x1000 up those of libp2p
        /// (error-codes).
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
        /// The application's code (RFC 9000, section 20.2); from 0x1000 up those of libp2p
        /// (error-codes).
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
    /// Nobody used it for the configured time.
    Idle,
    /// Both sides dialled each other, and the other connection is used.
    Surplus,
}

/// Why Node refuses a connection. The numbers are the limits that were reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefuseReason {
    /// As many connections are open as may be.
    TooManyConnections(u32),
    /// As many connections with this peer are open as may be.
    TooManyConnectionsOfPeer(u32),
    /// The peer is ourselves.
    Ourselves,
    /// Another rule of Node's.
    Policy,
    /// As many connections that remotes opened are there as may be.
    TooManyInbound(u32),
    /// As many connections that we opened are there as may be.
    TooManyOutbound(u32),
    /// As many remotes are in their handshake as may be.
    TooManyPending(u32),
    /// As many connections with this IPv4 address or IPv6 /56 are there as may be.
    TooManyFromHost(u32),
    /// As many connections with this IPv6 /48 are there as may be.
    TooManyFromSite(u32),
    /// This IPv4 address or IPv6 /56 came more often than it may. How often it may at once.
    TooOften(u32),
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

// Codes that tell a remote why its connection ends (error-codes/libp2p-error-codes.md).
const RESOURCE_LIMIT_EXCEEDED: u32 = 0x1001;
const RATE_LIMITED: u32 = 0x1002;
const SUPPLANTED: u32 = 0x1004;
const GARBAGE_COLLECTED: u32 = 0x1005;
const GATED: u32 = 0x1007;

impl CloseReason {
    /// What a remote is told of a reason of ours, when it did nothing wrong: 0 where there is no
    /// code for it.
    pub fn goodbye_code(&self) -> u32 {
        match self {
            CloseReason::Refused(reason) => reason.goodbye_code(),
            CloseReason::Banned => GATED,
            CloseReason::Idle => GARBAGE_COLLECTED,
            CloseReason::Surplus => SUPPLANTED,
            CloseReason::Requested
            | CloseReason::RemoteGoodbye { .. }
            | CloseReason::TransportEnded
            | CloseReason::TransportFailed(_)
            | CloseReason::TimedOut(_)
            | CloseReason::WrongPeer { .. }
            | CloseReason::Multistream(_)
            | CloseReason::Noise(_)
            | CloseReason::Record(_)
            | CloseReason::Yamux(_)
            | CloseReason::RemoteClosed { .. }
            | CloseReason::Quic(_)
            | CloseReason::Tls(_)
            | CloseReason::TlsRecord(_)
            | CloseReason::NoSecurity => 0,
        }
    }
}

impl RefuseReason {
    fn goodbye_code(self) -> u32 {
        match self {
            RefuseReason::TooManyConnections(_)
            | RefuseReason::TooManyConnectionsOfPeer(_)
            | RefuseReason::TooManyInbound(_)
            | RefuseReason::TooManyOutbound(_)
            | RefuseReason::TooManyPending(_)
            | RefuseReason::TooManyFromHost(_)
            | RefuseReason::TooManyFromSite(_) => RESOURCE_LIMIT_EXCEEDED,
            RefuseReason::TooOften(_) => RATE_LIMITED,
            RefuseReason::Ourselves | RefuseReason::Policy => GATED,
        }
    }
}

/// What a code of libp2p's means.
fn meaning(code: u64) -> Option<&'static str> {
    let known = [
        (RESOURCE_LIMIT_EXCEEDED, "it has as many connections as it may"),
        (RATE_LIMITED, "we came too often"),
        (SUPPLANTED, "another connection is used"),
        (GARBAGE_COLLECTED, "nobody used the connection"),
        (GATED, "it does not want us"),
    ];
    known.into_iter().find(|(known, _)| u64::from(*known) == code).map(|(_, meaning)| meaning)
}

/// Says that a remote ended a connection, and why if it is known.
fn write_ended(f: &mut core::fmt::Formatter<'_>, code: u64) -> core::fmt::Result {
    match meaning(code) {
        Some(meaning) => write!(f, "the remote ended the connection: {meaning} (code {code})"),
        None => write!(f, "the remote ended the connection with code {code}"),
    }
}

impl core::fmt::Display for CloseReason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            CloseReason::Requested => f.write_str("closed on request"),
            CloseReason::Refused(reason) => write!(f, "not admitted: {reason}"),
            CloseReason::Banned => f.write_str("the peer or its address is banned"),
            CloseReason::RemoteGoodbye { code: 0 } => f.write_str("the remote said goodbye"),
            CloseReason::RemoteGoodbye { code } => write_ended(f, u64::from(*code)),
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
            CloseReason::RemoteClosed { code } => write_ended(f, *code),
            CloseReason::Quic(error) => write!(f, "{error}"),
            CloseReason::Tls(error) => write!(f, "{error}"),
            CloseReason::TlsRecord(error) => write!(f, "{error}"),
            CloseReason::NoSecurity => f.write_str("no security protocol to offer"),
            CloseReason::Idle => f.write_str("nobody used the connection"),
            CloseReason::Surplus => f.write_str("another connection to the peer is used"),
        }
    }
}

impl core::fmt::Display for RefuseReason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            RefuseReason::TooManyConnections(max) => write!(f, "{max} connections are open"),
            RefuseReason::TooManyConnectionsOfPeer(max) => {
                write!(f, "{max} connections with this peer are open")
            }
            RefuseReason::Ourselves => f.write_str("the peer is ourselves"),
            RefuseReason::Policy => f.write_str("policy"),
            RefuseReason::TooManyInbound(max) => {
                write!(f, "{max} connections that remotes opened are there")
            }
            RefuseReason::TooManyOutbound(max) => {
                write!(f, "{max} connections that we opened are there")
            }
            RefuseReason::TooManyPending(max) => write!(f, "{max} handshakes are going on"),
            RefuseReason::TooManyFromHost(max) => {
                write!(f, "{max} connections with this address are there")
            }
            RefuseReason::TooManyFromSite(max) => {
                write!(f, "{max} connections with this /48 are there")
            }
            RefuseReason::TooOften(burst) => {
                write!(f, "this address came more than {burst} times in a short while")
            }
        }
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
