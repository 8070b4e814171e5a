//! Which stream ids the remote has used.
//!
//! Ids must not come twice, or events of an old stream would be taken for a new one's. They may
//! come a little out of order: go-yamux numbers a stream before it takes the write lock.

use std::collections::BTreeSet;

use crate::mux::Role;

/// Ids below the highest that were skipped and may still come. Beyond this many the lowest are
/// given up.
const MAX_SKIPPED_IDS: usize = 1024;

#[derive(Debug)]
pub(super) struct RemoteIds {
    /// The lowest id that is above all that were used.
    next: u64,
    skipped: BTreeSet<u32>,
}

impl RemoteIds {
    /// The ids of a remote with this role: a dialer's are odd, a listener's even.
    pub(super) fn of(remote: Role) -> Self {
        let next = match remote {
            Role::Dialer => 1,
            Role::Listener => 2,
        };
        RemoteIds { next, skipped: BTreeSet::new() }
    }

    /// Whether `id` has the remote's parity.
    pub(super) fn has_parity(&self, id: u32) -> bool {
        id != 0 && u64::from(id) % 2 == self.next % 2
    }

    /// Marks `id` as used; false if it was used before.
    pub(super) fn take(&mut self, id: u32) -> bool {
        if u64::from(id) < self.next {
            return self.skipped.remove(&id);
        }
        let skipped_from = self.next.max(u64::from(id).saturating_sub(2 * MAX_SKIPPED_IDS as u64));
        // Keeps the parity when the range was cut at its lower end.
        let skipped_from = skipped_from + (skipped_from % 2 + self.next % 2) % 2;
        self.skipped.extend(
            (skipped_from..u64::from(id)).step_by(2).filter_map(|id| u32::try_from(id).ok()),
        );
        while self.skipped.len() > MAX_SKIPPED_IDS {
            self.skipped.pop_first();
        }
        self.next = u64::from(id) + 2;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_id_is_taken_once_in_almost_any_order() {
        let mut ids = RemoteIds::of(Role::Dialer);
        assert!(ids.take(1));
        assert!(ids.take(7));
        assert!(ids.take(3));
        assert!(ids.take(5));
        for used in [1, 3, 5, 7] {
            assert!(!ids.take(used), "{used} was taken twice");
        }
        assert!(ids.take(u32::MAX));
        assert!(!ids.take(9), "given up");
        assert!(ids.take(u32::MAX - 2));
        assert!(ids.skipped.len() <= MAX_SKIPPED_IDS);
    }

    #[test]
    fn parity_is_the_role_of_the_remote() {
        assert!(RemoteIds::of(Role::Dialer).has_parity(1));
        assert!(!RemoteIds::of(Role::Dialer).has_parity(2));
        assert!(RemoteIds::of(Role::Listener).has_parity(2));
        assert!(!RemoteIds::of(Role::Listener).has_parity(0));
    }
}
