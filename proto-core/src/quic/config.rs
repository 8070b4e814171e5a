//! Numbers of a [`super::QuicEndpoint`] and its connections.

use core::time::Duration;

use crate::mux::MuxLimits;

/// Numbers of a [`super::QuicEndpoint`] and its connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuicConfig {
    /// Whether connections are accepted at all. Otherwise nobody's first packet is answered.
    pub accept: bool,
    /// The handshake must be over within this time; an incoming connection must be accepted or
    /// refused within it.
    pub handshake_timeout: Duration,
    /// A connection over which nothing comes for so long is gone. The smaller of the two sides'
    /// values counts (RFC 9000, section 10.1).
    pub idle_timeout: Duration,
    /// A connection over which nothing was sent or received for so long sends a ping.
    pub keep_alive_interval: Duration,
    /// How long a closing connection may take to send what was written.
    pub linger: Duration,
    /// Window beyond the receive budget that was not used for so long is given back.
    pub lease_idle: Duration,
    /// Incoming connections that wait for an answer. The packets of more are dropped.
    pub max_pending_incoming: usize,
    /// Bytes that are kept of what one waiting connection goes on to send.
    pub incoming_buffer_bytes: u64,
    /// With so many incoming connections waiting or in their handshake, addresses are validated
    /// first: the endpoint answers a first packet with a retry by itself, and reports the
    /// connection when the remote has come back with the token (RFC 9000, section 8.1.2).
    pub retry_threshold: usize,
    /// Bidirectional streams that the remote may have open at first. Doubled whenever half of
    /// them are, up to [`MuxLimits::max_inbound_streams`]. Each costs memory before it is opened.
    pub initial_streams: u32,
    /// The receive window of each stream, in bytes, the same for the connection's life. What
    /// bounds memory is the window of the connection.
    pub stream_window_bytes: u32,
    /// The least that may be written and not acknowledged, over all streams, in bytes. It grows to
    /// twice the congestion window, up to `max_send_window_bytes`.
    pub min_send_window_bytes: u64,
    /// The most that may be written and not acknowledged, over all streams, in bytes.
    pub max_send_window_bytes: u64,
    /// Whether to look for larger packets than 1,200 bytes (RFC 9000, section 14.3). The socket
    /// must not let its packets be fragmented then.
    pub mtu_discovery: bool,
    /// What the remote is allowed until [`crate::mux::Mux::set_limits`] says otherwise.
    pub limits: MuxLimits,
}

impl Default for QuicConfig {
    fn default() -> Self {
        QuicConfig {
            accept: true,
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            keep_alive_interval: Duration::from_secs(10),
            linger: Duration::from_secs(5),
            lease_idle: Duration::from_secs(10),
            max_pending_incoming: 256,
            incoming_buffer_bytes: 16 * 1024,
            retry_threshold: 64,
            initial_streams: 16,
            stream_window_bytes: 16 * 1024 * 1024,
            min_send_window_bytes: 256 * 1024,
            max_send_window_bytes: 16 * 1024 * 1024,
            mtu_discovery: true,
            limits: MuxLimits { max_inbound_streams: 256, ..MuxLimits::default() },
        }
    }
}
