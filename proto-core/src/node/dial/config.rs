//! Numbers of a [`super::Dialer`].

use core::time::Duration;

/// Numbers of a [`super::Dialer`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialConfig {
    /// Between the starts of two public addresses, and of two relayed ones. Default: 250 ms.
    pub public_delay: Duration,
    /// Between the starts of two addresses of this machine or a local network. Default: 30 ms.
    pub private_delay: Duration,
    /// Before the first relayed address, while there are others. Default: 500 ms.
    pub relay_delay: Duration,
    /// An address must have led to a connection within this time, handshake included. Default:
    /// 10 s.
    pub timeout: Duration,
    /// The same for TCP to a public address, which takes more round trips. Default: 15 s.
    pub public_tcp_timeout: Duration,
    /// A name must have been looked up within this time. Default: 10 s.
    pub lookup_timeout: Duration,
    /// Addresses that are dialled at once, of one peer. Default: 8.
    pub max_attempts_per_peer: usize,
    /// Addresses that are dialled at once, in all. Default: 64.
    pub max_attempts: usize,
    /// Names that are looked up at once, in all. Default: 16.
    pub max_lookups: usize,
    /// Requests that wait for their end. Default: 256.
    pub max_dials: usize,
    /// Addresses and names of one peer in one race, those behind names included. Default: 64.
    pub max_addresses: usize,
    /// How many names may stand behind each other. `/dnsaddr/bootstrap.libp2p.io` takes three.
    /// Default: 4.
    pub max_name_depth: u32,
    /// What one name stands for is looked at so far. Default: 64.
    pub max_lookup_results: usize,
}

impl Default for DialConfig {
    fn default() -> Self {
        DialConfig {
            public_delay: Duration::from_millis(250),
            private_delay: Duration::from_millis(30),
            relay_delay: Duration::from_millis(500),
            timeout: Duration::from_secs(10),
            public_tcp_timeout: Duration::from_secs(15),
            lookup_timeout: Duration::from_secs(10),
            max_attempts_per_peer: 8,
            max_attempts: 64,
            max_lookups: 16,
            max_dials: 256,
            max_addresses: 64,
            max_name_depth: 4,
            max_lookup_results: 64,
        }
    }
}
