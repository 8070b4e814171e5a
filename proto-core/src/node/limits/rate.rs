//! [`ArrivalRate`]: how often each network may come.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use super::Network;
use crate::time::Timestamp;

/// A token bucket for each network, kept as the time when it is full again: the generic cell rate
/// algorithm (ITU-T I.371). A full bucket is not kept.
#[derive(Debug)]
pub(super) struct ArrivalRate {
    interval: Duration,
    burst: u32,
    max_networks: usize,
    /// When each is full again.
    full_at: BTreeMap<Network, Timestamp>,
    /// The same, the fullest first.
    fullest: BTreeSet<(Timestamp, Network)>,
}

impl ArrivalRate {
    /// Each network may come `burst` times at once, and once in `interval` after that.
    pub(super) fn new(interval: Duration, burst: u32, max_networks: usize) -> Self {
        let (full_at, fullest) = (BTreeMap::new(), BTreeSet::new());
        ArrivalRate { interval, burst, max_networks, full_at, fullest }
    }

    /// Takes a token of `network`, if there is one.
    pub(super) fn take(&mut self, now: Timestamp, network: Network) -> bool {
        self.forget_full(now);
        let full_at = self.full_at.get(&network).copied().unwrap_or(now);
        let next = full_at.saturating_add(self.interval);
        if next.saturating_since(now) > self.interval.saturating_mul(self.burst) {
            return false;
        }
        self.fullest.remove(&(full_at, network));
        self.fullest.insert((next, network));
        self.full_at.insert(network, next);
        if self.fullest.len() > self.max_networks {
            self.forget_fullest();
        }
        true
    }

    fn forget_full(&mut self, now: Timestamp) {
        while self.fullest.first().is_some_and(|(full_at, _)| *full_at <= now) {
            self.forget_fullest();
        }
    }

    fn forget_fullest(&mut self) {
        if let Some((_, network)) = self.fullest.pop_first() {
            self.full_at.remove(&network);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.full_at.len(), self.fullest.len(), "two views of the same buckets");
        self.fullest.len()
    }

    #[cfg(test)]
    pub(super) fn networks(&self) -> impl Iterator<Item = &Network> {
        self.full_at.keys()
    }
}
