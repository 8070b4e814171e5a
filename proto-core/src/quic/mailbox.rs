//! What an endpoint and its connections tell each other. Each event is opaque; order matters.

use serde::{Deserialize, Serialize};

/// A connection of one endpoint. Never reused by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QuicConnectionId(pub u64);

/// An event of an endpoint for one of its connections: a datagram, or new connection ids.
#[derive(Debug)]
pub struct FromEndpoint {
    pub(super) event: quinn_proto::ConnectionEvent,
    /// The length of the datagram, if it is one.
    pub(super) datagram_bytes: usize,
}

/// An event of a connection for its endpoint.
#[derive(Debug)]
pub struct ToEndpoint(pub(super) ToEndpointInner);

#[derive(Debug)]
pub(super) enum ToEndpointInner {
    /// The handshake is over.
    Secured,
    /// What `quinn_proto` has to say.
    Protocol(quinn_proto::EndpointEvent),
}

impl ToEndpoint {
    /// Whether this is the last event of a connection, which can be dropped now.
    pub fn is_last(&self) -> bool {
        match &self.0 {
            ToEndpointInner::Secured => false,
            ToEndpointInner::Protocol(event) => event.is_drained(),
        }
    }
}
