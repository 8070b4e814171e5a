//! What we think of each peer, from what it did (gossipsub v1.1, Peer Scoring).
//!
//! - [`params`]: [`ScoreConfig`], the numbers that hold for all topics; [`ip_range`]: which
//!   addresses are not counted;
//! - [`topic_params`]: [`TopicScoreParams`], the numbers of one topic;
//! - [`soundness`]: which numbers are refused, and why.

pub mod ip_range;
pub mod params;
pub mod soundness;
pub mod topic_params;

pub use ip_range::{IpRange, IpRangeError};
pub use params::{ScoreConfig, ScoreThresholds};
pub use soundness::{MAX_DECAY_INTERVAL, MAX_PARAMETER, MIN_DECAY_INTERVAL, ScoreConfigError};
pub use topic_params::{ExpectedDeliveries, TopicScoreParams};
