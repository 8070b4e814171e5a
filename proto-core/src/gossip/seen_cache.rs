//! [`SeenCache`]: which messages came already, so that each is looked at once.
//!
//! An id is seen from the moment its signature holds, not before: otherwise a forged message with
//! an honest author and sequence number would keep the honest one out. While a copy is being
//! verified, its id has an entry of its own. Copies that are equal byte for byte share the verdict,
//! so that N of them cost one verification; a different copy waits until the one before it is
//! found forged.
//!
//! What the application thinks of a message stays with the id, so that whoever sends a rejected
//! message again is told apart from whoever is merely late.
//!
//! Senders are whatever small, never reused number the owner has for a peer.

use core::time::Duration;
use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::id_map::IdMap;
use super::message::WireMessage;
use super::message_id::MessageId;
use crate::rng::Seed;
use crate::time::Timestamp;

/// How much is remembered, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenCacheConfig {
    /// For how long an id is remembered, from when it was first seen. Default 120 s.
    pub ttl: Duration,
    /// The most ids that are remembered; beyond them the oldest are forgotten before their time.
    /// Default 131,072, about 20 MiB: a thousand messages a second.
    pub max_entries: usize,
    /// The most ids of which a copy is being verified. Default 1,024.
    pub max_verifying: usize,
    /// The most bytes of copies that are being verified or wait for it, by what they keep in
    /// memory; one copy is always let in. Default 8 MiB.
    pub max_verifying_bytes: usize,
    /// The most different copies of one id that wait while another one is verified, and never two
    /// from one sender. Default 16.
    pub max_waiting: usize,
}

/// The most senders that are noted for a copy or an id. Later ones are not told the verdict.
pub const MAX_SENDERS: usize = 128;

/// What the application thinks of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// It has not said yet.
    Pending,
    /// It is good, and was passed on.
    Accepted,
    /// It is bad: whoever sends it is to blame.
    Rejected,
    /// It is not passed on, and nobody is to blame.
    Ignored,
}

/// What a copy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// The first of its id. To be verified now, if it is signed.
    New,
    /// A duplicate of a message that was seen.
    Duplicate(Verdict),
    /// The same, byte for byte, as a copy that is being verified or waits for it.
    Shares,
    /// It differs from the copy that is being verified, and waits.
    Waits,
    /// There is no room for it among what is being verified. It is forgotten.
    Full,
}

/// What came of a verification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verified<P> {
    /// The copy is genuine, and its id is seen from now on.
    Genuine {
        /// The copy.
        message: WireMessage,
        /// Who sent it, in the order of arrival; at most [`MAX_SENDERS`].
        senders: Vec<P>,
        /// Who sent something else of the same id, which nobody verified.
        others: Vec<P>,
    },
    /// The copy is forged.
    Forged {
        /// The copy.
        message: WireMessage,
        /// Who sent it, in the order of arrival; at most [`MAX_SENDERS`].
        senders: Vec<P>,
        /// Whether another copy is to be verified now: [`SeenCache::verifying`].
        next: bool,
    },
    /// Nothing of this id is being verified.
    Unknown,
}

/// The messages that came.
#[derive(Clone, Debug)]
pub struct SeenCache<P> {
    config: SeenCacheConfig,
    /// Bounded by `max_entries` and `max_verifying`.
    entries: IdMap<Entry<P>>,
    /// Ids that are seen, in the order in which they came to be; those with an older time than
    /// their entry are left over. Bounded by `max_entries`.
    order: VecDeque<(Timestamp, MessageId)>,
    /// How many entries are being verified.
    verifying: usize,
    verifying_bytes: usize,
    forgotten: u64,
}

#[derive(Clone, Debug)]
enum Entry<P> {
    Verifying(Box<Verifying<P>>),
    Seen(Seen<P>),
}

#[derive(Clone, Debug)]
struct Verifying<P> {
    at: Timestamp,
    first: Copy<P>,
    /// Bounded by `max_waiting`.
    waiting: VecDeque<Copy<P>>,
}

#[derive(Clone, Debug)]
struct Copy<P> {
    message: WireMessage,
    /// Bounded by [`MAX_SENDERS`].
    senders: Vec<P>,
}

#[derive(Clone, Debug)]
struct Seen<P> {
    at: Timestamp,
    verdict: Verdict,
    /// Who sent it before there was a verdict. Bounded by [`MAX_SENDERS`].
    senders: Vec<P>,
}

impl Default for SeenCacheConfig {
    fn default() -> Self {
        SeenCacheConfig {
            ttl: Duration::from_secs(120),
            max_entries: 131_072,
            max_verifying: 1_024,
            max_verifying_bytes: 8 * 1024 * 1024,
            max_waiting: 16,
        }
    }
}

impl<P: Clone + Eq> SeenCache<P> {
    /// An empty cache. `seed` keys its hashes.
    pub fn new(config: SeenCacheConfig, seed: &Seed) -> Self {
        SeenCache {
            config,
            entries: IdMap::new(seed),
            order: VecDeque::new(),
            verifying: 0,
            verifying_bytes: 0,
            forgotten: 0,
        }
    }

