//! What a piece of work took: time by two clocks, and heap traffic.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use crate::allocator::HeapTotals;

/// Which of the two clocks the tables use.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// CPU time of the one thread that does the work: what other processes
    /// take from the core is not in it.
    Cpu,
    Wall,
}

/// What one measurement cost.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Cost {
    #[serde(rename = "wall_s", serialize_with = "as_seconds")]
    pub wall: Duration,
    #[serde(rename = "cpu_s", serialize_with = "as_seconds")]
    pub cpu: Duration,
    pub allocations: u64,
    pub allocated_bytes: u64,
}

impl Cost {
    pub fn by(&self, clock: Clock) -> Duration {
        match clock {
            Clock::Cpu => self.cpu,
            Clock::Wall => self.wall,
        }
    }

    /// The cost of `wanted` units, when this is the cost of `done` units.
    pub fn scaled(self, wanted: u64, done: u64) -> Self {
        let share = wanted as f64 / done as f64;
        Self {
            wall: self.wall.mul_f64(share),
            cpu: self.cpu.mul_f64(share),
            allocations: (self.allocations as f64 * share) as u64,
            allocated_bytes: (self.allocated_bytes as f64 * share) as u64,
        }
    }
}

impl std::ops::AddAssign for Cost {
    fn add_assign(&mut self, more: Self) {
        self.wall += more.wall;
        self.cpu += more.cpu;
        self.allocations += more.allocations;
        self.allocated_bytes += more.allocated_bytes;
    }
}

/// A running measurement.
#[must_use]
pub struct Meter {
    heap: HeapTotals,
    cpu: Duration,
    wall: Instant,
}

impl Meter {
    pub fn start() -> Self {
        Self { heap: HeapTotals::now(), cpu: thread_cpu_time(), wall: Instant::now() }
    }

    pub fn stop(self) -> Cost {
        let (wall, cpu, heap) = (self.wall.elapsed(), thread_cpu_time(), HeapTotals::now());
        Cost {
            wall,
            cpu: cpu.saturating_sub(self.cpu),
            allocations: heap.allocations - self.heap.allocations,
            allocated_bytes: heap.allocated_bytes - self.heap.allocated_bytes,
        }
    }
}

fn thread_cpu_time() -> Duration {
    // The kernel gives two non-negative numbers for this clock.
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}

fn as_seconds<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}
