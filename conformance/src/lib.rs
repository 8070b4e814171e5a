//! Vectors, interoperation and contract suites for sanspeer.
#![forbid(unsafe_code)]
