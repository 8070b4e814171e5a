//! [`RuntimeName`]: which driver carries a peer.

use std::future::Future;
use std::io;

use clap::ValueEnum;
use sanspeer_driver::runtime::Runtime;
use sanspeer_smol::{AsyncStd, Smol};
use sanspeer_tokio::Tokio;

/// A runtime that has a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RuntimeName {
    /// tokio, with as many threads as there are cores.
    Tokio,
    /// smol, on one thread beside the caller's.
    Smol,
    /// async-std, with as many threads as there are cores.
    AsyncStd,
}

/// Something that runs on any runtime.
pub trait OnRuntime {
    /// What comes of it.
    type Output;

    /// Runs on this one.
    fn run<R: Runtime>(self, runtime: R) -> impl Future<Output = Self::Output>;
}

impl RuntimeName {
    /// All of them.
    pub const ALL: [RuntimeName; 3] =
        [RuntimeName::Tokio, RuntimeName::Smol, RuntimeName::AsyncStd];

    /// Runs a program to its end on the calling thread, and its tasks on the runtime's. Fails if
    /// the system gives the runtime no threads.
    pub fn run<P: OnRuntime>(self, program: P) -> io::Result<P::Output> {
        Ok(match self {
            RuntimeName::Tokio => {
                let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
                runtime.block_on(async { program.run(Tokio::current()).await })
            }
            RuntimeName::Smol => smol::block_on(program.run(Smol::global())),
            RuntimeName::AsyncStd => async_std::task::block_on(program.run(AsyncStd::new())),
        })
    }
}
