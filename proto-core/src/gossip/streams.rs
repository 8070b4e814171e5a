//! Connections and streams: one stream on which we speak to each peer, and a few on which it speaks
//! to us.

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use super::events::GossipEvent;
use super::machine::Gossip;
use super::peers::{Direction, MAX_INBOUND_STREAMS, Outbound, PeerKey};
use super::version::GossipVersion;
use crate::mailbox::{OpenFailure, RequestId, StreamEnd};
use crate::mux::Role;
use crate::node::{ConnectionId, ProtocolOutput, StreamRef};
use crate::protocol::ProtocolId;
use crate::time::Timestamp;

/// A stream that was lost is opened again at the next heartbeat, but only if none was in so many
/// heartbeats before.
const REOPEN_TICKS: u64 = 60;

impl Gossip {
    pub(super) fn connection_opened(
        &mut self,
        now: Timestamp,
        id: PeerId,
        connection: ConnectionId,
        role: Role,
        address: &Multiaddr,
    ) {
        let known = self.peers.key(&id);
        let key = self.peers.insert(id, self.direct.contains(&id));
        let Some(peer) = self.peers.get_mut(key) else { return };
        if peer.connections.insert(connection, role).is_some() {
            return;
        }
        let direct = peer.direct;
        // Whoever did not speak the protocol, or lost its streams, may be another now.
        let idle = peer.outbound == Outbound::Idle;
        if known.is_none() {
            self.exchange.connected(&id);
        }
        self.scores.add_connection(now, id, connection, ip_of(address));
        if direct {
            self.output(ProtocolOutput::Protect { peer: id, protect: true });
        }
        if idle {
            self.open_outbound(key);
        }
    }

    pub(super) fn connection_closed(
        &mut self,
        now: Timestamp,
        id: PeerId,
        connection: ConnectionId,
    ) {
        let Some(key) = self.peers.key(&id) else { return };
        let Some(peer) = self.peers.get_mut(key) else { return };
        if peer.connections.remove(&connection).is_none() {
            return;
        }
        let (last, outbound) = (peer.connections.is_empty(), peer.outbound);
        let inbound: Vec<StreamRef> =
            peer.inbound.iter().copied().filter(|stream| stream.connection == connection).collect();
        self.verify_here(now, connection);
        for stream in inbound {
            self.stream_closed(now, stream);
        }
        if let Outbound::Open(stream, _) | Outbound::Finishing(stream) = outbound
            && stream.connection == connection
        {
            self.stream_closed(now, stream);
        }
        if last {
            self.peer_gone(now, key);
        }
        self.scores.remove_connection(now, &id, connection);
        // The connection that is preferred now takes over at once.
        if self.peers.get(key).is_some_and(|peer| peer.outbound == Outbound::Lost) {
            self.open_outbound(key);
        }
    }

    /// The last connection of a peer is over.
    fn peer_gone(&mut self, now: Timestamp, key: PeerKey) {
        self.leave_all_meshes(now, key);
        self.promises.remove_peer(key);
        let Some(peer) = self.peers.remove(key) else { return };
        for topic in &peer.topics {
            if let Some(state) = self.topics.get_mut(topic) {
                state.subscribers.remove(&key);
            }
            self.topics.release(topic);
            self.events
                .push_back(GossipEvent::Unsubscribed { peer: peer.id, topic: topic.clone() });
        }
        self.dirty.remove(&key);
    }

    /// Asks for the stream on which we speak to a peer, on its preferred connection.
    fn open_outbound(&mut self, key: PeerKey) {
        if self.finishing {
            return;
        }
        let request = self.peers.request(key);
        let Some(peer) = self.peers.get_mut(key) else { return };
        peer.outbound = Outbound::Opening(request);
        let output = ProtocolOutput::Open {
            request,
            peer: peer.id,
            connection: None,
            protocols: self.protocols.clone(),
            // What is said on it is ignored.
            max_frame_bytes: self.max_frame_bytes(),
        };
        self.output(output);
    }

