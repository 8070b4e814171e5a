//! [`Network`]: peers in a fixed graph, and what must arrive where.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use futures::future::join_all;
use sanspeer_core::identity::PeerId;
use sanspeer_core::rng::Seed;

use super::PATIENCE;
use super::inbox::Letter;
use super::peer::Peer;

/// How often something is looked at that nobody tells of by itself.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Peers, and who of them is connected with whom.
pub(crate) struct Network {
    pub(crate) peers: Vec<Peer>,
    /// Pairs of peers, the one that dialled first.
    edges: Vec<(usize, usize)>,
    /// What was published so far.
    letters: BTreeSet<Letter>,
    /// How many rounds were checked.
    rounds: u64,
}

/// What a message says: no two that an author numbers differently are the same, if they are longer
/// than a byte. One byte says who the author is.
pub(crate) fn data(author: usize, number: u64, bytes: usize) -> Vec<u8> {
    let mut data = vec![u8::try_from(author).expect("a small network"); bytes];
    if bytes > 1 {
        Seed::from_u64(number).derive("author", author as u64).rng().fill(&mut data);
    }
    data
}

/// Looks until `holds`; panics with `what` if that takes too long.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let looking = async {
        let mut interval = tokio::time::interval(LOOK_INTERVAL);
        while !holds().await {
            interval.tick().await;
        }
    };
    let looked = tokio::time::timeout(PATIENCE, looking).await;
    assert!(looked.is_ok(), "not within {PATIENCE:?}: {what}");
}

impl Network {
    /// Peers that are connected already, and what they have published.
    pub(crate) fn of(peers: Vec<Peer>, letters: impl IntoIterator<Item = Letter>) -> Network {
        // Beyond the numbers of those letters.
        let rounds = 1;
        Network { peers, edges: Vec::new(), letters: letters.into_iter().collect(), rounds }
    }

    /// Connects the peers along the edges, and waits until each knows which neighbours are in the
    /// topic.
    pub(crate) async fn connect(peers: Vec<Peer>, edges: &[(usize, usize)]) -> Network {
        let letters = BTreeSet::new();
        let network = Network { peers, edges: edges.to_vec(), letters, rounds: 0 };
        let dial = |(dialer, listener): &(usize, usize)| {
            network.peers[*dialer].dial(&network.peers[*listener])
        };
        join_all(edges.iter().map(dial)).await;
        for (at, peer) in network.peers.iter().enumerate() {
            let neighbours = network.neighbours(at);
            until("every peer knows its neighbours' topics", || async {
                peer.subscribers().await == neighbours
            })
            .await;
        }
        network
    }

    /// The same, and waits until every neighbour is in the mesh, on both sides.
    pub(crate) async fn connect_meshes(peers: Vec<Peer>, edges: &[(usize, usize)]) -> Network {
        let network = Network::connect(peers, edges).await;
        for (at, peer) in network.peers.iter().enumerate() {
            let neighbours = network.neighbours(at);
            until("every neighbour is in the mesh", || async { peer.mesh().await == neighbours })
                .await;
        }
        network
    }

    pub(crate) fn neighbours(&self, of: usize) -> BTreeSet<PeerId> {
        let other = |(one, two): &(usize, usize)| match of {
            of if of == *one => Some(*two),
            of if of == *two => Some(*one),
            _ => None,
        };
        self.edges.iter().filter_map(other).map(|at| self.peers[at].peer_id()).collect()
    }

    /// Each peer publishes a message of each length, all peers at once.
    pub(crate) async fn publish_all(&mut self, lengths: &[usize]) {
        let first = self.rounds << 32;
        let author = async |(at, peer): (usize, &Peer)| {
            let mut letters = Vec::new();
            for (bytes, number) in lengths.iter().zip(first..) {
                letters.push(peer.publish(data(at, number, *bytes)).await);
            }
            letters
        };
        let letters = join_all(self.peers.iter().enumerate().map(author)).await;
        self.letters.extend(letters.into_iter().flatten());
        self.rounds += 1;
    }

    /// Everything that was published so far arrives exactly once at every peer but its author, and
    /// has not come again when another round has gone the same ways.
    pub(crate) async fn check_exactly_once(&mut self) {
        self.wait_all().await;
        self.publish_all(&[64]).await;
        self.wait_all().await;
        for peer in &self.peers {
            let amiss = peer.inbox().amiss(&self.wanted(peer));
            assert!(amiss.is_empty(), "{}: {amiss:?}, {:?}", peer.peer_id(), peer.inbox().notes());
        }
    }

    fn wanted(&self, peer: &Peer) -> BTreeSet<Letter> {
        let id = peer.peer_id();
        self.letters.iter().filter(|letter| letter.author != id).copied().collect()
    }

    async fn wait_all(&self) {
        for (at, peer) in self.peers.iter().enumerate() {
            let wanted = self.wanted(peer);
            let waited = tokio::time::timeout(PATIENCE, peer.inbox().wait(wanted.len())).await;
            if waited.is_err() {
                let amiss = peer.inbox().amiss(&wanted);
                panic!("peer {at}: {} of {} amiss, {amiss:?}, {:?}", amiss.len(), wanted.len(), {
                    peer.inbox().notes()
                });
            }
        }
    }

    /// Ends every peer of ours well.
    pub(crate) async fn end(self) {
        for peer in self.peers {
            if let Peer::Ours(ours) = peer {
                let ended = tokio::time::timeout(PATIENCE, ours.node.shutdown()).await;
                assert!(ended.is_ok(), "not shut down within {PATIENCE:?}");
            }
        }
    }
}
