//! [`Handle`]: a running node, as the application holds it.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;
use futures_channel::oneshot;
use multiaddr::Multiaddr;
use sanspeer_core::identity::PeerId;
use sanspeer_core::node::{Answer, Command, CommandError, ConnectionId, ListenerId, PeerSummary};
use sanspeer_core::protocol::ProtocolId;
use sanspeer_core::time::Timestamp;
use sanspeer_core::tls::TlsIdentity;

use crate::acceptor::{Acceptor, Acceptors};
use crate::config::{Config, add_gossip, make_node, random_seed};
use crate::connection::link::Link;
use crate::control::inbox::{Inbox, Reply, Reports, Request};
use crate::control::task::ControlTask;
use crate::error::{OpenStreamError, RequestError, StartError};
use crate::events::{Events, Listener, Subscribers};
use crate::gossip::Subscriptions;
use crate::log::NodeLog;
use crate::routes::Routes;
use crate::runtime::Runtime;
use crate::shared::Shared;
use crate::stream::AppStream;
use crate::tasks::Tasks;

/// A running node. Cloning shares it; when the last one is dropped, the node shuts down.
#[derive(Clone)]
pub struct Handle {
    pub(crate) core: Arc<Core>,
}

pub(crate) struct Core {
    pub(crate) peer_id: PeerId,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) routes: Arc<Routes>,
    pub(crate) acceptors: Arc<Acceptors>,
    pub(crate) subscribers: Arc<Subscribers>,
    pub(crate) subscriptions: Arc<Subscriptions>,
    /// The runtime's clock.
    now: Box<dyn Fn() -> Timestamp + Send + Sync>,
}

/// Our addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Those that are listened on.
    pub listening: Vec<Multiaddr>,
    /// Those that are announced beside them.
    pub external: Vec<Multiaddr>,
}

/// Starts a node on a runtime. It listens nowhere and knows nobody yet.
pub fn start<R: Runtime>(runtime: R, config: Config) -> Result<Handle, StartError> {
    let seed = match config.seed {
        Some(seed) => seed,
        None => random_seed()?,
    };
    let tls = TlsIdentity::new(&config.identity, &seed).map_err(StartError::Identity)?;
    let inbox = Arc::<Inbox>::default();
    let shared = Arc::new(Shared {
        reports: Reports::new(Arc::clone(&inbox)),
        inbox: Arc::clone(&inbox),
        acceptors: Arc::<Acceptors>::default(),
        tasks: Arc::<Tasks>::default(),
        identity: config.identity.clone(),
        tls,
        security: config.security,
        dns_servers: config.dns_servers,
        seed: seed.derive("driver", 0),
        connection: Arc::new(config.connection),
        runtime,
    });
    let (routes, subscribers) = (Arc::<Routes>::default(), Arc::<Subscribers>::default());
    let peer_id = config.identity.peer_id();
    let now = shared.runtime.now();
    let identity = config.identity.clone();
    let mut node = make_node(config.node, identity, &seed, config.protocols, now)
        .map_err(StartError::Protocol)?;
    if let Some(gossip) = config.gossip {
        add_gossip(&mut node, gossip, config.identity, &seed)?;
    }
    let subscriptions = Arc::<Subscriptions>::default();
    let listener: Arc<dyn Listener> = Arc::<Subscriptions>::clone(&subscriptions);
    subscribers.add(&listener);
    let clock = shared.runtime.clone();
    let handle = Handle {
        core: Arc::new(Core {
            peer_id,
            inbox,
            routes: Arc::clone(&routes),
            acceptors: Arc::clone(&shared.acceptors),
            subscribers: Arc::clone(&subscribers),
            subscriptions: Arc::clone(&subscriptions),
            now: Box::new(move || clock.now()),
        }),
    };
    let runtime = shared.runtime.clone();
    let log = config.log.map(|writer| NodeLog::new(writer, now));
    runtime.spawn(ControlTask::new(
        node,
        shared,
        routes,
        subscribers,
        subscriptions,
        config.quic,
        log,
    ));
    Ok(handle)
}

impl Handle {
    /// Who we are.
    pub fn peer_id(&self) -> PeerId {
        self.core.peer_id
    }

    /// Listens on an address; port 0 is any port, an unspecified address every interface. Returns
    /// the first address at which we are reached; each is an event too.
    pub async fn listen(
        &self,
        address: Multiaddr,
    ) -> Result<(ListenerId, Multiaddr), RequestError> {
        let answer = self.request(Command::Listen(address)).await?;
        let Answer::Listening { listener, address } = answer else {
            return Err(unexpected(&answer));
        };
        Ok((listener, address))
    }

    /// Stops listening. Connections stay.
    pub async fn unlisten(&self, listener: ListenerId) -> Result<(), RequestError> {
        self.order(Command::Unlisten(listener)).await
    }

    /// Dials an address, unless the peer that it names is connected. Returns who is there.
    pub async fn dial(&self, address: Multiaddr) -> Result<PeerId, RequestError> {
        let (peer, _) = self.connect_with(None, vec![address]).await?;
        Ok(peer)
    }

    /// Makes sure that a peer is connected: dials these addresses, and those that are known.
    pub async fn connect(
        &self,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
    ) -> Result<ConnectionId, RequestError> {
        let (_, connection) = self.connect_with(Some(peer), addresses).await?;
        Ok(connection)
    }

    async fn connect_with(
        &self,
        peer: Option<PeerId>,
        addresses: Vec<Multiaddr>,
    ) -> Result<(PeerId, ConnectionId), RequestError> {
        let answer = self.request(Command::Connect { peer, addresses }).await?;
        let Answer::Connected { peer, connection } = answer else {
            return Err(unexpected(&answer));
        };
        Ok((peer, connection))
    }