    /// Takes a message that needs no verification. If it is [`Sight::New`], its id is seen from
    /// now on.
    pub fn see(&mut self, now: Timestamp, id: &MessageId, sender: P) -> Sight {
        self.expire(now);
        match self.live_entry(now, id) {
            Some(Entry::Seen(seen)) => seen.duplicate(sender),
            Some(Entry::Verifying(_)) => Sight::Full,
            None => {
                self.insert(now, id, Verdict::Pending, vec![sender]);
                Sight::New
            }
        }
    }

    /// Takes a message whose signature must be verified first. If it is [`Sight::New`], that is
    /// to be done now, and [`SeenCache::verified`] or [`SeenCache::give_up`] follows.
    pub fn check(
        &mut self,
        now: Timestamp,
        id: &MessageId,
        message: WireMessage,
        sender: P,
    ) -> Sight {
        self.expire(now);
        if let Some(Entry::Seen(seen)) = self.live_entry(now, id) {
            return seen.duplicate(sender);
        }
        let bytes = message.kept_bytes();
        let room = self.has_room(bytes);
        if let Some(Entry::Verifying(entry)) = self.entries.get_mut(id.as_bytes()) {
            if let Some(copy) = entry.copies().find(|copy| copy.is(&message)) {
                note(&mut copy.senders, sender);
                return Sight::Shares;
            }
            let waits = entry.waiting.iter().any(|copy| copy.senders.first() == Some(&sender));
            if waits || entry.waiting.len() >= self.config.max_waiting || !room {
                return Sight::Full;
            }
            entry.waiting.push_back(Copy::new(message, sender));
            self.verifying_bytes = self.verifying_bytes.saturating_add(bytes);
            return Sight::Waits;
        }
        if self.verifying >= self.config.max_verifying || !room {
            return Sight::Full;
        }
        let (first, waiting) = (Copy::new(message, sender), VecDeque::new());
        let entry = Entry::Verifying(Box::new(Verifying { at: now, first, waiting }));
        self.entries.insert(id.clone(), entry);
        self.verifying += 1;
        self.verifying_bytes = self.verifying_bytes.saturating_add(bytes);
        Sight::New
    }

    /// The copy of `id` that is being verified.
    pub fn verifying(&self, id: &MessageId) -> Option<&WireMessage> {
        match self.entries.get(id.as_bytes()) {
            Some(Entry::Verifying(entry)) => Some(&entry.first.message),
            Some(Entry::Seen(_)) | None => None,
        }
    }

    /// Takes the answer to a verification: whether the copy that [`SeenCache::verifying`] shows is
    /// genuine.
    pub fn verified(&mut self, id: &MessageId, genuine: bool) -> Verified<P> {
        let Some(entry) = self.take_verifying(id) else { return Verified::Unknown };
        let Verifying { at, first: Copy { message, senders }, mut waiting } = entry;
        if genuine {
            self.insert(at, id, Verdict::Pending, senders.clone());
            let others = waiting.into_iter().flat_map(|copy| copy.senders).collect();
            return Verified::Genuine { message, senders, others };
        }
        let next = waiting.pop_front();
        let forged = Verified::Forged { message, senders, next: next.is_some() };
        if let Some(first) = next {
            let bytes = waiting.iter().chain([&first]).map(|copy| copy.message.held_bytes());
            self.verifying_bytes = bytes.fold(self.verifying_bytes, usize::saturating_add);
            self.verifying += 1;
            let entry = Entry::Verifying(Box::new(Verifying { at, first, waiting }));
            self.entries.insert(id.clone(), entry);
        }
        forged
    }

    /// Forgets that `id` is being verified, because no answer will come, and every copy of it.
    /// Returns whether it was.
    pub fn give_up(&mut self, id: &MessageId) -> bool {
        self.take_verifying(id).is_some()
    }

    /// Remembers a message of our own. Returns whether its id is new.
    pub fn publish(&mut self, now: Timestamp, id: &MessageId) -> bool {
        self.expire(now);
        match self.live_entry(now, id) {
            Some(Entry::Seen(_)) => false,
            // What is being verified under this id cannot be ours, whatever it turns out to be.
            Some(Entry::Verifying(_)) => {
                self.take_verifying(id);
                self.insert(now, id, Verdict::Accepted, Vec::new());
                true
            }
            None => {
                self.insert(now, id, Verdict::Accepted, Vec::new());
                true
            }
        }
    }

    /// Takes the application's verdict. Returns who sent the message until now, in the order of
    /// arrival, or `None` if there is a verdict already or the id is not remembered.
    pub fn set_verdict(
        &mut self,
        now: Timestamp,
        id: &MessageId,
        verdict: Verdict,
    ) -> Option<Vec<P>> {
        match self.live_entry(now, id) {
            Some(Entry::Seen(seen)) if seen.verdict == Verdict::Pending => {
                seen.verdict = verdict;
                match verdict {
                    Verdict::Pending => Some(seen.senders.clone()),
                    Verdict::Accepted | Verdict::Rejected | Verdict::Ignored => {
                        Some(core::mem::take(&mut seen.senders))
                    }
                }
            }
            Some(Entry::Seen(_) | Entry::Verifying(_)) | None => None,
        }
    }

