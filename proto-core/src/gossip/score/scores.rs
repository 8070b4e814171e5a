//! [`Scores`]: what every peer did, and what score that makes.

use core::net::IpAddr;
use std::collections::BTreeMap;

use libp2p_identity::PeerId;

use super::breakdown::{Part, ScoreBreakdown};
use super::colocation::{Colocation, Place};
use super::decay::Ticks;
use super::deliveries::Deliveries;
use super::params::{ScoreConfig, ScoreThresholds};
use super::peer::{PeerScore, Presence};
use super::soundness::ScoreConfigError;
use super::topic::{ScoredTopic, TopicCounters, TopicKey, Topics};
use super::topic_params::TopicScoreParams;
use crate::gossip::message_id::MessageId;
use crate::gossip::topic::Topic;
use crate::node::ConnectionId;
use crate::time::{Clock, Timestamp};

/// What every peer did, and what score that makes.
///
/// Scores are a function of what was told and when: intervals of decay end at whole multiples of
/// [`ScoreConfig::decay_interval`] after the beginning, whenever [`Scores::refresh`] is called, and
/// many that pass at once cost as much as one.
///
/// # A message's way
///
/// 1. Its signature holds and its id is new: [`Scores::message_arrived`].
/// 2. While it is decided on, and when it was accepted: [`Scores::copy_arrived`] for each copy.
/// 3. It is decided on: [`Scores::message_accepted`], [`Scores::message_rejected`] or
///    [`Scores::message_ignored`]. Without a decision it is forgotten after
///    [`ScoreConfig::delivery_ttl`].
/// 4. A copy of one that was rejected, and a message that is invalid by itself (its signature does
///    not hold, it has fields that it must not have): [`Scores::invalid_message`].
///
/// So nothing is kept here of messages that are decided on, but for the few milliseconds in which a
/// copy of an accepted one counts; verdicts stay with the ids of seen messages.
///
/// # Bounds
///
/// Connected peers are bounded by whoever admits connections, retained ones by
/// [`ScoreConfig::max_retained_peers`], messages by [`ScoreConfig::max_deliveries`]. Topics are
/// those that the application named; what a remote says of any other is not counted.
#[derive(Clone, Debug)]
pub struct Scores {
    config: ScoreConfig,
    clock: Clock,
    ticks: Ticks,
    topics: Topics,
    /// Those that are connected, and `retained` that are not.
    peers: BTreeMap<PeerId, PeerScore>,
    retained: usize,
    colocation: Colocation,
    deliveries: Deliveries,
}

/// Why an application's score of a peer is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplicationScoreError {
    /// Nothing is known of the peer: it is not connected, and its score is not kept.
    UnknownPeer,
    /// The score is not a number.
    NotANumber,
}

impl Scores {
    /// Nobody is known yet. The topics in `config` are scored.
    ///
    /// # Errors
    ///
    /// When `config` does not pass [`ScoreConfig::check`].
    pub fn new(now: Timestamp, config: ScoreConfig) -> Result<Self, ScoreConfigError> {
        config.check()?;
        let mut topics = Topics::default();
        for (topic, params) in &config.topics {
            topics.set(topic, *params, config.decay_interval);
        }
        Ok(Scores {
            clock: Clock::new(now),
            ticks: Ticks::new(now, config.decay_interval),
            topics,
            peers: BTreeMap::new(),
            retained: 0,
            colocation: Colocation::default(),
            deliveries: Deliveries::new(config.max_deliveries, config.delivery_ttl),
            config,
        })
    }

    /// What scores lead to.
    pub fn thresholds(&self) -> &ScoreThresholds {
        &self.config.thresholds
    }

    // Topics.

    /// From now on a topic is scored, by its own numbers or those of
    /// [`ScoreConfig::default_topic`]. Call it when the application joins one; again, it changes
    /// nothing.
    pub fn add_topic(&mut self, topic: &Topic) {
        if self.topics.key(topic).is_none() {
            let params = self.config.topics.get(topic).unwrap_or(&self.config.default_topic);
            self.topics.set(topic, *params, self.config.decay_interval);
        }
    }

    /// The numbers by which a topic is scored, if it is.
    pub fn topic_params(&self, topic: &Topic) -> Option<&TopicScoreParams> {
        self.topics.get(self.topics.key(topic)?).map(|topic| &topic.params)
    }

