//! What Node knows of its connections, and of the peers at their other ends.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use super::event::Connected;
use super::ids::{ArrivalId, ConnectionId};
use crate::mailbox::Usage;
use crate::mux::Role;
use crate::time::Timestamp;

/// One connection, from the moment that it is dialled or accepted until it is over.
pub(super) struct Entry {
    pub(super) role: Role,
    pub(super) address: Multiaddr,
    pub(super) state: State,
}

/// How far a connection is.
pub(super) enum State {
    /// Accepted; nobody has proved who he is.
    Accepted(ArrivalId),
    /// Being dialled; somebody may have to be there.
    Dialled(Option<PeerId>),
    /// Turned away after its handshake; its end is awaited.
    Refused,
    /// Admitted.
    Open(Box<Open>),
}

/// What is known of an admitted connection.
pub(super) struct Open {
    pub(super) peer: PeerId,
    pub(super) opened_at: Timestamp,
    /// It was told to end.
    pub(super) closing: bool,
    /// Both sides dialled each other, and the other connection is preferred.
    pub(super) surplus: bool,
    /// The window that it was granted, in bytes.
    pub(super) window_bytes: u64,
    /// What it asked for and the budget did not have, in bytes.
    pub(super) wanted_window_bytes: Option<u64>,
    pub(super) rtt: Option<Duration>,
    pub(super) usage: Usage,
    /// Since when nobody uses it; `None` while somebody does.
    pub(super) unused_since: Option<Timestamp>,
    /// When it is closed for that; its place in [`Connections::deadlines`].
    pub(super) deadline: Option<Timestamp>,
}

impl Open {
    pub(super) fn new(peer: PeerId, now: Timestamp, window_bytes: u64) -> Self {
        Open {
            peer,
            opened_at: now,
            closing: false,
            surplus: false,
            window_bytes,
            wanted_window_bytes: None,
            rtt: None,
            usage: Usage::default(),
            unused_since: None,
            deadline: None,
        }
    }
}

impl Entry {
    pub(super) fn open(&self) -> Option<&Open> {
        match &self.state {
            State::Open(open) => Some(open),
            State::Accepted(_) | State::Dialled(_) | State::Refused => None,
        }
    }

    fn open_mut(&mut self) -> Option<&mut Open> {
        match &mut self.state {
            State::Open(open) => Some(open),
            State::Accepted(_) | State::Dialled(_) | State::Refused => None,
        }
    }
}

/// A connected peer.
pub(super) struct Peer {
    /// Its connections in the order of their admission; never empty. Bounded by the limit per peer.
    pub(super) connections: Vec<ConnectionId>,
    /// One of them.
    pub(super) preferred: ConnectionId,
}

/// All connections.
#[derive(Default)]
pub(super) struct Connections {
    /// Bounded by the connection limits, and by the dials under way.
    entries: BTreeMap<ConnectionId, Entry>,
    /// Bounded like `entries`.
    peers: BTreeMap<PeerId, Peer>,
    /// Accepted ones whose handshakes run; bounded like `entries`.
    arrivals: BTreeMap<ArrivalId, ConnectionId>,
    /// When unused ones are closed; at most one each.
    deadlines: BTreeSet<(Timestamp, ConnectionId)>,
}

impl Connections {
    /// A connection that is accepted.
    pub(super) fn accept(&mut self, id: ConnectionId, address: Multiaddr, arrival: ArrivalId) {
        self.arrivals.insert(arrival, id);
        let state = State::Accepted(arrival);
        self.entries.insert(id, Entry { role: Role::Listener, address, state });
    }

    /// A connection that is dialled, to `peer` if that is said.
    pub(super) fn dial(&mut self, id: ConnectionId, address: Multiaddr, peer: Option<PeerId>) {
        let state = State::Dialled(peer);
        self.entries.insert(id, Entry { role: Role::Dialer, address, state });
    }

    /// Whether a connection is dialled, and nobody has proved who he is.
    pub(super) fn is_dialled(&self, id: ConnectionId) -> bool {
        matches!(self.get(id), Some(Entry { state: State::Dialled(_), .. }))
    }

    pub(super) fn get(&self, id: ConnectionId) -> Option<&Entry> {
        self.entries.get(&id)
    }

