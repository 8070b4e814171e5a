//! [`Config`]: what a node is started with.

use std::io::Write;
use std::net::SocketAddr;

use sanspeer_core::connection::ConnectionConfig;
use sanspeer_core::gossip::{Gossip, GossipConfig};
pub use sanspeer_core::host::SecurityProtocol;
use sanspeer_core::identity::Identity;
use sanspeer_core::node::{AddProtocolError, Node, NodeConfig, Protocol};
use sanspeer_core::quic::QuicConfig;
use sanspeer_core::rng::Seed;
use sanspeer_core::time::Timestamp;

use crate::error::StartError;

/// What a node is started with.
pub struct Config {
    /// Who it is.
    pub identity: Identity,
    /// Where its randomness comes from; from the operating system if `None`. Must not be used
    /// twice.
    pub seed: Option<Seed>,
    /// Numbers of Node.
    pub node: NodeConfig,
    /// Numbers of gossip, if the node gossips.
    pub gossip: Option<GossipConfig>,
    /// Protocols of the application's that run inside Node.
    pub protocols: Vec<Box<dyn Protocol>>,
    /// Numbers of each connection.
    pub connection: ConnectionConfig,
    /// Numbers of QUIC.
    pub quic: QuicConfig,
    /// Who is asked for the TXT records of `/dnsaddr`; the system's servers if empty.
    pub dns_servers: Vec<SocketAddr>,
    /// What secures connections over TCP, the preferred first.
    pub security: Vec<SecurityProtocol>,
    /// Where the log of Node is written, see [`crate::log`]. Node waits for each write, so it is
    /// buffered.
    pub log: Option<Box<dyn Write + Send>>,
}

impl Config {
    /// A node with this identity and default numbers, which prefers Noise and accepts TLS.
    pub fn new(identity: Identity) -> Self {
        Config {
            identity,
            seed: None,
            node: NodeConfig::default(),
            gossip: None,
            protocols: Vec::new(),
            connection: ConnectionConfig::default(),
            quic: QuicConfig::default(),
            dns_servers: Vec::new(),
            security: vec![SecurityProtocol::Noise, SecurityProtocol::Tls],
            log: None,
        }
    }

    /// The same with a new Ed25519 identity, which lasts as long as the node.
    pub fn ephemeral() -> Result<Self, StartError> {
        Ok(Config::new(Identity::ed25519(&random_seed()?)))
    }
}

/// The Node that a node with this configuration and seed has; to replay its log, see
/// [`crate::log::replay`].
pub fn make_node(
    config: NodeConfig,
    identity: Identity,
    seed: &Seed,
    protocols: Vec<Box<dyn Protocol>>,
    now: Timestamp,
) -> Result<Node, AddProtocolError> {
    let mut node = Node::new(config, identity, seed.derive("node", 0), now);
    protocols.into_iter().try_for_each(|protocol| node.add_protocol(protocol))?;
    Ok(node)
}

/// Lets a Node gossip that [`make_node`] has made, with the same identity and seed.
///
/// # Errors
///
/// When the numbers do not fit together, or an application's protocol has taken gossip's name or one
/// of its protocol ids.
pub fn add_gossip(
    node: &mut Node,
    config: GossipConfig,
    identity: Identity,
    seed: &Seed,
) -> Result<(), StartError> {
    let gossip = Gossip::new(config, identity, &seed.derive("node", 0));
    node.add_gossip(gossip.map_err(StartError::Gossip)?).map_err(StartError::Protocol)
}

/// A seed of the operating system's.
pub(crate) fn random_seed() -> Result<Seed, StartError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| StartError::Randomness(std::io::Error::other(error)))?;
    Ok(Seed::new(bytes))
}
