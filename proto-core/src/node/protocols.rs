//! The host of Node's protocols: who owns which streams, and what each is told.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use super::event::NodeEvent;
use super::ids::{CommandId, ConnectionId, StreamRef};
use super::machine::Node;
use super::protect::Protector;
use super::protocol::{Accepted, Protocol, ProtocolInput, ProtocolOutput};
use crate::gossip::Gossip;
use crate::identify::Identify;
use crate::mailbox::{
    OpenFailure, Owner as TableOwner, ProtocolTable, RequestId, StreamEnd, ToConnection, ToNode,
};
use crate::multistream::SupportedProtocols;
use crate::mux::{Role, StreamId};
use crate::protocol::ProtocolId;
use crate::queue;
use crate::time::{Deadline, DeadlineReason, Timestamp};

/// What protocols are told in one turn. What is left waits for the next, which is due at once, so
/// that two protocols that keep each other busy do not keep Node.
const TURN_INPUTS: usize = 4096;

/// Whose a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owner {
    /// Identify.
    Identify,
    /// Gossip, where the node has it.
    Gossip,
    /// A protocol that was added, by its place.
    Added(usize),
}

/// Why a protocol was not added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddProtocolError {
    /// Node has had its first input.
    Started,
    /// Another protocol has the name.
    NameTaken(String),
    /// Another protocol takes the streams of this id.
    ProtocolTaken(ProtocolId),
}

/// What a request asks of a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// A stream.
    Stream,
    /// Whether a signature holds.
    Verification,
}

/// A stream, or the check of a signature, that was asked for.
struct Request {
    owner: Owner,
    /// What the protocol calls it.
    name: RequestId,
    peer: PeerId,
    asked: Asked,
}

/// The protocols, and what is theirs.
pub(super) struct Protocols {
    pub(super) identify: Identify,
    pub(super) gossip: Option<Gossip>,
    added: Vec<Box<dyn Protocol>>,
    /// Who takes the streams of a protocol id.
    takers: BTreeMap<ProtocolId, Owner>,
    /// What connections are told.
    table: ProtocolTable,
    /// Open streams. Bounded by the streams that connections may have.
    streams: BTreeMap<StreamRef, Owner>,
    /// Streams and checks of signatures that were asked for, under names of Node's, since two
    /// protocols may use the same. Each is answered by its connection, whose end answers all.
    requests: BTreeMap<(ConnectionId, RequestId), Request>,
    next_request: u64,
    /// What protocols are to be told: a few for each input, and for the streams that it ends.
    inputs: VecDeque<(Owner, ProtocolInput)>,
}

/// All streams of a connection.
fn streams_of(connection: ConnectionId) -> core::ops::RangeInclusive<StreamRef> {
    let at = |stream| StreamRef { connection, stream: StreamId(stream) };
    at(0)..=at(u64::MAX)
}

/// All requests of a connection.
fn requests_of(connection: ConnectionId) -> core::ops::RangeInclusive<(ConnectionId, RequestId)> {
    (connection, RequestId(0))..=(connection, RequestId(u64::MAX))
}

impl Protocols {
    /// Ping, identify, and perf if it is served.
    pub(super) fn new(identify: Identify, perf: bool) -> Self {
        let table = ProtocolTable::new();
        let accepted = identify.accepts();
        let mut protocols = Protocols {
            identify,
            gossip: None,
            added: Vec::new(),
            takers: BTreeMap::new(),
            table: if perf { table.with_perf() } else { table },
            streams: BTreeMap::new(),
            requests: BTreeMap::new(),
            next_request: 0,
            inputs: VecDeque::new(),
        };
        protocols.register(Owner::Identify, accepted);
        protocols
    }

    pub(super) fn add(&mut self, protocol: Box<dyn Protocol>) -> Result<(), AddProtocolError> {
        self.claim(Owner::Added(self.added.len()), &*protocol)?;
        self.added.push(protocol);
        Ok(())
    }

    pub(super) fn add_gossip(&mut self, gossip: Gossip) -> Result<(), AddProtocolError> {
        self.claim(Owner::Gossip, &gossip)?;
        self.gossip = Some(gossip);
        Ok(())
    }

    /// Gives a protocol its name and the streams that it takes, unless they are taken.
    fn claim(&mut self, owner: Owner, protocol: &dyn Protocol) -> Result<(), AddProtocolError> {
        if self.owner_named(protocol.name()).is_some() {
            return Err(AddProtocolError::NameTaken(protocol.name().to_owned()));
        }
        let accepted = protocol.accepts();
        if let Some(taken) = accepted.iter().find(|row| self.is_taken(&row.protocol)) {
            return Err(AddProtocolError::ProtocolTaken(taken.protocol.clone()));
        }
        self.register(owner, accepted);
        Ok(())
    }

