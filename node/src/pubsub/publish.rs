//! Publishing, once somebody is there to hear it.

use core::time::Duration;

use bytes::Bytes;
use sanspeer_core::gossip::{PublishError, Published, Topic};
use sanspeer_tokio::{Events, Node, RequestError, SendError};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout_at};

use super::nobody::Nobody;

/// How long to wait before it is tried again whether a full queue has room.
const FULL: Duration = Duration::from_millis(10);

/// A message that was published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PublishReport {
    pub(crate) topic: String,
    /// In hexadecimal.
    pub(crate) id: String,
    /// The length of its data.
    pub(crate) bytes: usize,
    /// For how many peers.
    pub(crate) queued_for: usize,
}

/// Why a message was not published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PublishFailure {
    /// Nobody came to be sent to.
    Nobody(Nobody),
    /// Gossip refused.
    Refused(PublishError),
    /// The node is not there.
    Request(RequestError),
}

/// Publishes, and waits for so long until somebody is there to be sent to, and has room.
pub(crate) async fn publish(
    node: &Node,
    topic: &Topic,
    data: Bytes,
    patience: Duration,
) -> Result<PublishReport, PublishFailure> {
    let bytes = data.len();
    let Published { id, queued_for } = queued(node, topic, data, patience).await?;
    let (topic, id) = (topic.as_str().to_owned(), id.to_string());
    Ok(PublishReport { topic, id, bytes, queued_for })
}

async fn queued(
    node: &Node,
    topic: &Topic,
    data: Bytes,
    patience: Duration,
) -> Result<Published, PublishFailure> {
    let until = Instant::now() + patience;
    let mut events: Option<Events> = None;
    loop {
        let error = match node.publish(topic, data.clone()).await {
            Ok(published) => return Ok(published),
            Err(SendError::Request(error)) => return Err(PublishFailure::Request(error)),
            Err(SendError::Refused(error)) => error,
        };
        match error {
            PublishError::NotEnoughPeers { .. } => match &mut events {
                // Somebody may have come before events were listened for.
                None => events = Some(node.events()),
                Some(events) => {
                    if timeout_at(until, events.next()).await.is_err() {
                        return Err(nobody(node, topic, patience).await);
                    }
                }
            },
            PublishError::QueuesFull { .. } if Instant::now() < until => sleep(FULL).await,
            PublishError::QueuesFull { .. }
            | PublishError::TooLarge { .. }
            | PublishError::Duplicate(_)
            | PublishError::Sign(_) => return Err(PublishFailure::Refused(error)),
        }
    }
}

async fn nobody(node: &Node, topic: &Topic, patience: Duration) -> PublishFailure {
    match node.peers().await {
        Ok(peers) => PublishFailure::Nobody(Nobody {
            topics: vec![topic.clone()],
            patience,
            connected: peers.len(),
            why: None,
        }),
        Err(error) => PublishFailure::Request(error),
    }
}

impl core::fmt::Display for PublishFailure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            PublishFailure::Nobody(nobody) => write!(f, "{nobody}"),
            PublishFailure::Refused(error) => write!(f, "{error}"),
            PublishFailure::Request(error) => write!(f, "{error}"),
        }
    }
}
