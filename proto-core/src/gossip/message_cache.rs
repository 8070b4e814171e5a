//! [`MessageCache`]: the messages of the last heartbeats, for peers that missed them.
//!
//! Time is counted in windows, one a heartbeat. Messages of the newer windows are announced
//! (IHAVE), those of all windows are sent when somebody asks (IWANT), a few times to each peer.
//!
//! Specification: [gossipsub 1.0, Message Cache](https://github.com/libp2p/specs/blob/master/pubsub/gossipsub/gossipsub-v1.0.md#message-cache).

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::id_map::IdMap;
use super::message::WireMessage;
use super::message_id::MessageId;
use super::topic::Topic;
use crate::rng::Seed;

/// How much is kept, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageCacheConfig {
    /// For how many heartbeats a message is kept. Default 5.
    pub history_length: usize,
    /// For how many heartbeats a message is announced; at most `history_length`. Default 3.
    pub gossip_length: usize,
    /// How often a peer gets the same message for asking. Default 3.
    pub max_retransmissions: u8,
    /// The most bytes, by what is kept in memory; the oldest messages go first. A longer message
    /// is not kept. Default 32 MiB.
    pub max_bytes: usize,
    /// The most messages; the oldest go first. Default 16,384.
    pub max_entries: usize,
}

/// The most peers to which one message is sent for asking, before it is asked for in vain.
pub const MAX_ASKERS: usize = 1_024;

/// What an entry takes beside its message, in bytes: itself, its id, and both where they are
/// looked up.
const ENTRY_BYTES: usize = 512;

/// What a peer that asked takes, in bytes.
const ASKER_BYTES: usize = 32;

/// What there is for a peer that wants a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// The message. It counts as sent to the peer.
    Message(&'a WireMessage),
    /// There is none of this id, or no longer.
    Unknown,
    /// The peer got it often enough.
    TooOften,
}

/// The messages of the last windows.
#[derive(Clone, Debug)]
pub struct MessageCache<P> {
    config: MessageCacheConfig,
    /// Bounded by `max_entries` and `max_bytes`.
    entries: IdMap<Entry<P>>,
    /// The newest first. Bounded by `history_length`, and together by the entries.
    windows: VecDeque<Window>,
    bytes: usize,
}

#[derive(Clone, Debug)]
struct Entry<P> {
    message: WireMessage,
    /// How often each peer got it for asking. Bounded by [`MAX_ASKERS`].
    askers: BTreeMap<P, u8>,
}

/// The ids of entries, in the order of arrival. Each entry is in one window, and goes with it.
#[derive(Clone, Debug, Default)]
struct Window {
    order: VecDeque<MessageId>,
    by_topic: BTreeMap<Topic, VecDeque<MessageId>>,
}

impl Default for MessageCacheConfig {
    fn default() -> Self {
        MessageCacheConfig {
            history_length: 5,
            gossip_length: 3,
            max_retransmissions: 3,
            max_bytes: 32 * 1024 * 1024,
            max_entries: 16_384,
        }
    }
}

impl<P: Ord> MessageCache<P> {
    /// An empty cache. `seed` keys its hashes.
    pub fn new(config: MessageCacheConfig, seed: &Seed) -> Self {
        MessageCache {
            config,
            entries: IdMap::new(seed),
            windows: VecDeque::from([Window::default()]),
            bytes: 0,
        }
    }

    /// Keeps a message that was accepted. Returns whether it is new, and not too long.
    pub fn put(&mut self, id: &MessageId, message: WireMessage) -> bool {
        let charge = charge(message.kept_bytes(), &message.topic);
        let fits = charge <= self.config.max_bytes && self.config.max_entries > 0;
        if !fits || self.entries.get(id.as_bytes()).is_some() {
            return false;
        }
        self.make_room(charge, 1);
        if let Some(window) = self.windows.front_mut() {
            window.order.push_back(id.clone());
            window.by_topic.entry(message.topic.clone()).or_default().push_back(id.clone());
        }
        self.bytes = self.bytes.saturating_add(charge);
        let message = message.into_kept();
        self.entries.insert(id.clone(), Entry { message, askers: BTreeMap::new() });
        true
    }

