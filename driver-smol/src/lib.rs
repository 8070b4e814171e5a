//! sanspeer on smol, and on async-std with the feature `async-std`. The features add to each other.
//!
//! - [`on_smol`]: smol, on its global executor or on one with as many threads as asked;
//! - `on_async_std`, with the feature of that name: the same for async-std;
//! - [`io`]: timers and TCP for both, from async-io.
//!
//! A node is a [`Handle`], and its streams are futures' `AsyncRead` and `AsyncWrite`.

pub mod io;
#[cfg(feature = "async-std")]
pub mod on_async_std;
#[cfg(feature = "smol")]
pub mod on_smol;

#[cfg(feature = "async-std")]
pub use on_async_std::AsyncStd;
#[cfg(feature = "smol")]
pub use on_smol::{Smol, start};
pub use sanspeer_driver::{
    Acceptor, Addresses, AppStream, Config, Event, Events, Handle, Multiaddr, OpenStreamError,
    RequestError, SecurityProtocol, StartError, sanspeer_core,
};
