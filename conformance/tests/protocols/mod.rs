//! What both roles share: transports, protocol names, the pattern, and the counters of a report.

mod transport;

use std::sync::{Condvar, LazyLock, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use libp2p::StreamProtocol;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

#[allow(unused_imports, reason = "each test crate that includes this uses a part of it")]
pub(crate) use transport::{Transport, over_transports, socket_addr};

pub(crate) const ECHO: StreamProtocol = StreamProtocol::new("/interop/echo/1.0.0");
pub(crate) const CHECKSUM: StreamProtocol = StreamProtocol::new("/interop/checksum/1.0.0");
pub(crate) const DUPLEX: StreamProtocol = StreamProtocol::new("/interop/duplex/1.0.0");
pub(crate) const RESET_ME: StreamProtocol = StreamProtocol::new("/interop/reset-me/1.0.0");
pub(crate) const EXPECT_RESET: StreamProtocol = StreamProtocol::new("/interop/expect-reset/1.0.0");
pub(crate) const REPORT: StreamProtocol = StreamProtocol::new("/interop/report/1.0.0");

/// Every protocol that the peer accepts.
pub(crate) const ALL: [StreamProtocol; 6] =
    [ECHO, CHECKSUM, DUPLEX, RESET_ME, EXPECT_RESET, REPORT];

/// The pattern repeats after so many bytes: only the low 16 bits of an index reach a byte.
const PATTERN_PERIOD_BYTES: u64 = 1 << 16;

static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(|| {
    (0..PATTERN_PERIOD_BYTES)
        .map(|i| i.wrapping_mul(31).wrapping_add(i >> 8).to_le_bytes()[0])
        .collect()
});

/// A run of the pattern that starts at `at` and ends before `end`; not empty while `at < end`.
pub(crate) fn pattern(at: u64, end: u64) -> &'static [u8] {
    let start = at % PATTERN_PERIOD_BYTES;
    let stop = PATTERN_PERIOD_BYTES.min(start.saturating_add(end.saturating_sub(at)));
    let index = |n: u64| usize::try_from(n).expect("the period fits every usize");
    &PATTERN[index(start)..index(stop)]
}

/// Length and SHA-256 of what was read so far.
pub(crate) struct Received {
    bytes: u64,
    hash: Sha256,
}

impl Received {
    pub(crate) fn new() -> Self {
        Received { bytes: 0, hash: Sha256::new() }
    }

    pub(crate) fn update(&mut self, data: &[u8]) {
        self.bytes += data.len() as u64;
        self.hash.update(data);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn sha256(self) -> [u8; 32] {
        self.hash.finalize().into()
    }

    /// Whether this is the first `expected_bytes` of the pattern.
    pub(crate) fn check_pattern(self, expected_bytes: u64) -> Result<(), String> {
        if self.bytes != expected_bytes {
            return Err(format!("received {} bytes of {expected_bytes}", self.bytes));
        }
        if self.sha256() != pattern_sha256(expected_bytes) {
            return Err(format!("{expected_bytes} received bytes are not the pattern"));
        }
        Ok(())
    }
}

/// SHA-256 of the first `bytes` of the pattern.
pub(crate) fn pattern_sha256(bytes: u64) -> [u8; 32] {
    let mut whole = Received::new();
    while whole.bytes < bytes {
        whole.update(pattern(whole.bytes, bytes));
    }
    whole.sha256()
}

/// What the acceptor side saw since it started; the JSON of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Counters {
    pub(crate) resets_seen: u64,
    pub(crate) half_closes_seen: u64,
    pub(crate) streams_accepted: u64,
    pub(crate) max_concurrent: u64,
    pub(crate) bytes_received: u64,
    pub(crate) failures: u64,
}

/// The counters with their lock, and a way to wait until they say something.
#[derive(Debug, Default)]
pub(crate) struct SharedCounters {
    state: Mutex<CounterState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct CounterState {
    counters: Counters,
    concurrent: u64,
    last_failure: Option<String>,
}

impl SharedCounters {
    fn lock(&self) -> MutexGuard<'_, CounterState> {
        self.state.lock().expect("no panic while the counters are locked")
    }

    fn change(&self, f: impl FnOnce(&mut CounterState)) {
        f(&mut self.lock());
        self.changed.notify_all();
    }

    pub(crate) fn accepted(&self) {
        self.change(|s| {
            s.counters.streams_accepted += 1;
            s.concurrent += 1;
            s.counters.max_concurrent = s.counters.max_concurrent.max(s.concurrent);
        });
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.change(|s| s.counters.bytes_received += bytes as u64);
    }

    pub(crate) fn half_close_seen(&self) {
        self.change(|s| s.counters.half_closes_seen += 1);
    }

    pub(crate) fn reset_seen(&self) {
        self.change(|s| s.counters.resets_seen += 1);
    }

    pub(crate) fn ended(&self, result: Result<(), String>) {
        self.change(|s| {
            s.concurrent -= 1;
            if let Err(failure) = result {
                s.counters.failures += 1;
                s.last_failure = Some(failure);
            }
        });
    }

    pub(crate) fn snapshot(&self) -> Counters {
        self.lock().counters
    }

    /// Why the last accepted stream failed that did.
    pub(crate) fn last_failure(&self) -> Option<String> {
        self.lock().last_failure.clone()
    }

    /// Waits until `reached` holds of the counters and of the number of streams that are being
    /// served; the error shows them at the deadline.
    pub(crate) fn wait_for(
        &self,
        deadline: Duration,
        reached: impl Fn(&Counters, u64) -> bool,
    ) -> Result<Counters, String> {
        let until = Instant::now() + deadline;
        let mut state = self.lock();
        while !reached(&state.counters, state.concurrent) {
            let Some(left) = until.checked_duration_since(Instant::now()) else {
                return Err(format!("not reached after {deadline:?}: {state:?}"));
            };
            let waited = self.changed.wait_timeout(state, left);
            state = waited.expect("no panic while the counters are locked").0;
        }
        Ok(state.counters)
    }
}
