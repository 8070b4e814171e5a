//! [`DontWant`]: messages that a peer does not want from us (gossipsub v1.2).

use std::collections::{BTreeMap, VecDeque};

use super::message_id::MessageId;

/// Ids of one peer's IDONTWANTs, each with the heartbeat at which it is forgotten.
#[derive(Default)]
pub(super) struct DontWant {
    /// Bounded by [`super::GossipConfig::max_dont_want_ids`].
    ids: BTreeMap<MessageId, u64>,
    /// The same, the oldest first.
    order: VecDeque<(u64, MessageId)>,
}

impl DontWant {
    /// Remembers an id until heartbeat `until`. Of more than `max` the oldest is forgotten. Whether
    /// it is new.
    pub(super) fn insert(&mut self, id: MessageId, until: u64, max: usize) -> bool {
        if self.ids.contains_key(&id) || max == 0 {
            return false;
        }
        while self.ids.len() >= max
            && let Some((_, oldest)) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        self.order.push_back((until, id.clone()));
        self.ids.insert(id, until);
        true
    }

    /// Whether the peer does not want this message.
    pub(super) fn contains(&self, id: &MessageId) -> bool {
        self.ids.contains_key(id)
    }

    /// Forgets what holds no longer at heartbeat `tick`.
    pub(super) fn expire(&mut self, tick: u64) {
        while let Some((until, _)) = self.order.front()
            && *until <= tick
            && let Some((_, id)) = self.order.pop_front()
        {
            self.ids.remove(&id);
        }
        if self.order.is_empty() {
            *self = DontWant::default();
        }
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.ids.len(), self.order.len());
        self.ids.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> MessageId {
        MessageId::new(&number.to_be_bytes()).unwrap()
    }

    #[test]
    fn an_id_is_kept_for_its_heartbeats() {
        let mut ids = DontWant::default();
        assert!(ids.insert(id(1), 3, 10));
        assert!(ids.insert(id(2), 4, 10));
        assert!(!ids.insert(id(1), 9, 10), "said once more, it lasts no longer");
        ids.expire(2);
        assert!(ids.contains(&id(1)));
        ids.expire(3);
        assert!(!ids.contains(&id(1)) && ids.contains(&id(2)));
        ids.expire(4);
        assert_eq!(ids.len(), 0);
    }

    #[test]
    fn beyond_the_bound_the_oldest_is_forgotten() {
        let mut ids = DontWant::default();
        for number in 0..100 {
            ids.insert(id(number), 3, 10);
        }
        assert_eq!(ids.len(), 10);
        assert!(!ids.contains(&id(89)) && ids.contains(&id(90)));
        assert!(!ids.insert(id(1), 3, 0));
    }
}
