//! [`Backoffs`]: whom not to graft, and until when.

use std::collections::{BTreeMap, BTreeSet};

use libp2p_identity::PeerId;

use super::topic::Topic;
use crate::time::Timestamp;

/// The most that are kept. A peer has one for each topic that we joined, and keeps it when it
/// leaves and comes back, so that peers which come and go could make as many as they like. Beyond
/// this the one that ends first is forgotten.
pub(super) const MAX_BACKOFFS: usize = 32 * 1024;

/// One peer in one topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Backoff {
    /// When it began, or was prolonged.
    pub(super) since: Timestamp,
    /// When it is over.
    pub(super) until: Timestamp,
}

/// Whom not to graft, by topic.
#[derive(Default)]
pub(super) struct Backoffs {
    /// At most [`MAX_BACKOFFS`].
    peers: BTreeMap<(Topic, PeerId), Backoff>,
    /// The same, in the order of their ends.
    ends: BTreeSet<(Timestamp, Topic, PeerId)>,
}

impl Backoffs {
    /// Backs a peer off until `until`, or longer if it is already.
    pub(super) fn add(&mut self, now: Timestamp, topic: &Topic, peer: PeerId, until: Timestamp) {
        let key = (topic.clone(), peer);
        let before = self.peers.get(&key).copied();
        let until = before.map_or(until, |backoff| backoff.until.max(until));
        if let Some(before) = before {
            self.ends.remove(&(before.until, topic.clone(), peer));
        } else if self.peers.len() >= MAX_BACKOFFS
            && let Some((_, topic, peer)) = self.ends.pop_first()
        {
            self.peers.remove(&(topic, peer));
        }
        self.ends.insert((until, topic.clone(), peer));
        self.peers.insert(key, Backoff { since: now, until });
    }

    /// The back-off of a peer, if it is not over.
    pub(super) fn get(&self, now: Timestamp, topic: &Topic, peer: &PeerId) -> Option<Backoff> {
        let backoff = self.peers.get(&(topic.clone(), *peer)).copied()?;
        (now < backoff.until).then_some(backoff)
    }

    /// Whether to leave a peer alone: its back-off is not over for `slack`. A remote that we pruned
    /// began to count later than we did.
    pub(super) fn holds(
        &self,
        now: Timestamp,
        topic: &Topic,
        peer: &PeerId,
        slack: core::time::Duration,
    ) -> bool {
        let backoff = self.peers.get(&(topic.clone(), *peer));
        backoff.is_some_and(|backoff| now < backoff.until.saturating_add(slack))
    }

    /// Forgets those that have been over for `slack` at least: a remote's clock started later.
    pub(super) fn clear(&mut self, now: Timestamp, slack: core::time::Duration) {
        while let Some((until, _, _)) = self.ends.first()
            && until.saturating_add(slack) <= now
            && let Some((_, topic, peer)) = self.ends.pop_first()
        {
            self.peers.remove(&(topic, peer));
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.peers.len()
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::identity::Identity;
    use crate::rng::Seed;

    fn peer(number: u64) -> PeerId {
        Identity::ed25519(&Seed::from_u64(number)).peer_id()
    }

    fn topic(name: &str) -> Topic {
        Topic::new(name).unwrap()
    }

    #[test]
    fn a_backoff_is_prolonged_and_never_cut_short() {
        let mut backoffs = Backoffs::default();
        let (t, p, s) = (topic("t"), peer(1), Timestamp::from_secs);
        backoffs.add(s(0), &t, p, s(60));
        backoffs.add(s(1), &t, p, s(10));
        assert_eq!(backoffs.get(s(59), &t, &p), Some(Backoff { since: s(1), until: s(60) }));
        backoffs.add(s(2), &t, p, s(70));
        assert_eq!(backoffs.get(s(69), &t, &p).map(|backoff| backoff.until), Some(s(70)));
        assert_eq!(backoffs.get(s(70), &t, &p), None);
        assert!(backoffs.holds(s(70), &t, &p, Duration::from_secs(1)));
        assert!(!backoffs.holds(s(71), &t, &p, Duration::from_secs(1)));
        assert_eq!(backoffs.get(s(3), &topic("u"), &p), None);
        assert_eq!(backoffs.len(), 1);
    }

    #[test]
    fn what_is_over_is_forgotten_after_the_slack() {
        let mut backoffs = Backoffs::default();
        let s = Timestamp::from_secs;
        backoffs.add(s(0), &topic("t"), peer(1), s(5));
        backoffs.add(s(0), &topic("t"), peer(2), s(7));
        backoffs.clear(s(5), Duration::from_secs(1));
        assert_eq!(backoffs.len(), 2);
        backoffs.clear(s(6), Duration::from_secs(1));
        assert_eq!(backoffs.len(), 1);
        backoffs.add(s(6), &topic("t"), peer(3), Timestamp::MAX);
        backoffs.clear(s(1_000_000), Duration::from_secs(1));
        assert_eq!(backoffs.len(), 1, "one lasts to the end of time");
    }

    #[test]
    fn the_map_is_bounded() {
        let mut backoffs = Backoffs::default();
        let p = peer(1);
        for number in 0..MAX_BACKOFFS as u64 + 10 {
            let until = Timestamp(1_000_000 + number);
            backoffs.add(Timestamp::ZERO, &topic(&number.to_string()), p, until);
        }
        assert_eq!(backoffs.len(), MAX_BACKOFFS);
        assert_eq!(backoffs.get(Timestamp::ZERO, &topic("9"), &p), None, "it ended first");
        assert!(backoffs.get(Timestamp::ZERO, &topic("10"), &p).is_some());
    }
}
