//! [`Host`]: its parts, and what it is told of the world.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use super::carried::{Awaited, Carried};
use super::config::HostConfig;
use super::log::NodeLog;
use super::output::HostOutput;
use super::quic::{Endpoint, EndpointId};
use crate::application::AppEvent;
use crate::connection::ConnectionConfig;
use crate::identity::{Identity, IdentityError};
use crate::node::{
    AddProtocolError, ArrivalId, ConnectionId, DialFailure, Input, ListenFailure, ListenerId,
    LookupId, Node, Protocol,
};
use crate::quic::IncomingId;
use crate::rng::Seed;
use crate::time::{Clock, Deadline, DeadlineReason, Timestamp};
use crate::tls::TlsIdentity;

/// A whole peer on one thread. See the [module](super) for how it is driven.
pub struct Host {
    pub(super) node: Node,
    pub(super) config: HostConfig,
    pub(super) connection_config: Arc<ConnectionConfig>,
    pub(super) identity: Identity,
    pub(super) tls: TlsIdentity,
    pub(super) seed: Seed,
    pub(super) clock: Clock,
    /// Unix seconds, and when they were told.
    unix: (u64, Timestamp),
    /// Bounded by Node's limits, and the lingering ones by `unread_linger`.
    pub(super) connections: BTreeMap<ConnectionId, Carried>,
    /// Accepted or dialled ones whose transports are not there; bounded by Node's limits.
    pub(super) awaited: BTreeMap<ConnectionId, Awaited>,
    /// The connection on which each peer's streams are opened.
    pub(super) routes: BTreeMap<PeerId, ConnectionId>,
    /// Those in `connections` whose turn it is, each once.
    pub(super) dirty: VecDeque<ConnectionId>,
    /// Those over transports that carry bytes in order that may have something to send.
    pub(super) sendable: BTreeSet<ConnectionId>,
    /// The same over QUIC.
    pub(super) sendable_quic: BTreeSet<ConnectionId>,
    /// When connections want to be told of the time; at most one each.
    pub(super) deadlines: BTreeSet<(Timestamp, ConnectionId)>,
    /// Connections with streams to be taken, as often as they have one. Bounded by those streams.
    pub(super) acceptable: VecDeque<ConnectionId>,
    /// One for each UDP socket.
    pub(super) endpoints: BTreeMap<EndpointId, Endpoint>,
    /// Those that came over QUIC and wait for Node's answer, which comes at once.
    pub(super) incoming: BTreeMap<ArrivalId, (EndpointId, IncomingId)>,
    next_arrival: u64,
    pub(super) next_command: u64,
    pub(super) next_endpoint: u64,
    /// Bounded by [`HostConfig::max_events`] and what one input adds to it.
    pub(super) events: VecDeque<AppEvent>,
    /// A few for each input.
    pub(super) outputs: VecDeque<HostOutput>,
    pub(super) log: Option<NodeLog>,
}

impl Host {
    /// A host that does nothing yet. Everything that it draws at random follows from `seed`. Fails
    /// only with an RSA key that does not sign.
    pub fn new(
        config: HostConfig,
        identity: Identity,
        seed: &Seed,
        now: Timestamp,
    ) -> Result<Self, IdentityError> {
        let tls = TlsIdentity::new(&identity, seed)?;
        let node_seed = seed.derive("node", 0);
        Ok(Host {
            node: Node::new(config.node.clone(), identity.clone(), node_seed, now),
            connection_config: Arc::new(config.connection.clone()),
            config,
            identity,
            tls,
            seed: seed.derive("host", 0),
            clock: Clock::new(now),
            unix: (0, now),
            connections: BTreeMap::new(),
            awaited: BTreeMap::new(),
            routes: BTreeMap::new(),
            dirty: VecDeque::new(),
            sendable: BTreeSet::new(),
            sendable_quic: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            acceptable: VecDeque::new(),
            endpoints: BTreeMap::new(),
            incoming: BTreeMap::new(),
            next_arrival: 0,
            next_command: 0,
            next_endpoint: 0,
            events: VecDeque::new(),
            outputs: VecDeque::new(),
            log: None,
        })
    }

    /// Adds a protocol to Node, before everything else, see [`Node::add_protocol`].
    pub fn add_protocol(&mut self, protocol: Box<dyn Protocol>) -> Result<(), AddProtocolError> {
        self.node.add_protocol(protocol)
    }

    /// Keeps a log of Node from now on, which grows until it is taken.
    pub fn start_log(&mut self) {
        self.log = Some(NodeLog::default());
    }

    /// Takes what was logged since the last time.
    pub fn take_log(&mut self) -> NodeLog {
        self.log.as_mut().map(core::mem::take).unwrap_or_default()
    }

    /// How many connections there are, with those whose handshakes run and those that are over and
    /// were not read to the end.
    pub fn connection_count(&self) -> usize {
        self.connections.len()
    }

