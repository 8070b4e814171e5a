//! [`IdMap`]: a map keyed by message ids, which are long and begin alike.
//!
//! Default ids begin with their author's peer id, so that a plain ordered map would follow a
//! pointer and compare forty bytes at each step. Here a keyed hash comes first, beside the id in
//! the node; the id itself only decides among equal hashes. Whoever finds equal hashes gains
//! nothing: the order stays total, and a step logarithmic.

use core::borrow::Borrow;
use core::cmp::Ordering;
use std::collections::BTreeMap;

use super::message_id::MessageId;
use crate::rng::Seed;

/// A map keyed by message ids. It cannot be iterated over. Its owner bounds it.
#[derive(Clone, Debug)]
pub(super) struct IdMap<V> {
    secret: [u64; 2],
    map: BTreeMap<Key, V>,
}

#[derive(Clone, Debug)]
struct Key {
    hash: u64,
    id: MessageId,
}

/// What a [`Key`] is compared by; lets the map be asked for bytes.
trait Hashed {
    fn parts(&self) -> (u64, &[u8]);
}

struct Sought<'a> {
    hash: u64,
    id: &'a [u8],
}

impl<V> IdMap<V> {
    /// An empty map whose hashes depend on `seed`.
    pub(super) fn new(seed: &Seed) -> Self {
        let mut rng = seed.derive("message id hash", 0).rng();
        // Odd factors, so that no multiplication loses what was mixed in before.
        let secret = [rng.next_u64() | 1, rng.next_u64() | 1];
        IdMap { secret, map: BTreeMap::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.map.len()
    }

    pub(super) fn get(&self, id: &[u8]) -> Option<&V> {
        let sought = Sought { hash: self.hash(id), id };
        self.map.get(&sought as &dyn Hashed)
    }

    pub(super) fn get_mut(&mut self, id: &[u8]) -> Option<&mut V> {
        let sought = Sought { hash: self.hash(id), id };
        self.map.get_mut(&sought as &dyn Hashed)
    }

    /// Puts `value` in; what was there before.
    pub(super) fn insert(&mut self, id: MessageId, value: V) -> Option<V> {
        let hash = self.hash(id.as_bytes());
        self.map.insert(Key { hash, id }, value)
    }

    pub(super) fn remove(&mut self, id: &[u8]) -> Option<V> {
        let sought = Sought { hash: self.hash(id), id };
        self.map.remove(&sought as &dyn Hashed)
    }

    fn hash(&self, id: &[u8]) -> u64 {
        let [first, second] = self.secret;
        let mut hash = first ^ id.len() as u64;
        for chunk in id.chunks(8) {
            let mut word = [0; 8];
            word.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
            hash = folded_product(hash ^ u64::from_le_bytes(word), second);
        }
        folded_product(hash, first)
    }
}

/// Both halves of the product, one over the other: each bit depends on all bits of both factors.
fn folded_product(a: u64, b: u64) -> u64 {
    let product = u128::from(a).wrapping_mul(u128::from(b)).to_le_bytes();
    let (mut low, mut high) = ([0; 8], [0; 8]);
    low.copy_from_slice(&product[..8]);
    high.copy_from_slice(&product[8..]);
    u64::from_le_bytes(low) ^ u64::from_le_bytes(high)
}

impl Hashed for Key {
    fn parts(&self) -> (u64, &[u8]) {
        (self.hash, self.id.as_bytes())
    }
}

impl Hashed for Sought<'_> {
    fn parts(&self) -> (u64, &[u8]) {
        (self.hash, self.id)
    }
}

impl<'a> Borrow<dyn Hashed + 'a> for Key {
    fn borrow(&self) -> &(dyn Hashed + 'a) {
        self
    }
}

impl PartialEq for dyn Hashed + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for dyn Hashed + '_ {}

impl PartialOrd for dyn Hashed + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for dyn Hashed + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        self.parts().cmp(&other.parts())
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.parts().cmp(&other.parts())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(bytes: &[u8]) -> MessageId {
        MessageId::new(bytes).unwrap()
    }

    #[test]
    fn hashes_depend_on_the_seed_and_on_every_byte() {
        let (one, two) = (IdMap::<()>::new(&Seed::from_u64(1)), IdMap::new(&Seed::from_u64(2)));
        let ids: Vec<Vec<u8>> = (0..46)
            .map(|at| {
                let mut id = vec![7; 46];
                id[at] = 8;
                id
            })
            .chain([vec![7; 46], vec![7; 45], vec![7; 40], vec![0; 8], vec![0; 9]])
            .collect();
        let mut hashes: Vec<u64> =
            ids.iter().flat_map(|id| [one.hash(id), IdMap::<u8>::hash(&two, id)]).collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), 2 * ids.len());
    }

    proptest! {
        #[test]
        fn it_is_a_map(
            steps in prop::collection::vec((0u8..3, prop::collection::vec(0u8..3, 1..12)), 0..200),
        ) {
            let mut map = IdMap::new(&Seed::from_u64(1));
            let mut plain = BTreeMap::new();
            for (number, (kind, bytes)) in steps.into_iter().enumerate() {
                match kind {
                    0 => prop_assert_eq!(
                        map.insert(id(&bytes), number),
                        plain.insert(bytes.clone(), number)
                    ),
                    1 => prop_assert_eq!(map.remove(&bytes), plain.remove(&bytes)),
                    _ => prop_assert_eq!(map.get_mut(&bytes), plain.get_mut(&bytes)),
                }
                prop_assert_eq!(map.get(&bytes), plain.get(&bytes));
                prop_assert_eq!(map.len(), plain.len());
            }
        }
    }
}
