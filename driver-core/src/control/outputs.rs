//! What is done for each of Node's outputs.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use futures_channel::oneshot;
use multiaddr::Multiaddr;
use sanspeer_core::address::Endpoint;
use sanspeer_core::close::CloseReason;
use sanspeer_core::identity::PeerId;
use sanspeer_core::mailbox::ToConnection;
use sanspeer_core::mux::Role;
use sanspeer_core::node::{
    ArrivalId, ConnectionId, DialFailure, Input, ListenFailure, ListenerId, LookupId, NodeEvent,
    Output,
};
use sanspeer_core::quic::{QuicConfig, QuicEndpoint};

use super::inbox::{Guest, Report};
use super::task::{ControlTask, Known};
use crate::endpoint::{EndpointId, EndpointLink, EndpointTask, Order};
use crate::failure::{dial_failure, listen_failure};
use crate::memory::{self, MemoryListener};
use crate::runtime::Runtime;
use crate::sockets::{bind_udp, listen_tcp};
use crate::tcp::{self, Door, ListenerLink, ListenerTask, TcpDoor};

/// What listens.
pub(super) enum Listener {
    /// A task that accepts.
    Task(Arc<ListenerLink>),
    /// An endpoint.
    Endpoint(Arc<EndpointLink>),
}

impl Listener {
    pub(super) fn stop(&self) {
        match self {
            Listener::Task(link) => link.stop(),
            Listener::Endpoint(endpoint) => endpoint.order(Order::Unlisten),
        }
    }

    /// The listener, if it counts who waits for Node's answer.
    pub(super) fn counting(&self) -> Option<Arc<ListenerLink>> {
        match self {
            Listener::Task(link) => Some(Arc::clone(link)),
            Listener::Endpoint(_) => None,
        }
    }
}

impl<R: Runtime> ControlTask<R> {
    pub(super) fn apply(&mut self, output: Output) {
        match output {
            Output::Listen { listener, address } => self.listen(listener, &address),
            Output::Unlisten(listener) => {
                self.wildcards.remove(listener);
                if let Some(listener) = self.listeners.remove(&listener) {
                    listener.stop();
                }
            }
            Output::Accept { arrival, connection } => self.accept(arrival, connection),
            Output::Reject { arrival, reason: _ } => {
                if let Some(Guest::Quic { endpoint, incoming }) = self.take_guest(arrival) {
                    endpoint.order(Order::Refuse(incoming));
                }
            }
            Output::Validate(arrival) => {
                if let Some(Guest::Quic { endpoint, incoming }) = self.take_guest(arrival) {
                    endpoint.order(Order::Validate(incoming));
                }
            }
            Output::Dial { connection, address, peer } => self.dial(connection, &address, peer),
            Output::CancelDial(connection) => self.cancel(connection),
            Output::LookUp { lookup, address } => self.look_up(lookup, address),
            Output::Connection { connection, message } => {
                match self.connections.get_mut(&connection) {
                    Some(Known::Running { link, .. }) => link.tell(message),
                    Some(Known::Expected { messages, .. }) => messages.push(message),
                    None => {}
                }
            }
            Output::Answer { id, answer } => self.answer(id, answer),
            Output::Event(event) => {
                self.follow_routes(&event);
                self.subscribers.tell(&event);
            }
        }
    }

