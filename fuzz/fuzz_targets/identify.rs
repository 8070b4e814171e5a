//! See `sanspeer_fuzz::identify`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: sanspeer_fuzz::identify::Input| {
    sanspeer_fuzz::identify::run(&input)
});
