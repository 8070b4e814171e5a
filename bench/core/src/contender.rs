//! What every stack under measurement implements.

use anyhow::Result;

use crate::meter::Cost;

/// Bytes sent and compared in full before the clock of a transfer starts. They
/// also open the flow-control windows and grow every buffer.
pub const WARM_UP_BYTES: u64 = 16 << 20;

/// Bytes that one direction of a connection holds in flight at most, as a
/// socket buffer would.
pub const PIPE_BYTES: usize = 256 << 10;

/// Size of a single read by the receiving application.
pub const READ_BYTES: usize = 64 << 10;

/// Request and answer that prove a handshake complete at both ends.
pub const ECHO: [u8; 32] = *b"thirty-two bytes, there and back";

/// The protocol that the one stream of each connection negotiates.
pub const STREAM_PROTOCOL: &str = "/bench/1.0.0";

/// A multiplexed, encrypted connection, both ends of it on this thread.
///
/// Keys of the two identities are made once, in the constructor, and so is the
/// signature over the Noise static key.
pub trait Stack {
    /// Unique among the contenders of a run.
    fn name(&self) -> String;

    /// Carries `total_bytes` from one end to the other on one stream, in writes
    /// of `write_bytes`, and returns what that cost.
    ///
    /// Outside of the measurement: connecting, negotiating the stream, and
    /// [`WARM_UP_BYTES`] whose content is compared in full. Inside: from the
    /// first write to the read of the last byte, of which every read is
    /// compared with the payload at both its ends.
    fn throughput(&mut self, total_bytes: u64, write_bytes: usize) -> Result<Cost>;

    /// Makes `count` connections, one after the other: everything until a stream
    /// is negotiated, [`ECHO`] there and back. All of it, and dropping the connection, is measured.
    fn handshakes(&mut self, count: u64) -> Result<Cost>;

    /// Live heap bytes per end of `pairs` connections that had one stream,
    /// which both sides closed. The transport's own bytes are not in it.
    fn idle_bytes_per_end(&mut self, pairs: usize) -> Result<f64>;
}
