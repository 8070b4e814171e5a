//! Vectors, interoperation and contract suites for sanspeer.
//!
//! - [`mod@contract`]: what every driver must do, whatever its runtime.

pub mod contract;
