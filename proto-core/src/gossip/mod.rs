//! Gossip: messages about topics, passed on by whoever subscribes to them.
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
//! What is thought of peers:
//! - [`score`]: what each of them did, and what that is worth.
//!
//! Specifications: [pubsub](https://github.com/libp2p/specs/blob/master/pubsub/README.md),
//! [gossipsub](https://github.com/libp2p/specs/blob/master/pubsub/gossipsub/README.md).

mod id_map;
pub mod message;
pub mod message_cache;
pub mod message_id;
pub mod rpc;
pub mod score;
pub mod seen_cache;
pub mod signature;
pub mod topic;

pub use message::{Message, MessageError, MessageFields, WireMessage};
pub use message_cache::{MessageCache, MessageCacheConfig, Wanted};
pub use message_id::{
    MessageId, MessageIdError, MessageIdFn, data_digest, source_and_sequence, topic_and_data_digest,
};
pub use rpc::{
    Control, Extensions, IHave, Outgoing, PeerInfo, Prune, ReceivedControl, ReceivedIHave,
    ReceivedPrune, Rpc, RpcError, RpcLimits, SendLimits, publish_frame,
};
pub use score::{ScoreBreakdown, ScoreConfig, ScoreConfigError, Scores, TopicScoreParams};
pub use seen_cache::{SeenCache, SeenCacheConfig, Sight, Verdict, Verified};
pub use signature::{Author, FieldsError, SignatureCheck, SignatureError, SignaturePolicy};
pub use topic::{Topic, TopicError};
