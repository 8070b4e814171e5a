//! Yamux: two sessions against plain counters, or one against a remote that says anything.
//!
//! - [`pair`]: two sessions and a transport that cuts and delays; contents, ends and wake-ups are
//!   compared with what was written;
//! - [`hostile`]: frames of any kind, in any order, into one session;
//! - [`wire`]: watches what a session sends, and asserts what must hold there at every step.

pub mod hostile;
pub mod pair;
mod wire;

use arbitrary::{Arbitrary, Result, Unstructured};

use crate::script::Script;

/// One of the two.
#[derive(Clone, Debug)]
pub enum Input {
    /// An even first byte.
    Pair(Script<pair::Operation>),
    /// An odd first byte.
    Hostile(Script<hostile::Operation>),
}

impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        match u.peek_bytes(1).is_some_and(|first| first[0] & 1 == 1) {
            false => Script::arbitrary(u).map(Input::Pair),
            true => Script::arbitrary(u).map(Input::Hostile),
        }
    }
}

/// Runs one input.
pub fn run(input: &Input) {
    match input {
        Input::Pair(script) => pair::run(script),
        Input::Hostile(script) => hostile::run(script),
    }
}
