//! What peers send: a frame is taken apart, and each message in it goes its way (the hot path).
//!
//! A message that was seen ends at the seen cache, before anything is computed. One that is new is
//! verified, then decided on, then passed on, byte for byte as it came.

use bytes::Bytes;

use super::events::GossipEvent;
use super::machine::Gossip;
use super::message::{Message, WireMessage};
use super::message_id::MessageId;
use super::outbox::Parcel;
use super::peers::{Direction, PeerKey};
use super::rpc::{Extensions, Rpc};
use super::seen_cache::{Sight, Verdict, Verified};
use super::send_queue::Lane;
use super::topic::Topic;
use crate::node::StreamRef;
use crate::time::Timestamp;

impl Gossip {
    pub(super) fn handle_frame(&mut self, now: Timestamp, stream: StreamRef, frame: &Bytes) {
        let Some((key, Direction::Inbound)) = self.peers.stream(stream) else { return };
        let rpc = match Rpc::decode(frame, &self.config.received) {
            Ok(rpc) => rpc,
            Err(error) => {
                self.broke_protocol(now, key, format!("gossip: {error}"));
                return self.reset(stream);
            }
        };
        self.handle_subscriptions(now, key, &rpc.subscriptions);
        if self.is_graylisted(key) {
            return;
        }
        self.handle_extensions(now, key, rpc.control.extensions);
        self.handle_dont_want(key, &rpc.control.idontwant);
        for message in &rpc.messages {
            self.handle_message(now, key, stream, message);
        }
        self.handle_ihave(now, key, &rpc.control.ihave);
        self.handle_iwant(now, key, &rpc.control.iwant);
        self.handle_graft(now, key, &rpc.control.graft);
        self.handle_prune(now, key, &rpc.control.prune);
    }

