//! [`Lease`]: what Node allows a connection.

use core::time::Duration;

use serde::{Deserialize, Serialize};

/// Window beyond the initial one of each stream that a connection has without asking, in bytes.
pub const DEFAULT_WINDOW_LEASE_BYTES: u64 = 1024 * 1024;

/// The largest window of one stream, in bytes.
pub const MAX_STREAM_WINDOW_BYTES: u32 = 16 * 1024 * 1024;

/// Limits that Node grants a connection. Each is enforced by the connection alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Streams that the remote may have open at once.
    pub inbound_streams: u32,
    /// Streams that we may have open at once.
    pub outbound_streams: u32,
    /// Window beyond the initial one, over all streams, in bytes.
    pub window_bytes: u64,
    /// How fast the remote may open streams; as fast as it likes if `None`.
    pub inbound_rate: Option<StreamRate>,
    /// How often to ask `/ipfs/ping/1.0.0`; never if `None`.
    pub ping_interval: Option<Duration>,
}

/// A token bucket for streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamRate {
    /// Streams a second in the long run.
    pub per_second: u32,
    /// Streams at once.
    pub burst: u32,
}

impl Default for Lease {
    /// 512 streams each way, 1 MiB of window, no rate limit, no pings.
    fn default() -> Self {
        Lease {
            inbound_streams: 512,
            outbound_streams: 512,
            window_bytes: DEFAULT_WINDOW_LEASE_BYTES,
            inbound_rate: None,
            ping_interval: None,
        }
    }
}
