//! [`Acceptor`]: the streams that remotes open, on their way to the application.
//!
//! What waits in an acceptor's queue is not taken yet: its data stays in its connection, whose
//! window closes. Beyond [`MAX_QUEUED_STREAMS`] streams wait with their connections' tasks, up to the
//! number that the lease allows.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, RwLock};
use std::task::{Context, Poll, Waker};

use sanspeer_core::application::AppEvent;
use sanspeer_core::mux::StreamId;
use sanspeer_core::node::Command;
use sanspeer_core::protocol::ProtocolId;

use crate::connection::link::Link;
use crate::control::inbox::{Inbox, Reply, Request};
use crate::observer::Observer;
use crate::stream::AppStream;
use crate::sync::{lock, read, write};

/// Streams that wait for one acceptor to take them.
pub const MAX_QUEUED_STREAMS: usize = 128;

/// The acceptors of a node.
#[derive(Default)]
pub(crate) struct Acceptors {
    /// Bounded by the protocols of the application.
    queues: RwLock<BTreeMap<ProtocolId, Arc<Queue>>>,
}

/// Takes the streams of one protocol. When it is dropped, further ones are refused.
pub struct Acceptor {
    protocol: ProtocolId,
    queue: Arc<Queue>,
    acceptors: Arc<Acceptors>,
    inbox: Arc<Inbox>,
}

#[derive(Default)]
struct Queue {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Bounded by [`MAX_QUEUED_STREAMS`].
    streams: VecDeque<(Arc<Link>, StreamId)>,
    waker: Option<Waker>,
    /// Who hears of each stream that is offered.
    observer: Option<Arc<Observer>>,
    /// Connections that have more. Bounded by how many connections there are.
    blocked: Vec<Arc<Link>>,
    closed: bool,
}

/// What came of an offer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Offer {
    Taken,
    Full,
    Closed,
}

impl Acceptors {
    /// Adds a protocol; `None` if it has an acceptor.
    pub(crate) fn add(
        self: &Arc<Self>,
        protocol: &ProtocolId,
        inbox: &Arc<Inbox>,
    ) -> Option<Acceptor> {
        let queue = Arc::<Queue>::default();
        {
            let mut queues = write(&self.queues);
            if queues.contains_key(protocol) {
                return None;
            }
            queues.insert(protocol.clone(), Arc::clone(&queue));
        }
        let (acceptors, inbox) = (Arc::clone(self), Arc::clone(inbox));
        Some(Acceptor { protocol: protocol.clone(), queue, acceptors, inbox })
    }

    /// The node is gone: nothing more comes.
    pub(crate) fn close(&self) {
        let queues = core::mem::take(&mut *write(&self.queues));
        queues.values().for_each(|queue| queue.close());
    }

    fn find(&self, protocol: &ProtocolId) -> Option<Arc<Queue>> {
        read(&self.queues).get(protocol).cloned()
    }
}

impl Acceptor {
    /// The protocol.
    pub fn protocol(&self) -> &ProtocolId {
        &self.protocol
    }

    /// Tells an observer of each stream that is offered from now on.
    pub(crate) fn observe(&self, observer: &Arc<Observer>) {
        lock(&self.queue.inner).observer = Some(Arc::clone(observer));
    }

    /// The next stream; `None` when the node has shut down.
    pub async fn accept(&mut self) -> Option<AppStream> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// The next stream; `None` when the node has shut down.
    pub fn poll_accept(&mut self, cx: &Context<'_>) -> Poll<Option<AppStream>> {
        loop {
            let (link, stream) = {
                let mut inner = lock(&self.queue.inner);
                match inner.streams.pop_front() {
                    Some(next) => next,
                    None if inner.closed => return Poll::Ready(None),
                    None => {
                        inner.streams = VecDeque::new();
                        inner.waker = Some(cx.waker().clone());
                        return Poll::Pending;
                    }
                }
            };
            self.queue.unblock();
            // One that is gone meanwhile is passed over.
            if let Some(stream) = link.accept(stream) {
                return Poll::Ready(Some(stream));
            }
        }
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        write(&self.acceptors.queues).remove(&self.protocol);
        self.queue.close();
        let command = Command::RemoveProtocol(self.protocol.clone());
        self.inbox.push_request(Request { command, reply: Reply::Nobody });
    }
}

impl core::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Acceptor({})", self.protocol)
    }
}

impl Queue {
    fn offer(&self, link: &Arc<Link>, stream: StreamId) -> Offer {
        let (waker, observer) = {
            let mut inner = lock(&self.inner);
            if inner.closed {
                return Offer::Closed;
            }
            if inner.streams.len() >= MAX_QUEUED_STREAMS {
                if !inner.blocked.iter().any(|blocked| Arc::ptr_eq(blocked, link)) {
                    inner.blocked.push(Arc::clone(link));
                }
                return Offer::Full;
            }
            inner.streams.push_back((Arc::clone(link), stream));
            (inner.waker.take(), inner.observer.clone())
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        if let Some(observer) = observer {
            observer.push(AppEvent::Inbound);
        }
        Offer::Taken
    }

    /// Lets connections offer more once half of the queue is free.
    fn unblock(&self) {
        let blocked = {
            let mut inner = lock(&self.inner);
            if inner.streams.len() > MAX_QUEUED_STREAMS / 2 {
                return;
            }
            core::mem::take(&mut inner.blocked)
        };
        blocked.iter().for_each(|link| link.notify.notify());
    }

    fn close(&self) {
        let (streams, blocked, waker) = {
            let mut inner = lock(&self.inner);
            inner.closed = true;
            let streams = core::mem::take(&mut inner.streams);
            (streams, core::mem::take(&mut inner.blocked), inner.waker.take())
        };
        streams.iter().for_each(|(link, stream)| link.refuse(*stream));
        blocked.iter().for_each(|link| link.notify.notify());
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The streams of one connection that no acceptor has yet.
#[derive(Default)]
pub(crate) struct Waiting {
    /// Bounded by the streams that the lease allows.
    streams: VecDeque<(StreamId, ProtocolId)>,
}

impl Waiting {
    pub(crate) fn push(&mut self, stream: StreamId, protocol: ProtocolId) {
        self.streams.push_back((stream, protocol));
    }

    /// Offers each to its acceptor. One without an acceptor is reset.
    pub(crate) fn offer(&mut self, acceptors: &Acceptors, link: &Arc<Link>) {
        if self.streams.is_empty() {
            return;
        }
        let mut full: Vec<ProtocolId> = Vec::new();
        self.streams.retain(|(stream, protocol)| {
            if full.contains(protocol) {
                return true;
            }
            let offer = match acceptors.find(protocol) {
                Some(queue) => queue.offer(link, *stream),
                None => Offer::Closed,
            };
            match offer {
                Offer::Taken => {}
                Offer::Full => full.push(protocol.clone()),
                Offer::Closed => link.refuse(*stream),
            }
            offer == Offer::Full
        });
        if self.streams.is_empty() {
            self.streams = VecDeque::new();
        }
    }
}
