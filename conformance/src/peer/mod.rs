//! A peer that other implementations are tried against, and that tries them, over any driver.
//!
//! - [`args`]: what `peer listen` and `peer dial` take; [`runtime`]: which driver carries it;
//! - [`node`]: the node behind both;
//! - [`listen`] and [`dial`]: the two roles;
//! - [`echo`]: the answering side of `/interop/echo/1.0.0`; [`gossip`]: a topic that is joined;
//!   [`checks`]: what a dialer checks;
//! - [`pattern`]: what an echo carries; [`summary`] and [`deadline`]: waiting for something;
//! - [`report`]: the lines that are printed; [`error`]: why a command failed.

pub mod args;
pub mod checks;
pub mod deadline;
pub mod dial;
pub mod echo;
pub mod error;
pub mod gossip;
pub mod listen;
pub mod node;
pub mod pattern;
pub mod report;
pub mod runtime;
pub mod summary;

pub use args::PeerCommand;
pub use error::Error;

/// Runs a command; whether all that it checked was right.
pub fn run(command: PeerCommand) -> Result<bool, Error> {
    match command {
        PeerCommand::Listen(args) => {
            let runtime = args.runtime;
            let listening = listen::Listening::new(args)?;
            runtime.run(listening).map_err(Error::Runtime)?.map(|()| true)
        }
        PeerCommand::Dial(args) => {
            let runtime = args.runtime;
            let dialling = dial::Dialling::new(args)?;
            runtime.run(dialling).map_err(Error::Runtime)?
        }
    }
}
