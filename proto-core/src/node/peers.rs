//! Peers with several connections: which one is preferred, and what can be told of them.

use core::time::Duration;

use libp2p_identity::PeerId;

use super::command::PeerSummary;
use super::event::NodeEvent;
use super::ids::ConnectionId;
use super::machine::Node;
use crate::mux::Role;
use crate::time::Timestamp;

/// Two connections of one peer, one dialled by each side, come from dialling each other at once if
/// they were admitted within this time of each other: as long as a handshake may take.
const SIMULTANEOUS: Duration = Duration::from_secs(10);

impl Node {
    /// Chooses the preferred connection of a peer when one more, `added`, was admitted.
    ///
    /// When both sides dialled each other at once, the connection whose dialer has the smaller peer
    /// id is preferred. Both sides see who dialled which, so both choose the same one. The other is
    /// surplus; that same side closes it when it is not used, so that never each side closes
    /// another. Otherwise the newer one is preferred: who dials again has lost the older one.
    pub(super) fn settle_preferred(&mut self, now: Timestamp, peer: &PeerId, added: ConnectionId) {
        let Some(before) = self.connections.peer(peer).map(|known| known.preferred) else { return };
        let Some(role) = self.connections.get(added).map(|entry| entry.role) else { return };
        let simultaneous = self.connections.get(before).is_some_and(|entry| {
            entry.role != role
                && entry.open().is_some_and(|open| {
                    !open.closing && now.saturating_since(open.opened_at) <= SIMULTANEOUS
                })
        });
        if !simultaneous {
            return self.prefer(peer, added);
        }
        let ours_wins = self.dials_win(peer);
        let (winner, loser) =
            if (role == Role::Dialer) == ours_wins { (added, before) } else { (before, added) };
        if let Some(open) = self.connections.open_mut(loser) {
            open.surplus = true;
        }
        self.prefer(peer, winner);
        self.watch_use(now, loser);
    }

    /// Whether of two simultaneous dials ours is the one that stays.
    pub(super) fn dials_win(&self, peer: &PeerId) -> bool {
        self.peer_id() < *peer
    }

    /// Chooses another preferred connection if the present one is gone or ending.
    pub(super) fn replace_preferred(&mut self, peer: &PeerId) {
        let Some(known) = self.connections.peer(peer) else { return };
        if self.connections.usable(peer).is_some() {
            return;
        }
        let newest = |surplus: bool| {
            known.connections.iter().rev().copied().find(|id| {
                self.connections
                    .open(*id)
                    .is_some_and(|open| !open.closing && open.surplus == surplus)
            })
        };
        let next = newest(false).or_else(|| newest(true));
        // With all of them ending it matters only that it is one of them.
        let Some(next) = next.or_else(|| known.connections.last().copied()) else { return };
        if let Some(open) = self.connections.open_mut(next) {
            open.surplus = false;
        }
        self.prefer(peer, next);
        self.watch_use(self.clock.now(), next);
    }

    fn prefer(&mut self, peer: &PeerId, connection: ConnectionId) {
        let Some(known) = self.connections.peer_mut(peer) else { return };
        let before = core::mem::replace(&mut known.preferred, connection);
        if before != connection {
            self.event(NodeEvent::PreferredConnection { peer: *peer, connection });
        }
    }

    /// Who is connected.
    pub(super) fn peer_summaries(&self) -> Vec<PeerSummary> {
        self.connections
            .peers()
            .map(|(peer, known)| {
                let mut ids = known.connections.clone();
                ids.sort_by_key(|id| *id != known.preferred);
                let rtt =
                    ids.iter().find_map(|id| self.connections.open(*id).and_then(|open| open.rtt));
                PeerSummary {
                    peer: *peer,
                    connections: ids
                        .into_iter()
                        .filter_map(|id| self.connections.connected(id))
                        .collect(),
                    rtt,
                    agent: None,
                    protocols: Vec::new(),
                }
            })
            .collect()
    }
}
