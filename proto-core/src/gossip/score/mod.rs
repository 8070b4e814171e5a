//! [`Scores`]: what we think of each peer, from what it did (gossipsub v1.1, Peer Scoring).
//!
//! A score is a sum of parts, each a value that the peer's conduct makes and a weight that we set:
//!
//! | Part | Value | Counts |
//! |---|---|---|
//! | P1 | time in our mesh of a topic, in quanta, capped | up |
//! | P2 | messages of a topic that it brought first, decaying, capped | up |
//! | P3 | square of what it brought too little of as a mesh peer | down, where a rate is stated |
//! | P3b | P3 at each time that it left the mesh, decaying | down, where a rate is stated |
//! | P4 | square of the invalid messages that it brought, decaying | down |
//! | P5 | what the application thinks of it | up or down |
//! | P6 | square of the peers too many at its IP address | down |
//! | P7 | square of its misbehaviour, decaying | down |
//!
//! Beside the specification's, one part counts the messages that a peer was too slow to take.
//!
//! # What differs from the specification
//!
//! - The specification's cap on what topics give caps here what they *add* (P1 and P2). What they
//!   take away is never hidden behind it, so that a peer that forwards nothing in a topic of a
//!   stated rate ends below zero however well it behaves elsewhere, or the parameters are refused
//!   (CVE-2022-47547; [`ScoreConfig::check`]).
//! - P3 and P3b square the deficit as a share of the threshold, so that a weight means the same at
//!   every rate, and the numbers behind the threshold follow from the rate.
//! - P3 ends when a peer leaves the mesh; from then on P3b stands for it.
//!
//! # What is here
//!
//! - [`params`]: [`ScoreConfig`], the numbers that hold for all topics; [`ip_range`]: which
//!   addresses are not counted;
//! - [`topic_params`]: [`TopicScoreParams`], the numbers of one topic;
//! - [`soundness`]: which numbers are refused, and why;
//! - `decay`: time in whole intervals, and what it leaves of a counter;
//! - `topic`, `peer`: what is counted; `colocation`: how many peers are at an IP address;
//!   `deliveries`: who brought a message before it was decided on;
//! - [`scores`]: [`Scores`], all of it together;
//! - [`breakdown`]: [`ScoreBreakdown`], what a score is made of.

pub mod breakdown;
mod colocation;
mod decay;
mod deliveries;
pub mod ip_range;
pub mod params;
mod peer;
pub mod scores;
pub mod soundness;
mod topic;
pub mod topic_params;

pub use breakdown::{Part, ScoreBreakdown, TopicBreakdown};
pub use ip_range::{IpRange, IpRangeError};
pub use params::{ScoreConfig, ScoreThresholds};
pub use scores::{ApplicationScoreError, Scores};
pub use soundness::{MAX_DECAY_INTERVAL, MAX_PARAMETER, MIN_DECAY_INTERVAL, ScoreConfigError};
pub use topic_params::{ExpectedDeliveries, TopicScoreParams};
