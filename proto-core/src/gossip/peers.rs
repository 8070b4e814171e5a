//! [`Peers`]: what is known of each connected peer.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use libp2p_identity::PeerId;

use super::backlog::Backlog;
use super::dont_want::DontWant;
use super::send_queue::SendQueue;
use super::topic::Topic;
use super::version::GossipVersion;
use crate::mailbox::{Frame, RequestId};
use crate::mux::Role;
use crate::node::{ConnectionId, StreamRef};

/// Streams that a peer may have open towards us, over all of its connections; of one more the
/// oldest is reset. One is needed, and two while it moves to another connection.
pub(super) const MAX_INBOUND_STREAMS: usize = 4;

/// The most bytes of topics that are known of one peer.
pub(super) const MAX_PEER_TOPIC_BYTES: usize = 64 * 1024;

/// A connected peer, as it is called inside. Never used for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PeerKey(pub(super) u64);

/// How far we are with the stream on which we speak to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outbound {
    /// It is being opened.
    Opening(RequestId),
    /// It is open, and both sides can do this.
    Open(StreamRef, GossipVersion),
    /// We have ended it, and the peer has not.
    Finishing(StreamRef),
    /// It was lost, or could not be opened; it is opened at the next heartbeat.
    Lost,
    /// There is none, and none is opened before something changes: the peer does not speak the
    /// protocol, or lost stream after stream.
    Idle,
}

/// Which way a stream goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// We speak.
    Outbound,
    /// The peer speaks.
    Inbound,
}

/// What a peer has used of its allowances since the last heartbeat.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Used {
    /// IHAVEs that it sent.
    pub(super) ihave_messages: usize,
    /// Ids that it was asked for.
    pub(super) asked_ids: usize,
    /// Ids that it asked for.
    pub(super) iwant_ids: usize,
    /// Ids that it does not want.
    pub(super) dont_want_ids: usize,
    /// Peers that it named.
    pub(super) named_peers: usize,
}

/// A connected peer.
pub(super) struct Peer {
    pub(super) id: PeerId,
    /// Bounded by the limit of connections per peer.
    pub(super) connections: BTreeMap<ConnectionId, Role>,
    pub(super) outbound: Outbound,
    /// The heartbeat at which a lost stream was opened last.
    pub(super) reopened_at: Option<u64>,
    /// The peer was said to speak the protocol, with this version, or not to.
    pub(super) announced: Option<Option<GossipVersion>>,
    /// At most [`MAX_INBOUND_STREAMS`], the oldest first.
    pub(super) inbound: Vec<StreamRef>,
    /// It has sent its extensions.
    pub(super) extensions: bool,
    /// Topics that it is in. Bounded by [`super::GossipConfig::max_peer_topics`] and
    /// [`MAX_PEER_TOPIC_BYTES`].
    pub(super) topics: BTreeSet<Topic>,
    pub(super) topic_bytes: usize,
    /// Our topics that it was told. At most as many as we are in.
    pub(super) told: BTreeSet<Topic>,
    /// What it was told may not be what we are in.
    pub(super) tell_topics: bool,
    pub(super) backlog: Backlog,
    pub(super) queue: SendQueue,
    pub(super) dont_want: DontWant,
    pub(super) used: Used,
    /// It is a direct peer.
    pub(super) direct: bool,
    /// Its own signed record. At most [`crate::record::MAX_ENVELOPE_BYTES`].
    pub(super) record: Option<Bytes>,
}

/// All connected peers.
#[derive(Default)]
pub(super) struct Peers {
    /// Bounded, like `keys`, by the connection limits.
    entries: BTreeMap<PeerKey, Peer>,
    keys: BTreeMap<PeerId, PeerKey>,
    /// Bounded by one outbound stream and [`MAX_INBOUND_STREAMS`] for each peer.
    streams: BTreeMap<StreamRef, (PeerKey, Direction)>,
    /// At most one for each peer.
    requests: BTreeMap<RequestId, PeerKey>,
    last_key: u64,
    last_request: u64,
}

impl Peer {
    fn new(id: PeerId, direct: bool) -> Self {
        Peer {
            id,
            connections: BTreeMap::new(),
            outbound: Outbound::Idle,
            reopened_at: None,
            announced: None,
            inbound: Vec::new(),
            extensions: false,
            topics: BTreeSet::new(),
            topic_bytes: 0,
            told: BTreeSet::new(),
            tell_topics: false,
            backlog: Backlog::default(),
            queue: SendQueue::default(),
            dont_want: DontWant::default(),
            used: Used::default(),
            direct,
            record: None,
        }
    }

