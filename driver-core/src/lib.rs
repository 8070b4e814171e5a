//! What every driver of sanspeer shares, written once over a small [`runtime::Runtime`].
//!
//! A driver owns sockets, clocks and tasks, and takes no decision of a protocol's: those are
//! [`sanspeer_core`]'s. Users take `sanspeer-tokio` or `sanspeer-smol`, which bring a runtime; who
//! has another one implements [`runtime::Runtime`] and calls [`start`].
//!
//! In the order of data flow:
//! - [`runtime`]: what a runtime must have; `sockets`: those that listen; [`memory`]: a transport
//!   inside the process;
//! - `tcp`, `endpoint`: dialling and listening, over TCP and QUIC; `dns`: names in addresses;
//! - `connection`: a task and a lock for each connection;
//! - `control`: the task that owns [`sanspeer_core::node::Node`], and `routes`, the preferred
//!   connection of each peer; [`log`]: what it was told, to be replayed;
//! - [`handle`], [`acceptor`], [`stream`], [`events`] and [`gossip`]: what an application holds;
//! - [`network`]: the same without waiting, as [`sanspeer_core::application::Network`];
//! - [`config`], [`error`]: what a node starts with, and what can go wrong;
//! - `alarm`, `notify`: why a task of ours runs again.
//!
//! Nobody holds two locks, wakes a task while holding one, or waits inside one. The lock of a QUIC
//! connection's turn is apart: it is held for the whole turn, and nobody waits for it.

pub mod acceptor;
mod alarm;
pub mod config;
mod connection;
mod control;
mod dns;
mod endpoint;
pub mod error;
pub mod events;
mod failure;
pub mod gossip;
pub mod handle;
pub mod log;
pub mod memory;
pub mod network;
mod notify;
mod observer;
mod routes;
pub mod runtime;
mod shared;
mod sockets;
pub mod stream;
mod sync;
mod tasks;
mod tcp;

pub use acceptor::Acceptor;
pub use config::{Config, SecurityProtocol};
pub use error::{OpenStreamError, RequestError, StartError};
pub use events::{Event, Events};
pub use gossip::{Delivery, ReceivedMessage, Subscription};
pub use handle::{Addresses, Handle, start};
pub use multiaddr::Multiaddr;
pub use network::PolledHandle;
pub use sanspeer_core;
pub use stream::AppStream;
