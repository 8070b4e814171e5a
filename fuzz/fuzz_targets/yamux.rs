//! See `sanspeer_fuzz::yamux`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: sanspeer_fuzz::yamux::Input| sanspeer_fuzz::yamux::run(&input));
