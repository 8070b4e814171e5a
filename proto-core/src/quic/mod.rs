//! QUIC as libp2p speaks it: one machine per UDP socket, one per connection, no sockets in either.
//!
//! In the order of data flow:
//! - [`QuicEndpoint`] ([`endpoint`]): datagrams of a socket in; connections, admission, and what the
//!   endpoint answers by itself out;
//! - [`mailbox`]: the events that endpoint and connections exchange;
//! - [`QuicMux`] ([`mux`]): one connection, a [`crate::mux::Mux`] with datagrams below;
//! - `stream`: what is known of a stream; `stream_ops`: reading, writing and ending it;
//! - `windows`: how much the remote may send, and how much we may;
//! - [`datagram`]: what goes to and comes from a socket;
//! - `crypto`: keys and ids from the seed, and TLS; `epoch`: time;
//! - [`QuicConfig`] and [`QuicError`].
//!
//! The protocol itself is `quinn_proto`'s (RFC 9000, 9001, 9002), with every source of randomness
//! drawn from the endpoint's seed: the same seed and the same inputs give the same datagrams.
//!
//! Left off: migration of a connection to another address of the remote (RFC 9000, section 9;
//! packets from elsewhere are dropped), early data and resumption, unidirectional streams,
//! datagrams (RFC 9221), and tokens for later connections.
//!
//! Specifications: [quic](https://github.com/libp2p/specs/blob/master/quic/README.md) and
//! [tls](https://github.com/libp2p/specs/blob/master/tls/tls.md).

pub mod config;
mod crypto;
pub mod datagram;
pub mod endpoint;
mod epoch;
mod error;
pub mod mailbox;
pub mod mux;
mod stream;
mod stream_ops;
mod stream_side;
mod windows;

pub use self::config::QuicConfig;
pub use self::datagram::{DatagramMeta, Ecn, QuicDatagram, QuicTransmit};
pub use self::endpoint::{AcceptError, ConnectError, EndpointEvent, IncomingId, QuicEndpoint};
pub use self::error::QuicError;
pub use self::mailbox::{FromEndpoint, QuicConnectionId, ToEndpoint};
pub use self::mux::QuicMux;
