//! Queues at rest.

use std::collections::VecDeque;

/// What an empty queue may go on to hold room for: what one input commonly causes.
const RESTING_ENTRIES: usize = 8;

/// Lets a queue that is empty give its memory back, unless it is as much as it will need again at
/// once.
pub(crate) fn rest<T>(queue: &mut VecDeque<T>) {
    if queue.is_empty() && queue.capacity() > RESTING_ENTRIES {
        *queue = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_queue_keeps_little_and_a_full_one_everything() {
        let mut queue = VecDeque::from([1_u8; 100]);
        rest(&mut queue);
        assert_eq!(queue.len(), 100);
        queue.clear();
        rest(&mut queue);
        assert_eq!(queue.capacity(), 0);
        queue.reserve_exact(RESTING_ENTRIES);
        rest(&mut queue);
        assert_eq!(queue.capacity(), RESTING_ENTRIES);
    }
}
