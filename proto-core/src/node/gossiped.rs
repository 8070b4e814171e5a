//! What gossip says.

use super::event::NodeEvent;
use super::machine::Node;

impl Node {
    /// Tells what gossip has to tell.
    pub(super) fn take_gossip_events(&mut self) {
        while let Some(event) =
            self.protocols.gossip.as_mut().and_then(|gossip| gossip.poll_event())
        {
            self.event(NodeEvent::Gossip(event));
        }
    }
}
