//! Gossip as an application has it: [`Subscription`], and what a [`Handle`] asks of gossip.
//!
//! A topic is joined while somebody holds a subscription to it. Each subscription has a queue of its
//! own: one that is not read loses its own messages and is told how many, and delays nobody.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, RwLock};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_core::Stream;
use multiaddr::Multiaddr;
use sanspeer_core::gossip::{
    Acceptance, GossipCommand, GossipEvent, GossipReply, Message, MessageId, PublishError,
    Published, ScoreBreakdown, SubscribeError, Topic, TopicScoreParams,
};
use sanspeer_core::identity::PeerId;
use sanspeer_core::node::{Answer, Command, NodeEvent};

use crate::control::inbox::{Inbox, Reply, Request};
use crate::error::RequestError;
use crate::events::Listener;
use crate::handle::{Handle, unexpected};
use crate::sync::{lock, read, write};

/// Messages that wait in one subscription. With more, the oldest are dropped and counted.
pub const MAX_WAITING_MESSAGES: usize = 512;

/// A message of a topic, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedMessage {
    /// Who sent it to us first; its author is in the message. If those who sent it left while its
    /// signature was checked, the author is named here too.
    pub propagation_source: PeerId,
    /// The message.
    pub message: Message,
    /// Whether it goes no further before [`Handle::report`] accepts it.
    pub needs_verdict: bool,
}

/// Something that a subscription gives.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "almost all are the large one")]
pub enum Delivery {
    /// A message.
    Message(ReceivedMessage),
    /// The subscription was not read: so many messages were dropped before the next one.
    Missed(u64),
}

/// Why a topic was not joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinError {
    /// Node was not there, or does not gossip.
    Request(RequestError),
    /// Gossip refused.
    Refused(SubscribeError),
}

/// Why a message was not published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// Node was not there, or does not gossip.
    Request(RequestError),
    /// Gossip refused.
    Refused(PublishError),
}

/// Why gossip did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GossipError {
    /// Node was not there, or does not gossip.
    Request(RequestError),
    /// It was refused, in words that name the number.
    Refused(String),
}

/// The messages of a topic from the moment of subscription on. When the last subscription of a topic
/// is dropped, the topic is left.
pub struct Subscription {
    topic: Topic,
    queue: Arc<Mutex<Queue>>,
    subscriptions: Arc<Subscriptions>,
    inbox: Arc<Inbox>,
}

#[derive(Default)]
struct Queue {
    /// Bounded by [`MAX_WAITING_MESSAGES`].
    messages: VecDeque<ReceivedMessage>,
    missed: u64,
    closed: bool,
    waker: Option<Waker>,
}

/// Who holds a subscription.
#[derive(Default)]
pub(crate) struct Subscriptions {
    inner: RwLock<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Bounded by the application's subscriptions.
    topics: BTreeMap<Topic, Vec<Arc<Mutex<Queue>>>>,
    closed: bool,
}

impl Subscription {
    /// The topic.
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// The next message, or how many were missed; `None` when the node has shut down.
    pub async fn next(&mut self) -> Option<Delivery> {
        poll_fn(|cx| self.poll_delivery(cx)).await
    }

    /// The next message, or how many were missed; `None` when the node has shut down.
    pub fn poll_delivery(&mut self, cx: &Context<'_>) -> Poll<Option<Delivery>> {
        let mut queue = lock(&self.queue);
        if queue.missed > 0 {
            return Poll::Ready(Some(Delivery::Missed(core::mem::take(&mut queue.missed))));
        }
        if let Some(message) = queue.messages.pop_front() {
            return Poll::Ready(Some(Delivery::Message(message)));
        }
        queue.messages = VecDeque::new();
        if queue.closed {
            return Poll::Ready(None);
        }
        queue.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Stream for Subscription {
    type Item = Delivery;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        self.poll_delivery(cx)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if self.subscriptions.remove(&self.topic, &self.queue) {
            let command = Command::Gossip(GossipCommand::Unsubscribe(self.topic.clone()));
            self.inbox.push_request(Request { command, reply: Reply::Nobody });
        }
    }
}

impl core::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Subscription({})", self.topic)
    }
}

