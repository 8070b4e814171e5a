//! What each command does.

mod config;
mod key;
mod measure;
mod publish;
mod start;
mod status;
mod subscribe;

use std::future::Future;

use tokio::runtime::Runtime;

use crate::cli::{Cli, Command, Common, Spelling};
use crate::config::{ConfigFile, Settings, overridden};
use crate::error::Error;

/// Runs a command.
pub(crate) fn run(Cli { common, command }: Cli) -> Result<(), Error> {
    let (Spelling::Short(command) | Spelling::P2p(command)) = command;
    match command {
        Command::Start(args) => start::run(&common, &args),
        Command::Status { json } => status::run(&common, json),
        Command::Config(args) => config::run(&common, &args),
        Command::Key(command) => key::run(&common, &command),
        Command::Pub(args) => publish::run(&common, &args),
        Command::Sub(args) => subscribe::run(&common, &args),
        Command::Ping { address, count } => measure::ping(address, count),
        Command::Perf { address, upload, download } => measure::perf(address, upload, download),
    }
}

/// What is in force, from flags, environment, file and defaults: as it is spelt, and checked.
fn in_force(common: &Common, file: &ConfigFile) -> Result<(ConfigFile, Settings), Error> {
    let environment = |name: &str| std::env::var(name).ok();
    let config = overridden(file, environment, &common.set)?;
    let settings = Settings::check(&config, &common.data)?;
    Ok((config, settings))
}

/// Runs `future` on a tokio runtime of its own.
fn on_tokio<T>(future: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    runtime()?.block_on(future)
}

fn runtime() -> Result<Runtime, Error> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::Runtime)
}
