//! When the remote may send more, and how much.
//!
//! Each stream keeps a window open, at first the initial one. It is doubled when half of it was
//! used up within two round trips, so that it comes to cover the bandwidth-delay product, as far
//! as the connection's lease allows. Credit that was granted cannot be taken back, so it counts
//! against the lease until it is used up or the stream ends.

use super::header::Flags;
use super::machine::Yamux;
use super::stream::INITIAL_WINDOW_BYTES;
use crate::time::{Deadline, DeadlineReason, Timestamp};

/// How the lease of a connection is used.
#[derive(Debug, Default)]
pub(super) struct Lease {
    /// The sum of all streams' `leased`.
    pub(super) used: u64,
    /// A window was not grown for want of lease.
    pub(super) wanted: bool,
}

impl Yamux {
    /// Grants window for what was read, once it is worth a frame.
    pub(super) fn grant(&mut self, id: u32) {
        let now = self.clock.now();
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.remote_finished || stream.grantable() < stream.window / 2 {
            // What was read may have been credit that a shrunk window left behind.
            if stream.leased > 0 {
                self.count_lease(id);
            }
            return;
        }
        if let Some(rtt) = self.keep_alive.rtt()
            && now.saturating_since(stream.window_updated_at) <= rtt.saturating_mul(2)
        {
            let max = self.limits.max_stream_window_bytes.max(INITIAL_WINDOW_BYTES);
            let wished = stream.window.saturating_mul(2).min(max);
            let free = self.limits.window_lease_bytes.saturating_sub(self.lease.used);
            let growth =
                (wished - stream.window.min(wished)).min(u32::try_from(free).unwrap_or(u32::MAX));
            self.lease.wanted |= stream.window.saturating_add(growth) < wished;
            stream.window += growth;
        }
        stream.window_updated_at = now;
        let update = stream.grantable();
        stream.granted = stream.granted.saturating_add(update);
        stream.owed.window = stream.owed.window.saturating_add(update);
        self.count_lease(id);
        self.owe(id);
        if let Some(value) = self.keep_alive.refresh_rtt(now) {
            self.control.ping = Some(value);
        }
    }

    /// Counts anew what a stream uses of the lease.
    pub(super) fn count_lease(&mut self, id: u32) {
        if let Some(stream) = self.streams.get_mut(&id) {
            let leased = stream.lease_for(stream.window);
            self.lease.used = self.lease.used - u64::from(stream.leased) + u64::from(leased);
            stream.leased = leased;
        }
    }

    /// Puts windows that were not used for a while back to the initial size.
    pub(super) fn shrink_idle_windows(&mut self, now: Timestamp) {
        if self.lease.used == 0 {
            return;
        }
        let idle = self.config.lease_idle;
        let idle_ids: Vec<u32> = self
            .streams
            .iter()
            .filter(|(_, stream)| stream.window > INITIAL_WINDOW_BYTES)
            .filter(|(_, stream)| now >= stream.received_at.saturating_add(idle))
            .map(|(id, _)| *id)
            .collect();
        for id in idle_ids {
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.window = INITIAL_WINDOW_BYTES;
            }
            self.count_lease(id);
        }
    }

    /// When the next window has been idle for long enough.
    pub(super) fn lease_deadline(&self) -> Option<Deadline> {
        if self.lease.used == 0 {
            return None;
        }
        self.streams
            .values()
            .filter(|stream| stream.window > INITIAL_WINDOW_BYTES)
            .map(|stream| stream.received_at.saturating_add(self.config.lease_idle))
            .min()
            .map(|at| Deadline::new(at, DeadlineReason::Idle))
    }

    /// Puts a stream in the queue of those that owe a frame.
    pub(super) fn owe(&mut self, id: u32) {
        if let Some(stream) = self.streams.get_mut(&id)
            && !core::mem::replace(&mut stream.owed.queued, true)
        {
            self.control.streams.push_back(id);
        }
    }

    /// The flags that the next frame of a stream carries.
    pub(super) fn take_flags(&mut self, id: u32) -> Flags {
        let Some(stream) = self.streams.get_mut(&id) else { return Flags::NONE };
        let mut flags = Flags::NONE;
        if core::mem::take(&mut stream.owed.syn) {
            flags = flags.with(Flags::SYN);
        }
        if core::mem::take(&mut stream.owed.ack) {
            flags = flags.with(Flags::ACK);
        }
        flags
    }
}
