//! [`Output`]: everything that Node wants done, or tells.

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;
use serde::{Deserialize, Serialize};

use super::command::Answer;
use super::event::NodeEvent;
use super::ids::{ArrivalId, CommandId, ConnectionId, ListenerId, LookupId};
use crate::close::RefuseReason;
use crate::mailbox::ToConnection;

/// What Node wants done, or tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Output {
    /// Listens on an address; answered by `Listening` or `ListenFailed`.
    Listen {
        /// The listener.
        listener: ListenerId,
        /// The address; port 0 is any port, an unspecified address every interface.
        address: Multiaddr,
    },
    /// Stops listening. Connections stay.
    Unlisten(ListenerId),
    /// Takes an arrival: the handshake begins.
    Accept {
        /// The arrival.
        arrival: ArrivalId,
        /// The connection that it becomes.
        connection: ConnectionId,
    },
    /// Turns an arrival away.
    Reject {
        /// The arrival.
        arrival: ArrivalId,
        /// Why, for log and metric: nothing is computed for him.
        reason: RefuseReason,
    },
    /// Has an arrival over QUIC show that he receives what is sent to his address (RFC 9000,
    /// section 8.1.2); he may come again.
    Validate(ArrivalId),
    /// Dials an address, which names no lookup and no peer. Failing before a connection exists is
    /// `DialFailed`; from then on the connection speaks for itself.
    Dial {
        /// The connection that it becomes.
        connection: ConnectionId,
        /// The address.
        address: Multiaddr,
        /// Who must be there; anybody if `None`.
        peer: Option<PeerId>,
    },
    /// Gives a dial up, if its connection is not established yet.
    CancelDial(ConnectionId),
    /// Looks a name up; answered by `LookedUp`.
    LookUp {
        /// The lookup.
        lookup: LookupId,
        /// An address that begins with `/dns`, `/dns4`, `/dns6` or `/dnsaddr`.
        address: Multiaddr,
    },
    /// Tells a connection something.
    Connection {
        /// The connection.
        connection: ConnectionId,
        /// What to tell it.
        message: ToConnection,
    },
    /// Answers a command.
    Answer {
        /// The command.
        id: CommandId,
        /// The answer.
        answer: Answer,
    },
    /// Tells the application something.
    Event(NodeEvent),
}