    /// What is thought of a message that was seen.
    pub fn verdict(&self, now: Timestamp, id: &[u8]) -> Option<Verdict> {
        match self.entries.get(id) {
            Some(Entry::Seen(seen)) if !self.is_over(now, seen.at) => Some(seen.verdict),
            Some(Entry::Seen(_) | Entry::Verifying(_)) | None => None,
        }
    }

    /// Whether there is no need to ask for a message: it was seen, or is being verified.
    pub fn knows(&self, now: Timestamp, id: &[u8]) -> bool {
        match self.entries.get(id) {
            Some(Entry::Seen(seen)) => !self.is_over(now, seen.at),
            Some(Entry::Verifying(_)) => true,
            None => false,
        }
    }

    /// How many ids are remembered, what is being verified included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.entries.len() == 0
    }

    /// Bytes of the copies that are being verified or wait for it, by what they keep in memory.
    pub fn verifying_bytes(&self) -> usize {
        self.verifying_bytes
    }

    /// How many ids were forgotten before their time, because there were too many.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Forgets what was seen too long ago. Every input does; worth calling when there is none.
    pub fn expire(&mut self, now: Timestamp) {
        while self.order.front().is_some_and(|(at, _)| self.is_over(now, *at)) {
            self.forget_oldest();
        }
    }

    /// Whether what was first seen at `at` is to be forgotten.
    fn is_over(&self, now: Timestamp, at: Timestamp) -> bool {
        now.saturating_since(at) >= self.config.ttl
    }

    /// The entry of `id`, if its time is not over. A message whose verification took long stands
    /// behind younger ones, so that not all that is over was forgotten.
    fn live_entry(&mut self, now: Timestamp, id: &MessageId) -> Option<&mut Entry<P>> {
        let ttl = self.config.ttl;
        let entry = self.entries.get_mut(id.as_bytes())?;
        match entry {
            Entry::Seen(seen) if now.saturating_since(seen.at) >= ttl => None,
            Entry::Seen(_) | Entry::Verifying(_) => Some(entry),
        }
    }

    fn insert(&mut self, at: Timestamp, id: &MessageId, verdict: Verdict, senders: Vec<P>) {
        while !self.order.is_empty() && self.order.len() >= self.config.max_entries {
            let before = self.entries.len();
            self.forget_oldest();
            self.forgotten += u64::from(self.entries.len() < before);
        }
        self.entries.insert(id.clone(), Entry::Seen(Seen { at, verdict, senders }));
        self.order.push_back((at, id.clone()));
    }

    fn forget_oldest(&mut self) {
        let Some((at, id)) = self.order.pop_front() else { return };
        match self.entries.get(id.as_bytes()) {
            Some(Entry::Seen(seen)) if seen.at == at => {
                self.entries.remove(id.as_bytes());
            }
            // Seen again since, after its time was over.
            Some(Entry::Seen(_) | Entry::Verifying(_)) | None => {}
        }
    }

    fn take_verifying(&mut self, id: &MessageId) -> Option<Verifying<P>> {
        // Looked up first, so that a message that was seen stays where it is.
        self.verifying(id)?;
        match self.entries.remove(id.as_bytes())? {
            Entry::Verifying(mut entry) => {
                let bytes: usize = entry.copies().map(|copy| copy.message.held_bytes()).sum();
                self.verifying_bytes = self.verifying_bytes.saturating_sub(bytes);
                self.verifying = self.verifying.saturating_sub(1);
                Some(*entry)
            }
            Entry::Seen(_) => None,
        }
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.verifying_bytes == 0
            || self.verifying_bytes.saturating_add(bytes) <= self.config.max_verifying_bytes
    }
}

impl<P> Verifying<P> {
    fn copies(&mut self) -> impl Iterator<Item = &mut Copy<P>> {
        core::iter::once(&mut self.first).chain(&mut self.waiting)
    }
}

impl<P> Copy<P> {
    fn new(message: WireMessage, sender: P) -> Self {
        Copy { message: message.into_kept(), senders: vec![sender] }
    }

    fn is(&self, message: &WireMessage) -> bool {
        self.message.encoded == message.encoded
    }
}

impl<P: Eq> Seen<P> {
    fn duplicate(&mut self, sender: P) -> Sight {
        match self.verdict {
            Verdict::Pending => note(&mut self.senders, sender),
            Verdict::Accepted | Verdict::Rejected | Verdict::Ignored => {}
        }
        Sight::Duplicate(self.verdict)
    }
}

/// Notes a sender, once.
fn note<P: Eq>(senders: &mut Vec<P>, sender: P) {
    if senders.len() < MAX_SENDERS && !senders.contains(&sender) {
        senders.push(sender);
    }
}

#[cfg(test)]
mod tests;
