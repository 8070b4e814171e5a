//! [`PeerScore`]: what is counted of a peer.

use std::collections::BTreeMap;

use super::breakdown::{Part, TopicBreakdown};
use super::colocation::Place;
use super::decay::decayed;
use super::params::ScoreConfig;
use super::soundness::MAX_PARAMETER;
use super::topic::{TopicCounters, TopicKey, Topics};
use crate::node::ConnectionId;
use crate::time::Timestamp;

/// What is counted of a peer. No counter exceeds [`MAX_PARAMETER`].
#[derive(Clone, Debug)]
pub(super) struct PeerScore {
    pub(super) presence: Presence,
    /// Some of the scored topics.
    topics: BTreeMap<TopicKey, TopicCounters>,
    application: f64,
    behaviour: f64,
    slow: f64,
    /// All of the score but P6, as it was when anything in it changed last.
    own_score: f64,
}

/// Whether a peer is connected.
#[derive(Clone, Debug)]
pub(super) enum Presence {
    /// It is: its connections, and where they lead to if that is counted. How many there are is for
    /// Node to bound.
    Connected(Vec<(ConnectionId, Option<Place>)>),
    /// It is not, and its score is kept as it was.
    Retained {
        /// From then on it is not.
        until: Timestamp,
        /// Where its last connection led to. It counts there as long as its score is kept, so that
        /// one address cannot try identity after identity.
        place: Option<Place>,
    },
}

/// A score without P6.
pub(super) struct OwnScore {
    pub(super) rewards: f64,
    pub(super) penalties: f64,
    pub(super) application: Part,
    pub(super) behaviour: Part,
    pub(super) slow: Part,
}

impl PeerScore {
    /// Nothing is counted yet.
    pub(super) fn new(presence: Presence) -> Self {
        PeerScore {
            presence,
            topics: BTreeMap::new(),
            application: 0.0,
            behaviour: 0.0,
            slow: 0.0,
            own_score: 0.0,
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        match self.presence {
            Presence::Connected(_) => true,
            Presence::Retained { .. } => false,
        }
    }

    /// Its score without P6.
    pub(super) fn own_score(&self) -> f64 {
        self.own_score
    }

    /// Where it is, each place once.
    pub(super) fn places(&self) -> impl Iterator<Item = Place> + '_ {
        let (connections, retained) = match &self.presence {
            Presence::Connected(connections) => (connections.as_slice(), None),
            Presence::Retained { place, .. } => (&[][..], *place),
        };
        let place_of = |(_, place): &(ConnectionId, Option<Place>)| *place;
        let distinct = connections.iter().enumerate().filter_map(move |(i, connection)| {
            let place = place_of(connection)?;
            let is_first = !connections[..i].iter().any(|other| place_of(other) == Some(place));
            is_first.then_some(place)
        });
        distinct.chain(retained)
    }

    /// What is counted of it in a topic.
    pub(super) fn topic(&mut self, key: TopicKey) -> &mut TopicCounters {
        self.topics.entry(key).or_default()
    }

    pub(super) fn forget_topic(&mut self, key: TopicKey) {
        self.topics.remove(&key);
    }

    /// Caps what may be above the caps of a topic whose numbers changed.
    pub(super) fn recap(&mut self, key: TopicKey, topics: &Topics) {
        if let (Some(counters), Some(topic)) = (self.topics.get_mut(&key), topics.get(key)) {
            counters.recap(topic);
        }
    }

    pub(super) fn misbehaved(&mut self, times: u32) {
        self.behaviour = (self.behaviour + f64::from(times)).min(MAX_PARAMETER);
    }

    pub(super) fn was_slow(&mut self, messages: u32, cap: f64) {
        self.slow = (self.slow + f64::from(messages)).min(cap);
    }

    pub(super) fn set_application(&mut self, score: f64) {
        self.application = score.clamp(-MAX_PARAMETER, MAX_PARAMETER);
    }

    /// It is in no mesh any more, and what it delivered first does not count.
    pub(super) fn leave(&mut self, topics: &Topics) {
        for (key, counters) in &mut self.topics {
            counters.forget_first_deliveries();
            if let Some(topic) = topics.get(*key) {
                counters.prune(topic);
            }
        }
    }

    /// `ticks` intervals ended, the last of them at `at`.
    pub(super) fn decay(
        &mut self,
        topics: &Topics,
        config: &ScoreConfig,
        ticks: u64,
        at: Timestamp,
    ) {
        let to_zero = config.decay_to_zero;
        self.topics.retain(|key, counters| {
            if let Some(topic) = topics.get(*key) {
                counters.decay(topic, ticks, at, to_zero);
            }
            !counters.is_empty()
        });
        let (behaviour, slow) = (config.behaviour_penalty_decay, config.slow_peer_decay);
        self.behaviour = decayed(self.behaviour, behaviour, ticks, to_zero);
        self.slow = decayed(self.slow, slow, ticks, to_zero);
    }

    /// Brings the score up to date with what is counted.
    pub(super) fn rescore(&mut self, topics: &Topics, config: &ScoreConfig) {
        self.own_score = self.parts(topics, config, |_, _| {}).sum();
    }

    /// What the score is made of. `each` is shown every topic.
    pub(super) fn parts(
        &self,
        topics: &Topics,
        config: &ScoreConfig,
        mut each: impl FnMut(TopicKey, TopicBreakdown),
    ) -> OwnScore {
        let (mut rewards, mut penalties) = (0.0, 0.0);
        for (key, counters) in &self.topics {
            let Some(topic) = topics.get(*key) else { continue };
            let breakdown = counters.breakdown(topic);
            rewards += breakdown.reward();
            penalties += breakdown.penalty();
            each(*key, breakdown);
        }
        let misbehaviour = (self.behaviour - config.behaviour_penalty_threshold).max(0.0);
        OwnScore {
            rewards: config.topic_score_cap.min(rewards),
            penalties,
            application: Part { value: self.application, weight: config.application_weight },
            behaviour: Part {
                value: misbehaviour * misbehaviour,
                weight: config.behaviour_penalty_weight,
            },
            slow: Part {
                value: (self.slow - config.slow_peer_threshold).max(0.0),
                weight: config.slow_peer_weight,
            },
        }
    }
}

impl OwnScore {
    pub(super) fn sum(&self) -> f64 {
        self.rewards
            + self.penalties
            + self.application.score()
            + self.behaviour.score()
            + self.slow.score()
    }
}
