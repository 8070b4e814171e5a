//! [`KnownAddress`]: where it is from, what came of it, and when it may be dialled again.

use core::time::Duration;

use libp2p_identity::PeerId;

use crate::close::CloseReason;
use crate::node::{DialError, DialFailure};
use crate::time::Timestamp;

/// Where an address is from. Later ones are worth more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Another peer or a protocol said so.
    Protocol,
    /// A name stood for it.
    Lookup,
    /// The peer itself said so.
    Identify,
    /// The peer itself said so, and signed it.
    SignedRecord,
    /// The peer was found there.
    Connected,
    /// The application said so.
    Command,
    /// The operator configured it. It is never pushed out.
    Configured,
}

/// An address of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownAddress {
    /// Where it is from; the most worthy of several.
    pub source: Source,
    /// What came of dialling it.
    pub history: DialHistory,
    /// When it was last heard of.
    pub heard_at: Timestamp,
}

/// What came of dialling an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialHistory {
    /// It was not tried.
    NeverTried,
    /// The last attempt led to a connection that was admitted.
    Connected {
        /// When.
        at: Timestamp,
    },
    /// The last attempt failed.
    Failed {
        /// When.
        at: Timestamp,
        /// So many attempts failed since one did not.
        failures: u32,
        /// Why.
        error: DialError,
    },
}

/// How long an address that failed is left alone: `base` and `step` times the square of the
/// failures before the last one, up to `max`. After go-libp2p.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// After the first failure. Default: 5 s.
    pub base: Duration,
    /// For the square of the failures before. Default: 1 s.
    pub step: Duration,
    /// At most. Default: 5 min.
    pub max: Duration,
    /// At most, for an address that the operator configured: a bootstrap peer that comes late is
    /// to be found soon. Default: 5 s.
    pub max_configured: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff {
            base: Duration::from_secs(5),
            step: Duration::from_secs(1),
            max: Duration::from_secs(300),
            max_configured: Duration::from_secs(5),
        }
    }
}

impl Backoff {
    /// How long an address from `source` is left alone after so many failures in a row.
    pub fn after(&self, failures: u32, source: Source) -> Duration {
        let max = match source {
            Source::Configured => self.max_configured.min(self.max),
            Source::Protocol
            | Source::Lookup
            | Source::Identify
            | Source::SignedRecord
            | Source::Connected
            | Source::Command => self.max,
        };
        let before = failures.saturating_sub(1);
        let grown = self.step.saturating_mul(before.saturating_mul(before));
        self.base.saturating_add(grown).min(max)
    }
}

impl KnownAddress {
    pub(super) fn new(source: Source, now: Timestamp) -> Self {
        KnownAddress { source, history: DialHistory::NeverTried, heard_at: now }
    }

    /// How many attempts failed since one did not.
    pub fn failures(&self) -> u32 {
        match self.history {
            DialHistory::NeverTried | DialHistory::Connected { .. } => 0,
            DialHistory::Failed { failures, .. } => failures,
        }
    }

    /// Whether the last attempt led to a connection.
    pub fn is_proven(&self) -> bool {
        matches!(self.history, DialHistory::Connected { .. })
    }

    pub(super) fn connected(&mut self, now: Timestamp) {
        self.source = self.source.max(Source::Connected);
        self.history = DialHistory::Connected { at: now };
    }

    pub(super) fn failed(&mut self, now: Timestamp, error: DialError) {
        let failures = self.failures().saturating_add(1);
        self.history = DialHistory::Failed { at: now, failures, error };
    }

    /// What it is worth beside others of the same peer; the least is pushed out first.
    pub(super) fn worth(&self) -> impl Ord + use<> {
        let is_configured = self.source == Source::Configured;
        (is_configured, self.is_proven(), self.failures() == 0, self.source, self.heard_at)
    }
}

/// Who was found where another peer was dialled, if that is why a dial failed.
pub fn found_instead(error: &DialError) -> Option<PeerId> {
    if let DialError::Failed(DialFailure::WrongPeer { found })
    | DialError::Closed(CloseReason::WrongPeer { found, .. }) = error
    {
        return Some(**found);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_grows_with_the_square_of_the_failures_up_to_five_minutes() {
        let backoff = Backoff::default();
        let seconds: Vec<_> = [1, 2, 3, 4, 5, 18, 19, u32::MAX]
            .map(|failures| backoff.after(failures, Source::Identify).as_secs())
            .into();
        assert_eq!(seconds, [5, 6, 9, 14, 21, 294, 300, 300]);
        for failures in 0..1000 {
            let source = Source::Protocol;
            assert!(backoff.after(failures, source) <= backoff.after(failures + 1, source));
        }
        assert_eq!(backoff.after(1000, Source::Configured), Duration::from_secs(5));
    }
}
