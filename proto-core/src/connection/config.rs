//! Numbers of a [`super::Connection`].

use core::time::Duration;

use crate::byte_mux::ByteMuxConfig;

/// Numbers of a [`super::Connection`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionConfig {
    /// Numbers of the byte stream below, where there is one.
    pub byte_mux: ByteMuxConfig,
    /// Node must admit or refuse the connection within this time.
    pub admission_timeout: Duration,
    /// The protocol of a stream must be negotiated within this time.
    pub negotiation_timeout: Duration,
    /// A ping must be answered within this time.
    pub ping_timeout: Duration,
    /// Unread bytes of streams that nobody holds, at which the connection stops reading, as
    /// capacity. Streams that the application or Node holds, and leased windows, come on top.
    pub receive_budget_bytes: u64,
    /// How long that may last before such streams are reset.
    pub stall_timeout: Duration,
    /// Window lease that was not used for so long is returned.
    pub lease_idle: Duration,
    /// Totals are reported to Node at most this often.
    pub usage_interval: Duration,
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        ConnectionConfig {
            byte_mux: ByteMuxConfig::default(),
            admission_timeout: Duration::from_secs(10),
            negotiation_timeout: Duration::from_secs(10),
            ping_timeout: Duration::from_secs(20),
            receive_budget_bytes: 1024 * 1024,
            stall_timeout: Duration::from_secs(10),
            lease_idle: Duration::from_secs(10),
            usage_interval: Duration::from_secs(1),
        }
    }
}
