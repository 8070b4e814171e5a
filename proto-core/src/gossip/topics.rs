//! [`Topics`]: who is in which topic, and whom we send to in it.

use std::collections::{BTreeMap, BTreeSet};

use super::peers::PeerKey;
use super::topic::Topic;
use crate::time::Timestamp;

/// What is known of one topic.
#[derive(Default)]
pub(super) struct TopicState {
    /// Peers that said that they are in it. Bounded by the connected peers.
    pub(super) subscribers: BTreeSet<PeerKey>,
    /// Our mesh, if we are in it. Some of `subscribers`.
    pub(super) mesh: Option<BTreeSet<PeerKey>>,
    /// When a peer came into it last.
    pub(super) grafted_at: Timestamp,
    /// Whom we published to, if we are not in it and did so of late.
    pub(super) fanout: Option<Fanout>,
}

/// Whom messages go to in a topic that we are not in.
pub(super) struct Fanout {
    /// Some of the topic's subscribers.
    pub(super) peers: BTreeSet<PeerKey>,
    /// When we published last.
    pub(super) published_at: Timestamp,
}

/// All topics that we, or a peer, are in, or that we published to.
#[derive(Default)]
pub(super) struct Topics {
    /// Bounded by [`super::GossipConfig::max_topics`], and
    /// [`super::GossipConfig::max_peer_topics`] for each peer.
    states: BTreeMap<Topic, TopicState>,
}

impl TopicState {
    fn is_empty(&self) -> bool {
        self.subscribers.is_empty() && self.mesh.is_none() && self.fanout.is_none()
    }

    /// Whether a peer is in our mesh.
    pub(super) fn in_mesh(&self, peer: PeerKey) -> bool {
        self.mesh.as_ref().is_some_and(|mesh| mesh.contains(&peer))
    }
}

impl Topics {
    pub(super) fn get(&self, topic: &Topic) -> Option<&TopicState> {
        self.states.get(topic)
    }

    pub(super) fn get_mut(&mut self, topic: &Topic) -> Option<&mut TopicState> {
        self.states.get_mut(topic)
    }

    /// The state of a topic, new if there is none.
    pub(super) fn entry(&mut self, topic: &Topic) -> &mut TopicState {
        self.states.entry(topic.clone()).or_default()
    }

    /// The same topic, in the memory that it already has.
    pub(super) fn shared(&self, topic: &Topic) -> Topic {
        self.states.get_key_value(topic).map_or_else(|| topic.clone(), |(known, _)| known.clone())
    }

    /// Forgets a topic that nobody is in.
    pub(super) fn release(&mut self, topic: &Topic) {
        if self.states.get(topic).is_some_and(TopicState::is_empty) {
            self.states.remove(topic);
        }
    }

    /// Whether we are in it.
    pub(super) fn is_joined(&self, topic: &Topic) -> bool {
        self.states.get(topic).is_some_and(|state| state.mesh.is_some())
    }

    /// Our mesh, if we are in the topic.
    pub(super) fn mesh(&self, topic: &Topic) -> Option<&BTreeSet<PeerKey>> {
        self.states.get(topic)?.mesh.as_ref()
    }

    /// The topics that we are in, in their order.
    pub(super) fn joined(&self) -> impl Iterator<Item = &Topic> {
        self.states.iter().filter(|(_, state)| state.mesh.is_some()).map(|(topic, _)| topic)
    }

    /// The topics that we published to without being in them.
    pub(super) fn with_fanout(&self) -> impl Iterator<Item = &Topic> {
        self.states.iter().filter(|(_, state)| state.fanout.is_some()).map(|(topic, _)| topic)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.states.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_forgotten_when_nobody_is_in_it() {
        let mut topics = Topics::default();
        let topic = Topic::new("t").unwrap();
        topics.entry(&topic).subscribers.insert(PeerKey(1));
        topics.entry(&topic).mesh = Some(BTreeSet::new());
        assert!(topics.is_joined(&topic));
        topics.release(&topic);
        assert_eq!(topics.len(), 1);
        topics.entry(&topic).mesh = None;
        topics.entry(&topic).subscribers.clear();
        topics.release(&topic);
        assert_eq!(topics.len(), 0);
    }
}
