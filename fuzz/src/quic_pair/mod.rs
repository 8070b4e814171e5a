//! Two QUIC endpoints and a connection between them, over a link in virtual time that loses,
//! delays, repeats and changes datagrams, and brings some that nobody sent.
//!
//! - [`operation`]: what can happen;
//! - `end`: one connection and what its application knows, with their assertions;
//! - `node`: an endpoint with its connections;
//! - `link`: what is on its way;
//! - `pair`: both, and the time.

mod end;
mod link;
mod node;
pub mod operation;
mod pair;

use self::operation::{Operation, Settings};
use self::pair::Pair;
use crate::script::Script;

/// A script; [`Settings`] says what its settings mean.
pub type Input = Script<Operation>;

/// Polling anything takes fewer turns than this, or does not end.
const MAX_TURNS: usize = 20_000;

/// Runs one input.
pub fn run(input: &Input) {
    let settings = Settings::decode(input.settings);
    let first = Pair::new(settings).run(&input.operations);
    if settings.twice {
        let second = Pair::new(settings).run(&input.operations);
        assert_eq!(first, second, "the same input gave other datagrams");
    }
}
