//! [`PeerInfo`]: what a peer said of itself.

use multiaddr::Multiaddr;
use serde::{Deserialize, Serialize};

use crate::protocol::ProtocolId;

/// What a peer said of itself, within bounds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerInfo {
    /// The network that it takes part in, `protocolVersion` on the wire. Not checked.
    pub protocol_version: String,
    /// The program that it runs, `name/version` by custom. Not checked.
    pub agent: String,
    /// What it speaks, in its order, each once.
    pub protocols: Vec<ProtocolId>,
    /// Where it listens: from its signed record if it sent a valid one, else unsigned.
    pub addresses: Vec<Multiaddr>,
    /// Whether the addresses are signed.
    pub signed: bool,
    /// How our address looks from there.
    pub observed_address: Option<Multiaddr>,
}
