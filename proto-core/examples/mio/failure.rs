//! What failures of the operating system are to Node.

use std::io::{self, ErrorKind};

use sanspeer_core::close::TransportFailure;
use sanspeer_core::node::{DialFailure, ListenFailure};

/// Why a connection ends.
pub fn transport_failure(error: &io::Error) -> TransportFailure {
    match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => TransportFailure::Reset,
        ErrorKind::ConnectionAborted => TransportFailure::Aborted,
        ErrorKind::TimedOut => TransportFailure::TimedOut,
        _ => TransportFailure::Other,
    }
}

/// Why a dial fails.
pub fn dial_failure(error: &io::Error) -> DialFailure {
    match error.kind() {
        ErrorKind::ConnectionRefused => DialFailure::Refused,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => DialFailure::Unreachable,
        ErrorKind::TimedOut => DialFailure::TimedOut,
        _ => DialFailure::Transport(transport_failure(error)),
    }
}

/// Why a listener does not start.
pub fn listen_failure(error: &io::Error) -> ListenFailure {
    match error.kind() {
        ErrorKind::AddrInUse => ListenFailure::AddressInUse,
        ErrorKind::AddrNotAvailable => ListenFailure::AddressNotAvailable,
        ErrorKind::PermissionDenied => ListenFailure::PermissionDenied,
        _ => ListenFailure::Transport(transport_failure(error)),
    }
}
