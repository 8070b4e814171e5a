//! [`Command`]: what an application can ask of Node, and [`Answer`], what it hears.

use core::time::Duration;

use bytes::Bytes;
use libp2p_identity::PeerId;
use multiaddr::Multiaddr;
use serde::{Deserialize, Serialize};

use super::event::Connected;
use super::ids::{ConnectionId, ListenerId};
use super::input::{DialFailure, ListenFailure};
use crate::close::CloseReason;
use crate::gossip::{GossipCommand, GossipReply};
use crate::protocol::ProtocolId;

/// What an application can ask. Each is answered once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// Listens on an address. Answered by [`Answer::Listening`] once it is ready.
    Listen(Multiaddr),
    /// Stops listening.
    Unlisten(ListenerId),
    /// Makes sure that a peer is connected, and dials it if it is not. Answered by
    /// [`Answer::Connected`].
    Connect {
        /// The peer; the one that the addresses name, or anybody, if `None`.
        peer: Option<PeerId>,
        /// Where it may be found, beside what the peer store knows of it.
        addresses: Vec<Multiaddr>,
    },
    /// Ends every connection of a peer. Answered when the last is over.
    Disconnect(PeerId),
    /// Takes inbound streams of this protocol for the application from now on.
    AddProtocol(ProtocolId),
    /// Takes no further inbound streams of this protocol; open ones stay.
    RemoveProtocol(ProtocolId),
    /// Remembers addresses of a peer.
    AddAddresses {
        /// The peer.
        peer: PeerId,
        /// Its addresses.
        addresses: Vec<Multiaddr>,
    },
    /// Announces an address of ours that is not among those listened on.
    AddExternalAddress(Multiaddr),
    /// Announces it no longer.
    RemoveExternalAddress(Multiaddr),
    /// Keeps a peer's connections from being closed as idle, or no longer.
    Protect {
        /// The peer.
        peer: PeerId,
        /// Whether to protect it.
        protect: bool,
    },
    /// Asks who is connected. Answered by [`Answer::Peers`].
    Peers,
    /// Asks for our addresses. Answered by [`Answer::Addresses`].
    Addresses,
    /// A command of one protocol, in its own encoding. Answered by [`Answer::Protocol`].
    Protocol {
        /// The protocol's name.
        name: String,
        /// What it says.
        command: Bytes,
    },
    /// A command of gossip. Answered by [`Answer::Gossip`], or [`CommandError::Unknown`] by a node
    /// that does not gossip.
    Gossip(GossipCommand),
    /// Closes every listener and connection. Answered when all are over; no other command is
    /// taken from then on.
    Shutdown,
    /// Remembers addresses of a peer that the operator configured: they are never pushed out, and
    /// one that failed may soon be dialled again
    /// ([`crate::peer_store::Backoff::max_configured`]).
    Configure {
        /// The peer.
        peer: PeerId,
        /// Its addresses.
        addresses: Vec<Multiaddr>,
    },
}

/// What a command led to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// It was done.
    Done,
    /// A listener is ready at this address, perhaps the first of several.
    Listening {
        /// The listener.
        listener: ListenerId,
        /// The address.
        address: Multiaddr,
    },
    /// A peer is connected.
    Connected {
        /// The peer.
        peer: PeerId,
        /// Its preferred connection.
        connection: ConnectionId,
    },
    /// Who is connected, in the order of their ids.
    Peers(Vec<PeerSummary>),
    /// Our addresses.
    Addresses {
        /// Those that are listened on.
        listening: Vec<Multiaddr>,
        /// Those that are announced beside them.
        external: Vec<Multiaddr>,
    },
    /// A protocol's reply, in its own encoding.
    Protocol(Bytes),
    /// Gossip's reply.
    Gossip(GossipReply),
    /// It could not be done.
    Failed(CommandError),
}

/// A connected peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerSummary {
    /// The peer.
    pub peer: PeerId,
    /// Its connections, the preferred first.
    pub connections: Vec<Connected>,
    /// The last round trip that a ping measured.
    pub rtt: Option<Duration>,
    /// What identify said it runs.
    pub agent: Option<String>,
    /// What identify said it speaks.
    pub protocols: Vec<ProtocolId>,
}

/// Why a command failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CommandError {
    /// The node is shutting down.
    ShuttingDown,
    /// There is no address to dial.
    NoAddresses,
    /// An address names another peer than the command, or two of them name different ones.
    PeersDiffer,
    /// The peer is ourselves.
    Ourselves,
    /// Every address failed, in the order in which they did.
    Dial(Vec<(Multiaddr, DialError)>),
    /// As many dials wait as may.
    TooManyDials(u32),
    /// The listener did not start.
    Listen(ListenFailure),
    /// No such listener, peer or protocol.
    Unknown,
    /// The protocol id or name is taken.
    Taken,
    /// As many of these as may be are there already.
    Limit(u32),
}

/// Why one address failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DialError {
    /// No connection came to be.
    Failed(DialFailure),
    /// The connection ended before it was admitted.
    Closed(CloseReason),
    /// The name stands for nothing.
    NameNotFound,
    /// It was not tried: this address fails too often, and the next attempt is later.
    BackedOff,
    /// It was given up, because another address was faster or on request; or it is a name, and what
    /// it stands for is more than may be dialled.
    Cancelled,
}
