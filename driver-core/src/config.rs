//! [`Config`]: what a node is started with.

use sanspeer_core::connection::ConnectionConfig;
use sanspeer_core::identity::Identity;
use sanspeer_core::node::NodeConfig;
use sanspeer_core::quic::QuicConfig;
use sanspeer_core::rng::Seed;

/// What a node is started with.
pub struct Config {
    /// Who it is.
    pub identity: Identity,
    /// Where its randomness comes from; from the operating system if `None`. Must not be used
    /// twice.
    pub seed: Option<Seed>,
    /// Numbers of Node.
    pub node: NodeConfig,
    /// Numbers of each connection.
    pub connection: ConnectionConfig,
    /// Numbers of QUIC.
    pub quic: QuicConfig,
    /// What secures connections over TCP, the preferred first.
    pub security: Vec<SecurityProtocol>,
}

/// What secures a connection over TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecurityProtocol {
    /// `/noise`.
    Noise,
    /// `/tls/1.0.0`.
    Tls,
}

impl Config {
    /// A node with this identity and default numbers, which prefers Noise and accepts TLS.
    pub fn new(identity: Identity) -> Self {
        Config {
            identity,
            seed: None,
            node: NodeConfig::default(),
            connection: ConnectionConfig::default(),
            quic: QuicConfig::default(),
            security: vec![SecurityProtocol::Noise, SecurityProtocol::Tls],
        }
    }
}
