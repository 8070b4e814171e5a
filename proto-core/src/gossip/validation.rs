//! Messages that wait for the application's verdict.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::config::Validation;
use super::machine::Gossip;
use super::message::WireMessage;
use super::message_id::MessageId;
use super::seen_cache::Verdict;
use super::topic::Topic;
use crate::time::Timestamp;

/// What an application thinks of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Acceptance {
    /// It is good, and goes on.
    Accept,
    /// It is bad: it does not go on, and whoever sent it is to blame.
    Reject,
    /// It does not go on, and nobody is to blame.
    Ignore,
}

/// Messages that wait for a verdict.
pub(super) struct Pending {
    /// Bounded by [`super::GossipConfig::max_pending_messages`] and
    /// [`super::GossipConfig::max_pending_bytes`]. What was being verified when that was reached
    /// comes on top, within the bounds of [`super::SeenCacheConfig`].
    messages: BTreeMap<MessageId, (WireMessage, Timestamp)>,
    /// The same, in the order of their deadlines.
    deadlines: BTreeSet<(Timestamp, MessageId)>,
    bytes: usize,
    max_messages: usize,
    max_bytes: usize,
}

impl Pending {
    pub(super) fn new(max_messages: usize, max_bytes: usize) -> Self {
        Pending {
            messages: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            bytes: 0,
            max_messages,
            max_bytes,
        }
    }

    /// Whether no more messages should be taken.
    pub(super) fn is_full(&self) -> bool {
        self.messages.len() >= self.max_messages || self.bytes >= self.max_bytes
    }

    /// Whether a message waits.
    pub(super) fn contains(&self, id: &MessageId) -> bool {
        self.messages.contains_key(id)
    }

    pub(super) fn insert(&mut self, id: MessageId, message: WireMessage, deadline: Timestamp) {
        self.take(&id);
        let message = message.into_kept();
        self.bytes = self.bytes.saturating_add(message.held_bytes());
        self.deadlines.insert((deadline, id.clone()));
        self.messages.insert(id, (message, deadline));
    }

    fn take(&mut self, id: &MessageId) -> Option<WireMessage> {
        let (message, deadline) = self.messages.remove(id)?;
        self.deadlines.remove(&(deadline, id.clone()));
        self.bytes = self.bytes.saturating_sub(message.held_bytes());
        Some(message)
    }

    /// When the first is ignored; never at the end of time.
    pub(super) fn first_deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|(at, _)| *at).filter(|at| *at < Timestamp::MAX)
    }

    fn take_due(&mut self, now: Timestamp) -> Option<MessageId> {
        let (at, id) = self.deadlines.first().cloned()?;
        if at > now {
            return None;
        }
        self.take(&id);
        Some(id)
    }

    fn of_topic(&self, topic: &Topic) -> Vec<MessageId> {
        let messages = self.messages.iter().filter(|(_, (message, _))| message.topic == *topic);
        messages.map(|(id, _)| id.clone()).collect()
    }

    /// Bytes that they keep in memory.
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }
}

impl Gossip {
    /// Says what the application thinks of a message. Whether it waited for that; it does not
    /// after its deadline, when it was ignored.
    pub fn report(&mut self, now: Timestamp, id: &MessageId, acceptance: Acceptance) -> bool {
        let now = self.advance(now);
        let Some(message) = self.pending.take(id) else { return false };
        match acceptance {
            Acceptance::Accept => self.accepted(now, id, message),
            Acceptance::Reject => {
                self.seen.set_verdict(now, id, Verdict::Rejected);
                self.scores.message_rejected(now, id);
            }
            Acceptance::Ignore => self.ignored(now, id),
        }
        self.flush();
        true
    }

    fn ignored(&mut self, now: Timestamp, id: &MessageId) {
        self.seen.set_verdict(now, id, Verdict::Ignored);
        self.scores.message_ignored(now, id);
    }

    /// Ignores what has waited too long.
    pub(super) fn ignore_overdue(&mut self, now: Timestamp) {
        while let Some(id) = self.pending.take_due(now) {
            self.ignored(now, &id);
        }
    }

    /// Ignores what waits in a topic that is left.
    pub(super) fn forget_pending(&mut self, now: Timestamp, topic: &Topic) {
        for id in self.pending.of_topic(topic) {
            self.pending.take(&id);
            self.ignored(now, &id);
        }
    }

    /// How long messages of a topic wait for a verdict, if they do.
    pub(super) fn wait_for_verdict(&self, topic: &Topic) -> Option<Duration> {
        let settings = self.settings.get(topic);
        match settings.and_then(|settings| settings.validation).unwrap_or(self.config.validation) {
            Validation::Accept => None,
            Validation::Wait(time) => Some(time),
        }
    }
}
