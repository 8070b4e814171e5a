//! What a node is started with.

use std::time::{SystemTime, UNIX_EPOCH};

use sanspeer_core::gossip::{GossipCommand, GossipConfig};
use sanspeer_core::identity::Identity;
use sanspeer_core::mailbox::Lease;
use sanspeer_core::node::{ConnectionLimits, NodeConfig};
use sanspeer_tokio::{Config, Node};

use crate::config::Settings;
use crate::error::Error;

/// A node with these settings, which gossips.
pub(crate) fn node_config(settings: &Settings, identity: Identity) -> Config {
    let mut config = Config::new(identity);
    let limits = ConnectionLimits {
        max_connections: settings.high_connections,
        max_inbound: settings.max_inbound_connections,
        max_outbound: settings.max_outbound_connections,
        ..ConnectionLimits::default()
    };
    config.node = NodeConfig {
        limits,
        low_connections: settings.low_connections,
        idle_timeout: settings.idle_connection,
        lease: Lease { ping_interval: settings.ping_interval, ..Lease::default() },
        perf: settings.serve_perf,
        ..NodeConfig::default()
    };
    config.node.identify.agent.clone_from(&settings.agent_version);
    config.node.identify.protocol_version.clone_from(&settings.protocol_version);
    config.gossip = Some(GossipConfig::default());
    config
}

/// Starts a node, whose messages are numbered higher than those of its runs before.
pub(crate) async fn start(config: Config) -> Result<Node, Error> {
    let node = sanspeer_tokio::start(config).map_err(Error::Start)?;
    // A clock before 1970 is as good as none.
    if let Ok(time) = SystemTime::now().duration_since(UNIX_EPOCH) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        // It says only that the node is gone.
        let _ = node.gossip(GossipCommand::SetUnixNanoseconds(nanoseconds)).await;
    }
    Ok(node)
}
