//! What is counted of a peer in a topic, and which topics are scored.

use core::time::Duration;
use std::collections::BTreeMap;

use super::breakdown::{Part, TopicBreakdown};
use super::decay::decayed;
use super::soundness::MAX_PARAMETER;
use super::topic_params::{ExpectedDeliveries, TopicScoreParams};
use crate::gossip::topic::Topic;
use crate::time::Timestamp;

/// A scored topic. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TopicKey(u64);

/// How a topic is scored.
#[derive(Clone, Debug)]
pub(super) struct ScoredTopic {
    pub(super) name: Topic,
    pub(super) params: TopicScoreParams,
    /// What follows from the rate in `params`.
    pub(super) expected: Option<ExpectedDeliveries>,
}

/// The scored topics: those that the application configured or joined. No remote adds one.
#[derive(Clone, Debug, Default)]
pub(super) struct Topics {
    keys: BTreeMap<Topic, TopicKey>,
    scored: BTreeMap<TopicKey, ScoredTopic>,
    last_key: u64,
}

/// What is counted of a peer in a topic. No counter exceeds [`MAX_PARAMETER`].
#[derive(Clone, Debug, Default)]
pub(super) struct TopicCounters {
    mesh: Option<InMesh>,
    first_deliveries: f64,
    mesh_deliveries: f64,
    mesh_failures: f64,
    invalid: f64,
}

/// A peer in our mesh.
#[derive(Clone, Copy, Debug)]
struct InMesh {
    since: Timestamp,
    /// How long it had been there at the last end of an interval.
    time: Duration,
}

impl Topics {
    pub(super) fn key(&self, topic: &Topic) -> Option<TopicKey> {
        self.keys.get(topic).copied()
    }

    pub(super) fn get(&self, key: TopicKey) -> Option<&ScoredTopic> {
        self.scored.get(&key)
    }

    /// Adds a topic, or replaces its numbers.
    pub(super) fn set(
        &mut self,
        topic: &Topic,
        params: TopicScoreParams,
        decay_interval: Duration,
    ) -> TopicKey {
        let key = self.key(topic).unwrap_or_else(|| {
            self.last_key = self.last_key.saturating_add(1);
            let key = TopicKey(self.last_key);
            self.keys.insert(topic.clone(), key);
            key
        });
        let expected = params.expected_deliveries(decay_interval);
        self.scored.insert(key, ScoredTopic { name: topic.clone(), params, expected });
        key
    }

    pub(super) fn remove(&mut self, topic: &Topic) -> Option<TopicKey> {
        let key = self.keys.remove(topic)?;
        self.scored.remove(&key);
        Some(key)
    }
}

impl TopicCounters {
    /// The peer is in the mesh from now on. If it is there already, nothing changes: it cannot put
    /// off the verdict.
    pub(super) fn graft(&mut self, now: Timestamp) {
        self.mesh.get_or_insert(InMesh { since: now, time: Duration::ZERO });
    }

    /// The peer is in the mesh no more. What it delivered too little of sticks to it (P3b).
    pub(super) fn prune(&mut self, topic: &ScoredTopic) {
        self.mesh_failures += self.deficit(topic);
        self.mesh_failures = self.mesh_failures.min(MAX_PARAMETER);
        self.mesh = None;
    }

    /// It brought a valid message before all others.
    pub(super) fn first_delivery(&mut self, topic: &ScoredTopic) {
        self.first_deliveries += 1.0;
        self.mesh_delivery(topic);
    }

    /// It brought a valid message in time.
    pub(super) fn mesh_delivery(&mut self, topic: &ScoredTopic) {
        if self.mesh.is_some() {
            self.mesh_deliveries += 1.0;
        }
        self.recap(topic);
    }

    /// It brought an invalid message.
    pub(super) fn invalid_delivery(&mut self) {
        self.invalid = (self.invalid + 1.0).min(MAX_PARAMETER);
    }

    /// Deliveries of before count no more.
    pub(super) fn forget_first_deliveries(&mut self) {
        self.first_deliveries = 0.0;
    }

    /// Caps what may be above its cap, because it grew or because the cap is another one.
    pub(super) fn recap(&mut self, topic: &ScoredTopic) {
        let cap = topic.params.first_message_deliveries_cap;
        self.first_deliveries = self.first_deliveries.min(cap);
        self.mesh_deliveries = match topic.expected {
            Some(expected) => self.mesh_deliveries.min(expected.cap),
            None => 0.0,
        };
    }

    /// `ticks` intervals ended, the last of them at `at`.
    pub(super) fn decay(&mut self, topic: &ScoredTopic, ticks: u64, at: Timestamp, to_zero: f64) {
        let ScoredTopic { params, expected, .. } = topic;
        let decay =
            |counter: &mut f64, factor| *counter = decayed(*counter, factor, ticks, to_zero);
        decay(&mut self.first_deliveries, params.first_message_deliveries_decay);
        if let Some(expected) = expected {
            decay(&mut self.mesh_deliveries, expected.decay);
        }
        decay(&mut self.mesh_failures, params.mesh_failure_penalty_decay);
        decay(&mut self.invalid, params.invalid_message_deliveries_decay);
        if let Some(mesh) = &mut self.mesh {
            mesh.time = at.saturating_since(mesh.since);
        }
    }

    /// Whether there is nothing to remember.
    pub(super) fn is_empty(&self) -> bool {
        let counters =
            [self.first_deliveries, self.mesh_deliveries, self.mesh_failures, self.invalid];
        self.mesh.is_none() && counters == [0.0; 4]
    }

    pub(super) fn breakdown(&self, topic: &ScoredTopic) -> TopicBreakdown {
        let params = &topic.params;
        let where_expected = |weight| if topic.expected.is_some() { weight } else { 0.0 };
        TopicBreakdown {
            topic_weight: params.topic_weight,
            time_in_mesh: Part { value: self.quanta(params), weight: params.time_in_mesh_weight },
            first_message_deliveries: Part {
                value: self.first_deliveries,
                weight: params.first_message_deliveries_weight,
            },
            mesh_message_deliveries: Part {
                value: self.deficit(topic),
                weight: where_expected(params.mesh_message_deliveries_weight),
            },
            mesh_failure_penalty: Part {
                value: self.mesh_failures,
                weight: where_expected(params.mesh_failure_penalty_weight),
            },
            invalid_message_deliveries: Part {
                value: self.invalid * self.invalid,
                weight: params.invalid_message_deliveries_weight,
            },
        }
    }

    /// P1: whole quanta in the mesh.
    fn quanta(&self, params: &TopicScoreParams) -> f64 {
        let time = self.mesh.map_or(Duration::ZERO, |mesh| mesh.time);
        let quanta = time.as_nanos().checked_div(params.time_in_mesh_quantum.as_nanos());
        (quanta.unwrap_or(0) as f64).min(params.time_in_mesh_cap)
    }

    /// P3: the square of the missing share of the threshold, once the peer has been in the mesh for
    /// long enough.
    fn deficit(&self, topic: &ScoredTopic) -> f64 {
        let (Some(mesh), Some(expected)) = (self.mesh, topic.expected) else { return 0.0 };
        if mesh.time <= expected.activation || self.mesh_deliveries >= expected.threshold {
            return 0.0;
        }
        let missing = 1.0 - self.mesh_deliveries / expected.threshold;
        missing * missing
    }
}
