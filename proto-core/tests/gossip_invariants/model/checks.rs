//! The invariants, after every step.

use core::time::Duration;
use std::collections::BTreeSet;

use sanspeer_core::gossip::Topic;
use sanspeer_core::node::Protocol;
use sanspeer_core::time::{DeadlineReason, Timestamp};

use super::rig::Rig;
use super::samples::{self, PEERS, TOPICS};

/// The most back-offs that are kept.
const MAX_BACKOFFS: usize = 32 * 1024;

/// The most ids that are asked for at once.
const MAX_ASKED_IDS: usize = 64 * 1024;

impl Rig {
    pub(super) fn check(&self) {
        for number in 0..TOPICS.len() {
            let topic = samples::topic(u8::try_from(number).expect("few topics"));
            self.check_members(&topic);
            self.check_mesh(&topic);
            self.check_fanout(&topic);
        }
        assert!(self.gossip.topics().iter().eq(&self.ledger.joined));
        self.check_told();
        self.check_scores();
        self.check_usage();
        let deadline = self.gossip.poll_timeout();
        let heartbeat = self.ledger.next_heartbeat.filter(|at| *at < Timestamp::MAX);
        match heartbeat {
            Some(heartbeat) => {
                let deadline = deadline.expect("heartbeats go on, whatever happens");
                assert!(deadline.at <= heartbeat);
                assert!(deadline.at == heartbeat || deadline.reason == DeadlineReason::Verdict);
            }
            None => {
                assert!(deadline.is_none_or(|it| it.reason == DeadlineReason::Verdict));
            }
        }
    }

    /// The peers in a topic are those who said so, as far as there is room.
    fn check_members(&self, topic: &Topic) {
        let members = numbers(self.gossip.topic_peers(topic));
        let told = self.ledger.members.get(topic).cloned().unwrap_or_default();
        assert_eq!(members, told, "events tell who is in {topic}");
        for peer in &members {
            assert!(self.ledger.is_said(*peer, topic), "{peer} never said that it is in {topic}");
        }
        for (peer, known) in &self.ledger.peers {
            if !known.crowded && known.subscribed.contains(topic) {
                assert!(members.contains(peer), "{peer} is in {topic}");
            }
        }
    }

    fn check_mesh(&self, topic: &Topic) {
        let mesh = numbers(self.gossip.mesh_peers(topic));
        let told = self.ledger.mesh.get(topic).cloned().unwrap_or_default();
        assert_eq!(mesh, told, "events tell who is in the mesh of {topic}");
        assert!(mesh.is_empty() || self.ledger.joined.contains(topic));
        for peer in mesh {
            assert!(self.ledger.peers.contains_key(&peer), "{peer} is connected");
            assert!(self.ledger.is_said(peer, topic), "{peer} is in {topic}");
            assert!(self.can_be_grafted(peer), "{peer} can be spoken to");
            assert!(!self.ledger.direct.contains(&peer), "{peer} is direct");
            if let Some(until) = self.ledger.backoffs.get(&(peer, topic.clone())) {
                assert!(*until <= self.now, "{peer} is backed off in {topic} until {until:?}");
            }
        }
    }

    fn check_fanout(&self, topic: &Topic) {
        let fanout = numbers(self.gossip.fanout_peers(topic));
        assert!(fanout.is_empty() || !self.ledger.joined.contains(topic));
        for peer in fanout {
            assert!(self.ledger.peers.contains_key(&peer), "{peer} is connected");
            assert!(self.ledger.is_said(peer, topic), "{peer} is in {topic}");
            assert!(self.outbound.values().any(|spoken| spoken.peer == peer));
        }
    }

    fn can_be_grafted(&self, peer: usize) -> bool {
        self.outbound.values().any(|spoken| spoken.peer == peer && spoken.version.has_mesh())
    }

    /// Whoever can be told something knows which topics we are in.
    fn check_told(&self) {
        for spoken in self.outbound.values().filter(|spoken| spoken.has_credit()) {
            assert_eq!(spoken.told, self.ledger.joined, "what {} knows", spoken.peer);
        }
    }

    fn check_scores(&self) {
        for peer in (0..PEERS).map(samples::peer) {
            let Some(score) = self.gossip.score(&peer) else { continue };
            let parts = [
                score.total,
                score.rewards,
                score.penalties,
                score.application.score(),
                score.ip_colocation.score(),
                score.behaviour_penalty.score(),
                score.slow_peer.score(),
            ];
            assert!(parts.iter().all(|part| part.is_finite()), "{score:?}");
            assert!(score.rewards >= 0.0 && score.penalties <= 0.0, "{score:?}");
        }
    }

