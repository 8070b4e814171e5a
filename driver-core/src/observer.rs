//! [`Observer`]: one queue for everything that an application is told, in the order in which it
//! happens.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::task::{Context, Poll};

use atomic_waker::AtomicWaker;
use sanspeer_core::application::AppEvent;
use sanspeer_core::node::NodeEvent;

use crate::events::Listener;
use crate::sync::lock;

/// Events of Node that wait. With more, the oldest are dropped and counted. What else waits is
/// bounded by the application's requests and streams.
const MAX_NODE_EVENTS: usize = 1024;

/// One queue for everything that an application is told.
#[derive(Default)]
pub(crate) struct Observer {
    queue: Mutex<Queue>,
    waker: AtomicWaker,
}

#[derive(Default)]
struct Queue {
    events: VecDeque<AppEvent>,
    node_events: usize,
    missed: u64,
}

impl Observer {
    pub(crate) fn push(&self, event: AppEvent) {
        {
            let mut queue = lock(&self.queue);
            if let AppEvent::Node(_) = event {
                if queue.node_events >= MAX_NODE_EVENTS {
                    queue.drop_node_event();
                }
                queue.node_events += 1;
            }
            queue.events.push_back(event);
        }
        self.waker.wake();
    }

    pub(crate) fn pop(&self) -> Option<AppEvent> {
        let mut queue = lock(&self.queue);
        let event = queue.events.pop_front();
        if let Some(AppEvent::Node(_)) = event {
            queue.node_events -= 1;
        }
        if queue.events.is_empty() {
            queue.events = VecDeque::new();
        }
        event
    }

    /// Events of Node that were dropped so far.
    pub(crate) fn missed(&self) -> u64 {
        lock(&self.queue).missed
    }

    /// Ready when there is an event. One task may wait.
    pub(crate) fn poll_ready(&self, cx: &Context<'_>) -> Poll<()> {
        self.waker.register(cx.waker());
        if lock(&self.queue).events.is_empty() { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Listener for Observer {
    fn hear(&self, event: &NodeEvent) {
        self.push(AppEvent::Node(event.clone()));
    }

    /// Requests from now on say so themselves.
    fn close(&self) {}
}

impl Queue {
    fn drop_node_event(&mut self) {
        let oldest = self.events.iter().position(|event| matches!(event, AppEvent::Node(_)));
        if let Some(oldest) = oldest {
            self.events.remove(oldest);
            self.node_events -= 1;
            self.missed = self.missed.saturating_add(1);
        }
    }
}
