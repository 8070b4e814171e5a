//! [`ProtocolTable`]: which protocols a connection speaks, and who owns their streams.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::multistream::SupportedProtocols;
use crate::protocol::ProtocolId;

/// Who gets the streams of a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Owner {
    /// The connection itself.
    Connection(Builtin),
    /// Node: length-delimited frames, handed up whole and undecoded.
    Node {
        /// The largest frame, in bytes. A larger one resets the stream before it is buffered.
        max_frame_bytes: u32,
    },
    /// The application: raw bytes, which never reach Node.
    Application,
}

/// Protocols that the connection answers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Builtin {
    /// `/ipfs/ping/1.0.0`.
    Ping,
    /// `/perf/1.0.0`.
    Perf,
}

/// What holds for the streams of one protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtocolEntry {
    /// Who gets them.
    pub owner: Owner,
    /// How many the remote may have open at once; one more is reset.
    pub max_inbound_streams: u32,
}

/// The protocols of a connection, in a fixed order. Cloning shares the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtocolTable(Arc<BTreeMap<ProtocolId, ProtocolEntry>>);

impl ProtocolTable {
    /// Ping alone.
    pub fn new() -> Self {
        ProtocolTable(Arc::new(BTreeMap::new())).with(
            ProtocolId::well_known(crate::connection::PING),
            Owner::Connection(Builtin::Ping),
            crate::connection::MAX_INBOUND_PING_STREAMS,
        )
    }

    /// Adds or replaces a protocol.
    #[must_use]
    pub fn with(mut self, protocol: ProtocolId, owner: Owner, max_inbound_streams: u32) -> Self {
        Arc::make_mut(&mut self.0).insert(protocol, ProtocolEntry { owner, max_inbound_streams });
        self
    }

    /// Adds a protocol of the application's, with as many streams as the lease allows.
    #[must_use]
    pub fn with_application(self, protocol: ProtocolId) -> Self {
        self.with(protocol, Owner::Application, u32::MAX)
    }

    /// Adds `/perf/1.0.0`, which sends as many bytes as the remote asks for.
    #[must_use]
    pub fn with_perf(self) -> Self {
        let perf = ProtocolId::well_known(crate::connection::PERF);
        self.with(
            perf,
            Owner::Connection(Builtin::Perf),
            crate::connection::MAX_INBOUND_PERF_STREAMS,
        )
    }

    /// Removes a protocol; its open streams stay.
    #[must_use]
    pub fn without(mut self, protocol: &str) -> Self {
        Arc::make_mut(&mut self.0).remove(protocol);
        self
    }

    /// What holds for a protocol, if there is one of this name.
    pub fn get(&self, protocol: &str) -> Option<&ProtocolEntry> {
        self.0.get(protocol)
    }
}

impl Default for ProtocolTable {
    fn default() -> Self {
        ProtocolTable::new()
    }
}

impl SupportedProtocols for ProtocolTable {
    fn find(&self, name: &str) -> Option<ProtocolId> {
        self.0.get_key_value(name).map(|(id, _)| id.clone())
    }

    fn for_each(&self, visit: &mut dyn FnMut(&ProtocolId)) {
        self.0.keys().for_each(visit);
    }
}
