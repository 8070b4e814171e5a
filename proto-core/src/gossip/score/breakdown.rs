//! [`ScoreBreakdown`]: what a score is made of.

use serde::{Deserialize, Serialize};

use crate::gossip::topic::Topic;

/// One part of a score: what a peer's conduct made, and what weight that has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// What the peer's conduct made: P1 to P7 of the specification, squares included.
    pub value: f64,
    /// What it is multiplied by.
    pub weight: f64,
}

/// What a peer's score in one topic is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TopicBreakdown {
    /// What all parts are multiplied by.
    pub topic_weight: f64,
    /// P1: quanta in the mesh.
    pub time_in_mesh: Part,
    /// P2: messages that it brought first.
    pub first_message_deliveries: Part,
    /// P3: the square of what is missing, as a share of the threshold. Its weight is zero in a
    /// topic without a rate.
    pub mesh_message_deliveries: Part,
    /// P3b: what P3 was when it left the mesh. Its weight is zero in a topic without a rate.
    pub mesh_failure_penalty: Part,
    /// P4: the square of its invalid messages.
    pub invalid_message_deliveries: Part,
}

/// What a peer's score is made of: `total` is the sum of `rewards`, `penalties` and the parts below
/// them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScoreBreakdown {
    /// The score.
    pub total: f64,
    /// Whether the peer is connected; if not, its score is kept as it was.
    pub is_connected: bool,
    /// The topics in which something is counted of it, in their order.
    pub topics: Vec<(Topic, TopicBreakdown)>,
    /// What all topics add, after [`super::ScoreConfig::topic_score_cap`].
    pub rewards: f64,
    /// What all topics take away.
    pub penalties: f64,
    /// P5: what the application thinks of it.
    pub application: Part,
    /// P6: the square of the peers too many at its addresses.
    pub ip_colocation: Part,
    /// P7: the square of its misbehaviour above what is forgiven.
    pub behaviour_penalty: Part,
    /// Messages that it was too slow to take, above what is forgiven.
    pub slow_peer: Part,
}

impl Part {
    /// What it adds to the score, or takes away.
    pub fn score(&self) -> f64 {
        self.value * self.weight
    }
}

impl TopicBreakdown {
    /// What the topic adds: P1 and P2.
    pub fn reward(&self) -> f64 {
        self.topic_weight * (self.time_in_mesh.score() + self.first_message_deliveries.score())
    }

    /// What it takes away: P3, P3b and P4. Not positive.
    pub fn penalty(&self) -> f64 {
        self.topic_weight
            * (self.mesh_message_deliveries.score()
                + self.mesh_failure_penalty.score()
                + self.invalid_message_deliveries.score())
    }
}
