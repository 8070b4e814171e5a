//! [`GossipCommand`] and [`AddedGossip`]: gossip as a protocol that is added to a node, whose
//! commands and events are bytes.

use bytes::Bytes;
use libp2p_identity::PeerId;
use multiaddr::Multiaddr;
use serde::{Deserialize, Serialize};

use super::events::GossipEvent;
use super::machine::Gossip;
use super::message_id::MessageId;
use super::publish::{PublishError, Published};
use super::score::{ScoreBreakdown, TopicScoreParams};
use super::subscriptions::SubscribeError;
use super::topic::Topic;
use super::validation::Acceptance;
use crate::node::{Accepted, Protocol, ProtocolInput, ProtocolOutput};
use crate::time::{Deadline, Timestamp};

/// What an application can ask of gossip. In bytes it is encoded with postcard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum GossipCommand {
    /// [`Gossip::subscribe`]; answered by [`GossipReply::Subscribed`].
    Subscribe(Topic),
    /// [`Gossip::unsubscribe`]; answered by [`GossipReply::Done`].
    Unsubscribe(Topic),
    /// [`Gossip::publish`]; answered by [`GossipReply::Published`].
    Publish {
        /// The topic.
        topic: Topic,
        /// The message.
        data: Bytes,
    },
    /// [`Gossip::report`]; answered by [`GossipReply::Done`].
    Report {
        /// The message.
        id: MessageId,
        /// The verdict.
        acceptance: Acceptance,
    },
    /// [`Gossip::topics`]; answered by [`GossipReply::Topics`].
    Topics,
    /// [`Gossip::topic_peers`]; answered by [`GossipReply::Peers`].
    TopicPeers(Topic),
    /// [`Gossip::mesh_peers`]; answered by [`GossipReply::Peers`].
    MeshPeers(Topic),
    /// [`Gossip::score`]; answered by [`GossipReply::Score`].
    Score(PeerId),
    /// [`Gossip::set_topic_params`]; answered by [`GossipReply::Done`].
    SetTopicParams {
        /// The topic.
        topic: Topic,
        /// Its numbers.
        params: TopicScoreParams,
    },
    /// [`Gossip::set_application_score`]; answered by [`GossipReply::Done`].
    SetApplicationScore {
        /// The peer.
        peer: PeerId,
        /// What is thought of it.
        score: f64,
    },
    /// [`Gossip::add_direct_peer`]; answered by [`GossipReply::Done`].
    AddDirectPeer {
        /// The peer.
        peer: PeerId,
        /// Where it may be found.
        addresses: Vec<Multiaddr>,
    },
    /// [`Gossip::remove_direct_peer`]; answered by [`GossipReply::Done`].
    RemoveDirectPeer(PeerId),
    /// [`Gossip::set_unix_time`]; answered by [`GossipReply::Done`].
    SetUnixTime(u64),
    /// [`Gossip::set_peer_record`]; answered by [`GossipReply::Done`].
    SetPeerRecord {
        /// The peer.
        peer: PeerId,
        /// Its own signed record.
        envelope: Bytes,
    },
    /// [`Gossip::set_unix_nanoseconds`]; answered by [`GossipReply::Done`].
    SetUnixNanoseconds(u64),
    /// [`Gossip::finish`]; answered by [`GossipReply::Unfinished`].
    Finish,
}

/// What a [`GossipCommand`] led to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum GossipReply {
    /// Whether it changed anything.
    Done(bool),
    /// Whether the topic is a new one.
    Subscribed(Result<bool, SubscribeError>),
    /// For whom a message was queued.
    Published(Result<Published, PublishError>),
    /// Topics.
    Topics(Vec<Topic>),
    /// Peers.
    Peers(Vec<PeerId>),
    /// A score, if anything is known of the peer.
    Score(Option<ScoreBreakdown>),
    /// It was refused, in words.
    Refused(String),
    /// The bytes are no command.
    Malformed,
    /// So many of our streams are not over.
    Unfinished(usize),
}

