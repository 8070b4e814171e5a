//! See `sanspeer_fuzz::multistream`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: sanspeer_fuzz::multistream::Input| {
    sanspeer_fuzz::multistream::run(&input)
});
