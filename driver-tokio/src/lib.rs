//! sanspeer on tokio, on its multi-thread and on its current-thread runtime.
//!
//! - [`runtime`]: tokio behind [`sanspeer_driver::runtime::Runtime`];
//! - [`node`]: [`Node`], its [`Acceptor`] and [`Stream`], which is tokio's `AsyncRead` and
//!   `AsyncWrite`.

pub mod node;
pub mod runtime;

pub use node::{Acceptor, Node, Stream, start};
pub use runtime::Tokio;
pub use sanspeer_driver::gossip::{GossipError, JoinError, SendError};
pub use sanspeer_driver::{
    Addresses, Config, Delivery, Event, Events, Multiaddr, OpenStreamError, ReceivedMessage,
    RequestError, SecurityProtocol, StartError, Subscription, sanspeer_core,
};
