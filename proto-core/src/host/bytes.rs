//! Connections over transports that carry bytes in order.

use super::carried::Carried;
use super::config::SecurityProtocol;
use super::machine::Host;
use crate::byte_mux::{Security, StreamLayer};
use crate::close::{CloseReason, TransportFailure};
use crate::connection::{Connection, ConnectionSetup};
use crate::mailbox::{ToNode, Usage};
use crate::node::{ConnectionId, Input};
use crate::time::Timestamp;

impl Host {
    /// The transport of a connection that was accepted or dialled is there. `layer` is what changes
    /// every byte of it, if anything does. `false` if it is not wanted any more: close it.
    pub fn begin(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        layer: Option<Box<dyn StreamLayer>>,
    ) -> bool {
        let now = self.clock.advance(now);
        let Some(awaited) = self.awaited.remove(&connection) else { return false };
        let unix_seconds = self.unix_seconds();
        let security: Vec<Security<'_>> = self
            .config
            .security
            .iter()
            .map(|protocol| match protocol {
                SecurityProtocol::Noise => Security::Noise(&self.identity),
                SecurityProtocol::Tls => Security::Tls { identity: &self.tls, unix_seconds },
            })
            .collect();
        let setup = ConnectionSetup {
            role: awaited.role,
            security: &security,
            seed: self.seed.derive("connection", connection.0),
            expected_peer: awaited.expected_peer,
            layer,
        };
        let machine = Connection::new(setup, self.connection_config.clone(), now);
        self.connections.insert(connection, Carried::new(machine, None));
        self.mark(connection);
        self.pump(now);
        true
    }

    /// Space for what the transport has. `None` while the connection does not read, or is over.
    pub fn recv_buf(&mut self, connection: ConnectionId) -> Option<&mut [u8]> {
        self.connections.get_mut(&connection)?.connection.recv_buf()
    }

    /// Takes the first `n` bytes of [`Host::recv_buf`] as received.
    pub fn handle_recv(&mut self, now: Timestamp, connection: ConnectionId, n: usize) {
        self.touch(now, connection, |machine, now| machine.handle_recv(now, n));
    }

    /// The transport has no more bytes.
    pub fn handle_eof(&mut self, now: Timestamp, connection: ConnectionId) {
        self.touch(now, connection, Connection::handle_eof);
    }

    /// The transport failed.
    pub fn handle_transport_error(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        failure: TransportFailure,
    ) {
        self.touch(now, connection, |machine, now| machine.handle_transport_error(now, failure));
    }

    /// A connection that may have something to send. Each comes once for each change; whoever stops
    /// sending because the transport is full comes back to it by himself.
    pub fn poll_sendable(&mut self) -> Option<ConnectionId> {
        self.sendable.pop_first()
    }

    /// What the transport should send. The same bytes come until they are counted.
    pub fn poll_transmit(&mut self, now: Timestamp, connection: ConnectionId) -> Option<&[u8]> {
        let now = self.clock.advance(now);
        self.connections.get_mut(&connection)?.connection.poll_transmit(now)
    }

    /// Counts bytes that the transport took.
    pub fn handle_transmitted(&mut self, now: Timestamp, connection: ConnectionId, n: usize) {
        self.touch(now, connection, |machine, _| machine.handle_transmitted(n));
    }

    /// Does something to a connection, and lets everybody do what follows.
    pub(super) fn touch(
        &mut self,
        now: Timestamp,
        id: ConnectionId,
        change: impl FnOnce(&mut Connection, Timestamp),
    ) {
        let now = self.clock.advance(now);
        let Some(carried) = self.connections.get_mut(&id) else { return };
        change(&mut carried.connection, now);
        self.mark(id);
        self.pump(now);
    }

    /// Tells Node of the end of a connection that never began.
    pub(super) fn tell_closed(&mut self, now: Timestamp, id: ConnectionId, reason: CloseReason) {
        let message = ToNode::Closed { reason, usage: Usage::default() };
        self.tell_node(now, Input::Connection { connection: id, message });
    }
}
