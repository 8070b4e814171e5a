//! [`Outgoing`]: what is to be said to a remote, in as many frames as its limits take.

use bytes::Bytes;
use libp2p_identity::PeerId;
use serde::{Deserialize, Serialize};

use super::super::message::WireMessage;
use super::super::message_id::MessageId;
use super::super::topic::Topic;
use super::limits::SendLimits;
use super::split::Packer;
use crate::mailbox::Frame;
use crate::varint::{self, MAX_VARINT_BYTES};

/// All of an RPC but its messages, which go in frames of their own ([`publish_frame`]).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outgoing {
    /// Topics, each with whether we subscribe to it or unsubscribe.
    pub subscriptions: Vec<(bool, Topic)>,
    /// Control.
    pub control: Control,
    /// Whether to send the message of the test extension.
    pub test_extension: bool,
}

/// Control messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    /// What we have, by topic. An entry without ids is not sent.
    pub ihave: Vec<IHave>,
    /// What we want.
    pub iwant: Vec<MessageId>,
    /// Topics in whose mesh we take the remote.
    pub graft: Vec<Topic>,
    /// Topics from whose mesh we drop it.
    pub prune: Vec<Prune>,
    /// What we do not want.
    pub idontwant: Vec<MessageId>,
    /// The extensions that we support. Said once, in the first frame of a stream.
    pub extensions: Option<Extensions>,
}

/// An IHAVE.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IHave {
    /// The topic.
    pub topic: Topic,
    /// Messages of it.
    pub ids: Vec<MessageId>,
}

/// A PRUNE.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prune {
    /// The topic.
    pub topic: Topic,
    /// Other peers in it. If they do not fit into one frame, the entry is sent several times, each
    /// time with some of them.
    pub peers: Vec<PeerInfo>,
    /// For how long we do not want to be grafted, in seconds.
    pub backoff_secs: Option<u64>,
}

/// A peer that a PRUNE offers instead of the sender (peer exchange).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerInfo {
    /// Who it is.
    pub peer: PeerId,
    /// The envelope of its signed record, not opened: at most
    /// [`MAX_ENVELOPE_BYTES`](crate::record::MAX_ENVELOPE_BYTES), or it is not sent.
    pub signed_record: Option<Bytes>,
}

/// The extensions that a peer supports (gossipsub 1.3, The Extensions Control Message). Of others
/// than these nothing is known here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extensions {
    /// The test extension.
    pub test: bool,
}

impl Outgoing {
    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        let Control { ihave, iwant, graft, prune, idontwant, extensions } = &self.control;
        self.subscriptions.is_empty()
            && !self.test_extension
            && extensions.is_none()
            && graft.is_empty()
            && prune.is_empty()
            && iwant.is_empty()
            && idontwant.is_empty()
            && ihave.iter().all(|entry| entry.ids.is_empty())
    }

    /// The frames that say it, in the order in which they must go: extensions first, subscriptions
    /// before the control that depends on them. None is longer than `limits` allow, and together
    /// they say no more and no less.
    pub fn frames(&self, limits: &SendLimits) -> Vec<Frame> {
        let mut packer = Packer::new(limits);
        if let Some(extensions) = &self.control.extensions {
            packer.extensions(*extensions);
        }
        if self.test_extension {
            packer.test_extension();
        }
        for (subscribe, topic) in &self.subscriptions {
            packer.subscription(*subscribe, topic);
        }
        for topic in &self.control.graft {
            packer.graft(topic);
        }
        for prune in &self.control.prune {
            packer.prune(prune);
        }
        packer.iwant(&self.control.iwant);
        packer.idontwant(&self.control.idontwant);
        for ihave in &self.control.ihave {
            packer.ihave(&ihave.topic, &ihave.ids);
        }
        packer.finish()
    }
}

/// The frame that carries one message and nothing else. The message is its body, shared with
/// whoever else gets it, byte for byte as it came or was made.
pub fn publish_frame(message: &WireMessage) -> Frame {
    let mut buffer = [0; MAX_VARINT_BYTES];
    let length = varint::encode(message.encoded.len() as u64, &mut buffer);
    let head: Bytes = [PUBLISH_KEY].iter().chain(length).copied().collect();
    Frame { head, body: message.encoded.clone() }
}

/// The length of [`publish_frame`], in bytes, for a message of `encoded_bytes`.
pub fn publish_frame_bytes(encoded_bytes: usize) -> usize {
    let head = 1 + varint::encoded_len(encoded_bytes as u64);
    encoded_bytes.saturating_add(head)
}

/// Field 2, `publish`, length-delimited.
const PUBLISH_KEY: u8 = 0x12;
