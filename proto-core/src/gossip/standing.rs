//! How a peer stands with us: its score against the thresholds (gossipsub v1.1, Score Thresholds).

use super::machine::Gossip;
use super::peers::PeerKey;
use crate::node::ProtocolOutput;
use crate::time::Timestamp;

/// How bad it is to break the protocol, as a penalty for Node.
const PENALTY_POINTS: u32 = 20;

impl Gossip {
    /// The score of a connected peer.
    pub(super) fn score_of(&self, key: PeerKey) -> f64 {
        self.peers.id(key).map_or(0.0, |id| self.scores.score(&id))
    }

    fn is_direct(&self, key: PeerKey) -> bool {
        self.peers.get(key).is_some_and(|peer| peer.direct)
    }

    /// Whether nothing of a peer is looked at but what topics it is in.
    pub(super) fn is_graylisted(&self, key: PeerKey) -> bool {
        !self.is_direct(key) && self.score_of(key) < self.scores.thresholds().graylist
    }

    /// Whether gossip goes to a peer, and is taken of it.
    pub(super) fn may_gossip(&self, key: PeerKey) -> bool {
        self.score_of(key) >= self.scores.thresholds().gossip
    }

    /// Whether messages go to a peer that is not in the mesh.
    pub(super) fn may_publish_to(&self, key: PeerKey) -> bool {
        self.is_direct(key) || self.score_of(key) >= self.scores.thresholds().publish
    }

    /// Whether the peers that it names are dialled.
    pub(super) fn may_exchange(&self, key: PeerKey) -> bool {
        self.score_of(key) >= self.scores.thresholds().accept_px
    }

    /// A peer broke the protocol in a way that costs it P7.
    pub(super) fn misbehaved(&mut self, now: Timestamp, key: PeerKey, count: u32) {
        if let Some(id) = self.peers.get(key).filter(|peer| !peer.direct).map(|peer| peer.id) {
            self.scores.behaviour_penalty(now, &id, count);
        }
    }

    /// A peer sent what nobody should: Node hears of it too.
    pub(super) fn broke_protocol(&mut self, now: Timestamp, key: PeerKey, reason: String) {
        self.misbehaved(now, key, 1);
        if let Some(peer) = self.peers.id(key) {
            self.output(ProtocolOutput::Penalty { peer, reason, points: PENALTY_POINTS });
        }
    }
}
