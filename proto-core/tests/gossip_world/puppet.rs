//! [`Puppet`]: a peer that a test plays by hand.

use std::collections::BTreeMap;

use bytes::Bytes;
use libp2p_identity::PeerId;
use sanspeer_core::gossip::{
    Author, Control, IHave, MessageId, Outgoing, PeerInfo, Prune, Rpc, RpcLimits, SendLimits,
    SignaturePolicy, Topic, WireMessage, publish_frame,
};
use sanspeer_core::mailbox::Frame;
use sanspeer_core::node::{ProtocolInput, StreamRef};
use sanspeer_core::protocol::ProtocolId;
use sanspeer_core::time::Timestamp;

use super::{Kind, World};

/// What a puppet heard in one frame.
#[derive(Clone, Debug)]
pub struct Heard {
    pub at: Timestamp,
    pub from: PeerId,
    /// All but the messages.
    pub said: Outgoing,
    pub messages: Vec<WireMessage>,
}

/// A peer that a test plays.
pub struct Puppet {
    /// Whose streams it takes, and what it opens streams with: the first that the other side takes.
    pub protocols: Vec<ProtocolId>,
    heard: Vec<Heard>,
    streams: BTreeMap<StreamRef, PeerId>,
}

impl Puppet {
    pub(super) fn new(protocols: Vec<ProtocolId>) -> Self {
        Puppet { protocols, heard: Vec::new(), streams: BTreeMap::new() }
    }

    pub(super) fn handle(&mut self, now: Timestamp, input: ProtocolInput) {
        match input {
            ProtocolInput::InboundStream { peer, stream, .. } => {
                self.streams.insert(stream, peer);
            }
            ProtocolInput::Frame { stream, frame } => {
                let Some(from) = self.streams.get(&stream).copied() else { return };
                let rpc = Rpc::decode(&frame, &RpcLimits::default()).expect("a valid RPC");
                let messages = rpc.messages.iter().collect();
                self.heard.push(Heard { at: now, from, said: rpc.to_outgoing(), messages });
            }
            ProtocolInput::StreamClosed { stream, .. } => {
                self.streams.remove(&stream);
            }
            ProtocolInput::ConnectionOpened { .. }
            | ProtocolInput::ConnectionClosed { .. }
            | ProtocolInput::StreamOpened { .. }
            | ProtocolInput::OpenFailed { .. }
            | ProtocolInput::Credit { .. }
            | ProtocolInput::Verified { .. }
            | ProtocolInput::StreamFinished(_)
            | ProtocolInput::DialFailed(_)
            | ProtocolInput::Command { .. }
            | ProtocolInput::Timeout => {}
        }
    }
}

impl World {
    fn puppet(&mut self, number: usize) -> &mut Puppet {
        match &mut self.sides[number].kind {
            Kind::Puppet(puppet) => puppet,
            Kind::Node(_) => panic!("side {number} is no puppet"),
        }
    }

    /// What a puppet heard since it was last asked for, in order.
    pub fn heard(&mut self, puppet: usize) -> Vec<Heard> {
        core::mem::take(&mut self.puppet(puppet).heard)
    }

    /// All control that a puppet heard since, together.
    pub fn heard_control(&mut self, puppet: usize) -> Control {
        let mut all = Control::default();
        for Heard { said, .. } in self.heard(puppet) {
            all.ihave.extend(said.control.ihave);
            all.iwant.extend(said.control.iwant);
            all.graft.extend(said.control.graft);
            all.prune.extend(said.control.prune);
            all.idontwant.extend(said.control.idontwant);
            all.extensions = all.extensions.or(said.control.extensions);
        }
        all
    }

    /// All messages that a puppet heard since.
    pub fn heard_messages(&mut self, puppet: usize) -> Vec<WireMessage> {
        self.heard(puppet).into_iter().flat_map(|heard| heard.messages).collect()
    }

    /// A puppet says something to a node, on the stream that it opens for that the first time.
    pub fn say(&mut self, puppet: usize, to: usize, said: Outgoing) {
        for frame in said.frames(&SendLimits::default()) {
            self.say_frame(puppet, to, frame);
        }
    }

