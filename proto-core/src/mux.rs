//! The [`Mux`] trait: the stream side of every connection, whatever carries its bytes.
//!
//! The byte side is inherent to each multiplexer ([`crate::byte_mux::ByteMux`] takes bytes in
//! order; a QUIC one will take datagrams). Negotiating which protocol a stream speaks is not a
//! multiplexer's business but [`crate::connection::Connection`]'s.

use core::any::Any;

use bytes::Bytes;
use libp2p_identity::PeerId;
use serde::{Deserialize, Serialize};

use crate::close::CloseReason;
use crate::time::{Deadline, Timestamp};

/// Which side of a connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// The side that dialled.
    Dialer,
    /// The side that accepted.
    Listener,
}

/// A stream of one connection. Never reused within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamId(pub u64);

impl core::fmt::Display for StreamId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The code of a reset, as the wire carries it. Yamux carries none: there it is always 0.
pub type ResetCode = u64;

/// What a multiplexer has to say. Events carry no stream data: reading is what moves the
/// flow-control window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MuxEvent {
    /// The remote proved who it is, and streams can be opened. Always first, at most once.
    Secured {
        /// The remote's peer id, from the key that it proved to hold.
        peer: PeerId,
    },
    /// A remote stream waits for [`Mux::accept`].
    Inbound,
    /// A read that would have blocked may not any more.
    Readable(StreamId),
    /// A write that was blocked may not be any more.
    Writable(StreamId),
    /// The remote finished writing: after what is buffered comes the end.
    Finished(StreamId),
    /// The stream is gone in both directions. Reads and writes fail from now on.
    Reset {
        /// The stream.
        stream: StreamId,
        /// The remote's code.
        code: ResetCode,
    },
    /// The remote does not want to read any more (QUIC's `STOP_SENDING`).
    Stopped {
        /// The stream.
        stream: StreamId,
        /// The remote's code.
        code: ResetCode,
    },
    /// The connection is over; nothing follows. Streams that were open are gone without events of
    /// their own.
    Closed {
        /// Why.
        reason: CloseReason,
    },
}

/// What [`crate::connection::Connection`] allows the remote. The multiplexer enforces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MuxLimits {
    /// Streams that the remote may have open at once. One more is reset.
    pub max_inbound_streams: u32,
    /// Streams that we may have open at once.
    pub max_outbound_streams: u32,
    /// Bytes of window, over all streams, beyond the initial window of each.
    pub window_lease_bytes: u64,
    /// The largest window of one stream, in bytes.
    pub max_stream_window_bytes: u32,
    /// Unread bytes of all streams at which reading from the socket stops.
    pub receive_budget_bytes: u64,
}

impl Default for MuxLimits {
    /// 512 streams each way, 1 MiB of window lease, at most 16 MiB for one stream, 1 MiB unread.
    fn default() -> Self {
        MuxLimits {
            max_inbound_streams: 512,
            max_outbound_streams: 512,
            window_lease_bytes: 1024 * 1024,
            max_stream_window_bytes: 16 * 1024 * 1024,
            receive_budget_bytes: 1024 * 1024,
        }
    }
}

/// How the windows of a multiplexer stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowUse {
    /// Bytes that have arrived and were not read, counted by the capacity that holds them.
    pub unread_bytes: u64,
    /// Bytes of [`MuxLimits::window_lease_bytes`] in use: window granted beyond the initial one.
    pub leased_bytes: u64,
    /// A stream wanted to grow its window and found no lease.
    pub wants_lease: bool,
}

/// Why a stream was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MuxOpenError {
    /// The connection is not secured yet, or closing.
    NotOpen,
    /// As many streams are open as [`MuxLimits::max_outbound_streams`] or the remote allows, or as
    /// many await acknowledgement as the protocol allows. Try again when one has ended.
    Limit(u32),
    /// No stream ids are left: the connection has opened as many as its protocol can number.
    Exhausted,
}

/// Why nothing was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// Nothing is there yet; a `Readable`, `Finished` or `Reset` event will follow.
    Blocked,
    /// The stream was reset, by the remote with this code or by us.
    Reset(ResetCode),
    /// No such stream: it ended, or never was.
    UnknownStream,
    /// The connection is over, and what had arrived of the stream was read.
    ConnectionClosed,
    /// The remote refused the one protocol that was proposed ([`crate::connection`] only).
    UnsupportedProtocol,
}

