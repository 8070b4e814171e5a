//! See `sanspeer_fuzz::certificate`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: sanspeer_fuzz::certificate::Input| {
    sanspeer_fuzz::certificate::run(&input)
});
