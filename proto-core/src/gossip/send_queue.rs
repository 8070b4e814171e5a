//! [`SendQueue`]: frames that wait for one peer, in three priorities, until its stream has credit.
//!
//! What does not fit, or has waited too long, is lost for this peer and counted. Nobody else
//! notices.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::config::QueueLimits;
use super::dont_want::DontWant;
use super::message_id::MessageId;
use crate::connection::SEND_CREDIT_BYTES;
use crate::mailbox::Frame;
use crate::time::Timestamp;

/// What a peer lost because it did not take it in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// Ids of IHAVE, IWANT and IDONTWANT, and at worst a GRAFT or PRUNE.
    pub control: u64,
    /// Messages of our own.
    pub published: u64,
    /// Messages of others.
    pub forwarded: u64,
}

/// Which messages a queue holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Our own.
    Publish,
    /// Those of others.
    Forward,
}

/// What waits for one peer.
#[derive(Default)]
pub(super) struct SendQueue {
    /// Control that is encoded. One batch at a time, whose size the backlog bounds.
    control: VecDeque<Frame>,
    publish: Waiting,
    forward: Waiting,
    /// Bytes that were sent and whose credit did not come back.
    under_way: u64,
    /// What was lost since it was last asked for.
    lost: Lost,
}

/// Messages in the order in which they came; bounded by [`QueueLimits`].
#[derive(Default)]
struct Waiting {
    entries: VecDeque<Entry>,
    bytes: usize,
}

struct Entry {
    id: MessageId,
    frame: Frame,
    since: Timestamp,
}

impl Lost {
    /// Whether nothing was.
    pub fn is_empty(&self) -> bool {
        *self == Lost::default()
    }

    fn of(&mut self, lane: Lane) -> &mut u64 {
        match lane {
            Lane::Publish => &mut self.published,
            Lane::Forward => &mut self.forwarded,
        }
    }
}

impl SendQueue {
    /// Takes control that is encoded.
    pub(super) fn push_control(&mut self, frames: impl IntoIterator<Item = Frame>) {
        self.control.extend(frames);
    }

    /// Whether encoded control waits.
    pub(super) fn has_control(&self) -> bool {
        !self.control.is_empty()
    }

    /// Takes a message; false if there is no room for it, which is counted.
    pub(super) fn push(
        &mut self,
        now: Timestamp,
        lane: Lane,
        limits: QueueLimits,
        id: MessageId,
        frame: Frame,
    ) -> bool {
        self.expire(now, lane, limits);
        let waiting = self.lane(lane);
        let full = waiting.bytes.saturating_add(frame.len()) > limits.max_bytes;
        if full && !waiting.entries.is_empty() {
            self.count_lost(lane, 1);
            return false;
        }
        waiting.bytes = waiting.bytes.saturating_add(frame.len());
        waiting.entries.push_back(Entry { id, frame, since: now });
        true
    }

    /// Forgets what has waited too long.
    pub(super) fn expire(&mut self, now: Timestamp, lane: Lane, limits: QueueLimits) {
        let waiting = self.lane(lane);
        let mut count = 0;
        while let Some(first) = waiting.entries.front()
            && now.saturating_since(first.since) >= limits.max_age
        {
            waiting.pop();
            count += 1;
        }
        self.count_lost(lane, count);
    }

    /// The next frame, if there is credit for one: control first, then our own messages. Those
    /// that the peer does not want meanwhile are left out.
    pub(super) fn next(&mut self, dont_want: &DontWant) -> Option<Frame> {
        if !self.has_credit() {
            return None;
        }
        let frame = (self.control.pop_front())
            .or_else(|| self.publish.pop_wanted(dont_want))
            .or_else(|| self.forward.pop_wanted(dont_want))?;
        self.under_way = self.under_way.saturating_add(frame.len() as u64);
        Some(frame)
    }

    /// Whether a frame may be sent.
    pub(super) fn has_credit(&self) -> bool {
        self.under_way < SEND_CREDIT_BYTES as u64
    }

    /// Credit came back.
    pub(super) fn credit(&mut self, bytes: u64) {
        self.under_way = self.under_way.saturating_sub(bytes);
    }

    /// Counts control that was lost.
    pub(super) fn lose_control(&mut self, count: u64) {
        self.lost.control = self.lost.control.saturating_add(count);
    }

    /// What was lost since this was last called.
    pub(super) fn take_lost(&mut self) -> Lost {
        core::mem::take(&mut self.lost)
    }

    /// The stream is gone, with what waited for it; nothing is under way. That is no slowness, so
    /// it is not counted as lost.
    pub(super) fn clear(&mut self) {
        *self = SendQueue { lost: self.lost, ..SendQueue::default() };
    }

    /// A queue at rest holds no memory.
    pub(super) fn release(&mut self) {
        if self.control.is_empty() {
            self.control = VecDeque::new();
        }
        for waiting in [&mut self.publish, &mut self.forward] {
            if waiting.entries.is_empty() {
                waiting.entries = VecDeque::new();
            }
        }
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.control.is_empty()
            && self.publish.entries.is_empty()
            && self.forward.entries.is_empty()
    }

