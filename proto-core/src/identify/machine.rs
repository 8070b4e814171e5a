//! [`Identify`]: asks who is at the other end of each connection, answers the same question, and
//! tells those who listen when the answer changes.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use super::config::{IdentifyConfig, MIN_INTERVAL};
use super::event::{IdentifyEvent, IdentifyFailure};
use super::info::PeerInfo;
use super::interner::Interner;
use super::known::{Known, Scope, is_misbehaviour};
use super::link::{Ask, Collected, Link, Purpose};
use super::message::{MAX_FRAME_BYTES, Message};
use super::own::{OwnInfo, observed};
use super::timers::Timers;
use super::{IDENTIFY, IDENTIFY_PUSH, MAX_INBOUND_ASKS, MAX_INBOUND_PUSHES, PENALTY_POINTS};
use crate::identity::Identity;
use crate::mailbox::{OpenFailure, RequestId, StreamEnd};
use crate::node::{Accepted, ConnectionId, Protocol, ProtocolInput, ProtocolOutput, StreamRef};
use crate::protocol::ProtocolId;
use crate::time::{Clock, Deadline, DeadlineReason, Timestamp};

/// Identify and identify/push of one node.
///
/// - Each connection is asked when it opens and after every [`IdentifyConfig::interval`], one
///   stream at a time.
/// - Who asks is answered with what we say now.
/// - A change of what we say is pushed to every connected peer that was told something else before
///   and speaks identify/push, one stream a peer at a time. Changes within
///   [`IdentifyConfig::push_delay`] go together. A push that found no stream is tried again.
///
/// It keeps nothing of a peer whose last connection closed. Outputs and events are polled until
/// there are none after every call that takes `&mut self`.
pub struct Identify {
    config: IdentifyConfig,
    own: OwnInfo,
    clock: Clock,
    /// Those that have a link; how many those are is for Node to bound.
    peers: BTreeMap<PeerId, Peer>,
    links: BTreeMap<ConnectionId, Link>,
    /// Streams that are being opened: at most one for each link and one for each peer.
    requests: BTreeMap<RequestId, Request>,
    last_request: u64,
    timers: Timers<Timer>,
    interner: Interner,
    outputs: VecDeque<ProtocolOutput>,
    events: VecDeque<IdentifyEvent>,
}

/// A connected peer.
#[derive(Default)]
struct Peer {
    links: usize,
    known: Known,
    /// The version of what we say that it was told last.
    told: Option<u64>,
    push: Push,
}

/// How far we are with telling a peer what is new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Push {
    #[default]
    Idle,
    Opening(RequestId),
    Open(StreamRef),
}

/// What a stream is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Ask(ConnectionId),
    Push(PeerId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// While nothing is asked: asks. Otherwise the end of asking.
    Ask(ConnectionId),
    /// The end of a stream of any other purpose.
    Stream(StreamRef),
    /// The end of opening a stream for a push.
    Request(RequestId),
    /// Pushes what changed, now that no more changes are waited for.
    Push,
    /// Tries again where no stream was opened for a push.
    Retry,
}

