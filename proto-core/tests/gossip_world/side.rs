//! [`Side`]: one peer of a world, and what happened to it.

use multiaddr::Multiaddr;
use sanspeer_core::gossip::{Gossip, GossipEvent};
use sanspeer_core::identity::{Identity, PeerId};
use sanspeer_core::node::{Protocol, ProtocolInput, ProtocolOutput};
use sanspeer_core::protocol::ProtocolId;
use sanspeer_core::rng::Seed;
use sanspeer_core::time::Timestamp;

use super::puppet::Puppet;

/// What plays a peer.
pub enum Kind {
    /// A machine.
    Node(Box<Gossip>),
    /// A test.
    Puppet(Puppet),
}

/// One peer.
pub struct Side {
    pub kind: Kind,
    pub peer: PeerId,
    pub identity: Identity,
    /// The seed of its machine, if it has one.
    pub seed: Option<Seed>,
    /// Where it is, as others see it.
    pub address: Multiaddr,
    /// What its machine told, since it was last asked for.
    pub events: Vec<GossipEvent>,
    /// Whom it wanted to dial, and where.
    pub dials: Vec<(PeerId, Vec<Multiaddr>)>,
    pub protects: Vec<(PeerId, bool)>,
    pub penalties: Vec<(PeerId, String)>,
    /// Whether inputs and outputs are kept.
    pub records: bool,
    pub inputs: Vec<(Timestamp, ProtocolInput)>,
    pub outputs: Vec<ProtocolOutput>,
    pub(super) deadline: Option<Timestamp>,
}

impl Side {
    pub(super) fn new(number: usize, peer: PeerId, identity: Identity, kind: Kind) -> Self {
        let [.., high, low] = number.to_be_bytes();
        Side {
            kind,
            peer,
            identity,
            seed: None,
            address: format!("/ip4/10.0.{high}.{low}/tcp/4001").parse().expect("an address"),
            events: Vec::new(),
            dials: Vec::new(),
            protects: Vec::new(),
            penalties: Vec::new(),
            records: false,
            inputs: Vec::new(),
            outputs: Vec::new(),
            deadline: None,
        }
    }

    /// The protocols whose streams it takes.
    pub(super) fn accepts(&self) -> Vec<ProtocolId> {
        match &self.kind {
            Kind::Node(gossip) => {
                gossip.accepts().into_iter().map(|accepted| accepted.protocol).collect()
            }
            Kind::Puppet(puppet) => puppet.protocols.clone(),
        }
    }
}
