//! quinn with its own driver and nothing of libp2p: one byte instead of a negotiation, nobody
//! authenticated.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    ClientConfig, Connection, Endpoint, IdleTimeout, ServerConfig, TransportConfig, VarInt,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Join, join};

use crate::api::{Opts, Proto, Skip, Transport};
use crate::executor::Tokio;
use crate::self_signed;
use crate::stack::{Stack, serve_stream};

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const IDLE_MS: u32 = 3_600_000;

#[derive(Clone)]
pub struct Node(Endpoint);

fn transport() -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    transport.max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_MS))));
    Arc::new(transport)
}

fn client() -> Result<ClientConfig> {
    let crypto = QuicClientConfig::try_from(self_signed::client()?)?;
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(transport());
    Ok(config)
}

fn server() -> Result<ServerConfig> {
    let crypto = QuicServerConfig::try_from(self_signed::server()?)?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(transport());
    Ok(config)
}

async fn serve(endpoint: Endpoint) {
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(async move {
            let connection = incoming.await?;
            loop {
                let (send, mut receive) = connection.accept_bi().await?;
                tokio::spawn(async move {
                    let kind = usize::from(receive.read_u8().await?);
                    let proto = *Proto::ALL.get(kind).context("an unknown kind of stream")?;
                    serve_stream(proto, join(receive, send)).await
                });
            }
            #[expect(unreachable_code, reason = "says what the block returns")]
            anyhow::Ok(())
        });
    }
}

impl Stack for Node {
    const NAME: &'static str = "raw-quinn";
    const VERSION: &'static str = "0.11";
    type Executor = Tokio;
    type Stream = Join<quinn::RecvStream, quinn::SendStream>;
    type Remote = Connection;

    async fn start(opts: Opts, listen: bool) -> Result<(Self, String)> {
        if opts.transport != Transport::Quic {
            return Err(Skip("over QUIC only").into());
        }
        if listen {
            let endpoint = Endpoint::server(server()?, LOOPBACK)?;
            let address = format!("{}/quic-v1", endpoint.local_addr()?);
            tokio::spawn(serve(endpoint.clone()));
            return Ok((Self(endpoint), address));
        }
        let mut endpoint = Endpoint::client(LOOPBACK)?;
        endpoint.set_default_client_config(client()?);
        Ok((Self(endpoint), String::new()))
    }

    async fn connect(&self, addr: &str) -> Result<Connection> {
        let addr = addr.strip_suffix("/quic-v1").context("an address over QUIC")?;
        Ok(self.0.connect(addr.parse()?, "bench")?.await?)
    }

    async fn open(&self, remote: &Connection, proto: Proto) -> Result<Self::Stream> {
        let (mut send, receive) = remote.open_bi().await?;
        let kind = Proto::ALL.iter().position(|other| *other == proto).context("one of all")?;
        send.write_u8(kind as u8).await?;
        Ok(join(receive, send))
    }

    async fn disconnect(&self, remote: &Connection) -> Result<()> {
        remote.close(VarInt::from_u32(0), b"");
        remote.closed().await;
        Ok(())
    }
}
