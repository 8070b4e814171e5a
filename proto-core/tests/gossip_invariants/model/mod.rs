//! One [`Gossip`](sanspeer_core::gossip::Gossip) under any inputs, and what must hold at every step.
//!
//! - [`Settings`]: the machine's numbers and its clock, from four bytes;
//! - [`Step`]: what happens, from four bytes each: what peers say, what connections and Node do,
//!   what the application wants, and time;
//! - [`samples`]: messages that peers send, good and bad ones;
//! - [`Rig`]: carries out steps, with what Node and connections keep;
//! - `said`: what peers say, as bytes and as the ledger has it;
//! - `ledger`: what is known of peers and messages by what went in and came out, and not by asking
//!   the machine; `sent`: looks at every frame that leaves; `checks`: the invariants.
//!
//! Needs nothing but the core, so that the fuzz target shares it.
#![allow(dead_code, unreachable_pub, reason = "each user takes a part of it")]

mod checks;
mod ledger;
mod rig;
mod said;
mod samples;
mod sent;
mod settings;
mod step;

pub use rig::{Log, Rig};
pub use settings::Settings;
pub use step::{Part, Step};

/// Carries out `steps`, checking after each, and returns all that the machine wanted and told.
pub fn run(settings: [u8; 4], steps: &[Step]) -> Log {
    let mut rig = Rig::new(Settings::decode(settings));
    for step in steps {
        rig.step(*step);
    }
    rig.finish()
}

/// The same twice: one seed and the same inputs give the same outputs.
pub fn run_twice(settings: [u8; 4], steps: &[Step]) {
    let (once, again) = (run(settings, steps), run(settings, steps));
    assert!(once == again, "two runs differ");
}

/// So many peers are in the first two topics, and so are we.
pub fn meeting(peers: u8, roles: u8, version: u8) -> Vec<Step> {
    let mut steps = vec![Step::Join { topic: 0 }, Step::Join { topic: 1 }];
    for peer in 0..peers {
        let how = if peer % 2 == 0 { 0 } else { version % 6 };
        steps.extend([
            Step::Connect { peer, role: roles >> (peer % 8), address: peer },
            Step::Answer { which: 0, how },
            Step::Say { peer, more: true, what: Part::Subscribe { topic: 0 } },
            Step::Say { peer, more: false, what: Part::Subscribe { topic: 1 } },
        ]);
    }
    steps
}
