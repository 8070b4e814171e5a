//! [`Usage`]: what a connection has used so far.

use serde::{Deserialize, Serialize};

/// Totals since the connection began, which only grow, and what is open now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Bytes received from the transport; 0 over a foreign multiplexer.
    pub received_bytes: u64,
    /// Bytes sent to the transport; 0 over a foreign multiplexer.
    pub sent_bytes: u64,
    /// Bytes of streams that their owners read.
    pub read_bytes: u64,
    /// Bytes of streams that their owners wrote.
    pub written_bytes: u64,
    /// Streams that the remote opened.
    pub inbound_streams: u64,
    /// Streams that we opened.
    pub outbound_streams: u64,
    /// Streams of the remote that were refused: no shared protocol, a limit, a timeout.
    pub refused_streams: u64,
    /// Frames handed to Node.
    pub received_frames: u64,
    /// Frames of Node's that were sent.
    pub sent_frames: u64,
    /// Streams that the application opened or got.
    pub application_streams: u64,
    /// Those of them that are open now.
    pub open_application_streams: u32,
}
