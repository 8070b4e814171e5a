//! [`Host`]: a whole peer on one thread. One [`crate::node::Node`] with its connections, for
//! embedders without async, for simulators and for conformance.
//!
//! The embedder has sockets, names and a clock; the application behind it sees
//! [`crate::application::Network`]. After every call:
//! 1. do what [`Host::poll_output`] wants of the world ([`output`]), until there is nothing;
//! 2. send what connections have: each that [`Host::poll_sendable`] names with
//!    [`Host::poll_transmit`] and [`Host::handle_transmitted`], and each UDP socket's
//!    [`Host::poll_datagrams`];
//! 3. let the application take its events ([`crate::application::Network::poll_event`]);
//! 4. wait for sockets until [`Host::poll_timeout`], and call [`Host::handle_timeout`] then.
//!
//! What is inside, in the order of data flow:
//! - [`machine`]: what the embedder tells of the world;
//! - `bytes` and `quic`: the byte sides of connections;
//! - `pump`: what connections and Node tell each other, until nobody has anything to say;
//! - `streams`: the application's side;
//! - `carried`: what is known of one connection; [`config`]: numbers; [`log`]: what Node was told.

mod bytes;
mod carried;
pub mod config;
pub mod log;
pub mod machine;
pub mod output;
mod pump;
mod quic;
mod streams;

pub use config::{HostConfig, SecurityProtocol};
pub use log::NodeLog;
pub use machine::Host;
pub use output::HostOutput;
pub use quic::EndpointId;
