//! What a running node is asked, and its refusals.

use serde::{Deserialize, Serialize};

use crate::pubsub::Content;

/// Publishes a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PublishRequest {
    pub(super) topic: String,
    #[serde(flatten)]
    pub(super) content: Content,
    /// How long it may wait for a peer in the topic.
    pub(super) wait_seconds: u32,
}

/// Tells what is heard in topics, a JSON object a line, until whoever asked is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SubscribeRequest {
    pub(super) topics: Vec<String>,
}

/// Why a request was not granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Refusal {
    pub(super) error: String,
}
