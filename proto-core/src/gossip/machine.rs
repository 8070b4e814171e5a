//! [`Gossip`]: its state, its inputs and outputs, and its time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use libp2p_identity::PeerId;

use super::backoff::Backoffs;
use super::config::{GossipConfig, GossipConfigError, TopicSettings};
use super::direct::Direct;
use super::events::GossipEvent;
use super::exchange::Exchange;
use super::message_cache::MessageCache;
use super::peers::{PeerKey, Peers};
use super::promises::Promises;
use super::score::{
    ApplicationScoreError, ScoreBreakdown, ScoreConfigError, Scores, TopicScoreParams,
};
use super::seen_cache::SeenCache;
use super::signature::Author;
use super::topic::Topic;
use super::topics::Topics;
use super::validation::Pending;
use super::verification::Verifications;
use crate::identity::Identity;
use crate::node::{Accepted, CommandId, Protocol, ProtocolInput, ProtocolOutput};
use crate::protocol::ProtocolId;
use crate::queue;
use crate::rng::{Rng, Seed};
use crate::time::{Clock, Deadline, DeadlineReason, Timestamp};

/// Streams of one of its protocol ids that a remote may have open at once on one connection.
const MAX_INBOUND_STREAMS_PER_CONNECTION: u32 = 2;

/// Gossip of one node: GossipSub 1.0 to 1.3, and floodsub with those that speak nothing else.
///
/// Messages of the topics that it is in are events, each once, and go on to its peers. What it does
/// by itself it does at heartbeats, the first of them
/// [`heartbeat_initial_delay`](GossipConfig::heartbeat_initial_delay) after the first input.
///
/// Outputs and events are polled until there are none after every call that takes `&mut self`.
pub struct Gossip {
    pub(super) config: GossipConfig,
    /// The ids that are proposed on a stream of ours.
    pub(super) protocols: Vec<ProtocolId>,
    identity: Identity,
    clock: Clock,
    pub(super) rng: Rng,
    pub(super) author: Author,
    /// Unix time was told, so that sequence numbers follow it.
    knows_time: bool,
    pub(super) peers: Peers,
    pub(super) topics: Topics,
    /// What the application set: as many as it names.
    pub(super) settings: BTreeMap<Topic, TopicSettings>,
    /// Topics that we left of late, and until when peers may not know that. At most as many as we
    /// can be in.
    pub(super) left: BTreeMap<Topic, Timestamp>,
    pub(super) backoffs: Backoffs,
    pub(super) scores: Scores,
    pub(super) seen: SeenCache<PeerKey>,
    pub(super) cache: MessageCache<PeerKey>,
    pub(super) verifications: Verifications,
    pub(super) pending: Pending,
    pub(super) promises: Promises,
    pub(super) direct: Direct,
    pub(super) exchange: Exchange,
    /// Peers that something may be sent to. Bounded by the connected peers.
    pub(super) dirty: BTreeSet<PeerKey>,
    /// How many heartbeats there were.
    pub(super) tick: u64,
    /// Our streams are being ended, and none is opened.
    pub(super) finishing: bool,
    next_heartbeat: Option<Timestamp>,
    /// What the last inputs caused.
    outputs: VecDeque<ProtocolOutput>,
    /// Likewise.
    pub(super) events: VecDeque<GossipEvent>,
}

impl Gossip {
    /// A gossip that is in no topic. What it draws at random follows from `seed`.
    ///
    /// # Errors
    ///
    /// When the numbers of `config` do not fit together.
    pub fn new(
        config: GossipConfig,
        identity: Identity,
        seed: &Seed,
    ) -> Result<Gossip, GossipConfigError> {
        config.check()?;
        let mut rng = seed.derive("gossip", 0).rng();
        // Lower than any Unix time in nanoseconds, by which it is replaced when that is told.
        let first = rng.next_u64() >> 8;
        let scores = Scores::new(Timestamp::ZERO, config.score.clone());
        Ok(Gossip {
            protocols: config.protocols.iter().map(|spoken| spoken.protocol.clone()).collect(),
            clock: Clock::default(),
            rng,
            author: Author::new(identity.clone(), first),
            knows_time: false,
            peers: Peers::default(),
            topics: Topics::default(),
            settings: BTreeMap::new(),
            left: BTreeMap::new(),
            backoffs: Backoffs::default(),
            scores: scores.map_err(GossipConfigError::Score)?,
            seen: SeenCache::new(config.seen, &seed.derive("gossip seen", 0)),
            cache: MessageCache::new(config.cache, &seed.derive("gossip cache", 0)),
            verifications: Verifications::default(),
            pending: Pending::new(config.max_pending_messages, config.max_pending_bytes),
            promises: Promises::default(),
            direct: Direct::default(),
            exchange: Exchange::default(),
            dirty: BTreeSet::new(),
            tick: 0,
            finishing: false,
            next_heartbeat: None,
            outputs: VecDeque::new(),
            events: VecDeque::new(),
            identity,
            config,
        })
    }

