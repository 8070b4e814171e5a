//! [`Ledger`]: what went in and came out, by peer, topic and message. Nothing of it is read from
//! the machine.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use sanspeer_core::gossip::config::MAX_BACKOFF;
use sanspeer_core::gossip::{
    GossipConfig, GossipEvent, MeshParams, Message, MessageId, Rpc, Topic, VerifyWhere, WireMessage,
};
use sanspeer_core::identity::PeerId;
use sanspeer_core::node::ConnectionId;
use sanspeer_core::time::Timestamp;

use super::samples;

/// A connection.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    pub peer: usize,
    /// We dialled.
    pub outbound: bool,
}

/// A connected peer.
#[derive(Debug, Default)]
pub struct Known {
    /// Topics that it said that it is in.
    pub subscribed: BTreeSet<Topic>,
    /// Topics in which it grafted us, which says the same.
    pub grafted: BTreeSet<Topic>,
    /// It said once that it is in more topics than are known of a peer.
    pub crowded: bool,
    /// Ids that it said that it has.
    pub offered: BTreeSet<MessageId>,
    /// Ids that it was asked for, and at which heartbeat that was counted first.
    pub asked: usize,
    pub since_heartbeat: u64,
    /// Ids that it heard of since the last heartbeat.
    pub heard: BTreeMap<Topic, usize>,
    /// How often it was sent a message.
    pub copies: BTreeMap<MessageId, u32>,
    /// Ids that it asked for.
    pub wanted: BTreeSet<MessageId>,
}

/// A message.
#[derive(Debug, Default)]
pub struct Record {
    /// When it came first since it was delivered last.
    arrived: Option<Timestamp>,
    /// Copies that came and are valid.
    pub genuine: BTreeSet<Bytes>,
    senders: BTreeSet<usize>,
    /// From when on it should be known as seen.
    seen: Option<Timestamp>,
    /// How often it was accepted, or published by us.
    pub approvals: u32,
    pub ours: bool,
}

/// All of it.
pub struct Ledger {
    pub config: GossipConfig,
    pub us: PeerId,
    pub joined: BTreeSet<Topic>,
    pub links: BTreeMap<ConnectionId, Link>,
    pub peers: BTreeMap<usize, Known>,
    pub direct: BTreeSet<usize>,
    /// By events.
    pub mesh: BTreeMap<Topic, BTreeSet<usize>>,
    /// By events.
    pub members: BTreeMap<Topic, BTreeSet<usize>>,
    /// Whom not to graft, and until when.
    pub backoffs: BTreeMap<(usize, Topic), Timestamp>,
    /// When something last happened that can begin a back-off.
    pub touched: BTreeMap<(usize, Topic), Timestamp>,
    pub messages: BTreeMap<MessageId, Record>,
    /// Ids of messages that were delivered or published.
    pub known: Vec<MessageId>,
    /// Ids of messages that the application may decide on.
    pub waiting: Vec<MessageId>,
    pub heartbeats: u64,
    pub next_heartbeat: Option<Timestamp>,
    pub meshes: BTreeMap<Topic, MeshParams>,
    /// Peers that are dialled because somebody named them.
    pub dialling: BTreeSet<PeerId>,
}

impl Ledger {
    pub fn new(config: GossipConfig, us: PeerId) -> Self {
        Ledger {
            config,
            us,
            joined: BTreeSet::new(),
            links: BTreeMap::new(),
            peers: BTreeMap::new(),
            direct: BTreeSet::new(),
            mesh: BTreeMap::new(),
            members: BTreeMap::new(),
            backoffs: BTreeMap::new(),
            touched: BTreeMap::new(),
            messages: BTreeMap::new(),
            known: Vec::new(),
            waiting: Vec::new(),
            heartbeats: 0,
            next_heartbeat: None,
            meshes: BTreeMap::new(),
            dialling: BTreeSet::new(),
        }
    }