    /// An admitted connection.
    pub(super) fn open(&self, id: ConnectionId) -> Option<&Open> {
        self.entries.get(&id)?.open()
    }

    /// An admitted connection.
    pub(super) fn open_mut(&mut self, id: ConnectionId) -> Option<&mut Open> {
        self.entries.get_mut(&id)?.open_mut()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn ids(&self) -> Vec<ConnectionId> {
        self.entries.keys().copied().collect()
    }

    /// The admitted ones, in the order of their ids.
    pub(super) fn all_open(&self) -> impl Iterator<Item = (ConnectionId, &Open)> {
        self.entries.iter().filter_map(|(id, entry)| Some((*id, entry.open()?)))
    }

    pub(super) fn peers(&self) -> impl Iterator<Item = (&PeerId, &Peer)> {
        self.peers.iter()
    }

    pub(super) fn peer(&self, peer: &PeerId) -> Option<&Peer> {
        self.peers.get(peer)
    }

    pub(super) fn peer_mut(&mut self, peer: &PeerId) -> Option<&mut Peer> {
        self.peers.get_mut(peer)
    }

    /// The connection on which streams to a peer are opened, unless all of his are ending.
    pub(super) fn usable(&self, peer: &PeerId) -> Option<ConnectionId> {
        let preferred = self.peers.get(peer)?.preferred;
        (!self.open(preferred)?.closing).then_some(preferred)
    }

    /// The connection that an arrival became, while its handshake runs.
    pub(super) fn of_arrival(&self, arrival: ArrivalId) -> Option<ConnectionId> {
        self.arrivals.get(&arrival).copied()
    }

    /// Accepted connections whose handshakes run.
    pub(super) fn handshaking(&self) -> usize {
        self.arrivals.len()
    }

    /// How the application sees a connection.
    pub(super) fn connected(&self, id: ConnectionId) -> Option<Connected> {
        let entry = self.entries.get(&id)?;
        Some(Connected { connection: id, role: entry.role, address: entry.address.clone() })
    }

    /// The handshake is over, and the connection is not wanted.
    pub(super) fn refuse(&mut self, id: ConnectionId) {
        self.end_handshake(id);
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.state = State::Refused;
        }
    }

    /// The handshake is over, and the connection is admitted. Whether it is the peer's first.
    pub(super) fn admit(&mut self, id: ConnectionId, open: Open) -> bool {
        self.end_handshake(id);
        let Some(entry) = self.entries.get_mut(&id) else { return false };
        let peer = open.peer;
        entry.state = State::Open(Box::new(open));
        match self.peers.get_mut(&peer) {
            Some(known) => {
                known.connections.push(id);
                false
            }
            None => {
                self.peers.insert(peer, Peer { connections: vec![id], preferred: id });
                true
            }
        }
    }

    /// Forgets a connection. Of an admitted one, `true` says that it was the peer's last.
    pub(super) fn remove(&mut self, id: ConnectionId) -> Option<(Entry, bool)> {
        self.end_handshake(id);
        self.set_deadline(id, None);
        let entry = self.entries.remove(&id)?;
        let mut last = false;
        if let Some(open) = entry.open()
            && let Some(peer) = self.peers.get_mut(&open.peer)
        {
            peer.connections.retain(|other| *other != id);
            last = peer.connections.is_empty();
            if last {
                self.peers.remove(&open.peer);
            }
        }
        Some((entry, last))
    }

    /// Sets when an admitted connection is closed because nobody uses it.
    pub(super) fn set_deadline(&mut self, id: ConnectionId, deadline: Option<Timestamp>) {
        let Some(open) = self.entries.get_mut(&id).and_then(Entry::open_mut) else { return };
        let before = core::mem::replace(&mut open.deadline, deadline);
        if before == deadline {
            return;
        }
        if let Some(before) = before {
            self.deadlines.remove(&(before, id));
        }
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, id));
        }
    }

    /// The first that is to be closed because nobody uses it, and when.
    pub(super) fn first_deadline(&self) -> Option<(Timestamp, ConnectionId)> {
        self.deadlines.first().copied()
    }

    fn end_handshake(&mut self, id: ConnectionId) {
        if let Some(Entry { state: State::Accepted(arrival), .. }) = self.entries.get(&id) {
            self.arrivals.remove(arrival);
        }
    }
}