impl Subscriptions {
    fn add(&self, topic: &Topic) -> Arc<Mutex<Queue>> {
        let queue = Arc::<Mutex<Queue>>::default();
        let mut inner = write(&self.inner);
        if inner.closed {
            lock(&queue).closed = true;
        } else {
            inner.topics.entry(topic.clone()).or_default().push(Arc::clone(&queue));
        }
        queue
    }

    /// Whether it was the topic's last.
    fn remove(&self, topic: &Topic, queue: &Arc<Mutex<Queue>>) -> bool {
        let mut inner = write(&self.inner);
        let Some(queues) = inner.topics.get_mut(topic) else { return false };
        queues.retain(|other| !Arc::ptr_eq(other, queue));
        let last = queues.is_empty();
        if last {
            inner.topics.remove(topic);
        }
        last
    }

    /// Whether somebody holds a subscription to the topic. One that is dropped may find, when its
    /// request is taken, that there is a new one.
    pub(crate) fn has(&self, topic: &Topic) -> bool {
        read(&self.inner).topics.contains_key(topic)
    }

    fn queues(&self, topic: &Topic) -> Vec<Arc<Mutex<Queue>>> {
        read(&self.inner).topics.get(topic).cloned().unwrap_or_default()
    }
}

impl Listener for Subscriptions {
    fn hear(&self, event: &NodeEvent) {
        let NodeEvent::Gossip(GossipEvent::Message { propagation_source, message, needs_verdict }) =
            event
        else {
            return;
        };
        for queue in self.queues(&message.topic) {
            let received = ReceivedMessage {
                propagation_source: *propagation_source,
                message: message.clone(),
                needs_verdict: *needs_verdict,
            };
            push(&queue, received);
        }
    }

    fn close(&self) {
        let topics = {
            let mut inner = write(&self.inner);
            inner.closed = true;
            core::mem::take(&mut inner.topics)
        };
        for queue in topics.into_values().flatten() {
            let waker = {
                let mut queue = lock(&queue);
                queue.closed = true;
                queue.waker.take()
            };
            waker.into_iter().for_each(Waker::wake);
        }
    }
}

fn push(queue: &Mutex<Queue>, received: ReceivedMessage) {
    let waker = {
        let mut queue = lock(queue);
        if queue.messages.len() >= MAX_WAITING_MESSAGES {
            queue.messages.pop_front();
            queue.missed = queue.missed.saturating_add(1);
        }
        queue.messages.push_back(received);
        queue.waker.take()
    };
    waker.into_iter().for_each(Waker::wake);
}

impl Handle {
    /// Joins a topic and takes its messages, until the subscription is dropped. Several
    /// subscriptions of one topic each get every message.
    pub async fn subscribe(&self, topic: &Topic) -> Result<Subscription, JoinError> {
        let queue = self.core.subscriptions.add(topic);
        let subscription = Subscription {
            topic: topic.clone(),
            queue,
            subscriptions: Arc::clone(&self.core.subscriptions),
            inbox: Arc::clone(&self.core.inbox),
        };
        let command = GossipCommand::Subscribe(topic.clone());
        let reply = self.gossip(command).await.map_err(JoinError::Request)?;
        let GossipReply::Subscribed(result) = reply else {
            return Err(JoinError::Request(unexpected(&reply)));
        };
        result.map(|_| subscription).map_err(JoinError::Refused)
    }

    /// Publishes a message, in a topic that is joined or not. Says its id, and for how many peers
    /// it was queued.
    pub async fn publish(&self, topic: &Topic, data: Bytes) -> Result<Published, SendError> {
        let command = GossipCommand::Publish { topic: topic.clone(), data };
        let reply = self.gossip(command).await.map_err(SendError::Request)?;
        let GossipReply::Published(result) = reply else {
            return Err(SendError::Request(unexpected(&reply)));
        };
        result.map_err(SendError::Refused)
    }