    fn register(&mut self, owner: Owner, accepted: Vec<Accepted>) {
        for Accepted { protocol, max_frame_bytes, max_inbound_streams } in accepted {
            let table = core::mem::take(&mut self.table);
            let row = TableOwner::Node { max_frame_bytes };
            self.table = table.with(protocol.clone(), row, max_inbound_streams);
            self.takers.insert(protocol, owner);
        }
    }

    fn is_taken(&self, protocol: &ProtocolId) -> bool {
        self.table.get(protocol.as_str()).is_some()
    }

    /// Takes a protocol for the application; false if it is taken.
    pub(super) fn add_application(&mut self, protocol: ProtocolId) -> bool {
        if self.is_taken(&protocol) {
            return false;
        }
        self.table = core::mem::take(&mut self.table).with_application(protocol);
        true
    }

    /// Gives up a protocol of the application's; false if it is none.
    pub(super) fn remove_application(&mut self, protocol: &ProtocolId) -> bool {
        let owned = self
            .table
            .get(protocol.as_str())
            .is_some_and(|entry| entry.owner == TableOwner::Application);
        if owned {
            self.table = core::mem::take(&mut self.table).without(protocol.as_str());
        }
        owned
    }

    /// Gives a request a name of Node's.
    fn register_request(&mut self, connection: ConnectionId, request: Request) -> RequestId {
        let name = RequestId(self.next_request);
        self.next_request = self.next_request.saturating_add(1);
        self.requests.insert((connection, name), request);
        name
    }

    /// What connections are told. Cloning shares it.
    pub(super) fn table(&self) -> ProtocolTable {
        self.table.clone()
    }

    /// Who has a name.
    pub(super) fn owner_named(&self, name: &str) -> Option<Owner> {
        self.owners().find(|owner| self.get(*owner).is_some_and(|protocol| protocol.name() == name))
    }

    fn owners(&self) -> impl Iterator<Item = Owner> + use<> {
        let gossip = self.gossip.as_ref().map(|_| Owner::Gossip);
        core::iter::once(Owner::Identify)
            .chain(gossip)
            .chain((0..self.added.len()).map(Owner::Added))
    }

    fn get(&self, owner: Owner) -> Option<&dyn Protocol> {
        match owner {
            Owner::Identify => Some(&self.identify),
            Owner::Gossip => self.gossip.as_ref().map(|gossip| gossip as &dyn Protocol),
            Owner::Added(place) => self.added.get(place).map(|protocol| &**protocol),
        }
    }

    fn get_mut(&mut self, owner: Owner) -> Option<&mut (dyn Protocol + 'static)> {
        match owner {
            Owner::Identify => Some(&mut self.identify),
            Owner::Gossip => self.gossip.as_mut().map(|gossip| gossip as &mut dyn Protocol),
            Owner::Added(place) => self.added.get_mut(place).map(|protocol| &mut **protocol),
        }
    }

    /// Whether a connection has streams of Node's, or is asked for some. Who it is with is asked
    /// now and then, which is no use of it.
    pub(super) fn uses(&self, connection: ConnectionId) -> bool {
        let streams = self.streams.range(streams_of(connection)).map(|(_, owner)| *owner);
        let requests = self
            .requests
            .range(requests_of(connection))
            .filter(|(_, request)| request.asked == Asked::Stream)
            .map(|(_, request)| request.owner);
        streams.chain(requests).any(|owner| owner != Owner::Identify)
    }

    /// The protocol ids that connections are told, in a fixed order.
    pub(super) fn protocol_ids(&self) -> Vec<ProtocolId> {
        let mut ids = Vec::new();
        self.table.for_each(&mut |id| ids.push(id.clone()));
        ids
    }

    /// When a protocol waits for time, or for its turn.
    pub(super) fn deadline(&self, now: Timestamp) -> Option<Deadline> {
        let turn = (!self.inputs.is_empty()).then(|| Deadline::new(now, DeadlineReason::Protocol));
        self.owners()
            .filter_map(|owner| self.get(owner)?.poll_timeout())
            .fold(turn, |first, next| Deadline::earlier(first, Some(next)))
    }

    /// Tells those whose time has come.
    pub(super) fn time_out(&mut self, now: Timestamp) {
        for owner in self.owners() {
            let deadline = self.get(owner).and_then(Protocol::poll_timeout);
            if deadline.is_some_and(|deadline| deadline.at <= now) {
                self.tell(owner, ProtocolInput::Timeout);
            }
        }
    }

    pub(super) fn tell(&mut self, owner: Owner, input: ProtocolInput) {
        self.inputs.push_back((owner, input));
    }

    fn tell_all(&mut self, input: &ProtocolInput) {
        for owner in self.owners() {
            self.tell(owner, input.clone());
        }
    }

    pub(super) fn command(&mut self, owner: Owner, id: CommandId, command: Bytes) {
        self.tell(owner, ProtocolInput::Command { id, command });
    }

