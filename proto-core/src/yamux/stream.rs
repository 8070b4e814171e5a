//! The state of one stream.

use super::recv_queue::RecvQueue;
use crate::time::Timestamp;

/// The window that each side of a stream has from the start, in bytes (specification: "Flow
/// Control").
pub const INITIAL_WINDOW_BYTES: u32 = 256 * 1024;

/// What we owe the remote on a stream and have not put on the wire.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Owed {
    /// The stream itself: nothing of it was sent yet.
    pub(super) syn: bool,
    /// That we took the remote's stream.
    pub(super) ack: bool,
    /// Window, in bytes.
    pub(super) window: u32,
    /// The end of our direction.
    pub(super) fin: bool,
    /// It is in the queue of streams that owe something.
    pub(super) queued: bool,
}

/// One stream. Both directions' states are here, so that one lookup finds everything.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) inbound: bool,
    /// The remote's stream was taken by `accept`, or is ours.
    pub(super) taken: bool,
    /// The remote acknowledged our stream.
    pub(super) acked: bool,
    pub(super) owed: Owed,

    pub(super) queue: RecvQueue,
    /// The remote sent FIN.
    pub(super) remote_finished: bool,
    /// The application has read all there was, and the end.
    pub(super) end_read: bool,
    /// The last read would have blocked, so arrival is worth an event.
    pub(super) read_blocked: bool,
    /// What the remote may still send, in bytes.
    pub(super) granted: u32,
    /// The window that is kept open while data is read, in bytes.
    pub(super) window: u32,
    /// How much of the connection's lease this stream uses, in bytes.
    pub(super) leased: u32,
    pub(super) window_updated_at: Timestamp,
    pub(super) received_at: Timestamp,

    /// What we may still send, in bytes.
    pub(super) send_window: u32,
    pub(super) finished: bool,
    /// A write found the window empty.
    pub(super) window_blocked: bool,
    /// A write found the send buffer full, and the stream is in the queue of waiting writers.
    pub(super) room_blocked: bool,
    /// In which turn of the send buffer `turn_bytes` were written.
    pub(super) turn: u64,
    pub(super) turn_bytes: usize,
}

impl Stream {
    pub(super) fn outbound(now: Timestamp) -> Self {
        Stream {
            owed: Owed { syn: true, ..Owed::default() },
            taken: true,
            ..Stream::new(false, now)
        }
    }

    pub(super) fn inbound(now: Timestamp) -> Self {
        Stream { acked: true, ..Stream::new(true, now) }
    }

    fn new(inbound: bool, now: Timestamp) -> Self {
        Stream {
            inbound,
            taken: false,
            acked: false,
            owed: Owed::default(),
            queue: RecvQueue::default(),
            remote_finished: false,
            end_read: false,
            read_blocked: true,
            granted: INITIAL_WINDOW_BYTES,
            window: INITIAL_WINDOW_BYTES,
            leased: 0,
            window_updated_at: now,
            received_at: now,
            send_window: INITIAL_WINDOW_BYTES,
            finished: false,
            window_blocked: false,
            room_blocked: false,
            turn: 0,
            turn_bytes: 0,
        }
    }

    /// How many bytes could be granted on top of what is granted and unread.
    pub(super) fn grantable(&self) -> u32 {
        let unread = u32::try_from(self.queue.len()).unwrap_or(u32::MAX);
        self.window.saturating_sub(self.granted).saturating_sub(unread)
    }

    /// What the stream uses of the lease with this window: all that is or may be granted beyond
    /// the initial window. A remote that finished sends no more, so there it is what is unread.
    pub(super) fn lease_for(&self, window: u32) -> u32 {
        let unread = u32::try_from(self.queue.len()).unwrap_or(u32::MAX);
        let most = if self.remote_finished {
            unread
        } else {
            window.max(self.granted.saturating_add(unread))
        };
        most.saturating_sub(INITIAL_WINDOW_BYTES)
    }
}
