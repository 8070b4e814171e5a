//! `sanspeer`: a libp2p node for chain networks.
//!
//! - [`cli`]: what can be typed;
//! - [`config`]: from flags, environment, file and defaults to checked [`config::Settings`];
//! - [`identity`]: who the node is: its key file;
//! - [`commands`]: what each command does.
#![forbid(unsafe_code)]

mod cli;
mod commands;
mod config;
mod error;
mod identity;
mod private_file;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match commands::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
