//! [`NegotiationError`]: how a negotiation fails.

use serde::{Deserialize, Serialize};

use super::{LineError, MAX_ATTEMPTS, MAX_LIST_REQUESTS, MULTISTREAM_HEADER, Proposals};
use crate::protocol::ProtocolId;

/// Why two sides did not agree on a protocol. Whatever the remote wrote is bounded by the longest
/// line ([`super::MAX_LINE_BYTES`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NegotiationError {
    /// The remote sent something that is no line, or one over the bound.
    Line(LineError),
    /// The remote began with this line and not with [`MULTISTREAM_HEADER`].
    WrongHeader(String),
    /// The listener speaks none of the protocols that were proposed.
    Refused(Proposals),
    /// The listener answered with neither the outstanding proposal nor `na`.
    UnexpectedAnswer {
        /// What it had to answer; `None` when nothing was proposed to it yet.
        proposed: Option<ProtocolId>,
        /// What it answered.
        answer: String,
    },
    /// The dialer proposed or asked for more than [`MAX_ATTEMPTS`] times.
    TooManyAttempts,
    /// The dialer asked for the list more than [`MAX_LIST_REQUESTS`] times.
    TooManyListRequests,
}

impl From<LineError> for NegotiationError {
    fn from(error: LineError) -> Self {
        NegotiationError::Line(error)
    }
}

impl core::fmt::Display for NegotiationError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            NegotiationError::Line(error) => write!(f, "protocol negotiation: {error}"),
            NegotiationError::WrongHeader(line) => {
                write!(f, "protocol negotiation began with {line:?}, not {MULTISTREAM_HEADER}")
            }
            NegotiationError::Refused(proposals) => {
                write!(f, "the remote speaks none of: {proposals}")
            }
            NegotiationError::UnexpectedAnswer { proposed: Some(proposed), answer } => {
                write!(f, "the remote answered {answer:?} to the proposal of {proposed}")
            }
            NegotiationError::UnexpectedAnswer { proposed: None, answer } => {
                write!(f, "the remote answered {answer:?} before anything was proposed")
            }
            NegotiationError::TooManyAttempts => {
                write!(f, "more than {MAX_ATTEMPTS} proposals in one negotiation")
            }
            NegotiationError::TooManyListRequests => {
                write!(f, "more than {MAX_LIST_REQUESTS} requests for a list in one negotiation")
            }
        }
    }
}

impl core::error::Error for NegotiationError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            NegotiationError::Line(error) => Some(error),
            NegotiationError::WrongHeader(_)
            | NegotiationError::Refused(_)
            | NegotiationError::UnexpectedAnswer { .. }
            | NegotiationError::TooManyAttempts
            | NegotiationError::TooManyListRequests => None,
        }
    }
}
