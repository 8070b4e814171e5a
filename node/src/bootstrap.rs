//! Bootstrap peers: dialled at the start, and again for as long as they are missing.

use core::time::Duration;

use multiaddr::{Multiaddr, Protocol};
use sanspeer_core::address::peer_of;
use sanspeer_core::identity::PeerId;
use sanspeer_tokio::{Node, RequestError};
use tokio::time::{MissedTickBehavior, interval};

/// How often a missing peer is dialled.
const RETRY: Duration = Duration::from_secs(5);

/// How often it is checked that a peer is still connected.
const CHECK: Duration = Duration::from_secs(30);

/// After so many failures in a row, only every so many is logged.
const LOG_EVERY: u32 = 12;

/// What came of a dial.
pub(crate) type Outcome<'a> = Result<PeerId, &'a RequestError>;

/// Keeps the peer of `address` connected until the node ends, and tells `told` what came of each
/// dial.
pub(crate) async fn keep_connected(
    node: Node,
    mut address: Multiaddr,
    mut told: impl FnMut(Outcome<'_>),
) {
    if let Some(peer) = peer_of(&address) {
        // What comes of it, the dial tells.
        let _ = node.configure(peer, vec![address.clone()]).await;
    }
    let mut retry = interval(RETRY);
    retry.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        retry.tick().await;
        match node.dial(address.clone()).await {
            Ok(peer) => {
                told(Ok(peer));
                if peer_of(&address).is_none() {
                    // From now on it is this peer that is wanted, and not another connection.
                    address.push(Protocol::P2p(peer));
                }
                retry.reset_after(CHECK);
            }
            Err(RequestError::NodeGone) => return,
            Err(error) => told(Err(&error)),
        }
    }
}

/// Logs what comes of the dials of a bootstrap peer, without flooding.
pub(crate) fn logged(address: Multiaddr) -> impl FnMut(Outcome<'_>) {
    let mut failures = 0u32;
    move |outcome| match outcome {
        Ok(peer) => {
            if failures > 0 {
                tracing::info!("P2P: bootstrap peer {peer} is there again");
            }
            failures = 0;
        }
        Err(error) => {
            if failures.is_multiple_of(LOG_EVERY) {
                tracing::warn!("P2P: bootstrap peer {address} not connected: {error}");
            }
            failures = failures.saturating_add(1);
        }
    }
}
