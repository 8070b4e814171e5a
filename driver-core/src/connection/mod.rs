//! One task and one lock for each connection.
//!
//! - [`link`]: what the task shares with the control task and the application's streams;
//! - [`task`]: the bounded turn that every connection takes, whatever carries its bytes;
//! - [`quic_task`]: the same where datagrams come by way of an endpoint;
//! - [`wire`]: what does: [`byte_wire`] for bytes in order, [`quic_wire`] for datagrams.

pub(crate) mod byte_wire;
pub(crate) mod link;
pub(crate) mod quic_task;
pub(crate) mod quic_wire;
pub(crate) mod task;
pub(crate) mod wire;
