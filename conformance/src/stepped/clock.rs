//! [`StepClock`]: a clock that moves only when it is told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use sanspeer_core::time::Timestamp;
use sanspeer_driver::runtime::Timer;

/// A clock that moves only when it is told.
#[derive(Debug, Default)]
pub struct StepClock {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    now: Timestamp,
    next_timer: u64,
    /// Timers that are waited for, by their numbers: when they are due, and whom they wake.
    waiting: BTreeMap<u64, (Timestamp, Waker)>,
}

impl StepClock {
    /// A clock at [`Timestamp::ZERO`].
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.lock().now
    }

    /// Moves on, and wakes whoever waited for a moment until then.
    pub fn advance(&self, by: Duration) {
        let due: Vec<Waker> = {
            let mut inner = self.lock();
            inner.now = inner.now.saturating_add(by);
            let (now, waiting) = (inner.now, core::mem::take(&mut inner.waiting));
            let (due, later): (Vec<_>, Vec<_>) =
                waiting.into_iter().partition(|(_, (at, _))| *at <= now);
            inner.waiting = later.into_iter().collect();
            due.into_iter().map(|(_, (_, waker))| waker).collect()
        };
        due.into_iter().for_each(Waker::wake);
    }

    /// A timer that is due at `at`.
    pub fn timer(self: &Arc<Self>, at: Timestamp) -> StepTimer {
        let mut inner = self.lock();
        let number = inner.next_timer;
        inner.next_timer += 1;
        drop(inner);
        StepTimer { clock: Arc::clone(self), number, at }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A timer of a [`StepClock`].
#[derive(Debug)]
pub struct StepTimer {
    clock: Arc<StepClock>,
    number: u64,
    at: Timestamp,
}

impl Timer for StepTimer {
    fn set(&mut self, at: Timestamp) {
        self.at = at;
        // Whoever waits is to look again.
        let waiting = self.clock.lock().waiting.remove(&self.number);
        if let Some((_, waker)) = waiting {
            waker.wake();
        }
    }

    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.clock.lock();
        if inner.now >= self.at {
            inner.waiting.remove(&self.number);
            return Poll::Ready(());
        }
        inner.waiting.insert(self.number, (self.at, cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for StepTimer {
    fn drop(&mut self) {
        self.clock.lock().waiting.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_is_due_when_the_clock_has_passed_it_and_can_be_set_again() {
        let clock = StepClock::new();
        let cx = &mut Context::from_waker(Waker::noop());
        let second = Duration::from_secs(1);
        let mut timer = clock.timer(Timestamp::ZERO.saturating_add(second));
        assert!(timer.poll_due(cx).is_pending());
        clock.advance(second / 2);
        assert!(timer.poll_due(cx).is_pending());
        clock.advance(10 * second);
        assert!(timer.poll_due(cx).is_ready());
        timer.set(clock.now().saturating_add(second));
        assert!(timer.poll_due(cx).is_pending());
        clock.advance(second);
        assert!(timer.poll_due(cx).is_ready());
        drop(timer);
        assert!(clock.lock().waiting.is_empty());
    }
}
