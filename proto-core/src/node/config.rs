//! Numbers of a [`super::Node`].

use core::time::Duration;

use super::dial::DialConfig;
use super::limits::ConnectionLimits;
use crate::identify::IdentifyConfig;
use crate::mailbox::Lease;
use crate::peer_store::PeerStoreConfig;

/// Numbers of a [`super::Node`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    /// Who we say that we are, and how often we ask others.
    pub identify: IdentifyConfig,
    /// How peers are dialled.
    pub dial: DialConfig,
    /// How much is remembered of peers.
    pub peer_store: PeerStoreConfig,
    /// How many connections there may be.
    pub limits: ConnectionLimits,
    /// A connection that nobody has used for so long is closed; never if `None`. Used is one with
    /// a stream of Node's or of the application's; ping and identify do not count. At least 2 s count, since a
    /// connection reports its use once a second.
    pub idle_timeout: Option<Duration>,
    /// Of two connections that come from two sides dialling each other at once, the one that is
    /// not preferred is closed when nobody has used it for so long.
    pub surplus_grace: Duration,
    /// What a connection is granted when it is admitted.
    pub lease: Lease,
    /// What all connections together may lease of window beyond their first lease, in bytes.
    pub window_budget_bytes: u64,
    /// Whether to serve `/perf/1.0.0`, which sends as many bytes as the remote asks for.
    pub perf: bool,
    /// With so many inbound handshakes under way, arrivals over QUIC have to show first that they
    /// receive what is sent to their addresses.
    pub validate_threshold: usize,
    /// Listeners at once.
    pub max_listeners: u32,
    /// While fewer peers are connected, those that are known are dialled, who was reached before
    /// first; 0 is never. A peer that the application disconnects is dialled again like others.
    pub low_connections: u32,
    /// How often that is looked at. An address that fails is left alone for longer and longer
    /// meanwhile.
    pub replenish_interval: Duration,
}

impl Default for NodeConfig {
    /// Unused connections are closed after 60 s, surplus ones after 5 s; pings go out every 15 s.
    fn default() -> Self {
        NodeConfig {
            identify: IdentifyConfig::default(),
            dial: DialConfig::default(),
            peer_store: PeerStoreConfig::default(),
            limits: ConnectionLimits::default(),
            idle_timeout: Some(Duration::from_secs(60)),
            surplus_grace: Duration::from_secs(5),
            lease: Lease { ping_interval: Some(Duration::from_secs(15)), ..Lease::default() },
            window_budget_bytes: 256 * 1024 * 1024,
            perf: false,
            validate_threshold: 32,
            max_listeners: 64,
            low_connections: 0,
            replenish_interval: Duration::from_secs(30),
        }
    }
}
