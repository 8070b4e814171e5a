//! See `sanspeer_fuzz::noise_payload`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: sanspeer_fuzz::noise_payload::Input| {
    sanspeer_fuzz::noise_payload::run(&input)
});
