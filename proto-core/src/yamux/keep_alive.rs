//! Pings: whether the remote is alive, and how long a round trip takes.

use core::time::Duration;

use crate::time::{Deadline, DeadlineReason, Timestamp};

/// A round trip older than this is measured anew while windows are being granted.
const RTT_MAX_AGE: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug)]
struct Asked {
    value: u32,
    at: Timestamp,
}

#[derive(Debug)]
pub(super) struct KeepAlive {
    received_at: Timestamp,
    asked: Option<Asked>,
    measured_at: Timestamp,
    rtt: Option<Duration>,
    next_value: u32,
}

impl KeepAlive {
    pub(super) fn new(now: Timestamp) -> Self {
        KeepAlive { received_at: now, asked: None, measured_at: now, rtt: None, next_value: 1 }
    }

    pub(super) fn received(&mut self, now: Timestamp) {
        self.received_at = now;
    }

    pub(super) fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// Begins a measurement and returns the ping's value, unless one is under way.
    pub(super) fn ask(&mut self, now: Timestamp) -> Option<u32> {
        if self.asked.is_some() {
            return None;
        }
        let value = self.next_value;
        self.next_value = self.next_value.wrapping_add(1);
        self.asked = Some(Asked { value, at: now });
        Some(value)
    }

    /// Begins a measurement if the last one is missing or old.
    pub(super) fn refresh_rtt(&mut self, now: Timestamp) -> Option<u32> {
        let fresh = self.rtt.is_some() && now.saturating_since(self.measured_at) < RTT_MAX_AGE;
        if fresh { None } else { self.ask(now) }
    }

    /// Takes an answer; one that was not asked for is ignored.
    pub(super) fn answered(&mut self, value: u32, now: Timestamp) {
        if let Some(asked) = self.asked
            && asked.value == value
        {
            self.asked = None;
            self.measured_at = now;
            self.rtt = Some(now.saturating_since(asked.at));
        }
    }

    pub(super) fn is_due(&self, now: Timestamp, interval: Duration) -> bool {
        self.asked.is_none() && now >= self.received_at.saturating_add(interval)
    }

    /// Whether a ping went unanswered and nothing else came since either.
    pub(super) fn timed_out(&self, now: Timestamp, timeout: Duration) -> bool {
        self.asked
            .is_some_and(|asked| now >= asked.at.max(self.received_at).saturating_add(timeout))
    }

    pub(super) fn deadline(&self, interval: Duration, timeout: Duration) -> Deadline {
        match self.asked {
            Some(asked) => Deadline::new(
                asked.at.max(self.received_at).saturating_add(timeout),
                DeadlineReason::KeepAliveTimeout,
            ),
            None => {
                Deadline::new(self.received_at.saturating_add(interval), DeadlineReason::KeepAlive)
            }
        }
    }
}
