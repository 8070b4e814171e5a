//! [`Exchange`]: peers that a PRUNE names in place of its sender (gossipsub v1.1, Peer Exchange).

use std::collections::BTreeSet;

use bytes::Bytes;
use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use super::machine::Gossip;
use super::peers::{Peer, PeerKey};
use super::random;
use super::rpc::{List, PeerInfo};
use super::topic::Topic;
use crate::node::ProtocolOutput;
use crate::record::{MAX_ENVELOPE_BYTES, SignedPeerRecord};

/// The most bytes of records in one PRUNE; peers whose records do not fit are named without. Common
/// records take 300 bytes.
const MAX_RECORD_BYTES: usize = 8 * 1024;

/// Peers that are dialled because somebody named them.
#[derive(Default)]
pub(super) struct Exchange {
    /// Bounded by [`super::GossipConfig::max_exchange_dials`].
    dialling: BTreeSet<PeerId>,
}

impl Exchange {
    /// A peer is connected, however that came.
    pub(super) fn connected(&mut self, peer: &PeerId) {
        self.dialling.remove(peer);
    }

    /// A peer could not be reached.
    pub(super) fn failed(&mut self, peer: &PeerId) {
        self.dialling.remove(peer);
    }

    fn begin(&mut self, peer: PeerId, max: usize) -> bool {
        self.dialling.len() < max && self.dialling.insert(peer)
    }
}

impl Gossip {
    /// Remembers a connected peer's own signed record, to hand it on when other peers are told of
    /// it. Whether it is one: genuine, of that peer, and the peer is connected.
    pub fn set_peer_record(&mut self, peer: &PeerId, envelope: Bytes) -> bool {
        let Some(key) = self.peers.key(peer) else { return false };
        if record_addresses(peer, &envelope).is_none() {
            return false;
        }
        if let Some(known) = self.peers.get_mut(key) {
            known.record = Some(envelope);
        }
        true
    }

    /// Peers of a topic that are named to one that is pruned: any that could be in a mesh, with a
    /// score that is not negative.
    pub(super) fn peers_to_name(&mut self, topic: &Topic, except: PeerKey) -> Vec<PeerInfo> {
        let Some(state) = self.topics.get(topic) else { return Vec::new() };
        let mut peers: Vec<PeerKey> = state
            .subscribers
            .iter()
            .copied()
            .filter(|key| *key != except && self.score_of(*key) >= 0.0)
            .filter(|key| self.peers.get(*key).is_some_and(Peer::has_mesh))
            .collect();
        random::keep(&mut self.rng, &mut peers, self.config.exchanged_peers);
        let mut room = MAX_RECORD_BYTES;
        let infos = peers.into_iter().filter_map(|key| {
            let peer = self.peers.get(key)?;
            let signed_record = peer.record.clone().filter(|record| record.len() <= room);
            room -= signed_record.as_ref().map_or(0, Bytes::len);
            Some(PeerInfo { peer: peer.id, signed_record })
        });
        infos.collect()
    }

    /// Dials peers that `by` named, as far as they are not known. A record that is not the peer's
    /// own is not believed, and its peer not dialled.
    ///
    /// To verify a record takes time, and one frame has room for thousands: of one peer no more are
    /// looked at between two heartbeats than may be dialled at once.
    pub(super) fn meet(&mut self, by: PeerKey, named: &List<PeerInfo>) {
        let max = self.config.max_exchange_dials;
        let Some(used) = self.peers.get_mut(by).map(|peer| &mut peer.used) else { return };
        let room = max.saturating_sub(used.named_peers).min(self.config.exchanged_peers);
        if room == 0 || named.is_empty() {
            return;
        }
        used.named_peers = used.named_peers.saturating_add(room.min(named.len()));
        let mut named: Vec<PeerInfo> = named.iter().collect();
        random::keep(&mut self.rng, &mut named, room);
        for PeerInfo { peer, signed_record } in named {
            if peer == self.peer_id() || self.peers.key(&peer).is_some() {
                continue;
            }
            let addresses = match signed_record {
                None => Vec::new(),
                Some(record) => match record_addresses(&peer, &record) {
                    Some(addresses) => addresses,
                    None => continue,
                },
            };
            if self.exchange.begin(peer, max) {
                self.output(ProtocolOutput::Dial { peer, addresses });
            }
        }
    }
}

/// The addresses of a signed record, if it is genuine and of this peer.
fn record_addresses(peer: &PeerId, envelope: &[u8]) -> Option<Vec<Multiaddr>> {
    if envelope.len() > MAX_ENVELOPE_BYTES {
        return None;
    }
    let record = SignedPeerRecord::decode(envelope).ok()?;
    record.verify_for(*peer).ok()?;
    Some(record.record().addresses.clone())
}
