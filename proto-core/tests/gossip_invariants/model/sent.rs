//! Looks at every frame that leaves.

use core::time::Duration;
use std::collections::BTreeSet;

use bytes::Bytes;
use sanspeer_core::connection::SEND_CREDIT_BYTES;
use sanspeer_core::gossip::{GossipVersion, Rpc, RpcLimits, Topic, WireMessage};
use sanspeer_core::mailbox::Frame;
use sanspeer_core::node::StreamRef;

use super::rig::Rig;
use super::said::joined;
use super::samples;

/// A stream on which the machine speaks.
pub struct Spoken {
    pub peer: usize,
    pub version: GossipVersion,
    /// Bytes whose credit did not come back.
    pub under_way: u64,
    /// Topics that we said that we are in.
    pub told: BTreeSet<Topic>,
    /// Whether anything was said.
    pub begun: bool,
}

impl Spoken {
    pub fn has_credit(&self) -> bool {
        self.under_way < SEND_CREDIT_BYTES as u64
    }
}

impl Rig {
    pub(super) fn sent(&mut self, stream: StreamRef, frame: &Frame) {
        let spoken = self.outbound.get_mut(&stream).expect("a stream of ours that is open");
        assert!(spoken.has_credit(), "{} bytes are under way", spoken.under_way);
        spoken.under_way += frame.len() as u64;
        let bytes = Bytes::from(joined(frame));
        let limits = RpcLimits { max_frame_bytes: usize::MAX, ..RpcLimits::default() };
        let rpc = Rpc::decode(&bytes, &limits).expect("what we say ourselves");
        assert_eq!(rpc.invalid, 0);
        if rpc.messages.is_empty() {
            assert!(bytes.len() <= self.config.sent.max_control_bytes, "{} bytes", bytes.len());
        }
        for (subscribe, topic) in &rpc.subscriptions {
            let changed = match subscribe {
                true => spoken.told.insert(topic.clone()),
                false => spoken.told.remove(&topic),
            };
            assert!(changed, "{topic} was told before");
        }
        if rpc.control.extensions.is_some() {
            assert!(spoken.version.has_extensions() && !spoken.begun, "extensions come first");
        }
        spoken.begun = true;
        let (peer, version) = (spoken.peer, spoken.version);
        self.sent_mesh(peer, version, &rpc);
        self.sent_gossip(peer, version, &rpc);
        for message in &rpc.messages {
            self.sent_message(peer, &message);
        }
    }

    fn sent_mesh(&mut self, peer: usize, version: GossipVersion, rpc: &Rpc) {
        let id = samples::peer(peer);
        for topic in &rpc.control.graft {
            assert!(version.has_mesh());
            assert!(self.gossip.mesh_peers(&topic).contains(&id), "{peer} is not in {topic}");
            if let Some(until) = self.ledger.backoffs.get(&(peer, topic.clone())) {
                assert!(*until <= self.now, "{peer} is backed off in {topic} until {until:?}");
            }
        }
        for prune in &rpc.control.prune {
            assert!(version.has_mesh());
            assert!(!self.gossip.mesh_peers(&prune.topic).contains(&id));
            let plain = !version.has_backoff();
            assert_eq!(prune.backoff_secs.is_none(), plain, "{version:?}");
            assert!(!plain || prune.peers.is_empty(), "{version:?}");
            let named: Vec<_> = prune.peers.iter().map(|info| info.peer).collect();
            assert!(named.is_empty() || self.config.exchange_peers);
            assert!(named.len() <= self.config.exchanged_peers && !named.contains(&id));
            // It counts from when it hears of it.
            let time = Duration::from_secs(prune.backoff_secs.unwrap_or_default());
            self.ledger.back_off(peer, &prune.topic, self.now, time);
        }
    }

    fn sent_gossip(&mut self, peer: usize, version: GossipVersion, rpc: &Rpc) {
        let (most, beats) = (self.config.max_ihave_ids, self.ledger.heartbeats);
        let Some(known) = self.ledger.peers.get_mut(&peer) else { panic!("{peer} is gone") };
        for entry in &rpc.control.ihave {
            assert!(version.has_mesh());
            let heard = known.heard.entry(entry.topic.clone()).or_default();
            *heard += entry.ids.len();
            assert!(*heard <= most, "{heard} ids in an interval");
            for id in &entry.ids {
                assert!(self.ledger.messages.get(&id).is_some_and(|it| it.approvals > 0));
            }
        }
        known.asked += rpc.control.iwant.len();
        let intervals = usize::try_from(beats - known.since_heartbeat + 1).expect("few");
        assert!(known.asked <= most * intervals, "{} ids in {intervals} intervals", known.asked);
        for id in &rpc.control.iwant {
            assert!(known.offered.contains(&id), "{peer} never said that it has {id}");
        }
        for id in &rpc.control.idontwant {
            assert!(version.has_dont_want());
            let record = self.ledger.messages.get(&id).expect("a message that came");
            let long = |encoded: &Bytes| encoded.len() >= self.config.dont_want_min_bytes;
            assert!(record.genuine.iter().any(long));
        }
    }

    fn sent_message(&mut self, peer: usize, message: &WireMessage) {
        let id = (self.config.message_id)(message);
        let record = self.ledger.messages.get_mut(&id).expect("a message that there is");
        assert!(record.approvals > 0, "{id} goes on before it is accepted");
        if record.ours && !record.genuine.contains(&message.encoded) {
            assert!(samples::is_valid(self.config.signatures, message), "what we sign holds");
            record.genuine.insert(message.encoded.clone());
        }
        assert!(record.genuine.contains(&message.encoded), "{id} goes on as it came");
        assert!(samples::is_valid(self.config.signatures, message));
        let limit = 1 + u32::from(self.config.cache.max_retransmissions);
        let most = record.approvals.saturating_mul(limit);
        let known = self.ledger.peers.get_mut(&peer).expect("a connected peer");
        let copies = known.copies.entry(id.clone()).or_default();
        *copies += 1;
        assert!(*copies <= most, "{copies} copies of {id}");
        if self.config.signatures.signs() && !known.wanted.contains(&id) {
            assert_ne!(message.source(), Ok(Some(samples::peer(peer))), "to its author");
        }
    }
}