    pub fn mesh_params(&self, topic: &Topic) -> MeshParams {
        self.meshes.get(topic).copied().unwrap_or(self.config.mesh)
    }

    pub fn dialled(&self, peer: usize) -> bool {
        self.links.values().any(|link| link.peer == peer && link.outbound)
    }

    /// Whether a peer said that it is in a topic, in whatever way.
    pub fn is_said(&self, peer: usize, topic: &Topic) -> bool {
        self.peers
            .get(&peer)
            .is_some_and(|known| known.subscribed.contains(topic) || known.grafted.contains(topic))
    }

    /// The machine is called.
    pub fn call(&mut self, now: Timestamp) {
        let delay = self.config.heartbeat_initial_delay;
        self.next_heartbeat.get_or_insert(now.saturating_add(delay));
    }

    /// The machine is woken. Whether a heartbeat is due.
    pub fn wake(&mut self, now: Timestamp) -> bool {
        let Some(due) = self.next_heartbeat.filter(|at| *at <= now) else { return false };
        let interval = self.config.heartbeat_interval;
        let next = due.saturating_add(interval);
        self.next_heartbeat = Some(if next > now { next } else { now.saturating_add(interval) });
        self.heartbeats += 1;
        self.peers.values_mut().for_each(|known| known.heard.clear());
        true
    }

    // Peers.

    pub fn connected(&mut self, connection: ConnectionId, link: Link) {
        self.links.insert(connection, link);
        self.dialling.remove(&samples::peer(link.peer));
        let since_heartbeat = self.heartbeats;
        let new = || Known { since_heartbeat, ..Known::default() };
        self.peers.entry(link.peer).or_insert_with(new);
    }

    /// Whether it was the peer's last one.
    pub fn disconnected(&mut self, connection: ConnectionId) -> bool {
        let Some(link) = self.links.remove(&connection) else { return false };
        let last = self.links.values().all(|other| other.peer != link.peer);
        if last {
            self.peers.remove(&link.peer);
        }
        last
    }

