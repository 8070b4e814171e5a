//! See `sanspeer_fuzz::envelope`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: sanspeer_fuzz::envelope::Input| {
    sanspeer_fuzz::envelope::run(&input)
});
