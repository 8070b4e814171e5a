//! Numbers of a [`super::ByteMux`].

use core::time::Duration;

use crate::mux::MuxLimits;
use crate::yamux::YamuxConfig;

/// Numbers of a [`super::ByteMux`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByteMuxConfig {
    /// Security and muxer must be negotiated within this time.
    pub handshake_timeout: Duration,
    /// How long a closing connection may take to flush its goodbye.
    pub linger: Duration,
    /// Buffers that were not used for so long are given back.
    pub buffer_idle: Duration,
    /// Whether to offer the muxer within the handshake, which saves a round trip with remotes that
    /// do so too (go-libp2p, js-libp2p).
    pub early_muxer: bool,
    /// Numbers of the session.
    pub yamux: YamuxConfig,
    /// What the remote is allowed until [`crate::mux::Mux::set_limits`] says otherwise.
    pub limits: MuxLimits,
}

impl Default for ByteMuxConfig {
    fn default() -> Self {
        ByteMuxConfig {
            handshake_timeout: Duration::from_secs(10),
            linger: Duration::from_secs(5),
            buffer_idle: Duration::from_secs(1),
            early_muxer: true,
            yamux: YamuxConfig::default(),
            limits: MuxLimits::default(),
        }
    }
}
