//! What leaves: control and messages go into the queue of each peer, and from there as its stream's
//! credit allows.

use super::machine::Gossip;
use super::message::WireMessage;
use super::message_id::MessageId;
use super::peers::{Direction, Outbound, Peer, PeerKey};
use super::rpc::Outgoing;
use super::send_queue::Lane;
use super::topic::Topic;
use crate::mailbox::Frame;
use crate::node::{ProtocolOutput, StreamRef};
use crate::time::Timestamp;

/// A message that goes to several peers: its frame is made once.
pub(super) struct Parcel {
    pub(super) id: MessageId,
    pub(super) frame: Frame,
    pub(super) lane: Lane,
}

impl Parcel {
    pub(super) fn new(id: MessageId, message: &WireMessage, lane: Lane) -> Self {
        Parcel { id, frame: super::rpc::publish_frame(message), lane }
    }
}

impl Gossip {
    /// Queues a message for a peer. False if it has no stream, does not want it, or has no room.
    pub(super) fn enqueue(&mut self, now: Timestamp, key: PeerKey, parcel: &Parcel) -> bool {
        let limits = match parcel.lane {
            Lane::Publish => self.config.publish_queue,
            Lane::Forward => self.config.forward_queue,
        };
        let Some(peer) = self.peers.get_mut(key) else { return false };
        if peer.version().is_none() || peer.dont_want.contains(&parcel.id) {
            return false;
        }
        let (id, frame) = (parcel.id.clone(), parcel.frame.clone());
        let queued = peer.queue.push(now, parcel.lane, limits, id, frame);
        self.dirty.insert(key);
        queued
    }

    /// Credit of a stream came back.
    pub(super) fn handle_credit(&mut self, stream: StreamRef, bytes: u64) {
        let Some((key, Direction::Outbound)) = self.peers.stream(stream) else { return };
        if let Some(peer) = self.peers.get_mut(key) {
            peer.queue.credit(bytes);
            self.dirty.insert(key);
        }
    }

    /// Sends what can be sent.
    pub(super) fn flush(&mut self) {
        while let Some(key) = self.dirty.pop_first() {
            self.flush_peer(key);
        }
    }

    fn flush_peer(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let Outbound::Open(stream, _) = peer.outbound else { return };
        loop {
            let Some(peer) = self.peers.get_mut(key) else { return };
            // Control is encoded when it can go, so that what is outdated meanwhile never does.
            if peer.queue.has_credit() && !peer.queue.has_control() {
                self.encode_control(key);
            }
            if !self.send_next(key, stream) {
                return self.finish_peer(key);
            }
        }
    }

    fn send_next(&mut self, key: PeerKey, stream: StreamRef) -> bool {
        let Some(frame) = self.peers.get_mut(key).and_then(Peer::next_frame) else {
            return false;
        };
        self.output(ProtocolOutput::Send { stream, frame });
        true
    }

    fn encode_control(&mut self, key: PeerKey) {
        let subscriptions = self.untold_topics(key);
        let Some(peer) = self.peers.get_mut(key) else { return };
        if subscriptions.is_empty() && peer.backlog.is_empty() {
            return;
        }
        let (id, control) = (peer.id, peer.backlog.take());
        self.begin_backoffs(id, &control.prune);
        let Some(peer) = self.peers.get_mut(key) else { return };
        let outgoing = Outgoing { subscriptions, control, ..Outgoing::default() };
        peer.queue.push_control(outgoing.frames(&self.config.sent));
    }

    /// The topics that we joined or left since the peer was told last; it counts as told now.
    fn untold_topics(&mut self, key: PeerKey) -> Vec<(bool, Topic)> {
        let Some(peer) = self.peers.get_mut(key) else { return Vec::new() };
        if !core::mem::take(&mut peer.tell_topics) {
            return Vec::new();
        }
        let left = peer.told.iter().filter(|topic| !self.topics.is_joined(topic));
        let mut changes: Vec<(bool, Topic)> = left.map(|topic| (false, topic.clone())).collect();
        let joined = self.topics.joined().filter(|topic| !peer.told.contains(*topic));
        changes.extend(joined.map(|topic| (true, topic.clone())));
        for (subscribe, topic) in &changes {
            if *subscribe {
                peer.told.insert(topic.clone());
            } else {
                peer.told.remove(topic);
            }
        }
        changes
    }
}
