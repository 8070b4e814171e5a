//! What a dialer checks.
//!
//! - [`ping`], [`identify`]: what Node learns of a peer by itself;
//! - [`echo`]: streams of ours;
//! - [`gossip`]: messages of a topic.

pub mod echo;
pub mod gossip;
pub mod identify;
pub mod ping;

use serde::Serialize;

pub use echo::Echo;

use super::gossip::GossipLine;

/// What a check that passed has found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Got {
    /// A round trip was measured.
    Ping {
        /// How long it took, in microseconds.
        rtt_us: u64,
    },
    /// The peer said who it is.
    Identify {
        /// What it runs.
        agent: String,
        /// What it speaks.
        protocols: Vec<String>,
    },
    /// All streams brought back what they were sent.
    Echo {
        /// Streams in all.
        streams: u32,
        /// Streams that were open at once, each with its first byte back.
        at_once: u32,
        /// Bytes each way, over all streams.
        bytes: u64,
        /// SHA-256 of what came back on the first stream, in hexadecimal.
        sha256: String,
        /// How long it took.
        seconds: f64,
    },
    /// What the peer has published came.
    Gossip(GossipLine),
}
