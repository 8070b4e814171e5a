//! Vectors, interoperation and contract suites for sanspeer.
//!
//! - [`mod@contract`]: what every driver must do, whatever its runtime;
//! - [`peer`]: a peer that other implementations are tried against, over any driver;
//! - [`cli`]: what can be typed, for the program `sanspeer-conformance`.

pub mod cli;
pub mod contract;
pub mod peer;