    /// Ends every connection of a peer, and returns when the last is over.
    pub async fn disconnect(&self, peer: PeerId) -> Result<(), RequestError> {
        self.order(Command::Disconnect(peer)).await
    }

    /// Opens a stream to a peer, and connects to it first if need be. With one protocol the stream
    /// is there at once, and a remote that does not speak it shows at the first read; with several,
    /// this waits until one is agreed on.
    ///
    /// Waits while as many streams are open as may be.
    pub async fn open_stream(
        &self,
        peer: PeerId,
        protocols: &[ProtocolId],
    ) -> Result<AppStream, OpenStreamError> {
        if let Some(link) = self.core.routes.find(&peer) {
            match self.open_on(&link, protocols).await {
                // It was on its way out; another one may take its place.
                Err(OpenStreamError::ConnectionClosed) => {}
                result => return result,
            }
        }
        self.connect(peer, Vec::new()).await.map_err(OpenStreamError::Connect)?;
        let link = self.core.routes.find(&peer).ok_or(OpenStreamError::ConnectionClosed)?;
        self.open_on(&link, protocols).await
    }

    async fn open_on(
        &self,
        link: &Arc<Link>,
        protocols: &[ProtocolId],
    ) -> Result<AppStream, OpenStreamError> {
        let mut stream = poll_fn(|cx| link.poll_open(cx, (self.core.now)(), protocols)).await?;
        poll_fn(|cx| stream.poll_opened(cx)).await.map_err(OpenStreamError::Refused)?;
        Ok(stream)
    }

    /// Takes the streams of a protocol that remotes open, until the acceptor is dropped.
    pub async fn accept(&self, protocol: ProtocolId) -> Result<Acceptor, RequestError> {
        let acceptor = self
            .core
            .acceptors
            .add(&protocol, &self.core.inbox)
            .ok_or(RequestError::Failed(CommandError::Taken))?;
        self.order(Command::AddProtocol(protocol)).await?;
        Ok(acceptor)
    }

    /// Who is connected, in the order of their ids.
    pub async fn peers(&self) -> Result<Vec<PeerSummary>, RequestError> {
        let answer = self.request(Command::Peers).await?;
        let Answer::Peers(peers) = answer else { return Err(unexpected(&answer)) };
        Ok(peers)
    }

    /// Our addresses.
    pub async fn addresses(&self) -> Result<Addresses, RequestError> {
        let answer = self.request(Command::Addresses).await?;
        let Answer::Addresses { listening, external } = answer else {
            return Err(unexpected(&answer));
        };
        Ok(Addresses { listening, external })
    }

    /// Remembers addresses of a peer.
    pub async fn add_addresses(
        &self,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
    ) -> Result<(), RequestError> {
        self.order(Command::AddAddresses { peer, addresses }).await
    }

    /// Remembers addresses of a peer that the operator configured: they are never forgotten, and
    /// one that failed may be dialled again after 5 s.
    pub async fn configure(
        &self,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
    ) -> Result<(), RequestError> {
        self.order(Command::Configure { peer, addresses }).await
    }

    /// Announces an address of ours that is not among those listened on.
    pub async fn add_external_address(&self, address: Multiaddr) -> Result<(), RequestError> {
        self.order(Command::AddExternalAddress(address)).await
    }

    /// Announces it no longer.
    pub async fn remove_external_address(&self, address: Multiaddr) -> Result<(), RequestError> {
        self.order(Command::RemoveExternalAddress(address)).await
    }

    /// Keeps a peer's connections from being closed as idle, or no longer.
    pub async fn protect(&self, peer: PeerId, protect: bool) -> Result<(), RequestError> {
        self.order(Command::Protect { peer, protect }).await
    }

    /// A command of one of Node's protocols, in its own encoding.
    pub async fn protocol(&self, name: &str, command: Bytes) -> Result<Bytes, RequestError> {
        let answer = self.request(Command::Protocol { name: name.to_owned(), command }).await?;
        let Answer::Protocol(reply) = answer else { return Err(unexpected(&answer)) };
        Ok(reply)
    }

    /// The events from now on.
    pub fn events(&self) -> Events {
        self.core.subscribers.subscribe()
    }

    /// Sends what was written, closes every connection and socket, and returns when all tasks have
    /// ended. Doing it twice is no error.
    pub async fn shutdown(&self) {
        // A node that is gone is as it should be.
        let _ = self.request(Command::Shutdown).await;
    }

    /// Asks Node for anything.
    pub async fn request(&self, command: Command) -> Result<Answer, RequestError> {
        let (reply, answer) = oneshot::channel();
        self.core.inbox.push_request(Request { command, reply: Reply::Task(reply) });
        match answer.await {
            Ok(Answer::Failed(error)) => Err(RequestError::Failed(error)),
            Ok(answer) => Ok(answer),
            Err(oneshot::Canceled) => Err(RequestError::NodeGone),
        }
    }

    async fn order(&self, command: Command) -> Result<(), RequestError> {
        self.request(command).await.map(|_| ())
    }
}

/// Node answers each command in its own way, which a debug build checks.
pub(crate) fn unexpected(answer: &impl core::fmt::Debug) -> RequestError {
    debug_assert!(false, "{answer:?}");
    RequestError::Failed(CommandError::Unknown)
}

impl Drop for Core {
    fn drop(&mut self) {
        self.inbox.push_request(Request { command: Command::Shutdown, reply: Reply::Nobody });
    }
}

impl core::fmt::Debug for Handle {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Handle({})", self.core.peer_id)
    }
}
