//! Time as an input: [`Timestamp`] and [`Deadline`].
//!
//! The core never reads a clock. A driver measures nanoseconds since an epoch of its own choosing
//! (usually its start) and passes them in; a simulator passes whatever it likes.

use core::time::Duration;

use serde::{Deserialize, Serialize};

/// Nanoseconds since the driver's epoch. All arithmetic saturates: a `u64` of nanoseconds lasts
/// 584 years, and a remote that names a larger duration gets the end of time instead of a panic.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The driver's epoch.
    pub const ZERO: Timestamp = Timestamp(0);
    /// The end of time; a deadline there never fires.
    pub const MAX: Timestamp = Timestamp(u64::MAX);

    /// A time `millis` milliseconds after the epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Timestamp(millis.saturating_mul(1_000_000))
    }

    /// A time `secs` seconds after the epoch.
    pub const fn from_secs(secs: u64) -> Self {
        Timestamp(secs.saturating_mul(1_000_000_000))
    }

    /// `self + duration`, or [`Timestamp::MAX`].
    pub fn saturating_add(self, duration: Duration) -> Self {
        Timestamp(self.0.saturating_add(nanos(duration)))
    }

    /// How long ago `earlier` was; zero when it is not earlier.
    pub fn saturating_since(self, earlier: Timestamp) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A machine's clock: the latest time that it was told, never going back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock(Timestamp);

impl Clock {
    /// A clock that starts at `now`.
    pub fn new(now: Timestamp) -> Self {
        Clock(now)
    }

    /// Takes the time of an input, clamped so that it does not go back, and returns it.
    pub fn advance(&mut self, now: Timestamp) -> Timestamp {
        self.0 = self.0.max(now);
        self.0
    }

    /// The latest time that came in.
    pub fn now(&self) -> Timestamp {
        self.0
    }
}

/// When a machine wants `handle_timeout` to be called, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Deadline {
    /// The time at or after which `handle_timeout` should be called.
    pub at: Timestamp,
    /// What happens then.
    pub reason: DeadlineReason,
}

impl Deadline {
    /// A deadline at `at`.
    pub fn new(at: Timestamp, reason: DeadlineReason) -> Self {
        Deadline { at, reason }
    }

    /// The earlier of two optional deadlines.
    pub fn earlier(a: Option<Deadline>, b: Option<Deadline>) -> Option<Deadline> {
        match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, None) => a,
            (None, b) => b,
        }
    }
}

/// Why a [`Deadline`] exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DeadlineReason {
    /// Security and muxer must be negotiated by then.
    Handshake,
    /// Node must have admitted or refused the connection by then.
    Admission,
    /// A stream's protocol must be negotiated by then.
    StreamNegotiation,
    /// The muxer asks whether the remote is alive, or measures the round trip.
    KeepAlive,
    /// The remote must have answered the muxer's ping by then.
    KeepAliveTimeout,
    /// Connection asks `/ipfs/ping/1.0.0`.
    Ping,
    /// The remote must have answered the ping by then.
    PingTimeout,
    /// Unread streams that nobody holds are reset.
    ReceiveStall,
    /// Buffers and leases that were not used are given back, and unused connections closed.
    Idle,
    /// A closing connection has flushed, or is cut off.
    Linger,
    /// QUIC's own timers: loss, pacing, acknowledgements, keep-alive, idle timeout, draining.
    Quic,
    /// A protocol of Node's waits for time, or for its turn.
    Protocol,
    /// A connection tells Node what the application uses.
    Usage,
    /// Identify asks a peer again, or pushes what changed.
    Identify,
    /// A stream of identify must have ended by then.
    IdentifyTimeout,
    /// An address that is dialled must have led to a connection by then, or a name must have been
    /// looked up.
    DialAttempt,
    /// The next address of a peer is dialled beside those that did not answer yet.
    DialNext,
    /// Node looks whether enough peers are connected.
    Replenish,
    /// Gossip looks after its meshes.
    Heartbeat,
    /// The application must have given its verdict on a message by then.
    Verdict,
}

impl core::fmt::Display for DeadlineReason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            DeadlineReason::Handshake => "handshake",
            DeadlineReason::Admission => "admission",
            DeadlineReason::StreamNegotiation => "stream negotiation",
            DeadlineReason::KeepAlive => "keep-alive",
            DeadlineReason::KeepAliveTimeout => "keep-alive answer",
            DeadlineReason::Ping => "ping",
            DeadlineReason::PingTimeout => "ping answer",
            DeadlineReason::ReceiveStall => "unread streams",
            DeadlineReason::Idle => "idle",
            DeadlineReason::Linger => "flushing at the end",
            DeadlineReason::Quic => "quic",
            DeadlineReason::Protocol => "a protocol",
            DeadlineReason::Usage => "report of use",
            DeadlineReason::Identify => "identify",
            DeadlineReason::IdentifyTimeout => "identify answer",
            DeadlineReason::DialAttempt => "dial",
            DeadlineReason::DialNext => "next address to dial",
            DeadlineReason::Replenish => "look at how many are connected",
            DeadlineReason::Heartbeat => "heartbeat",
            DeadlineReason::Verdict => "verdict",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        assert_eq!(Timestamp::MAX.saturating_add(Duration::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::ZERO.saturating_since(Timestamp::MAX), Duration::ZERO);
        assert_eq!(Timestamp::from_secs(u64::MAX), Timestamp::MAX);
        assert_eq!(
            Timestamp::from_secs(2).saturating_since(Timestamp::from_millis(500)),
            Duration::from_millis(1500)
        );
    }

    #[test]
    fn a_clock_never_goes_back() {
        let mut clock = Clock::new(Timestamp(5));
        assert_eq!(clock.advance(Timestamp(3)), Timestamp(5));
        assert_eq!(clock.advance(Timestamp(9)), Timestamp(9));
        assert_eq!(clock.now(), Timestamp(9));
    }
}