    /// Bytes of messages that wait.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.publish.bytes.saturating_add(self.forward.bytes)
    }

    /// Bytes of encoded control that wait.
    pub(super) fn control_bytes(&self) -> usize {
        self.control.iter().map(Frame::len).sum()
    }

    fn lane(&mut self, lane: Lane) -> &mut Waiting {
        match lane {
            Lane::Publish => &mut self.publish,
            Lane::Forward => &mut self.forward,
        }
    }

    fn count_lost(&mut self, lane: Lane, count: u64) {
        let lost = self.lost.of(lane);
        *lost = lost.saturating_add(count);
    }
}

impl Waiting {
    fn pop(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front()?;
        self.bytes = self.bytes.saturating_sub(entry.frame.len());
        Some(entry)
    }

    fn pop_wanted(&mut self, dont_want: &DontWant) -> Option<Frame> {
        loop {
            let entry = self.pop()?;
            if !dont_want.contains(&entry.id) {
                return Some(entry.frame);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    const LIMITS: QueueLimits = QueueLimits { max_bytes: 1000, max_age: Duration::from_secs(1) };

    fn id(number: u8) -> MessageId {
        MessageId::new(&[number]).unwrap()
    }

    fn frame(length: usize) -> Frame {
        Frame::new(vec![0; length])
    }

    fn lengths(queue: &mut SendQueue) -> Vec<usize> {
        core::iter::from_fn(|| queue.next(&DontWant::default())).map(|frame| frame.len()).collect()
    }

    #[test]
    fn control_goes_before_our_own_and_our_own_before_those_of_others() {
        let mut queue = SendQueue::default();
        let now = Timestamp::ZERO;
        assert!(queue.push(now, Lane::Forward, LIMITS, id(1), frame(1)));
        assert!(queue.push(now, Lane::Publish, LIMITS, id(2), frame(2)));
        queue.push_control([frame(3), frame(4)]);
        assert_eq!(lengths(&mut queue), [3, 4, 2, 1]);
        assert_eq!(queue.waiting_bytes(), 0);
    }

    #[test]
    fn a_frame_is_sent_while_less_than_the_credit_is_under_way() {
        let mut queue = SendQueue::default();
        let limits = QueueLimits { max_bytes: usize::MAX, ..LIMITS };
        for number in 0..3 {
            queue.push(
                Timestamp::ZERO,
                Lane::Forward,
                limits,
                id(number),
                frame(SEND_CREDIT_BYTES - 1),
            );
        }
        assert_eq!(lengths(&mut queue).len(), 2, "the second goes beyond it");
        queue.credit(SEND_CREDIT_BYTES as u64 - 1);
        assert_eq!(lengths(&mut queue).len(), 1);
        queue.credit(u64::MAX);
        assert!(queue.has_credit());
    }

    #[test]
    fn what_does_not_fit_or_is_too_old_is_counted() {
        let mut queue = SendQueue::default();
        let now = Timestamp::ZERO;
        assert!(queue.push(now, Lane::Forward, LIMITS, id(1), frame(5000)), "one always may");
        assert!(!queue.push(now, Lane::Forward, LIMITS, id(2), frame(1)));
        assert!(queue.push(now, Lane::Publish, LIMITS, id(3), frame(1000)));
        assert!(!queue.push(now, Lane::Publish, LIMITS, id(4), frame(1)));
        assert_eq!(queue.take_lost(), Lost { control: 0, published: 1, forwarded: 1 });
        assert!(queue.push(Timestamp::from_secs(1), Lane::Forward, LIMITS, id(2), frame(7)));
        assert_eq!(queue.take_lost(), Lost { control: 0, published: 0, forwarded: 1 });
        assert_eq!(lengths(&mut queue), [1000, 7]);
        assert!(queue.take_lost().is_empty());
    }

    #[test]
    fn a_message_that_is_not_wanted_meanwhile_is_left_out() {
        let mut queue = SendQueue::default();
        for number in 1..=3 {
            queue.push(Timestamp::ZERO, Lane::Forward, LIMITS, id(number), frame(number.into()));
        }
        let mut dont_want = DontWant::default();
        dont_want.insert(id(2), 3, 10);
        let sent = core::iter::from_fn(|| queue.next(&dont_want));
        assert_eq!(sent.map(|frame| frame.len()).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(queue.waiting_bytes(), 0);
        assert!(queue.take_lost().is_empty(), "it is not lost");
    }

    #[test]
    fn with_its_stream_goes_what_waits_for_it() {
        let mut queue = SendQueue::default();
        queue.push(Timestamp::ZERO, Lane::Forward, LIMITS, id(1), frame(10));
        queue.push(Timestamp::ZERO, Lane::Publish, LIMITS, id(2), frame(10));
        queue.push_control([frame(SEND_CREDIT_BYTES)]);
        assert_eq!(lengths(&mut queue), [SEND_CREDIT_BYTES]);
        assert!(!queue.has_credit());
        queue.clear();
        assert!(queue.has_credit());
        assert_eq!(lengths(&mut queue), [0; 0]);
        assert!(queue.take_lost().is_empty());
    }
}
