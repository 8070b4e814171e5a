//! [`Packer`]: fills frames one after the other, each up to the limit.

use bytes::Bytes;
use prost::Message as _;

use super::super::message_id::MessageId;
use super::super::topic::Topic;
use super::encode::{Extensions, PeerInfo, Prune};
use super::limits::{RpcLimits, SendLimits};
use super::wire;
use crate::mailbox::Frame;
use crate::record::MAX_ENVELOPE_BYTES;
use crate::varint::encoded_len;

/// The key and the length of control, or of an entry whose length is not known yet, in bytes; never
/// more.
const HEADER_BYTES: usize = 5;

/// A field of the test extension: its key, and a flag or a length of 0.
const TEST_EXTENSION_BYTES: usize = 5;

/// The most items in a frame, ids included, so that no count of ours exceeds what we accept.
const MAX_ITEMS: usize = 5_000;

/// Packs what is to be said into frames.
pub(super) struct Packer {
    /// The longest frame, in bytes.
    max_bytes: usize,
    frames: Vec<Frame>,
    rpc: wire::Rpc,
    /// Bytes that `rpc` takes, or a few more, the header of control not counted.
    bytes: usize,
    /// Items in `rpc`.
    items: usize,
}

impl Packer {
    pub(super) fn new(limits: &SendLimits) -> Self {
        let max_bytes = limits.max_part_bytes().saturating_sub(HEADER_BYTES);
        Packer { max_bytes, frames: Vec::new(), rpc: wire::Rpc::default(), bytes: 0, items: 0 }
    }

    pub(super) fn extensions(&mut self, extensions: Extensions) {
        self.make_room(HEADER_BYTES + TEST_EXTENSION_BYTES);
        let test_extension = extensions.test.then_some(true);
        self.control().extensions = Some(wire::ControlExtensions { test_extension });
    }

    pub(super) fn test_extension(&mut self) {
        self.make_room(TEST_EXTENSION_BYTES);
        self.rpc.test_extension = Some(wire::TestExtension {});
    }

    pub(super) fn subscription(&mut self, subscribe: bool, topic: &Topic) {
        // The flag takes two bytes.
        self.make_room(field_bytes(2 + topic_bytes(topic)));
        let (subscribe, topic_id) = (Some(subscribe), Some(topic_field(topic)));
        self.rpc.subscriptions.push(wire::SubOpts { subscribe, topic_id });
    }

    pub(super) fn graft(&mut self, topic: &Topic) {
        self.make_room(field_bytes(topic_bytes(topic)));
        let topic_id = Some(topic_field(topic));
        self.control().graft.push(wire::ControlGraft { topic_id });
    }

    pub(super) fn prune(&mut self, prune: &Prune) {
        let Prune { topic, peers, backoff_secs } = prune;
        let backoff = backoff_secs.map_or(0, |secs| 1 + prost::encoding::encoded_len_varint(secs));
        let header = HEADER_BYTES + topic_bytes(topic) + backoff;
        let entry = || wire::ControlPrune {
            topic_id: Some(topic_field(topic)),
            peers: Vec::new(),
            backoff: *backoff_secs,
        };
        self.make_room(header);
        self.control().prune.push(entry());
        let mut offered = 0;
        for info in peers {
            let info = peer_info(info);
            let bytes = field_bytes(info.encoded_len());
            if !self.has_room(bytes) || offered == RpcLimits::default().max_peers_per_prune {
                self.make_room(header.saturating_add(bytes));
                self.control().prune.push(entry());
                offered = 0;
            } else {
                self.take_room(bytes);
            }
            offered += 1;
            if let Some(entry) = self.control().prune.last_mut() {
                entry.peers.push(info);
            }
        }
    }

    pub(super) fn iwant(&mut self, ids: &[MessageId]) {
        self.ids(HEADER_BYTES, ids, |control, message_ids| {
            control.iwant.push(wire::ControlIds { message_ids });
        });
    }

    pub(super) fn idontwant(&mut self, ids: &[MessageId]) {
        self.ids(HEADER_BYTES, ids, |control, message_ids| {
            control.idontwant.push(wire::ControlIds { message_ids });
        });
    }

    pub(super) fn ihave(&mut self, topic: &Topic, ids: &[MessageId]) {
        self.ids(HEADER_BYTES + topic_bytes(topic), ids, |control, message_ids| {
            let topic_id = Some(topic_field(topic));
            control.ihave.push(wire::ControlIHave { topic_id, message_ids });
        });
    }

    /// Packs ids into as many entries as it takes, one a frame; `push` adds an entry.
    fn ids(
        &mut self,
        header: usize,
        ids: &[MessageId],
        push: impl Fn(&mut wire::ControlMessage, Vec<Bytes>),
    ) {
        let mut entry = Vec::new();
        for id in ids {
            let bytes = field_bytes(id.as_bytes().len());
            if entry.is_empty() {
                self.make_room(header + bytes);
            } else if self.has_room(bytes) {
                self.take_room(bytes);
            } else {
                push(self.control(), core::mem::take(&mut entry));
                self.make_room(header + bytes);
            }
            entry.push(Bytes::copy_from_slice(id.as_bytes()));
        }
        if !entry.is_empty() {
            push(self.control(), entry);
        }
    }

    /// The frames, the last one included.
    pub(super) fn finish(mut self) -> Vec<Frame> {
        self.flush();
        self.frames
    }

    fn control(&mut self) -> &mut wire::ControlMessage {
        self.rpc.control.get_or_insert_default()
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.bytes.saturating_add(bytes) <= self.max_bytes && self.items < MAX_ITEMS
    }

    fn take_room(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.items += 1;
    }

    /// Takes room for an item of `bytes`, in the next frame if it must be.
    fn make_room(&mut self, bytes: usize) {
        if !self.has_room(bytes) {
            self.flush();
        }
        self.take_room(bytes);
    }

    fn flush(&mut self) {
        if self.items > 0 {
            let rpc = core::mem::take(&mut self.rpc);
            self.frames.push(Frame::new(rpc.encode_to_vec()));
        }
        (self.bytes, self.items) = (0, 0);
    }
}

/// A field of `length` bytes whose number is below 16.
fn field_bytes(length: usize) -> usize {
    length.saturating_add(1 + encoded_len(length as u64))
}

fn topic_bytes(topic: &Topic) -> usize {
    field_bytes(topic.as_str().len())
}

fn topic_field(topic: &Topic) -> Bytes {
    Bytes::copy_from_slice(topic.as_str().as_bytes())
}

/// Without a record that nobody would accept.
fn peer_info(info: &PeerInfo) -> wire::PeerInfo {
    let record = info.signed_record.as_ref();
    wire::PeerInfo {
        peer_id: Some(info.peer.to_bytes().into()),
        signed_peer_record: record.filter(|record| record.len() <= MAX_ENVELOPE_BYTES).cloned(),
    }
}
