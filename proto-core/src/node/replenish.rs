//! Known peers that are dialled while too few are connected.

use super::machine::Node;
use crate::time::{Deadline, DeadlineReason, Timestamp};

/// Peers that are dialled at one look. The next look finds those whose dials failed backed off.
const MAX_DIALS: usize = 8;

impl Node {
    /// When it is looked whether enough peers are connected.
    pub(super) fn replenish_deadline(&self) -> Option<Deadline> {
        let looks = self.config.low_connections > 0 && !self.shutting_down;
        looks.then(|| Deadline::new(self.replenish_at, DeadlineReason::Replenish))
    }

    /// Dials known peers while fewer are connected than there should be.
    pub(super) fn replenish(&mut self, now: Timestamp) {
        if self.replenish_deadline().is_none_or(|deadline| deadline.at > now) {
            return;
        }
        self.replenish_at = now.saturating_add(self.config.replenish_interval);
        let low = usize::try_from(self.config.low_connections).unwrap_or(usize::MAX);
        let missing = low.saturating_sub(self.connections.peers().count());
        for peer in self.peers.peers_to_dial(now, missing.min(MAX_DIALS)) {
            // With no room for a dial, there is another look.
            let _ = self.dial_known(peer);
        }
    }
}
