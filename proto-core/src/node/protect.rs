//! Whose connections are kept although nobody uses them.

use std::collections::{BTreeMap, BTreeSet};

use libp2p_identity::PeerId;

use super::ids::ConnectionId;
use super::machine::Node;
use super::protocols::Owner;

/// Who wants a peer's connections kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Protector {
    Application,
    Protocol(Owner),
}

/// Protected peers, each by somebody: nobody takes away what another one wants.
#[derive(Default)]
pub(super) struct Protection {
    /// Bounded by what the application names, and by the connected peers.
    peers: BTreeMap<PeerId, BTreeSet<Protector>>,
}

impl Protection {
    pub(super) fn is_protected(&self, peer: &PeerId) -> bool {
        self.peers.contains_key(peer)
    }

    fn set(&mut self, peer: PeerId, by: Protector, protect: bool) {
        if protect {
            self.peers.entry(peer).or_default().insert(by);
        } else if let Some(protectors) = self.peers.get_mut(&peer) {
            protectors.remove(&by);
            if protectors.is_empty() {
                self.peers.remove(&peer);
            }
        }
    }

    /// A peer is gone; a protocol's wish ends with that.
    pub(super) fn peer_gone(&mut self, peer: &PeerId) {
        if let Some(protectors) = self.peers.get_mut(peer) {
            protectors.retain(|by| *by == Protector::Application);
            if protectors.is_empty() {
                self.peers.remove(peer);
            }
        }
    }
}

impl Node {
    pub(super) fn protect(&mut self, peer: PeerId, by: Protector, protect: bool) {
        // A protocol's wish lasts as long as the peer is connected.
        if by != Protector::Application && self.connections.peer(&peer).is_none() {
            return;
        }
        self.protection.set(peer, by, protect);
        let now = self.clock.now();
        let ids: Vec<ConnectionId> =
            self.connections.peer(&peer).map_or_else(Vec::new, |known| known.connections.clone());
        for id in ids {
            self.watch_use(now, id);
        }
    }
}