    pub(super) fn connection_opened(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        role: Role,
        address: Multiaddr,
        first: bool,
    ) {
        self.tell_all(&ProtocolInput::ConnectionOpened { peer, connection, role, address, first });
    }

    /// Ends what a connection leaves behind, before its own end.
    pub(super) fn connection_closed(&mut self, peer: PeerId, connection: ConnectionId, last: bool) {
        let requests: Vec<_> =
            self.requests.range(requests_of(connection)).map(|(key, _)| *key).collect();
        for key in requests {
            if let Some(Request { owner, name, peer, asked: Asked::Stream }) =
                self.requests.remove(&key)
            {
                let failure = OpenFailure::NotOpen;
                self.tell(owner, ProtocolInput::OpenFailed { request: name, peer, failure });
            }
        }
        let streams: Vec<_> =
            self.streams.range(streams_of(connection)).map(|(stream, _)| *stream).collect();
        for stream in streams {
            if let Some(owner) = self.streams.remove(&stream) {
                let end = StreamEnd::ConnectionClosed;
                self.tell(owner, ProtocolInput::StreamClosed { stream, end });
            }
        }
        self.tell_all(&ProtocolInput::ConnectionClosed { peer, connection, last });
    }
}

impl Node {
    /// A message about a stream of Node's goes to its owner; about one that is unknown, to nobody.
    pub(super) fn handle_stream_message(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        message: ToNode,
    ) {
        let Some(peer) = self.connections.open(connection).map(|open| open.peer) else { return };
        let at = |stream| StreamRef { connection, stream };
        match message {
            ToNode::StreamOpened { request, stream, protocol } => {
                let request = self.take_request(connection, request, Asked::Stream);
                let stream = at(stream);
                let Some(Request { owner, name, .. }) = request else { return };
                let request = name;
                if self.protocols.streams.contains_key(&stream) {
                    let failure = OpenFailure::Ended;
                    let failed = ProtocolInput::OpenFailed { request, peer, failure };
                    return self.protocols.tell(owner, failed);
                }
                self.protocols.streams.insert(stream, owner);
                self.protocols
                    .tell(owner, ProtocolInput::StreamOpened { request, peer, stream, protocol });
            }
            ToNode::OpenFailed { request, failure } => {
                let request = self.take_request(connection, request, Asked::Stream);
                let Some(Request { owner, name, .. }) = request else { return };
                let request = name;
                self.protocols.tell(owner, ProtocolInput::OpenFailed { request, peer, failure });
                self.watch_use(now, connection);
            }
            ToNode::Verified { request, valid } => {
                let request = self.take_request(connection, request, Asked::Verification);
                let Some(Request { owner, name, .. }) = request else { return };
                self.protocols.tell(owner, ProtocolInput::Verified { request: name, valid });
            }
            ToNode::InboundStream { stream, protocol } => {
                let owner = self.protocols.takers.get(&protocol).copied();
                let Some(owner) = owner else {
                    return self
                        .tell_connection(connection, ToConnection::Reset { stream, code: 0 });
                };
                let stream = at(stream);
                if self.protocols.streams.contains_key(&stream) {
                    return;
                }
                self.protocols.streams.insert(stream, owner);
                self.protocols.tell(owner, ProtocolInput::InboundStream { peer, stream, protocol });
                self.watch_use(now, connection);
            }
            ToNode::Frame { stream, frame } => {
                let stream = at(stream);
                self.tell_owner(stream, ProtocolInput::Frame { stream, frame });
            }
            ToNode::Sent { stream, bytes } => {
                let stream = at(stream);
                self.tell_owner(stream, ProtocolInput::Credit { stream, bytes });
            }
            ToNode::StreamFinished(stream) => {
                let stream = at(stream);
                self.tell_owner(stream, ProtocolInput::StreamFinished(stream));
            }
            ToNode::StreamClosed { stream, end } => {
                let stream = at(stream);
                self.tell_owner(stream, ProtocolInput::StreamClosed { stream, end });
                self.protocols.streams.remove(&stream);
                self.watch_use(now, connection);
            }
            ToNode::Established { .. }
            | ToNode::Rtt(_)
            | ToNode::PingFailed(_)
            | ToNode::LeaseRequest { .. }
            | ToNode::LeaseReturn { .. }
            | ToNode::Usage(_)
            | ToNode::Closed { .. } => {}
        }
    }

    fn take_request(
        &mut self,
        connection: ConnectionId,
        request: RequestId,
        asked: Asked,
    ) -> Option<Request> {
        let key = (connection, request);
        self.protocols.requests.get(&key).filter(|request| request.asked == asked)?;
        self.protocols.requests.remove(&key)
    }