    /// The next thing to be done in the world.
    pub fn poll_output(&mut self) -> Option<HostOutput> {
        self.outputs.pop_front()
    }

    /// What time it is, in seconds since 1970-01-01 UTC. Certificates of TLS and QUIC are checked
    /// against it. To be told at the start, and again when the clock is set.
    pub fn handle_unix_time(&mut self, now: Timestamp, seconds: u64) {
        let now = self.clock.advance(now);
        self.unix = (seconds, now);
        self.input(now, Input::UnixTime { seconds });
    }

    pub(super) fn unix_seconds(&self) -> u64 {
        let (seconds, at) = self.unix;
        seconds.saturating_add(self.clock.now().saturating_since(at).as_secs())
    }

    /// A listener is ready, or has one more address.
    pub fn handle_listening(&mut self, now: Timestamp, listener: ListenerId, address: Multiaddr) {
        self.input(now, Input::Listening { listener, address });
    }

    /// An address of a listener is not there any more.
    pub fn handle_address_gone(
        &mut self,
        now: Timestamp,
        listener: ListenerId,
        address: Multiaddr,
    ) {
        self.input(now, Input::AddressGone { listener, address });
    }

    /// A listener could not start, or has failed since.
    pub fn handle_listen_failed(
        &mut self,
        now: Timestamp,
        listener: ListenerId,
        failure: ListenFailure,
    ) {
        self.input(now, Input::ListenFailed { listener, failure });
    }

    /// Somebody came to a listener of a transport that carries bytes in order. Answered by
    /// [`HostOutput::Accept`] or [`HostOutput::Reject`].
    pub fn handle_arrival(
        &mut self,
        now: Timestamp,
        listener: ListenerId,
        remote: Multiaddr,
    ) -> ArrivalId {
        let arrival = self.arrival();
        self.input(now, Input::Arrival { arrival, listener, remote, validated: true });
        arrival
    }

    pub(super) fn arrival(&mut self) -> ArrivalId {
        let arrival = ArrivalId(self.next_arrival);
        self.next_arrival = self.next_arrival.saturating_add(1);
        arrival
    }

    /// An arrival that was accepted is not there any more.
    pub fn handle_arrival_gone(&mut self, now: Timestamp, arrival: ArrivalId) {
        self.awaited.retain(|_, awaited| awaited.arrival != Some(arrival));
        self.input(now, Input::ArrivalGone(arrival));
    }

    /// A dial did not get its transport.
    pub fn handle_dial_failed(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        failure: DialFailure,
    ) {
        if self.awaited.remove(&connection).is_some() {
            self.input(now, Input::DialFailed { connection, failure });
        }
    }

    /// A name was looked up; it stands for nothing if there are no addresses.
    pub fn handle_looked_up(
        &mut self,
        now: Timestamp,
        lookup: LookupId,
        addresses: Vec<Multiaddr>,
    ) {
        self.input(now, Input::LookedUp { lookup, addresses });
    }

    /// Handles the passing of time.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        let now = self.clock.advance(now);
        for endpoint in self.endpoints.values_mut() {
            endpoint.machine.handle_timeout(now);
        }
        while let Some((at, id)) = self.deadlines.first().copied()
            && at <= now
        {
            self.set_deadline(id, None);
            if let Some(carried) = self.connections.get_mut(&id) {
                carried.connection.handle_timeout(now);
            }
            self.mark(id);
        }
        if self.node.poll_timeout().is_some_and(|deadline| deadline.at <= now) {
            self.tell_node(now, Input::Timeout);
        }
        self.pump(now);
    }

    /// When [`Host::handle_timeout`] should be called next.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        let connection = self.deadlines.first().and_then(|(at, id)| {
            let carried = self.connections.get(id)?;
            let deadline = carried.connection.poll_timeout();
            let reason = deadline.map_or(DeadlineReason::Idle, |next| next.reason);
            Some(Deadline::new(*at, reason))
        });
        self.endpoints
            .values()
            .filter_map(|endpoint| endpoint.machine.poll_timeout())
            .chain(connection)
            .chain(self.node.poll_timeout())
            .min()
    }

    /// Tells Node something, and lets everybody do what follows.
    pub(super) fn input(&mut self, now: Timestamp, input: Input) {
        let now = self.clock.advance(now);
        self.tell_node(now, input);
        self.pump(now);
    }

    pub(super) fn tell_node(&mut self, now: Timestamp, input: Input) {
        if let Some(log) = &mut self.log {
            log.inputs.push((now, input.clone()));
        }
        self.node.handle(now, input);
    }

    pub(super) fn set_deadline(&mut self, id: ConnectionId, deadline: Option<Timestamp>) {
        let Some(carried) = self.connections.get_mut(&id) else { return };
        let before = core::mem::replace(&mut carried.deadline, deadline);
        if before == deadline {
            return;
        }
        if let Some(before) = before {
            self.deadlines.remove(&(before, id));
        }
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, id));
        }
    }
}
