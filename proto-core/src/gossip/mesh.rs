//! The mesh of each topic that we are in: whom every message goes to (gossipsub v1.0, GRAFT and
//! PRUNE; v1.1, Prune Backoff and Peer Exchange).

use core::time::Duration;

use libp2p_identity::PeerId;

use super::backlog::MeshNotice;
use super::config::{MAX_BACKOFF, MeshParams};
use super::events::GossipEvent;
use super::machine::Gossip;
use super::peers::{Peer, PeerKey};
use super::random;
use super::rpc::{List, Prune, ReceivedPrune};
use super::topic::Topic;
use crate::time::Timestamp;

impl Gossip {
    pub(super) fn mesh_params(&self, topic: &Topic) -> MeshParams {
        let settings = self.settings.get(topic);
        settings.and_then(|settings| settings.mesh).unwrap_or(self.config.mesh)
    }

    pub(super) fn mesh_len(&self, topic: &Topic) -> usize {
        self.topics.mesh(topic).map_or(0, |mesh| mesh.len())
    }

    /// Who could be grafted: peers of the topic that are not in the mesh, speak of meshes, are not
    /// direct, are not backed off, and have no negative score.
    pub(super) fn graft_candidates(
        &self,
        now: Timestamp,
        topic: &Topic,
        wanted: impl Fn(&Peer, f64) -> bool,
    ) -> Vec<PeerKey> {
        let Some(state) = self.topics.get(topic) else { return Vec::new() };
        let Some(mesh) = &state.mesh else { return Vec::new() };
        let candidates = state.subscribers.iter().copied().filter(|key| {
            let Some(peer) = self.peers.get(*key) else { return false };
            if mesh.contains(key) || !self.is_graftable(now, topic, peer) {
                return false;
            }
            let score = self.scores.score(&peer.id);
            score >= 0.0 && wanted(peer, score)
        });
        candidates.collect()
    }

    /// Whether a peer could be in a mesh as far as the protocol goes.
    fn is_graftable(&self, now: Timestamp, topic: &Topic, peer: &Peer) -> bool {
        let slack = self.config.heartbeat_interval;
        peer.has_mesh() && !peer.direct && !self.backoffs.holds(now, topic, &peer.id, slack)
    }

    /// Fills the mesh of a topic that was joined, first with those of `known`.
    pub(super) fn join_mesh(&mut self, now: Timestamp, topic: &Topic, mut known: Vec<PeerKey>) {
        let degree = self.mesh_params(topic).degree;
        let candidates = self.graft_candidates(now, topic, |_, _| true);
        known.retain(|key| candidates.contains(key));
        random::keep(&mut self.rng, &mut known, degree);
        known.into_iter().for_each(|key| self.graft(now, topic, key));
        self.fill_mesh(now, topic, degree, |_, _| true);
    }

    /// Grafts peers, chosen at random, until the mesh has `size`, as far as there are any.
    pub(super) fn fill_mesh(
        &mut self,
        now: Timestamp,
        topic: &Topic,
        size: usize,
        wanted: impl Fn(&Peer, f64) -> bool,
    ) {
        let missing = size.saturating_sub(self.mesh_len(topic));
        if missing == 0 {
            return;
        }
        let mut candidates = self.graft_candidates(now, topic, wanted);
        random::keep(&mut self.rng, &mut candidates, missing);
        candidates.into_iter().for_each(|key| self.graft(now, topic, key));
    }

    /// So many peers are grafted as they come; the rest is made up for at a heartbeat. Peers that
    /// meet at the same time do the same with each other, so that each has about D in the end.
    fn grafted_at_once(params: MeshParams) -> usize {
        params.degree.div_ceil(2).min(params.degree_low)
    }

    /// A peer is in a topic of ours, and can be spoken to: grafts it, if the mesh is small. Room is
    /// kept for peers that we dialled.
    pub(super) fn graft_if_wanted(&mut self, now: Timestamp, topic: &Topic, key: PeerKey) {
        if !self.topics.is_joined(topic) {
            return;
        }
        let params = self.mesh_params(topic);
        let Some(peer) = self.peers.get(key) else { return };
        let (enough, len) = (Self::grafted_at_once(params), self.mesh_len(topic));
        let kept = match peer.is_outbound() {
            true => 0,
            false => params.degree_outbound.saturating_sub(self.outbound_in_mesh(topic)),
        };
        let room = params.degree > 0 && (len.saturating_add(kept) < enough || len == 0);
        if room && self.is_graftable(now, topic, peer) && self.score_of(key) >= 0.0 {
            self.graft(now, topic, key);
        }
    }

