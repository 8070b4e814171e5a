//! What a host knows of one connection.

use libp2p_identity::PeerId;

use super::quic::EndpointId;
use crate::connection::Connection;
use crate::mux::Role;
use crate::node::ArrivalId;
use crate::quic::QuicConnectionId;
use crate::time::Timestamp;

/// A connection whose transport is awaited.
pub(super) struct Awaited {
    pub(super) role: Role,
    /// Who must be at the other end.
    pub(super) expected_peer: Option<PeerId>,
    /// What it was accepted from.
    pub(super) arrival: Option<ArrivalId>,
}

/// A connection.
pub(super) struct Carried {
    pub(super) connection: Connection,
    /// Where it is over QUIC.
    pub(super) quic: Option<(EndpointId, QuicConnectionId)>,
    /// Its place in the host's deadlines.
    pub(super) deadline: Option<Timestamp>,
    /// It waits for its turn.
    pub(super) dirty: bool,
    /// It is over, and all has been told; what its streams received can be read until then.
    pub(super) over_until: Option<Timestamp>,
    /// QUIC has answered its last packet.
    pub(super) drained: bool,
}

impl Carried {
    pub(super) fn new(
        connection: Connection,
        quic: Option<(EndpointId, QuicConnectionId)>,
    ) -> Self {
        Carried {
            connection,
            quic,
            deadline: None,
            dirty: false,
            over_until: None,
            drained: quic.is_none(),
        }
    }
}
