//! See `sanspeer_fuzz::tls`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: sanspeer_fuzz::tls::Input| sanspeer_fuzz::tls::run(&input));