impl Identify {
    /// An identify that says who `identity` is, and nothing else yet.
    pub fn new(config: IdentifyConfig, identity: Identity) -> Self {
        let config = IdentifyConfig {
            interval: config.interval.max(MIN_INTERVAL),
            timeout: config.timeout.max(MIN_INTERVAL),
            ..config
        };
        Identify {
            own: OwnInfo::new(&config, identity),
            config,
            clock: Clock::default(),
            peers: BTreeMap::new(),
            links: BTreeMap::new(),
            requests: BTreeMap::new(),
            last_request: 0,
            timers: Timers::new(),
            interner: Interner::default(),
            outputs: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Says where we listen, the most important address first: what does not fit into a message
    /// is left out from the end, and beyond [`crate::record::MAX_ADDRESSES`] always. An address
    /// that is empty or longer than [`crate::record::MAX_ADDRESS_BYTES`] is not said.
    pub fn set_listen_addresses(&mut self, now: Timestamp, addresses: Vec<Multiaddr>) {
        let now = self.clock.advance(now);
        if self.own.set_addresses(addresses) {
            self.schedule(Timer::Push, now, self.config.push_delay);
        }
    }

    /// Says which protocols we take streams of: the first [`super::message::MAX_PROTOCOLS`], and of
    /// them what fits into a message, which some sixty always do.
    pub fn set_protocols(&mut self, now: Timestamp, protocols: Vec<ProtocolId>) {
        let now = self.clock.advance(now);
        if self.own.set_protocols(protocols) {
            self.schedule(Timer::Push, now, self.config.push_delay);
        }
    }

    /// Says what time it is: `seconds` since 1970-01-01 UTC. Before that nothing is signed.
    ///
    /// Sequence numbers of our records are nanoseconds of Unix time and always grow in one run. A
    /// node that restarts within the second may sign one that is lower than its last.
    pub fn set_unix_time(&mut self, now: Timestamp, seconds: u64) {
        let now = self.clock.advance(now);
        if self.own.set_unix_time(now, seconds) {
            self.schedule(Timer::Push, now, self.config.push_delay);
        }
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<IdentifyEvent> {
        self.events.pop_front()
    }

    /// What a connected peer said of itself, if it did.
    pub fn info(&self, peer: &PeerId) -> Option<&PeerInfo> {
        self.peers.get(peer)?.known.info()
    }

    /// The sequence number of the newest signed record that a connected peer sent, if it did.
    pub fn record_seq(&self, peer: &PeerId) -> Option<u64> {
        self.peers.get(peer)?.known.record_seq()
    }

    // Connections.

    fn connection_opened(&mut self, now: Timestamp, connection: ConnectionId, link: Link) {
        if self.links.contains_key(&connection) {
            return;
        }
        self.peers.entry(link.peer).or_default().links += 1;
        self.links.insert(connection, link);
        self.ask(now, connection);
    }

    fn connection_closed(&mut self, now: Timestamp, connection: ConnectionId) {
        let Some(link) = self.links.remove(&connection) else { return };
        self.timers.cancel(Timer::Ask(connection));
        if let Ask::Opening(request) = link.ask {
            self.requests.remove(&request);
        }
        let Some(peer) = self.peers.get_mut(&link.peer) else { return };
        for stream in link.streams.into_keys().map(|stream| StreamRef { connection, stream }) {
            self.timers.cancel(Timer::Stream(stream));
            if peer.push == Push::Open(stream) {
                peer.push = Push::Idle;
                // Nobody knows whether it arrived.
                peer.told = Some(0);
            }
        }
        peer.links -= 1;
        if peer.links > 0 {
            return self.push_if_due(now, link.peer);
        }
        if let Push::Opening(request) = peer.push {
            self.requests.remove(&request);
            self.timers.cancel(Timer::Request(request));
        }
        self.peers.remove(&link.peer);
    }

    // Asking.

    fn ask(&mut self, now: Timestamp, connection: ConnectionId) {
        let request = self.next_request();
        let Some(link) = self.links.get_mut(&connection) else { return };
        link.ask = Ask::Opening(request);
        self.requests.insert(request, Request::Ask(connection));
        self.timers.set(Timer::Ask(connection), now.saturating_add(self.config.timeout));
        self.outputs.push_back(ProtocolOutput::Open {
            request,
            peer: link.peer,
            connection: Some(connection),
            protocols: vec![ProtocolId::well_known(IDENTIFY)],
            max_frame_bytes: MAX_FRAME_BYTES,
        });
    }

    /// The time to ask has come, or the time to answer is over.
    fn ask_is_due(&mut self, now: Timestamp, connection: ConnectionId) {
        let Some(link) = self.links.get_mut(&connection) else { return };
        match link.ask {
            Ask::Waiting => return self.ask(now, connection),
            Ask::Opening(request) => {
                self.requests.remove(&request);
            }
            Ask::Open(stream) => {
                link.remove(stream);
                self.reset(StreamRef { connection, stream });
            }
        }
        self.ask_failed(now, connection, IdentifyFailure::TimedOut);
    }

    fn ask_failed(&mut self, now: Timestamp, connection: ConnectionId, failure: IdentifyFailure) {
        let Some(link) = self.links.get(&connection) else { return };
        let peer = link.peer;
        self.events.push_back(IdentifyEvent::Failed { peer, connection, failure });
        if failure.is_misbehaviour() {
            self.penalise(peer, failure.to_string());
        }
        self.ask_again(now, connection);
    }

    fn ask_again(&mut self, now: Timestamp, connection: ConnectionId) {
        if let Some(link) = self.links.get_mut(&connection) {
            link.ask = Ask::Waiting;
            self.timers.set(Timer::Ask(connection), now.saturating_add(self.config.interval));
        }
    }

    // Pushing.

    /// Sets a timer, unless it is set.
    fn schedule(&mut self, timer: Timer, now: Timestamp, delay: Duration) {
        if !self.timers.is_set(timer) {
            self.timers.set(timer, now.saturating_add(delay));
        }
    }

    fn push_to_all(&mut self, now: Timestamp) {
        let peers: Vec<PeerId> = self.peers.keys().copied().collect();
        for peer in peers {
            self.push_if_due(now, peer);
        }
    }

    /// Opens a stream for a push, unless further changes are waited for. Who was told nothing yet
    /// is about to ask, or does not want to know.
    fn push_if_due(&mut self, now: Timestamp, peer_id: PeerId) {
        if self.timers.is_set(Timer::Push) {
            return;
        }
        let Some(peer) = self.peers.get(&peer_id) else { return };
        let outdated = peer.told.is_some_and(|told| told < self.own.version());
        let push = |id: &ProtocolId| id.as_str() == IDENTIFY_PUSH;
        let speaks_push = peer.known.info().is_some_and(|info| info.protocols.iter().any(push));
        if !outdated || !speaks_push || peer.push != Push::Idle {
            return;
        }
        let request = self.next_request();
        self.requests.insert(request, Request::Push(peer_id));
        self.timers.set(Timer::Request(request), now.saturating_add(self.config.timeout));
        self.set_push(peer_id, Push::Opening(request));
        self.outputs.push_back(ProtocolOutput::Open {
            request,
            peer: peer_id,
            connection: None,
            protocols: vec![ProtocolId::well_known(IDENTIFY_PUSH)],
            max_frame_bytes: MAX_FRAME_BYTES,
        });
    }

    /// A stream for a push was not opened, but perhaps another one will be.
    fn push_failed(&mut self, now: Timestamp, peer: PeerId) {
        self.set_push(peer, Push::Idle);
        self.schedule(Timer::Retry, now, self.config.timeout);
    }

    fn push_ended(&mut self, now: Timestamp, peer: PeerId) {
        self.set_push(peer, Push::Idle);
        self.push_if_due(now, peer);
    }

    fn set_push(&mut self, peer: PeerId, push: Push) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.push = push;
        }
    }

    // Streams.

    fn stream_opened(&mut self, now: Timestamp, request: RequestId, stream: StreamRef) {
        let StreamRef { connection, stream: id } = stream;
        let free = |link: &Link| !link.streams.contains_key(&id);
        match self.requests.remove(&request) {
            // It comes too late.
            None => self.reset(stream),
            Some(Request::Ask(asked)) => match self.links.get_mut(&connection) {
                Some(link) if asked == connection && free(link) => {
                    link.ask = Ask::Open(id);
                    link.streams.insert(id, Purpose::Ask(Collected::default()));
                    self.outputs.push_back(ProtocolOutput::Finish(stream));
                }
                Some(_) | None => {
                    self.reset(stream);
                    self.ask_again(now, asked);
                }
            },
            Some(Request::Push(peer)) => {
                self.timers.cancel(Timer::Request(request));
                match self.links.get_mut(&connection) {
                    Some(link) if link.peer == peer && free(link) => {
                        link.streams.insert(id, Purpose::Push);
                        self.set_push(peer, Push::Open(stream));
                        self.tell(now, stream);
                    }
                    Some(_) | None => {
                        self.reset(stream);
                        self.push_failed(now, peer);
                    }
                }
            }
        }
    }

    fn open_failed(&mut self, now: Timestamp, request: RequestId, failure: OpenFailure) {
        match self.requests.remove(&request) {
            None => {}
            Some(Request::Ask(connection)) => {
                self.ask_failed(now, connection, IdentifyFailure::Open(failure));
            }
            Some(Request::Push(peer)) => {
                self.timers.cancel(Timer::Request(request));
                if failure == OpenFailure::UnsupportedProtocol {
                    // It will not be told, so it is as good as told.
                    self.set_told(peer);
                    self.push_ended(now, peer);
                } else {
                    self.push_failed(now, peer);
                }
            }
        }
    }

    fn inbound_stream(&mut self, now: Timestamp, stream: StreamRef, protocol: &ProtocolId) {
        let StreamRef { connection, stream: id } = stream;
        let Some(link) = self.links.get_mut(&connection) else { return self.reset(stream) };
        if link.streams.contains_key(&id) {
            return;
        }
        let asks = link.count(|purpose| matches!(purpose, Purpose::Answer));
        let pushes = link.count(|purpose| matches!(purpose, Purpose::Pushed(_)));
        match protocol.as_str() {
            IDENTIFY if asks < MAX_INBOUND_ASKS as usize => {
                link.streams.insert(id, Purpose::Answer);
                self.tell(now, stream);
            }
            IDENTIFY_PUSH if pushes < MAX_INBOUND_PUSHES as usize => {
                link.streams.insert(id, Purpose::Pushed(Collected::default()));
                let end = now.saturating_add(self.config.timeout);
                self.timers.set(Timer::Stream(stream), end);
            }
            _ => self.reset(stream),
        }
    }

    /// Says who we are, and nothing more on this stream.
    fn tell(&mut self, now: Timestamp, stream: StreamRef) {
        let Some(link) = self.links.get(&stream.connection) else { return };
        let peer = link.peer;
        let frame = self.own.frame(now, &link.address);
        self.outputs.push_back(ProtocolOutput::Send { stream, frame });
        self.outputs.push_back(ProtocolOutput::Finish(stream));
        self.timers.set(Timer::Stream(stream), now.saturating_add(self.config.timeout));
        self.set_told(peer);
    }

    fn set_told(&mut self, peer: PeerId) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.told = Some(self.own.version());
        }
    }

    fn frame(&mut self, now: Timestamp, stream: StreamRef, frame: Bytes) {
        let Some(link) = self.links.get_mut(&stream.connection) else { return };
        let peer = link.peer;
        let (collected, asked) = match link.streams.get_mut(&stream.stream) {
            Some(Purpose::Ask(collected)) => (collected.push(frame), true),
            Some(Purpose::Pushed(collected)) => (collected.push(frame), false),
            // What is said to an answer or a push is nobody's business.
            Some(Purpose::Answer | Purpose::Push) | None => return,
        };
        let Err(error) = collected else { return };
        let failure = IdentifyFailure::Message(error);
        self.forget(stream);
        self.reset(stream);
        if asked {
            self.ask_failed(now, stream.connection, failure);
        } else {
            self.penalise(peer, failure.to_string());
        }
    }

    fn stream_finished(&mut self, now: Timestamp, stream: StreamRef) {
        let Some((peer, purpose)) = self.forget(stream) else { return };
        let connection = stream.connection;
        match purpose {
            Purpose::Ask(collected) => {
                match self.learn(now, peer, connection, &collected, Scope::Whole) {
                    Ok(()) => self.ask_again(now, connection),
                    Err(failure) => self.ask_failed(now, connection, failure),
                }
            }
            Purpose::Pushed(collected) => {
                self.outputs.push_back(ProtocolOutput::Finish(stream));
                if let Err(failure) = self.learn(now, peer, connection, &collected, Scope::Part)
                    && failure.is_misbehaviour()
                {
                    self.penalise(peer, failure.to_string());
                }
            }
            Purpose::Answer => {}
            Purpose::Push => self.push_ended(now, peer),
        }
    }

    fn stream_closed(&mut self, now: Timestamp, stream: StreamRef, end: StreamEnd) {
        let Some((peer, purpose)) = self.forget(stream) else { return };
        let failure = IdentifyFailure::Stream(end);
        match purpose {
            Purpose::Ask(_) if end == StreamEnd::ConnectionClosed => {
                self.ask_again(now, stream.connection);
            }
            Purpose::Ask(_) => self.ask_failed(now, stream.connection, failure),
            Purpose::Pushed(_) if failure.is_misbehaviour() => {
                self.penalise(peer, failure.to_string());
            }
            Purpose::Pushed(_) | Purpose::Answer => {}
            Purpose::Push => self.push_ended(now, peer),
        }
    }

    /// The time of a stream that does not ask is over.
    fn stream_is_due(&mut self, now: Timestamp, stream: StreamRef) {
        let Some((peer, purpose)) = self.forget(stream) else { return };
        self.reset(stream);
        match purpose {
            Purpose::Ask(_) | Purpose::Answer | Purpose::Pushed(_) => {}
            Purpose::Push => self.push_ended(now, peer),
        }
    }

    fn forget(&mut self, stream: StreamRef) -> Option<(PeerId, Purpose)> {
        let link = self.links.get_mut(&stream.connection)?;
        let purpose = link.remove(stream.stream)?;
        self.timers.cancel(Timer::Stream(stream));
        Some((link.peer, purpose))
    }

    fn learn(
        &mut self,
        now: Timestamp,
        peer_id: PeerId,
        connection: ConnectionId,
        collected: &Collected,
        scope: Scope,
    ) -> Result<(), IdentifyFailure> {
        if collected.frames().is_empty() {
            return Err(IdentifyFailure::Silent);
        }
        let message = Message::decode(collected.frames()).map_err(IdentifyFailure::Message)?;
        let observed = message.observed_address.clone();
        let Some(peer) = self.peers.get_mut(&peer_id) else { return Ok(()) };
        let learned = peer
            .known
            .learn(peer_id, message, scope, &mut self.interner)
            .map_err(|_| IdentifyFailure::WrongKey)?;
        if learned.changed
            && let Some(info) = peer.known.info()
        {
            let info = info.clone();
            self.events.push_back(IdentifyEvent::Identified { peer: peer_id, info });
        }
        if let Some(address) = observed {
            self.events.push_back(IdentifyEvent::Observed { peer: peer_id, connection, address });
        }
        if let Some(fault) = learned.record_fault.filter(is_misbehaviour) {
            self.penalise(peer_id, format!("identify: {fault}"));
        }
        self.push_if_due(now, peer_id);
        Ok(())
    }

    fn reset(&mut self, stream: StreamRef) {
        self.outputs.push_back(ProtocolOutput::Reset { stream, code: 0 });
    }

    fn penalise(&mut self, peer: PeerId, reason: String) {
        self.outputs.push_back(ProtocolOutput::Penalty { peer, reason, points: PENALTY_POINTS });
    }

    fn next_request(&mut self) -> RequestId {
        self.last_request += 1;
        RequestId(self.last_request)
    }

    /// Does what is due: what is set meanwhile is due later, since no interval is zero.
    fn time_out(&mut self, now: Timestamp) {
        while let Some(timer) = self.timers.take_due(now) {
            match timer {
                Timer::Ask(connection) => self.ask_is_due(now, connection),
                Timer::Stream(stream) => self.stream_is_due(now, stream),
                Timer::Request(request) => {
                    if let Some(Request::Push(peer)) = self.requests.remove(&request) {
                        self.push_failed(now, peer);
                    }
                }
                Timer::Push | Timer::Retry => self.push_to_all(now),
            }
        }
    }
}

