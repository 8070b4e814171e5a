//! sanspeer, on tokio and on smol.

mod gossip;

use std::marker::PhantomData;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use sanspeer_smol::{AppStream, Handle, Smol as SmolRuntime};
use sanspeer_tokio::sanspeer_core::identity::PeerId;
use sanspeer_tokio::sanspeer_core::node::ConnectionLimits;
use sanspeer_tokio::sanspeer_core::protocol::ProtocolId;
use sanspeer_tokio::{Config, Node, SecurityProtocol};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt as _};

use crate::api::{GossipOut, GossipPlan, KadOut, KadPlan, Opts, Proto, Skip};
use crate::executor::{Executor, Smol, Tokio, TokioOnOneThread};
use crate::stack::{Stack, serve_stream};

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// More than any test opens.
const MANY: u32 = 100_000;

/// The default numbers, without pings, idle timeouts and limits of connections, and with Noise alone
/// over TCP, as the others have it.
fn config() -> Result<Config> {
    let mut config = Config::ephemeral()?;
    config.node.identify.agent = "/bench/1.0.0".into();
    config.security = vec![SecurityProtocol::Noise];
    config.node.idle_timeout = None;
    config.node.lease.ping_interval = None;
    config.node.limits = ConnectionLimits {
        max_connections: MANY,
        max_inbound: MANY,
        max_outbound: MANY,
        max_pending_inbound: MANY,
        ..ConnectionLimits::default()
    };
    Ok(config)
}

fn check(opts: &Opts) -> Result<()> {
    if opts.identify { Ok(()) } else { Err(Skip("Identify is always on").into()) }
}

fn protocol(proto: Proto) -> ProtocolId {
    ProtocolId::new(proto.id()).expect("the harness's protocol ids are valid")
}

/// The protocols, made once.
#[derive(Clone)]
struct Protocols(Arc<[[ProtocolId; 1]; 3]>);

impl Protocols {
    fn new() -> Self {
        Self(Arc::new(Proto::ALL.map(|proto| [protocol(proto)])))
    }

    fn of(&self, proto: Proto) -> &[ProtocolId] {
        &self.0[Proto::ALL.iter().position(|other| *other == proto).expect("one of all")]
    }
}

async fn listen(node: &Handle, opts: &Opts) -> Result<String> {
    let (_, address) = node.listen(opts.transport.listen().parse()?).await?;
    Ok(format!("{address}/p2p/{}", node.peer_id()))
}

/// On tokio, on the runtime that `E` makes.
pub struct OnTokio<E> {
    node: Node,
    protocols: Protocols,
    runtime: PhantomData<E>,
}

impl<E> Clone for OnTokio<E> {
    fn clone(&self) -> Self {
        Self { node: self.node.clone(), protocols: self.protocols.clone(), runtime: PhantomData }
    }
}

/// A runtime of tokio's.
pub trait Flavour: Executor {
    const NAME: &'static str;
}

impl Flavour for Tokio {
    const NAME: &'static str = "ours";
}

impl Flavour for TokioOnOneThread {
    const NAME: &'static str = "ours-one-thread";
}

impl<E: Flavour> Stack for OnTokio<E> {
    const NAME: &'static str = E::NAME;
    const VERSION: &'static str = VERSION;
    type Executor = E;
    type Stream = sanspeer_tokio::Stream;
    type Remote = PeerId;

    async fn start(opts: Opts, serve: bool) -> Result<(Self, String)> {
        check(&opts)?;
        let node = sanspeer_tokio::start(config()?)?;
        let mut address = String::new();
        if serve {
            for proto in Proto::ALL {
                let mut streams = node.accept(protocol(proto)).await?;
                tokio::spawn(async move {
                    while let Some(stream) = streams.accept().await {
                        tokio::spawn(serve_stream(proto, stream));
                    }
                });
            }
            address = listen(&node, &opts).await?;
        }
        let protocols = Protocols::new();
        Ok((Self { node, protocols, runtime: PhantomData }, address))
    }

    async fn connect(&self, addr: &str) -> Result<PeerId> {
        Ok(self.node.dial(addr.parse()?).await?)
    }

    async fn open(&self, remote: &PeerId, proto: Proto) -> Result<Self::Stream> {
        Ok(self.node.open_stream(*remote, self.protocols.of(proto)).await?)
    }

    async fn disconnect(&self, remote: &PeerId) -> Result<()> {
        self.node.disconnect(*remote).await.context("disconnect")
    }

    async fn gossip(opts: Opts, plan: GossipPlan) -> Result<GossipOut> {
        let start = |config| {
            let node = sanspeer_tokio::start(config)?;
            Ok(Handle::clone(&node))
        };
        gossip::run::<E>(opts, plan, start).await
    }

    async fn kad(_: Opts, _: KadPlan) -> Result<KadOut> {
        Err(Skip("Kademlia is not built yet").into())
    }
}

#[derive(Clone)]
pub struct OnSmol {
    node: Handle,
    protocols: Protocols,
}

impl Stack for OnSmol {
    const NAME: &'static str = "ours-smol";
    const VERSION: &'static str = VERSION;
    type Executor = Smol;
    type Stream = Compat<AppStream>;
    type Remote = PeerId;

    async fn start(opts: Opts, serve: bool) -> Result<(Self, String)> {
        check(&opts)?;
        let runtime = SmolRuntime::on(Arc::clone(Smol::executor()));
        let node = sanspeer_driver::start(runtime, config()?)?;
        let mut address = String::new();
        if serve {
            for proto in Proto::ALL {
                let mut streams = node.accept(protocol(proto)).await?;
                drop(Smol::spawn(async move {
                    while let Some(stream) = streams.accept().await {
                        drop(Smol::spawn(serve_stream(proto, stream.compat())));
                    }
                }));
            }
            address = listen(&node, &opts).await?;
        }
        Ok((Self { node, protocols: Protocols::new() }, address))
    }

    async fn connect(&self, addr: &str) -> Result<PeerId> {
        Ok(self.node.dial(addr.parse()?).await?)
    }

    async fn open(&self, remote: &PeerId, proto: Proto) -> Result<Self::Stream> {
        Ok(self.node.open_stream(*remote, self.protocols.of(proto)).await?.compat())
    }

    async fn disconnect(&self, remote: &PeerId) -> Result<()> {
        self.node.disconnect(*remote).await.context("disconnect")
    }

    async fn gossip(opts: Opts, plan: GossipPlan) -> Result<GossipOut> {
        let runtime = SmolRuntime::on(Arc::clone(Smol::executor()));
        let start = |config| Ok(sanspeer_driver::start(runtime.clone(), config)?);
        gossip::run::<Smol>(opts, plan, start).await
    }

    async fn kad(_: Opts, _: KadPlan) -> Result<KadOut> {
        Err(Skip("Kademlia is not built yet").into())
    }
}
