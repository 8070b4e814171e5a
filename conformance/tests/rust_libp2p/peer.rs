//! A rust-libp2p peer for interop tests: a thread of its own, and blocking calls.
//!
//! Test files include it with `#[path = "rust_libp2p/peer.rs"] mod peer;`. What it speaks is in
//! conformance/interop/PROTOCOLS.md.

#![allow(dead_code, reason = "each test crate that includes this uses a part of it")]

mod behaviour;
mod introduction;
mod open;
mod serve;

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, mpsc as blocking};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use libp2p::core::Transport as _;
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::pnet::{PnetConfig, PreSharedKey};
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, SwarmBuilder, noise, tcp, tls, yamux};
use tokio::sync::{mpsc, oneshot};

use crate::protocols;
use crate::protocols::{SharedCounters, Transport, socket_addr};
use behaviour::{Behaviour, OpenRequest};
use introduction::{Introductions, Whole, WholeEvent};
use open::Opener;

pub(crate) use crate::protocols::Counters;
#[allow(unused_imports, reason = "each test crate that includes this uses a part of it")]
pub(crate) use introduction::{AGENT, Identified};
pub(crate) use open::{Task, TaskReport};

/// Which kind of key the peer proves in its handshakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    Ed25519,
    Secp256k1,
    Ecdsa,
    /// 2,048 bits; always the same key, because the crate does not make RSA keys.
    Rsa,
}

impl Identity {
    pub(crate) const ALL: [Identity; 4] =
        [Identity::Ed25519, Identity::Secp256k1, Identity::Ecdsa, Identity::Rsa];

    fn keypair(self) -> Keypair {
        match self {
            Identity::Ed25519 => Keypair::generate_ed25519(),
            Identity::Secp256k1 => Keypair::generate_secp256k1(),
            Identity::Ecdsa => Keypair::generate_ecdsa(),
            Identity::Rsa => Keypair::rsa_from_pkcs8(&mut include_bytes!("rsa-2048.pk8").to_vec())
                .expect("the test key is PKCS #8"),
        }
    }
}

/// A swarm over one transport alone.
fn swarm(config: &RustPeerConfig, streams: Behaviour) -> Result<Swarm<Whole>, String> {
    let introduces = config.introduces;
    let behaviour = move |key: &Keypair| Whole::new(streams, introduces, key);
    let builder = SwarmBuilder::with_existing_identity(config.identity.keypair()).with_tokio();
    let max_streams = config.max_streams;
    let muxer = move || {
        let mut config = yamux::Config::default();
        config.set_max_num_streams(max_streams);
        config
    };
    let negotiation = if config.lazy_streams { Version::V1Lazy } else { Version::V1 };
    let tune = |swarm: libp2p::swarm::Config| {
        swarm
            .with_substream_upgrade_protocol_override(negotiation)
            // Streams above this wait in the muxer, which drops those that it cannot hold.
            .with_max_negotiating_inbound_streams(max_streams)
    };
    let tcp = tcp::Config::default();
    Ok(match config.transport {
        Transport::TcpNoise => builder
            .with_tcp(tcp, noise::Config::new, muxer)
            .map_err(text)?
            .with_behaviour(behaviour)
            .map_err(text)?
            .with_swarm_config(tune)
            .build(),
        Transport::TcpTls => builder
            .with_tcp(tcp, tls::Config::new, muxer)
            .map_err(text)?
            .with_behaviour(behaviour)
            .map_err(text)?
            .with_swarm_config(tune)
            .build(),
        Transport::PnetNoise(key) => builder
            .with_other_transport(|identity| {
                let private = PnetConfig::new(PreSharedKey::new(key));
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(
                    tcp::tokio::Transport::new(tcp)
                        .and_then(move |socket, _| private.handshake(socket))
                        .upgrade(Version::V1Lazy)
                        .authenticate(noise::Config::new(identity)?)
                        .multiplex(muxer()),
                )
            })
            .map_err(text)?
            .with_behaviour(behaviour)
            .map_err(text)?
            .with_swarm_config(tune)
            .build(),
        Transport::Quic => builder
            .with_quic()
            .with_behaviour(behaviour)
            .map_err(text)?
            .with_swarm_config(tune)
            .build(),
    })
}

