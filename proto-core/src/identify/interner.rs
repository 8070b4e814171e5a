//! [`Interner`]: peers that speak the same protocols share their names.

use std::collections::BTreeSet;

use crate::protocol::ProtocolId;

/// The most names that are remembered. A network has fewer; whoever makes names up only spoils the
/// sharing, and of at most 256 KiB.
const MAX_NAMES: usize = 256;

/// Names that were seen. When it is full it forgets all and begins anew.
#[derive(Default)]
pub(super) struct Interner(BTreeSet<ProtocolId>);

impl Interner {
    /// `id`, sharing its text with an equal one that was seen before.
    pub(super) fn intern(&mut self, id: ProtocolId) -> ProtocolId {
        if let Some(seen) = self.0.get(&id) {
            return seen.clone();
        }
        if self.0.len() >= MAX_NAMES {
            self.0.clear();
        }
        self.0.insert(id.clone());
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_names_share_their_text() {
        let mut interner = Interner::default();
        let mut intern = || interner.intern(ProtocolId::new("/a").unwrap());
        let (one, two) = (intern(), intern());
        assert!(core::ptr::eq(one.as_str(), two.as_str()));
    }

    #[test]
    fn names_are_bounded() {
        let mut interner = Interner::default();
        for n in 0..10 * MAX_NAMES {
            interner.intern(ProtocolId::new(&n.to_string()).unwrap());
            assert!(interner.0.len() <= MAX_NAMES);
        }
    }
}
