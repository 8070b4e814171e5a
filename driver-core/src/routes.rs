//! [`Routes`]: on which connection a peer's streams are opened.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use sanspeer_core::identity::PeerId;

use crate::connection::link::Link;
use crate::sync::{read, write};

/// The preferred connection of each connected peer. Written by the control task, where it applies
/// what Node says; read by whoever opens a stream.
#[derive(Default)]
pub(crate) struct Routes {
    /// Bounded by the connection limits.
    preferred: RwLock<BTreeMap<PeerId, Arc<Link>>>,
}

impl Routes {
    pub(crate) fn find(&self, peer: &PeerId) -> Option<Arc<Link>> {
        read(&self.preferred).get(peer).cloned()
    }

    pub(crate) fn set(&self, peer: PeerId, link: Arc<Link>) {
        let before = write(&self.preferred).insert(peer, link);
        // The last of a connection may go here, without the lock.
        drop(before);
    }

    pub(crate) fn remove(&self, peer: &PeerId) {
        let before = write(&self.preferred).remove(peer);
        drop(before);
    }

    pub(crate) fn clear(&self) {
        let before = core::mem::take(&mut *write(&self.preferred));
        drop(before);
    }
}