#[derive(Clone, Debug)]
pub(crate) struct RustPeerConfig {
    pub(crate) identity: Identity,
    pub(crate) transport: Transport,
    /// Whether an outbound stream proposes its protocol together with its first bytes (`V1Lazy`)
    /// and does not wait for the answer. rust-libp2p waits by default.
    pub(crate) lazy_streams: bool,
    /// Streams that yamux allows on a connection, both directions together; a remote that exceeds
    /// it loses the connection.
    pub(crate) max_streams: usize,
    /// Whether it speaks ping and identify too.
    pub(crate) introduces: bool,
    /// How long any one call may take. Generous: it only bounds a failure.
    pub(crate) deadline: Duration,
}

impl Default for RustPeerConfig {
    fn default() -> Self {
        RustPeerConfig {
            identity: Identity::Ed25519,
            transport: Transport::TcpNoise,
            lazy_streams: false,
            max_streams: 512,
            introduces: false,
            deadline: Duration::from_secs(120),
        }
    }
}

/// A running peer. All calls block; several threads may call at once. Drop ends the thread and
/// closes every connection.
pub(crate) struct RustPeer {
    config: RustPeerConfig,
    peer_id: PeerId,
    listen_addr: SocketAddr,
    runtime: tokio::runtime::Handle,
    commands: mpsc::UnboundedSender<Command>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the swarm's thread tells the callers' threads.
#[derive(Default)]
struct Shared {
    counters: Arc<SharedCounters>,
    /// Connected peers, the latest last.
    connected: Mutex<Vec<PeerId>>,
    connected_changed: Condvar,
    /// Why the last incoming connection failed before it was there.
    refused: Mutex<Option<String>>,
    refused_changed: Condvar,
    introductions: Introductions,
}

impl Shared {
    fn connected(&self) -> MutexGuard<'_, Vec<PeerId>> {
        self.connected.lock().expect("no panic while the peers are locked")
    }
}

enum Command {
    Dial { opts: DialOpts, reply: DialReply },
    Open { peer: PeerId, request: OpenRequest },
    Shutdown,
}

type DialReply = oneshot::Sender<Result<PeerId, String>>;

