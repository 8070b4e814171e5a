//! `sanspeer-replay FOLDER`: replays the logs of eight nodes into fresh Nodes, and prints a line of
//! JSON for each.
#![forbid(unsafe_code)]

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1) else {
        eprintln!("usage: sanspeer-replay FOLDER");
        return ExitCode::FAILURE;
    };
    match sanspeer_conformance::replay::run(Path::new(&folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
