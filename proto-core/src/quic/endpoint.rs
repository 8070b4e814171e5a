//! [`QuicEndpoint`]: the datagrams of one UDP socket, and who may connect.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use libp2p_identity::PeerId;
use quinn_proto::{
    ClientConfig, ConnectionHandle, DatagramEvent, Endpoint, EndpointConfig, IdleTimeout, Incoming,
    MtuDiscoveryConfig, NoneTokenStore, ServerConfig, TransportConfig, VarInt,
};
use serde::{Deserialize, Serialize};

use super::config::QuicConfig;
use super::crypto::{self, SeededIds};
use super::datagram::{DatagramMeta, QuicDatagram, QuicTransmit};
use super::epoch::{Epoch, TokenClock};
use super::mailbox::{FromEndpoint, QuicConnectionId, ToEndpoint, ToEndpointInner};
use super::mux::{QuicMux, lost_reason};
use crate::close::CloseReason;
use crate::mux::Role;
use crate::rng::Seed;
use crate::time::{Clock, Deadline, DeadlineReason, Timestamp};
use crate::tls::TlsIdentity;

/// Answers of the endpoint's own that wait to be sent. More are dropped, as the network might.
const MAX_RESPONSES: usize = 64;

/// An incoming connection that waits for an answer. Never reused by its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IncomingId(pub u64);

/// What an endpoint has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointEvent {
    /// Somebody wants to connect. Nothing was computed for it yet. Answer with
    /// [`QuicEndpoint::accept`], [`QuicEndpoint::refuse`] or [`QuicEndpoint::retry`] within
    /// [`QuicConfig::handshake_timeout`], after which it is forgotten.
    Incoming {
        /// Its id.
        id: IncomingId,
        /// Where it claims to come from.
        remote: SocketAddr,
        /// Whether it has shown that it receives what is sent there (RFC 9000, section 8.1).
        validated: bool,
    },
}

/// Why a connection was not dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// Nobody can be reached at this address: its port is 0, or it is unspecified.
    InvalidAddress(SocketAddr),
    /// No connection ids are left.
    ConnectionIdsExhausted,
    /// The TLS side could not start.
    Tls,
}

/// Why an incoming connection was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AcceptError {
    /// No such incoming connection: it was answered before, or waited too long.
    UnknownIncoming,
    /// Its first packet was not what it should be.
    Failed(Box<CloseReason>),
}

/// What is known of a connection while its endpoint routes to it.
struct Known {
    handle: ConnectionHandle,
    /// Accepted, and not secured yet.
    handshaking: bool,
}

struct Pending {
    incoming: Incoming,
    until: Timestamp,
}

/// The machine of one UDP socket.
///
/// After every input take [`poll_event`](QuicEndpoint::poll_event),
/// [`poll_connection_event`](QuicEndpoint::poll_connection_event) and
/// [`poll_transmit`](QuicEndpoint::poll_transmit) until there are none. What a connection has for
/// its endpoint ([`QuicMux::poll_endpoint_event`]) goes to
/// [`handle_connection_event`](QuicEndpoint::handle_connection_event).
pub struct QuicEndpoint {
    inner: Endpoint,
    identity: TlsIdentity,
    seed: Seed,
    config: Arc<QuicConfig>,
    transport: Arc<TransportConfig>,
    server: Arc<ServerConfig>,
    epoch: Epoch,
    clock: Clock,
    token_clock: Arc<TokenClock>,
    next_incoming: u64,
    next_connection: u64,
    /// Bounded by [`QuicConfig::max_pending_incoming`].
    pending: BTreeMap<IncomingId, Pending>,
    /// Bounded by how many were dialled and accepted.
    connections: BTreeMap<QuicConnectionId, Known>,
    /// The connection of each handle, which `quinn_proto` does reuse.
    by_handle: Vec<Option<QuicConnectionId>>,
    /// How many of `connections` are handshaking.
    handshaking: usize,
    /// Bounded like `pending`.
    events: VecDeque<EndpointEvent>,
    /// At most a few for each input.
    connection_events: VecDeque<(QuicConnectionId, FromEndpoint)>,
    /// Bounded by [`MAX_RESPONSES`].
    responses: VecDeque<QuicDatagram>,
    scratch: Vec<u8>,
}

