//! [`Tasks`]: how many tasks of a node run.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use atomic_waker::AtomicWaker;

/// How many tasks of a node run, beside the control task.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    running: AtomicUsize,
    waker: AtomicWaker,
}

/// A task that runs, until it is dropped.
#[derive(Debug)]
pub(crate) struct Running(Arc<Tasks>);

impl Tasks {
    /// One more task runs.
    pub(crate) fn begin(self: &Arc<Self>) -> Running {
        self.running.fetch_add(1, Ordering::AcqRel);
        Running(Arc::clone(self))
    }

    /// Ready when none runs. One task may wait.
    pub(crate) fn poll_none(&self, cx: &Context<'_>) -> Poll<()> {
        self.waker.register(cx.waker());
        if self.running.load(Ordering::Acquire) == 0 { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.waker.wake();
        }
    }
}