    pub fn say_control(&mut self, puppet: usize, to: usize, control: Control) {
        self.say(puppet, to, Outgoing { control, ..Outgoing::default() });
    }

    pub fn say_messages(&mut self, puppet: usize, to: usize, messages: &[WireMessage]) {
        for message in messages {
            self.say_frame(puppet, to, publish_frame(message));
        }
    }

    /// A puppet sends any bytes as a frame.
    pub fn say_bytes(&mut self, puppet: usize, to: usize, bytes: impl Into<Bytes>) {
        self.say_frame(puppet, to, Frame::new(bytes));
    }

    fn say_frame(&mut self, puppet: usize, to: usize, frame: Frame) {
        let stream = match self.stream_between(puppet, to) {
            Some(stream) => stream,
            None => self.open_by_hand(puppet, to),
        };
        self.carry(stream, frame);
    }

    /// A puppet opens a stream to a node.
    pub fn open_by_hand(&mut self, puppet: usize, to: usize) -> StreamRef {
        let connection = *self.connections_of(puppet, to).last().expect("connected");
        let accepted = self.sides[to].accepts();
        let spoken = self.puppet(puppet).protocols.clone();
        let protocol =
            spoken.into_iter().find(|id| accepted.contains(id)).expect("a protocol of both");
        let stream = self.add_stream(connection, puppet, to, protocol.clone());
        let at = self.arrival(connection, puppet);
        let peer = self.peer(puppet);
        self.tell_later(at, to, ProtocolInput::InboundStream { peer, stream, protocol });
        stream
    }

    pub fn say_subscribe(&mut self, puppet: usize, to: usize, topic: &Topic) {
        let subscriptions = vec![(true, topic.clone())];
        self.say(puppet, to, Outgoing { subscriptions, ..Outgoing::default() });
    }

    pub fn say_unsubscribe(&mut self, puppet: usize, to: usize, topic: &Topic) {
        let subscriptions = vec![(false, topic.clone())];
        self.say(puppet, to, Outgoing { subscriptions, ..Outgoing::default() });
    }

    pub fn say_graft(&mut self, puppet: usize, to: usize, topic: &Topic) {
        self.say_control(puppet, to, Control { graft: vec![topic.clone()], ..Control::default() });
    }

    pub fn say_prune(
        &mut self,
        puppet: usize,
        to: usize,
        topic: &Topic,
        peers: Vec<PeerInfo>,
        backoff_secs: Option<u64>,
    ) {
        let prune = vec![Prune { topic: topic.clone(), peers, backoff_secs }];
        self.say_control(puppet, to, Control { prune, ..Control::default() });
    }

    pub fn say_ihave(&mut self, puppet: usize, to: usize, topic: &Topic, ids: Vec<MessageId>) {
        let ihave = vec![IHave { topic: topic.clone(), ids }];
        self.say_control(puppet, to, Control { ihave, ..Control::default() });
    }

    pub fn say_iwant(&mut self, puppet: usize, to: usize, iwant: Vec<MessageId>) {
        self.say_control(puppet, to, Control { iwant, ..Control::default() });
    }

    pub fn say_dont_want(&mut self, puppet: usize, to: usize, idontwant: Vec<MessageId>) {
        self.say_control(puppet, to, Control { idontwant, ..Control::default() });
    }

    /// A message that a side has signed, which nobody sent yet. Each call with another number is
    /// another message.
    pub fn signed(
        &self,
        author: usize,
        number: u64,
        topic: &Topic,
        data: impl Into<Bytes>,
    ) -> WireMessage {
        Author::new(self.sides[author].identity.clone(), number)
            .message(SignaturePolicy::StrictSign, topic.clone(), data)
            .expect("ed25519 signs")
    }

    /// A puppet that is connected to a node and in a topic, from when the next few milliseconds
    /// have passed.
    pub fn add_subscriber(&mut self, node: usize, topic: &Topic, protocols: &[&str]) -> usize {
        let puppet = self.add_puppet(protocols);
        self.connect(puppet, node);
        self.say_subscribe(puppet, node, topic);
        puppet
    }
}