    /// A message, without its being counted.
    pub fn get(&self, id: &[u8]) -> Option<&WireMessage> {
        self.entries.get(id).map(|entry| &entry.message)
    }

    /// The message that `peer` wants, which is counted as sent.
    pub fn get_for_iwant(&mut self, id: &[u8], peer: P) -> Wanted<'_> {
        let Some(entry) = self.entries.get(id) else { return Wanted::Unknown };
        if !entry.askers.contains_key(&peer) {
            if entry.askers.len() >= MAX_ASKERS {
                return Wanted::TooOften;
            }
            // May forget the message itself, if it is the oldest.
            self.make_room(ASKER_BYTES, 0);
        }
        let max = self.config.max_retransmissions;
        let Some(entry) = self.entries.get_mut(id) else { return Wanted::Unknown };
        let before = entry.askers.len();
        let count = entry.askers.entry(peer).or_default();
        let often = *count >= max;
        *count = count.saturating_add(1).min(max);
        if entry.askers.len() > before {
            self.bytes = self.bytes.saturating_add(ASKER_BYTES);
        }
        if often { Wanted::TooOften } else { Wanted::Message(&entry.message) }
    }

    /// The ids of `topic` that are announced, newer windows first, in each in the order of
    /// arrival.
    pub fn gossip_ids(&self, topic: &Topic) -> impl Iterator<Item = &MessageId> {
        let windows = self.windows.iter().take(self.config.gossip_length);
        windows.filter_map(|window| window.by_topic.get(topic.as_str())).flatten()
    }

    /// A heartbeat: a new window begins, and what is in the oldest one is forgotten.
    pub fn shift(&mut self) {
        self.windows.push_front(Window::default());
        while self.windows.len() > self.config.history_length.max(1) {
            for id in self.windows.pop_back().into_iter().flat_map(|old| old.order) {
                self.forget(&id);
            }
        }
    }

    /// How many messages there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.len() == 0
    }

    /// Bytes that are kept in memory, at most `max_bytes`.
    pub fn held_bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets the oldest messages until there is room for `bytes` and `entries` more.
    fn make_room(&mut self, bytes: usize, entries: usize) {
        while self.bytes.saturating_add(bytes) > self.config.max_bytes
            || self.entries.len().saturating_add(entries) > self.config.max_entries
        {
            let oldest = self.windows.iter().rposition(|window| !window.order.is_empty());
            let Some(window) = oldest.and_then(|at| self.windows.get_mut(at)) else { return };
            let Some(id) = window.order.pop_front() else { return };
            if let Some(Entry { message, .. }) = self.entries.get(id.as_bytes()) {
                window.forget_oldest(&message.topic);
            }
            self.forget(&id);
        }
    }

    fn forget(&mut self, id: &MessageId) {
        let Some(Entry { message, askers }) = self.entries.remove(id.as_bytes()) else { return };
        let askers = askers.len().saturating_mul(ASKER_BYTES);
        let bytes = charge(message.held_bytes(), &message.topic).saturating_add(askers);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

impl Window {
    /// Forgets the oldest message of `topic`.
    fn forget_oldest(&mut self, topic: &Topic) {
        if let Some(of_topic) = self.by_topic.get_mut(topic.as_str()) {
            of_topic.pop_front();
            if of_topic.is_empty() {
                self.by_topic.remove(topic.as_str());
            }
        }
    }
}

/// What a message is charged, in bytes. The topic is beside it, in memory of its own.
fn charge(message_bytes: usize, topic: &Topic) -> usize {
    message_bytes.saturating_add(topic.as_str().len()).saturating_add(ENTRY_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gossip::message::MessageFields;
    use proptest::prelude::*;

    fn cache(config: MessageCacheConfig) -> MessageCache<u32> {
        MessageCache::new(config, &Seed::from_u64(1))
    }

    fn topic(name: &str) -> Topic {
        Topic::new(name).unwrap()
    }

    fn id(number: u32) -> MessageId {
        MessageId::new(&number.to_be_bytes()).unwrap()
    }

    fn message(name: &str, bytes: usize) -> WireMessage {
        MessageFields::new(topic(name), vec![7; bytes]).encode()
    }

    fn announced(cache: &MessageCache<u32>, name: &str) -> Vec<MessageId> {
        cache.gossip_ids(&topic(name)).cloned().collect()
    }

    #[test]
    fn a_message_is_announced_for_three_heartbeats_and_kept_for_five() {
        let mut cache = cache(MessageCacheConfig::default());
        assert!(cache.put(&id(1), message("t", 10)));
        for _ in 0..3 {
            assert_eq!(announced(&cache, "t"), [id(1)]);
            assert_eq!(announced(&cache, "u"), []);
            cache.shift();
        }
        for _ in 0..2 {
            assert_eq!(announced(&cache, "t"), []);
            assert!(cache.get(id(1).as_bytes()).is_some());
            cache.shift();
        }
        assert_eq!(cache.get(id(1).as_bytes()), None);
        assert_eq!((cache.len(), cache.held_bytes()), (0, 0));
    }

    #[test]
    fn a_peer_gets_a_message_three_times_for_asking() {
        let mut cache = cache(MessageCacheConfig::default());
        let kept = message("t", 10);
        cache.put(&id(1), kept.clone());
        for _ in 0..3 {
            assert_eq!(cache.get_for_iwant(id(1).as_bytes(), 7), Wanted::Message(&kept));
        }
        assert_eq!(cache.get_for_iwant(id(1).as_bytes(), 7), Wanted::TooOften);
        assert_eq!(cache.get_for_iwant(id(1).as_bytes(), 8), Wanted::Message(&kept));
        assert_eq!(cache.get_for_iwant(id(2).as_bytes(), 7), Wanted::Unknown);
        cache.shift();
        assert_eq!(cache.get_for_iwant(id(1).as_bytes(), 7), Wanted::TooOften);
    }

    #[test]
    fn peers_that_ask_are_bounded_and_charged_for() {
        let mut cache = cache(MessageCacheConfig::default());
        cache.put(&id(1), message("t", 10));
        let before = cache.held_bytes();
        let most = u32::try_from(MAX_ASKERS).unwrap();
        for peer in 0..most {
            assert!(matches!(cache.get_for_iwant(id(1).as_bytes(), peer), Wanted::Message(_)));
        }
        assert_eq!(cache.get_for_iwant(id(1).as_bytes(), most), Wanted::TooOften);
        assert_eq!(cache.held_bytes() - before, MAX_ASKERS * ASKER_BYTES);
        (0..5).for_each(|_| cache.shift());
        assert_eq!(cache.held_bytes(), 0);
    }

    #[test]
    fn a_message_is_kept_once() {
        let mut cache = cache(MessageCacheConfig::default());
        assert!(cache.put(&id(1), message("t", 10)));
        assert!(!cache.put(&id(1), message("u", 20)));
        assert_eq!(cache.len(), 1);
        assert_eq!(announced(&cache, "u"), []);
    }

    #[test]
    fn the_oldest_messages_make_room_for_new_ones() {
        let config = MessageCacheConfig { max_entries: 3, ..MessageCacheConfig::default() };
        let mut cache = cache(config);
        for number in 0..3 {
            cache.put(&id(number), message("t", 10));
            cache.shift();
        }
        assert!(cache.put(&id(3), message("t", 10)));
        assert_eq!(cache.get(id(0).as_bytes()), None);
        assert_eq!(announced(&cache, "t"), [id(3), id(2), id(1)]);
        cache.put(&id(4), message("t", 10));
        assert_eq!(cache.get(id(1).as_bytes()), None);
    }

    #[test]
    fn a_message_that_would_take_all_of_the_room_is_not_kept() {
        let config = MessageCacheConfig { max_bytes: 4_000, ..MessageCacheConfig::default() };
        let mut cache = cache(config);
        assert!(cache.put(&id(1), message("t", 3_000)));
        assert!(!cache.put(&id(2), message("t", 4_000)));
        assert!(cache.put(&id(3), message("t", 3_000)));
        assert_eq!((cache.get(id(1).as_bytes()), cache.len()), (None, 1));
    }

    #[test]
    fn a_small_message_of_a_large_frame_pins_no_frame() {
        let mut cache = cache(MessageCacheConfig::default());
        let small = message("t", 10).encoded;
        cache.put(&id(1), WireMessage::in_buffer(&small, 1 << 20).unwrap());
        assert!(cache.held_bytes() < 1_024, "{} bytes", cache.held_bytes());
        // Of a frame that is little more than the message, no copy is made.
        let large = WireMessage::in_buffer(&message("t", 1_000).encoded, 1_500).unwrap();
        let before = cache.held_bytes();
        cache.put(&id(2), large.clone());
        assert_eq!(cache.held_bytes() - before, 1_500 + 1 + ENTRY_BYTES);
        let kept = cache.get(id(2).as_bytes()).unwrap();
        assert_eq!(kept.encoded.as_ptr(), large.encoded.as_ptr());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Put(u32, usize),
        Ask(u32, u32),
        Shift,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0u32..20, 0usize..600).prop_map(|(id, bytes)| Step::Put(id, bytes)),
            4 => (0u32..20, 0u32..4).prop_map(|(id, peer)| Step::Ask(id, peer)),
            1 => Just(Step::Shift),
        ]
    }

    proptest! {
        /// Against a list of what was put, with its age.
        #[test]
        fn what_is_kept_is_young_and_within_bounds(steps in prop::collection::vec(step(), 0..200)) {
            let config = MessageCacheConfig {
                max_bytes: 8 * 1024,
                max_entries: 6,
                ..MessageCacheConfig::default()
            };
            let mut cache = cache(config);
            let mut put: Vec<(u32, usize)> = Vec::new();
            let mut sent = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Put(number, bytes) => {
                        if cache.put(&id(number), message("t", bytes)) {
                            put.retain(|(old, _)| *old != number);
                            sent.retain(|(old, _), _| *old != number);
                            put.push((number, 0));
                        }
                    }
                    Step::Ask(number, peer) => {
                        match cache.get_for_iwant(id(number).as_bytes(), peer) {
                            Wanted::Message(_) => {
                                let count = sent.entry((number, peer)).or_insert(0);
                                *count += 1;
                                prop_assert!(*count <= 3);
                            }
                            Wanted::TooOften => {
                                prop_assert_eq!(sent.get(&(number, peer)), Some(&3));
                            }
                            Wanted::Unknown => {}
                        }
                    }
                    Step::Shift => {
                        cache.shift();
                        put.iter_mut().for_each(|(_, age)| *age += 1);
                        put.retain(|(_, age)| *age < 5);
                    }
                }
                prop_assert!(cache.held_bytes() <= config.max_bytes);
                prop_assert!(cache.len() <= config.max_entries);
                // What is kept is the end of what was put, and what is announced its younger part.
                prop_assert!(cache.len() <= put.len());
                put.drain(..put.len() - cache.len());
                for (number, _) in &put {
                    prop_assert!(cache.get(id(*number).as_bytes()).is_some());
                }
                let mut young: Vec<_> =
                    put.iter().filter(|(_, age)| *age < 3).map(|(number, _)| id(*number)).collect();
                let mut announced = announced(&cache, "t");
                young.sort_unstable();
                announced.sort_unstable();
                prop_assert_eq!(announced, young);
            }
        }
    }
}
