//! Two whole connections, each with an application and a Node, over a transport that cuts,
//! delays, changes and loses bytes.
//!
//! - [`operation`]: what can happen;
//! - `end`: one connection and what its application and its Node know, with their assertions;
//! - `pair`: both, the transport and the time.
//!
//! Every input runs twice: the bytes on the wire and all that was told must be the same.

mod end;
pub mod operation;
mod pair;

use self::operation::Operation;
use self::pair::Pair;
use crate::script::Script;

/// A script; [`operation::Settings`] says what its settings mean.
pub type Input = Script<Operation>;

/// Runs one input.
pub fn run(input: &Input) {
    let first = Pair::new(input.settings).run(&input.operations);
    let second = Pair::new(input.settings).run(&input.operations);
    assert_eq!(first, second, "the same input gave other bytes");
}
