//! The node behind both roles.

use sanspeer_driver::runtime::Runtime;
use sanspeer_driver::{Config, Handle, SecurityProtocol, StartError};

/// Starts a node with an identity of its own, which speaks one security protocol over TCP.
pub fn start<R: Runtime>(runtime: &R, security: SecurityProtocol) -> Result<Handle, StartError> {
    let mut config = Config::ephemeral()?;
    config.security = vec![security];
    // Whoever runs the two peers ends the connection.
    config.node.idle_timeout = None;
    sanspeer_driver::start(runtime.clone(), config)
}
