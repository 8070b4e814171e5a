//! [`Deliveries`]: who brought a message before it was decided on, and for the moment after that in
//! which a copy still counts.
//!
//! No record outlives its use: one of a rejected or ignored message is gone at once, one of an
//! accepted message after the topic's window. What a later copy means is known to whoever keeps the
//! ids of seen messages with their verdicts, so that these two can have bounds of their own and
//! cannot disagree.

use core::time::Duration;
use std::collections::BTreeMap;

use libp2p_identity::PeerId;

use super::topic::TopicKey;
use crate::gossip::message_id::MessageId;
use crate::time::Timestamp;

/// Of so many peers it is remembered that they brought a copy of one message. A mesh has fewer.
pub(super) const MAX_COPIES: usize = 32;

/// Messages and who brought them.
#[derive(Clone, Debug)]
pub(super) struct Deliveries {
    max: usize,
    ttl: Duration,
    /// At most `max`.
    records: BTreeMap<MessageId, Delivery>,
    /// When each of them ends.
    ends: BTreeMap<End, MessageId>,
    last_serial: u64,
}

/// When a record ends: after this time. The number tells those of one time apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct End {
    at: Timestamp,
    serial: u64,
}

/// What is remembered of a message.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) topic: TopicKey,
    /// Who brought it first.
    pub(super) first: PeerId,
    /// Who else did, at most [`MAX_COPIES`].
    pub(super) copies: Vec<PeerId>,
    is_accepted: bool,
    end: End,
}

impl Deliveries {
    pub(super) fn new(max: usize, ttl: Duration) -> Self {
        Deliveries { max, ttl, records: BTreeMap::new(), ends: BTreeMap::new(), last_serial: 0 }
    }

    /// A message came first from `peer` and is to be decided on. When there are too many, the one
    /// that would end next is forgotten.
    pub(super) fn begin(&mut self, now: Timestamp, id: &MessageId, topic: TopicKey, peer: PeerId) {
        self.forget_ended(now);
        if self.max == 0 || self.records.contains_key(id) {
            return;
        }
        while self.records.len() >= self.max {
            let Some((_, ended)) = self.ends.pop_first() else { break };
            self.records.remove(&ended);
        }
        let end = self.end_after(now, self.ttl);
        let copies = Vec::new();
        let delivery = Delivery { topic, first: peer, copies, is_accepted: false, end };
        self.records.insert(id.clone(), delivery);
        self.ends.insert(end, id.clone());
    }

    /// A copy came from `peer`. Says in which topic it counts as a delivery now, if it does.
    pub(super) fn copy(
        &mut self,
        now: Timestamp,
        id: &MessageId,
        peer: PeerId,
    ) -> Option<TopicKey> {
        self.forget_ended(now);
        let delivery = self.records.get_mut(id)?;
        let is_known = delivery.first == peer || delivery.copies.contains(&peer);
        if is_known || delivery.copies.len() >= MAX_COPIES {
            return None;
        }
        delivery.copies.push(peer);
        delivery.is_accepted.then_some(delivery.topic)
    }

    /// A message was accepted: who brought it until now. Copies count for as long as `window` says
    /// of its topic; if it says nothing, they do not count any more.
    pub(super) fn accept(
        &mut self,
        now: Timestamp,
        id: &MessageId,
        window: impl FnOnce(TopicKey) -> Option<Duration>,
    ) -> Option<Delivery> {
        let mut delivery = self.take(now, id)?;
        let accepted = delivery.clone();
        if let Some(window) = window(delivery.topic) {
            delivery.is_accepted = true;
            delivery.end = self.end_after(now, window);
            self.ends.insert(delivery.end, id.clone());
            self.records.insert(id.clone(), delivery);
        }
        Some(accepted)
    }

    /// A message that was not accepted before is decided on: who brought it. It is forgotten.
    pub(super) fn take(&mut self, now: Timestamp, id: &MessageId) -> Option<Delivery> {
        self.forget_ended(now);
        if self.records.get(id)?.is_accepted {
            return None;
        }
        let delivery = self.records.remove(id)?;
        self.ends.remove(&delivery.end);
        Some(delivery)
    }

    /// Forgets what is of no more use.
    pub(super) fn forget_ended(&mut self, now: Timestamp) {
        while let Some(entry) = self.ends.first_entry() {
            if entry.key().at >= now {
                break;
            }
            self.records.remove(&entry.remove());
        }
    }

    fn end_after(&mut self, now: Timestamp, time: Duration) -> End {
        self.last_serial = self.last_serial.saturating_add(1);
        End { at: now.saturating_add(time), serial: self.last_serial }
    }
}

#[cfg(test)]
mod tests;
