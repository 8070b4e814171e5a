//! Waiting until Node knows something of a peer.

use std::time::Duration;

use sanspeer_core::identity::PeerId;
use sanspeer_core::node::PeerSummary;
use sanspeer_driver::Handle;
use sanspeer_driver::runtime::Runtime;

use super::deadline::pause;

/// How often Node is asked. It tells nobody of a round trip by itself.
const INTERVAL: Duration = Duration::from_millis(5);

/// Asks Node for what it knows of a connected peer until `known` finds what it looks for. Fails
/// when the peer is connected no longer.
pub async fn wait_for<R: Runtime, T>(
    runtime: &R,
    node: &Handle,
    peer: PeerId,
    known: impl Fn(&PeerSummary) -> Option<T>,
) -> Result<T, String> {
    loop {
        let peers = node.peers().await.map_err(|error| error.to_string())?;
        let summary = peers.iter().find(|summary| summary.peer == peer);
        let summary = summary.ok_or_else(|| format!("{peer} is not connected"))?;
        if let Some(found) = known(summary) {
            return Ok(found);
        }
        pause(runtime, INTERVAL).await;
    }
}
