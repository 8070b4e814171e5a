//! The process's allocator, counted.
//!
//! Counting costs two or three atomic additions an allocation, for every
//! contender alike.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Totals since the process started.
#[derive(Clone, Copy, Debug)]
pub struct HeapTotals {
    /// Calls that allocated or reallocated.
    pub allocations: u64,
    pub allocated_bytes: u64,
    freed_bytes: u64,
}

impl HeapTotals {
    pub fn now() -> Self {
        let stats = ALLOCATOR.stats();
        Self {
            allocations: (stats.allocations + stats.reallocations) as u64,
            allocated_bytes: stats.bytes_allocated as u64,
            freed_bytes: stats.bytes_deallocated as u64,
        }
    }

    /// By how much the bytes that were asked for and not given back grew since
    /// `before`. What the allocator itself adds to each block (16 bytes or so)
    /// is not in it.
    pub fn growth_since(self, before: Self) -> f64 {
        let allocated_bytes = self.allocated_bytes - before.allocated_bytes;
        let freed_bytes = self.freed_bytes - before.freed_bytes;
        allocated_bytes as f64 - freed_bytes as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_totals_of_growing_and_freed_buffers() {
        let before = HeapTotals::now();
        let mut buffer = Vec::<u8>::with_capacity(1 << 20);
        buffer.reserve_exact(3 << 20);
        let grown = HeapTotals::now();
        // Other tests run beside this one, hence no equality.
        assert!(grown.allocated_bytes - before.allocated_bytes >= 3 << 20);
        drop(buffer);
        assert!(HeapTotals::now().freed_bytes - before.freed_bytes >= 3 << 20);
    }
}