    /// Opens the streams that were lost since the last heartbeat.
    pub(super) fn reopen_lost(&mut self) {
        let lost: Vec<PeerKey> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.outbound == Outbound::Lost)
            .map(|(key, _)| key)
            .collect();
        for key in lost {
            let tick = self.tick;
            let Some(peer) = self.peers.get_mut(key) else { continue };
            if peer.reopened_at.is_some_and(|at| tick.saturating_sub(at) < REOPEN_TICKS) {
                peer.outbound = Outbound::Idle;
                continue;
            }
            peer.reopened_at = Some(tick);
            self.open_outbound(key);
        }
    }

    pub(super) fn stream_opened(
        &mut self,
        now: Timestamp,
        request: RequestId,
        stream: StreamRef,
        protocol: &ProtocolId,
    ) {
        let version = self.version_of(protocol);
        let wanted = self.peers.take_request(request).and_then(|key| {
            let peer = self.peers.get_mut(key)?;
            if peer.outbound != Outbound::Opening(request) {
                return None;
            }
            // Of a protocol that was not proposed there is no stream.
            peer.outbound = Outbound::Lost;
            Some(key)
        });
        let (Some(key), Some(version)) = (wanted, version) else { return self.reset(stream) };
        self.peers.add_stream(stream, key, Direction::Outbound);
        let Some(peer) = self.peers.get_mut(key) else { return };
        peer.outbound = Outbound::Open(stream, version);
        peer.told.clear();
        peer.tell_topics = true;
        if version.has_extensions() {
            peer.backlog.greet();
        }
        let (id, topics) = (peer.id, peer.topics.clone());
        if peer.announced.replace(Some(version)) != Some(Some(version)) {
            self.events.push_back(GossipEvent::PeerSpeaks { peer: id, version });
        }
        topics.iter().for_each(|topic| self.graft_if_wanted(now, topic, key));
        self.dirty.insert(key);
    }

    pub(super) fn open_failed(&mut self, request: RequestId, failure: OpenFailure) {
        let Some(key) = self.peers.take_request(request) else { return };
        let Some(peer) = self.peers.get_mut(key) else { return };
        if peer.outbound != Outbound::Opening(request) {
            return;
        }
        if failure != OpenFailure::UnsupportedProtocol {
            peer.outbound = Outbound::Lost;
            return;
        }
        peer.outbound = Outbound::Idle;
        let id = peer.id;
        if peer.announced.replace(None) != Some(None) {
            self.events.push_back(GossipEvent::NotSupported { peer: id });
        }
    }

    pub(super) fn inbound_stream(&mut self, id: &PeerId, stream: StreamRef, protocol: &ProtocolId) {
        let known = self.peers.key(id).filter(|_| self.version_of(protocol).is_some());
        let Some(key) = known else { return self.reset(stream) };
        if self.peers.stream(stream).is_some() {
            return;
        }
        self.peers.add_stream(stream, key, Direction::Inbound);
        let Some(peer) = self.peers.get_mut(key) else { return };
        peer.inbound.push(stream);
        peer.extensions = false;
        let idle = peer.outbound == Outbound::Idle;
        let surplus = (peer.inbound.len() > MAX_INBOUND_STREAMS).then(|| peer.inbound.remove(0));
        if let Some(surplus) = surplus {
            self.peers.remove_stream(surplus);
            self.reset(surplus);
        }
        // Whoever speaks the protocol can be spoken to.
        if idle && let Some(peer) = self.peers.get_mut(key) {
            peer.outbound = Outbound::Lost;
            peer.reopened_at = None;
        }
    }

    /// The remote says nothing more on a stream.
    pub(super) fn stream_finished(&mut self, stream: StreamRef) {
        if let Some((_, Direction::Inbound)) = self.peers.stream(stream) {
            self.output(ProtocolOutput::Finish(stream));
        }
    }

    pub(super) fn stream_ended(&mut self, now: Timestamp, stream: StreamRef, end: StreamEnd) {
        if let Some((key, Direction::Inbound)) = self.peers.stream(stream)
            && is_misbehaviour(end)
        {
            self.broke_protocol(now, key, format!("gossip: {end}"));
        }
        self.stream_closed(now, stream);
    }

    fn stream_closed(&mut self, now: Timestamp, stream: StreamRef) {
        let Some((key, direction)) = self.peers.remove_stream(stream) else { return };
        match direction {
            Direction::Inbound => {
                if let Some(peer) = self.peers.get_mut(key) {
                    peer.inbound.retain(|other| *other != stream);
                }
            }
            Direction::Outbound => {
                // What cannot be told that it is in a mesh is in none.
                self.leave_all_meshes(now, key);
                // Nobody knows whether it was asked.
                self.promises.remove_peer(key);
                let Some(peer) = self.peers.get_mut(key) else { return };
                peer.outbound = Outbound::Lost;
                peer.queue.clear();
                peer.backlog = Default::default();
                peer.told.clear();
            }
        }
    }

    pub(super) fn reset(&mut self, stream: StreamRef) {
        self.output(ProtocolOutput::Reset { stream, code: 0 });
    }

    fn version_of(&self, protocol: &ProtocolId) -> Option<GossipVersion> {
        let spoken = self.config.protocols.iter().find(|spoken| spoken.protocol == *protocol);
        spoken.map(|spoken| spoken.version)
    }
}

/// Whether the remote broke the framing.
fn is_misbehaviour(end: StreamEnd) -> bool {
    match end {
        StreamEnd::FrameTooLong { .. } | StreamEnd::MalformedLength | StreamEnd::TruncatedFrame => {
            true
        }
        StreamEnd::Finished
        | StreamEnd::Reset(_)
        | StreamEnd::ResetByUs
        | StreamEnd::CreditExceeded
        | StreamEnd::NegotiationTimedOut
        | StreamEnd::ReceiveStall
        | StreamEnd::ConnectionClosed => false,
    }
}

fn ip_of(address: &Multiaddr) -> Option<core::net::IpAddr> {
    crate::address::Endpoint::parse(address)?.socket().map(|socket| socket.ip())
}
