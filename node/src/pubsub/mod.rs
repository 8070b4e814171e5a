//! Messages of topics.
//!
//! - [`mod@publish`]: ours, once somebody is there to hear them;
//! - [`heard`]: [`Heard`], those of others, as they are printed and as a running node tells them;
//! - [`listen`]: where they come from;
//! - [`nobody`]: [`Nobody`], if nobody came.

mod heard;
mod listen;
mod nobody;
mod publish;

use sanspeer_core::gossip::GossipConfig;

pub(crate) use heard::{Content, Heard, TopicMessage};
pub(crate) use listen::{WAITING_MESSAGES, pass_on, subscribe};
pub(crate) use nobody::Nobody;
pub(crate) use publish::{PublishFailure, PublishReport, publish};

/// The longest message that is published, in bytes.
pub(crate) fn max_message_bytes() -> usize {
    GossipConfig::default().max_message_bytes
}