    /// Keeps the table of preferred connections.
    fn follow_routes(&self, event: &NodeEvent) {
        match event {
            NodeEvent::PeerConnected { peer, connected } => {
                self.prefer(*peer, connected.connection);
            }
            NodeEvent::PreferredConnection { peer, connection } => self.prefer(*peer, *connection),
            NodeEvent::PeerDisconnected { peer, .. } => self.routes.remove(peer),
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

    fn prefer(&self, peer: PeerId, connection: ConnectionId) {
        if let Some(Known::Running { link, .. }) = self.connections.get(&connection) {
            self.routes.set(peer, Arc::clone(link));
        }
    }

    // Listening.

    fn listen(&mut self, listener: ListenerId, address: &Multiaddr) {
        let listening = match Endpoint::parse(address) {
            Some(Endpoint::Tcp(socket)) => self.listen_tcp(listener, socket),
            Some(Endpoint::Quic(socket)) => self.listen_quic(listener, socket),
            Some(Endpoint::Memory(number)) => self.listen_memory(listener, number),
            Some(Endpoint::Name { .. } | Endpoint::Dnsaddr { .. } | Endpoint::Circuit { .. })
            | None => Err(io::ErrorKind::Unsupported.into()),
        };
        // As a report, since an output is not the place to give Node inputs.
        match listening {
            Ok(addresses) if addresses.is_empty() => {
                let failure = ListenFailure::AddressNotAvailable;
                self.report(Input::ListenFailed { listener, failure });
            }
            Ok(addresses) => addresses.into_iter().for_each(|address| {
                self.report(Input::Listening { listener, address: address.to_multiaddr() });
            }),
            Err(error) => {
                let failure = listen_failure(&error);
                self.report(Input::ListenFailed { listener, failure });
            }
        }
    }

    fn listen_tcp(
        &mut self,
        listener: ListenerId,
        address: SocketAddr,
    ) -> io::Result<Vec<Endpoint>> {
        let socket = listen_tcp(address)?;
        let bound = socket.local_addr()?;
        let door = TcpDoor::<R>(self.shared.runtime.tcp_listener(socket)?);
        self.run_listener(listener, door);
        Ok(self.reachable(listener, bound, Endpoint::Tcp))
    }

    /// The addresses at which a listener is reached, now; later changes are told to Node.
    fn reachable(
        &mut self,
        listener: ListenerId,
        bound: SocketAddr,
        endpoint: fn(SocketAddr) -> Endpoint,
    ) -> Vec<Endpoint> {
        self.wildcards.add(self.shared.runtime.now(), listener, bound, endpoint)
    }

    fn listen_memory(&mut self, listener: ListenerId, number: u64) -> io::Result<Vec<Endpoint>> {
        let door = MemoryListener::bind(number)?;
        let number = door.number();
        self.run_listener(listener, door);
        Ok(vec![Endpoint::Memory(number)])
    }

    fn run_listener(&mut self, listener: ListenerId, door: impl Door<R>) {
        let link = Arc::<ListenerLink>::default();
        self.listeners.insert(listener, Listener::Task(Arc::clone(&link)));
        let shared = Arc::clone(&self.shared);
        self.shared.spawn(ListenerTask { id: listener, door, link, shared, rest: None });
    }

    fn listen_quic(
        &mut self,
        listener: ListenerId,
        address: SocketAddr,
    ) -> io::Result<Vec<Endpoint>> {
        let endpoint = self.open_endpoint(address, Some(listener))?;
        let bound = endpoint.bound;
        self.listeners.insert(listener, Listener::Endpoint(endpoint));
        Ok(self.reachable(listener, bound, Endpoint::Quic))
    }

    fn open_endpoint(
        &mut self,
        address: SocketAddr,
        listener: Option<ListenerId>,
    ) -> io::Result<Arc<EndpointLink>> {
        let socket = bind_udp(address)?;
        let bound = socket.local_addr()?;
        let socket = self.shared.runtime.udp_socket(socket)?;
        let id = EndpointId(self.next_endpoint);
        self.next_endpoint += 1;
        let config = QuicConfig {
            accept: listener.is_some(),
            mtu_discovery: self.quic.mtu_discovery && !socket.may_fragment(),
            ..self.quic.clone()
        };
        let seed = self.shared.seed.derive("endpoint", id.0);
        let epoch = self.shared.runtime.epoch();
        let machine = QuicEndpoint::new(&self.shared.tls, &seed, config, epoch);
        let link = EndpointLink::new(id, socket, bound);
        self.endpoints.insert(id, Arc::clone(&link));
        let shared = Arc::clone(&self.shared);
        self.shared.spawn(EndpointTask::new(Arc::clone(&link), machine, shared, listener));
        Ok(link)
    }

    // Accepting.

    fn take_guest(&mut self, arrival: ArrivalId) -> Option<Guest<R>> {
        let arrived = self.guests.remove(&arrival)?;
        if let Some(listener) = arrived.listener {
            listener.answered();
        }
        Some(arrived.guest)
    }

    fn accept(&mut self, arrival: ArrivalId, connection: ConnectionId) {
        let Some(guest) = self.take_guest(arrival) else {
            return self.report(Input::ArrivalGone(arrival));
        };
        self.expect(connection, None);
        match guest {
            Guest::Tcp(stream) => {
                self.shared.begin_bytes(connection, Role::Listener, stream, None);
            }
            Guest::Memory(stream) => {
                self.shared.begin_bytes(connection, Role::Listener, stream, None);
            }
            Guest::Quic { endpoint, incoming } => {
                endpoint.order(Order::Accept { incoming, arrival, connection });
            }
        }
    }

    // Dialling.

    fn dial(&mut self, connection: ConnectionId, address: &Multiaddr, peer: Option<PeerId>) {
        match Endpoint::parse(address) {
            Some(Endpoint::Tcp(remote)) => {
                let (cancel, cancelled) = oneshot::channel();
                self.expect(connection, Some(cancel));
                let shared = Arc::clone(&self.shared);
                self.shared.spawn(Box::pin(tcp::dial(shared, connection, remote, peer, cancelled)));
            }
            Some(Endpoint::Quic(remote)) => match self.endpoint_to(remote) {
                Ok(endpoint) => {
                    self.expect(connection, None);
                    endpoint.order(Order::Dial { connection, remote, peer });
                }
                Err(error) => self.dial_failed(connection, dial_failure(&error)),
            },
            Some(Endpoint::Memory(number)) => match memory::connect(number) {
                Ok(stream) => {
                    self.expect(connection, None);
                    self.shared.begin_bytes(connection, Role::Dialer, stream, peer);
                }
                Err(error) => self.dial_failed(connection, dial_failure(&error)),
            },
            Some(Endpoint::Name { .. } | Endpoint::Dnsaddr { .. } | Endpoint::Circuit { .. })
            | None => self.dial_failed(connection, DialFailure::Unsupported),
        }
    }

    /// The endpoint from which `remote` is dialled: one that listens and can reach it, so that the
    /// remote sees an address where we can be found, or one of its own.
    fn endpoint_to(&mut self, remote: SocketAddr) -> io::Result<Arc<EndpointLink>> {
        let reaches = |endpoint: &EndpointLink| {
            let bound = endpoint.bound.ip();
            bound.is_ipv4() == remote.is_ipv4()
                && (bound.is_unspecified() || bound.is_loopback() == remote.ip().is_loopback())
        };
        let listening = self.listeners.values().find_map(|listener| match listener {
            Listener::Endpoint(endpoint) if reaches(endpoint) => Some(Arc::clone(endpoint)),
            Listener::Endpoint(_) | Listener::Task(_) => None,
        });
        if let Some(endpoint) = listening {
            return Ok(endpoint);
        }
        let unspecified = match remote {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let known = match remote {
            SocketAddr::V4(_) => self.dialing.v4,
            SocketAddr::V6(_) => self.dialing.v6,
        };
        if let Some(endpoint) = known.and_then(|id| self.endpoints.get(&id)) {
            return Ok(Arc::clone(endpoint));
        }
        let endpoint = self.open_endpoint(unspecified, None)?;
        match remote {
            SocketAddr::V4(_) => self.dialing.v4 = Some(endpoint.id),
            SocketAddr::V6(_) => self.dialing.v6 = Some(endpoint.id),
        }
        Ok(endpoint)
    }

    fn expect(&mut self, connection: ConnectionId, cancel: Option<oneshot::Sender<()>>) {
        self.connections.insert(connection, Known::Expected { messages: Vec::new(), cancel });
    }

    fn dial_failed(&mut self, connection: ConnectionId, failure: DialFailure) {
        self.report(Input::DialFailed { connection, failure });
    }

    fn cancel(&mut self, connection: ConnectionId) {
        let close = ToConnection::Close(CloseReason::Requested);
        match self.connections.get_mut(&connection) {
            Some(Known::Expected { messages, cancel }) => {
                *cancel = None;
                messages.push(close);
            }
            Some(Known::Running { link, .. }) => link.tell(close),
            None => {}
        }
    }

    fn look_up(&mut self, lookup: LookupId, address: Multiaddr) {
        let shared = Arc::clone(&self.shared);
        self.shared.spawn(Box::pin(crate::dns::look_up(shared, lookup, address)));
    }

    fn report(&self, input: Input) {
        self.shared.reports.push(Report::Node(input));
    }
}