    /// Who we are.
    pub fn peer_id(&self) -> PeerId {
        self.identity.peer_id()
    }

    /// Says what time it is: `seconds` since 1970-01-01 UTC. The sequence numbers of our messages
    /// follow from it, so that they grow from one run to the next. Counts once.
    pub fn set_unix_time(&mut self, now: Timestamp, seconds: u64) {
        self.set_unix_nanoseconds(now, seconds.saturating_mul(1_000_000_000));
    }

    /// The same in nanoseconds: two runs of one identity may begin within one second.
    pub fn set_unix_nanoseconds(&mut self, now: Timestamp, nanoseconds: u64) {
        self.advance(now);
        if !core::mem::replace(&mut self.knows_time, true) {
            self.author = Author::new(self.identity.clone(), nanoseconds);
        }
    }

    /// Sets what holds for one topic, now or later. Whether its degrees fit together.
    ///
    /// # Errors
    ///
    /// When they do not. Nothing changes then.
    pub fn set_topic_settings(
        &mut self,
        topic: &Topic,
        settings: TopicSettings,
    ) -> Result<(), GossipConfigError> {
        settings.mesh.map_or(Ok(()), |mesh| mesh.check())?;
        self.settings.insert(topic.clone(), settings);
        Ok(())
    }

    /// Scores a topic by these numbers from now on.
    ///
    /// # Errors
    ///
    /// When they are not sound. Nothing changes then.
    pub fn set_topic_params(
        &mut self,
        now: Timestamp,
        topic: &Topic,
        params: TopicScoreParams,
    ) -> Result<(), ScoreConfigError> {
        let now = self.advance(now);
        self.scores.set_topic_params(now, topic, params)
    }

    /// Says what the application thinks of a peer (P5).
    ///
    /// # Errors
    ///
    /// When nothing is known of the peer, or `score` is not a number.
    pub fn set_application_score(
        &mut self,
        now: Timestamp,
        peer: &PeerId,
        score: f64,
    ) -> Result<(), ApplicationScoreError> {
        let now = self.advance(now);
        self.scores.set_application_score(now, peer, score)
    }

    /// What the score of a peer is made of, if anything is known of it.
    pub fn score(&self, peer: &PeerId) -> Option<ScoreBreakdown> {
        self.scores.breakdown(peer)
    }

    /// The topics that we are in, in their order.
    pub fn topics(&self) -> Vec<Topic> {
        self.topics.joined().cloned().collect()
    }

    /// The connected peers that are in a topic, in their order.
    pub fn topic_peers(&self, topic: &Topic) -> Vec<PeerId> {
        let state = self.topics.get(topic);
        self.ids(state.into_iter().flat_map(|state| &state.subscribers))
    }

    /// The peers of our mesh of a topic, in their order.
    pub fn mesh_peers(&self, topic: &Topic) -> Vec<PeerId> {
        self.ids(self.topics.mesh(topic).into_iter().flatten())
    }

    /// Whom we published to in a topic that we are not in, in their order.
    pub fn fanout_peers(&self, topic: &Topic) -> Vec<PeerId> {
        let fanout = self.topics.get(topic).and_then(|state| state.fanout.as_ref());
        self.ids(fanout.into_iter().flat_map(|fanout| &fanout.peers))
    }

    /// How much is kept of remotes and messages.
    pub fn usage(&self) -> GossipUsage {
        GossipUsage {
            peers: self.peers.len(),
            topics: self.topics.len(),
            backoffs: self.backoffs.len(),
            seen_messages: self.seen.len(),
            verifying_bytes: self.seen.verifying_bytes(),
            pending_messages: self.pending.len(),
            pending_bytes: self.pending.held_bytes(),
            cached_messages: self.cache.len(),
            cached_bytes: self.cache.held_bytes(),
            asked_ids: self.promises.len(),
            queued_bytes: self.peers.iter().map(|(_, peer)| peer.queue.waiting_bytes()).sum(),
            control_bytes: self.peers.iter().map(|(_, peer)| peer.control_bytes()).sum(),
        }
    }

