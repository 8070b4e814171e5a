//! The messages of the specification as `prost` has them, with which everything is encoded, and
//! the numbers of their fields.
//!
//! Ids are bytes: go-libp2p calls them strings and puts any bytes in. Topics are bytes too, since
//! their text was checked already.
//!
//! Specification: [extensions.proto](https://github.com/libp2p/specs/blob/master/pubsub/gossipsub/extensions/extensions.proto),
//! and [pubsub, The RPC](https://github.com/libp2p/specs/blob/master/pubsub/README.md#the-rpc).

use bytes::Bytes;

pub(crate) const SUBSCRIPTIONS: u32 = 1;
pub(crate) const PUBLISH: u32 = 2;
pub(crate) const CONTROL: u32 = 3;
/// Both of the message of the test extension and of the flag that announces it.
pub(crate) const TEST_EXTENSION: u32 = 6_492_434;

pub(crate) const SUBSCRIBE: u32 = 1;
pub(crate) const SUBSCRIPTION_TOPIC: u32 = 2;

pub(crate) const FROM: u32 = 1;
pub(crate) const DATA: u32 = 2;
pub(crate) const SEQNO: u32 = 3;
pub(crate) const TOPIC: u32 = 4;
pub(crate) const SIGNATURE: u32 = 5;
pub(crate) const KEY: u32 = 6;

pub(crate) const IHAVE: u32 = 1;
pub(crate) const IWANT: u32 = 2;
pub(crate) const GRAFT: u32 = 3;
pub(crate) const PRUNE: u32 = 4;
pub(crate) const IDONTWANT: u32 = 5;
pub(crate) const EXTENSIONS: u32 = 6;

/// Of an IHAVE, a GRAFT and a PRUNE.
pub(crate) const CONTROL_TOPIC: u32 = 1;
pub(crate) const IHAVE_IDS: u32 = 2;
/// Of an IWANT and an IDONTWANT.
pub(crate) const IDS: u32 = 1;
pub(crate) const PRUNE_PEERS: u32 = 2;
pub(crate) const PRUNE_BACKOFF: u32 = 3;
pub(crate) const PEER_ID: u32 = 1;
pub(crate) const SIGNED_PEER_RECORD: u32 = 2;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Rpc {
    #[prost(message, repeated, tag = "1")]
    pub(crate) subscriptions: Vec<SubOpts>,
    /// Each an encoded [`Message`], which is at hand so and goes on unchanged.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(crate) publish: Vec<Bytes>,
    #[prost(message, optional, tag = "3")]
    pub(crate) control: Option<ControlMessage>,
    #[prost(message, optional, tag = "6492434")]
    pub(crate) test_extension: Option<TestExtension>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SubOpts {
    #[prost(bool, optional, tag = "1")]
    pub(crate) subscribe: Option<bool>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(crate) topic_id: Option<Bytes>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Message {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub(crate) from: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(crate) data: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub(crate) seqno: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub(crate) topic: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "5")]
    pub(crate) signature: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "6")]
    pub(crate) key: Option<Bytes>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ControlMessage {
    #[prost(message, repeated, tag = "1")]
    pub(crate) ihave: Vec<ControlIHave>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) iwant: Vec<ControlIds>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) graft: Vec<ControlGraft>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) prune: Vec<ControlPrune>,
    #[prost(message, repeated, tag = "5")]
    pub(crate) idontwant: Vec<ControlIds>,
    #[prost(message, optional, tag = "6")]
    pub(crate) extensions: Option<ControlExtensions>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ControlIHave {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub(crate) topic_id: Option<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(crate) message_ids: Vec<Bytes>,
}

/// An IWANT or an IDONTWANT.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ControlIds {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub(crate) message_ids: Vec<Bytes>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ControlGraft {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub(crate) topic_id: Option<Bytes>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ControlPrune {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub(crate) topic_id: Option<Bytes>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) peers: Vec<PeerInfo>,
    #[prost(uint64, optional, tag = "3")]
    pub(crate) backoff: Option<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PeerInfo {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub(crate) peer_id: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(crate) signed_peer_record: Option<Bytes>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ControlExtensions {
    #[prost(bool, optional, tag = "6492434")]
    pub(crate) test_extension: Option<bool>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct TestExtension {}