    /// Whether the mesh has some peers, and others are about to join it, because we have met of
    /// late.
    pub(super) fn is_settling(&self, now: Timestamp, topic: &Topic) -> bool {
        let enough = Self::grafted_at_once(self.mesh_params(topic));
        let Some(state) = self.topics.get(topic) else { return false };
        self.mesh_len(topic) >= enough
            && now.saturating_since(state.grafted_at) < self.config.heartbeat_interval / 2
    }

    /// Takes a peer into the mesh and tells it.
    pub(super) fn graft(&mut self, now: Timestamp, topic: &Topic, key: PeerKey) {
        if self.add_to_mesh(now, topic, key) {
            self.notify(topic, key, MeshNotice::Graft);
        }
    }

    fn add_to_mesh(&mut self, now: Timestamp, topic: &Topic, key: PeerKey) -> bool {
        let Some(peer) = self.peers.id(key) else { return false };
        let Some(state) = self.topics.get_mut(topic) else { return false };
        if !state.mesh.as_mut().is_some_and(|mesh| mesh.insert(key)) {
            return false;
        }
        state.grafted_at = now;
        self.scores.graft(now, &peer, topic);
        self.events.push_back(GossipEvent::Grafted { peer, topic: topic.clone() });
        true
    }

    /// Takes a peer out of the mesh, whoever wanted that. Whether it was in it.
    pub(super) fn remove_from_mesh(&mut self, now: Timestamp, topic: &Topic, key: PeerKey) -> bool {
        let Some(mesh) = self.topics.get_mut(topic).and_then(|state| state.mesh.as_mut()) else {
            return false;
        };
        if !mesh.remove(&key) {
            return false;
        }
        if let Some(peer) = self.peers.get_mut(key) {
            // One that was not told yet must not be told when it has pruned us meanwhile.
            peer.backlog.forget_graft(topic);
            let peer = peer.id;
            self.scores.prune(now, &peer, topic);
            self.events.push_back(GossipEvent::Pruned { peer, topic: topic.clone() });
        }
        true
    }

    /// Takes a peer out of the mesh, tells it, and leaves it alone for a while.
    pub(super) fn prune(&mut self, now: Timestamp, topic: &Topic, key: PeerKey, exchange: bool) {
        self.remove_from_mesh(now, topic, key);
        self.refuse(now, topic, key, self.config.prune_backoff, exchange);
    }

    /// Tells a peer that it is not in the mesh, and leaves it alone for `backoff`.
    fn refuse(
        &mut self,
        now: Timestamp,
        topic: &Topic,
        key: PeerKey,
        backoff: Duration,
        exchange: bool,
    ) {
        let Some(peer) = self.peers.get(key) else { return };
        let (id, has_backoff) = (peer.id, peer.version().is_some_and(|v| v.has_backoff()));
        self.backoffs.add(now, topic, id, now.saturating_add(backoff));
        let peers = if exchange && has_backoff && self.config.exchange_peers {
            self.peers_to_name(topic, key)
        } else {
            Vec::new()
        };
        // Never less than what is held against it.
        let seconds = backoff.as_secs().saturating_add(u64::from(backoff.subsec_nanos() > 0));
        let backoff_secs = has_backoff.then_some(seconds);
        let prune = Prune { topic: topic.clone(), peers, backoff_secs };
        self.notify(topic, key, MeshNotice::Prune(prune));
    }

    /// A peer hears only now that it is pruned, and counts from then on.
    pub(super) fn begin_backoffs(&mut self, peer: PeerId, prunes: &[Prune]) {
        let now = self.now();
        for Prune { topic, backoff_secs, .. } in prunes {
            if let Some(secs) = backoff_secs {
                let until = now.saturating_add(Duration::from_secs(*secs));
                self.backoffs.add(now, topic, peer, until);
            }
        }
    }

