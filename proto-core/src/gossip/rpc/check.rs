//! The pass over a frame before anything of it is used: that it is well-formed, and how much there
//! is of everything. It allocates nothing.

use libp2p_identity::PeerId;

use super::super::message::RawMessage;
use super::super::message_id::MessageId;
use super::super::topic::Topic;
use super::encode::Extensions;
use super::error::{Excess, RpcError};
use super::limits::RpcLimits;
use super::wire;
use crate::protobuf::{Fields, Malformed, Value};
use crate::record::MAX_ENVELOPE_BYTES;

/// What a frame holds: how many items are valid, of each kind.
#[derive(Debug, Default)]
pub(super) struct Outline {
    pub(super) subscriptions: usize,
    pub(super) messages: usize,
    pub(super) ihave: usize,
    /// Ids, of all entries.
    pub(super) iwant: usize,
    pub(super) graft: usize,
    pub(super) prune: usize,
    /// Ids, of all entries.
    pub(super) idontwant: usize,
    pub(super) extensions: Option<Extensions>,
    pub(super) test_extension: bool,
    /// Items that are well-formed and not valid.
    pub(super) invalid: usize,
}

/// Counts up to a limit.
struct Count {
    found: usize,
    max: usize,
    error: fn(Excess) -> RpcError,
}

impl Count {
    fn new(max: usize, error: fn(Excess) -> RpcError) -> Self {
        Count { found: 0, max, error }
    }

    fn add(&mut self, more: usize) -> Result<(), RpcError> {
        self.found = self.found.saturating_add(more);
        match self.found > self.max {
            true => Err((self.error)(Excess { found: self.found, max: self.max })),
            false => Ok(()),
        }
    }
}

/// The pass, under way.
struct Pass<'l> {
    limits: &'l RpcLimits,
    outline: Outline,
    messages: Count,
    subscriptions: Count,
    entries: Count,
    topics: Count,
    ids: Count,
}

impl Outline {
    /// Looks over a frame.
    pub(super) fn of(frame: &[u8], limits: &RpcLimits) -> Result<Outline, RpcError> {
        Count::new(limits.max_frame_bytes, RpcError::TooLong).add(frame.len())?;
        let mut pass = Pass {
            limits,
            outline: Outline::default(),
            messages: Count::new(limits.max_messages, RpcError::Messages),
            subscriptions: Count::new(limits.max_subscriptions, RpcError::Subscriptions),
            entries: Count::new(limits.max_control_entries, RpcError::ControlEntries),
            topics: Count::new(limits.max_topics, RpcError::Topics),
            ids: Count::new(limits.max_ids, RpcError::Ids),
        };
        for field in Fields::new(frame) {
            match field? {
                (wire::SUBSCRIPTIONS, Value::Bytes(bytes)) => pass.subscription(bytes)?,
                (wire::PUBLISH, Value::Bytes(bytes)) => pass.message(bytes)?,
                (wire::CONTROL, Value::Bytes(bytes)) => pass.control(bytes)?,
                (wire::TEST_EXTENSION, Value::Bytes(_)) => pass.outline.test_extension = true,
                (wire::SUBSCRIPTIONS..=wire::CONTROL | wire::TEST_EXTENSION, _) => {
                    return Err(RpcError::Malformed);
                }
                (_, Value::Bytes(_) | Value::Varint(_) | Value::Fixed) => {}
            }
        }
        Ok(pass.outline)
    }
}