    fn check_usage(&self) {
        let (usage, config) = (self.gossip.usage(), &self.config);
        let peers = self.ledger.peers.len();
        assert_eq!(usage.peers, peers);
        assert!(usage.topics <= TOPICS.len());
        assert!(usage.backoffs <= MAX_BACKOFFS);
        assert!(usage.asked_ids <= MAX_ASKED_IDS);
        assert!(usage.seen_messages <= config.seen.max_entries + config.seen.max_verifying);
        let verifying = config.seen.max_verifying;
        assert!(usage.pending_messages <= config.max_pending_messages + verifying);
        // One frame may always wait, and one message always be verified.
        let most_data = config.max_message_bytes + 1_000;
        let verifying_bytes = config.seen.max_verifying_bytes + most_data;
        assert!(usage.verifying_bytes <= verifying_bytes);
        assert!(usage.pending_bytes <= config.max_pending_bytes + most_data + verifying_bytes);
        assert!(usage.pending_messages > 0 || usage.pending_bytes == 0);
        assert!(usage.cached_bytes <= config.cache.max_bytes);
        assert!(usage.cached_messages <= config.cache.max_entries);
        let lanes = config.publish_queue.max_bytes + config.forward_queue.max_bytes + 2 * most_data;
        assert!(usage.queued_bytes <= peers * lanes);
        // Notices of meshes come on top, one for each topic, and one batch that is encoded.
        let notices = 4 * 1_000 * config.max_topics;
        assert!(usage.control_bytes <= peers * (4 * config.control_queue.max_bytes + notices));
    }

    pub(super) fn check_deadline(&self) {
        let deadline = self.gossip.poll_timeout();
        assert!(deadline.is_none_or(|it| it.at > self.now), "{deadline:?} at {:?}", self.now);
    }

    pub(super) fn check_heartbeat(&self) {
        for topic in &self.ledger.joined {
            let params = self.ledger.mesh_params(topic);
            let mesh = numbers(self.gossip.mesh_peers(topic));
            assert!(mesh.len() <= params.degree_high, "{} peers in {topic}", mesh.len());
            for peer in &mesh {
                assert!(self.score(*peer) >= 0.0, "{peer} in {topic}: {}", self.score(*peer));
            }
            let outbound = mesh.iter().filter(|peer| self.ledger.dialled(**peer)).count();
            // Where somebody was pruned just now, it may be the next heartbeat that mends it.
            let mut touched = self.ledger.touched.iter();
            let pruned = touched.any(|((_, of), at)| of == topic && *at == self.now);
            if outbound < params.degree_outbound && !pruned {
                let others = (0..PEERS).filter(|peer| !mesh.contains(peer));
                let left: Vec<_> = others.filter(|peer| self.is_free(*peer, topic)).collect();
                assert!(left.is_empty(), "{outbound} outbound in {topic}, and {left:?} are free");
            }
        }
    }

    fn score(&self, peer: usize) -> f64 {
        self.gossip.score(&samples::peer(peer)).map_or(0.0, |score| score.total)
    }

    /// Whether a peer that we dialled could be in a mesh beyond doubt.
    fn is_free(&self, peer: usize, topic: &Topic) -> bool {
        let touched = self.ledger.touched.get(&(peer, topic.clone()));
        let rest = Duration::from_secs(3_602);
        self.ledger.dialled(peer)
            && self.gossip.topic_peers(topic).contains(&samples::peer(peer))
            && self.can_be_grafted(peer)
            && !self.ledger.direct.contains(&peer)
            && touched.is_none_or(|at| self.now.saturating_since(*at) > rest)
            && self.score(peer) >= 0.0
    }

    /// Nobody is connected any more.
    pub(super) fn check_empty(&self) {
        let usage = self.gossip.usage();
        assert_eq!((usage.peers, usage.queued_bytes, usage.control_bytes), (0, 0, 0));
        assert!(usage.topics <= self.ledger.joined.len() + TOPICS.len());
        assert!(self.requests.is_empty() && self.outbound.is_empty() && self.checks.is_empty());
        for number in 0..TOPICS.len() {
            let topic = samples::topic(u8::try_from(number).expect("few topics"));
            assert!(self.gossip.topic_peers(&topic).is_empty());
            assert!(self.gossip.mesh_peers(&topic).is_empty());
        }
    }
}

fn numbers(peers: Vec<sanspeer_core::identity::PeerId>) -> BTreeSet<usize> {
    peers.iter().map(|peer| samples::number_of(peer).expect("one of the peers")).collect()
}
