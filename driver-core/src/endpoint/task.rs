//! [`EndpointTask`]: what drives one UDP socket.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use sanspeer_core::address::Endpoint;
use sanspeer_core::close::TransportFailure;
use sanspeer_core::node::{ArrivalId, ConnectionId, DialFailure, Input, ListenFailure, ListenerId};
use sanspeer_core::quic::{
    ConnectError, EndpointEvent, IncomingId, QuicConnectionId, QuicEndpoint, QuicMux, QuicTransmit,
};
use sanspeer_core::time::Timestamp;

use super::link::{Datagrams, EndpointLink, FromConnection, Order};
use super::socket::{poll_receive, try_send};
use crate::alarm::Alarm;
use crate::connection::link::Link;
use crate::connection::quic_task::TakeTurn;
use crate::connection::quic_wire::QuicWire;
use crate::control::inbox::{Guest, Report};
use crate::runtime::Runtime;
use crate::shared::Shared;

/// Rounds of one turn, each with at most one batch of datagrams; then others have theirs.
const MAX_ROUNDS: usize = 4;

/// Drives one UDP socket. The machine is the task's alone, so it needs no lock.
pub(crate) struct EndpointTask<R: Runtime> {
    link: Arc<EndpointLink>,
    machine: QuicEndpoint,
    shared: Arc<Shared<R>>,
    /// Who hears of arrivals. Without one, they are refused.
    listener: Option<ListenerId>,
    /// It once listened: without connections it has nothing left to do when that ends.
    listened: bool,
    connections: BTreeMap<QuicConnectionId, Route>,
    alarm: Alarm<R>,
}

/// Where a connection's datagrams go.
struct Route {
    datagrams: Arc<Datagrams>,
    link: Arc<Link>,
    task: Arc<dyn TakeTurn>,
}

impl<R: Runtime> EndpointTask<R> {
    pub(crate) fn new(
        link: Arc<EndpointLink>,
        machine: QuicEndpoint,
        shared: Arc<Shared<R>>,
        listener: Option<ListenerId>,
    ) -> Self {
        let listened = listener.is_some();
        let connections = BTreeMap::new();
        let alarm = Alarm::default();
        EndpointTask { link, machine, shared, listener, listened, connections, alarm }
    }

    /// Whether anything moved.
    fn round(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let now = self.shared.runtime.now();
        let mut moved = self.take_events();
        for order in self.link.take_orders() {
            self.obey(now, order);
            moved = true;
        }
        moved |= self.receive(cx, now)?;
        if self.machine.poll_timeout().is_some_and(|deadline| deadline.at <= now) {
            self.machine.handle_timeout(now);
        }
        self.report_arrivals();
        self.respond();
        Ok(moved)
    }

    /// Takes what the connections have for the endpoint, and hands on its answers.
    fn take_events(&mut self) -> bool {
        let events = self.link.take_events();
        let any = !events.is_empty();
        for (id, event) in events {
            let last = match &event {
                FromConnection::Event(event) => event.is_last(),
                FromConnection::Gone => true,
            };
            match event {
                FromConnection::Event(event) => self.machine.handle_connection_event(id, event),
                FromConnection::Gone => self.machine.forget(id),
            }
            if last {
                self.connections.remove(&id);
            }
            while let Some((id, answer)) = self.machine.poll_connection_event() {
                if let Some(route) = self.connections.get(&id) {
                    route.datagrams.push_answer(answer);
                    route.link.notify.notify();
                }
            }
        }
        any
    }

    fn obey(&mut self, now: Timestamp, order: Order) {
        match order {
            Order::Dial { connection, remote, peer } => {
                let unix_seconds = self.shared.runtime.unix_seconds();
                match self.machine.connect(now, remote, peer, unix_seconds) {
                    Ok((id, mux)) => self.begin(connection, id, mux),
                    Err(error) => self.report(Input::DialFailed {
                        connection,
                        failure: match error {
                            ConnectError::InvalidAddress(_) => DialFailure::Unsupported,
                            ConnectError::ConnectionIdsExhausted | ConnectError::Tls => {
                                DialFailure::Transport(TransportFailure::Other)
                            }
                        },
                    }),
                }
            }
            Order::Accept { incoming, arrival, connection } => {
                self.accept(now, incoming, arrival, connection);
            }
            Order::Refuse(incoming) => self.machine.refuse(incoming),
            Order::Validate(incoming) => self.machine.retry(incoming),
            Order::Unlisten => self.listener = None,
        }
    }

    fn accept(
        &mut self,
        now: Timestamp,
        incoming: IncomingId,
        arrival: ArrivalId,
        connection: ConnectionId,
    ) {
        let unix_seconds = self.shared.runtime.unix_seconds();
        match self.machine.accept(now, incoming, unix_seconds) {
            Ok((id, mux)) => self.begin(connection, id, mux),
            Err(_) => self.shared.reports.push(Report::ArrivalGone { arrival, connection }),
        }
    }

