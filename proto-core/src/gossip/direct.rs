//! Direct peers: those that the application names. Messages always go to them and are always taken
//! from them, and they are in no mesh (gossipsub v1.1, Explicit Peering Agreements).

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use super::machine::Gossip;
use super::topic::Topic;
use crate::node::ProtocolOutput;
use crate::time::Timestamp;

impl Gossip {
    /// Makes a peer a direct one; it must do the same with us. It is dialled at the next heartbeat
    /// if it is not connected, and again every
    /// [`direct_connect_ticks`](super::GossipConfig::direct_connect_ticks).
    pub fn add_direct_peer(&mut self, now: Timestamp, peer: PeerId, addresses: Vec<Multiaddr>) {
        let now = self.advance(now);
        self.direct.add(peer, addresses);
        let Some(key) = self.peers.key(&peer) else { return };
        let Some(known) = self.peers.get_mut(key) else { return };
        known.direct = true;
        let topics: Vec<Topic> = known.topics.iter().cloned().collect();
        for topic in topics {
            if self.topics.get(&topic).is_some_and(|state| state.in_mesh(key)) {
                self.prune(now, &topic, key, false);
            }
        }
        self.output(ProtocolOutput::Protect { peer, protect: true });
        self.flush();
    }

    /// Makes a direct peer one like all others. Whether it was one.
    pub fn remove_direct_peer(&mut self, now: Timestamp, peer: &PeerId) -> bool {
        self.advance(now);
        let was = self.direct.remove(peer);
        if let Some(known) = self.peers.key(peer).and_then(|key| self.peers.get_mut(key))
            && core::mem::take(&mut known.direct)
        {
            self.output(ProtocolOutput::Protect { peer: *peer, protect: false });
        }
        was
    }

    /// Dials those that are not connected, if it is time for that.
    pub(super) fn dial_direct_peers(&mut self) {
        let ticks = self.config.direct_connect_ticks;
        let all = ticks > 0 && self.tick.is_multiple_of(ticks);
        for (peer, addresses) in self.direct.take_due(all) {
            if self.peers.key(&peer).is_none() {
                self.output(ProtocolOutput::Dial { peer, addresses });
            }
        }
    }
}

/// The direct peers: as many as the application names.
#[derive(Default)]
pub(super) struct Direct {
    peers: std::collections::BTreeMap<PeerId, DirectPeer>,
}

struct DirectPeer {
    addresses: Vec<Multiaddr>,
    /// It was never dialled.
    new: bool,
}

impl Direct {
    fn add(&mut self, peer: PeerId, addresses: Vec<Multiaddr>) {
        self.peers.insert(peer, DirectPeer { addresses, new: true });
    }

    fn remove(&mut self, peer: &PeerId) -> bool {
        self.peers.remove(peer).is_some()
    }

    pub(super) fn contains(&self, peer: &PeerId) -> bool {
        self.peers.contains_key(peer)
    }

    /// Those that are new, or all of them.
    fn take_due(&mut self, all: bool) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let due = self.peers.iter_mut().filter_map(|(peer, direct)| {
            let new = core::mem::take(&mut direct.new);
            (new || all).then(|| (*peer, direct.addresses.clone()))
        });
        due.collect()
    }
}