    fn notify(&mut self, topic: &Topic, key: PeerKey, notice: MeshNotice) {
        let Some(peer) = self.peers.get_mut(key).filter(|peer| peer.has_mesh()) else { return };
        if !peer.backlog.mesh(topic, notice) {
            peer.queue.lose_control(1);
        }
        self.dirty.insert(key);
    }

    /// Prunes the whole mesh of a topic that is left.
    pub(super) fn leave_mesh(&mut self, now: Timestamp, topic: &Topic) {
        let backoff = self.config.unsubscribe_backoff;
        let mesh: Vec<PeerKey> =
            self.topics.mesh(topic).map_or_else(Vec::new, |mesh| mesh.iter().copied().collect());
        for key in mesh {
            self.remove_from_mesh(now, topic, key);
            let exchange = self.score_of(key) >= 0.0;
            self.refuse(now, topic, key, backoff, exchange);
        }
    }

    /// A peer cannot be spoken to any more.
    pub(super) fn leave_all_meshes(&mut self, now: Timestamp, key: PeerKey) {
        let Some(peer) = self.peers.get(key) else { return };
        let topics: Vec<Topic> = peer.topics.iter().cloned().collect();
        for topic in topics {
            self.remove_from_mesh(now, &topic, key);
            if let Some(state) = self.topics.get_mut(&topic)
                && let Some(fanout) = &mut state.fanout
            {
                fanout.peers.remove(&key);
            }
        }
    }

    /// A peer has taken us into its meshes.
    pub(super) fn handle_graft(&mut self, now: Timestamp, key: PeerKey, topics: &List<Topic>) {
        let mut unknown = false;
        for topic in topics {
            if self.topics.is_joined(&topic) {
                self.handle_graft_of(now, key, &topic);
            } else {
                // Nothing is kept of it, and nothing answered: neither would end.
                unknown |= !self.left.contains_key(&topic);
            }
        }
        if unknown {
            self.misbehaved(now, key, 1);
        }
    }

    fn handle_graft_of(&mut self, now: Timestamp, key: PeerKey, topic: &Topic) {
        let Some(peer) = self.peers.get(key) else { return };
        let (id, outbound) = (peer.id, peer.is_outbound());
        if self.topics.get(topic).is_some_and(|state| state.in_mesh(key)) {
            return;
        }
        // Direct peers are to be in no mesh, and both sides know them.
        if peer.direct {
            return self.refuse(now, topic, key, self.config.prune_backoff, false);
        }
        // It cannot be spoken to at the moment, not even to be refused.
        if !peer.has_mesh() {
            return;
        }
        if let Some(backoff) = self.backoffs.get(now, topic, &id) {
            let early = now.saturating_since(backoff.since) < self.config.graft_flood_threshold;
            self.misbehaved(now, key, if early { 2 } else { 1 });
            return self.refuse(now, topic, key, self.config.prune_backoff, false);
        }
        let score = self.score_of(key);
        if score < 0.0 {
            return self.refuse(now, topic, key, self.config.prune_backoff, false);
        }
        // We dial whom we chose ourselves, so that who comes in numbers does not fill the mesh.
        let full = self.mesh_len(topic) >= self.mesh_params(topic).degree_high;
        if full && !outbound {
            return self.refuse(now, topic, key, self.config.prune_backoff, true);
        }
        // Who is in the mesh is in the topic.
        if self.peer_joined(now, key, topic) {
            self.add_to_mesh(now, topic, key);
        } else {
            self.refuse(now, topic, key, self.config.prune_backoff, false);
        }
    }

    /// A peer has taken us out of its meshes, or never let us in.
    pub(super) fn handle_prune(
        &mut self,
        now: Timestamp,
        key: PeerKey,
        prunes: &List<ReceivedPrune>,
    ) {
        let Some(id) = self.peers.id(key) else { return };
        let exchange = self.may_exchange(key);
        for ReceivedPrune { topic, peers, backoff_secs, .. } in prunes {
            if !self.topics.is_joined(&topic) {
                continue;
            }
            self.remove_from_mesh(now, &topic, key);
            let backoff = backoff_secs
                .map_or(self.config.prune_backoff, Duration::from_secs)
                .min(MAX_BACKOFF);
            self.backoffs.add(now, &topic, id, now.saturating_add(backoff));
            if exchange {
                self.meet(key, &peers);
            }
        }
    }
}
