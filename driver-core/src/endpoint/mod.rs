//! QUIC: one task for each UDP socket.
//!
//! - [`link`]: what the task shares with its connections and the control task;
//! - [`task`]: datagrams to their connections, and who may connect;
//! - [`socket`]: receiving and sending through quinn's seam.

mod link;
pub(crate) mod socket;
mod task;

pub(crate) use link::{Datagrams, EndpointId, EndpointLink, FromConnection, Order};
pub(crate) use task::EndpointTask;