    /// Scores a topic by other numbers from now on. What was counted stays, up to the new caps.
    ///
    /// # Errors
    ///
    /// When they do not pass [`ScoreConfig::check_topic`]. Nothing changes then.
    pub fn set_topic_params(
        &mut self,
        now: Timestamp,
        topic: &Topic,
        params: TopicScoreParams,
    ) -> Result<(), ScoreConfigError> {
        self.config.check_topic(Some(topic), &params)?;
        self.refresh(now);
        let key = self.topics.set(topic, params, self.config.decay_interval);
        for peer in self.peers.values_mut() {
            peer.recap(key, &self.topics);
            peer.rescore(&self.topics, &self.config);
        }
        Ok(())
    }

    /// A topic is not scored any more, and what was counted in it is forgotten. A topic that the
    /// application left and may join again needs no call: what was counted decays.
    pub fn forget_topic(&mut self, now: Timestamp, topic: &Topic) {
        self.refresh(now);
        let Some(key) = self.topics.remove(topic) else { return };
        for peer in self.peers.values_mut() {
            peer.forget_topic(key);
            peer.rescore(&self.topics, &self.config);
        }
    }

    // Connections.

    /// A peer has one connection more, to this IP address if that is known and is its own. A peer
    /// whose score was kept goes on with it.
    pub fn add_connection(
        &mut self,
        now: Timestamp,
        peer: PeerId,
        connection: ConnectionId,
        ip: Option<IpAddr>,
    ) {
        let now = self.refresh(now);
        let place = ip.and_then(|ip| Place::of(ip, &self.config));
        let kept = self.peers.get(&peer).map(|known| &known.presence);
        if let Some(Presence::Retained { until, place }) = kept {
            let (until, place) = (*until, *place);
            if until <= now {
                self.forget_peer(&peer);
            } else {
                place.into_iter().for_each(|place| self.colocation.remove(place));
                self.retained = self.retained.saturating_sub(1);
            }
        }
        let known = self
            .peers
            .entry(peer)
            .or_insert_with(|| PeerScore::new(Presence::Connected(Vec::new())));
        let is_new = place.filter(|place| known.places().all(|other| other != *place));
        match &mut known.presence {
            Presence::Connected(connections) => {
                if connections.iter().any(|(known, _)| *known == connection) {
                    return;
                }
                connections.push((connection, place));
                is_new.into_iter().for_each(|place| self.colocation.add(place));
            }
            presence @ Presence::Retained { .. } => {
                *presence = Presence::Connected(vec![(connection, place)]);
                place.into_iter().for_each(|place| self.colocation.add(place));
            }
        }
    }

    /// A connection of a peer is over. With the last one, the peer leaves all meshes; what it
    /// delivered too little of sticks to it, and what it delivered first counts no more. If that
    /// leaves it below zero, without P6, its score is kept as it is for
    /// [`ScoreConfig::retain_score`]; otherwise it is forgotten.
    pub fn remove_connection(&mut self, now: Timestamp, peer: &PeerId, connection: ConnectionId) {
        let now = self.refresh(now);
        let Some(known) = self.peers.get_mut(peer) else { return };
        let Presence::Connected(connections) = &mut known.presence else { return };
        let Some(i) = connections.iter().position(|(id, _)| *id == connection) else { return };
        let (_, place) = connections.swap_remove(i);
        if !connections.is_empty() {
            if let Some(place) = place
                && known.places().all(|other| other != place)
            {
                self.colocation.remove(place);
            }
            return;
        }
        let until = now.saturating_add(self.config.retain_score);
        known.presence = Presence::Retained { until, place };
        self.retained = self.retained.saturating_add(1);
        known.leave(&self.topics);
        known.rescore(&self.topics, &self.config);
        self.keep_offenders(peer);
    }

    // The mesh.

    /// A peer is in our mesh of a topic from now on. If it is there already, nothing changes.
    pub fn graft(&mut self, now: Timestamp, peer: &PeerId, topic: &Topic) {
        let now = self.refresh(now);
        let Some(key) = self.topics.key(topic) else { return };
        self.count(peer, key, |counters, _| counters.graft(now));
    }

    /// A peer is in our mesh of a topic no more, for whatever reason. What it delivered too little
    /// of sticks to it (P3b).
    pub fn prune(&mut self, now: Timestamp, peer: &PeerId, topic: &Topic) {
        self.refresh(now);
        let Some(key) = self.topics.key(topic) else { return };
        self.count(peer, key, TopicCounters::prune);
    }

    // Messages.

    /// A message that was not seen before came from `peer`; its signature holds, and it is to be
    /// decided on.
    pub fn message_arrived(&mut self, now: Timestamp, id: &MessageId, topic: &Topic, peer: PeerId) {
        let now = self.refresh(now);
        let Some(key) = self.topics.key(topic) else { return };
        self.deliveries.begin(now, id, key, peer);
    }