    /// A peer says something. `heard` is false if it is not listened to but for its topics.
    pub fn frame(&mut self, now: Timestamp, peer: usize, rpc: &Rpc, heard: bool) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        for (subscribe, topic) in &rpc.subscriptions {
            if subscribe {
                known.subscribed.insert(topic);
                let topics = known.subscribed.len() + known.grafted.len();
                known.crowded |= topics > self.config.max_peer_topics;
            } else {
                known.subscribed.remove(&topic);
                known.grafted.remove(&topic);
            }
        }
        if !heard {
            return;
        }
        for entry in &rpc.control.ihave {
            if self.joined.contains(&entry.topic) {
                known.offered.extend(entry.ids.iter());
            }
        }
        known.wanted.extend(rpc.control.iwant.iter());
        for topic in &rpc.control.graft {
            if self.joined.contains(&topic) {
                known.grafted.insert(topic.clone());
                let topics = known.subscribed.len() + known.grafted.len();
                known.crowded |= topics > self.config.max_peer_topics;
                self.touched.insert((peer, topic), now);
            }
        }
        for prune in &rpc.control.prune {
            if self.joined.contains(&prune.topic) {
                let backoff =
                    prune.backoff_secs.map_or(self.config.prune_backoff, Duration::from_secs);
                self.touched.insert((peer, prune.topic.clone()), now);
                self.back_off(peer, &prune.topic, now, backoff.min(MAX_BACKOFF));
            }
        }
        for message in &rpc.messages {
            if self.joined.contains(&message.topic) {
                self.arrived(now, peer, &message);
            }
        }
    }

    pub fn back_off(&mut self, peer: usize, topic: &Topic, since: Timestamp, time: Duration) {
        let until = self.backoffs.entry((peer, topic.clone())).or_default();
        *until = (*until).max(since.saturating_add(time));
    }

    fn arrived(&mut self, now: Timestamp, peer: usize, message: &WireMessage) {
        let id = (self.config.message_id)(message);
        let record = self.messages.entry(id).or_default();
        record.arrived.get_or_insert(now);
        record.senders.insert(peer);
        if samples::is_valid(self.config.signatures, message) {
            record.genuine.insert(message.encoded.clone());
        }
    }

    // What the machine tells.

    pub fn event(&mut self, now: Timestamp, event: &GossipEvent) {
        match event {
            GossipEvent::Message { propagation_source, message, needs_verdict } => {
                self.delivered(now, propagation_source, message, *needs_verdict);
            }
            GossipEvent::Subscribed { peer, topic } => {
                let members = self.members.entry(topic.clone()).or_default();
                assert!(members.insert(number(peer)), "{peer} joined {topic} twice");
            }
            GossipEvent::Unsubscribed { peer, topic } => {
                let members = self.members.entry(topic.clone()).or_default();
                assert!(members.remove(&number(peer)), "{peer} left {topic} twice");
            }
            GossipEvent::Grafted { peer, topic } => {
                assert!(self.joined.contains(topic), "a mesh of {topic}");
                let mesh = self.mesh.entry(topic.clone()).or_default();
                assert!(mesh.insert(number(peer)), "{peer} was grafted twice in {topic}");
            }
            GossipEvent::Pruned { peer, topic } => {
                let mesh = self.mesh.entry(topic.clone()).or_default();
                assert!(mesh.remove(&number(peer)), "{peer} was pruned twice in {topic}");
                self.touched.insert((number(peer), topic.clone()), now);
            }
            GossipEvent::SlowPeer { lost, .. } => assert!(!lost.is_empty()),
            GossipEvent::PeerSpeaks { .. } | GossipEvent::NotSupported { .. } => {}
        }
    }

    fn delivered(&mut self, now: Timestamp, from: &PeerId, message: &Message, waits: bool) {
        let Message { id, source, topic, data, .. } = message;
        assert!(self.joined.contains(topic), "a message of {topic}");
        assert_ne!(*source, Some(self.us), "our own message");
        let forgets_early = self.forgets_early();
        let record = self.messages.get_mut(id).expect("a message that nobody sent");
        let copy = record.genuine.iter().find(|encoded| {
            let copy = WireMessage::decode(encoded).expect("it was one");
            copy.topic == *topic && copy.data == *data
        });
        assert!(copy.is_some(), "a message that nobody wrote: {message:?}");
        // Of those who left while it was verified nobody can be named.
        let some_left = record.senders.iter().any(|peer| !self.peers.contains_key(peer));
        assert!(
            record.senders.contains(&number(from)) || (some_left && *source == Some(*from)),
            "{from} did not send {id}"
        );
        if let Some(seen) = record.seen
            && !forgets_early
        {
            let since = now.saturating_since(seen);
            assert!(since >= self.config.seen.ttl, "{id} again after {since:?}");
        }
        // Where verification takes time, an id is remembered from when it came.
        let at_once = self.config.verify == VerifyWhere::Inline;
        record.seen = if at_once { Some(now) } else { record.arrived.or(Some(now)) };
        record.arrived = None;
        if waits {
            self.waiting.push(id.clone());
        } else {
            record.approvals += 1;
        }
        self.known.push(id.clone());
    }

    /// Whether ids are forgotten before their time.
    fn forgets_early(&self) -> bool {
        self.config.seen.max_entries < 1_000
    }

    // What the application wants.

    pub fn published(&mut self, now: Timestamp, id: &MessageId) {
        let record = self.messages.entry(id.clone()).or_default();
        record.seen = Some(now);
        record.arrived = None;
        record.approvals += 1;
        record.ours = true;
        self.known.push(id.clone());
    }

    pub fn accepted(&mut self, id: &MessageId) {
        let record = self.messages.get_mut(id).expect("it was delivered");
        record.approvals += 1;
    }
}

fn number(peer: &PeerId) -> usize {
    samples::number_of(peer).expect("one of the peers")
}