/// Why nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// No room; a `Writable`, `Stopped` or `Reset` event will follow.
    Blocked,
    /// We finished the stream before.
    Finished,
    /// The remote does not want to read any more.
    Stopped(ResetCode),
    /// The stream was reset, by the remote with this code or by us.
    Reset(ResetCode),
    /// The connection is over or closing.
    ConnectionClosed,
    /// No such stream: it ended, or never was.
    UnknownStream,
}

impl core::fmt::Display for MuxOpenError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            MuxOpenError::NotOpen => f.write_str("the connection is not open"),
            MuxOpenError::Limit(limit) => write!(f, "{limit} streams are open already"),
            MuxOpenError::Exhausted => f.write_str("no stream ids are left"),
        }
    }
}

impl core::error::Error for MuxOpenError {}

impl core::fmt::Display for ReadError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            ReadError::Blocked => f.write_str("nothing to read yet"),
            ReadError::Reset(code) => write!(f, "stream was reset with code {code}"),
            ReadError::UnknownStream => f.write_str("no such stream"),
            ReadError::ConnectionClosed => f.write_str("the connection is over"),
            ReadError::UnsupportedProtocol => {
                f.write_str("the remote does not speak the protocol of the stream")
            }
        }
    }
}

impl core::error::Error for ReadError {}

impl core::fmt::Display for WriteError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            WriteError::Blocked => f.write_str("no room to write yet"),
            WriteError::Finished => f.write_str("stream was finished"),
            WriteError::Stopped(code) => {
                write!(f, "the remote stopped reading with code {code}")
            }
            WriteError::Reset(code) => write!(f, "stream was reset with code {code}"),
            WriteError::ConnectionClosed => f.write_str("the connection is over"),
            WriteError::UnknownStream => f.write_str("no such stream"),
        }
    }
}

impl core::error::Error for WriteError {}

/// The stream side of a connection.
///
/// Ids of streams that are gone are answered with `UnknownStream`, never with a panic. Time is the
/// latest that came in by the byte side or [`Mux::handle_timeout`].
pub trait Mux: Any + Send {
    /// The next event, if any. Events come in the order in which their causes did on the wire.
    fn poll_event(&mut self) -> Option<MuxEvent>;

    /// Opens a stream. Nothing is sent until it is written or finished.
    fn open(&mut self) -> Result<StreamId, MuxOpenError>;

    /// Takes the oldest remote stream that was not taken yet.
    fn accept(&mut self) -> Option<StreamId>;

    /// Reads at most `max` bytes, without copying where the receive buffer allows it. Empty means
    /// that the remote finished and everything was read.
    fn read(&mut self, stream: StreamId, max: usize) -> Result<Bytes, ReadError>;

    /// Reads into `buffer`; 0 for a buffer that is not empty means that the remote finished and
    /// everything was read.
    fn read_into(&mut self, stream: StreamId, buffer: &mut [u8]) -> Result<usize, ReadError>;

    /// Queues as much of `data` as there is room for and returns how much that was, at least one
    /// byte unless `data` is empty.
    fn write(&mut self, stream: StreamId, data: &[u8]) -> Result<usize, WriteError>;

    /// Ends our direction of the stream, after everything written. Doing it twice is no error.
    fn finish(&mut self, stream: StreamId) -> Result<(), WriteError>;

    /// Ends both directions at once and forgets what was not read. A no-op for a stream that is
    /// gone.
    fn reset(&mut self, stream: StreamId, code: ResetCode);

    /// Replaces the limits. What is open or granted already stays.
    fn set_limits(&mut self, limits: MuxLimits);

    /// How the windows stand.
    fn window_use(&self) -> WindowUse;

    /// Bytes of one stream that have arrived and were not read; 0 for one that is gone.
    fn unread_bytes(&self, stream: StreamId) -> u64;

    /// Says goodbye where the protocol has a word for it, and ends the connection once that is
    /// flushed. [`MuxEvent::Closed`] with this reason follows.
    fn close(&mut self, reason: CloseReason);

    /// Handles the passing of time.
    fn handle_timeout(&mut self, now: Timestamp);

    /// When [`Mux::handle_timeout`] should be called next.
    fn poll_timeout(&self) -> Option<Deadline>;
}