impl QuicEndpoint {
    /// An endpoint with this identity. `epoch` is the driver's: what a [`Timestamp`] counts from.
    #[allow(clippy::disallowed_types, reason = "quinn_proto takes Instants; none is read here")]
    pub fn new(
        identity: &TlsIdentity,
        seed: &Seed,
        config: QuicConfig,
        epoch: std::time::Instant,
    ) -> Self {
        let seed = seed.derive("quic-endpoint", 0);
        let mut endpoint = EndpointConfig::new(crypto::reset_key(&seed));
        let ids = seed.clone();
        endpoint
            .supported_versions(vec![crate::tls::QUIC_V1])
            .cid_generator(move || Box::new(SeededIds::new(&ids)))
            .rng_seed(Some(*seed.derive("quic-rng", 0).expose()));
        let transport = Arc::new(transport(&config));
        let token_clock = Arc::new(TokenClock::default());
        let mut server =
            ServerConfig::new(crypto::server(identity, 0, &seed), crypto::token_key(&seed));
        server
            .transport_config(Arc::clone(&transport))
            .migration(false)
            .max_incoming(config.max_pending_incoming)
            .incoming_buffer_size(config.incoming_buffer_bytes)
            .incoming_buffer_size_total(
                config.incoming_buffer_bytes.saturating_mul(config.max_pending_incoming as u64),
            )
            .time_source(Arc::<TokenClock>::clone(&token_clock));
        let server = Arc::new(server);
        let inner = Endpoint::new(
            Arc::new(endpoint),
            config.accept.then(|| Arc::clone(&server)),
            config.mtu_discovery,
            None,
        );
        QuicEndpoint {
            inner,
            identity: identity.clone(),
            seed,
            config: Arc::new(config),
            transport,
            server,
            epoch: Epoch(epoch),
            clock: Clock::default(),
            token_clock,
            next_incoming: 0,
            next_connection: 0,
            pending: BTreeMap::new(),
            connections: BTreeMap::new(),
            by_handle: Vec::new(),
            handshaking: 0,
            events: VecDeque::new(),
            connection_events: VecDeque::new(),
            responses: VecDeque::new(),
            scratch: Vec::new(),
        }
    }

    /// How many connections are known: open, or not quite over.
    pub fn connection_count(&self) -> usize {
        self.connections.len()
    }

    /// How many incoming connections wait for an answer.
    pub fn pending_count(&self) -> usize {
        self.pending.len()
    }

