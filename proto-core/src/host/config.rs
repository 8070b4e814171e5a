//! Numbers of a [`super::Host`].

use core::time::Duration;

use crate::connection::ConnectionConfig;
use crate::node::NodeConfig;
use crate::quic::QuicConfig;

/// Numbers of a [`super::Host`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostConfig {
    /// Numbers of Node.
    pub node: NodeConfig,
    /// Numbers of each connection.
    pub connection: ConnectionConfig,
    /// Numbers of each UDP socket and the connections over it.
    pub quic: QuicConfig,
    /// What is offered over transports that carry bytes in order, the preferred first.
    pub security: Vec<SecurityProtocol>,
    /// Events that wait for the application. With more, nothing more is taken from connections, and
    /// so from the network.
    pub max_events: usize,
    /// How long what streams had received can be read when their connection is over.
    pub unread_linger: Duration,
}

/// A security protocol of byte streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecurityProtocol {
    /// `/noise`.
    Noise,
    /// `/tls/1.0.0`.
    Tls,
}

impl Default for HostConfig {
    /// Noise alone; 1,024 events; 30 s.
    fn default() -> Self {
        HostConfig {
            node: NodeConfig::default(),
            connection: ConnectionConfig::default(),
            quic: QuicConfig::default(),
            security: vec![SecurityProtocol::Noise],
            max_events: 1024,
            unread_linger: Duration::from_secs(30),
        }
    }
}