impl RustPeer {
    /// Starts a peer that listens on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// When the machine has no thread, runtime or port for it.
    pub(crate) fn spawn(config: RustPeerConfig) -> RustPeer {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a tokio runtime starts");
        let handle = runtime.handle().clone();
        let (commands, inbox) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared::default());
        let (started, ready) = blocking::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("rust-libp2p peer".to_owned())
            .spawn({
                let (config, shared) = (config.clone(), Arc::clone(&shared));
                move || runtime.block_on(drive(config, shared, inbox, started))
            })
            .expect("a thread starts");
        let (peer_id, listen_addr) = ready
            .recv_timeout(config.deadline)
            .expect("the peer says whether it listens")
            .expect("the peer listens");
        RustPeer {
            config,
            peer_id,
            listen_addr,
            runtime: handle,
            commands,
            shared,
            thread: Some(thread),
        }
    }

    pub(crate) fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    pub(crate) fn listen_addr(&self) -> SocketAddr {
        self.listen_addr
    }

    /// The listening address with the peer's id, as other implementations take it.
    pub(crate) fn listen_multiaddr(&self) -> Multiaddr {
        self.config.transport.multiaddr(self.listen_addr).with(Protocol::P2p(self.peer_id))
    }

    /// Dials, and answers who is there. With `expected_peer`, anyone else is an error.
    pub(crate) fn dial(
        &self,
        addr: SocketAddr,
        expected_peer: Option<PeerId>,
    ) -> Result<PeerId, String> {
        let addr = self.config.transport.multiaddr(addr);
        let opts = match expected_peer {
            // Always: a test that dials twice wants two connections.
            Some(peer) => DialOpts::peer_id(peer)
                .condition(PeerCondition::Always)
                .addresses(vec![addr])
                .build(),
            None => DialOpts::unknown_peer_id().address(addr).build(),
        };
        let (reply, dialled) = oneshot::channel();
        self.commands
            .send(Command::Dial { opts, reply })
            .map_err(|_| "the peer has shut down".to_owned())?;
        self.block_on("dial", async { dialled.await.map_err(|e| e.to_string())? })
    }

    /// Runs a task with the peer that connected last, waiting for one if there is none.
    pub(crate) fn run(&self, task: Task) -> Result<TaskReport, String> {
        let peer = self.wait_connected()?;
        self.run_with(peer, task)
    }

    /// Runs a task with a given connected peer.
    pub(crate) fn run_with(&self, peer: PeerId, task: Task) -> Result<TaskReport, String> {
        let opener = Opener { commands: self.commands.clone(), peer };
        self.block_on("task", opener.run(task))
    }

    /// Waits until somebody is connected, and answers who came last.
    pub(crate) fn wait_connected(&self) -> Result<PeerId, String> {
        self.wait_peers("connected", |peers| peers.last().copied())
    }

    /// Waits until `peer` has no connection left.
    pub(crate) fn wait_disconnected(&self, peer: PeerId) -> Result<(), String> {
        self.wait_peers("disconnected", |peers| (!peers.contains(&peer)).then_some(()))
    }

    /// Waits until an incoming connection has failed in its handshakes, and answers why.
    pub(crate) fn wait_refused(&self) -> Result<String, String> {
        let deadline = self.config.deadline;
        let refused = self.shared.refused.lock().expect("no panic while the reason is locked");
        let waited =
            self.shared.refused_changed.wait_timeout_while(refused, deadline, |r| r.is_none());
        let (mut refused, _) = waited.expect("no panic while the reason is locked");
        refused.take().ok_or_else(|| format!("nobody was refused in {deadline:?}"))
    }

    /// Waits until `peer` has answered a ping and said who it is, for a peer that speaks ping and
    /// identify itself.
    pub(crate) fn wait_introduced(&self, peer: PeerId) -> Result<(Identified, Duration), String> {
        self.shared.introductions.wait(peer, self.config.deadline)
    }

    /// What the accepted streams of all connections have seen.
    pub(crate) fn counters(&self) -> Counters {
        self.shared.counters.snapshot()
    }

    /// Waits until the counters are as `reached` wants them.
    pub(crate) fn wait_counters(
        &self,
        reached: impl Fn(&Counters) -> bool,
    ) -> Result<Counters, String> {
        self.shared.counters.wait_for(self.config.deadline, |counters, _| reached(counters))
    }

    /// Waits until every accepted stream has been served to its end, so that `failures` is final.
    pub(crate) fn wait_idle(&self) -> Result<Counters, String> {
        self.shared.counters.wait_for(self.config.deadline, |_, serving| serving == 0)
    }

    /// Why the last accepted stream failed that did.
    pub(crate) fn last_failure(&self) -> Option<String> {
        self.shared.counters.last_failure()
    }

    fn wait_peers<T>(
        &self,
        what: &str,
        reached: impl Fn(&[PeerId]) -> Option<T>,
    ) -> Result<T, String> {
        let deadline = self.config.deadline;
        let until = Instant::now() + deadline;
        let mut peers = self.shared.connected();
        loop {
            if let Some(answer) = reached(&peers) {
                return Ok(answer);
            }
            let Some(left) = until.checked_duration_since(Instant::now()) else {
                return Err(format!("not {what} after {deadline:?}; peers: {peers:?}"));
            };
            let waited = self.shared.connected_changed.wait_timeout(peers, left);
            peers = waited.expect("no panic while the peers are locked").0;
        }
    }

    /// Runs `work` on the peer's runtime and waits for its end or the deadline.
    fn block_on<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl Future<Output = Result<T, String>> + Send + 'static,
    ) -> Result<T, String> {
        let deadline = self.config.deadline;
        let (reply, answer) = blocking::sync_channel(1);
        self.runtime.spawn(async move {
            let result = tokio::time::timeout(deadline, work).await;
            let result =
                result.unwrap_or_else(|_| Err(format!("{what}: no end after {deadline:?}")));
            // Nobody waits any more when the caller's thread is gone.
            drop(reply.send(result));
        });
        answer.recv().map_err(|_| format!("{what}: the peer's runtime ended"))?
    }
}

