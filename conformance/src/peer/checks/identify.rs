//! The peer says who it is and what it speaks.

use sanspeer_core::identity::PeerId;
use sanspeer_driver::Handle;
use sanspeer_driver::runtime::Runtime;

use super::Got;
use crate::peer::summary::wait_for;

/// Waits until the peer has said it. One that speaks nothing has not: it speaks identify itself.
pub async fn check<R: Runtime>(runtime: &R, node: &Handle, peer: PeerId) -> Result<Got, String> {
    let known = |summary: &sanspeer_core::node::PeerSummary| {
        let protocols: Vec<_> = summary.protocols.iter().map(ToString::to_string).collect();
        Some((summary.agent.clone()?, protocols))
    };
    let (agent, protocols) = wait_for(runtime, node, peer, known).await?;
    if agent.is_empty() || protocols.is_empty() {
        return Err(format!("agent {agent:?}, protocols {protocols:?}"));
    }
    Ok(Got::Identify { agent, protocols })
}
