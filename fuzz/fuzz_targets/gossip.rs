//! See `sanspeer_fuzz::gossip_machine`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: sanspeer_fuzz::gossip_machine::Input| {
    sanspeer_fuzz::gossip_machine::run(&input)
});
