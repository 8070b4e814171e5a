//! `sanspeer`: a libp2p node for chain networks.
//!
//! - [`cli`]: what can be typed; [`commands`]: what each command does;
//! - [`config`]: from flags, environment, file and defaults to checked [`config::Settings`];
//! - [`identity`]: the key file; [`private_file`]: files for their owner alone;
//! - [`setup`]: what a node is started with; [`occasion`]: one that is started for a command;
//!   [`bootstrap`]: peers that are kept connected;
//! - [`pubsub`]: messages of topics, published and heard; [`output`] and [`signals`]: how what is heard
//!   is printed, and what ends it;
//! - [`events`] and [`log`]: what a running node tells whoever runs it;
//! - [`admin`]: what it tells other commands.
#![forbid(unsafe_code)]

mod admin;
mod bootstrap;
mod cli;
mod commands;
mod config;
mod error;
mod events;
mod identity;
mod log;
mod occasion;
mod output;
mod private_file;
mod pubsub;
mod setup;
mod signals;

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
