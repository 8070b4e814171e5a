//! How much the remote may send, how many streams it may open, and how much we keep of our own.
//!
//! What bounds the memory of a connection is its receive window: the receive budget at first,
//! doubled when half of it was consumed within two round trips, as far as the lease allows. The
//! window of each stream is constant. `quinn_proto` does not tell how much of it is unread, so that
//! is estimated: datagrams that come together count for the streams that they made readable, headers
//! included, and a stream counts for nothing once a read has blocked. Packets lost and sent again may count twice
//! until then; the estimate never exceeds the window.

use core::time::Duration;

use quinn_proto::{Connection, Dir, VarInt};

use super::config::QuicConfig;
use crate::mux::{MuxLimits, WindowUse};
use crate::time::{Deadline, DeadlineReason, Timestamp};

/// The windows of one connection.
#[derive(Debug)]
pub(super) struct Windows {
    /// The receive window without what is leased, in bytes.
    base: u64,
    leased: u64,
    wants_lease: bool,
    /// What was read since `since`, in bytes.
    consumed: u64,
    since: Timestamp,
    /// When data was last read.
    used_at: Timestamp,
    /// About how many bytes were not read, over all streams.
    pub(super) unread: u64,
    /// Streams that the remote may have open.
    allowed_streams: u32,
    send_window: u64,
}

impl Windows {
    pub(super) fn new(config: &QuicConfig, now: Timestamp) -> Self {
        Windows {
            base: config.limits.receive_budget_bytes,
            leased: 0,
            wants_lease: false,
            consumed: 0,
            since: now,
            used_at: now,
            unread: 0,
            allowed_streams: config.initial_streams.min(config.limits.max_inbound_streams),
            send_window: config.min_send_window_bytes,
        }
    }

    fn window(&self) -> u64 {
        self.base.saturating_add(self.leased)
    }

    pub(super) fn window_use(&self) -> WindowUse {
        WindowUse {
            unread_bytes: self.unread.min(self.window()),
            leased_bytes: self.leased,
            wants_lease: self.wants_lease,
        }
    }

    /// Takes new limits. The budget contains what is leased, as
    /// [`crate::connection::Connection`] computes it.
    pub(super) fn set_limits(&mut self, limits: MuxLimits, connection: &mut Connection) {
        let before = self.window();
        self.wants_lease = false;
        self.base = limits.receive_budget_bytes.saturating_sub(self.leased);
        if self.window() != before {
            connection.set_receive_window(clamp(self.window()));
        }
        if limits.max_inbound_streams < self.allowed_streams {
            self.allowed_streams = limits.max_inbound_streams;
            connection.set_max_concurrent_streams(Dir::Bi, self.allowed_streams.into());
        } else {
            self.allow_streams(limits.max_inbound_streams, connection);
        }
    }

    /// Doubles the streams that the remote may have open, when it has half of them.
    pub(super) fn allow_streams(&mut self, max: u32, connection: &mut Connection) {
        let open = connection.streams().remote_open_streams(Dir::Bi);
        let mut allowed = self.allowed_streams;
        while allowed < max && open.saturating_mul(2) >= u64::from(allowed) {
            allowed = allowed.saturating_mul(2).clamp(1, max);
        }
        if allowed != self.allowed_streams {
            self.allowed_streams = allowed;
            connection.set_max_concurrent_streams(Dir::Bi, allowed.into());
        }
    }

    /// Counts what was read, and grows the window if the reader is faster than it.
    pub(super) fn consume(
        &mut self,
        bytes: u64,
        limits: &MuxLimits,
        now: Timestamp,
        connection: &mut Connection,
    ) {
        self.used_at = now;
        self.consumed = self.consumed.saturating_add(bytes);
        if self.consumed < self.window() / 2 {
            return;
        }
        let took = now.saturating_since(self.since);
        self.consumed = 0;
        self.since = now;
        if took > connection.rtt().saturating_mul(2) {
            return;
        }
        let wished = self.window();
        let free = limits.window_lease_bytes.saturating_sub(self.leased);
        self.wants_lease |= free < wished;
        let growth = wished.min(free);
        if growth > 0 {
            self.leased += growth;
            connection.set_receive_window(clamp(self.window()));
        }
    }

    /// Keeps for sending what two congestion windows take.
    pub(super) fn fit_send_window(&mut self, config: &QuicConfig, connection: &mut Connection) {
        let wished = connection
            .congestion_state()
            .window()
            .saturating_mul(2)
            .clamp(config.min_send_window_bytes, config.max_send_window_bytes);
        // Not worth it for less than an eighth.
        if wished.abs_diff(self.send_window) > self.send_window / 8 {
            self.send_window = wished;
            connection.set_send_window(wished);
        }
    }

    /// Gives back what was leased and not used for a while.
    pub(super) fn handle_timeout(
        &mut self,
        now: Timestamp,
        idle: Duration,
        connection: &mut Connection,
    ) {
        if self.lease_deadline(idle).is_some_and(|deadline| now >= deadline.at) {
            self.leased = 0;
            connection.set_receive_window(clamp(self.window()));
        }
    }

    pub(super) fn lease_deadline(&self, idle: Duration) -> Option<Deadline> {
        let at = self.used_at.saturating_add(idle);
        (self.leased > 0).then(|| Deadline::new(at, DeadlineReason::Idle))
    }
}

/// A number of bytes as the wire can carry it (RFC 9000, section 16).
pub(super) fn clamp(bytes: u64) -> VarInt {
    VarInt::from_u64(bytes).unwrap_or(VarInt::MAX)
}
