//! See `sanspeer_fuzz::gossip_rpc`.
#![no_main]

/// Counts what is allocated, which the run asserts on.
#[global_allocator]
static ALLOCATOR: &stats_alloc::StatsAlloc<std::alloc::System> = &stats_alloc::INSTRUMENTED_SYSTEM;

libfuzzer_sys::fuzz_target!(|input: sanspeer_fuzz::gossip_rpc::Input| {
    sanspeer_fuzz::gossip_rpc::run(&input)
});
