//! [`TopicScoreParams`]: the numbers of scoring of one topic, and [`ExpectedDeliveries`], those
//! that follow from its rate.

use core::time::Duration;

use serde::{Deserialize, Serialize};

/// A peer is judged by its deliveries once so many messages were expected: fewer say little of one
/// that is first with every sixth.
const MESSAGES_FOR_A_VERDICT: f64 = 30.0;

/// A mesh peer is to deliver one of so many expected messages, first or nearly so. In a mesh of
/// twelve, the largest there is, one that is first as often as the others delivers more.
const EXPECTED_FOR_ONE_DELIVERY: f64 = 20.0;

/// No more deliveries count than this many times the threshold. A peer that earned that and then
/// falls silent is below zero before three activation windows are over.
const CAP_IN_THRESHOLDS: f64 = 4.0;

/// How a topic is scored. Decays are what one [`super::ScoreConfig::decay_interval`] leaves of a
/// counter, above zero and below one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TopicScoreParams {
    /// Multiplies everything that follows. Not negative, and positive where a rate is stated.
    /// Default: 0.5.
    pub topic_weight: f64,
    /// P1: weight of the time in the mesh. Not negative. Default: 1.
    pub time_in_mesh_weight: f64,
    /// P1: the unit of that time. Positive. Default: 1 s.
    pub time_in_mesh_quantum: Duration,
    /// P1: more of them are not counted. Positive. Default: 10, which is +5 after the topic's
    /// weight.
    pub time_in_mesh_cap: f64,
    /// P2: weight of a message that the peer brought first. Not negative. Default: 1.
    pub first_message_deliveries_weight: f64,
    /// P2: decay. Default: 0.5.
    pub first_message_deliveries_decay: f64,
    /// P2: more of them are not counted. Positive. Default: 40, which is +20 after the topic's
    /// weight.
    pub first_message_deliveries_cap: f64,
    /// P3 and P3b: how many messages of others come in a second, from 0.01 to
    /// [`super::MAX_PARAMETER`]. Without it, peers that deliver nothing are not punished.
    /// Default: none.
    ///
    /// State it of topics alone whose messages come steadily and from all sides, and state the rate
    /// of quiet hours. Behind a single publisher, whoever is further from it than we are delivers
    /// nothing to us and is honest.
    pub expected_messages_per_second: Option<f64>,
    /// P3: what a mesh peer gets that delivers nothing, before the topic's weight. One that
    /// delivers half of the threshold gets a quarter. It must outweigh
    /// [`super::ScoreConfig::topic_score_cap`]. Default: −60, which is −30 after the topic's weight.
    pub mesh_message_deliveries_weight: f64,
    /// P3: a copy counts as a delivery until so long after its message was accepted. Should be too
    /// short for the message to go to the peer and come back. Default: 10 ms.
    pub mesh_message_deliveries_window: Duration,
    /// P3: how long a peer is in the mesh before its deliveries are looked at. At least the time in
    /// which 30 messages are expected is waited for. Positive. Default: 5 s.
    pub mesh_message_deliveries_activation: Duration,
    /// P3b: what a peer gets that left the mesh having delivered nothing, before the topic's
    /// weight. Not positive. Default: −60.
    pub mesh_failure_penalty_weight: f64,
    /// P3b: decay. Default: 0.96, which leaves 9 % after a back-off of a minute.
    pub mesh_failure_penalty_decay: f64,
    /// P4: weight of the square of the invalid messages. Not positive. Default: −1.
    pub invalid_message_deliveries_weight: f64,
    /// P4: decay. Default: 0.99, which takes 69 s to half of them.
    pub invalid_message_deliveries_decay: f64,
}

/// What P3 asks of a mesh peer. It follows from the rate of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExpectedDeliveries {
    /// How long a peer is in the mesh before its deliveries are looked at, and the time over which
    /// they are counted.
    pub activation: Duration,
    /// So many deliveries are enough: a twentieth of the messages expected in that time.
    pub threshold: f64,
    /// More of them are not counted.
    pub cap: f64,
    /// What one interval of decay leaves of their number.
    pub decay: f64,
}

