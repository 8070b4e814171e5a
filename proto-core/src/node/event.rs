//! [`NodeEvent`]: what Node tells the application.

use bytes::Bytes;
use libp2p_identity::PeerId;
use multiaddr::Multiaddr;
use serde::{Deserialize, Serialize};

use super::ids::{ConnectionId, ListenerId};
use super::input::ListenFailure;
use crate::close::{CloseReason, RefuseReason};
use crate::gossip::GossipEvent;
use crate::identify::PeerInfo;
use crate::mux::Role;

/// A connection of a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connected {
    /// The connection.
    pub connection: ConnectionId,
    /// Which side we are.
    pub role: Role,
    /// The remote's address.
    pub address: Multiaddr,
}

/// What Node tells the application. Events of one peer are in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeEvent {
    /// A peer's first connection is there.
    PeerConnected {
        /// The peer.
        peer: PeerId,
        /// The connection.
        connected: Connected,
    },
    /// A peer's last connection is over.
    PeerDisconnected {
        /// The peer.
        peer: PeerId,
        /// Why that one ended.
        reason: CloseReason,
    },
    /// A connection was admitted, a peer's first or one more.
    ConnectionOpened {
        /// The peer.
        peer: PeerId,
        /// The connection.
        connected: Connected,
    },
    /// A connection is over. Follows the end of every stream.
    ConnectionClosed {
        /// The peer.
        peer: PeerId,
        /// The connection.
        connection: ConnectionId,
        /// Why.
        reason: CloseReason,
    },
    /// The connection on which a peer's streams are opened is another one.
    PreferredConnection {
        /// The peer.
        peer: PeerId,
        /// The connection.
        connection: ConnectionId,
    },
    /// Somebody was turned away before or after his handshake.
    Refused {
        /// Where he came from.
        address: Multiaddr,
        /// Who he is, if that was proved.
        peer: Option<PeerId>,
        /// Why.
        reason: RefuseReason,
    },
    /// An inbound handshake failed.
    InboundFailed {
        /// Where it came from.
        address: Multiaddr,
        /// Why.
        reason: CloseReason,
    },
    /// A peer said who it is and what it speaks, for the first time or something new.
    Identified {
        /// The peer.
        peer: PeerId,
        /// What it said.
        info: PeerInfo,
    },
    /// An address is listened on.
    Listening {
        /// The listener.
        listener: ListenerId,
        /// The address.
        address: Multiaddr,
    },
    /// An address is listened on no longer.
    AddressGone {
        /// The listener.
        listener: ListenerId,
        /// The address.
        address: Multiaddr,
    },
    /// A listener that had been ready has failed.
    ListenerFailed {
        /// The listener.
        listener: ListenerId,
        /// Why.
        failure: ListenFailure,
    },
    /// A remote did something wrong.
    Penalty {
        /// The peer.
        peer: PeerId,
        /// The protocol that says so.
        protocol: String,
        /// What it did.
        reason: String,
        /// How bad it was.
        points: u32,
    },
    /// Gossip says something: a message, or what became of a peer in a topic.
    Gossip(GossipEvent),
    /// A protocol says something, in its own encoding.
    Protocol {
        /// The protocol's name.
        name: String,
        /// What it says.
        event: Bytes,
    },
}