    fn tell_owner(&mut self, stream: StreamRef, input: ProtocolInput) {
        if let Some(owner) = self.protocols.streams.get(&stream).copied() {
            self.protocols.tell(owner, input);
        }
    }

    /// Gives protocols their inputs, and does what they want, until all is done or the turn is over.
    pub(super) fn run_protocols(&mut self, now: Timestamp) {
        for _ in 0..TURN_INPUTS {
            let Some((owner, input)) = self.protocols.inputs.pop_front() else { break };
            let Some(protocol) = self.protocols.get_mut(owner) else { continue };
            protocol.handle(now, input);
            self.drain_protocol(now, owner);
        }
        // They may have been told something outside of their inputs.
        self.drain_protocol(now, Owner::Identify);
        self.take_identified(now);
        self.drain_protocol(now, Owner::Gossip);
        self.take_gossip_events();
        queue::rest(&mut self.protocols.inputs);
    }

    fn drain_protocol(&mut self, now: Timestamp, owner: Owner) {
        while let Some(output) = self.protocols.get_mut(owner).and_then(|protocol| protocol.poll())
        {
            self.apply(now, owner, output);
        }
    }

    /// Does what a protocol wants. It reaches its own streams alone.
    fn apply(&mut self, now: Timestamp, owner: Owner, output: ProtocolOutput) {
        match output {
            ProtocolOutput::Open { request, peer, connection, protocols, max_frame_bytes } => {
                let open = Request { owner, name: request, peer, asked: Asked::Stream };
                self.open_stream(now, open, connection, protocols, max_frame_bytes);
            }
            ProtocolOutput::Send { stream, frame } => {
                self.tell_stream(owner, stream, |stream| ToConnection::Send { stream, frame });
            }
            ProtocolOutput::Finish(stream) => self.tell_stream(owner, stream, ToConnection::Finish),
            ProtocolOutput::Reset { stream, code } => {
                self.tell_stream(owner, stream, |stream| ToConnection::Reset { stream, code });
            }
            ProtocolOutput::Verify { request, connection, public_key, message, signature } => {
                let Some(known) = self.connections.open(connection) else { return };
                let asked = Asked::Verification;
                let named = Request { owner, name: request, peer: known.peer, asked };
                let request = self.protocols.register_request(connection, named);
                self.tell_connection(
                    connection,
                    ToConnection::Verify { request, public_key, message, signature },
                );
            }
            ProtocolOutput::Close { peer, reason } => self.close_peer(&peer, &reason),
            ProtocolOutput::Dial { peer, addresses } => {
                self.connect_for(owner, peer, addresses);
            }
            ProtocolOutput::Protect { peer, protect } => {
                self.protect(peer, Protector::Protocol(owner), protect);
            }
            ProtocolOutput::Penalty { peer, reason, points } => {
                let protocol = self.name_of(owner);
                self.event(NodeEvent::Penalty { peer, protocol, reason, points });
            }
            ProtocolOutput::Reply { id, reply } => self.reply(owner, id, reply),
            ProtocolOutput::Event(event) => {
                let name = self.name_of(owner);
                self.event(NodeEvent::Protocol { name, event });
            }
        }
    }

    fn name_of(&self, owner: Owner) -> String {
        self.protocols.get(owner).map_or_else(String::new, |protocol| protocol.name().to_owned())
    }

    fn open_stream(
        &mut self,
        now: Timestamp,
        open: Request,
        connection: Option<ConnectionId>,
        protocols: Vec<ProtocolId>,
        max_frame_bytes: u32,
    ) {
        let usable = match connection {
            Some(id) => self
                .connections
                .open(id)
                .is_some_and(|known| known.peer == open.peer && !known.closing)
                .then_some(id),
            None => self.connections.usable(&open.peer),
        };
        let Some(connection) = usable else {
            let Request { owner, name, peer, .. } = open;
            let failure = OpenFailure::NotOpen;
            let failed = ProtocolInput::OpenFailed { request: name, peer, failure };
            return self.protocols.tell(owner, failed);
        };
        let request = self.protocols.register_request(connection, open);
        self.tell_connection(
            connection,
            ToConnection::Open { request, protocols, max_frame_bytes },
        );
        self.watch_use(now, connection);
    }

    fn tell_stream(
        &mut self,
        owner: Owner,
        stream: StreamRef,
        message: impl FnOnce(StreamId) -> ToConnection,
    ) {
        if self.protocols.streams.get(&stream) == Some(&owner) {
            self.tell_connection(stream.connection, message(stream.stream));
        }
    }
}

impl core::fmt::Display for AddProtocolError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            AddProtocolError::Started => f.write_str("the node has begun"),
            AddProtocolError::NameTaken(name) => write!(f, "the name {name} is taken"),
            AddProtocolError::ProtocolTaken(id) => write!(f, "the protocol {id} is taken"),
        }
    }
}

impl core::error::Error for AddProtocolError {}
