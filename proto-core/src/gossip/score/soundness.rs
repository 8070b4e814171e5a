//! Which numbers of scoring are refused: those that are out of bounds, and those under which a peer
//! that forwards nothing is never punished.

use core::time::Duration;

use super::params::{ScoreConfig, ScoreThresholds};
use super::topic_params::TopicScoreParams;
use crate::gossip::topic::Topic;

/// No weight, cap or threshold is larger, nor is any counter, so that scores are finite.
pub const MAX_PARAMETER: f64 = 1e6;

/// The shortest interval of decay.
pub const MIN_DECAY_INTERVAL: Duration = Duration::from_millis(100);

/// The longest interval of decay.
pub const MAX_DECAY_INTERVAL: Duration = Duration::from_secs(3600);

/// The lowest rate that a topic may state, in messages a second. With less, a verdict takes longer
/// than 50 minutes.
const MIN_EXPECTED_RATE: f64 = 0.01;

/// Why numbers of scoring are refused. `topic` is the one whose numbers they are: `None` for those
/// of [`ScoreConfig`] and of its `default_topic`.
#[derive(Clone, Debug, PartialEq)]
pub enum ScoreConfigError {
    /// A number is not what its documentation says that it must be.
    OutOfRange {
        /// The name of the field.
        parameter: &'static str,
        /// The topic.
        topic: Option<Topic>,
        /// The number, in seconds if it is a duration.
        value: f64,
    },
    /// A threshold is above the one that it must not exceed.
    Unordered {
        /// The name of the field.
        parameter: &'static str,
        /// The threshold.
        value: f64,
        /// What it must not exceed.
        limit: f64,
    },
    /// A mesh peer that forwards nothing in this topic may keep a score that is not below zero
    /// (CVE-2022-47547): `topic_weight` × `mesh_message_deliveries_weight` does not outweigh
    /// `topic_score_cap`.
    SilentPeer {
        /// The topic.
        topic: Option<Topic>,
        /// What such a peer may keep.
        score: f64,
    },
    /// Counters do not decay within the activation window, so that a peer that forwards nothing is
    /// noticed too late.
    LateVerdict {
        /// The topic.
        topic: Option<Topic>,
        /// The activation window.
        activation: Duration,
    },
}

impl ScoreConfig {
    /// Checks every number, and that of each topic that states a rate a peer that forwards nothing
    /// ends below zero, whatever it does elsewhere.
    ///
    /// Such a peer delivers 0 of the threshold, so P3 is 1; it has at most `topic_score_cap` from
    /// P1 and P2 of all topics, and nothing else of what topics give is positive. P5, which is
    /// the application's own, is left out.
    ///
    /// # Errors
    ///
    /// The first number or topic that is refused.
    pub fn check(&self) -> Result<(), ScoreConfigError> {
        self.thresholds.check()?;
        let fields = Fields { topic: None };
        fields.positive("topic_score_cap", self.topic_score_cap)?;
        fields.reward("application_weight", self.application_weight)?;
        fields.penalty("ip_colocation_weight", self.ip_colocation_weight)?;
        fields.positive("ip_colocation_threshold", f64::from(self.ip_colocation_threshold))?;
        fields.penalty("behaviour_penalty_weight", self.behaviour_penalty_weight)?;
        fields.reward("behaviour_penalty_threshold", self.behaviour_penalty_threshold)?;
        fields.share("behaviour_penalty_decay", self.behaviour_penalty_decay)?;
        fields.penalty("slow_peer_weight", self.slow_peer_weight)?;
        fields.reward("slow_peer_threshold", self.slow_peer_threshold)?;
        fields.positive("slow_peer_cap", self.slow_peer_cap)?;
        fields.share("slow_peer_decay", self.slow_peer_decay)?;
        fields.duration(
            "decay_interval",
            self.decay_interval,
            MIN_DECAY_INTERVAL..=MAX_DECAY_INTERVAL,
        )?;
        fields.share("decay_to_zero", self.decay_to_zero)?;
        self.check_topic(None, &self.default_topic)?;
        self.topics.iter().try_for_each(|(topic, params)| self.check_topic(Some(topic), params))
    }

    /// Checks the numbers of one topic, or of `default_topic`, as [`ScoreConfig::check`] does.
    ///
    /// # Errors
    ///
    /// The first number that is refused.
    pub fn check_topic(
        &self,
        topic: Option<&Topic>,
        params: &TopicScoreParams,
    ) -> Result<(), ScoreConfigError> {
        params.check_numbers(&Fields { topic })?;
        let Some(expected) = params.expected_deliveries(self.decay_interval) else {
            return Ok(());
        };
        let score =
            self.topic_score_cap + params.topic_weight * params.mesh_message_deliveries_weight;
        if score >= 0.0 {
            return Err(ScoreConfigError::SilentPeer { topic: topic.cloned(), score });
        }
        if self.decay_interval > expected.activation {
            let activation = expected.activation;
            return Err(ScoreConfigError::LateVerdict { topic: topic.cloned(), activation });
        }
        Ok(())
    }
}

