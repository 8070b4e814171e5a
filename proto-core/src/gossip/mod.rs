//! Gossip: messages about topics, passed on by whoever subscribes to them.
//!
//! - [`machine`]: [`Gossip`], a peer among those that pass them on; [`config`]: its numbers, and
//!   what a topic may have of its own; [`version`]: the protocol ids that it speaks;
//! - [`events`]: what it tells its owner; [`command`]: what it is asked, in bytes too;
//!   [`subscriptions`], [`publish`] and [`validation`]: topics, our messages, and those of others.
//!
//! On the wire:
//! - [`topic`], [`message`] and [`message_id`]: what is passed on, and what it is called;
//! - [`rpc`]: frames, taken apart and put together within bounds;
//! - [`signature`]: who wrote a message.
//!
//! What is remembered of messages:
//! - [`seen_cache`]: which ones came already, and what was thought of them;
//! - [`message_cache`]: the last ones themselves, for those who missed them.
//!
//! What is thought of peers: [`score`].
//!
//! Inside of [`Gossip`], in the order of data flow: `streams` and `receive`, where frames come from;
//! `verification`, then [`validation`], what is done with a new message; `mesh`, `gossiping` with
//! `promises` and `dont_want`, `exchange` and `direct`, whom it has to do with; `heartbeat`, what is
//! done once a second; `outbox`, `backlog` and `send_queue`, what leaves and when; `finish`, the end.
//! `peers`, `topics` and `backoff` are what is known; `standing` is what a score leads to.
//!
//! Specifications: [pubsub](https://github.com/libp2p/specs/blob/master/pubsub/README.md),
//! [gossipsub](https://github.com/libp2p/specs/blob/master/pubsub/gossipsub/README.md).

mod backlog;
mod backoff;
pub mod command;
pub mod config;
mod direct;
mod dont_want;
pub mod events;
mod exchange;
mod finish;
mod gossiping;
mod heartbeat;
mod id_map;
pub mod machine;
mod mesh;
pub mod message;
pub mod message_cache;
pub mod message_id;
mod outbox;
mod peers;
mod promises;
pub mod publish;
mod random;
mod receive;
pub mod rpc;
pub mod score;
pub mod seen_cache;
mod send_queue;
pub mod signature;
mod standing;
mod streams;
pub mod subscriptions;
#[cfg(test)]
mod tests;
pub mod topic;
mod topics;
pub mod validation;
mod verification;
pub mod version;

pub use command::{AddedGossip, GossipCommand, GossipReply};
pub use config::{
    GossipConfig, GossipConfigError, MeshParams, QueueLimits, TopicSettings, Validation,
    VerifyWhere,
};
pub use events::GossipEvent;
pub use machine::{Gossip, GossipUsage};
pub use message::{Message, MessageError, MessageFields, WireMessage};
pub use message_cache::{MessageCache, MessageCacheConfig, Wanted};
pub use message_id::{
    MessageId, MessageIdError, MessageIdFn, data_digest, source_and_sequence,
    source_base58_and_sequence_decimal, topic_and_data_digest,
};
pub use publish::{PublishError, Published};
pub use rpc::{
    Control, Extensions, IHave, Outgoing, PeerInfo, Prune, ReceivedControl, ReceivedIHave,
    ReceivedPrune, Rpc, RpcError, RpcLimits, SendLimits, publish_frame,
};
pub use score::{
    ScoreBreakdown, ScoreConfig, ScoreConfigError, ScoreThresholds, Scores, TopicScoreParams,
};
pub use seen_cache::{SeenCache, SeenCacheConfig, Sight, Verdict, Verified};
pub use send_queue::Lost;
pub use signature::{Author, FieldsError, SignatureCheck, SignatureError, SignaturePolicy};
pub use subscriptions::SubscribeError;
pub use topic::{Topic, TopicError};
pub use validation::Acceptance;
pub use version::{GossipProtocolId, GossipVersion};
