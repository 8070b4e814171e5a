//! What identify says of us, and what peers said of themselves.

use super::event::NodeEvent;
use super::machine::Node;
use crate::identify::IdentifyEvent;
use crate::time::Timestamp;

impl Node {
    /// We announce another set of addresses: the external ones first, since remotes may keep only
    /// some.
    pub(super) fn addresses_changed(&mut self) {
        let mut addresses = self.listeners.external();
        for address in self.listeners.listening() {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        self.protocols.identify.set_listen_addresses(self.clock.now(), addresses);
    }

    /// We take streams of another set of protocols.
    pub(super) fn announce_protocols(&mut self) {
        let ids = self.protocols.protocol_ids();
        self.protocols.identify.set_protocols(self.clock.now(), ids);
    }

    /// Tells what peers said of themselves.
    pub(super) fn take_identified(&mut self, now: Timestamp) {
        while let Some(event) = self.protocols.identify.poll_event() {
            match event {
                IdentifyEvent::Identified { peer, info } => {
                    let record_seq = self.protocols.identify.record_seq(&peer);
                    self.peers.set_identified(peer, &info, record_seq, now);
                    self.event(NodeEvent::Identified { peer, info });
                }
                // One peer's word for our address is in what it said of itself; whether it is true
                // is for others to find out. Who does not say who he is stays connected.
                IdentifyEvent::Observed { .. } | IdentifyEvent::Failed { .. } => {}
            }
        }
    }
}
