//! [`QuicTask`]: the task of a connection over QUIC, whose turn its endpoint may take.
//!
//! What arrives on a socket is often for one connection. If the endpoint's task then takes that
//! connection's turn itself, what it received is decrypted where it is in the processor's cache, and
//! no other thread has to be woken. With datagrams for several connections, each has its own task
//! woken, and the threads share the work.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::task::{Context, Poll, Waker};

use super::link::Link;
use super::quic_wire::QuicWire;
use super::task::{ConnectionTask, Turn};
use crate::runtime::Runtime;
use crate::sync::lock;

/// A connection whose turn another task can take.
pub(crate) trait TakeTurn: Send + Sync {
    /// Takes the connection's turn here, or has its own task take it.
    fn take_turn(&self);
}

/// The task of a connection over QUIC. Whoever has its lock takes its turn.
pub(crate) struct QuicTask<R: Runtime> {
    link: Arc<Link>,
    inner: Mutex<Inner<R>>,
    /// Its own task was to run while another had the lock, and is to be woken when that lets go.
    missed: AtomicBool,
}

struct Inner<R: Runtime> {
    /// `None` once it is over.
    task: Option<ConnectionTask<R, QuicWire>>,
    /// Of its own task, once that ran.
    waker: Option<Waker>,
}

impl<R: Runtime> Default for Inner<R> {
    fn default() -> Self {
        Inner { task: None, waker: None }
    }
}

impl<R: Runtime> QuicTask<R> {
    pub(crate) fn new(link: Arc<Link>, task: ConnectionTask<R, QuicWire>) -> Arc<Self> {
        let inner = Mutex::new(Inner { task: Some(task), waker: None });
        Arc::new(QuicTask { link, inner, missed: AtomicBool::new(false) })
    }

    /// The lock, unless another has it.
    fn try_lock(&self) -> Option<MutexGuard<'_, Inner<R>>> {
        match self.inner.try_lock() {
            Ok(inner) => Some(inner),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl<R: Runtime> TakeTurn for QuicTask<R> {
    fn take_turn(&self) {
        let mut inner = self.try_lock();
        let Some(Inner { task: Some(task), waker: Some(waker) }) = inner.as_deref_mut() else {
            drop(inner);
            self.link.notify.notify();
            return;
        };
        let mut cx = Context::from_waker(waker);
        let last = match task.turn(&mut cx) {
            Turn::Idle => false,
            // Its own task goes on.
            Turn::Unfinished => {
                task.yield_turn(&mut cx);
                false
            }
            // Its own task ends.
            Turn::Last => true,
        };
        let waker = waker.clone();
        drop(inner);
        // Between letting go and looking, as between the other's mark and its second try.
        fence(Ordering::SeqCst);
        if self.missed.swap(false, Ordering::Relaxed) || last {
            waker.wake();
        }
    }
}

/// The part of a [`QuicTask`] that the runtime runs.
pub(crate) struct OwnTask<R: Runtime>(pub(crate) Arc<QuicTask<R>>);

impl<R: Runtime> Future for OwnTask<R> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let shared = &self.0;
        let inner = shared.try_lock().or_else(|| {
            shared.missed.store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            shared.try_lock()
        });
        let Some(mut inner) = inner else { return Poll::Pending };
        let Inner { task: Some(task), waker } = &mut *inner else { return Poll::Ready(()) };
        match waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *waker = Some(cx.waker().clone()),
        }
        Pin::new(task).poll(cx)
    }
}

/// Whatever else holds the connection, its task is over with the runtime's.
impl<R: Runtime> Drop for OwnTask<R> {
    fn drop(&mut self) {
        let inner = core::mem::take(&mut *lock(&self.0.inner));
        drop(inner);
    }
}
