//! Connections over QUIC: one endpoint for each UDP socket.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::BytesMut;
use multiaddr::{Multiaddr, Protocol};

use super::carried::Carried;
use super::machine::Host;
use crate::connection::Connection;
use crate::node::{ArrivalId, ConnectionId, DialFailure, Input, ListenerId};
use crate::quic::{
    AcceptError, ConnectError, DatagramMeta, EndpointEvent, IncomingId, QuicConnectionId,
    QuicEndpoint, QuicMux, QuicTransmit,
};
use crate::time::Timestamp;

/// A UDP socket of the embedder's. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(pub u64);

/// What is known of a UDP socket.
pub(super) struct Endpoint {
    pub(super) machine: QuicEndpoint,
    /// Whose arrivals come here; with none, nobody is let in.
    listener: Option<ListenerId>,
    /// Which connection each of its is. Bounded like the host's connections.
    connections: BTreeMap<QuicConnectionId, ConnectionId>,
}

impl Host {
    /// A UDP socket is there, for the arrivals of a listener, or only to dial from. `epoch` is what
    /// a [`Timestamp`] counts from.
    #[allow(clippy::disallowed_types, reason = "quinn_proto takes Instants; none is read here")]
    pub fn add_endpoint(
        &mut self,
        listener: Option<ListenerId>,
        epoch: std::time::Instant,
    ) -> EndpointId {
        let id = EndpointId(self.next_endpoint);
        self.next_endpoint = self.next_endpoint.saturating_add(1);
        let seed = self.seed.derive("endpoint", id.0);
        let machine = QuicEndpoint::new(&self.tls, &seed, self.config.quic.clone(), epoch);
        self.endpoints.insert(id, Endpoint { machine, listener, connections: BTreeMap::new() });
        id
    }

    /// Takes a datagram from a UDP socket.
    pub fn handle_datagram(
        &mut self,
        now: Timestamp,
        endpoint: EndpointId,
        meta: DatagramMeta,
        datagram: BytesMut,
    ) {
        let now = self.clock.advance(now);
        let Some(known) = self.endpoints.get_mut(&endpoint) else { return };
        known.machine.handle_datagram(now, meta, datagram);
        self.pump(now);
    }

    /// Begins a connection that was dialled, from a UDP socket. `false` if it is not wanted any
    /// more, or the address is nobody's.
    pub fn begin_quic(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        endpoint: EndpointId,
        remote: SocketAddr,
    ) -> bool {
        let now = self.clock.advance(now);
        let unix_seconds = self.unix_seconds();
        let Some(known) = self.endpoints.get_mut(&endpoint) else { return false };
        let Some(awaited) = self.awaited.remove(&connection) else { return false };
        match known.machine.connect(now, remote, awaited.expected_peer, unix_seconds) {
            Ok((id, mux)) => {
                self.add_quic(now, connection, endpoint, id, mux);
                self.pump(now);
                true
            }
            Err(error) => {
                let failure = match error {
                    ConnectError::InvalidAddress(_) => DialFailure::Unreachable,
                    ConnectError::ConnectionIdsExhausted | ConnectError::Tls => {
                        DialFailure::Unsupported
                    }
                };
                self.input(now, Input::DialFailed { connection, failure });
                false
            }
        }
    }

    /// Writes what a UDP socket is to send next over `buffer`: at most `max_segments` datagrams of
    /// equal length, for one call of the socket.
    pub fn poll_datagrams(
        &mut self,
        now: Timestamp,
        endpoint: EndpointId,
        max_segments: usize,
        buffer: &mut Vec<u8>,
    ) -> Option<QuicTransmit> {
        let now = self.clock.advance(now);
        loop {
            let known = self.endpoints.get_mut(&endpoint)?;
            if let Some(datagram) = known.machine.poll_transmit() {
                buffer.clear();
                buffer.extend_from_slice(&datagram.bytes);
                return Some(QuicTransmit {
                    destination: datagram.destination,
                    ecn: datagram.ecn,
                    size: datagram.bytes.len(),
                    segment_size: None,
                    src_ip: datagram.src_ip,
                });
            }
            let id = self.sendable_quic.iter().copied().find(|id| {
                self.connections
                    .get(id)
                    .and_then(|carried| carried.quic)
                    .is_some_and(|(of, _)| of == endpoint)
            })?;
            if let Some(transmit) = self.transmit_quic(now, id, max_segments, buffer) {
                return Some(transmit);
            }
            // Having sent all may be what it waited for.
            self.mark(id);
            self.pump(now);
            if let Some(transmit) = self.transmit_quic(now, id, max_segments, buffer) {
                return Some(transmit);
            }
            self.sendable_quic.remove(&id);
        }
    }

