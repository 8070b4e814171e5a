//! Bootstrap peers: dialled at the start, and again for as long as they are missing.

use core::time::Duration;

use multiaddr::Multiaddr;
use sanspeer_core::address::peer_of;
use sanspeer_tokio::Node;
use tokio::time::{MissedTickBehavior, interval};

/// How often a missing peer is dialled.
const RETRY: Duration = Duration::from_secs(5);

/// How often it is checked that a peer is still connected.
const CHECK: Duration = Duration::from_secs(30);

/// After so many failures in a row, only every so many is logged.
const LOG_EVERY: u32 = 12;

/// Keeps the peer of `address` connected until the node ends.
pub(crate) async fn keep_connected(node: Node, address: Multiaddr) {
    if let Some(peer) = peer_of(&address) {
        // What comes of it, the dial tells.
        let _ = node.configure(peer, vec![address.clone()]).await;
    }
    let mut failures = 0u32;
    let mut retry = interval(RETRY);
    retry.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        retry.tick().await;
        match node.dial(address.clone()).await {
            Ok(peer) => {
                if failures > 0 {
                    tracing::info!("P2P: bootstrap peer {peer} is there again");
                }
                failures = 0;
                retry.reset_after(CHECK);
            }
            Err(sanspeer_tokio::RequestError::NodeGone) => return,
            Err(error) => {
                if failures.is_multiple_of(LOG_EVERY) {
                    tracing::warn!("P2P: bootstrap peer {address} not connected: {error}");
                }
                failures = failures.saturating_add(1);
            }
        }
    }
}
