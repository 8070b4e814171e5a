//! Topics: which we are in, which peers are in, and what the two tell each other.

use std::collections::BTreeSet;

use super::events::GossipEvent;
use super::machine::Gossip;
use super::peers::PeerKey;
use super::rpc::List;
use super::topic::Topic;
use crate::time::Timestamp;

/// Why a topic was not joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum SubscribeError {
    /// We are in as many topics as may be: [`super::GossipConfig::max_topics`].
    TooManyTopics(usize),
}

impl Gossip {
    /// Joins a topic: its messages are events from now on, and are forwarded. Whether it is a new
    /// one.
    pub fn subscribe(&mut self, now: Timestamp, topic: &Topic) -> Result<bool, SubscribeError> {
        let now = self.advance(now);
        if self.topics.is_joined(topic) {
            return Ok(false);
        }
        if self.topics.joined().count() >= self.config.max_topics {
            return Err(SubscribeError::TooManyTopics(self.config.max_topics));
        }
        self.left.remove(topic);
        self.scores.add_topic(topic);
        let state = self.topics.entry(topic);
        state.mesh = Some(BTreeSet::new());
        let fanout = state.fanout.take();
        self.tell_topics_to_all();
        // Those whom we published to so far come first.
        let known = fanout.map_or_else(Vec::new, |fanout| fanout.peers.into_iter().collect());
        self.join_mesh(now, topic, known);
        self.flush();
        Ok(true)
    }

    /// Leaves a topic. Whether we were in it.
    pub fn unsubscribe(&mut self, now: Timestamp, topic: &Topic) -> bool {
        let now = self.advance(now);
        if !self.topics.is_joined(topic) {
            return false;
        }
        self.leave_mesh(now, topic);
        if let Some(state) = self.topics.get_mut(topic) {
            state.mesh = None;
        }
        self.topics.release(topic);
        self.remember_left(now, topic);
        self.forget_pending(now, topic);
        // What was asked for may be of this topic, and is not looked at when it comes.
        self.promises.forgive();
        self.tell_topics_to_all();
        self.flush();
        true
    }

    /// For a while peers may not know that we left.
    fn remember_left(&mut self, now: Timestamp, topic: &Topic) {
        while self.left.len() >= self.config.max_topics
            && let Some(oldest) =
                self.left.iter().min_by_key(|(_, until)| **until).map(|(topic, _)| topic.clone())
        {
            self.left.remove(&oldest);
        }
        let until = now.saturating_add(self.config.unsubscribe_backoff);
        self.left.insert(topic.clone(), until);
    }

    fn tell_topics_to_all(&mut self) {
        for (key, peer) in self.peers.iter_mut() {
            if peer.version().is_some() {
                peer.tell_topics = true;
                self.dirty.insert(key);
            }
        }
    }

    /// A peer joined and left topics, in this order.
    pub(super) fn handle_subscriptions(
        &mut self,
        now: Timestamp,
        key: PeerKey,
        subscriptions: &List<(bool, Topic)>,
    ) {
        for (subscribe, topic) in subscriptions {
            if subscribe {
                self.peer_joined(now, key, &topic);
            } else {
                self.peer_left(now, key, &topic);
            }
        }
    }

    /// A peer is in a topic. False if there is no room for that.
    pub(super) fn peer_joined(&mut self, now: Timestamp, key: PeerKey, topic: &Topic) -> bool {
        let max_topics = self.config.max_peer_topics;
        let Some(peer) = self.peers.get_mut(key) else { return false };
        if peer.topics.contains(topic) {
            return true;
        }
        if !peer.has_room_for(topic, max_topics) {
            return false;
        }
        let topic = self.topics.shared(topic);
        let id = peer.id;
        peer.topic_bytes = peer.topic_bytes.saturating_add(topic.as_str().len());
        peer.topics.insert(topic.clone());
        self.topics.entry(&topic).subscribers.insert(key);
        self.events.push_back(GossipEvent::Subscribed { peer: id, topic: topic.clone() });
        self.graft_if_wanted(now, &topic, key);
        true
    }

    fn peer_left(&mut self, now: Timestamp, key: PeerKey, topic: &Topic) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        if !peer.topics.remove(topic) {
            return;
        }
        let id = peer.id;
        peer.topic_bytes = peer.topic_bytes.saturating_sub(topic.as_str().len());
        self.remove_from_mesh(now, topic, key);
        if let Some(state) = self.topics.get_mut(topic) {
            state.subscribers.remove(&key);
            if let Some(fanout) = &mut state.fanout {
                fanout.peers.remove(&key);
            }
        }
        self.topics.release(topic);
        self.events.push_back(GossipEvent::Unsubscribed { peer: id, topic: topic.clone() });
    }
}

impl core::fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            SubscribeError::TooManyTopics(most) => write!(f, "in {most} topics already"),
        }
    }
}

impl core::error::Error for SubscribeError {}
