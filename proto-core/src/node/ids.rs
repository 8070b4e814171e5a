//! Ids of the control plane. None is ever reused, so that a late message for something that is gone
//! finds nothing.

use serde::{Deserialize, Serialize};

use crate::mux::StreamId;

/// A connection, from the moment that it is dialled or accepted. Chosen by Node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConnectionId(pub u64);

/// Somebody who wants to connect, before anything was computed for him. Chosen by the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ArrivalId(pub u64);

/// An address that is listened on. Chosen by Node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ListenerId(pub u64);

/// A name that is looked up. Chosen by Node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LookupId(pub u64);

/// Somebody's wish that a peer be dialled. Chosen by Node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DialId(pub u64);

/// A command of the application's. Chosen by whoever hands it to Node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CommandId(pub u64);

/// A stream among all streams of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamRef {
    /// Its connection.
    pub connection: ConnectionId,
    /// Its number there.
    pub stream: StreamId,
}

/// Chooses the ids that are Node's to choose, each once. Counting 1,000 a second, they last for 500
/// million years.
#[derive(Debug, Default)]
pub struct Ids {
    connections: u64,
    listeners: u64,
    lookups: u64,
    dials: u64,
}

impl Ids {
    /// The next connection.
    pub fn connection(&mut self) -> ConnectionId {
        ConnectionId(next(&mut self.connections))
    }

    /// The next listener.
    pub fn listener(&mut self) -> ListenerId {
        ListenerId(next(&mut self.listeners))
    }

    /// The next lookup.
    pub fn lookup(&mut self) -> LookupId {
        LookupId(next(&mut self.lookups))
    }

    /// The next dial.
    pub fn dial(&mut self) -> DialId {
        DialId(next(&mut self.dials))
    }
}

fn next(count: &mut u64) -> u64 {
    *count += 1;
    *count
}

impl core::fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl core::fmt::Display for StreamRef {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}/{}", self.connection, self.stream)
    }
}
