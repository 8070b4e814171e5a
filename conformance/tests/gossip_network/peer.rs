//! [`Peer`]: one of either kind.

use std::collections::{BTreeMap, BTreeSet};

use libp2p::Multiaddr;
use libp2p::gossipsub::IdentTopic;
use sanspeer_core::gossip::GossipVersion;
use sanspeer_core::identity::PeerId;

use super::TOPIC;
use super::inbox::{Inbox, Letter};
use super::ours::Ours;
use super::theirs::Theirs;

/// A peer of either kind.
pub(crate) enum Peer {
    Ours(Ours),
    Theirs(Theirs),
}

impl From<Ours> for Peer {
    fn from(ours: Ours) -> Self {
        Peer::Ours(ours)
    }
}

impl From<Theirs> for Peer {
    fn from(theirs: Theirs) -> Self {
        Peer::Theirs(theirs)
    }
}

impl Peer {
    pub(crate) fn peer_id(&self) -> PeerId {
        match self {
            Peer::Ours(ours) => ours.node.peer_id(),
            Peer::Theirs(theirs) => theirs.peer_id,
        }
    }

    fn address(&self) -> &Multiaddr {
        match self {
            Peer::Ours(ours) => &ours.address,
            Peer::Theirs(theirs) => &theirs.address,
        }
    }

    pub(crate) fn inbox(&self) -> &Inbox {
        match self {
            Peer::Ours(ours) => &ours.inbox,
            Peer::Theirs(theirs) => &theirs.inbox,
        }
    }

    /// Begins to dial; whoever waits for what comes of it looks at the peers of the topic.
    pub(crate) async fn dial(&self, other: &Peer) {
        let address = other.address().clone();
        match self {
            Peer::Ours(ours) => {
                let peer = ours.node.dial(address).await.expect("a connection");
                assert_eq!(peer, other.peer_id());
            }
            Peer::Theirs(theirs) => {
                theirs.ask(|swarm| swarm.dial(address)).await.expect("a dial");
            }
        }
    }

    /// Publishes in the topic.
    pub(crate) async fn publish(&self, data: Vec<u8>) -> Letter {
        let letter = Letter::new(self.peer_id(), &data);
        let published = match self {
            Peer::Ours(ours) => ours.publish(data).await,
            Peer::Theirs(theirs) => theirs.publish(data).await,
        };
        published.expect("somebody to send to");
        letter
    }

    /// The mesh of the topic.
    pub(crate) async fn mesh(&self) -> BTreeSet<PeerId> {
        match self {
            Peer::Ours(ours) => {
                ours.node.mesh_peers(&ours.topic).await.expect("gossip").into_iter().collect()
            }
            Peer::Theirs(theirs) => {
                let topic = IdentTopic::new(TOPIC).hash();
                theirs
                    .ask(move |swarm| {
                        swarm.behaviour().gossip.mesh_peers(&topic).copied().collect()
                    })
                    .await
            }
        }
    }

    /// The connected peers of which it is known that they are in the topic.
    pub(crate) async fn subscribers(&self) -> BTreeSet<PeerId> {
        match self {
            Peer::Ours(ours) => {
                ours.node.topic_peers(&ours.topic).await.expect("gossip").into_iter().collect()
            }
            Peer::Theirs(theirs) => {
                let topic = IdentTopic::new(TOPIC).hash();
                let inside = move |topics: &[&libp2p::gossipsub::TopicHash]| {
                    topics.iter().any(|other| **other == topic)
                };
                theirs
                    .ask(move |swarm| {
                        let peers = swarm.behaviour().gossip.all_peers();
                        peers.filter(|(_, topics)| inside(topics)).map(|(peer, _)| *peer).collect()
                    })
                    .await
            }
        }
    }

    /// What it thinks of connected peers. One of ours says what that is made of when it is little.
    pub(crate) async fn scores(&self, of: &BTreeSet<PeerId>) -> BTreeMap<PeerId, (f64, String)> {
        match self {
            Peer::Ours(ours) => {
                let mut scores = BTreeMap::new();
                for peer in of {
                    let score =
                        ours.node.score(*peer).await.expect("gossip").expect("a known peer");
                    scores.insert(*peer, (score.total, format!("{score:?}")));
                }
                scores
            }
            Peer::Theirs(theirs) => {
                let of = of.clone();
                theirs
                    .ask(move |swarm| {
                        let score = |peer: &PeerId| {
                            let score = swarm.behaviour().gossip.peer_score(peer);
                            (score.expect("scores are on"), String::new())
                        };
                        of.iter().map(|peer| (*peer, score(peer))).collect()
                    })
                    .await
            }
        }
    }

    /// What it agreed on with a peer, if anything yet.
    pub(crate) async fn speaks_with(&self, peer: PeerId) -> Option<GossipVersion> {
        match self {
            Peer::Ours(ours) => {
                let versions =
                    ours.versions.lock().expect("no panic while the versions are locked");
                versions.get(&peer).copied()
            }
            Peer::Theirs(theirs) => {
                // The type of it cannot be named.
                let kind = theirs
                    .ask(move |swarm| {
                        let mut kinds = swarm.behaviour().gossip.peer_protocol();
                        kinds.find(|(id, _)| **id == peer).map(|(_, kind)| format!("{kind:?}"))
                    })
                    .await?;
                match kind.as_str() {
                    "Gossipsubv1_3" => Some(GossipVersion::V13),
                    "Gossipsubv1_2" => Some(GossipVersion::V12),
                    "Gossipsubv1_1" => Some(GossipVersion::V11),
                    "Gossipsub" => Some(GossipVersion::V10),
                    "Floodsub" => Some(GossipVersion::Floodsub),
                    // Nothing is agreed on yet.
                    _ => None,
                }
            }
        }
    }
}