    /// A copy of a message came from `peer`: the same bytes, or others whose signature holds.
    /// Counts once for a peer and message.
    pub fn copy_arrived(&mut self, now: Timestamp, id: &MessageId, peer: &PeerId) {
        let now = self.refresh(now);
        if let Some(key) = self.deliveries.copy(now, id, *peer) {
            self.count(peer, key, TopicCounters::mesh_delivery);
        }
    }

    /// A message was found to be valid. It counts for who brought it first, and for those of our
    /// mesh that brought a copy since; copies count until the topic's window is over.
    pub fn message_accepted(&mut self, now: Timestamp, id: &MessageId) {
        let now = self.refresh(now);
        let topics = &self.topics;
        // Without a rate nobody has to deliver anything.
        let window = |key| {
            let topic = topics.get(key).filter(|topic| topic.expected.is_some())?;
            Some(topic.params.mesh_message_deliveries_window)
        };
        let Some(delivery) = self.deliveries.accept(now, id, window) else { return };
        self.count(&delivery.first, delivery.topic, TopicCounters::first_delivery);
        for peer in &delivery.copies {
            self.count(peer, delivery.topic, TopicCounters::mesh_delivery);
        }
    }

    /// A message was found to be invalid: it costs everybody who brought it (P4), also those who
    /// are gone by now.
    pub fn message_rejected(&mut self, now: Timestamp, id: &MessageId) {
        let now = self.refresh(now);
        let Some(delivery) = self.deliveries.take(now, id) else { return };
        for peer in core::iter::once(delivery.first).chain(delivery.copies) {
            self.count_invalid(now, peer, delivery.topic);
        }
    }

    /// Whether a message is valid was not found out, or does not matter: it counts for nobody.
    pub fn message_ignored(&mut self, now: Timestamp, id: &MessageId) {
        let now = self.refresh(now);
        self.deliveries.take(now, id);
    }

    /// A message from `peer` is invalid by itself, or is a copy of one that was rejected (P4).
    pub fn invalid_message(&mut self, now: Timestamp, peer: PeerId, topic: &Topic) {
        let now = self.refresh(now);
        let Some(key) = self.topics.key(topic) else { return };
        self.count_invalid(now, peer, key);
    }

    // What else a peer does.

    /// A peer misbehaved so many times: it grafted during the back-off, did not send what it had
    /// announced, or the like (P7).
    pub fn behaviour_penalty(&mut self, now: Timestamp, peer: &PeerId, times: u32) {
        self.refresh(now);
        let Some(known) = self.peers.get_mut(peer) else { return };
        known.misbehaved(times);
        known.rescore(&self.topics, &self.config);
    }

    /// So many messages for a peer were dropped because it takes them too slowly.
    pub fn slow_peer(&mut self, now: Timestamp, peer: &PeerId, messages: u32) {
        self.refresh(now);
        let Some(known) = self.peers.get_mut(peer) else { return };
        known.was_slow(messages, self.config.slow_peer_cap);
        known.rescore(&self.topics, &self.config);
    }

    /// What the application thinks of a peer (P5), as long as anything is known of it. What is
    /// beyond [`super::MAX_PARAMETER`] counts as that.
    ///
    /// # Errors
    ///
    /// When nothing is known of the peer, or `score` is not a number.
    pub fn set_application_score(
        &mut self,
        now: Timestamp,
        peer: &PeerId,
        score: f64,
    ) -> Result<(), ApplicationScoreError> {
        self.refresh(now);
        if score.is_nan() {
            return Err(ApplicationScoreError::NotANumber);
        }
        let known = self.peers.get_mut(peer).ok_or(ApplicationScoreError::UnknownPeer)?;
        known.set_application(score);
        known.rescore(&self.topics, &self.config);
        Ok(())
    }

    // Time.

    /// Brings all scores up to date, and returns the time, which does not go back. Every call that
    /// takes the time does this first; this one is for when [`Scores::next_refresh`] has come.
    pub fn refresh(&mut self, now: Timestamp) -> Timestamp {
        let now = self.clock.advance(now);
        let ticks = self.ticks.take(now);
        if ticks > 0 {
            self.deliveries.forget_ended(now);
            self.decay(ticks);
        }
        now
    }

    /// When the running interval of decay ends. `None` at the end of time.
    pub fn next_refresh(&self) -> Option<Timestamp> {
        self.ticks.next()
    }

    // Scores.

    /// The score of a peer, as of the last call that took the time. Zero if nothing is known of it.
    pub fn score(&self, peer: &PeerId) -> f64 {
        self.peers.get(peer).map_or(0.0, |known| {
            known.own_score() + self.surplus(known) * self.config.ip_colocation_weight
        })
    }

