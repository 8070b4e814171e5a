//! Leases, the receive budget, and what happens when it stays used up.

use super::entry::{Entry, Phase};
use super::machine::{Admission, Connection};
use crate::byte_mux::MAX_RECORD_BYTES;
use crate::mailbox::lease::{DEFAULT_WINDOW_LEASE_BYTES, MAX_STREAM_WINDOW_BYTES};
use crate::mailbox::{Lease, StreamEnd};
use crate::mux::{MuxLimits, StreamId};
use crate::time::{Deadline, DeadlineReason, Timestamp};
use crate::yamux::INITIAL_WINDOW_BYTES;

/// One stream in the units of the token bucket.
const TOKEN: u64 = 1_000_000_000;

/// What Node granted, and how it is used.
pub(super) struct Limits {
    pub(super) lease: Lease,
    /// Streams came or went since the budget was last computed.
    pub(super) changed: bool,
    /// What streams that the application or Node holds add to the receive budget.
    held_bytes: u64,
    applied: Option<MuxLimits>,
    /// Node was asked for more and has not answered.
    lease_requested: bool,
    /// The lease beyond the default was last used then.
    lease_used_at: Timestamp,
    /// Since when unread data keeps the connection from reading.
    stalled_since: Option<Timestamp>,
    tokens: u64,
    tokens_at: Timestamp,
    usage_reported_at: Timestamp,
    usage_reported_bytes: u64,
    /// What was last reported of the application's streams: how many there were, and whether one
    /// was open.
    application_reported: (u64, bool),
}

impl Limits {
    pub(super) fn new(now: Timestamp) -> Self {
        Limits {
            lease: Lease::default(),
            changed: true,
            held_bytes: 0,
            applied: None,
            lease_requested: false,
            lease_used_at: now,
            stalled_since: None,
            tokens: 0,
            tokens_at: now,
            usage_reported_at: now,
            usage_reported_bytes: 0,
            application_reported: (0, false),
        }
    }

    /// Takes a token for a stream of the remote's; false when there is none.
    pub(super) fn admit_stream(&mut self, now: Timestamp) -> bool {
        let Some(rate) = self.lease.inbound_rate else { return true };
        let elapsed = now.saturating_since(self.tokens_at).as_nanos();
        let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX);
        let earned = elapsed.saturating_mul(u64::from(rate.per_second));
        self.tokens = self.tokens.saturating_add(earned).min(u64::from(rate.burst) * TOKEN);
        self.tokens_at = now;
        match self.tokens.checked_sub(TOKEN) {
            Some(rest) => {
                self.tokens = rest;
                true
            }
            None => false,
        }
    }
}

impl Connection {
    pub(super) fn set_lease(&mut self, lease: Lease) {
        if lease.inbound_rate != self.limits.lease.inbound_rate {
            self.limits.tokens = lease.inbound_rate.map_or(0, |rate| u64::from(rate.burst) * TOKEN);
            self.limits.tokens_at = self.clock.now();
        }
        self.limits.lease = lease;
        self.limits.lease_requested = false;
        self.limits.lease_used_at = self.clock.now();
        self.limits.changed = true;
        // Even if nothing changed, the wish was answered; the next one needs a new cause.
        self.limits.applied = None;
        self.apply_limits();
    }

    /// Brings the multiplexer's limits, the stall clock and reports to Node up to date.
    pub(super) fn settle_limits(&mut self) {
        if self.admission == Admission::Over {
            return;
        }
        let now = self.clock.now();
        let window_use = self.transport.mux().window_use();
        if window_use.wants_lease && !self.limits.lease_requested {
            let most = u64::from(MAX_STREAM_WINDOW_BYTES) * self.streams.len().max(1) as u64;
            let wished = self.limits.lease.window_bytes.max(1).saturating_mul(2).min(most);
            if wished > self.limits.lease.window_bytes {
                self.limits.lease_requested = true;
                self.node.lease_request = Some(wished);
                self.node.lease_return = None;
            }
        }
        if window_use.leased_bytes > self.limits.lease.window_bytes / 2 {
            self.limits.lease_used_at = now;
        }
        self.apply_limits();
        self.watch_stall(now);
        self.report_usage(now);
    }

    fn apply_limits(&mut self) {
        let leased = self.transport.mux().window_use().leased_bytes;
        if core::mem::take(&mut self.limits.changed) {
            let held = self.streams.values().filter(|entry| entry.is_held()).count() as u64;
            self.limits.held_bytes = held.saturating_mul(INITIAL_WINDOW_BYTES.into());
            let open = self.streams.values().filter(|entry| entry.is_of_application()).count();
            self.usage.open_application_streams = u32::try_from(open).unwrap_or(u32::MAX);
        }
        let budget = self
            .config
            .receive_budget_bytes
            .saturating_add(self.limits.held_bytes)
            .saturating_add(leased);
        let limits = MuxLimits {
            max_inbound_streams: self.limits.lease.inbound_streams,
            max_outbound_streams: self.limits.lease.outbound_streams,
            window_lease_bytes: self.limits.lease.window_bytes,
            max_stream_window_bytes: MAX_STREAM_WINDOW_BYTES,
            receive_budget_bytes: budget,
        };
        if self.limits.applied.as_ref() != Some(&limits) {
            self.limits.applied = Some(limits);
            self.transport.mux().set_limits(limits);
        }
    }

