//! [`RpcError`]: why a frame of a remote is refused.

use serde::{Deserialize, Serialize};

/// Why an RPC of a remote is refused as a whole. With each what was found and what is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RpcError {
    /// The frame is too long.
    TooLong(Excess),
    /// It is no protobuf message of the specification.
    Malformed,
    /// It has too many messages.
    Messages(Excess),
    /// It has too many subscriptions.
    Subscriptions(Excess),
    /// It has too many entries of control.
    ControlEntries(Excess),
    /// It mentions too many topics.
    Topics(Excess),
    /// An IHAVE, IWANT or IDONTWANT has too many ids.
    IdsPerEntry(Excess),
    /// It has too many ids.
    Ids(Excess),
    /// A PRUNE offers too many peers.
    PeersPerPrune(Excess),
}

/// How much there was when counting stopped, and how much is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excess {
    /// What was found.
    pub found: usize,
    /// What is allowed.
    pub max: usize,
}

impl core::fmt::Display for Excess {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}, more than {}", self.found, self.max)
    }
}

impl core::fmt::Display for RpcError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            RpcError::TooLong(excess) => write!(f, "bytes in an RPC: {excess}"),
            RpcError::Malformed => f.write_str("malformed RPC"),
            RpcError::Messages(excess) => write!(f, "messages in an RPC: {excess}"),
            RpcError::Subscriptions(excess) => write!(f, "subscriptions in an RPC: {excess}"),
            RpcError::ControlEntries(excess) => write!(f, "control entries in an RPC: {excess}"),
            RpcError::Topics(excess) => write!(f, "topics in an RPC: {excess}"),
            RpcError::IdsPerEntry(excess) => write!(f, "ids in a control entry: {excess}"),
            RpcError::Ids(excess) => write!(f, "ids in an RPC: {excess}"),
            RpcError::PeersPerPrune(excess) => write!(f, "peers in a PRUNE: {excess}"),
        }
    }
}

impl core::error::Error for RpcError {}
