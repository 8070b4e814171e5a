//! Vectors, interoperation and contract suites for sanspeer.
//!
//! - [`mod@contract`]: what every driver must do, whatever its runtime;
//! - [`replay`]: the replay of what nodes logged;
//! - [`stepped`]: virtual time under a real runtime, and scripts that play in it;
//! - [`peer`]: a peer that other implementations are tried against, over any driver;
//! - [`cli`]: what can be typed, for the program `sanspeer-conformance`.

pub mod cli;
pub mod contract;
pub mod peer;
pub mod replay;
pub mod stepped;
