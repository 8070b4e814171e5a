//! Choices at random, from the seed.

use crate::rng::Rng;

/// A number below `bound`, which is not zero. The bias of so small a bound in 64 bits is none.
fn below(rng: &mut Rng, bound: usize) -> usize {
    let bound = u64::try_from(bound).unwrap_or(u64::MAX);
    usize::try_from(rng.next_u64() % bound).unwrap_or(0)
}

/// Moves `count` elements, chosen at random, to the front in random order, and returns them.
pub(super) fn choose<'a, T>(rng: &mut Rng, items: &'a mut [T], count: usize) -> &'a mut [T] {
    let count = count.min(items.len());
    for place in 0..count {
        let other = place + below(rng, items.len() - place);
        items.swap(place, other);
    }
    &mut items[..count]
}

/// Keeps `count` elements, chosen at random.
pub(super) fn keep<T>(rng: &mut Rng, items: &mut Vec<T>, count: usize) {
    choose(rng, items, count);
    items.truncate(count);
}

/// Brings all elements into a random order.
pub(super) fn shuffle<T>(rng: &mut Rng, items: &mut [T]) {
    let count = items.len();
    choose(rng, items, count);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Seed;

    #[test]
    fn chosen_elements_are_different_ones_of_the_list() {
        let mut rng = Seed::from_u64(1).rng();
        for count in 0..12 {
            let mut items: Vec<u32> = (0..10).collect();
            keep(&mut rng, &mut items, count);
            assert_eq!(items.len(), count.min(10));
            items.sort_unstable();
            items.dedup();
            assert_eq!(items.len(), count.min(10));
            assert!(items.iter().all(|item| *item < 10));
        }
    }

    #[test]
    fn every_element_is_chosen_about_equally_often() {
        let mut rng = Seed::from_u64(2).rng();
        let mut chosen = [0u32; 10];
        for _ in 0..10_000 {
            let mut items: Vec<usize> = (0..10).collect();
            keep(&mut rng, &mut items, 3);
            items.iter().for_each(|item| chosen[*item] += 1);
        }
        assert!(chosen.iter().all(|count| (2_700..3_300).contains(count)), "{chosen:?}");
    }
}