    fn ids<'a>(&self, keys: impl Iterator<Item = &'a PeerKey>) -> Vec<PeerId> {
        let mut ids: Vec<PeerId> = keys.filter_map(|key| self.peers.id(*key)).collect();
        ids.sort_unstable();
        ids
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<GossipEvent> {
        let event = self.events.pop_front();
        queue::rest(&mut self.events);
        event
    }

    /// Takes the time of a call. Heartbeats begin with the first.
    pub(super) fn advance(&mut self, now: Timestamp) -> Timestamp {
        let now = self.clock.advance(now);
        if self.next_heartbeat.is_none() {
            self.next_heartbeat = Some(now.saturating_add(self.config.heartbeat_initial_delay));
        }
        self.scores.refresh(now)
    }

    /// The time of the last call.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn output(&mut self, output: ProtocolOutput) {
        self.outputs.push_back(output);
    }

    pub(super) fn max_frame_bytes(&self) -> u32 {
        u32::try_from(self.config.received.max_frame_bytes).unwrap_or(u32::MAX)
    }

    fn time_out(&mut self, now: Timestamp) {
        self.ignore_overdue(now);
        let Some(due) = self.next_heartbeat.filter(|at| *at <= now) else { return };
        self.heartbeat(now);
        // However late it is, there is one and not several.
        let interval = self.config.heartbeat_interval;
        let next = due.saturating_add(interval);
        self.next_heartbeat = Some(if next > now { next } else { now.saturating_add(interval) });
    }

    fn handle_command(&mut self, now: Timestamp, id: CommandId, command: &[u8]) {
        let reply = self.run_encoded(now, command);
        self.output(ProtocolOutput::Reply { id, reply });
    }
}

/// How much is kept of remotes and messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GossipUsage {
    /// Connected peers.
    pub peers: usize,
    /// Topics that we or a peer are in, or that we published to.
    pub topics: usize,
    /// Back-offs.
    pub backoffs: usize,
    /// Messages that are known as seen, or are being verified.
    pub seen_messages: usize,
    /// Bytes of messages that are being verified or wait for it.
    pub verifying_bytes: usize,
    /// Messages that wait for the application.
    pub pending_messages: usize,
    /// Bytes of them.
    pub pending_bytes: usize,
    /// Messages that peers can ask for.
    pub cached_messages: usize,
    /// Bytes of them, with what it takes to find them.
    pub cached_bytes: usize,
    /// Messages that were asked for and did not come yet.
    pub asked_ids: usize,
    /// Bytes of messages that wait for peers; each message once for each.
    pub queued_bytes: usize,
    /// Bytes of control that wait for peers, without GRAFT and PRUNE that are not encoded yet.
    pub control_bytes: usize,
}

impl Protocol for Gossip {
    fn name(&self) -> &str {
        "gossip"
    }

    fn accepts(&self) -> Vec<Accepted> {
        let accepted = |protocol: &ProtocolId| Accepted {
            protocol: protocol.clone(),
            max_frame_bytes: self.max_frame_bytes(),
            max_inbound_streams: MAX_INBOUND_STREAMS_PER_CONNECTION,
        };
        self.protocols.iter().map(accepted).collect()
    }

    fn handle(&mut self, now: Timestamp, input: ProtocolInput) {
        let now = self.advance(now);
        match input {
            ProtocolInput::ConnectionOpened { peer, connection, role, address, first: _ } => {
                self.connection_opened(now, peer, connection, role, &address);
            }
            ProtocolInput::ConnectionClosed { peer, connection, last: _ } => {
                self.connection_closed(now, peer, connection);
            }
            ProtocolInput::StreamOpened { request, peer: _, stream, protocol } => {
                self.stream_opened(now, request, stream, &protocol);
            }
            ProtocolInput::OpenFailed { request, peer: _, failure } => {
                self.open_failed(request, failure);
            }
            ProtocolInput::InboundStream { peer, stream, protocol } => {
                self.inbound_stream(&peer, stream, &protocol);
            }
            ProtocolInput::Frame { stream, frame } => self.handle_frame(now, stream, &frame),
            ProtocolInput::Credit { stream, bytes } => self.handle_credit(stream, bytes),
            ProtocolInput::Verified { request, valid } => {
                self.handle_verified(now, request, valid);
            }
            ProtocolInput::StreamFinished(stream) => self.stream_finished(stream),
            ProtocolInput::StreamClosed { stream, end } => self.stream_ended(now, stream, end),
            ProtocolInput::DialFailed(peer) => self.exchange.failed(&peer),
            ProtocolInput::Command { id, command } => self.handle_command(now, id, &command),
            ProtocolInput::Timeout => self.time_out(now),
        }
        self.flush();
    }

    fn poll(&mut self) -> Option<ProtocolOutput> {
        let output = self.outputs.pop_front();
        queue::rest(&mut self.outputs);
        output
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        let heartbeat = self.next_heartbeat.filter(|at| *at < Timestamp::MAX);
        Deadline::earlier(
            heartbeat.map(|at| Deadline::new(at, DeadlineReason::Heartbeat)),
            self.pending.first_deadline().map(|at| Deadline::new(at, DeadlineReason::Verdict)),
        )
    }
}
