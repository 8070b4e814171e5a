//! [`Input`]: everything that Node is told.

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;
use serde::{Deserialize, Serialize};

use super::command::Command;
use super::ids::{ArrivalId, CommandId, ConnectionId, ListenerId, LookupId};
use crate::close::TransportFailure;
use crate::mailbox::ToNode;

/// What Node is told. A message for something that is gone changes nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Input {
    /// A listener is ready, or has one more address (a wildcard has one for each interface).
    Listening {
        /// The listener.
        listener: ListenerId,
        /// The address, with the port that was bound.
        address: Multiaddr,
    },
    /// An address of a listener is not there any more.
    AddressGone {
        /// The listener.
        listener: ListenerId,
        /// The address.
        address: Multiaddr,
    },
    /// A listener could not start, or has failed since.
    ListenFailed {
        /// The listener.
        listener: ListenerId,
        /// Why.
        failure: ListenFailure,
    },
    /// Somebody wants to connect; nothing was computed for him yet. Answered by
    /// [`super::Output::Accept`], [`super::Output::Reject`] or, over QUIC while many arrive,
    /// [`super::Output::Validate`].
    Arrival {
        /// His id.
        arrival: ArrivalId,
        /// The listener that he came to.
        listener: ListenerId,
        /// Where he claims to come from.
        remote: Multiaddr,
        /// Whether it was shown that he receives what is sent there; over TCP always.
        validated: bool,
    },
    /// An arrival gave up before it was answered, or its answer found it gone.
    ArrivalGone(ArrivalId),
    /// A dial did not reach the point where a connection exists.
    DialFailed {
        /// The connection that it would have been.
        connection: ConnectionId,
        /// Why.
        failure: DialFailure,
    },
    /// A name was looked up.
    LookedUp {
        /// The lookup.
        lookup: LookupId,
        /// What it stands for: addresses that can be dialled, or further names. Empty if there is
        /// nothing.
        addresses: Vec<Multiaddr>,
    },
    /// A connection says something.
    Connection {
        /// The connection.
        connection: ConnectionId,
        /// What it says.
        message: ToNode,
    },
    /// A command of the application's.
    Command {
        /// Its id, for the answer.
        id: CommandId,
        /// What it asks for.
        command: Command,
    },
    /// What time it is, for signed records. Sent at the start, and again when the clock is set.
    UnixTime {
        /// Seconds since 1970-01-01 UTC.
        seconds: u64,
    },
    /// The deadline of `poll_timeout` has come.
    Timeout,
}

/// Why a listener is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ListenFailure {
    /// Another socket has the address.
    AddressInUse,
    /// No interface has the address.
    AddressNotAvailable,
    /// The operating system does not allow it.
    PermissionDenied,
    /// The driver has no such transport.
    Unsupported,
    /// The transport failed.
    Transport(TransportFailure),
}

/// Why a dial did not reach a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DialFailure {
    /// Nobody listens there.
    Refused,
    /// There is no way there.
    Unreachable,
    /// No answer in time.
    TimedOut,
    /// The driver has no such transport, or the address is not one that can be dialled.
    Unsupported,
    /// The transport failed.
    Transport(TransportFailure),
    /// Somebody else is at that address.
    WrongPeer {
        /// Who was found.
        found: Box<PeerId>,
    },
}
