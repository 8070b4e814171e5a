//! Failures in words.

use core::fmt::{Display, Formatter, Result};

use super::command::{CommandError, DialError};
use super::input::{DialFailure, ListenFailure};

impl Display for CommandError {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            CommandError::ShuttingDown => f.write_str("the node is shutting down"),
            CommandError::NoAddresses => f.write_str("there is no address to dial"),
            CommandError::PeersDiffer => f.write_str("the addresses name different peers"),
            CommandError::Ourselves => f.write_str("the peer is ourselves"),
            CommandError::Dial(failures) => {
                f.write_str("no address could be dialled")?;
                failures.iter().try_for_each(|(address, error)| write!(f, "; {address}: {error}"))
            }
            CommandError::TooManyDials(most) => write!(f, "{most} dials are waiting already"),
            CommandError::Listen(failure) => write!(f, "{failure}"),
            CommandError::Unknown => f.write_str("there is none of that name"),
            CommandError::Taken => f.write_str("the name is taken"),
            CommandError::Limit(most) => write!(f, "{most} are there already"),
        }
    }
}

impl core::error::Error for CommandError {}

impl Display for DialError {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            DialError::Failed(failure) => write!(f, "{failure}"),
            DialError::Closed(reason) => write!(f, "{reason}"),
            DialError::NameNotFound => f.write_str("the name stands for nothing"),
            DialError::BackedOff => f.write_str("not tried: it failed too often of late"),
            DialError::Cancelled => f.write_str("given up for another address, or on request"),
        }
    }
}

impl core::error::Error for DialError {}

impl Display for DialFailure {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            DialFailure::Refused => f.write_str("connection refused"),
            DialFailure::Unreachable => f.write_str("no way to the address"),
            DialFailure::TimedOut => f.write_str("no answer in time"),
            DialFailure::Unsupported => f.write_str("an address that cannot be dialled"),
            DialFailure::Transport(failure) => write!(f, "the transport failed: {failure}"),
            DialFailure::WrongPeer { found } => write!(f, "wrong peer: {found} answered"),
        }
    }
}

impl core::error::Error for DialFailure {}

impl Display for ListenFailure {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            ListenFailure::AddressInUse => f.write_str("the address is in use"),
            ListenFailure::AddressNotAvailable => f.write_str("no interface has the address"),
            ListenFailure::PermissionDenied => f.write_str("not permitted to listen there"),
            ListenFailure::Unsupported => f.write_str("an address that cannot be listened on"),
            ListenFailure::Transport(failure) => write!(f, "the transport failed: {failure}"),
        }
    }
}

impl core::error::Error for ListenFailure {}
