//! Why something that the application asked for failed.

use std::io;

use sanspeer_core::gossip::GossipConfigError;
use sanspeer_core::identity::IdentityError;
use sanspeer_core::mailbox::OpenFailure;
use sanspeer_core::node::{AddProtocolError, CommandError};

/// Why a node did not start.
#[derive(Debug)]
pub enum StartError {
    /// The identity's key could not sign its certificate.
    Identity(IdentityError),
    /// The operating system gave no randomness.
    Randomness(io::Error),
    /// A protocol of the application's does not fit among the others.
    Protocol(AddProtocolError),
    /// The numbers of gossip do not fit together.
    Gossip(GossipConfigError),
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// The node has shut down.
    NodeGone,
    /// Node could not do it.
    Failed(CommandError),
}

/// Why a stream was not opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenStreamError {
    /// The peer is not connected, and could not be.
    Connect(RequestError),
    /// The connection ended meanwhile.
    ConnectionClosed,
    /// The connection has opened as many streams as its protocol can number.
    Exhausted,
    /// No protocol was named, or so many.
    Proposals(usize),
    /// No protocol was agreed on.
    Refused(OpenFailure),
}

impl core::fmt::Display for StartError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            StartError::Identity(error) => write!(f, "{error}"),
            StartError::Randomness(error) => write!(f, "no randomness: {error}"),
            StartError::Protocol(error) => write!(f, "{error}"),
            StartError::Gossip(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for StartError {}

impl core::fmt::Display for RequestError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            RequestError::NodeGone => f.write_str("the node has shut down"),
            RequestError::Failed(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for RequestError {}

impl core::fmt::Display for OpenStreamError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            OpenStreamError::Connect(error) => write!(f, "not connected: {error}"),
            OpenStreamError::ConnectionClosed => f.write_str("the connection ended"),
            OpenStreamError::Exhausted => f.write_str("no stream ids are left"),
            OpenStreamError::Proposals(count) => write!(f, "{count} protocols proposed"),
            OpenStreamError::Refused(failure) => write!(f, "{failure}"),
        }
    }
}

impl core::error::Error for OpenStreamError {}
