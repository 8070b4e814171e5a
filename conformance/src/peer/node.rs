//! The node behind both roles.

use sanspeer_core::gossip::GossipConfig;
use sanspeer_driver::runtime::Runtime;
use sanspeer_driver::{Config, Handle, SecurityProtocol, StartError};

/// Starts a node with an identity of its own, which speaks one security protocol over TCP.
pub fn start<R: Runtime>(runtime: &R, security: SecurityProtocol) -> Result<Handle, StartError> {
    start_gossiping(runtime, security, None)
}

/// The same, with gossip by these numbers, if there are any. Only who has a topic has gossip: a peer
/// that speaks it is asked for it.
pub fn start_gossiping<R: Runtime>(
    runtime: &R,
    security: SecurityProtocol,
    gossip: Option<GossipConfig>,
) -> Result<Handle, StartError> {
    let mut config = Config::ephemeral()?;
    config.security = vec![security];
    config.gossip = gossip;
    // Whoever runs the two peers ends the connection.
    config.node.idle_timeout = None;
    sanspeer_driver::start(runtime.clone(), config)
}
