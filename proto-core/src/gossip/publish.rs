//! Publishing: our own messages, and whom they go to.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::machine::Gossip;
use super::message::WireMessage;
use super::message_id::MessageId;
use super::outbox::Parcel;
use super::peers::PeerKey;
use super::random;
use super::send_queue::Lane;
use super::signature::SignError;
use super::topic::Topic;
use super::topics::Fanout;
use crate::time::Timestamp;

/// What came of publishing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The message's id.
    pub id: MessageId,
    /// For how many peers it was queued; none, if all that it should go to said that they have it.
    /// Whether they get it is shown by [`super::GossipEvent::SlowPeer`] alone.
    pub queued_for: usize,
}

/// Why a message was not published. Nothing is remembered of it then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PublishError {
    /// Its data is longer than [`super::GossipConfig::max_message_bytes`].
    TooLarge {
        /// Its length, in bytes.
        bytes: usize,
        /// The limit, in bytes.
        max: usize,
    },
    /// A message with this id was seen.
    Duplicate(MessageId),
    /// Nobody could be sent to.
    NotEnoughPeers {
        /// So many connected peers are in the topic.
        subscribed: usize,
    },
    /// The queues of all peers that want it are full.
    QueuesFull {
        /// How many these are.
        peers: usize,
    },
    /// The key could not sign.
    Sign(SignError),
}

impl Gossip {
    /// Publishes a message. It goes to the peers of the topic, whether we are in it or not, and is
    /// no event of ours.
    pub fn publish(
        &mut self,
        now: Timestamp,
        topic: &Topic,
        data: Bytes,
    ) -> Result<Published, PublishError> {
        let now = self.advance(now);
        let (bytes, max) = (data.len(), self.config.max_message_bytes);
        if bytes > max {
            return Err(PublishError::TooLarge { bytes, max });
        }
        let (id, message) = self.new_message(now, topic, data)?;
        let mut recipients = self.publish_to(now, topic);
        if recipients.is_empty() {
            let subscribed = self.topics.get(topic).map_or(0, |state| state.subscribers.len());
            return Err(PublishError::NotEnoughPeers { subscribed });
        }
        // Whoever does not want it has it.
        recipients.retain(|key| self.wants(*key, &id));
        let parcel = Parcel::new(id.clone(), &message, Lane::Publish);
        let peers = recipients.len();
        let queued_for =
            recipients.into_iter().filter(|key| self.enqueue(now, *key, &parcel)).count();
        if queued_for == 0 && peers > 0 {
            return Err(PublishError::QueuesFull { peers });
        }
        self.seen.publish(now, &id);
        self.cache.put(&id, message);
        self.flush();
        Ok(Published { id, queued_for })
    }

    fn wants(&self, key: PeerKey, id: &MessageId) -> bool {
        self.peers.get(key).is_some_and(|peer| !peer.dont_want.contains(id))
    }

    fn new_message(
        &mut self,
        now: Timestamp,
        topic: &Topic,
        data: Bytes,
    ) -> Result<(MessageId, WireMessage), PublishError> {
        let message = self
            .author
            .message(self.config.signatures, topic.clone(), data)
            .map_err(PublishError::Sign)?;
        let id = self.message_id(&message);
        // One that is only being verified under this id cannot be ours.
        match self.seen.verdict(now, id.as_bytes()) {
            Some(_) => Err(PublishError::Duplicate(id)),
            None => Ok((id, message)),
        }
    }

    /// Whom a message of ours goes to.
    fn publish_to(&mut self, now: Timestamp, topic: &Topic) -> BTreeSet<PeerKey> {
        let mut peers = self.always_sent_to(topic);
        if self.config.flood_publish {
            let all = self.subscribers_where(topic, |_| true);
            peers.extend(all.into_iter().filter(|key| self.may_publish_to(*key)));
            return peers;
        }
        let degree = self.mesh_params(topic).degree;
        if let Some(mesh) = self.topics.mesh(topic).cloned() {
            let missing = degree.saturating_sub(mesh.len());
            let mut others = self.fanout_candidates(topic, &mesh);
            random::keep(&mut self.rng, &mut others, missing);
            peers.extend(mesh);
            peers.extend(others);
        } else {
            peers.extend(self.fanout(now, topic, degree));
        }
        peers
    }

    /// The fanout of a topic that we are not in, made up to `degree`.
    fn fanout(&mut self, now: Timestamp, topic: &Topic, degree: usize) -> BTreeSet<PeerKey> {
        let Some(state) = self.topics.get_mut(topic) else { return BTreeSet::new() };
        let mut peers = state.fanout.take().map(|fanout| fanout.peers).unwrap_or_default();
        let missing = degree.saturating_sub(peers.len());
        let mut others = self.fanout_candidates(topic, &peers);
        random::keep(&mut self.rng, &mut others, missing);
        peers.extend(others);
        if !peers.is_empty()
            && let Some(state) = self.topics.get_mut(topic)
        {
            state.fanout = Some(Fanout { peers: peers.clone(), published_at: now });
        }
        peers
    }

    /// Peers of a topic that have a mesh and may be published to, without `except`.
    pub(super) fn fanout_candidates(
        &self,
        topic: &Topic,
        except: &BTreeSet<PeerKey>,
    ) -> Vec<PeerKey> {
        let mut candidates = self.subscribers_where(topic, |peer| peer.has_mesh() && !peer.direct);
        candidates.retain(|key| !except.contains(key) && self.may_publish_to(*key));
        candidates
    }

    /// Peers of a topic that get each of its messages although they are in no mesh: direct ones,
    /// and those that have none.
    pub(super) fn always_sent_to(&self, topic: &Topic) -> BTreeSet<PeerKey> {
        let peers = self.subscribers_where(topic, |peer| peer.direct || peer.is_floodsub());
        peers.into_iter().filter(|key| self.may_publish_to(*key)).collect()
    }

    fn subscribers_where(
        &self,
        topic: &Topic,
        wanted: impl Fn(&super::peers::Peer) -> bool,
    ) -> Vec<PeerKey> {
        let Some(state) = self.topics.get(topic) else { return Vec::new() };
        let peers = state.subscribers.iter().copied().filter(|key| {
            let peer = self.peers.get(*key);
            peer.is_some_and(|peer| peer.version().is_some() && wanted(peer))
        });
        peers.collect()
    }
}

impl core::fmt::Display for PublishError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            PublishError::TooLarge { bytes, max } => {
                write!(f, "message of {bytes} bytes, more than {max}")
            }
            PublishError::Duplicate(id) => write!(f, "message {id} was seen already"),
            PublishError::NotEnoughPeers { subscribed } => {
                write!(f, "nobody to send to, of {subscribed} peers in the topic")
            }
            PublishError::QueuesFull { peers } => {
                write!(f, "the queues of all {peers} peers that want it are full")
            }
            PublishError::Sign(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for PublishError {}
