//! [`Epoch`]: our time as the time of `quinn_proto`, and back.
#![allow(
    clippy::disallowed_types,
    reason = "quinn_proto takes Instants; none is read from a clock"
)]

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::time::Timestamp;

/// The latest time that has an `Instant`, about 146 years after the epoch, whatever the platform.
const MAX_NANOS: u64 = u64::MAX / 4;

/// The driver's epoch. It only anchors differences: no output depends on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Epoch(pub(super) Instant);

impl Epoch {
    pub(super) fn instant(self, at: Timestamp) -> Instant {
        self.0.checked_add(Duration::from_nanos(at.0.min(MAX_NANOS))).unwrap_or(self.0)
    }

    pub(super) fn timestamp(self, at: Instant) -> Timestamp {
        Timestamp::ZERO.saturating_add(at.saturating_duration_since(self.0))
    }
}

/// The time for retry tokens, which live for seconds and within one endpoint: the driver's time
/// as if its epoch was 1970.
#[derive(Debug, Default)]
pub(super) struct TokenClock(AtomicU64);

impl TokenClock {
    pub(super) fn set(&self, now: Timestamp) {
        self.0.store(now.0, Ordering::Relaxed);
    }
}

impl quinn_proto::TimeSource for TokenClock {
    fn now(&self) -> SystemTime {
        let nanos = self.0.load(Ordering::Relaxed).min(MAX_NANOS);
        UNIX_EPOCH.checked_add(Duration::from_nanos(nanos)).unwrap_or(UNIX_EPOCH)
    }
}
