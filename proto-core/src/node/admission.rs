//! Who is let in: arrivals, finished handshakes, and the ends of connections.

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use super::command::DialError;
use super::connections::{Entry, Open, State};
use super::event::NodeEvent;
use super::ids::{ArrivalId, ConnectionId};
use super::machine::Node;
use super::output::Output;
use crate::address::ip_of;
use crate::close::{CloseReason, RefuseReason};
use crate::mailbox::{ToConnection, ToNode};
use crate::mux::Role;
use crate::time::Timestamp;

impl Node {
    /// Answers somebody who wants to connect.
    pub(super) fn handle_arrival(
        &mut self,
        now: Timestamp,
        arrival: ArrivalId,
        remote: Multiaddr,
        validated: bool,
    ) {
        if self.connections.of_arrival(arrival).is_some() {
            return;
        }
        if self.shutting_down {
            return self.reject(arrival, remote, RefuseReason::Policy);
        }
        if !validated && self.connections.handshaking() >= self.config.validate_threshold {
            return self.output(Output::Validate(arrival));
        }
        let connection = self.ids.connection();
        if let Err(reason) = self.limits.arrive(now, connection, ip_of(&remote)) {
            return self.reject(arrival, remote, reason);
        }
        self.connections.accept(connection, remote, arrival);
        self.output(Output::Accept { arrival, connection });
    }

    fn reject(&mut self, arrival: ArrivalId, address: Multiaddr, reason: RefuseReason) {
        self.output(Output::Reject { arrival, reason });
        self.event(NodeEvent::Refused { address, peer: None, reason });
    }

    /// What was accepted was not there any more.
    pub(super) fn handle_arrival_gone(&mut self, arrival: ArrivalId) {
        if let Some(connection) = self.connections.of_arrival(arrival) {
            self.forget(connection);
        }
    }

    /// Forgets a connection that is over or was given up. Of an admitted one, `true` says that it
    /// was the peer's last.
    pub(super) fn forget(&mut self, id: ConnectionId) -> Option<(Entry, bool)> {
        self.limits.close(id);
        self.connections.remove(id)
    }

    /// Takes a message of a connection's.
    pub(super) fn handle_connection(&mut self, now: Timestamp, id: ConnectionId, message: ToNode) {
        match message {
            ToNode::Established { peer, role: _ } => self.handle_established(now, id, peer),
            ToNode::Rtt(rtt) => {
                if let Some(open) = self.connections.open_mut(id) {
                    open.rtt = Some(rtt);
                }
            }
            // Whether a connection still works is its multiplexer's to say.
            ToNode::PingFailed(_) => {}
            ToNode::LeaseRequest { window_bytes } => self.handle_lease_request(id, window_bytes),
            ToNode::LeaseReturn { window_bytes } => self.handle_lease_return(id, window_bytes),
            ToNode::Usage(usage) => self.handle_usage(now, id, usage),
            ToNode::StreamOpened { .. }
            | ToNode::OpenFailed { .. }
            | ToNode::InboundStream { .. }
            | ToNode::Frame { .. }
            | ToNode::Sent { .. }
            | ToNode::StreamFinished(_)
            | ToNode::StreamClosed { .. }
            | ToNode::Verified { .. } => self.handle_stream_message(now, id, message),
            ToNode::Closed { reason, usage: _ } => self.handle_closed(id, reason),
        }
    }

    /// The handshake is done: admits the connection, or refuses it.
    fn handle_established(&mut self, now: Timestamp, id: ConnectionId, peer: PeerId) {
        match self.connections.get(id).map(|entry| &entry.state) {
            Some(State::Accepted(_) | State::Dialled(None)) => {}
            Some(State::Dialled(Some(expected))) => {
                let expected = *expected;
                if expected != peer {
                    return self.close_wrong_peer(id, expected, peer);
                }
            }
            // It was given up, and is not told apart from one that never was.
            None => {
                return self.tell_connection(id, ToConnection::Refuse(RefuseReason::Policy));
            }
            Some(State::Refused | State::Open(_)) => return,
        }
        match self.check_established(id, peer) {
            Ok(()) => self.admit(now, id, peer),
            Err(reason) => self.refuse(id, peer, reason),
        }
    }