    /// What we can say to it, if there is a stream.
    pub(super) fn version(&self) -> Option<GossipVersion> {
        match self.outbound {
            Outbound::Open(_, version) => Some(version),
            Outbound::Opening(_) | Outbound::Finishing(_) | Outbound::Lost | Outbound::Idle => None,
        }
    }

    /// Whether it can be in a mesh.
    pub(super) fn has_mesh(&self) -> bool {
        self.version().is_some_and(GossipVersion::has_mesh)
    }

    /// Whether it gets every message of its topics, because it has no mesh.
    pub(super) fn is_floodsub(&self) -> bool {
        self.version() == Some(GossipVersion::Floodsub)
    }

    /// Whether we dialled it.
    pub(super) fn is_outbound(&self) -> bool {
        self.connections.values().any(|role| *role == Role::Dialer)
    }

    /// The next frame that may be sent.
    pub(super) fn next_frame(&mut self) -> Option<Frame> {
        self.queue.next(&self.dont_want)
    }

    /// Bytes of control that wait for it: ids, and what is encoded.
    pub(super) fn control_bytes(&self) -> usize {
        self.backlog.held_bytes().saturating_add(self.queue.control_bytes())
    }

    /// Whether it may be in one more topic.
    pub(super) fn has_room_for(&self, topic: &Topic, max_topics: usize) -> bool {
        self.topics.len() < max_topics
            && self.topic_bytes.saturating_add(topic.as_str().len()) <= MAX_PEER_TOPIC_BYTES
    }
}

impl Peers {
    pub(super) fn get(&self, key: PeerKey) -> Option<&Peer> {
        self.entries.get(&key)
    }

    pub(super) fn get_mut(&mut self, key: PeerKey) -> Option<&mut Peer> {
        self.entries.get_mut(&key)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What a peer is called.
    pub(super) fn key(&self, peer: &PeerId) -> Option<PeerKey> {
        self.keys.get(peer).copied()
    }

    pub(super) fn id(&self, key: PeerKey) -> Option<PeerId> {
        self.entries.get(&key).map(|peer| peer.id)
    }

    /// All of them, in the order in which they connected.
    pub(super) fn iter(&self) -> impl Iterator<Item = (PeerKey, &Peer)> {
        self.entries.iter().map(|(key, peer)| (*key, peer))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (PeerKey, &mut Peer)> {
        self.entries.iter_mut().map(|(key, peer)| (*key, peer))
    }

    /// A peer, new if it is not known.
    pub(super) fn insert(&mut self, id: PeerId, direct: bool) -> PeerKey {
        if let Some(key) = self.keys.get(&id) {
            return *key;
        }
        self.last_key += 1;
        let key = PeerKey(self.last_key);
        self.keys.insert(id, key);
        self.entries.insert(key, Peer::new(id, direct));
        key
    }

    /// Forgets a peer, with its streams and requests.
    pub(super) fn remove(&mut self, key: PeerKey) -> Option<Peer> {
        let peer = self.entries.remove(&key)?;
        self.keys.remove(&peer.id);
        for stream in &peer.inbound {
            self.streams.remove(stream);
        }
        match peer.outbound {
            Outbound::Opening(request) => {
                self.requests.remove(&request);
            }
            Outbound::Open(stream, _) | Outbound::Finishing(stream) => {
                self.streams.remove(&stream);
            }
            Outbound::Lost | Outbound::Idle => {}
        }
        Some(peer)
    }

    /// A name for a request to open a stream.
    pub(super) fn request(&mut self, key: PeerKey) -> RequestId {
        let request = self.next_request();
        self.requests.insert(request, key);
        request
    }

    /// A name for any other request.
    pub(super) fn next_request(&mut self) -> RequestId {
        self.last_request += 1;
        RequestId(self.last_request)
    }

    pub(super) fn take_request(&mut self, request: RequestId) -> Option<PeerKey> {
        self.requests.remove(&request)
    }

    /// Whose stream it is, and which way it goes.
    pub(super) fn stream(&self, stream: StreamRef) -> Option<(PeerKey, Direction)> {
        self.streams.get(&stream).copied()
    }

    pub(super) fn add_stream(&mut self, stream: StreamRef, key: PeerKey, direction: Direction) {
        self.streams.insert(stream, (key, direction));
    }

    pub(super) fn remove_stream(&mut self, stream: StreamRef) -> Option<(PeerKey, Direction)> {
        self.streams.remove(&stream)
    }
}
