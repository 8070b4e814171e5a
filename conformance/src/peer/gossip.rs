//! [`Member`]: a topic that is joined, and published on once a second.

use std::time::Duration;

use bytes::Bytes;
use sanspeer_core::gossip::{Message, Topic};
use sanspeer_core::identity::PeerId;
use sanspeer_driver::gossip::SendError;
use sanspeer_driver::runtime::Runtime;
use sanspeer_driver::{Delivery, Handle, Subscription};
use serde::Serialize;

use super::deadline::pause;
use super::error::Error;

/// The topic of a dialer that checks gossip and was not told of one.
pub const DEFAULT_TOPIC: &str = "interop";

/// How often something is published.
const PUBLISH_INTERVAL: Duration = Duration::from_secs(1);

/// How much of a message is printed, in characters.
const MAX_PRINTED: usize = 100;

/// A message, as it is printed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GossipLine {
    /// Its topic.
    pub topic: String,
    /// The id of its author.
    pub from: String,
    /// How it begins, without spaces at the end. What is no UTF-8 is replaced.
    pub data: String,
    /// How long it is.
    pub bytes: usize,
}

/// A topic that is joined for as long as this is held.
#[derive(Debug)]
pub struct Member {
    subscription: Subscription,
}

/// The topic of this name.
pub fn topic(name: &str) -> Result<Topic, Error> {
    Topic::new(name).map_err(|error| Error::Topic(name.to_owned(), error))
}

impl Member {
    /// Joins a topic, and publishes `0 from` and our peer id on it, a second later `1 from`, and so
    /// on until the node is gone. Each is filled up with spaces to one of `lengths`, which take turns.
    pub async fn join<R: Runtime>(
        runtime: &R,
        node: &Handle,
        topic: &Topic,
        lengths: Vec<u32>,
    ) -> Result<Self, Error> {
        let subscription = node.subscribe(topic).await.map_err(Error::Join)?;
        runtime.spawn(publish(runtime.clone(), node.clone(), topic.clone(), lengths));
        Ok(Member { subscription })
    }

    /// The next message, and who wrote it; `None` when the node has shut down. Those that were lost
    /// because nobody took them are passed over.
    pub async fn next(&mut self) -> Option<(PeerId, GossipLine)> {
        loop {
            let Delivery::Message(received) = self.subscription.next().await? else { continue };
            // Signatures are strict: every message has an author.
            let Some(from) = received.message.source else { continue };
            let Message { topic, data, .. } = received.message;
            let printed = data.get(..MAX_PRINTED).unwrap_or(&data);
            let line = GossipLine {
                topic: topic.to_string(),
                from: from.to_string(),
                data: String::from_utf8_lossy(printed).trim_end().to_owned(),
                bytes: data.len(),
            };
            return Some((from, line));
        }
    }
}

async fn publish<R: Runtime>(runtime: R, node: Handle, topic: Topic, lengths: Vec<u32>) {
    let mut lengths = lengths.into_iter().cycle();
    for number in 0u64.. {
        let mut data = format!("{number} from {}", node.peer_id()).into_bytes();
        let length = lengths.next().map_or(0, |length| length as usize);
        data.resize(data.len().max(length), b' ');
        let data = Bytes::from(data);
        match node.publish(&topic, data).await {
            // There may be nobody yet.
            Ok(_) | Err(SendError::Refused(_)) => {}
            Err(SendError::Request(_)) => return,
        }
        pause(&runtime, PUBLISH_INTERVAL).await;
    }
}

/// The peers in a topic whose scores are below zero, and their scores.
pub(super) async fn below_zero(node: &Handle, topic: &Topic) -> Vec<(PeerId, f64)> {
    let mut found = Vec::new();
    for peer in node.topic_peers(topic).await.unwrap_or_default() {
        if let Ok(Some(score)) = node.score(peer).await
            && score.total < 0.0
        {
            found.push((peer, score.total));
        }
    }
    found
}