    /// Whether a connection to a peer is wanted; it is counted then.
    fn check_established(&mut self, id: ConnectionId, peer: PeerId) -> Result<(), RefuseReason> {
        if peer == self.peer_id() {
            return Err(RefuseReason::Ourselves);
        }
        if self.shutting_down {
            return Err(RefuseReason::Policy);
        }
        let Some(entry) = self.connections.get(id) else { return Err(RefuseReason::Policy) };
        self.limits.establish(id, entry.role, peer, ip_of(&entry.address))
    }

    fn refuse(&mut self, id: ConnectionId, peer: PeerId, reason: RefuseReason) {
        let Some(entry) = self.connections.get(id) else { return };
        let (role, address) = (entry.role, entry.address.clone());
        self.connections.refuse(id);
        self.tell_connection(id, ToConnection::Refuse(reason));
        self.event(NodeEvent::Refused { address, peer: Some(peer), reason });
        if role == Role::Dialer {
            self.dial_failed(id, DialError::Closed(CloseReason::Refused(reason)));
        }
    }

    /// A transport of others has let somebody through who was not dialled.
    fn close_wrong_peer(&mut self, id: ConnectionId, expected: PeerId, found: PeerId) {
        let (expected, found) = (Box::new(expected), Box::new(found));
        let reason = CloseReason::WrongPeer { expected, found };
        self.connections.refuse(id);
        self.tell_connection(id, ToConnection::Close(reason.clone()));
        self.dial_failed(id, DialError::Closed(reason));
    }

    fn admit(&mut self, now: Timestamp, id: ConnectionId, peer: PeerId) {
        let lease = self.config.lease;
        let first = self.connections.admit(id, Open::new(peer, now, lease.window_bytes));
        let Some(connected) = self.connections.connected(id) else { return };
        let (role, address) = (connected.role, connected.address.clone());
        if first {
            self.event(NodeEvent::PeerConnected { peer, connected: connected.clone() });
        }
        self.event(NodeEvent::ConnectionOpened { peer, connected });
        if !first {
            self.settle_preferred(now, &peer, id);
        }
        let protocols = self.protocols.table();
        self.tell_connection(id, ToConnection::Admit { lease, protocols });
        if first {
            self.peers.set_connected(peer, true, now);
        }
        self.dial_over(id, role, peer);
        self.protocols.connection_opened(peer, id, role, address, first);
        self.watch_use(now, id);
    }

    /// A connection is over.
    fn handle_closed(&mut self, id: ConnectionId, reason: CloseReason) {
        let open = match self.connections.get(id).map(|entry| &entry.state) {
            Some(State::Open(_)) => true,
            Some(State::Accepted(_) | State::Dialled(_) | State::Refused) => false,
            None => return,
        };
        if open {
            self.return_lease(id);
        }
        let Some((entry, last)) = self.forget(id) else { return };
        match entry.state {
            State::Accepted(_) => {
                self.event(NodeEvent::InboundFailed { address: entry.address, reason });
            }
            State::Dialled(_) => {
                self.dial_failed(id, DialError::Closed(reason));
            }
            State::Refused => {}
            State::Open(open) => {
                let peer = open.peer;
                self.protocols.connection_closed(peer, id, last);
                self.event(NodeEvent::ConnectionClosed {
                    peer,
                    connection: id,
                    reason: reason.clone(),
                });
                if last {
                    self.event(NodeEvent::PeerDisconnected { peer, reason });
                    self.peer_gone(&peer);
                } else {
                    self.replace_preferred(&peer);
                }
            }
        }
    }

    /// Ends a connection. Does nothing if it is ending already.
    pub(super) fn close_connection(&mut self, id: ConnectionId, reason: CloseReason) {
        let Some(open) = self.connections.open_mut(id) else { return };
        if core::mem::replace(&mut open.closing, true) {
            return;
        }
        let peer = open.peer;
        self.connections.set_deadline(id, None);
        self.tell_connection(id, ToConnection::Close(reason));
        self.replace_preferred(&peer);
    }

    /// Ends all connections of a peer.
    pub(super) fn close_peer(&mut self, peer: &PeerId, reason: &CloseReason) {
        let Some(known) = self.connections.peer(peer) else { return };
        // The preferred one last, so that none of the others is preferred meanwhile.
        let preferred = known.preferred;
        let mut ids = known.connections.clone();
        ids.sort_by_key(|id| *id == preferred);
        for id in ids {
            self.close_connection(id, reason.clone());
        }
    }
}
