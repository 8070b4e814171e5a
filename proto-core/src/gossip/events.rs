//! [`GossipEvent`]: what [`super::Gossip`] tells its owner.

use libp2p_identity::PeerId;
use serde::{Deserialize, Serialize};

use super::message::Message;
use super::send_queue::Lost;
use super::topic::Topic;
use super::version::GossipVersion;

/// What [`super::Gossip`] tells its owner. Events of one peer are in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GossipEvent {
    /// A message of a topic that we are in, once.
    Message {
        /// Who sent it to us first; its author is in the message. If those who sent it left while its
        /// signature was checked, the author is named here too.
        propagation_source: PeerId,
        /// The message.
        message: Message,
        /// Whether it goes no further before [`super::Gossip::report`] accepts it.
        needs_verdict: bool,
    },
    /// A peer is in a topic.
    Subscribed {
        /// The peer.
        peer: PeerId,
        /// The topic.
        topic: Topic,
    },
    /// A peer is in a topic no longer.
    Unsubscribed {
        /// The peer.
        peer: PeerId,
        /// The topic.
        topic: Topic,
    },
    /// A peer speaks the protocol, with this version; again if that changes.
    PeerSpeaks {
        /// The peer.
        peer: PeerId,
        /// What was agreed on.
        version: GossipVersion,
    },
    /// A peer speaks none of the protocol ids.
    NotSupported {
        /// The peer.
        peer: PeerId,
    },
    /// A peer is in our mesh now.
    Grafted {
        /// The peer.
        peer: PeerId,
        /// The topic.
        topic: Topic,
    },
    /// A peer is in our mesh no longer.
    Pruned {
        /// The peer.
        peer: PeerId,
        /// The topic.
        topic: Topic,
    },
    /// A peer did not take what was for it, and lost it. Told once a heartbeat.
    SlowPeer {
        /// The peer.
        peer: PeerId,
        /// What it lost since the last heartbeat.
        lost: Lost,
    },
}