    /// Says what to do with a message that waits for that. Whether it still waited.
    pub async fn report(&self, id: MessageId, acceptance: Acceptance) -> Result<bool, GossipError> {
        self.gossip_order(GossipCommand::Report { id, acceptance }).await
    }

    /// The topics that are joined.
    pub async fn topics(&self) -> Result<Vec<Topic>, GossipError> {
        let reply = self.gossip(GossipCommand::Topics).await.map_err(GossipError::Request)?;
        let GossipReply::Topics(topics) = reply else {
            return Err(GossipError::Request(unexpected(&reply)));
        };
        Ok(topics)
    }

    /// The connected peers that are in a topic.
    pub async fn topic_peers(&self, topic: &Topic) -> Result<Vec<PeerId>, GossipError> {
        self.gossip_peers(GossipCommand::TopicPeers(topic.clone())).await
    }

    /// The peers of our mesh of a topic.
    pub async fn mesh_peers(&self, topic: &Topic) -> Result<Vec<PeerId>, GossipError> {
        self.gossip_peers(GossipCommand::MeshPeers(topic.clone())).await
    }

    /// What a peer's score is made of, if anything is known of it.
    pub async fn score(&self, peer: PeerId) -> Result<Option<ScoreBreakdown>, GossipError> {
        let reply = self.gossip(GossipCommand::Score(peer)).await.map_err(GossipError::Request)?;
        let GossipReply::Score(score) = reply else {
            return Err(GossipError::Request(unexpected(&reply)));
        };
        Ok(score)
    }

    /// Scores a topic by these numbers from now on.
    pub async fn set_topic_params(
        &self,
        topic: &Topic,
        params: TopicScoreParams,
    ) -> Result<(), GossipError> {
        let command = GossipCommand::SetTopicParams { topic: topic.clone(), params };
        self.gossip_order(command).await.map(|_| ())
    }

    /// Says what the application thinks of a peer.
    pub async fn set_application_score(&self, peer: PeerId, score: f64) -> Result<(), GossipError> {
        self.gossip_order(GossipCommand::SetApplicationScore { peer, score }).await.map(|_| ())
    }

    /// Exchanges every message with a peer directly, and keeps it connected.
    pub async fn add_direct_peer(
        &self,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
    ) -> Result<(), GossipError> {
        self.gossip_order(GossipCommand::AddDirectPeer { peer, addresses }).await.map(|_| ())
    }

    /// Does so no longer. Whether it did.
    pub async fn remove_direct_peer(&self, peer: PeerId) -> Result<bool, GossipError> {
        self.gossip_order(GossipCommand::RemoveDirectPeer(peer)).await
    }

    /// Asks anything of gossip.
    pub async fn gossip(&self, command: GossipCommand) -> Result<GossipReply, RequestError> {
        let answer = self.request(Command::Gossip(command)).await?;
        let Answer::Gossip(reply) = answer else { return Err(unexpected(&answer)) };
        Ok(reply)
    }

    async fn gossip_order(&self, command: GossipCommand) -> Result<bool, GossipError> {
        let reply = self.gossip(command).await.map_err(GossipError::Request)?;
        if let GossipReply::Refused(why) = reply {
            return Err(GossipError::Refused(why));
        }
        let GossipReply::Done(done) = reply else {
            return Err(GossipError::Request(unexpected(&reply)));
        };
        Ok(done)
    }

    async fn gossip_peers(&self, command: GossipCommand) -> Result<Vec<PeerId>, GossipError> {
        let reply = self.gossip(command).await.map_err(GossipError::Request)?;
        let GossipReply::Peers(peers) = reply else {
            return Err(GossipError::Request(unexpected(&reply)));
        };
        Ok(peers)
    }
}

