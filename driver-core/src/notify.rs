//! [`Notify`]: wakes one task, once for any number of causes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Context;

use atomic_waker::AtomicWaker;

/// Wakes one task, once for any number of causes that come before it runs.
#[derive(Debug, Default)]
pub(crate) struct Notify {
    waker: AtomicWaker,
    pending: AtomicBool,
}

impl Notify {
    /// There is something to do. What it is must be visible before this is called.
    pub(crate) fn notify(&self) {
        if !self.pending.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// The task begins a turn: from here on another cause wakes it again.
    pub(crate) fn begin_turn(&self, cx: &Context<'_>) {
        self.waker.register(cx.waker());
        self.pending.swap(false, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::{Wake, Waker};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn many_causes_wake_once_until_the_next_turn() {
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let notify = Notify::default();
        let cx = Context::from_waker(&waker);
        notify.begin_turn(&cx);
        notify.notify();
        notify.notify();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        notify.begin_turn(&cx);
        notify.notify();
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_cause_before_the_first_turn_is_not_lost() {
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let notify = Notify::default();
        notify.notify();
        // The task looks for itself in its first turn, so no wake-up is owed.
        notify.begin_turn(&Context::from_waker(&waker));
        notify.notify();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
    }
}