impl TopicScoreParams {
    /// Those of a topic where `rate` messages of others come in a second.
    pub fn with_expected_rate(rate: f64) -> Self {
        TopicScoreParams { expected_messages_per_second: Some(rate), ..Self::default() }
    }

    /// What P3 asks of a mesh peer, if a rate is stated. `decay_interval` is that of
    /// [`super::ScoreConfig`].
    pub fn expected_deliveries(&self, decay_interval: Duration) -> Option<ExpectedDeliveries> {
        let rate = self.expected_messages_per_second?;
        // Of a rate that `check` refuses, any answer will do that is no panic.
        let verdict = Duration::try_from_secs_f64(MESSAGES_FOR_A_VERDICT / rate);
        let activation =
            self.mesh_message_deliveries_activation.max(verdict.unwrap_or(Duration::MAX));
        let span = activation.as_secs_f64();
        let threshold = rate * span / EXPECTED_FOR_ONE_DELIVERY;
        Some(ExpectedDeliveries {
            activation,
            threshold,
            cap: threshold * CAP_IN_THRESHOLDS,
            // At a steady rate, so much leaves the messages of `span` behind each interval.
            decay: span / (span + decay_interval.as_secs_f64()),
        })
    }
}

impl Default for TopicScoreParams {
    fn default() -> Self {
        TopicScoreParams {
            topic_weight: 0.5,
            time_in_mesh_weight: 1.0,
            time_in_mesh_quantum: Duration::from_secs(1),
            time_in_mesh_cap: 10.0,
            first_message_deliveries_weight: 1.0,
            first_message_deliveries_decay: 0.5,
            first_message_deliveries_cap: 40.0,
            expected_messages_per_second: None,
            mesh_message_deliveries_weight: -60.0,
            mesh_message_deliveries_window: Duration::from_millis(10),
            mesh_message_deliveries_activation: Duration::from_secs(5),
            mesh_failure_penalty_weight: -60.0,
            mesh_failure_penalty_decay: 0.96,
            invalid_message_deliveries_weight: -1.0,
            invalid_message_deliveries_decay: 0.99,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn expected(rate: f64) -> ExpectedDeliveries {
        TopicScoreParams::with_expected_rate(rate).expected_deliveries(SECOND).unwrap()
    }

    #[test]
    fn nothing_is_expected_without_a_rate() {
        assert_eq!(TopicScoreParams::default().expected_deliveries(SECOND), None);
    }

    #[test]
    fn at_high_rates_activation_is_the_one_that_is_set() {
        let expected = expected(120.0);
        assert_eq!(expected.activation, Duration::from_secs(5));
        assert_eq!(expected.threshold, 30.0);
        assert_eq!(expected.cap, 120.0);
    }

    #[test]
    fn at_low_rates_a_verdict_waits_for_enough_messages() {
        let slow = expected(0.5);
        assert_eq!(slow.activation, Duration::from_secs(60));
        assert_eq!(slow.threshold, 1.5);
        assert_eq!(slow.cap, 6.0);
        assert!(slow.decay > expected(120.0).decay);
    }

    #[test]
    fn a_steady_rate_leaves_the_messages_of_the_activation_window() {
        let expected = expected(8.0);
        let mut count = 0.0;
        for _ in 0..200 {
            count = (count + 8.0) * expected.decay;
        }
        let messages: f64 = 8.0 * expected.activation.as_secs_f64();
        assert!((count - messages).abs() < 1e-6, "{count} instead of {messages}");
    }

    #[test]
    fn no_rate_makes_it_panic() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE, f64::MAX] {
            let params = TopicScoreParams::with_expected_rate(rate);
            assert!(params.expected_deliveries(SECOND).is_some());
        }
    }
}
