//! [`Tasks`]: how many tasks of a node run.

use std::future::Future;
use std::pin::Pin;
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

/// A task that is counted as long as it is there. A wrapper written by hand, since one made of
/// `async` would hold the task twice.
pub(crate) struct Counted<T> {
    task: T,
    /// Dropped behind the task, with whose sockets it is over.
    _running: Running,
}

/// One that runs.
struct Running(Arc<Tasks>);

impl Tasks {
    /// Counts a task from now on.
    pub(crate) fn count<T>(self: &Arc<Self>, task: T) -> Counted<T> {
        self.running.fetch_add(1, Ordering::AcqRel);
        Counted { task, _running: Running(Arc::clone(self)) }
    }

    /// Ready when none runs. One task may wait.
    pub(crate) fn poll_none(&self, cx: &Context<'_>) -> Poll<()> {
        self.waker.register(cx.waker());
        if self.running.load(Ordering::Acquire) == 0 { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl<T: Future<Output = ()> + Unpin> Future for Counted<T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.task).poll(cx)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.waker.wake();
        }
    }
}