    /// We have no extensions, so that those of others mean nothing; to tell them twice is forbidden
    /// (gossipsub v1.3, The Extensions Control Message).
    fn handle_extensions(&mut self, now: Timestamp, key: PeerKey, extensions: Option<Extensions>) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        if extensions.is_some() && core::mem::replace(&mut peer.extensions, true) {
            self.misbehaved(now, key, 1);
        }
    }

    pub(super) fn message_id(&self, message: &WireMessage) -> MessageId {
        let own = self.settings.get(&message.topic).and_then(|settings| settings.message_id);
        own.unwrap_or(self.config.message_id)(message)
    }

    fn handle_message(
        &mut self,
        now: Timestamp,
        key: PeerKey,
        stream: StreamRef,
        message: WireMessage,
    ) {
        // Nothing is computed or remembered of topics that we are not in.
        if !self.topics.is_joined(&message.topic) {
            return;
        }
        if self.config.signatures.check_fields(&message).is_err() {
            return self.invalid(now, key, &message.topic);
        }
        let id = self.message_id(&message);
        let topic = message.topic.clone();
        let waits = self.wait_for_verdict(&topic).is_some();
        if waits && self.pending.is_full() && !self.seen.knows(now, id.as_bytes()) {
            return self.promises.fulfil(&id);
        }
        if !self.config.signatures.signs() {
            return match self.seen.see(now, &id, key) {
                Sight::New => self.genuine(now, &id, message, vec![key]),
                Sight::Duplicate(verdict) => self.handle_copy(now, key, &id, &topic, verdict),
                Sight::Shares | Sight::Waits | Sight::Full => {}
            };
        }
        match self.seen.check(now, &id, message, key) {
            Sight::New => self.verify(now, stream.connection, id),
            Sight::Duplicate(verdict) => self.handle_copy(now, key, &id, &topic, verdict),
            // Nobody broke a promise because we have no room.
            Sight::Full => self.promises.fulfil(&id),
            Sight::Shares | Sight::Waits => {}
        }
    }

    /// A copy of a message that was seen.
    fn handle_copy(
        &mut self,
        now: Timestamp,
        key: PeerKey,
        id: &MessageId,
        topic: &Topic,
        verdict: Verdict,
    ) {
        let Some(peer) = self.peers.id(key) else { return };
        match verdict {
            Verdict::Pending | Verdict::Accepted => self.scores.copy_arrived(now, id, &peer),
            Verdict::Rejected => self.invalid(now, key, topic),
            Verdict::Ignored => {}
        }
    }

    /// A peer sent a message that nobody should have passed on.
    fn invalid(&mut self, now: Timestamp, key: PeerKey, topic: &Topic) {
        if let Some(peer) = self.peers.id(key) {
            self.scores.invalid_message(now, peer, topic);
        }
    }

    /// A verification is over. Whether another copy of this id is to be verified.
    pub(super) fn verified(&mut self, now: Timestamp, id: &MessageId, valid: bool) -> bool {
        match self.seen.verified(id, valid) {
            Verified::Genuine { message, senders, others: _ } => {
                self.genuine(now, id, message, senders);
                false
            }
            Verified::Forged { message, senders, next } => {
                senders.into_iter().for_each(|key| self.invalid(now, key, &message.topic));
                next
            }
            Verified::Unknown => false,
        }
    }

    /// A message is new and its author wrote it.
    fn genuine(
        &mut self,
        now: Timestamp,
        id: &MessageId,
        message: WireMessage,
        senders: Vec<PeerKey>,
    ) {
        self.promises.fulfil(id);
        let message = message.into_kept();
        let proven = self.config.signatures.signs();
        let source = message.source().ok().flatten().filter(|_| proven);
        // We may have left while it was verified. One of our own comes from a life before this one.
        let ours = source == Some(self.peer_id());
        if ours || !self.topics.is_joined(&message.topic) {
            self.seen.set_verdict(now, id, Verdict::Ignored);
            return;
        }
        // It was forgotten as seen before the application decided on it.
        if self.pending.contains(id) {
            let copies = senders.iter().filter_map(|key| self.peers.id(*key));
            return copies.for_each(|peer| self.scores.copy_arrived(now, id, &peer));
        }
        let mut brought = senders.iter().filter_map(|key| self.peers.id(*key));
        let first = brought.next();
        let copies: Vec<_> = brought.collect();
        if let Some(first) = first {
            self.scores.message_arrived(now, id, &message.topic, first);
            copies.iter().for_each(|peer| self.scores.copy_arrived(now, id, peer));
        }
        let event = Message {
            id: id.clone(),
            source,
            sequence_number: message.sequence_number().filter(|_| proven),
            topic: message.topic.clone(),
            data: message.data.clone(),
        };
        let wait = self.wait_for_verdict(&message.topic);
        // Whoever sent it may be gone.
        if let Some(propagation_source) = first.or(source) {
            let needs_verdict = wait.is_some();
            self.events.push_back(GossipEvent::Message {
                propagation_source,
                message: event,
                needs_verdict,
            });
        }
        let announced_from = match wait {
            None => self.config.dont_want_at_once_bytes,
            Some(_) => self.config.dont_want_min_bytes,
        };
        if message.data.len() >= announced_from {
            self.announce(now, &message.topic, id, |key| senders.contains(&key));
        }
        match wait {
            None => self.accepted(now, id, message),
            Some(wait) => self.pending.insert(id.clone(), message, now.saturating_add(wait)),
        }
    }

    /// A message goes on.
    pub(super) fn accepted(&mut self, now: Timestamp, id: &MessageId, message: WireMessage) {
        let senders = self.seen.set_verdict(now, id, Verdict::Accepted).unwrap_or_default();
        self.scores.message_accepted(now, id);
        self.forward(now, id, &message, &senders);
        self.cache.put(id, message);
    }

    /// Passes a message on to the mesh, but not to its author or to those who sent it.
    fn forward(
        &mut self,
        now: Timestamp,
        id: &MessageId,
        message: &WireMessage,
        senders: &[PeerKey],
    ) {
        let author = message.source().ok().flatten().and_then(|peer| self.peers.key(&peer));
        let mut peers = self.always_sent_to(&message.topic);
        peers.extend(self.topics.mesh(&message.topic).into_iter().flatten());
        let parcel = Parcel::new(id.clone(), message, Lane::Forward);
        for key in peers {
            if Some(key) != author && !senders.contains(&key) {
                self.enqueue(now, key, &parcel);
            }
        }
    }
}
