//! What connections and Node tell each other, until nobody has anything to say.
//!
//! There is no mailbox between them: a message is taken from one and given to the other, and what
//! it causes is done before the next. Each connection has a bounded turn and goes to the end of the
//! line; all of it is bounded by what the last input brought.

use super::carried::Awaited;
use super::machine::Host;
use super::output::HostOutput;
use crate::application::AppEvent;
use crate::close::CloseReason;
use crate::connection::{ConnectionEvent, NodeRoom};
use crate::mailbox::ToConnection;
use crate::mux::Role;
use crate::node::{ConnectionId, Input, NodeEvent, Output, StreamRef};
use crate::time::Timestamp;

/// Events and messages that are taken from a connection before it is another one's turn.
const TURN: usize = 64;

impl Host {
    /// Puts a connection in the line.
    pub(super) fn mark(&mut self, id: ConnectionId) {
        if let Some(carried) = self.connections.get_mut(&id)
            && !core::mem::replace(&mut carried.dirty, true)
        {
            self.dirty.push_back(id);
        }
    }

    /// Lets everybody say what he has to say, as long as the application takes its events.
    pub(super) fn pump(&mut self, now: Timestamp) {
        loop {
            self.take_outputs(now);
            self.exchange_quic(now);
            if self.events.len() >= self.config.max_events {
                return;
            }
            let Some(id) = self.dirty.pop_front() else { return };
            if let Some(carried) = self.connections.get_mut(&id) {
                carried.dirty = false;
                self.turn(now, id);
            }
        }
    }

    /// Takes what a connection has, at most a turn of it.
    fn turn(&mut self, now: Timestamp, id: ConnectionId) {
        for _ in 0..TURN {
            let Some(carried) = self.connections.get_mut(&id) else { return };
            if let Some(event) = carried.connection.poll_event() {
                self.handle_event(id, event);
            } else if let Some(message) = carried.connection.poll_node(NodeRoom::Queue) {
                self.tell_node(now, Input::Connection { connection: id, message });
                self.take_outputs(now);
            } else {
                return self.settle(now, id);
            }
        }
        self.mark(id);
    }

    /// A connection has nothing more to say for now.
    fn settle(&mut self, now: Timestamp, id: ConnectionId) {
        self.tell_endpoint(id);
        let Some(carried) = self.connections.get_mut(&id) else { return };
        let sendable =
            if carried.quic.is_some() { &mut self.sendable_quic } else { &mut self.sendable };
        sendable.insert(id);
        if carried.connection.is_closed() {
            let unread = carried.connection.has_application_streams();
            if carried.over_until.is_none() {
                carried.over_until = Some(now.saturating_add(self.config.unread_linger));
                if carried.quic.is_none() {
                    self.outputs.push_back(HostOutput::Close(id));
                }
            }
            let expired = carried.over_until.is_some_and(|until| until <= now);
            if carried.drained && (!unread || expired) {
                return self.drop_connection(id);
            }
        }
        let deadline = carried.connection.poll_timeout().map(|deadline| deadline.at);
        let linger = carried.over_until.filter(|until| *until > now);
        self.set_deadline(id, deadline.into_iter().chain(linger).min());
    }

    pub(super) fn drop_connection(&mut self, id: ConnectionId) {
        self.set_deadline(id, None);
        self.connections.remove(&id);
        self.sendable.remove(&id);
        self.sendable_quic.remove(&id);
    }

    fn handle_event(&mut self, connection: ConnectionId, event: ConnectionEvent) {
        let at = |stream| StreamRef { connection, stream };
        let event = match event {
            // Node tells of both.
            ConnectionEvent::Secured { .. } | ConnectionEvent::Closed { .. } => return,
            // Nobody measures here.
            ConnectionEvent::Perf(_) => return,
            ConnectionEvent::Inbound { .. } => {
                self.acceptable.push_back(connection);
                AppEvent::Inbound
            }
            ConnectionEvent::Opened { stream, protocol } => {
                AppEvent::Opened { stream: at(stream), protocol }
            }
            ConnectionEvent::OpenFailed { stream, failure } => {
                AppEvent::OpenFailed { stream: at(stream), failure }
            }
            ConnectionEvent::Readable(stream) => AppEvent::Readable(at(stream)),
            ConnectionEvent::Writable(stream) => AppEvent::Writable(at(stream)),
            ConnectionEvent::Finished(stream) => AppEvent::Finished(at(stream)),
            ConnectionEvent::Stopped { stream, code } => {
                AppEvent::Stopped { stream: at(stream), code }
            }
            ConnectionEvent::Ended { stream, end } => AppEvent::Ended { stream: at(stream), end },
        };
        self.events.push_back(event);
    }

