//! [`Events`]: what Node tells the application.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use sanspeer_core::gossip::GossipEvent;
use sanspeer_core::node::NodeEvent;

use crate::sync::lock;

/// Events that wait for one subscriber. With more, the oldest are dropped and counted.
pub const MAX_WAITING_EVENTS: usize = 1024;

/// Something that a subscriber hears.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "almost all are the large one")]
pub enum Event {
    /// Node says something.
    Node(NodeEvent),
    /// The subscriber did not keep up: so many events were dropped before the next one.
    Missed(u64),
}

/// The events from the moment of subscription on, without the messages of topics, which
/// [`crate::Subscription`] has. Node waits for no subscriber.
pub struct Events {
    queue: Arc<Mutex<Queue>>,
}

#[derive(Default)]
struct Queue {
    /// Bounded by [`MAX_WAITING_EVENTS`].
    events: VecDeque<NodeEvent>,
    missed: u64,
    closed: bool,
    waker: Option<Waker>,
}

/// Who listens.
#[derive(Default)]
pub(crate) struct Subscribers {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Bounded by the application's subscriptions.
    listeners: Vec<Weak<dyn Listener>>,
    closed: bool,
}

/// Somebody who listens.
pub(crate) trait Listener: Send + Sync {
    /// Node says something.
    fn hear(&self, event: &NodeEvent);

    /// The node is gone.
    fn close(&self);
}

impl Events {
    /// The next event; `None` when the node has shut down.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    /// The next event; `None` when the node has shut down.
    pub fn poll_event(&mut self, cx: &Context<'_>) -> Poll<Option<Event>> {
        let mut queue = lock(&self.queue);
        if queue.missed > 0 {
            return Poll::Ready(Some(Event::Missed(core::mem::take(&mut queue.missed))));
        }
        if let Some(event) = queue.events.pop_front() {
            return Poll::Ready(Some(Event::Node(event)));
        }
        queue.events = VecDeque::new();
        if queue.closed {
            return Poll::Ready(None);
        }
        queue.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.poll_event(cx)
    }
}

impl core::fmt::Debug for Events {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Events")
    }
}

impl Subscribers {
    pub(crate) fn subscribe(&self) -> Events {
        let queue = Arc::<Mutex<Queue>>::default();
        let listener: Arc<dyn Listener> = Arc::<Mutex<Queue>>::clone(&queue);
        self.add(&listener);
        Events { queue }
    }

    /// Tells `listener` from now on, as long as it is there.
    pub(crate) fn add(&self, listener: &Arc<dyn Listener>) {
        let closed = {
            let mut inner = lock(&self.inner);
            inner.listeners.retain(|listener| listener.strong_count() > 0);
            inner.listeners.push(Arc::downgrade(listener));
            inner.closed
        };
        if closed {
            listener.close();
        }
    }

    pub(crate) fn tell(&self, event: &NodeEvent) {
        self.listeners().iter().for_each(|listener| listener.hear(event));
    }

    /// The node is gone.
    pub(crate) fn close(&self) {
        lock(&self.inner).closed = true;
        self.listeners().iter().for_each(|listener| listener.close());
    }

    fn listeners(&self) -> Vec<Arc<dyn Listener>> {
        lock(&self.inner).listeners.iter().filter_map(Weak::upgrade).collect()
    }
}

impl Listener for Mutex<Queue> {
    fn hear(&self, event: &NodeEvent) {
        if let NodeEvent::Gossip(GossipEvent::Message { .. }) = event {
            return;
        }
        let waker = {
            let mut queue = lock(self);
            if queue.events.len() >= MAX_WAITING_EVENTS {
                queue.events.pop_front();
                queue.missed = queue.missed.saturating_add(1);
            }
            queue.events.push_back(event.clone());
            queue.waker.take()
        };
        wake(waker);
    }

    fn close(&self) {
        let waker = {
            let mut queue = lock(self);
            queue.closed = true;
            queue.waker.take()
        };
        wake(waker);
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use sanspeer_core::close::CloseReason;
    use sanspeer_core::identity::Identity;
    use sanspeer_core::rng::Seed;

    use super::*;

    #[test]
    fn a_subscriber_that_does_not_keep_up_hears_how_much_it_missed() {
        let subscribers = Subscribers::default();
        let mut events = subscribers.subscribe();
        let peer = Identity::ed25519(&Seed::from_u64(1)).peer_id();
        let event = NodeEvent::PeerDisconnected { peer, reason: CloseReason::Requested };
        for _ in 0..MAX_WAITING_EVENTS + 3 {
            subscribers.tell(&event);
        }
        let cx = Context::from_waker(Waker::noop());
        assert_eq!(events.poll_event(&cx), Poll::Ready(Some(Event::Missed(3))));
        assert_eq!(events.poll_event(&cx), Poll::Ready(Some(Event::Node(event))));
        subscribers.close();
        let mut left = 0;
        while let Poll::Ready(Some(_)) = events.poll_event(&cx) {
            left += 1;
        }
        assert_eq!(left, MAX_WAITING_EVENTS - 1);
        assert_eq!(events.poll_event(&cx), Poll::Ready(None));
        assert_eq!(subscribers.subscribe().poll_event(&cx), Poll::Ready(None));
    }
}
