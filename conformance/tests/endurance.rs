//! What ten thousand connections leave behind, and what a peer that stops reading holds up. What is
//! counted is the whole process's, so one test runs at a time.

mod runtimes;

use std::alloc::System;
use std::sync::{Mutex, PoisonError};

use runtimes::{on_async_std, on_one_thread_of_smol, on_one_thread_of_tokio, on_smol, on_tokio};
use sanspeer_conformance::contract::endurance::ten_thousand_short_connections_leave_nothing;
use sanspeer_conformance::contract::slow::one_that_stops_reading_delays_nobody;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

static ALONE: Mutex<()> = Mutex::new(());

fn live_bytes() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated.saturating_sub(stats.bytes_deallocated)
}

fn alone(test: impl FnOnce()) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    test();
}

/// A test on a runtime.
macro_rules! on {
    ($test:ident, $case:ident: $($name:ident $run:ident),+) => {
        mod $test {
            use super::*;
            $(#[test]
            fn $name() {
                alone(|| $run(|on| $case(on, live_bytes)));
            })+
        }
    };
}

// A minute or two each, where the machine has something else to do: once for each driver.
on!(ten_thousand_short_connections_leave_no_task_descriptor_or_memory,
    ten_thousand_short_connections_leave_nothing:
    tokio_on_many_threads on_tokio,
    smol_on_many_threads on_smol,
    async_std_itself on_async_std);

on!(one_peer_that_stops_reading_delays_none_of_fifty_others,
    one_that_stops_reading_delays_nobody:
    tokio_on_many_threads on_tokio,
    tokio_on_one_thread on_one_thread_of_tokio,
    smol_on_many_threads on_smol,
    smol_on_one_thread on_one_thread_of_smol,
    async_std_itself on_async_std);
