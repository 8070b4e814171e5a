//! Which publisher may publish now, in a gossip run as fast as it goes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// How long a publisher rests after a message was refused.
const REST: Duration = Duration::from_millis(1);
/// A message that is not everywhere by then holds its publisher up no longer: longer than it takes
/// a heartbeat to mend what was lost.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long to wait at most before looking at the time again.
const LOOK: Duration = Duration::from_millis(1);

/// Deals out message numbers.
pub struct Pace {
    state: Mutex<State>,
    changed: Condvar,
    /// Messages of one publisher that hold it up at once.
    limit: usize,
    messages: usize,
}

struct State {
    publishers: Vec<Publisher>,
    /// Whose turn is next.
    turn: usize,
    next: usize,
    refused: VecDeque<usize>,
    /// Messages that hold their publishers up, and since when.
    holding: BTreeMap<usize, (usize, Instant)>,
}

#[derive(Clone)]
struct Publisher {
    holding: usize,
    rests_until: Instant,
}

impl Pace {
    pub fn new(publishers: usize, messages: usize, limit: usize) -> Self {
        let publisher = Publisher { holding: 0, rests_until: Instant::now() };
        let state = State {
            publishers: vec![publisher; publishers],
            turn: 0,
            next: 0,
            refused: VecDeque::new(),
            holding: BTreeMap::new(),
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), limit, messages }
    }

    /// The next publisher that may publish, and what; waits for one. `None` after `end`, and when
    /// all is published.
    pub fn next(&self, end: Instant) -> Option<(usize, usize)> {
        let mut state = self.state.lock().unwrap();
        loop {
            let now = Instant::now();
            if now >= end || (state.next >= self.messages && state.refused.is_empty()) {
                return None;
            }
            state.give_up(now);
            if let Some(publisher) = state.ready(now, self.limit) {
                return Some((publisher, state.deal(publisher, now)));
            }
            state = self.changed.wait_timeout(state, LOOK).unwrap().0;
        }
    }

    /// A message holds its publisher up no longer.
    pub fn release(&self, message: usize) {
        let ready = self.state.lock().unwrap().release(message).is_some();
        if ready {
            self.changed.notify_one();
        }
    }

    /// A message was refused, and is offered again.
    pub fn refused(&self, message: usize) {
        let mut state = self.state.lock().unwrap();
        if let Some(publisher) = state.release(message) {
            state.publishers[publisher].rests_until = Instant::now() + REST;
        }
        state.refused.push_back(message);
    }
}

impl State {
    fn give_up(&mut self, now: Instant) {
        // In the order of their numbers, which is nearly that of their times.
        while let Some((&message, &(_, since))) = self.holding.first_key_value()
            && now.duration_since(since) > PATIENCE
        {
            self.release(message);
        }
    }

    fn ready(&mut self, now: Instant, limit: usize) -> Option<usize> {
        let count = self.publishers.len();
        let found = (0..count).map(|step| (self.turn + step) % count).find(|&at| {
            let publisher = &self.publishers[at];
            publisher.holding < limit && publisher.rests_until <= now
        })?;
        self.turn = found + 1;
        Some(found)
    }

    fn deal(&mut self, publisher: usize, now: Instant) -> usize {
        let message = self.refused.pop_front().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        });
        self.publishers[publisher].holding += 1;
        self.holding.insert(message, (publisher, now));
        message
    }

    /// Whom it held up.
    fn release(&mut self, message: usize) -> Option<usize> {
        let (publisher, _) = self.holding.remove(&message)?;
        self.publishers[publisher].holding -= 1;
        Some(publisher)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(30)
    }

    #[test]
    fn publishers_take_turns_until_each_is_held_up() {
        let pace = Pace::new(2, 100, 2);
        let dealt: Vec<_> = std::iter::from_fn(|| pace.next(soon())).take(5).collect();
        assert_eq!(dealt, [(0, 0), (1, 1), (0, 2), (1, 3)]);
        pace.release(1);
        assert_eq!(pace.next(soon()), Some((1, 4)));
        // Released once, however often that is said.
        pace.release(1);
        assert_eq!(pace.next(soon()), None);
    }

    #[test]
    fn what_was_refused_is_dealt_again_and_all_is_dealt_once() {
        let pace = Pace::new(1, 2, 1);
        assert_eq!(pace.next(soon()), Some((0, 0)));
        pace.refused(0);
        assert_eq!(pace.next(soon()), Some((0, 0)));
        pace.release(0);
        assert_eq!(pace.next(soon()), Some((0, 1)));
        pace.release(1);
        assert_eq!(pace.next(soon()), None);
    }
}
