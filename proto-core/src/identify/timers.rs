//! [`Timers`]: one time for each of any number of things.

use std::collections::{BTreeMap, BTreeSet};

use crate::time::Timestamp;

/// When something is due, for each `K`.
pub(super) struct Timers<K> {
    times: BTreeMap<K, Timestamp>,
    /// The same, in the order of time.
    order: BTreeSet<(Timestamp, K)>,
}

impl<K: Copy + Ord> Timers<K> {
    pub(super) fn new() -> Self {
        Timers { times: BTreeMap::new(), order: BTreeSet::new() }
    }

    /// Sets or changes a time. What is due at the end of time never is.
    pub(super) fn set(&mut self, key: K, at: Timestamp) {
        self.cancel(key);
        if at < Timestamp::MAX {
            self.times.insert(key, at);
            self.order.insert((at, key));
        }
    }

    pub(super) fn cancel(&mut self, key: K) {
        if let Some(at) = self.times.remove(&key) {
            self.order.remove(&(at, key));
        }
    }

    pub(super) fn is_set(&self, key: K) -> bool {
        self.times.contains_key(&key)
    }

    /// The earliest.
    pub(super) fn first(&self) -> Option<(Timestamp, K)> {
        self.order.first().copied()
    }

    /// Takes the earliest, if it is due.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Option<K> {
        let (at, key) = self.first()?;
        if at > now {
            return None;
        }
        self.cancel(key);
        Some(key)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.times.len(), self.order.len());
        self.times.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_come_in_the_order_of_time() {
        let mut timers = Timers::new();
        timers.set('a', Timestamp(5));
        timers.set('b', Timestamp(3));
        timers.set('c', Timestamp::MAX);
        timers.set('a', Timestamp(4));
        timers.set('d', Timestamp(1));
        timers.cancel('d');
        assert!(timers.is_set('a') && !timers.is_set('c') && !timers.is_set('d'));
        assert_eq!(timers.first(), Some((Timestamp(3), 'b')));
        assert_eq!(timers.take_due(Timestamp(2)), None);
        assert_eq!(timers.take_due(Timestamp(9)), Some('b'));
        assert_eq!(timers.take_due(Timestamp(9)), Some('a'));
        assert_eq!(timers.take_due(Timestamp::MAX), None);
        assert_eq!(timers.len(), 0);
    }
}
