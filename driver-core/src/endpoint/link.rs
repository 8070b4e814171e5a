//! [`EndpointLink`]: one UDP socket, as its task, its connections and the control task share it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use sanspeer_core::identity::PeerId;
use sanspeer_core::node::{ArrivalId, ConnectionId};
use sanspeer_core::quic::{FromEndpoint, IncomingId, QuicConnectionId, ToEndpoint};

use crate::notify::Notify;
use crate::runtime::AsyncUdpSocket;
use crate::sync::lock;

/// Datagrams that wait for one connection's task. More are dropped, as the network might.
const MAX_DATAGRAMS: usize = 4096;

/// An endpoint of a node. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EndpointId(pub(crate) u64);

/// One UDP socket.
pub(crate) struct EndpointLink {
    pub(crate) id: EndpointId,
    pub(crate) socket: Arc<dyn AsyncUdpSocket>,
    /// What the socket is bound to.
    pub(crate) bound: SocketAddr,
    notify: Notify,
    stopped: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Bounded by what Node asks for.
    orders: VecDeque<Order>,
    /// Bounded by a few for each connection.
    events: VecDeque<(QuicConnectionId, FromConnection)>,
}

/// What the control task wants of an endpoint.
#[derive(Debug)]
pub(crate) enum Order {
    /// Dials.
    Dial { connection: ConnectionId, remote: SocketAddr, peer: Option<PeerId> },
    /// Lets somebody in.
    Accept { incoming: IncomingId, arrival: ArrivalId, connection: ConnectionId },
    /// Turns somebody away.
    Refuse(IncomingId),
    /// Has somebody show that he receives what is sent to his address.
    Validate(IncomingId),
    /// Lets nobody in any more.
    Unlisten,
}

/// What a connection has for its endpoint.
#[derive(Debug)]
pub(crate) enum FromConnection {
    /// An event of its machine.
    Event(ToEndpoint),
    /// It was dropped before its last event.
    Gone,
}

impl EndpointLink {
    pub(crate) fn new(
        id: EndpointId,
        socket: Arc<dyn AsyncUdpSocket>,
        bound: SocketAddr,
    ) -> Arc<Self> {
        let (notify, stopped, inner) = Default::default();
        Arc::new(EndpointLink { id, socket, bound, notify, stopped, inner })
    }

    pub(crate) fn notify(&self) -> &Notify {
        &self.notify
    }

    pub(crate) fn order(&self, order: Order) {
        lock(&self.inner).orders.push_back(order);
        self.notify.notify();
    }

    pub(crate) fn take_orders(&self) -> VecDeque<Order> {
        core::mem::take(&mut lock(&self.inner).orders)
    }

    /// Takes what a connection has for the endpoint.
    pub(crate) fn tell(&self, id: QuicConnectionId, events: impl Iterator<Item = FromConnection>) {
        lock(&self.inner).events.extend(events.map(|event| (id, event)));
        self.notify.notify();
    }

    pub(crate) fn take_events(&self) -> VecDeque<(QuicConnectionId, FromConnection)> {
        core::mem::take(&mut lock(&self.inner).events)
    }

    /// Ends the task.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.notify.notify();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }
}

/// What an endpoint has for one connection.
#[derive(Default)]
pub(crate) struct Datagrams {
    events: Mutex<VecDeque<FromEndpoint>>,
}

/// Adds datagrams for one connection, which waits meanwhile.
pub(crate) struct Pushing<'a>(MutexGuard<'a, VecDeque<FromEndpoint>>);

impl Pushing<'_> {
    /// Adds an event that may be lost.
    pub(crate) fn push(&mut self, event: FromEndpoint) {
        if self.0.len() < MAX_DATAGRAMS {
            self.0.push_back(event);
        }
    }
}

impl Datagrams {
    /// Adds an event that may be lost, as the network might lose it, and perhaps more.
    pub(crate) fn push_some(&self, first: FromEndpoint) -> Pushing<'_> {
        let mut pushing = Pushing(lock(&self.events));
        pushing.push(first);
        pushing
    }

    /// Adds an event that may not be lost: it answers the connection itself.
    pub(crate) fn push_answer(&self, event: FromEndpoint) {
        lock(&self.events).push_back(event);
    }

    pub(crate) fn take(&self) -> VecDeque<FromEndpoint> {
        core::mem::take(&mut lock(&self.events))
    }
}
