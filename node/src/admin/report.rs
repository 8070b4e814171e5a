//! What `status` tells.

use sanspeer_core::mux::Role;
use sanspeer_core::node::PeerSummary;
use serde::{Deserialize, Serialize};

use crate::config::ConfigFile;

/// A node's state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StatusReport {
    pub(crate) running: bool,
    /// Absent while there is no key file.
    pub(crate) peer_id: Option<String>,
    /// What is in force.
    pub(crate) config: ConfigFile,
    /// Where it is reached; empty while it is stopped.
    pub(crate) addresses: Vec<String>,
    /// Who is connected; empty while it is stopped.
    pub(crate) peers: Vec<PeerReport>,
    /// The topics that it is in; empty while it is stopped.
    pub(crate) topics: Vec<TopicReport>,
}

/// A connected peer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PeerReport {
    pub(crate) peer_id: String,
    /// That of its preferred connection.
    pub(crate) address: String,
    /// Whether that one was dialled by it.
    pub(crate) inbound: bool,
    pub(crate) connections: usize,
    /// The last round trip, in milliseconds.
    pub(crate) rtt_ms: Option<f64>,
    pub(crate) agent: Option<String>,
    pub(crate) protocols: Vec<String>,
}

/// A topic that a node is in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TopicReport {
    pub(crate) topic: String,
    /// Connected peers that are in it.
    pub(crate) peers: Vec<String>,
    /// Those of them that it exchanges every message with.
    pub(crate) mesh_peers: Vec<String>,
}

impl From<PeerSummary> for PeerReport {
    fn from(peer: PeerSummary) -> Self {
        let preferred = peer.connections.first();
        PeerReport {
            peer_id: peer.peer.to_string(),
            address: preferred.map(|one| one.address.to_string()).unwrap_or_default(),
            inbound: preferred.is_some_and(|one| one.role == Role::Listener),
            connections: peer.connections.len(),
            rtt_ms: peer.rtt.map(|rtt| rtt.as_secs_f64() * 1000.0),
            agent: peer.agent,
            protocols: peer.protocols.iter().map(|id| id.as_str().to_owned()).collect(),
        }
    }
}