impl Pass<'_> {
    fn subscription(&mut self, bytes: &[u8]) -> Result<(), RpcError> {
        self.subscriptions.add(1)?;
        self.topics.add(1)?;
        let valid = Topic::check(RawSubscription::read(bytes)?.topic).is_ok();
        self.outline.subscriptions += self.outline.judged(valid);
        Ok(())
    }

    fn message(&mut self, bytes: &[u8]) -> Result<(), RpcError> {
        self.messages.add(1)?;
        let valid = RawMessage::read(bytes)?.check().is_ok();
        self.outline.messages += self.outline.judged(valid);
        Ok(())
    }

    fn control(&mut self, bytes: &[u8]) -> Result<(), RpcError> {
        self.entries.add(1)?;
        for field in Fields::new(bytes) {
            match field? {
                (wire::IHAVE, Value::Bytes(entry)) => {
                    let valid = self.ids_entry(RawIHave::read(entry)?)?;
                    self.outline.ihave += valid.map_or(0, |_| 1);
                }
                (wire::IWANT, Value::Bytes(entry)) => {
                    self.outline.iwant += self.plain_ids(entry)?;
                }
                (wire::GRAFT, Value::Bytes(entry)) => {
                    let valid = self.topic_entry(RawGraft::read(entry)?.topic)?;
                    self.outline.graft += self.outline.judged(valid);
                }
                (wire::PRUNE, Value::Bytes(entry)) => self.prune(entry)?,
                (wire::IDONTWANT, Value::Bytes(entry)) => {
                    self.outline.idontwant += self.plain_ids(entry)?;
                }
                (wire::EXTENSIONS, Value::Bytes(bytes)) => self.extensions(bytes)?,
                (wire::IHAVE..=wire::EXTENSIONS, Value::Varint(_) | Value::Fixed) => {
                    return Err(RpcError::Malformed);
                }
                (_, Value::Bytes(_) | Value::Varint(_) | Value::Fixed) => {}
            }
        }
        Ok(())
    }

    /// An entry for a topic. Whether the topic is valid.
    fn topic_entry(&mut self, topic: &[u8]) -> Result<bool, RpcError> {
        self.entries.add(1)?;
        self.topics.add(1)?;
        Ok(Topic::check(topic).is_ok())
    }

    /// An IHAVE. How many of its ids are valid, if its topic is.
    fn ids_entry(&mut self, entry: RawIHave<'_>) -> Result<Option<usize>, RpcError> {
        let valid = self.topic_entry(entry.topic)?;
        let ids = self.ids(entry.ids)?;
        self.outline.invalid += usize::from(!valid);
        Ok(valid.then_some(ids))
    }

    /// An IWANT or an IDONTWANT. How many of its ids are valid.
    fn plain_ids(&mut self, entry: &[u8]) -> Result<usize, RpcError> {
        self.entries.add(1)?;
        self.ids(Ids::read(entry, wire::IDS)?)
    }

    fn ids(&mut self, ids: Ids) -> Result<usize, RpcError> {
        let Ids { all, valid } = ids;
        Count::new(self.limits.max_ids_per_entry, RpcError::IdsPerEntry).add(all)?;
        self.ids.add(all)?;
        self.outline.invalid += all.saturating_sub(valid);
        Ok(valid)
    }

    fn prune(&mut self, bytes: &[u8]) -> Result<(), RpcError> {
        let entry = RawPrune::read(bytes)?;
        let valid = self.topic_entry(entry.topic)?;
        Count::new(self.limits.max_peers_per_prune, RpcError::PeersPerPrune).add(entry.peers)?;
        self.outline.invalid += entry.peers.saturating_sub(entry.valid_peers);
        self.outline.prune += self.outline.judged(valid);
        Ok(())
    }

    /// Several occurrences are merged, as protobuf has it.
    fn extensions(&mut self, bytes: &[u8]) -> Result<(), RpcError> {
        self.entries.add(1)?;
        let extensions = self.outline.extensions.get_or_insert_default();
        for field in Fields::new(bytes) {
            match field? {
                (wire::TEST_EXTENSION, Value::Varint(flag)) => extensions.test = flag != 0,
                (wire::TEST_EXTENSION, Value::Bytes(_) | Value::Fixed) => {
                    return Err(RpcError::Malformed);
                }
                (_, Value::Bytes(_) | Value::Varint(_) | Value::Fixed) => {}
            }
        }
        Ok(())
    }
}

impl Outline {
    /// 1 for a valid item. Another one is counted as invalid, and is 0.
    fn judged(&mut self, valid: bool) -> usize {
        self.invalid += usize::from(!valid);
        usize::from(valid)
    }
}

impl From<Malformed> for RpcError {
    fn from(Malformed: Malformed) -> Self {
        RpcError::Malformed
    }
}

// The entries, as they are on the wire. Of single fields the last one counts.

pub(super) struct RawSubscription<'a> {
    pub(super) subscribe: bool,
    pub(super) topic: &'a [u8],
}

