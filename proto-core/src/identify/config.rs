//! [`IdentifyConfig`].

use core::time::Duration;

/// The longest protocol version and the longest agent that are sent, in bytes; what is longer is
/// cut.
pub const MAX_OWN_TEXT_BYTES: usize = 256;

/// The shortest interval and timeout that hold; a shorter one is taken for it.
pub const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// What [`super::Identify`] says and how often it asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentifyConfig {
    /// The network that we take part in; at most [`MAX_OWN_TEXT_BYTES`] of it are sent.
    pub protocol_version: String,
    /// The program that runs, `name/version` by custom; at most [`MAX_OWN_TEXT_BYTES`] of it are
    /// sent.
    pub agent: String,
    /// How long after an answer, or after none, a connection is asked again; at least
    /// [`MIN_INTERVAL`].
    pub interval: Duration,
    /// How long a stream may take from the request to open it to its end; at least
    /// [`MIN_INTERVAL`].
    pub timeout: Duration,
    /// How long a change of what we say waits for others before it is pushed.
    pub push_delay: Duration,
}

impl Default for IdentifyConfig {
    /// As rust-libp2p: asked every 5 minutes, streams of at most 60 s. Changes wait for 500 ms.
    fn default() -> Self {
        IdentifyConfig {
            protocol_version: "ipfs/0.1.0".to_owned(),
            agent: concat!("sanspeer/", env!("CARGO_PKG_VERSION")).to_owned(),
            interval: Duration::from_secs(5 * 60),
            timeout: Duration::from_secs(60),
            push_delay: Duration::from_millis(500),
        }
    }
}
