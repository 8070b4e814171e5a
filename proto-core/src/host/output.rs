//! [`HostOutput`]: what a [`super::Host`] wants of the world.

use multiaddr::Multiaddr;
use serde::{Deserialize, Serialize};

use crate::close::RefuseReason;
use crate::node::{ArrivalId, ConnectionId, ListenerId, LookupId};

/// What a [`super::Host`] wants of the world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostOutput {
    /// Listens on an address; answered by [`super::Host::handle_listening`] or
    /// [`super::Host::handle_listen_failed`].
    Listen {
        /// The listener.
        listener: ListenerId,
        /// The address; port 0 is any port, an unspecified address every interface.
        address: Multiaddr,
    },
    /// Stops listening. Connections stay.
    Unlisten(ListenerId),
    /// Takes an arrival that [`super::Host::handle_arrival`] told of: call
    /// [`super::Host::begin`], or [`super::Host::handle_arrival_gone`].
    Accept {
        /// The arrival.
        arrival: ArrivalId,
        /// The connection that it becomes.
        connection: ConnectionId,
    },
    /// Turns an arrival away: its transport is closed.
    Reject {
        /// The arrival.
        arrival: ArrivalId,
        /// Why, for log and metric.
        reason: RefuseReason,
    },
    /// Dials an address: call [`super::Host::begin`] or [`super::Host::begin_quic`] when the
    /// transport is there, or [`super::Host::handle_dial_failed`].
    Dial {
        /// The connection that it becomes.
        connection: ConnectionId,
        /// The address.
        address: Multiaddr,
    },
    /// Gives up a dial whose transport is not there yet. Nothing more is to be told of it.
    CancelDial(ConnectionId),
    /// Looks a name up; answered by [`super::Host::handle_looked_up`].
    LookUp {
        /// The lookup.
        lookup: LookupId,
        /// An address that begins with `/dns`, `/dns4`, `/dns6` or `/dnsaddr`.
        address: Multiaddr,
    },
    /// Closes the transport of a connection that is over, its writing side first. Comes once for
    /// each connection that [`super::Host::begin`] began.
    Close(ConnectionId),
}
