//! The peer answers pings.

use sanspeer_core::identity::PeerId;
use sanspeer_driver::Handle;
use sanspeer_driver::runtime::Runtime;

use super::Got;
use crate::peer::summary::wait_for;

/// Waits until a round trip is measured. The connection asks by itself, first when it is there.
pub async fn check<R: Runtime>(runtime: &R, node: &Handle, peer: PeerId) -> Result<Got, String> {
    let rtt = wait_for(runtime, node, peer, |summary| summary.rtt).await?;
    Ok(Got::Ping { rtt_us: u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX) })
}