    /// Does what Node wants.
    pub(super) fn take_outputs(&mut self, now: Timestamp) {
        while let Some(output) = self.node.poll() {
            if let Some(log) = &mut self.log {
                log.outputs.push(output.clone());
            }
            self.apply(now, output);
        }
    }

    fn apply(&mut self, now: Timestamp, output: Output) {
        match output {
            Output::Listen { listener, address } => {
                self.outputs.push_back(HostOutput::Listen { listener, address });
            }
            Output::Unlisten(listener) => {
                self.unlisten_quic(listener);
                self.outputs.push_back(HostOutput::Unlisten(listener));
            }
            Output::Accept { arrival, connection } => {
                if let Some((endpoint, incoming)) = self.incoming.remove(&arrival) {
                    return self.accept_quic(now, arrival, connection, endpoint, incoming);
                }
                let awaited =
                    Awaited { role: Role::Listener, expected_peer: None, arrival: Some(arrival) };
                self.awaited.insert(connection, awaited);
                self.outputs.push_back(HostOutput::Accept { arrival, connection });
            }
            Output::Reject { arrival, reason } => match self.incoming.remove(&arrival) {
                Some((endpoint, incoming)) => self.refuse_quic(endpoint, incoming),
                None => self.outputs.push_back(HostOutput::Reject { arrival, reason }),
            },
            Output::Validate(arrival) => {
                if let Some((endpoint, incoming)) = self.incoming.remove(&arrival) {
                    self.validate_quic(endpoint, incoming);
                }
            }
            Output::Dial { connection, address, peer } => {
                let awaited = Awaited { role: Role::Dialer, expected_peer: peer, arrival: None };
                self.awaited.insert(connection, awaited);
                self.outputs.push_back(HostOutput::Dial { connection, address });
            }
            Output::CancelDial(connection) => self.cancel_dial(now, connection),
            Output::LookUp { lookup, address } => {
                self.outputs.push_back(HostOutput::LookUp { lookup, address });
            }
            Output::Connection { connection, message } => {
                self.tell_connection(now, connection, message);
            }
            Output::Answer { id, answer } => self.events.push_back(AppEvent::Answer { id, answer }),
            Output::Event(event) => {
                self.note_route(&event);
                self.events.push_back(AppEvent::Node(event));
            }
        }
    }

    fn cancel_dial(&mut self, now: Timestamp, connection: ConnectionId) {
        if self.awaited.remove(&connection).is_some() {
            self.outputs.push_back(HostOutput::CancelDial(connection));
        } else if let Some(carried) = self.connections.get_mut(&connection) {
            carried.connection.close(now, CloseReason::Requested);
            self.mark(connection);
        }
    }

    fn tell_connection(&mut self, now: Timestamp, id: ConnectionId, message: ToConnection) {
        if let Some(carried) = self.connections.get_mut(&id) {
            carried.connection.handle_node(now, message);
            return self.mark(id);
        }
        // Whoever ends one whose transport is not there gets what he wants at once.
        let reason = match message {
            ToConnection::Close(reason) => reason,
            ToConnection::Refuse(reason) => CloseReason::Refused(reason),
            ToConnection::Admit { .. }
            | ToConnection::Lease(_)
            | ToConnection::Protocols(_)
            | ToConnection::Open { .. }
            | ToConnection::Send { .. }
            | ToConnection::Finish(_)
            | ToConnection::Reset { .. }
            | ToConnection::Verify { .. } => return,
        };
        if self.awaited.remove(&id).is_some() {
            self.tell_closed(now, id, reason);
        }
    }

    /// Keeps in mind on which connection a peer's streams are opened.
    fn note_route(&mut self, event: &NodeEvent) {
        match event {
            NodeEvent::PeerConnected { peer, connected } => {
                self.routes.insert(*peer, connected.connection);
            }
            NodeEvent::PreferredConnection { peer, connection } => {
                self.routes.insert(*peer, *connection);
            }
            NodeEvent::PeerDisconnected { peer, .. } => {
                self.routes.remove(peer);
            }
            NodeEvent::ConnectionOpened { .. }
            | NodeEvent::ConnectionClosed { .. }
            | NodeEvent::Refused { .. }
            | NodeEvent::InboundFailed { .. }
            | NodeEvent::Identified { .. }
            | NodeEvent::Listening { .. }
            | NodeEvent::AddressGone { .. }
            | NodeEvent::ListenerFailed { .. }
            | NodeEvent::Penalty { .. }
            | NodeEvent::Gossip(_)
            | NodeEvent::Protocol { .. } => {}
        }
    }
}
