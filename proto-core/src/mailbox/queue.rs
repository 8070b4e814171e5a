//! [`Mailbox`]: one direction between a connection and Node.

use std::collections::{BTreeMap, VecDeque};

/// Where a message is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// In a place of its own, ahead of the queue; the latest replaces the one before. State: it
    /// cannot be refused or lost. Lower numbers come first.
    First(u8),
    /// In the queue, which is bounded.
    Queue,
    /// In a place of its own, behind the queue.
    Last,
}

/// A message that knows its place.
pub trait Message {
    /// Where it is kept.
    fn slot(&self) -> Slot;
}

/// One direction between a connection and Node. Nothing is allocated while it is empty.
#[derive(Debug)]
pub struct Mailbox<M> {
    capacity: usize,
    /// Bounded by the slots that the message type names.
    first: BTreeMap<u8, M>,
    /// Bounded by `capacity`.
    queue: VecDeque<M>,
    last: Option<M>,
}

impl<M: Message> Mailbox<M> {
    /// A mailbox whose queue holds `capacity` messages.
    pub fn new(capacity: usize) -> Self {
        Mailbox { capacity, first: BTreeMap::new(), queue: VecDeque::new(), last: None }
    }

    /// Whether the queue has room. The other places always have.
    pub fn has_room(&self) -> bool {
        self.queue.len() < self.capacity
    }

    /// How many messages the queue still takes.
    pub fn room(&self) -> usize {
        self.capacity.saturating_sub(self.queue.len())
    }

    /// Puts a message in its place; gives it back when the queue is full.
    pub fn push(&mut self, message: M) -> Result<(), M> {
        match message.slot() {
            Slot::First(place) => {
                self.first.insert(place, message);
            }
            Slot::Queue if self.has_room() => self.queue.push_back(message),
            Slot::Queue => return Err(message),
            Slot::Last => self.last = Some(message),
        }
        Ok(())
    }

    /// Takes the next message.
    pub fn pop(&mut self) -> Option<M> {
        if let Some((_, message)) = self.first.pop_first() {
            if self.first.is_empty() {
                // Emptied, a map keeps its last node.
                self.first = BTreeMap::new();
            }
            return Some(message);
        }
        let message = self.queue.pop_front();
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
        message.or_else(|| self.last.take())
    }

    /// Whether there is nothing to take.
    pub fn is_empty(&self) -> bool {
        self.first.is_empty() && self.queue.is_empty() && self.last.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    enum Test {
        State(u8, u32),
        Frame(u32),
        End,
    }

    impl Message for Test {
        fn slot(&self) -> Slot {
            match self {
                Test::State(place, _) => Slot::First(*place),
                Test::Frame(_) => Slot::Queue,
                Test::End => Slot::Last,
            }
        }
    }

    #[test]
    fn state_comes_first_the_latest_wins_and_the_end_comes_last() {
        let mut mailbox = Mailbox::new(2);
        mailbox.push(Test::End).unwrap();
        mailbox.push(Test::Frame(1)).unwrap();
        mailbox.push(Test::State(1, 10)).unwrap();
        mailbox.push(Test::State(1, 11)).unwrap();
        mailbox.push(Test::State(0, 5)).unwrap();
        let order: Vec<_> = core::iter::from_fn(|| mailbox.pop()).collect();
        assert_eq!(order, [Test::State(0, 5), Test::State(1, 11), Test::Frame(1), Test::End]);
    }

    #[test]
    fn a_full_queue_gives_frames_back_and_still_takes_state() {
        let mut mailbox = Mailbox::new(1);
        mailbox.push(Test::Frame(1)).unwrap();
        assert_eq!(mailbox.push(Test::Frame(2)), Err(Test::Frame(2)));
        assert_eq!(mailbox.push(Test::State(0, 1)), Ok(()));
        assert_eq!(mailbox.push(Test::End), Ok(()));
    }
}
