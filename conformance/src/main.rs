//! `sanspeer-conformance`: tries peers against each other, from a command line.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    sanspeer_conformance::cli::main()
}