    /// Takes a datagram from the socket.
    pub fn handle_datagram(&mut self, now: Timestamp, meta: DatagramMeta, datagram: BytesMut) {
        let now = self.advance(now);
        let datagram_bytes = datagram.len();
        let mut response = core::mem::take(&mut self.scratch);
        response.clear();
        let event = self.inner.handle(
            self.epoch.instant(now),
            meta.remote,
            meta.local_ip,
            meta.ecn.map(Into::into),
            datagram,
            &mut response,
        );
        match event {
            None => {}
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                if let Some(Some(id)) = self.by_handle.get(handle.0) {
                    self.connection_events.push_back((*id, FromEndpoint { event, datagram_bytes }));
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => self.handle_incoming(now, incoming),
            Some(DatagramEvent::Response(transmit)) => self.respond(transmit, &response),
        }
        self.scratch = response;
    }

    fn handle_incoming(&mut self, now: Timestamp, incoming: Incoming) {
        let validated = incoming.remote_address_validated();
        if !validated && self.pending.len() + self.handshaking >= self.config.retry_threshold {
            return self.retry_incoming(incoming);
        }
        let id = IncomingId(self.next_incoming);
        self.next_incoming += 1;
        let remote = incoming.remote_address();
        let until = now.saturating_add(self.config.handshake_timeout);
        self.pending.insert(id, Pending { incoming, until });
        self.events.push_back(EndpointEvent::Incoming { id, remote, validated });
    }

    fn retry_incoming(&mut self, incoming: Incoming) {
        let mut response = Vec::new();
        match self.inner.retry(incoming, &mut response) {
            Ok(transmit) => self.respond(transmit, &response),
            // It came back from a retry, so there is nothing to ask of it.
            Err(error) => self.inner.ignore(error.into_incoming()),
        }
    }

    fn respond(&mut self, transmit: quinn_proto::Transmit, bytes: &[u8]) {
        if self.responses.len() >= MAX_RESPONSES {
            return;
        }
        let transmit = QuicTransmit::from(transmit);
        self.responses.push_back(QuicDatagram {
            destination: transmit.destination,
            ecn: transmit.ecn,
            src_ip: transmit.src_ip,
            bytes: Bytes::copy_from_slice(&bytes[..transmit.size.min(bytes.len())]),
        });
    }

    /// Begins a connection to `remote`, which must prove to be `expected_peer` if there is one.
    /// Its certificate must be valid at `unix_seconds`, seconds since 1970-01-01 UTC.
    pub fn connect(
        &mut self,
        now: Timestamp,
        remote: SocketAddr,
        expected_peer: Option<PeerId>,
        unix_seconds: u64,
    ) -> Result<(QuicConnectionId, QuicMux), ConnectError> {
        let now = self.advance(now);
        let (id, seed) = self.next_connection();
        let tls = crypto::client(&self.identity, expected_peer, unix_seconds, &seed);
        let mut config = ClientConfig::new(tls);
        let initial_id = crypto::initial_id(&seed);
        config
            .transport_config(Arc::clone(&self.transport))
            .token_store(Arc::new(NoneTokenStore))
            .initial_dst_cid_provider(Arc::new(move || initial_id));
        let (handle, connection) = self
            .inner
            .connect(self.epoch.instant(now), config, remote, "")
            .map_err(connect_error)?;
        self.register(id, handle, false);
        let mux = QuicMux::new(connection, Role::Dialer, Arc::clone(&self.config), self.epoch, now);
        Ok((id, mux))
    }

    /// Accepts an incoming connection. The remote's certificate must be valid at `unix_seconds`,
    /// seconds since 1970-01-01 UTC.
    pub fn accept(
        &mut self,
        now: Timestamp,
        id: IncomingId,
        unix_seconds: u64,
    ) -> Result<(QuicConnectionId, QuicMux), AcceptError> {
        let now = self.advance(now);
        let Pending { incoming, .. } =
            self.pending.remove(&id).ok_or(AcceptError::UnknownIncoming)?;
        let (id, seed) = self.next_connection();
        let mut server = ServerConfig::clone(&self.server);
        server.crypto = crypto::server(&self.identity, unix_seconds, &seed);
        let mut response = Vec::new();
        let accepted = self.inner.accept(
            incoming,
            self.epoch.instant(now),
            &mut response,
            Some(Arc::new(server)),
        );
        match accepted {
            Ok((handle, connection)) => {
                self.register(id, handle, true);
                let role = Role::Listener;
                let config = Arc::clone(&self.config);
                Ok((id, QuicMux::new(connection, role, config, self.epoch, now)))
            }
            Err(error) => {
                if let Some(transmit) = error.response {
                    self.respond(transmit, &response);
                }
                Err(AcceptError::Failed(Box::new(lost_reason(&error.cause))))
            }
        }
    }

    /// Refuses an incoming connection, which is told (RFC 9000, section 20.1,
    /// `CONNECTION_REFUSED`). A no-op for one that is gone.
    pub fn refuse(&mut self, id: IncomingId) {
        let Some(Pending { incoming, .. }) = self.pending.remove(&id) else { return };
        let mut response = Vec::new();
        let transmit = self.inner.refuse(incoming, &mut response);
        self.respond(transmit, &response);
    }

    /// Asks an incoming connection to show that it is where it claims to be; it comes back as
    /// another one, validated. Nothing is kept for it meanwhile. One that is validated already is
    /// forgotten. A no-op for one that is gone.
    pub fn retry(&mut self, id: IncomingId) {
        if let Some(Pending { incoming, .. }) = self.pending.remove(&id) {
            self.retry_incoming(incoming);
        }
    }

    /// Takes an event of a connection. A no-op for one that is gone.
    pub fn handle_connection_event(&mut self, id: QuicConnectionId, event: ToEndpoint) {
        let Some(known) = self.connections.get_mut(&id) else { return };
        let handle = known.handle;
        match event.0 {
            ToEndpointInner::Secured => {
                if core::mem::take(&mut known.handshaking) {
                    self.handshaking -= 1;
                }
            }
            ToEndpointInner::Protocol(event) => {
                if event.is_drained() {
                    self.deregister(id);
                }
                if let Some(event) = self.inner.handle_event(handle, event) {
                    self.connection_events
                        .push_back((id, FromEndpoint { event, datagram_bytes: 0 }));
                }
            }
        }
    }

    /// Forgets a connection that was dropped before its last event. Packets for it are answered as
    /// if it had never been. A no-op for one that is gone.
    pub fn forget(&mut self, id: QuicConnectionId) {
        let event = quinn_proto::EndpointEvent::drained();
        self.handle_connection_event(id, ToEndpoint(ToEndpointInner::Protocol(event)));
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<EndpointEvent> {
        self.events.pop_front()
    }

    /// The next event for a connection ([`QuicMux::handle_endpoint_event`]).
    pub fn poll_connection_event(&mut self) -> Option<(QuicConnectionId, FromEndpoint)> {
        self.connection_events.pop_front()
    }

    /// The next datagram that the endpoint sends by itself: a retry, a refusal, a version
    /// negotiation or a stateless reset. What connections send comes from them.
    pub fn poll_transmit(&mut self) -> Option<QuicDatagram> {
        self.responses.pop_front()
    }

    /// Handles the passing of time: forgets incoming connections that nobody answered.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        let now = self.advance(now);
        // Ids and deadlines grow together.
        while let Some(oldest) = self.pending.first_entry()
            && oldest.get().until <= now
        {
            self.inner.ignore(oldest.remove().incoming);
        }
        if self.connection_events.is_empty() {
            self.connection_events = VecDeque::new();
        }
    }

    /// When [`QuicEndpoint::handle_timeout`] should be called next.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        let (_, oldest) = self.pending.first_key_value()?;
        Some(Deadline::new(oldest.until, DeadlineReason::Admission))
    }