impl Drop for RustPeer {
    fn drop(&mut self) {
        // An error means that the thread has ended, which is what is wanted.
        drop(self.commands.send(Command::Shutdown));
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the rust-libp2p peer panicked");
        }
    }
}

/// The swarm's loop: everything that happens on the peer's thread, besides the streams' tasks.
async fn drive(
    config: RustPeerConfig,
    shared: Arc<Shared>,
    mut inbox: mpsc::UnboundedReceiver<Command>,
    started: blocking::SyncSender<Result<(PeerId, SocketAddr), String>>,
) {
    let behaviour = Behaviour::new(Arc::clone(&shared.counters));
    let listening = swarm(&config, behaviour).and_then(|mut swarm| {
        let any_port = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let addr = config.transport.multiaddr(any_port);
        swarm.listen_on(addr).map_err(|e| error_chain(&e)).map(|_| swarm)
    });
    let mut swarm = match listening {
        Ok(swarm) => swarm,
        // The spawning thread waits for it; if it is gone there is nobody to tell.
        Err(reason) => return drop(started.send(Err(reason))),
    };
    let mut dials: Vec<(ConnectionId, DialReply)> = Vec::new();
    loop {
        tokio::select! {
            event = swarm.select_next_some() => {
                if let SwarmEvent::NewListenAddr { address, .. } = &event
                    && let Some(addr) = socket_addr(address)
                {
                    drop(started.try_send(Ok((*swarm.local_peer_id(), addr))));
                }
                on_event(event, &shared, &mut dials);
            }
            command = inbox.recv() => match command {
                Some(Command::Dial { opts, reply }) => {
                    let id = opts.connection_id();
                    match swarm.dial(opts) {
                        Ok(()) => dials.push((id, reply)),
                        Err(error) => drop(reply.send(Err(error_chain(&error)))),
                    }
                }
                Some(Command::Open { peer, request }) => {
                    swarm.behaviour_mut().streams.open(peer, request);
                }
                Some(Command::Shutdown) | None => return,
            },
        }
    }
}

fn on_event(
    event: SwarmEvent<WholeEvent>,
    shared: &Shared,
    dials: &mut Vec<(ConnectionId, DialReply)>,
) {
    let mut answer = |id: ConnectionId, result: Result<PeerId, String>| {
        if let Some(at) = dials.iter().position(|(dial, _)| *dial == id) {
            // Nobody waits any more when the dial's deadline has passed.
            drop(dials.swap_remove(at).1.send(result));
        }
    };
    if let SwarmEvent::ConnectionEstablished { peer_id, connection_id, .. } = event {
        let mut peers = shared.connected();
        peers.retain(|peer| *peer != peer_id);
        peers.push(peer_id);
        drop(peers);
        shared.connected_changed.notify_all();
        answer(connection_id, Ok(peer_id));
    } else if let SwarmEvent::ConnectionClosed { peer_id, num_established: 0, .. } = event {
        shared.connected().retain(|peer| *peer != peer_id);
        shared.connected_changed.notify_all();
    } else if let SwarmEvent::OutgoingConnectionError { connection_id, error, .. } = event {
        answer(connection_id, Err(error_chain(&error)));
    } else if let SwarmEvent::IncomingConnectionError { error, .. } = event {
        let mut refused = shared.refused.lock().expect("no panic while the reason is locked");
        *refused = Some(error_chain(&error));
        drop(refused);
        shared.refused_changed.notify_all();
    } else if let SwarmEvent::Behaviour(event) = event {
        shared.introductions.hear(event);
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// An error with all its causes, since libp2p's outer errors say little.
fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(text, ": {error}").expect("a string takes any text");
        cause = error.source();
    }
    text
}