    fn begin(&mut self, connection: ConnectionId, id: QuicConnectionId, mux: QuicMux) {
        let link = self.shared.quic_link(connection, mux);
        let datagrams = Arc::<Datagrams>::default();
        let wire = QuicWire::new(id, Arc::clone(&self.link), Arc::clone(&datagrams));
        let task = self.shared.run_quic(Arc::clone(&link), wire);
        self.connections.insert(id, Route { datagrams, link, task });
        // What came before the connection was accepted.
        self.hand_over();
    }

    /// Receives a batch. Whether that was anything.
    fn receive(&mut self, cx: &mut Context<'_>, now: Timestamp) -> io::Result<bool> {
        let machine = &mut self.machine;
        let received = poll_receive(&*self.link.socket, cx, |meta, datagram| {
            machine.handle_datagram(now, meta, datagram);
        });
        match received {
            Poll::Ready(Ok(())) => {}
            // It is about a datagram that was sent earlier.
            Poll::Ready(Err(error)) if is_of_one_datagram(&error) => return Ok(true),
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => return Ok(false),
        }
        self.hand_over();
        Ok(true)
    }

    /// Hands datagrams to their connections: those that came for one of them in a row with one push,
    /// and all of a batch with one turn for each connection. An event is large, so it is moved as
    /// rarely as can be. A lone connection has its turn here, several have it side by side.
    fn hand_over(&mut self) {
        // As many as sent something in one batch.
        let mut woken: Vec<QuicConnectionId> = Vec::new();
        let mut next = self.machine.poll_connection_event();
        while let Some((id, first)) = next.take() {
            let route = self.connections.get(&id);
            let mut waiting = route.map(|route| route.datagrams.push_some(first));
            // The rest of the row.
            while let Some((other, event)) = self.machine.poll_connection_event() {
                if other != id {
                    next = Some((other, event));
                    break;
                }
                if let Some(waiting) = &mut waiting {
                    waiting.push(event);
                }
            }
            if waiting.is_some() && !woken.contains(&id) {
                woken.push(id);
            }
        }
        if let [id] = woken[..]
            && let Some(route) = self.connections.get(&id)
        {
            route.task.take_turn();
            return;
        }
        for id in woken {
            if let Some(route) = self.connections.get(&id) {
                route.link.notify.notify();
            }
        }
    }

    fn report_arrivals(&mut self) {
        while let Some(EndpointEvent::Incoming { id, remote, validated }) =
            self.machine.poll_event()
        {
            let Some(listener) = self.listener else {
                self.machine.refuse(id);
                continue;
            };
            self.shared.reports.push(Report::Arrival {
                listener,
                remote: Endpoint::Quic(remote).to_multiaddr(),
                validated,
                guest: Guest::Quic { endpoint: Arc::clone(&self.link), incoming: id },
            });
        }
    }

    /// Sends what the endpoint answers by itself. What there is no room for is lost, as on the way.
    fn respond(&mut self) {
        while let Some(datagram) = self.machine.poll_transmit() {
            let transmit = QuicTransmit {
                destination: datagram.destination,
                ecn: datagram.ecn,
                size: datagram.bytes.len(),
                segment_size: None,
                src_ip: datagram.src_ip,
            };
            let _ = try_send(&*self.link.socket, &transmit, &datagram.bytes);
        }
    }

    fn report(&self, input: Input) {
        self.shared.reports.push(Report::Node(input));
    }

    /// Whether the machine's deadline has come.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> bool {
        let deadline = self.machine.poll_timeout().map(|deadline| deadline.at);
        self.alarm.poll_due(cx, &self.shared.runtime, deadline)
    }

    /// Nobody listens here any more, and the last connection is gone.
    fn is_over(&self) -> bool {
        self.listened && self.listener.is_none() && self.connections.is_empty()
    }
}

impl<R: Runtime> Future for EndpointTask<R> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.link.notify().begin_turn(cx);
        for _ in 0..MAX_ROUNDS {
            if this.link.is_stopped() || this.is_over() {
                return Poll::Ready(());
            }
            match this.round(cx) {
                Ok(true) => {}
                Ok(false) => {
                    if !this.poll_deadline(cx) && !this.is_over() {
                        return Poll::Pending;
                    }
                }
                Err(_) => {
                    if let Some(listener) = this.listener.take() {
                        let failure = ListenFailure::Transport(TransportFailure::Other);
                        this.report(Input::ListenFailed { listener, failure });
                    }
                    return Poll::Ready(());
                }
            }
        }
        this.shared.runtime.yield_turn(cx);
        Poll::Pending
    }
}

impl<R: Runtime> Drop for EndpointTask<R> {
    fn drop(&mut self) {
        self.shared.reports.push(Report::EndpointEnded(self.link.id));
        // Without it, its connections have nothing to receive from.
        self.connections.values().for_each(|route| route.link.stop());
    }
}

fn is_of_one_datagram(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused | ErrorKind::Interrupted
    )
}
