//! What `peer listen` and `peer dial` take.

use clap::{Args, Subcommand, ValueEnum, value_parser};
use sanspeer_driver::{Multiaddr, SecurityProtocol};

use super::runtime::RuntimeName;

/// The longest message that is published, in bytes: what all implementations take by default.
const MAX_MESSAGE_BYTES: i64 = 900 * 1024;

/// The two roles.
#[derive(Clone, Debug, Subcommand)]
pub enum PeerCommand {
    /// Listens on the loopback interface, prints where, and answers ping, identify, echo and gossip
    Listen(ListenArgs),
    /// Dials a peer and checks what it answers; exits 0 only if all checks passed
    Dial(DialArgs),
}

/// What `peer listen` takes.
#[derive(Clone, Debug, Args)]
pub struct ListenArgs {
    /// What carries connections
    #[arg(long, value_enum, default_value_t = Transport::Tcp)]
    pub transport: Transport,
    /// What secures connections over TCP; noise if not given. QUIC has TLS of its own
    #[arg(long, value_enum)]
    pub security: Option<Security>,
    /// The driver
    #[arg(long, value_enum, default_value_t = RuntimeName::Tokio)]
    pub runtime: RuntimeName,
    /// A topic to join, and to publish on once a second
    #[arg(long, value_name = "T")]
    pub topic: Option<String>,
    /// How long the messages are that it publishes, one after the other; none is shorter than its
    /// text, which is followed by spaces
    #[arg(long, value_name = "BYTES", value_delimiter = ',', requires = "topic",
        value_parser = value_parser!(u32).range(..=MAX_MESSAGE_BYTES))]
    pub message_bytes: Vec<u32>,
    /// A peer to connect to, once it listens; any number of times
    #[arg(long, value_name = "ADDR")]
    pub connect: Vec<Multiaddr>,
}

/// What `peer dial` takes.
#[derive(Clone, Debug, Args)]
pub struct DialArgs {
    /// Where the peer is; says the transport, and may end with the peer's id
    #[arg(value_name = "ADDR")]
    pub address: Multiaddr,
    /// What to check, in this order
    #[arg(long = "do", value_name = "CHECKS", value_enum, value_delimiter = ',', required = true)]
    pub checks: Vec<CheckName>,
    /// Bytes that each echo stream sends, and gets back
    #[arg(long, value_name = "BYTES", default_value_t = 1024 * 1024)]
    pub size: u64,
    /// Echo streams in all
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..))]
    pub streams: u32,
    /// Echo streams at once; never more than there are in all
    #[arg(long, value_name = "M", default_value_t = 1, value_parser = value_parser!(u32).range(1..))]
    pub concurrency: u32,
    /// What secures connections over TCP; noise if not given. QUIC has TLS of its own
    #[arg(long, value_enum)]
    pub security: Option<Security>,
    /// A topic to join, and to publish on once a second; interop if gossip is checked
    #[arg(long, value_name = "T")]
    pub topic: Option<String>,
    /// The driver
    #[arg(long, value_enum, default_value_t = RuntimeName::Tokio)]
    pub runtime: RuntimeName,
    /// How long each check may take
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub timeout: u64,
}

/// What carries connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Transport {
    /// TCP, and Yamux on it.
    Tcp,
    /// QUIC v1.
    Quic,
}

/// What secures connections over TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Security {
    /// Noise XX.
    Noise,
    /// TLS 1.3 with libp2p's certificates.
    Tls,
}

/// Something that can be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CheckName {
    /// The peer answers pings.
    Ping,
    /// The peer says who it is and what it speaks.
    Identify,
    /// The peer sends back what it is sent.
    Echo,
    /// What the peer publishes arrives.
    Gossip,
    /// Not built yet.
    Kad,
}

impl CheckName {
    /// As it is typed and reported.
    pub fn as_str(self) -> &'static str {
        match self {
            CheckName::Ping => "ping",
            CheckName::Identify => "identify",
            CheckName::Echo => "echo",
            CheckName::Gossip => "gossip",
            CheckName::Kad => "kad",
        }
    }
}

impl Transport {
    /// Any port of the loopback interface.
    pub fn any_port(self) -> Multiaddr {
        let address = match self {
            Transport::Tcp => "/ip4/127.0.0.1/tcp/0",
            Transport::Quic => "/ip4/127.0.0.1/udp/0/quic-v1",
        };
        address.parse().expect("an address")
    }
}

impl From<Security> for SecurityProtocol {
    fn from(security: Security) -> Self {
        match security {
            Security::Noise => SecurityProtocol::Noise,
            Security::Tls => SecurityProtocol::Tls,
        }
    }
}
