//! What is done once a second (gossipsub v1.0, The heartbeat procedure; v1.1).

use std::collections::BTreeSet;

use super::events::GossipEvent;
use super::machine::Gossip;
use super::peers::PeerKey;
use super::random;
use super::send_queue::Lane;
use super::topic::Topic;
use crate::time::Timestamp;

impl Gossip {
    pub(super) fn heartbeat(&mut self, now: Timestamp) {
        self.tick = self.tick.saturating_add(1);
        self.scores.refresh(now);
        self.punish_broken_promises(now);
        self.backoffs.clear(now, self.config.heartbeat_interval);
        self.seen.expire(now);
        self.left.retain(|_, until| now < *until);
        self.report_slow_peers(now);
        self.reopen_lost();
        self.dial_direct_peers();
        let joined: Vec<Topic> = self.topics.joined().cloned().collect();
        for topic in &joined {
            self.maintain_mesh(now, topic);
            self.gossip_about(now, topic);
        }
        // Whoever was pruned in one topic may have lost there what made up for something else.
        joined.iter().for_each(|topic| self.prune_below_zero(now, topic));
        let published: Vec<Topic> = self.topics.with_fanout().cloned().collect();
        for topic in &published {
            self.maintain_fanout(now, topic);
            self.gossip_about(now, topic);
        }
        self.cache.shift();
        self.expire_peers();
    }

    fn maintain_mesh(&mut self, now: Timestamp, topic: &Topic) {
        let params = self.mesh_params(topic);
        self.prune_below_zero(now, topic);
        if self.mesh_len(topic) < params.degree_low && !self.is_settling(now, topic) {
            self.fill_mesh(now, topic, params.degree, |_, _| true);
        }
        if self.mesh_len(topic) > params.degree_high {
            self.shrink_mesh(now, topic);
        }
        self.graft_outbound(now, topic);
        let ticks = self.config.opportunistic_graft_ticks;
        if ticks > 0 && self.tick.is_multiple_of(ticks) {
            self.graft_opportunistically(now, topic);
        }
    }

    fn prune_below_zero(&mut self, now: Timestamp, topic: &Topic) {
        let bad: Vec<PeerKey> =
            self.mesh_of(topic).into_iter().filter(|key| self.score_of(*key) < 0.0).collect();
        bad.into_iter().for_each(|key| self.prune(now, topic, key, false));
    }

    pub(super) fn mesh_of(&self, topic: &Topic) -> Vec<PeerKey> {
        self.topics.mesh(topic).map_or_else(Vec::new, |mesh| mesh.iter().copied().collect())
    }

    fn is_outbound(&self, key: PeerKey) -> bool {
        self.peers.get(key).is_some_and(|peer| peer.is_outbound())
    }

    pub(super) fn outbound_in_mesh(&self, topic: &Topic) -> usize {
        self.mesh_of(topic).into_iter().filter(|key| self.is_outbound(*key)).count()
    }

    /// Prunes down to D: the D_score best stay, then others at random. D_out of all of them are peers
    /// that we dialled, as far as there are any, even where best ones must make room for that.
    fn shrink_mesh(&mut self, now: Timestamp, topic: &Topic) {
        let params = self.mesh_params(topic);
        let mut mesh = self.mesh_of(topic);
        random::shuffle(&mut self.rng, &mut mesh);
        // Stable, so that those of equal scores stay in random order.
        let scores: Vec<(PeerKey, f64)> =
            mesh.iter().map(|key| (*key, self.score_of(*key))).collect();
        let mut ranked = scores;
        ranked.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        let mut order: Vec<PeerKey> = ranked.into_iter().map(|(key, _)| key).collect();
        let (_, rest) = order.split_at_mut(params.degree_score.min(mesh.len()));
        random::shuffle(&mut self.rng, rest);
        let missing = params.degree_outbound.saturating_sub(
            order.iter().take(params.degree).filter(|key| self.is_outbound(**key)).count(),
        );
        for _ in 0..missing {
            let place = |wanted: bool, order: &[PeerKey]| {
                let best = params.degree.saturating_sub(params.degree_outbound);
                let kept = params.degree_score.min(best)..params.degree;
                if wanted {
                    (params.degree..order.len()).find(|at| self.is_outbound(order[*at]))
                } else {
                    kept.rev().find(|at| order.get(*at).is_some_and(|key| !self.is_outbound(*key)))
                }
            };
            let (Some(comes), Some(goes)) = (place(true, &order), place(false, &order)) else {
                break;
            };
            order.swap(comes, goes);
        }
        for key in order.into_iter().skip(params.degree) {
            self.prune(now, topic, key, true);
        }
    }