    fn transmit_quic(
        &mut self,
        now: Timestamp,
        id: ConnectionId,
        max_segments: usize,
        buffer: &mut Vec<u8>,
    ) -> Option<QuicTransmit> {
        let carried = self.connections.get_mut(&id)?;
        carried.connection.poll_datagrams(now, max_segments, buffer)
    }

    /// What endpoints and their connections tell each other, and whom they report.
    pub(super) fn exchange_quic(&mut self, now: Timestamp) {
        let endpoints: Vec<EndpointId> = self.endpoints.keys().copied().collect();
        for endpoint in endpoints {
            self.take_arrivals(now, endpoint);
            while let Some((id, event)) = self
                .endpoints
                .get_mut(&endpoint)
                .and_then(|known| known.machine.poll_connection_event())
            {
                let known = self.endpoints.get(&endpoint);
                let Some(connection) = known.and_then(|known| known.connections.get(&id)).copied()
                else {
                    continue;
                };
                if let Some(carried) = self.connections.get_mut(&connection) {
                    carried.connection.handle_endpoint_event(now, event);
                    self.mark(connection);
                }
            }
        }
    }

    fn take_arrivals(&mut self, now: Timestamp, endpoint: EndpointId) {
        while let Some(known) = self.endpoints.get_mut(&endpoint)
            && let Some(EndpointEvent::Incoming { id, remote, validated }) =
                known.machine.poll_event()
        {
            let Some(listener) = known.listener else {
                known.machine.refuse(id);
                continue;
            };
            let arrival = self.arrival();
            self.incoming.insert(arrival, (endpoint, id));
            let remote = quic_address(remote);
            self.tell_node(now, Input::Arrival { arrival, listener, remote, validated });
            self.take_outputs(now);
        }
    }

    pub(super) fn accept_quic(
        &mut self,
        now: Timestamp,
        arrival: ArrivalId,
        connection: ConnectionId,
        endpoint: EndpointId,
        incoming: IncomingId,
    ) {
        let unix_seconds = self.unix_seconds();
        let Some(known) = self.endpoints.get_mut(&endpoint) else { return };
        match known.machine.accept(now, incoming, unix_seconds) {
            Ok((id, mux)) => self.add_quic(now, connection, endpoint, id, mux),
            Err(AcceptError::UnknownIncoming) => {
                self.tell_node(now, Input::ArrivalGone(arrival));
            }
            Err(AcceptError::Failed(reason)) => self.tell_closed(now, connection, *reason),
        }
    }

    pub(super) fn refuse_quic(&mut self, endpoint: EndpointId, incoming: IncomingId) {
        if let Some(known) = self.endpoints.get_mut(&endpoint) {
            known.machine.refuse(incoming);
        }
    }

    pub(super) fn validate_quic(&mut self, endpoint: EndpointId, incoming: IncomingId) {
        if let Some(known) = self.endpoints.get_mut(&endpoint) {
            known.machine.retry(incoming);
        }
    }

    /// Nobody is let in at a listener's sockets any more.
    pub(super) fn unlisten_quic(&mut self, listener: ListenerId) {
        for known in self.endpoints.values_mut() {
            if known.listener == Some(listener) {
                known.listener = None;
            }
        }
    }

    fn add_quic(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        endpoint: EndpointId,
        id: QuicConnectionId,
        mux: QuicMux,
    ) {
        let seed = self.seed.derive("connection", connection.0);
        let machine = Connection::quic(mux, &seed, self.connection_config.clone(), now);
        self.connections.insert(connection, Carried::new(machine, Some((endpoint, id))));
        if let Some(known) = self.endpoints.get_mut(&endpoint) {
            known.connections.insert(id, connection);
        }
        self.mark(connection);
    }

    /// Gives the endpoint what a connection has for it.
    pub(super) fn tell_endpoint(&mut self, connection: ConnectionId) {
        let Some(carried) = self.connections.get_mut(&connection) else { return };
        let Some((endpoint, id)) = carried.quic else { return };
        let Some(known) = self.endpoints.get_mut(&endpoint) else { return };
        while let Some(event) = carried.connection.poll_endpoint_event() {
            if event.is_last() {
                carried.drained = true;
                known.connections.remove(&id);
            }
            known.machine.handle_connection_event(id, event);
        }
    }
}

fn quic_address(remote: SocketAddr) -> Multiaddr {
    Multiaddr::from(remote.ip().to_canonical())
        .with(Protocol::Udp(remote.port()))
        .with(Protocol::QuicV1)
}
