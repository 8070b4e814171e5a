//! [`Connection`]: the data plane of one connection, from negotiated streams to their owners.
//!
//! A connection joins a multiplexer below, Node beside it, and the application above:
//! - bytes go in and out of the multiplexer ([`machine`]; [`transport`] says which one);
//! - each stream's protocol is negotiated (`negotiate`), and the stream goes to its owner, which the
//!   [`crate::mailbox::ProtocolTable`] names (`entry`);
//! - the application reads and writes its streams through [`Stream`] ([`stream`]);
//! - Node's streams carry frames, which travel with Node's other messages (`node_side`,
//!   `node_stream`);
//! - `ping` and `perf` are answered here;
//! - `limits` keeps leases, the receive budget and stalled streams.
//!
//! After every input, poll events until there are none, then Node's messages, then transmissions,
//! then the timeout.

pub mod config;
mod entry;
pub mod event;
mod limits;
pub mod machine;
mod negotiate;
mod node_side;
mod node_stream;
mod perf;
mod ping;
pub mod stream;
pub mod transport;

pub use config::ConnectionConfig;
pub use event::{ConnectionEvent, OpenError, PerfReport};
pub use machine::{Connection, ConnectionSetup};
pub use node_side::NodeRoom;
pub use node_stream::SEND_CREDIT_BYTES;
pub use perf::{MAX_INBOUND_PERF_STREAMS, PERF};
pub use ping::{MAX_INBOUND_PING_STREAMS, PING};
pub use stream::Stream;
