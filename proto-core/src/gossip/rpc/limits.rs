//! How much one RPC may hold: what is accepted, and what is sent.

use serde::{Deserialize, Serialize};

/// What is accepted of a remote in one RPC. A count beyond its limit refuses the whole RPC, before
/// anything is built. Of repeated fields those count too that are invalid, empty ones included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RpcLimits {
    /// The longest frame, in bytes. Default 1 MiB, as in go-libp2p.
    pub max_frame_bytes: usize,
    /// The most messages. Default 5,000: what one IWANT may ask for.
    pub max_messages: usize,
    /// The most subscriptions and unsubscriptions. Default 5,000.
    pub max_subscriptions: usize,
    /// The most entries of control: IHAVE, IWANT, GRAFT, PRUNE, IDONTWANT and extensions together,
    /// and one for each control message, of which others send one. Default 5,001.
    pub max_control_entries: usize,
    /// The most mentions of topics, by subscriptions and entries of control together.
    /// Default 5,000.
    pub max_topics: usize,
    /// The most ids in one IHAVE, IWANT or IDONTWANT. Default 5,000, as in go-libp2p and
    /// rust-libp2p.
    pub max_ids_per_entry: usize,
    /// The most ids in all of them together. Default 25,000: as many default ids as fit in 1 MiB.
    pub max_ids: usize,
    /// The most peers that one PRUNE offers. Default 64; others send 16.
    pub max_peers_per_prune: usize,
}

/// What is put into one RPC to a remote. Whoever sends more than the remote accepts loses its
/// stream there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendLimits {
    /// The longest frame that may be split, in bytes. Default 56 KiB, for a remote whose limit is
    /// unknown: rust-libp2p accepts 64 KiB, and measures all that it has received. Less than
    /// [`MIN_SPLIT_BYTES`] counts as that.
    pub max_frame_bytes: usize,
    /// The most bytes of control and subscriptions together. Default 16 KiB, which is all that
    /// rust-libp2p accepts. Less than [`MIN_SPLIT_BYTES`] counts as that.
    pub max_control_bytes: usize,
}

/// Nothing that cannot be split takes more, in bytes: a topic, and a peer with its signed record.
pub const MIN_SPLIT_BYTES: usize = 10 * 1024;

/// More than this, in bytes, is never put into a frame of control and subscriptions, whatever the
/// limits are.
const MAX_SPLIT_BYTES: usize = 1024 * 1024;

impl Default for RpcLimits {
    fn default() -> Self {
        RpcLimits {
            max_frame_bytes: 1024 * 1024,
            max_messages: 5_000,
            max_subscriptions: 5_000,
            max_control_entries: 5_001,
            max_topics: 5_000,
            max_ids_per_entry: 5_000,
            max_ids: 25_000,
            max_peers_per_prune: 64,
        }
    }
}

impl Default for SendLimits {
    fn default() -> Self {
        SendLimits { max_frame_bytes: 56 * 1024, max_control_bytes: 16 * 1024 }
    }
}

impl SendLimits {
    /// The longest frame of control and subscriptions, in bytes.
    pub(super) fn max_part_bytes(&self) -> usize {
        self.max_frame_bytes.min(self.max_control_bytes).clamp(MIN_SPLIT_BYTES, MAX_SPLIT_BYTES)
    }
}