    /// Notes since when unread data keeps the connection from reading.
    fn watch_stall(&mut self, now: Timestamp) {
        if !self.is_stalled() {
            self.limits.stalled_since = None;
        } else if self.limits.stalled_since.is_none() {
            self.limits.stalled_since = Some(now);
        }
    }

    fn is_stalled(&mut self) -> bool {
        let Some(applied) = self.limits.applied else { return false };
        let unread = self.transport.mux().window_use().unread_bytes;
        unread.saturating_add(MAX_RECORD_BYTES as u64) > applied.receive_budget_bytes
    }

    fn report_usage(&mut self, now: Timestamp) {
        if self.peer.is_none() {
            return;
        }
        let usage = self.usage();
        let bytes = usage.received_bytes + usage.sent_bytes;
        let application = self.application_use();
        let news = bytes != self.limits.usage_reported_bytes
            || application != self.limits.application_reported;
        if news && now >= self.next_usage() {
            self.limits.usage_reported_at = now;
            self.limits.usage_reported_bytes = bytes;
            self.limits.application_reported = application;
            self.node.usage_due = true;
        }
    }

    /// How many streams the application has had, and whether it has one.
    fn application_use(&self) -> (u64, bool) {
        (self.usage.application_streams, self.usage.open_application_streams > 0)
    }

    /// When totals may be reported again.
    fn next_usage(&self) -> Timestamp {
        self.limits.usage_reported_at.saturating_add(self.config.usage_interval)
    }

    /// Node hears of the application's streams even if nothing else happens: it closes connections
    /// that nobody uses.
    fn usage_deadline(&self) -> Option<Deadline> {
        (self.application_use() != self.limits.application_reported)
            .then(|| Deadline::new(self.next_usage(), DeadlineReason::Usage))
    }

    pub(super) fn time_out_limits(&mut self, now: Timestamp) {
        if self.usage_deadline().is_some_and(|deadline| now >= deadline.at) {
            self.report_usage(now);
        }
        if self.stall_deadline().is_some_and(|deadline| now >= deadline.at) {
            self.reset_stalled();
            self.limits.stalled_since = None;
        }
        if self.lease_deadline().is_some_and(|deadline| now >= deadline.at) {
            let used = self.transport.mux().window_use().leased_bytes;
            let kept = used.max(DEFAULT_WINDOW_LEASE_BYTES);
            self.limits.lease_used_at = now;
            if kept < self.limits.lease.window_bytes {
                self.limits.lease.window_bytes = kept;
                self.limits.lease_requested = false;
                self.node.lease_return = Some(kept);
                self.node.lease_request = None;
                self.apply_limits();
            }
        }
    }

    pub(super) fn limits_deadline(&self) -> Option<Deadline> {
        Deadline::earlier(self.stall_deadline(), self.lease_deadline())
            .into_iter()
            .chain(self.usage_deadline())
            .min()
    }

    fn stall_deadline(&self) -> Option<Deadline> {
        let at = self.limits.stalled_since?.saturating_add(self.config.stall_timeout);
        Some(Deadline::new(at, DeadlineReason::ReceiveStall))
    }

    fn lease_deadline(&self) -> Option<Deadline> {
        if self.limits.lease.window_bytes <= DEFAULT_WINDOW_LEASE_BYTES {
            return None;
        }
        let at = self.limits.lease_used_at.saturating_add(self.config.lease_idle);
        Some(Deadline::new(at, DeadlineReason::Idle))
    }

    /// Resets the streams that nobody holds and nobody has read, oldest first.
    fn reset_stalled(&mut self) {
        let unheld: Vec<StreamId> =
            self.streams.iter().filter(|(_, entry)| is_unheld(entry)).map(|(id, _)| *id).collect();
        for id in unheld {
            if self.transport.mux().unread_bytes(id) > 0 {
                self.reset_stream(id, StreamEnd::ReceiveStall);
            }
        }
    }
}

/// Whether a stream waits for somebody to take it.
fn is_unheld(entry: &Entry) -> bool {
    match &entry.phase {
        Phase::Application { held } => !*held,
        Phase::Inbound(_) => true,
        Phase::Outbound(_)
        | Phase::Refused
        | Phase::Node(_)
        | Phase::PingEcho(_)
        | Phase::PingAsker(_)
        | Phase::PerfServer(_)
        | Phase::PerfClient(_) => false,
    }
}