    fn advance(&mut self, now: Timestamp) -> Timestamp {
        let now = self.clock.advance(now);
        self.token_clock.set(now);
        now
    }

    fn next_connection(&mut self) -> (QuicConnectionId, Seed) {
        let id = self.next_connection;
        self.next_connection += 1;
        (QuicConnectionId(id), self.seed.derive("quic-connection", id))
    }

    fn register(&mut self, id: QuicConnectionId, handle: ConnectionHandle, handshaking: bool) {
        if self.by_handle.len() <= handle.0 {
            self.by_handle.resize(handle.0 + 1, None);
        }
        self.by_handle[handle.0] = Some(id);
        self.handshaking += usize::from(handshaking);
        self.connections.insert(id, Known { handle, handshaking });
    }

    fn deregister(&mut self, id: QuicConnectionId) {
        let Some(known) = self.connections.remove(&id) else { return };
        self.handshaking -= usize::from(known.handshaking);
        if let Some(slot) = self.by_handle.get_mut(known.handle.0) {
            *slot = None;
        }
    }
}

impl Drop for QuicEndpoint {
    /// `quinn_proto` wants every incoming connection back.
    fn drop(&mut self) {
        for (_, Pending { incoming, .. }) in core::mem::take(&mut self.pending) {
            self.inner.ignore(incoming);
        }
    }
}

impl core::fmt::Debug for QuicEndpoint {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("QuicEndpoint")
            .field("identity", &self.identity)
            .field("connections", &self.connections.len())
            .field("pending", &self.pending.len())
            .finish_non_exhaustive()
    }
}

/// The numbers of every connection, in the words of `quinn_proto`.
fn transport(config: &QuicConfig) -> TransportConfig {
    let streams = config.initial_streams.min(config.limits.max_inbound_streams);
    let idle_millis = u32::try_from(config.idle_timeout.as_millis()).unwrap_or(u32::MAX);
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(streams.into())
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(idle_millis))))
        .keep_alive_interval(Some(config.keep_alive_interval))
        .stream_receive_window(
            config.stream_window_bytes.min(config.limits.max_stream_window_bytes).into(),
        )
        .receive_window(super::windows::clamp(config.limits.receive_budget_bytes))
        .send_window(config.min_send_window_bytes)
        .datagram_receive_buffer_size(None)
        .mtu_discovery_config(config.mtu_discovery.then(MtuDiscoveryConfig::default));
    transport
}

fn connect_error(error: quinn_proto::ConnectError) -> ConnectError {
    match error {
        quinn_proto::ConnectError::InvalidRemoteAddress(address) => {
            ConnectError::InvalidAddress(address)
        }
        quinn_proto::ConnectError::CidsExhausted => ConnectError::ConnectionIdsExhausted,
        quinn_proto::ConnectError::EndpointStopping
        | quinn_proto::ConnectError::InvalidServerName(_)
        | quinn_proto::ConnectError::NoDefaultClientConfig
        | quinn_proto::ConnectError::UnsupportedVersion => ConnectError::Tls,
    }
}

impl core::fmt::Display for ConnectError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            ConnectError::InvalidAddress(address) => write!(f, "nobody can be at {address}"),
            ConnectError::ConnectionIdsExhausted => f.write_str("no quic connection ids left"),
            ConnectError::Tls => f.write_str("tls could not start"),
        }
    }
}

impl core::error::Error for ConnectError {}

impl core::fmt::Display for AcceptError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            AcceptError::UnknownIncoming => f.write_str("no such incoming connection"),
            AcceptError::Failed(reason) => write!(f, "incoming connection failed: {reason}"),
        }
    }
}

impl core::error::Error for AcceptError {}
