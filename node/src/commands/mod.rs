//! What each command does.

mod config;
mod key;

use crate::cli::{Cli, Command, Common, Spelling};
use crate::config::{ConfigFile, Settings, overridden};
use crate::error::Error;

/// Runs a command.
pub(crate) fn run(Cli { common, command }: Cli) -> Result<(), Error> {
    let (Spelling::Short(command) | Spelling::P2p(command)) = command;
    match command {
        Command::Config(args) => config::run(&common, &args),
        Command::Key(command) => key::run(&common, &command),
    }
}

/// What is in force, from flags, environment, file and defaults: as it is spelt, and checked.
fn in_force(common: &Common, file: &ConfigFile) -> Result<(ConfigFile, Settings), Error> {
    let environment = |name: &str| std::env::var(name).ok();
    let config = overridden(file, environment, &common.set)?;
    let settings = Settings::check(&config, &common.data)?;
    Ok((config, settings))
}
