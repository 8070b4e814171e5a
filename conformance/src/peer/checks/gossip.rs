//! What the peer publishes arrives.

use sanspeer_core::identity::PeerId;

use super::Got;
use crate::peer::gossip::Member;

/// Waits for a message that the peer has written, whoever passed it on.
pub async fn check(member: Option<&mut Member>, peer: PeerId) -> Result<Got, String> {
    let member = member.ok_or_else(|| "no topic is joined".to_owned())?;
    loop {
        let (from, line) = member.next().await.ok_or_else(|| "the node is gone".to_owned())?;
        if from == peer {
            return Ok(Got::Gossip(line));
        }
    }
}