    /// Sees to it that D_out of the mesh are peers that we dialled, as far as there are any: others
    /// make room for them where the mesh is full.
    fn graft_outbound(&mut self, now: Timestamp, topic: &Topic) {
        let params = self.mesh_params(topic);
        let missing = params.degree_outbound.saturating_sub(self.outbound_in_mesh(topic));
        if missing == 0 {
            return;
        }
        let available = self.graft_candidates(now, topic, |peer, _| peer.is_outbound()).len();
        let size = self.mesh_len(topic).saturating_add(missing.min(available));
        let surplus = size.saturating_sub(params.degree_high);
        let mut others = self.mesh_of(topic);
        others.retain(|key| !self.is_outbound(*key));
        random::keep(&mut self.rng, &mut others, surplus);
        others.into_iter().for_each(|key| self.prune(now, topic, key, true));
        self.fill_mesh(now, topic, size.min(params.degree_high), |peer, _| peer.is_outbound());
    }

    /// A mesh whose median score is poor gets a few peers that are better than that.
    fn graft_opportunistically(&mut self, now: Timestamp, topic: &Topic) {
        let mut scores: Vec<f64> =
            self.mesh_of(topic).into_iter().map(|key| self.score_of(key)).collect();
        if scores.len() < 2 {
            return;
        }
        scores.sort_by(f64::total_cmp);
        let median = scores[scores.len() / 2];
        if median >= self.scores.thresholds().opportunistic_graft {
            return;
        }
        let size = self.mesh_len(topic).saturating_add(self.config.opportunistic_graft_peers);
        let room = size.min(self.mesh_params(topic).degree_high);
        self.fill_mesh(now, topic, room, |_, score| score > median);
    }

    /// Forgets whom we published to, if that is long ago; otherwise makes up for those who left.
    fn maintain_fanout(&mut self, now: Timestamp, topic: &Topic) {
        let degree = self.mesh_params(topic).degree;
        let Some(state) = self.topics.get(topic) else { return };
        let Some(fanout) = &state.fanout else { return };
        if now.saturating_since(fanout.published_at) >= self.config.fanout_ttl {
            if let Some(state) = self.topics.get_mut(topic) {
                state.fanout = None;
            }
            return self.topics.release(topic);
        }
        let mut peers: BTreeSet<PeerKey> =
            fanout.peers.iter().copied().filter(|key| self.may_publish_to(*key)).collect();
        let missing = degree.saturating_sub(peers.len());
        let mut others = self.fanout_candidates(topic, &peers);
        random::keep(&mut self.rng, &mut others, missing);
        peers.extend(others);
        if let Some(fanout) = self.topics.get_mut(topic).and_then(|state| state.fanout.as_mut()) {
            fanout.peers = peers;
        }
    }

    fn punish_broken_promises(&mut self, now: Timestamp) {
        for (key, count) in self.promises.take_broken(now) {
            self.misbehaved(now, key, count);
        }
    }

    /// Counts what peers did not take in time, and says so.
    fn report_slow_peers(&mut self, now: Timestamp) {
        let (publish, forward) = (self.config.publish_queue, self.config.forward_queue);
        let control = self.config.control_queue;
        let mut slow = Vec::new();
        for (_, peer) in self.peers.iter_mut() {
            peer.queue.expire(now, Lane::Publish, publish);
            peer.queue.expire(now, Lane::Forward, forward);
            let ids = peer.backlog.expire(now, control);
            peer.queue.lose_control(ids);
            let lost = peer.queue.take_lost();
            if !lost.is_empty() {
                slow.push((peer.id, lost));
            }
        }
        for (peer, lost) in slow {
            let count = u32::try_from(lost.published.saturating_add(lost.forwarded));
            self.scores.slow_peer(now, &peer, count.unwrap_or(u32::MAX));
            self.events.push_back(GossipEvent::SlowPeer { peer, lost });
        }
    }

    /// What peers have used of their allowances begins anew.
    fn expire_peers(&mut self) {
        let tick = self.tick;
        for (_, peer) in self.peers.iter_mut() {
            peer.used = Default::default();
            peer.dont_want.expire(tick);
            peer.queue.release();
        }
    }
}
