//! Vectors, interoperation and contract suites for sanspeer.
//!
//! - [`contract`]: what every driver must do, whatever its runtime.

pub mod contract;