impl Protocol for Identify {
    fn name(&self) -> &str {
        "identify"
    }

    fn accepts(&self) -> Vec<Accepted> {
        let accepted = |protocol, max_inbound_streams| Accepted {
            protocol: ProtocolId::well_known(protocol),
            max_frame_bytes: MAX_FRAME_BYTES,
            max_inbound_streams,
        };
        vec![accepted(IDENTIFY, MAX_INBOUND_ASKS), accepted(IDENTIFY_PUSH, MAX_INBOUND_PUSHES)]
    }

    fn handle(&mut self, now: Timestamp, input: ProtocolInput) {
        let now = self.clock.advance(now);
        match input {
            ProtocolInput::ConnectionOpened { peer, connection, role: _, address, first: _ } => {
                self.connection_opened(now, connection, Link::new(peer, observed(address)));
            }
            ProtocolInput::ConnectionClosed { peer: _, connection, last: _ } => {
                self.connection_closed(now, connection);
            }
            ProtocolInput::StreamOpened { request, peer: _, stream, protocol: _ } => {
                self.stream_opened(now, request, stream);
            }
            ProtocolInput::OpenFailed { request, peer: _, failure } => {
                self.open_failed(now, request, failure);
            }
            ProtocolInput::InboundStream { peer: _, stream, protocol } => {
                self.inbound_stream(now, stream, &protocol);
            }
            ProtocolInput::Frame { stream, frame } => self.frame(now, stream, frame),
            ProtocolInput::StreamFinished(stream) => self.stream_finished(now, stream),
            ProtocolInput::StreamClosed { stream, end } => self.stream_closed(now, stream, end),
            // There are no commands by this way.
            ProtocolInput::Command { id, command: _ } => {
                self.outputs.push_back(ProtocolOutput::Reply { id, reply: Bytes::new() });
            }
            ProtocolInput::Timeout => self.time_out(now),
            // A message is shorter than the credit of a new stream, and nobody is dialled.
            ProtocolInput::Credit { .. }
            | ProtocolInput::Verified { .. }
            | ProtocolInput::DialFailed(_) => {}
        }
    }

    fn poll(&mut self) -> Option<ProtocolOutput> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        let (at, timer) = self.timers.first()?;
        let asks = |connection| {
            self.links.get(connection).is_some_and(|link: &Link| link.ask == Ask::Waiting)
        };
        let reason = match &timer {
            Timer::Ask(connection) if asks(connection) => DeadlineReason::Identify,
            Timer::Push | Timer::Retry => DeadlineReason::Identify,
            Timer::Ask(_) | Timer::Stream(_) | Timer::Request(_) => DeadlineReason::IdentifyTimeout,
        };
        Some(Deadline::new(at, reason))
    }
}

#[cfg(test)]
mod tests;
