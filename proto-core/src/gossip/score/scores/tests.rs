//! The scenarios of the score tests of go-libp2p-pubsub (`score_test.go`) and rust-libp2p
//! (`peer_score/tests.rs`), and ours.
//!
//! | Theirs | Ours |
//! |---|---|
//! | `TimeInMesh` | `time_in_mesh_counts_whole_quanta` |
//! | `TimeInMeshCap` | `time_in_mesh_counts_up_to_its_cap` |
//! | `FirstMessageDeliveries` | `first_deliveries_count` |
//! | `FirstMessageDeliveriesCap` | `first_deliveries_count_up_to_their_cap` |
//! | `FirstMessageDeliveriesDecay` | `first_deliveries_decay` |
//! | `MeshMessageDeliveries` | `mesh_peers_must_deliver_before_the_window_closes` |
//! | `MeshMessageDeliveriesDecay` | `mesh_deliveries_decay_to_a_deficit` |
//! | `MeshFailurePenalty` | `a_deficit_sticks_when_a_peer_is_pruned` |
//! | `InvalidMessageDeliveries` | `invalid_messages_count_squared` |
//! | `InvalidMessageDeliveriesDecay` | `invalid_messages_decay` |
//! | `RejectMessageDeliveries` | `what_a_verdict_does_to_those_who_brought_the_message` |
//! | `ApplicationScore` | `the_application_s_score_counts_by_its_weight` |
//! | `IPColocation` | `peers_too_many_at_an_address_lose_the_square_of_the_surplus` |
//! | `IPColocationWhitelist` | `exempt_addresses_are_not_counted` |
//! | `BehaviourPenalty` | `misbehaviour_counts_squared_above_what_is_forgiven` |
//! | `Retention` | `a_negative_score_is_kept_for_its_time` |
//! | `RecapTopicParams` | `lower_caps_hold_at_once` |
//! | `ResetTopicParams` | `new_weights_apply_to_what_was_counted` |

use core::time::Duration;

use super::*;

mod bounds;
mod conduct;
mod model;
mod scenarios;

/// Peers in the order of their numbers. Nobody has their keys, which costs no time.
fn peer(number: u64) -> PeerId {
    PeerId::from_bytes(&[&[0, 8][..], &number.to_be_bytes()].concat()).unwrap()
}

fn topic() -> Topic {
    Topic::new("blocks").unwrap()
}

fn id(number: u64) -> MessageId {
    MessageId::new(&number.to_be_bytes()).unwrap()
}

/// A topic in which nothing counts.
fn blank() -> TopicScoreParams {
    TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: 0.0,
        first_message_deliveries_weight: 0.0,
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        invalid_message_deliveries_weight: 0.0,
        ..TopicScoreParams::default()
    }
}

/// A topic in which nothing counts but mesh deliveries, eight messages a second: two deliveries in
/// five seconds are to be there.
fn rated() -> TopicScoreParams {
    TopicScoreParams {
        mesh_message_deliveries_weight: -100.0,
        expected_messages_per_second: Some(8.0),
        ..blank()
    }
}

fn config(params: TopicScoreParams) -> ScoreConfig {
    ScoreConfig { topics: [(topic(), params)].into(), ..ScoreConfig::default() }
}

/// Scores, and how late it is. Peers have one connection each, numbered like them, and messages
/// are in the topic `blocks` unless it is said otherwise.
struct World {
    scores: Scores,
    now: Timestamp,
    last_message: u64,
}

impl World {
    fn new(config: ScoreConfig) -> Self {
        World::starting_at(Timestamp::ZERO, config)
    }

    fn starting_at(now: Timestamp, config: ScoreConfig) -> Self {
        let scores = Scores::new(now, config).unwrap();
        World { scores, now, last_message: 0 }
    }

    fn with_peers(config: ScoreConfig, peers: u64) -> Self {
        let mut world = World::new(config);
        (1..=peers).for_each(|number| world.connect(number, None));
        world
    }

    fn connect(&mut self, number: u64, ip: Option<&str>) {
        self.connect_again(number, number, ip);
    }

    fn connect_again(&mut self, number: u64, connection: u64, ip: Option<&str>) {
        let ip = ip.map(|ip| ip.parse().unwrap());
        self.scores.add_connection(self.now, peer(number), ConnectionId(connection), ip);
    }

    fn disconnect(&mut self, number: u64) {
        self.scores.remove_connection(self.now, &peer(number), ConnectionId(number));
    }

    fn graft(&mut self, number: u64) {
        self.scores.graft(self.now, &peer(number), &topic());
    }

    fn prune(&mut self, number: u64) {
        self.scores.prune(self.now, &peer(number), &topic());
    }

    /// A new message arrives from a peer.
    fn arrive(&mut self, number: u64) -> MessageId {
        self.last_message += 1;
        let id = id(self.last_message);
        self.scores.message_arrived(self.now, &id, &topic(), peer(number));
        id
    }

    fn copy(&mut self, id: &MessageId, number: u64) {
        self.scores.copy_arrived(self.now, id, &peer(number));
    }

    fn accept(&mut self, id: &MessageId) {
        self.scores.message_accepted(self.now, id);
    }

    fn reject(&mut self, id: &MessageId) {
        self.scores.message_rejected(self.now, id);
    }

    /// A valid message arrives from one peer and copies of it from others at once.
    fn deliver(&mut self, first: u64, copies: &[u64]) {
        let id = self.arrive(first);
        copies.iter().for_each(|number| self.copy(&id, *number));
        self.accept(&id);
    }

    fn invalid(&mut self, number: u64) {
        let id = self.arrive(number);
        self.reject(&id);
    }

    fn misbehave(&mut self, number: u64, times: u32) {
        self.scores.behaviour_penalty(self.now, &peer(number), times);
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now.saturating_add(time);
        self.scores.refresh(self.now);
    }

    fn pass_millis(&mut self, millis: u64) {
        self.pass(Duration::from_millis(millis));
    }

    fn pass_secs(&mut self, secs: u64) {
        self.pass(Duration::from_secs(secs));
    }

    /// The score of a peer, which its breakdown agrees with.
    fn score(&self, number: u64) -> f64 {
        let score = self.scores.score(&peer(number));
        let total = self.scores.breakdown(&peer(number)).map_or(0.0, |breakdown| breakdown.total);
        assert_eq!(score, total);
        assert!(score.is_finite());
        score
    }
}

fn assert_close(score: f64, expected: f64) {
    assert!((score - expected).abs() <= 1e-9 * expected.abs(), "{score} instead of {expected}");
}