impl ScoreThresholds {
    fn check(&self) -> Result<(), ScoreConfigError> {
        let fields = Fields { topic: None };
        fields.number("gossip", self.gossip, |gossip| gossip < 0.0)?;
        fields.penalty("publish", self.publish)?;
        fields.penalty("graylist", self.graylist)?;
        fields.reward("accept_px", self.accept_px)?;
        fields.reward("opportunistic_graft", self.opportunistic_graft)?;
        let ordered = |parameter, value, limit| {
            let error = ScoreConfigError::Unordered { parameter, value, limit };
            if value <= limit { Ok(()) } else { Err(error) }
        };
        ordered("publish", self.publish, self.gossip)?;
        ordered("graylist", self.graylist, self.publish)
    }
}

impl TopicScoreParams {
    fn check_numbers(&self, fields: &Fields<'_>) -> Result<(), ScoreConfigError> {
        const NANOSECOND: Duration = Duration::from_nanos(1);
        fields.reward("topic_weight", self.topic_weight)?;
        fields.reward("time_in_mesh_weight", self.time_in_mesh_weight)?;
        fields.duration(
            "time_in_mesh_quantum",
            self.time_in_mesh_quantum,
            NANOSECOND..=Duration::MAX,
        )?;
        fields.positive("time_in_mesh_cap", self.time_in_mesh_cap)?;
        fields.reward("first_message_deliveries_weight", self.first_message_deliveries_weight)?;
        fields.share("first_message_deliveries_decay", self.first_message_deliveries_decay)?;
        fields.positive("first_message_deliveries_cap", self.first_message_deliveries_cap)?;
        if let Some(rate) = self.expected_messages_per_second {
            fields
                .number("expected_messages_per_second", rate, |rate| rate >= MIN_EXPECTED_RATE)?;
        }
        fields.penalty("mesh_message_deliveries_weight", self.mesh_message_deliveries_weight)?;
        fields.duration(
            "mesh_message_deliveries_activation",
            self.mesh_message_deliveries_activation,
            NANOSECOND..=MAX_DECAY_INTERVAL,
        )?;
        fields.penalty("mesh_failure_penalty_weight", self.mesh_failure_penalty_weight)?;
        fields.share("mesh_failure_penalty_decay", self.mesh_failure_penalty_decay)?;
        fields
            .penalty("invalid_message_deliveries_weight", self.invalid_message_deliveries_weight)?;
        fields.share("invalid_message_deliveries_decay", self.invalid_message_deliveries_decay)
    }
}

/// Checks fields by what they are.
struct Fields<'a> {
    topic: Option<&'a Topic>,
}

impl Fields<'_> {
    /// A number of any sign, not too large, that `is_right`.
    fn number(
        &self,
        parameter: &'static str,
        value: f64,
        is_right: impl FnOnce(f64) -> bool,
    ) -> Result<(), ScoreConfigError> {
        // Neither NaN nor infinities pass.
        if value.abs() <= MAX_PARAMETER && is_right(value) {
            return Ok(());
        }
        Err(ScoreConfigError::OutOfRange { parameter, topic: self.topic.cloned(), value })
    }

    /// Zero or more.
    fn reward(&self, parameter: &'static str, value: f64) -> Result<(), ScoreConfigError> {
        self.number(parameter, value, |value| value >= 0.0)
    }

    /// Zero or less.
    fn penalty(&self, parameter: &'static str, value: f64) -> Result<(), ScoreConfigError> {
        self.number(parameter, value, |value| value <= 0.0)
    }

    /// Above zero.
    fn positive(&self, parameter: &'static str, value: f64) -> Result<(), ScoreConfigError> {
        self.number(parameter, value, |value| value > 0.0)
    }

    /// Above zero and below one.
    fn share(&self, parameter: &'static str, value: f64) -> Result<(), ScoreConfigError> {
        self.number(parameter, value, |value| 0.0 < value && value < 1.0)
    }

    fn duration(
        &self,
        parameter: &'static str,
        duration: Duration,
        range: core::ops::RangeInclusive<Duration>,
    ) -> Result<(), ScoreConfigError> {
        if range.contains(&duration) {
            return Ok(());
        }
        let value = duration.as_secs_f64();
        Err(ScoreConfigError::OutOfRange { parameter, topic: self.topic.cloned(), value })
    }
}

impl core::fmt::Display for ScoreConfigError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let of = |topic: &Option<Topic>| topic.as_ref().map(|topic| format!(" of topic {topic}"));
        match self {
            ScoreConfigError::OutOfRange { parameter, topic, value } => {
                let of = of(topic).unwrap_or_default();
                write!(f, "score parameter {parameter}{of} cannot be {value}")
            }
            ScoreConfigError::Unordered { parameter, value, limit } => {
                write!(f, "score threshold {parameter} cannot be {value}, above {limit}")
            }
            ScoreConfigError::SilentPeer { topic, score } => {
                let of = of(topic).unwrap_or_default();
                write!(f, "a mesh peer{of} that forwards nothing may keep a score of {score}")
            }
            ScoreConfigError::LateVerdict { topic, activation } => {
                let of = of(topic).unwrap_or_default();
                let seconds = activation.as_secs_f64();
                write!(f, "no score{of} decays within the activation window of {seconds} s")
            }
        }
    }
}

impl core::error::Error for ScoreConfigError {}

#[cfg(test)]
mod tests;
