//! [`Rpc`]: a frame of a remote, looked over once, its items read when it is their turn.

use bytes::Bytes;

use super::super::message::WireMessage;
use super::super::message_id::MessageId;
use super::super::topic::Topic;
use super::check::{Outline, RawGraft, RawIHave, RawPeerInfo, RawPrune, RawSubscription};
use super::encode::{Control, Extensions, IHave, Outgoing, PeerInfo, Prune};
use super::error::RpcError;
use super::limits::RpcLimits;
use super::list::List;
use super::wire;

/// An RPC of a remote: well-formed and within its limits. Its lists hold the frame, and show valid
/// items only.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rpc {
    /// Topics, each with whether the remote subscribes to it or unsubscribes.
    pub subscriptions: List<(bool, Topic)>,
    /// Messages, none of them checked.
    pub messages: List<WireMessage>,
    /// Control.
    pub control: ReceivedControl,
    /// Whether it holds the message of the test extension.
    pub test_extension: bool,
    /// How many items were left out as not valid: topics that are empty, too long or not UTF-8,
    /// with what belongs to them; ids that are empty or too long; offered peers without a peer id
    /// or with too long a record; messages with too long an author or sequence number.
    pub invalid: usize,
}

/// The control part of an RPC.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceivedControl {
    /// What the remote has, by topic.
    pub ihave: List<ReceivedIHave>,
    /// What it wants, of all entries.
    pub iwant: List<MessageId>,
    /// Topics in whose mesh it takes us.
    pub graft: List<Topic>,
    /// Topics from whose mesh it drops us.
    pub prune: List<ReceivedPrune>,
    /// What it does not want, of all entries.
    pub idontwant: List<MessageId>,
    /// The extensions that it supports, if it says so.
    pub extensions: Option<Extensions>,
}

/// An IHAVE.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceivedIHave {
    /// The topic.
    pub topic: Topic,
    /// Messages of it.
    pub ids: List<MessageId>,
}

/// A PRUNE.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceivedPrune {
    /// The topic.
    pub topic: Topic,
    /// Other peers in it, as the remote says.
    pub peers: List<PeerInfo>,
    /// For how long it does not want to be grafted, in seconds; any number.
    pub backoff_secs: Option<u64>,
}

impl Rpc {
    /// Looks over a frame. Total; allocates nothing. What comes out of the lists is built then, one
    /// item at a time.
    ///
    /// # Errors
    ///
    /// When the frame is malformed or holds more than `limits` allow.
    pub fn decode(frame: &Bytes, limits: &RpcLimits) -> Result<Rpc, RpcError> {
        let outline = Outline::of(frame, limits)?;
        Ok(Rpc {
            subscriptions: List::new(
                frame,
                &[wire::SUBSCRIPTIONS],
                outline.subscriptions,
                subscription,
            ),
            messages: List::new(frame, &[wire::PUBLISH], outline.messages, message),
            control: ReceivedControl {
                ihave: List::new(frame, &[wire::CONTROL, wire::IHAVE], outline.ihave, ihave),
                iwant: List::new(
                    frame,
                    &[wire::CONTROL, wire::IWANT, wire::IDS],
                    outline.iwant,
                    id,
                ),
                graft: List::new(frame, &[wire::CONTROL, wire::GRAFT], outline.graft, graft),
                prune: List::new(frame, &[wire::CONTROL, wire::PRUNE], outline.prune, prune),
                idontwant: List::new(
                    frame,
                    &[wire::CONTROL, wire::IDONTWANT, wire::IDS],
                    outline.idontwant,
                    id,
                ),
                extensions: outline.extensions,
            },
            test_extension: outline.test_extension,
            invalid: outline.invalid,
        })
    }

    /// All but the messages, built at once: for tests and tools, where no remote decides how much
    /// that is.
    pub fn to_outgoing(&self) -> Outgoing {
        let control = &self.control;
        Outgoing {
            subscriptions: self.subscriptions.iter().collect(),
            control: Control {
                ihave: control.ihave.iter().map(|entry| entry.to_owned()).collect(),
                iwant: control.iwant.iter().collect(),
                graft: control.graft.iter().collect(),
                prune: control.prune.iter().map(|entry| entry.to_owned()).collect(),
                idontwant: control.idontwant.iter().collect(),
                extensions: control.extensions,
            },
            test_extension: self.test_extension,
        }
    }
}

impl ReceivedControl {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.ihave.is_empty()
            && self.iwant.is_empty()
            && self.graft.is_empty()
            && self.prune.is_empty()
            && self.idontwant.is_empty()
            && self.extensions.is_none()
    }
}

impl ReceivedIHave {
    /// With its ids built.
    pub fn to_owned(&self) -> IHave {
        IHave { topic: self.topic.clone(), ids: self.ids.iter().collect() }
    }
}

impl ReceivedPrune {
    /// With its peers built.
    pub fn to_owned(&self) -> Prune {
        let Self { topic, peers, backoff_secs } = self;
        Prune { topic: topic.clone(), peers: peers.iter().collect(), backoff_secs: *backoff_secs }
    }
}

// How each item is read; `None` where it is not valid. The frame was found well-formed.

fn subscription(_: &Bytes, bytes: &[u8]) -> Option<(bool, Topic)> {
    let RawSubscription { subscribe, topic } = RawSubscription::read(bytes).ok()?;
    Some((subscribe, Topic::from_bytes(topic).ok()?))
}

fn message(frame: &Bytes, bytes: &[u8]) -> Option<WireMessage> {
    WireMessage::in_buffer(&frame.slice_ref(bytes), frame.len()).ok()
}

fn id(_: &Bytes, bytes: &[u8]) -> Option<MessageId> {
    MessageId::new(bytes).ok()
}

fn ihave(frame: &Bytes, bytes: &[u8]) -> Option<ReceivedIHave> {
    let RawIHave { topic, ids } = RawIHave::read(bytes).ok()?;
    Some(ReceivedIHave {
        topic: Topic::from_bytes(topic).ok()?,
        ids: List::new(&frame.slice_ref(bytes), &[wire::IHAVE_IDS], ids.valid, id),
    })
}

fn graft(_: &Bytes, bytes: &[u8]) -> Option<Topic> {
    Topic::from_bytes(RawGraft::read(bytes).ok()?.topic).ok()
}

fn prune(frame: &Bytes, bytes: &[u8]) -> Option<ReceivedPrune> {
    let raw = RawPrune::read(bytes).ok()?;
    Some(ReceivedPrune {
        topic: Topic::from_bytes(raw.topic).ok()?,
        peers: List::new(&frame.slice_ref(bytes), &[wire::PRUNE_PEERS], raw.valid_peers, peer_info),
        backoff_secs: raw.backoff_secs,
    })
}

/// The record is copied: it is kept for longer than the frame.
fn peer_info(_: &Bytes, bytes: &[u8]) -> Option<PeerInfo> {
    let (peer, record) = RawPeerInfo::read(bytes).ok()?.valid()?;
    let signed_record = (!record.is_empty()).then(|| Bytes::copy_from_slice(record));
    Some(PeerInfo { peer, signed_record })
}