impl Gossip {
    /// Does what a command says.
    pub fn run(&mut self, now: Timestamp, command: GossipCommand) -> GossipReply {
        match command {
            GossipCommand::Subscribe(topic) => GossipReply::Subscribed(self.subscribe(now, &topic)),
            GossipCommand::Unsubscribe(topic) => GossipReply::Done(self.unsubscribe(now, &topic)),
            GossipCommand::Publish { topic, data } => {
                GossipReply::Published(self.publish(now, &topic, data))
            }
            GossipCommand::Report { id, acceptance } => {
                GossipReply::Done(self.report(now, &id, acceptance))
            }
            GossipCommand::Topics => GossipReply::Topics(self.topics()),
            GossipCommand::TopicPeers(topic) => GossipReply::Peers(self.topic_peers(&topic)),
            GossipCommand::MeshPeers(topic) => GossipReply::Peers(self.mesh_peers(&topic)),
            GossipCommand::Score(peer) => GossipReply::Score(self.score(&peer)),
            GossipCommand::SetTopicParams { topic, params } => {
                done_or_refused(self.set_topic_params(now, &topic, params))
            }
            GossipCommand::SetApplicationScore { peer, score } => {
                done_or_refused(self.set_application_score(now, &peer, score))
            }
            GossipCommand::AddDirectPeer { peer, addresses } => {
                self.add_direct_peer(now, peer, addresses);
                GossipReply::Done(true)
            }
            GossipCommand::RemoveDirectPeer(peer) => {
                GossipReply::Done(self.remove_direct_peer(now, &peer))
            }
            GossipCommand::SetUnixTime(seconds) => {
                self.set_unix_time(now, seconds);
                GossipReply::Done(true)
            }
            GossipCommand::SetPeerRecord { peer, envelope } => {
                GossipReply::Done(self.set_peer_record(&peer, envelope))
            }
            GossipCommand::SetUnixNanoseconds(nanoseconds) => {
                self.set_unix_nanoseconds(now, nanoseconds);
                GossipReply::Done(true)
            }
            GossipCommand::Finish => GossipReply::Unfinished(self.finish(now)),
        }
    }

    pub(super) fn run_encoded(&mut self, now: Timestamp, command: &[u8]) -> Bytes {
        let reply = match GossipCommand::decode(command) {
            Some(command) => self.run(now, command),
            None => GossipReply::Malformed,
        };
        encode(&reply)
    }
}

fn done_or_refused<E: core::fmt::Display>(result: Result<(), E>) -> GossipReply {
    match result {
        Ok(()) => GossipReply::Done(true),
        Err(error) => GossipReply::Refused(error.to_string()),
    }
}

/// Encodes what serializes always: there are no maps without a length and no formats of others in
/// it. Empty if it did not.
fn encode(value: &impl Serialize) -> Bytes {
    postcard::to_stdvec(value).unwrap_or_default().into()
}

impl GossipCommand {
    /// The bytes of a command.
    pub fn encode(&self) -> Bytes {
        encode(self)
    }

    /// The command in these bytes, if it is one.
    pub fn decode(bytes: &[u8]) -> Option<GossipCommand> {
        postcard::from_bytes(bytes).ok()
    }
}

impl GossipReply {
    /// The reply in these bytes, if it is one.
    pub fn decode(bytes: &[u8]) -> Option<GossipReply> {
        postcard::from_bytes(bytes).ok()
    }
}

impl GossipEvent {
    /// The bytes of an event.
    pub fn encode(&self) -> Bytes {
        encode(self)
    }

    /// The event in these bytes, if it is one.
    pub fn decode(bytes: &[u8]) -> Option<GossipEvent> {
        postcard::from_bytes(bytes).ok()
    }
}

/// A [`Gossip`] that is added to a node by [`crate::node::Node::add_protocol`]: what it tells are
/// [`ProtocolOutput::Event`]s, each an encoded [`GossipEvent`].
pub struct AddedGossip(pub Gossip);

impl Protocol for AddedGossip {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn accepts(&self) -> Vec<Accepted> {
        self.0.accepts()
    }

    fn handle(&mut self, now: Timestamp, input: ProtocolInput) {
        self.0.handle(now, input);
    }

    fn poll(&mut self) -> Option<ProtocolOutput> {
        self.0
            .poll()
            .or_else(|| self.0.poll_event().map(|event| ProtocolOutput::Event(event.encode())))
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.0.poll_timeout()
    }
}
