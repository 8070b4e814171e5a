//! The end: what waits for peers is sent, and then our streams are ended, so that nothing of it is
//! lost with the connections.

use super::machine::Gossip;
use super::peers::{Outbound, Peer, PeerKey};
use crate::node::ProtocolOutput;
use crate::time::Timestamp;

impl Gossip {
    /// Ends our streams, each behind what waits for it, and opens none from now on: nothing is
    /// published or passed on any more. Says how many are not over. One is over when the peer has
    /// read to its end and has ended its own direction, as the specification's peers do.
    ///
    /// Asked again, it says how many are left.
    pub fn finish(&mut self, now: Timestamp) -> usize {
        self.advance(now);
        if !core::mem::replace(&mut self.finishing, true) {
            self.dirty.extend(self.peers.iter().map(|(key, _)| key));
            self.flush();
        }
        self.peers.iter().filter(|(_, peer)| peer.outbound.is_under_way()).count()
    }

    /// Ends the stream of a peer, if all is over and nothing waits for it.
    pub(super) fn finish_peer(&mut self, key: PeerKey) {
        if !self.finishing {
            return;
        }
        let Some(peer) = self.peers.get_mut(key) else { return };
        let Outbound::Open(stream, _) = peer.outbound else { return };
        if !peer.is_served() {
            return;
        }
        peer.outbound = Outbound::Finishing(stream);
        self.output(ProtocolOutput::Finish(stream));
    }
}

impl Peer {
    /// Whether nothing waits for it.
    fn is_served(&self) -> bool {
        self.queue.is_empty() && self.backlog.is_empty() && !self.tell_topics
    }
}

impl Outbound {
    /// Whether there is a stream, or will be one.
    fn is_under_way(self) -> bool {
        match self {
            Outbound::Opening(_) | Outbound::Open(..) | Outbound::Finishing(_) => true,
            Outbound::Lost | Outbound::Idle => false,
        }
    }
}
