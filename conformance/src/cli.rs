//! [`Cli`]: what can be typed.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::peer::{self, PeerCommand};
use crate::replay;

/// The exit code of a command line that makes no sense.
const EXIT_USAGE: u8 = 2;

/// Tries peers against each other.
#[derive(Debug, Parser)]
#[command(name = "sanspeer-conformance", version, arg_required_else_help = false)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// One peer: answers another implementation, or dials it and checks what it answers
    #[command(subcommand, arg_required_else_help = false)]
    Peer(PeerCommand),
    /// Replays the logs of eight nodes into fresh Nodes; prints a line of JSON for each
    Replay {
        /// Where the logs are
        folder: PathBuf,
    },
}

/// Runs the program with the arguments that it was given.
pub fn main() -> ExitCode {
    run(std::env::args_os())
}

/// Runs the program. What is wrong is one line on stderr.
fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let done = match cli.command {
        Command::Peer(command) => peer::run(command).map_err(|error| error.to_string()),
        Command::Replay { folder } => replay::run(&folder).map_err(|error| error.to_string()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Help and the version are answers; anything else is a mistake.
fn refuse(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        print!("{error}");
        return ExitCode::SUCCESS;
    }
    eprintln!("{}", one_line(&error.to_string()));
    ExitCode::from(EXIT_USAGE)
}

/// The first paragraph, which says what is wrong; clap goes on with how to use the program.
fn one_line(complaint: &str) -> String {
    let paragraph = complaint.lines().map(str::trim).take_while(|line| !line.is_empty());
    paragraph.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(arguments: &[&str]) -> String {
        let arguments = ["sanspeer-conformance"].iter().chain(arguments);
        one_line(&Cli::try_parse_from(arguments).expect_err("a mistake").to_string())
    }

    #[test]
    fn a_mistake_is_one_line_that_names_it() {
        for (arguments, named) in [
            (&[][..], "subcommand"),
            (&["peer"], "listen"),
            (&["peer", "listen", "--loud"], "--loud"),
            (&["peer", "listen", "--transport", "pigeon"], "pigeon"),
            (&["peer", "dial", "/ip4/127.0.0.1/tcp/1", "--do", "ping,dance"], "dance"),
            (&["peer", "dial", "nowhere", "--do", "ping"], "nowhere"),
            (&["peer", "dial", "/ip4/127.0.0.1/tcp/1"], "--do"),
            (&["peer", "dial", "--do", "ping"], "<ADDR>"),
            (
                &["peer", "dial", "/ip4/127.0.0.1/tcp/1", "--do", "echo", "--streams", "0"],
                "--streams",
            ),
        ] {
            let complaint = complaint(arguments);
            assert!(complaint.starts_with("error: ") && complaint.contains(named), "{complaint}");
            assert!(!complaint.contains('\n'), "{complaint}");
        }
    }

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }
}
