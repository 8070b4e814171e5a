//! What failures of the operating system are to Node.

use std::io::{self, ErrorKind};

use sanspeer_core::close::TransportFailure;
use sanspeer_core::node::{DialFailure, ListenFailure};

/// Why a connection ends.
#[allow(clippy::wildcard_enum_match_arm, reason = "the enum is std's, and it grows")]
pub(crate) fn transport_failure(error: &io::Error) -> TransportFailure {
    match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => TransportFailure::Reset,
        ErrorKind::ConnectionAborted => TransportFailure::Aborted,
        ErrorKind::TimedOut => TransportFailure::TimedOut,
        _ => TransportFailure::Other,
    }
}

/// Why a dial fails.
#[allow(clippy::wildcard_enum_match_arm, reason = "the enum is std's, and it grows")]
pub(crate) fn dial_failure(error: &io::Error) -> DialFailure {
    match error.kind() {
        ErrorKind::ConnectionRefused => DialFailure::Refused,
        ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::NetworkDown
        | ErrorKind::AddrNotAvailable => DialFailure::Unreachable,
        ErrorKind::TimedOut => DialFailure::TimedOut,
        ErrorKind::InvalidInput | ErrorKind::Unsupported => DialFailure::Unsupported,
        _ => DialFailure::Transport(transport_failure(error)),
    }
}

/// Why a listener does not start.
#[allow(clippy::wildcard_enum_match_arm, reason = "the enum is std's, and it grows")]
pub(crate) fn listen_failure(error: &io::Error) -> ListenFailure {
    match error.kind() {
        ErrorKind::AddrInUse => ListenFailure::AddressInUse,
        ErrorKind::AddrNotAvailable => ListenFailure::AddressNotAvailable,
        ErrorKind::PermissionDenied => ListenFailure::PermissionDenied,
        ErrorKind::Unsupported => ListenFailure::Unsupported,
        _ => ListenFailure::Transport(transport_failure(error)),
    }
}

/// Whether accepting failed for the one who arrived and not for the listener.
pub(crate) fn is_of_one_arrival(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionRefused
            | ErrorKind::Interrupted
    )
}