    /// What that score is made of, if anything is known of the peer.
    pub fn breakdown(&self, peer: &PeerId) -> Option<ScoreBreakdown> {
        let known = self.peers.get(peer)?;
        let mut topics = Vec::new();
        let own = known.parts(&self.topics, &self.config, |key, breakdown| {
            if let Some(topic) = self.topics.get(key) {
                topics.push((topic.name.clone(), breakdown));
            }
        });
        topics.sort_by(|(a, _), (b, _)| a.cmp(b));
        let ip_colocation =
            Part { value: self.surplus(known), weight: self.config.ip_colocation_weight };
        Some(ScoreBreakdown {
            total: own.sum() + ip_colocation.score(),
            is_connected: known.is_connected(),
            topics,
            rewards: own.rewards,
            penalties: own.penalties,
            application: own.application,
            ip_colocation,
            behaviour_penalty: own.behaviour,
            slow_peer: own.slow,
        })
    }

    /// Whose scores are known, in their order: connected peers, and those whose score is kept.
    pub fn peers(&self) -> impl Iterator<Item = &PeerId> {
        self.peers.keys()
    }

    /// Of how many peers that are not connected the score is kept.
    pub fn retained_peers(&self) -> usize {
        self.retained
    }

    // Counting.

    /// Counts something of a connected peer in a topic.
    fn count(
        &mut self,
        peer: &PeerId,
        key: TopicKey,
        count: impl FnOnce(&mut TopicCounters, &ScoredTopic),
    ) {
        let (Some(known), Some(topic)) = (self.peers.get_mut(peer), self.topics.get(key)) else {
            return;
        };
        if known.is_connected() {
            count(known.topic(key), topic);
            known.rescore(&self.topics, &self.config);
        }
    }

    /// Counts an invalid message of a peer, connected or not: nobody escapes by leaving before the
    /// verdict.
    fn count_invalid(&mut self, now: Timestamp, peer: PeerId, key: TopicKey) {
        if self.topics.get(key).is_none() {
            return;
        }
        let until = now.saturating_add(self.config.retain_score);
        let known = self.peers.entry(peer).or_insert_with(|| {
            self.retained = self.retained.saturating_add(1);
            PeerScore::new(Presence::Retained { until, place: None })
        });
        known.topic(key).invalid_delivery();
        known.rescore(&self.topics, &self.config);
        if !known.is_connected() {
            self.keep_offenders(&peer);
        }
    }

    /// P6 of a peer.
    fn surplus(&self, known: &PeerScore) -> f64 {
        let threshold = self.config.ip_colocation_threshold;
        known.places().map(|place| self.colocation.surplus(place, threshold)).sum()
    }

    // Time and retention.

    fn decay(&mut self, ticks: u64) {
        let at = self.ticks.last();
        let mut gone = Vec::new();
        for (peer, known) in &mut self.peers {
            match known.presence {
                Presence::Connected(_) => {
                    known.decay(&self.topics, &self.config, ticks, at);
                    known.rescore(&self.topics, &self.config);
                }
                // It does not decay: who left cannot sit it out.
                Presence::Retained { until, .. } if until <= at => gone.push(*peer),
                Presence::Retained { .. } => {}
            }
        }
        gone.iter().for_each(|peer| self.forget_peer(peer));
    }

    /// Forgets a peer that is not connected if its score is not below zero, and if too many are
    /// kept, the one whose score is closest to zero.
    fn keep_offenders(&mut self, peer: &PeerId) {
        let is_offender = self.peers.get(peer).is_some_and(|known| known.own_score() < 0.0);
        if !is_offender {
            return self.forget_peer(peer);
        }
        if self.retained > self.config.max_retained_peers {
            let kept = self.peers.iter().filter(|(_, known)| !known.is_connected());
            let best = kept.max_by(|(_, a), (_, b)| a.own_score().total_cmp(&b.own_score()));
            let best = best.map(|(peer, _)| *peer);
            best.into_iter().for_each(|peer| self.forget_peer(&peer));
        }
    }

    /// Forgets a peer that is not connected.
    fn forget_peer(&mut self, peer: &PeerId) {
        let Some(known) = self.peers.remove(peer) else { return };
        known.places().for_each(|place| self.colocation.remove(place));
        self.retained = self.retained.saturating_sub(1);
    }
}

impl core::fmt::Display for ApplicationScoreError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            ApplicationScoreError::UnknownPeer => "nothing is known of the peer",
            ApplicationScoreError::NotANumber => "the score is not a number",
        })
    }
}

impl core::error::Error for ApplicationScoreError {}

#[cfg(test)]
mod tests;
