//! See `sanspeer_fuzz::quic_pair`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: sanspeer_fuzz::quic_pair::Input| {
    sanspeer_fuzz::quic_pair::run(&input)
});
