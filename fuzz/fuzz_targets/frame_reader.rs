//! See `sanspeer_fuzz::frame_reader`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: sanspeer_fuzz::frame_reader::Input| {
    sanspeer_fuzz::frame_reader::run(&input)
});
