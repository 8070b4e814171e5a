//! [`ScoreConfig`]: the numbers of scoring that hold for all topics.

use core::time::Duration;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ip_range::IpRange;
use super::topic_params::TopicScoreParams;
use crate::gossip::topic::Topic;

/// The scores at which conduct towards a peer changes (gossipsub v1.1, Score Thresholds). Below
/// zero it is in no mesh, and no peers are exchanged with it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScoreThresholds {
    /// Below it there is no gossip, to the peer or from it. Negative. Default: −10.
    pub gossip: f64,
    /// Below it the peer is not sent what we publish. At most `gossip`. Default: −50.
    pub publish: f64,
    /// Below it the peer is not listened to. At most `publish`. Default: −80.
    pub graylist: f64,
    /// From it on, peers that it names when it prunes us are connected to. Not negative.
    /// Default: 10.
    pub accept_px: f64,
    /// A mesh whose median is below it gets better peers, if there are. Not negative. Default: 20.
    pub opportunistic_graft: f64,
}

impl Default for ScoreThresholds {
    fn default() -> Self {
        ScoreThresholds {
            gossip: -10.0,
            publish: -50.0,
            graylist: -80.0,
            accept_px: 10.0,
            opportunistic_graft: 20.0,
        }
    }
}

/// How peers are scored. Weights of what counts down may be zero, which turns it off, except where
/// [`ScoreConfig::check`] needs them. Decays are what one [`ScoreConfig::decay_interval`] leaves of
/// a counter, above zero and below one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScoreConfig {
    /// What scores lead to.
    pub thresholds: ScoreThresholds,
    /// The most that P1 and P2 of all topics together add, after the topics' weights. What topics
    /// take away is not capped. Positive. Default: 25, which is what one topic gives at most.
    pub topic_score_cap: f64,
    /// P5: weight of what the application thinks. Not negative. Default: 10.
    pub application_weight: f64,
    /// P6: weight of the square of the peers too many at an address. Not positive. Default: −5.
    pub ip_colocation_weight: f64,
    /// P6: so many peers may be at an IPv4 address or an IPv6 /64. At least 1. Default: 10.
    pub ip_colocation_threshold: u32,
    /// P6: whether loopback and private addresses count. Default: no. Everybody behind one such
    /// address may be an honest neighbour.
    pub ip_colocation_local: bool,
    /// P6: addresses that do not count either. Default: none.
    pub ip_colocation_exempt: Vec<IpRange>,
    /// P7: weight of the square of misbehaviour. Not positive. Default: −10.
    pub behaviour_penalty_weight: f64,
    /// P7: so much misbehaviour is forgiven. Not negative. Default: 0.
    pub behaviour_penalty_threshold: f64,
    /// P7: decay. Default: 0.2.
    pub behaviour_penalty_decay: f64,
    /// Weight of a message that a peer was too slow to take. Not positive. Default: −0.2, as in
    /// rust-libp2p.
    pub slow_peer_weight: f64,
    /// So many such messages are forgiven. Not negative. Default: 0.
    pub slow_peer_threshold: f64,
    /// More of them are not counted, so that slowness alone graylists nobody. Positive.
    /// Default: 100.
    pub slow_peer_cap: f64,
    /// What decay leaves of their number. Default: 0.2.
    pub slow_peer_decay: f64,
    /// How often counters decay, and how long it takes for a change of P1 and P3 to show: from
    /// [`super::MIN_DECAY_INTERVAL`] to [`super::MAX_DECAY_INTERVAL`]. Default: 1 s.
    pub decay_interval: Duration,
    /// A counter below it is zero. Between zero and one. Default: 0.01.
    pub decay_to_zero: f64,
    /// How long the score of a peer that left below zero is kept. Default: 1 h.
    pub retain_score: Duration,
    /// Of how many such peers. When there are more, the one closest to zero is forgotten.
    /// Default: 4,096, which take about 2 MiB.
    pub max_retained_peers: usize,
    /// How many messages are remembered with those who brought them until they are decided on.
    /// At least as many as wait for that at once. Default: 4,096.
    pub max_deliveries: usize,
    /// How long, if they are not decided on: as long as ids of seen messages are kept.
    /// Default: 120 s.
    pub delivery_ttl: Duration,
    /// The numbers of topics that are scored by others than `default_topic`.
    pub topics: BTreeMap<Topic, TopicScoreParams>,
    /// The numbers of all other topics.
    pub default_topic: TopicScoreParams,
}

impl Default for ScoreConfig {
    fn default() -> Self {
        ScoreConfig {
            thresholds: ScoreThresholds::default(),
            topic_score_cap: 25.0,
            application_weight: 10.0,
            ip_colocation_weight: -5.0,
            ip_colocation_threshold: 10,
            ip_colocation_local: false,
            ip_colocation_exempt: Vec::new(),
            behaviour_penalty_weight: -10.0,
            behaviour_penalty_threshold: 0.0,
            behaviour_penalty_decay: 0.2,
            slow_peer_weight: -0.2,
            slow_peer_threshold: 0.0,
            slow_peer_cap: 100.0,
            slow_peer_decay: 0.2,
            decay_interval: Duration::from_secs(1),
            decay_to_zero: 0.01,
            retain_score: Duration::from_secs(3600),
            max_retained_peers: 4096,
            max_deliveries: 4096,
            delivery_ttl: Duration::from_secs(120),
            topics: BTreeMap::new(),
            default_topic: TopicScoreParams::default(),
        }
    }
}