impl<'a> RawSubscription<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut raw = RawSubscription { subscribe: false, topic: &[] };
        for field in Fields::new(bytes) {
            match field? {
                (wire::SUBSCRIBE, Value::Varint(flag)) => raw.subscribe = flag != 0,
                (wire::SUBSCRIPTION_TOPIC, Value::Bytes(topic)) => raw.topic = topic,
                (wire::SUBSCRIBE | wire::SUBSCRIPTION_TOPIC, _) => return Err(Malformed),
                (_, Value::Bytes(_) | Value::Varint(_) | Value::Fixed) => {}
            }
        }
        Ok(raw)
    }
}

pub(super) struct RawIHave<'a> {
    pub(super) topic: &'a [u8],
    pub(super) ids: Ids,
}

impl<'a> RawIHave<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let ids = Ids::read(bytes, wire::IHAVE_IDS)?;
        let RawGraft { topic } = RawGraft::read(bytes)?;
        Ok(RawIHave { topic, ids })
    }
}

/// How many ids an entry has, and how many of them are valid.
pub(super) struct Ids {
    all: usize,
    pub(super) valid: usize,
}

impl Ids {
    /// The ids are fields `number`.
    fn read(bytes: &[u8], number: u32) -> Result<Self, Malformed> {
        let mut ids = Ids { all: 0, valid: 0 };
        for field in Fields::new(bytes) {
            match field? {
                (found, Value::Bytes(id)) if found == number => {
                    ids.all += 1;
                    ids.valid += usize::from(MessageId::check(id).is_ok());
                }
                (found, Value::Varint(_) | Value::Fixed) if found == number => {
                    return Err(Malformed);
                }
                (_, Value::Bytes(_) | Value::Varint(_) | Value::Fixed) => {}
            }
        }
        Ok(ids)
    }
}

pub(super) struct RawGraft<'a> {
    pub(super) topic: &'a [u8],
}

impl<'a> RawGraft<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut raw = RawGraft { topic: &[] };
        for field in Fields::new(bytes) {
            match field? {
                (wire::CONTROL_TOPIC, Value::Bytes(topic)) => raw.topic = topic,
                (wire::CONTROL_TOPIC, Value::Varint(_) | Value::Fixed) => return Err(Malformed),
                (_, Value::Bytes(_) | Value::Varint(_) | Value::Fixed) => {}
            }
        }
        Ok(raw)
    }
}

pub(super) struct RawPrune<'a> {
    pub(super) topic: &'a [u8],
    peers: usize,
    pub(super) valid_peers: usize,
    pub(super) backoff_secs: Option<u64>,
}

impl<'a> RawPrune<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut raw = RawPrune { topic: &[], peers: 0, valid_peers: 0, backoff_secs: None };
        for field in Fields::new(bytes) {
            match field? {
                (wire::CONTROL_TOPIC, Value::Bytes(topic)) => raw.topic = topic,
                (wire::PRUNE_PEERS, Value::Bytes(peer)) => {
                    raw.peers += 1;
                    raw.valid_peers += usize::from(RawPeerInfo::read(peer)?.valid().is_some());
                }
                (wire::PRUNE_BACKOFF, Value::Varint(secs)) => raw.backoff_secs = Some(secs),
                (wire::CONTROL_TOPIC..=wire::PRUNE_BACKOFF, _) => return Err(Malformed),
                (_, Value::Bytes(_) | Value::Varint(_) | Value::Fixed) => {}
            }
        }
        Ok(raw)
    }
}

pub(super) struct RawPeerInfo<'a> {
    peer: &'a [u8],
    record: &'a [u8],
}

impl<'a> RawPeerInfo<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut raw = RawPeerInfo { peer: &[], record: &[] };
        for field in Fields::new(bytes) {
            match field? {
                (wire::PEER_ID, Value::Bytes(peer)) => raw.peer = peer,
                (wire::SIGNED_PEER_RECORD, Value::Bytes(record)) => raw.record = record,
                (wire::PEER_ID | wire::SIGNED_PEER_RECORD, _) => return Err(Malformed),
                (_, Value::Bytes(_) | Value::Varint(_) | Value::Fixed) => {}
            }
        }
        Ok(raw)
    }

    /// The peer and its record, which may be empty: a record that is too long spoils the whole.
    pub(super) fn valid(&self) -> Option<(PeerId, &'a [u8])> {
        let peer = PeerId::from_bytes(self.peer).ok()?;
        (self.record.len() <= MAX_ENVELOPE_BYTES).then_some((peer, self.record))
    }
}