impl core::fmt::Display for JoinError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            JoinError::Request(error) => write!(f, "{error}"),
            JoinError::Refused(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for JoinError {}

impl core::fmt::Display for SendError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            SendError::Request(error) => write!(f, "{error}"),
            SendError::Refused(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for SendError {}

impl core::fmt::Display for GossipError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            GossipError::Request(error) => write!(f, "{error}"),
            GossipError::Refused(why) => f.write_str(why),
        }
    }
}

impl core::error::Error for GossipError {}

#[cfg(test)]
mod tests {
    use sanspeer_core::identity::Identity;
    use sanspeer_core::rng::Seed;

    use super::*;

    fn message(topic: &Topic, number: u64) -> NodeEvent {
        let source = Identity::ed25519(&Seed::from_u64(1)).peer_id();
        NodeEvent::Gossip(GossipEvent::Message {
            propagation_source: source,
            message: Message {
                id: MessageId::new(&number.to_be_bytes()).expect("a short id"),
                source: Some(source),
                sequence_number: Some(number),
                topic: topic.clone(),
                data: Bytes::new(),
            },
            needs_verdict: false,
        })
    }

    fn subscription(subscriptions: &Arc<Subscriptions>, topic: &Topic) -> Subscription {
        Subscription {
            topic: topic.clone(),
            queue: subscriptions.add(topic),
            subscriptions: Arc::clone(subscriptions),
            inbox: Arc::default(),
        }
    }

    #[test]
    fn a_stalled_subscriber_loses_its_own_and_is_told_how_many() {
        let cx = Context::from_waker(Waker::noop());
        let topic = Topic::new("blocks").expect("a valid topic");
        let subscriptions = Arc::<Subscriptions>::default();
        let (mut stalled, mut reading) =
            (subscription(&subscriptions, &topic), subscription(&subscriptions, &topic));
        let most = MAX_WAITING_MESSAGES as u64;
        for number in 0..most + 3 {
            subscriptions.hear(&message(&topic, number));
            let Poll::Ready(Some(Delivery::Message(received))) = reading.poll_delivery(&cx) else {
                panic!("nothing was lost for one that reads");
            };
            assert_eq!(received.message.sequence_number, Some(number));
        }
        assert_eq!(stalled.poll_delivery(&cx), Poll::Ready(Some(Delivery::Missed(3))));
        let left = core::iter::from_fn(|| match stalled.poll_delivery(&cx) {
            Poll::Ready(Some(Delivery::Message(received))) => received.message.sequence_number,
            Poll::Ready(_) | Poll::Pending => None,
        });
        assert_eq!(left.collect::<Vec<_>>(), (3..most + 3).collect::<Vec<_>>());
    }

    #[test]
    fn a_topic_is_left_with_its_last_subscription() {
        let topic = Topic::new("blocks").expect("a valid topic");
        let subscriptions = Arc::<Subscriptions>::default();
        let first = subscription(&subscriptions, &topic);
        let second = subscription(&subscriptions, &topic);
        let inbox = Arc::clone(&second.inbox);
        drop(first);
        assert!(subscriptions.has(&topic));
        drop(second);
        assert!(!subscriptions.has(&topic));
        let request = inbox.pop_request().map(|request| request.command);
        assert_eq!(request, Some(Command::Gossip(GossipCommand::Unsubscribe(topic))));
    }

    #[test]
    fn a_node_that_is_gone_ends_its_subscriptions() {
        let cx = Context::from_waker(Waker::noop());
        let topic = Topic::new("blocks").expect("a valid topic");
        let subscriptions = Arc::<Subscriptions>::default();
        let mut before = subscription(&subscriptions, &topic);
        subscriptions.close();
        assert_eq!(before.poll_delivery(&cx), Poll::Ready(None));
        assert_eq!(subscription(&subscriptions, &topic).poll_delivery(&cx), Poll::Ready(None));
    }
}
