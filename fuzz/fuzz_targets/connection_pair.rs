//! See `sanspeer_fuzz::connection_pair`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: sanspeer_fuzz::connection_pair::Input| {
    sanspeer_fuzz::connection_pair::run(&input)
});
