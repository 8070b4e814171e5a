//! [`Rig`]: carries out steps, with what Node and connections keep.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use sanspeer_core::gossip::{
    Acceptance, Gossip, GossipCommand, GossipConfig, GossipEvent, GossipReply, GossipVersion,
    PublishError, Rpc, SignatureCheck, TopicScoreParams, TopicSettings, VerifyWhere,
};
use sanspeer_core::mailbox::{OpenFailure, RequestId, StreamEnd};
use sanspeer_core::mux::{Role, StreamId};
use sanspeer_core::node::{
    CommandId, ConnectionId, Protocol, ProtocolInput, ProtocolOutput, StreamRef,
};
use sanspeer_core::protocol::ProtocolId;
use sanspeer_core::rng::Seed;
use sanspeer_core::time::Timestamp;

use super::ledger::{Ledger, Link};
use super::said;
use super::samples::{self, PEERS};
use super::sent::Spoken;
use super::settings::{MESHES, Settings};
use super::step::{Part, Step};

/// Timeouts that are handled when they are due while time passes in one step; behind them there is
/// one more, late.
const MAX_TIMEOUTS: usize = 12;

/// Connections that a peer may have.
const MAX_CONNECTIONS: usize = 2;

/// What a turn may lead to, at most.
const MAX_OUTPUTS: usize = 100_000;

/// All that the machine wanted and told.
#[derive(Default, PartialEq)]
pub struct Log {
    pub outputs: Vec<(Timestamp, ProtocolOutput)>,
    pub events: Vec<GossipEvent>,
}

/// The machine, and what is around it.
pub struct Rig {
    pub(super) gossip: Gossip,
    pub(super) now: Timestamp,
    pub(super) config: GossipConfig,
    pub(super) ledger: Ledger,
    pub(super) outbound: BTreeMap<StreamRef, Spoken>,
    pub(super) inbound: BTreeMap<StreamRef, usize>,
    /// Streams that were asked for, and of whom.
    pub(super) requests: BTreeMap<RequestId, usize>,
    /// Signatures that connections check.
    pub(super) checks: BTreeMap<RequestId, (ConnectionId, SignatureCheck)>,
    /// What peers are about to say.
    held: BTreeMap<usize, Vec<u8>>,
    /// What Node tells as soon as a turn is over.
    next: VecDeque<ProtocolInput>,
    log: Log,
    last: u64,
}

impl Rig {
    pub fn new(settings: Settings) -> Self {
        let Settings { config, start } = settings;
        let identity = samples::own_identity();
        let us = identity.peer_id();
        let gossip = Gossip::new(config.clone(), identity, &Seed::from_u64(1));
        Rig {
            gossip: gossip.expect("sound settings"),
            now: start,
            ledger: Ledger::new(config.clone(), us),
            config,
            outbound: BTreeMap::new(),
            inbound: BTreeMap::new(),
            requests: BTreeMap::new(),
            checks: BTreeMap::new(),
            held: BTreeMap::new(),
            next: VecDeque::new(),
            log: Log::default(),
            last: 0,
        }
    }

    /// Ends all connections; nothing of their peers is left.
    pub fn finish(mut self) -> Log {
        for connection in self.ledger.links.keys().copied().collect::<Vec<_>>() {
            self.disconnect(connection);
            self.settle();
        }
        self.check_empty();
        self.log
    }

    pub fn step(&mut self, step: Step) {
        match step {
            Step::Connect { peer, role, address } => self.connect(peer, role, address),
            Step::Disconnect { which } => {
                if let Some(connection) = pick(self.ledger.links.keys(), which) {
                    self.disconnect(connection);
                }
            }
            Step::Answer { which, how } => self.answer(which, how),
            Step::Inbound { peer, version } => {
                self.open_inbound(usize::from(peer) % PEERS, version);
            }
            Step::Close { which, how } => {
                if let Some(stream) = self.any_stream(which) {
                    self.close(stream, ENDS[usize::from(how) % ENDS.len()]);
                }
            }
            Step::Finished { which } => {
                if let Some(stream) = self.any_stream(which) {
                    self.tell(ProtocolInput::StreamFinished(stream));
                }
            }
            Step::Say { peer, more, what } => self.say(usize::from(peer) % PEERS, more, what),
            Step::Credit { which, part } => self.credit(which, part),
            Step::Verified { which } => self.verified(which),
            Step::Report { which, acceptance } => self.report(which, acceptance),
            Step::Publish { topic, bytes } => self.publish(topic, bytes),
            Step::Join { topic } => self.join(topic),
            Step::Leave { topic } => self.leave(topic),
            Step::Wait { unit, count } => self.wait(unit, count),
            Step::Sleep { unit, count } => self.now = self.now.saturating_add(time(unit, count)),
            Step::Wake => self.tell(ProtocolInput::Timeout),
            Step::Direct { peer, add } => self.direct(usize::from(peer) % PEERS, add),
            Step::Application { peer, score } => {
                let peer = samples::peer(usize::from(peer) % PEERS);
                let score = f64::from(score) / 4.0 - 32.0;
                // Of a peer that is not known it is refused.
                let _ = self.call(|gossip, now| gossip.set_application_score(now, &peer, score));
            }
            Step::Retune { topic, to } => self.retune(topic, to),
            Step::DialFailed { peer } => {
                let peer = samples::peer(usize::from(peer) % PEERS);
                self.ledger.dialling.remove(&peer);
                self.tell(ProtocolInput::DialFailed(peer));
            }
            Step::Command { kind, topic } => self.command(kind, topic),
            Step::Stray { kind, number } => self.stray(kind, number),
        }
        self.settle();
        self.check();
    }

    // Calls.

    /// Gives the machine an input.
    fn tell(&mut self, input: ProtocolInput) {
        self.ledger.call(self.now);
        let woken = input == ProtocolInput::Timeout;
        let beat = woken && self.ledger.wake(self.now);
        self.gossip.handle(self.now, input);
        self.drain();
        if woken {
            self.check_deadline();
        }
        if beat {
            self.check_heartbeat();
        }
    }

    fn call<T>(&mut self, call: impl FnOnce(&mut Gossip, Timestamp) -> T) -> T {
        self.ledger.call(self.now);
        let result = call(&mut self.gossip, self.now);
        self.drain();
        result
    }

    /// What Node tells, until it has nothing more to tell.
    fn settle(&mut self) {
        for _ in 0..MAX_OUTPUTS {
            let Some(input) = self.next.pop_front() else { return };
            self.tell(input);
        }
        panic!("there is no end of it");
    }

    fn drain(&mut self) {
        let outputs: Vec<_> =
            core::iter::from_fn(|| self.gossip.poll()).take(MAX_OUTPUTS).collect();
        let events: Vec<_> =
            core::iter::from_fn(|| self.gossip.poll_event()).take(MAX_OUTPUTS).collect();
        assert!(outputs.len().max(events.len()) < MAX_OUTPUTS, "polling does not end");
        assert_eq!((self.gossip.poll(), self.gossip.poll_event()), (None, None));
        events.iter().for_each(|event| self.ledger.event(self.now, event));
        outputs.iter().for_each(|output| self.apply(output));
        self.log.events.extend(events);
        self.log.outputs.extend(outputs.into_iter().map(|output| (self.now, output)));
    }

    fn apply(&mut self, output: &ProtocolOutput) {
        match output {
            ProtocolOutput::Open { request, peer, connection, protocols, .. } => {
                let peer = samples::number_of(peer).expect("a peer");
                assert!(self.ledger.peers.contains_key(&peer), "{peer} is not connected");
                assert!(self.outbound.values().all(|spoken| spoken.peer != peer), "one is open");
                assert!(self.requests.values().all(|asked| *asked != peer), "one is on its way");
                assert_eq!((*connection, protocols.len()), (None, self.config.protocols.len()));
                assert!(self.requests.insert(*request, peer).is_none());
            }
            ProtocolOutput::Send { stream, frame } => self.sent(*stream, frame),
            ProtocolOutput::Finish(stream) => {
                let end = StreamEnd::Finished;
                if self.inbound.remove(stream).is_some() {
                    self.next.push_back(ProtocolInput::StreamClosed { stream: *stream, end });
                }
            }
            ProtocolOutput::Reset { stream, .. } => {
                let end = StreamEnd::ResetByUs;
                let known = self.inbound.remove(stream).is_some();
                if known || self.outbound.remove(stream).is_some() {
                    self.next.push_back(ProtocolInput::StreamClosed { stream: *stream, end });
                }
            }
            ProtocolOutput::Verify { request, connection, public_key, message, signature } => {
                let most = match self.config.verify {
                    VerifyWhere::Inline => 0,
                    VerifyWhere::Connection { max_in_flight } => max_in_flight,
                };
                assert!(self.checks.len() < most);
                assert!(self.ledger.links.contains_key(connection));
                let check = SignatureCheck {
                    public_key: public_key.clone(),
                    message: message.clone(),
                    signature: signature.clone(),
                };
                assert!(self.checks.insert(*request, (*connection, check)).is_none());
            }
            ProtocolOutput::Dial { peer, .. } => {
                let number = samples::number_of(peer);
                assert!(number.is_none_or(|number| !self.ledger.peers.contains_key(&number)));
                if number.is_none_or(|number| !self.ledger.direct.contains(&number)) {
                    self.ledger.dialling.insert(*peer);
                    assert!(self.ledger.dialling.len() <= self.config.max_exchange_dials);
                }
            }
            ProtocolOutput::Penalty { .. }
            | ProtocolOutput::Protect { .. }
            | ProtocolOutput::Reply { .. } => {}
            ProtocolOutput::Close { .. } | ProtocolOutput::Event(_) => panic!("{output:?}"),
        }
    }

    // Connections and streams.

    fn next_id(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn connect(&mut self, peer: u8, role: u8, address: u8) {
        let peer = usize::from(peer) % PEERS;
        let there = self.ledger.links.values().filter(|link| link.peer == peer).count();
        if there >= MAX_CONNECTIONS {
            return;
        }
        let connection = ConnectionId(self.next_id());
        let outbound = role & 1 == 1;
        self.ledger.connected(connection, Link { peer, outbound });
        let address = format!("/ip4/9.9.9.{}/tcp/1", address % 4).parse().expect("an address");
        self.tell(ProtocolInput::ConnectionOpened {
            peer: samples::peer(peer),
            connection,
            role: if outbound { Role::Dialer } else { Role::Listener },
            address,
            first: there == 0,
        });
    }

    fn disconnect(&mut self, connection: ConnectionId) {
        let streams = self.outbound.keys().chain(self.inbound.keys()).copied();
        let ended: Vec<_> = streams.filter(|stream| stream.connection == connection).collect();
        ended.into_iter().for_each(|stream| self.close(stream, StreamEnd::ConnectionClosed));
        self.settle();
        let Some(Link { peer: number, .. }) = self.ledger.links.get(&connection).copied() else {
            return;
        };
        let peer = samples::peer(number);
        let last = self.ledger.disconnected(connection);
        // No answer comes by it any more.
        self.checks.retain(|_, (asked, _)| *asked != connection);
        self.tell(ProtocolInput::ConnectionClosed { peer, connection, last });
        if last {
            self.held.remove(&number);
            let asked = self.requests.iter().filter(|(_, asked)| **asked == number);
            for request in asked.map(|(request, _)| *request).collect::<Vec<_>>() {
                self.requests.remove(&request);
                let failure = OpenFailure::NotOpen;
                self.tell(ProtocolInput::OpenFailed { request, peer, failure });
            }
        }
    }

    fn answer(&mut self, which: u8, how: u8) {
        let Some(request) = pick(self.requests.keys(), which) else { return };
        let Some(number) = self.requests.remove(&request) else { return };
        let peer = samples::peer(number);
        let failure = match how % 8 {
            6 => Some(OpenFailure::UnsupportedProtocol),
            7 => Some(OpenFailure::TimedOut),
            _ => None,
        };
        if let Some(failure) = failure {
            return self.tell(ProtocolInput::OpenFailed { request, peer, failure });
        }
        let stream = self.new_stream(number);
        let (protocol, version) = self.version(how % 8);
        let (under_way, told, begun) = (0, Default::default(), false);
        let spoken = Spoken { peer: number, version, under_way, told, begun };
        self.outbound.insert(stream, spoken);
        self.tell(ProtocolInput::StreamOpened { request, peer, stream, protocol });
    }

    fn version(&self, number: u8) -> (ProtocolId, GossipVersion) {
        let spoken = &self.config.protocols[usize::from(number) % self.config.protocols.len()];
        (spoken.protocol.clone(), spoken.version)
    }

    fn new_stream(&mut self, peer: usize) -> StreamRef {
        let mut links = self.ledger.links.iter();
        let link = links.rfind(|(_, link)| link.peer == peer).expect("it is connected");
        let connection = *link.0;
        StreamRef { connection, stream: StreamId(self.next_id()) }
    }

    fn open_inbound(&mut self, peer: usize, version: u8) -> Option<StreamRef> {
        if !self.ledger.peers.contains_key(&peer) {
            return None;
        }
        let stream = self.new_stream(peer);
        let (protocol, _) = self.version(version);
        self.inbound.insert(stream, peer);
        let peer = samples::peer(peer);
        self.tell(ProtocolInput::InboundStream { peer, stream, protocol });
        self.settle();
        Some(stream)
    }

    fn any_stream(&self, which: u8) -> Option<StreamRef> {
        pick(self.outbound.keys().chain(self.inbound.keys()), which)
    }

    fn close(&mut self, stream: StreamRef, end: StreamEnd) {
        let known = self.outbound.remove(&stream).is_some();
        if known || self.inbound.remove(&stream).is_some() {
            self.tell(ProtocolInput::StreamClosed { stream, end });
        }
    }

    // What peers say.

    fn say(&mut self, peer: usize, more: bool, what: Part) {
        let open = self.inbound.iter().find(|(_, from)| **from == peer).map(|(stream, _)| *stream);
        let Some(stream) = open.or_else(|| self.open_inbound(peer, 0)) else { return };
        let bytes = said::encode(&self.config, &self.ledger.known, what);
        let held = self.held.entry(peer).or_default();
        held.extend(bytes);
        if more && held.len() < 100_000 {
            return;
        }
        let frame = Bytes::from(core::mem::take(held));
        match Rpc::decode(&frame, &self.config.received) {
            Ok(rpc) => {
                let heard = self.is_heard(peer);
                self.ledger.frame(self.now, peer, &rpc, heard);
                self.tell(ProtocolInput::Frame { stream, frame });
            }
            Err(_) => {
                self.tell(ProtocolInput::Frame { stream, frame });
                assert!(!self.inbound.contains_key(&stream), "a stream of garbage is reset");
            }
        }
    }

    /// Whether more than its topics is looked at of what a peer says.
    fn is_heard(&mut self, peer: usize) -> bool {
        // Brings the scores up to this time.
        self.stray(0, 0);
        let score = self.gossip.score(&samples::peer(peer)).map_or(0.0, |it| it.total);
        self.ledger.direct.contains(&peer) || score >= self.config.score.thresholds.graylist
    }

    fn credit(&mut self, which: u8, part: u8) {
        let Some(stream) = pick(self.outbound.keys(), which) else { return };
        let Some(spoken) = self.outbound.get_mut(&stream) else { return };
        let bytes = match part {
            0..=200 => spoken.under_way,
            201..=255 => spoken.under_way / 2,
        };
        spoken.under_way -= bytes;
        self.tell(ProtocolInput::Credit { stream, bytes });
    }

    fn verified(&mut self, which: u8) {
        let Some(request) = pick(self.checks.keys(), which) else { return };
        let Some((_, check)) = self.checks.remove(&request) else { return };
        self.tell(ProtocolInput::Verified { request, valid: check.verify().is_ok() });
    }

    fn stray(&mut self, kind: u8, number: u8) {
        let stream = StreamRef { connection: ConnectionId(u64::MAX), stream: StreamId(u64::MAX) };
        let request = RequestId(u64::MAX - u64::from(number));
        let peer = samples::peer(usize::from(number) % PEERS);
        let (protocol, _) = self.version(number);
        let end = ENDS[usize::from(number) % ENDS.len()];
        let connected = self.ledger.peers.contains_key(&(usize::from(number) % PEERS));
        let input = match kind % 9 {
            0 => ProtocolInput::Credit { stream, bytes: u64::MAX },
            1 => ProtocolInput::Frame { stream, frame: Bytes::from_static(b"\x12\x00") },
            2 => ProtocolInput::StreamClosed { stream, end },
            3 => ProtocolInput::StreamOpened { request, peer, stream, protocol },
            4 => {
                let failure = OpenFailure::UnsupportedProtocol;
                ProtocolInput::OpenFailed { request, peer, failure }
            }
            5 => ProtocolInput::Verified { request, valid: number & 1 == 1 },
            6 => ProtocolInput::StreamFinished(stream),
            7 => {
                let connection = stream.connection;
                ProtocolInput::ConnectionClosed { peer, connection, last: !connected }
            }
            _ if connected => {
                let protocol = ProtocolId::new("/another/1.0.0").expect("an id");
                ProtocolInput::InboundStream { peer, stream, protocol }
            }
            _ => ProtocolInput::InboundStream { peer, stream, protocol },
        };
        self.tell(input);
    }

    // What the application wants.

    fn join(&mut self, topic: u8) {
        let topic = samples::topic(topic % 4);
        let room = self.ledger.joined.len() < self.config.max_topics;
        let new = !self.ledger.joined.contains(&topic);
        if room {
            self.ledger.joined.insert(topic.clone());
        }
        let joined = self.call(|gossip, now| gossip.subscribe(now, &topic));
        assert_eq!(joined.ok(), (room || !new).then_some(new));
    }

    fn leave(&mut self, topic: u8) {
        let topic = samples::topic(topic % 4);
        let was = self.ledger.joined.remove(&topic);
        assert_eq!(self.call(|gossip, now| gossip.unsubscribe(now, &topic)), was);
    }

    fn publish(&mut self, topic: u8, bytes: u8) {
        let topic = samples::topic(topic);
        let length = match bytes {
            0..=127 => usize::from(bytes),
            128..=255 => usize::from(bytes - 127) * 40,
        };
        self.ledger.call(self.now);
        let data = Bytes::from(vec![bytes; length]);
        let published = self.gossip.publish(self.now, &topic, data);
        match published {
            Ok(published) => {
                assert!(published.queued_for <= self.ledger.peers.len());
                self.ledger.published(self.now, &published.id);
            }
            Err(PublishError::TooLarge { bytes, max }) => {
                assert_eq!((bytes, max), (length, self.config.max_message_bytes));
                assert!(bytes > max);
            }
            Err(PublishError::Duplicate(id)) => {
                assert!(self.ledger.messages.contains_key(&id));
            }
            Err(PublishError::NotEnoughPeers { .. } | PublishError::QueuesFull { .. }) => {}
            Err(PublishError::Sign(error)) => panic!("{error}"),
        }
        self.drain();
    }

    fn report(&mut self, which: u8, acceptance: u8) {
        let Some(id) = pick(self.ledger.waiting.iter(), which) else { return };
        let acceptance = match acceptance % 4 {
            0 | 1 => Acceptance::Accept,
            2 => Acceptance::Reject,
            _ => Acceptance::Ignore,
        };
        self.ledger.waiting.retain(|other| *other != id);
        self.ledger.call(self.now);
        if self.gossip.report(self.now, &id, acceptance) && acceptance == Acceptance::Accept {
            self.ledger.accepted(&id);
        }
        self.drain();
        let again = self.call(|gossip, now| gossip.report(now, &id, Acceptance::Accept));
        assert!(!again, "one verdict is one");
    }

    fn direct(&mut self, number: usize, add: bool) {
        let peer = samples::peer(number);
        if add {
            self.ledger.direct.insert(number);
            self.ledger.dialling.remove(&peer);
            self.call(|gossip, now| gossip.add_direct_peer(now, peer, Vec::new()));
        } else {
            let was = self.ledger.direct.remove(&number);
            assert_eq!(self.call(|gossip, now| gossip.remove_direct_peer(now, &peer)), was);
        }
    }

    fn retune(&mut self, topic: u8, to: u8) {
        let topic = samples::topic(topic % 4);
        if to < 128 {
            let mesh = MESHES[usize::from(to) % MESHES.len()];
            self.ledger.meshes.insert(topic.clone(), mesh);
            let settings = TopicSettings { mesh: Some(mesh), ..TopicSettings::default() };
            self.gossip.set_topic_settings(&topic, settings).expect("sound numbers");
        } else {
            let params = TopicScoreParams::with_expected_rate(f64::from(to) / 16.0);
            self.call(|gossip, now| gossip.set_topic_params(now, &topic, params))
                .expect("sound numbers");
        }
    }

    fn command(&mut self, kind: u8, topic: u8) {
        let topic = samples::topic(topic);
        let command = match kind % 4 {
            0 => GossipCommand::Topics.encode(),
            1 => GossipCommand::MeshPeers(topic).encode(),
            2 => GossipCommand::SetUnixTime(u64::MAX).encode(),
            _ => Bytes::from(vec![kind; usize::from(kind / 16)]),
        };
        let before = self.log.outputs.len();
        self.tell(ProtocolInput::Command { id: CommandId(u64::from(kind)), command });
        let [(_, ProtocolOutput::Reply { id, reply })] = &self.log.outputs[before..] else {
            panic!("one answer");
        };
        assert_eq!(*id, CommandId(u64::from(kind)));
        assert!(GossipReply::decode(reply).is_some());
    }

    // Time.

    fn wait(&mut self, unit: u8, count: u8) {
        let end = self.now.saturating_add(time(unit, count));
        for _ in 0..MAX_TIMEOUTS {
            let due = self.gossip.poll_timeout().map(|deadline| deadline.at);
            let Some(at) = due.filter(|at| *at <= end) else { break };
            self.now = self.now.max(at);
            self.tell(ProtocolInput::Timeout);
            self.settle();
        }
        self.now = end;
        if self.gossip.poll_timeout().is_some_and(|deadline| deadline.at <= end) {
            self.tell(ProtocolInput::Timeout);
        }
    }
}

/// Ways in which a stream ends.
const ENDS: [StreamEnd; 6] = [
    StreamEnd::Finished,
    StreamEnd::Reset(0),
    StreamEnd::ResetByUs,
    StreamEnd::FrameTooLong { length: u64::MAX, max: u32::MAX },
    StreamEnd::TruncatedFrame,
    StreamEnd::MalformedLength,
];

fn time(unit: u8, count: u8) -> Duration {
    const UNITS: [Duration; 8] = [
        Duration::from_millis(1),
        Duration::from_millis(100),
        Duration::from_secs(1),
        Duration::from_secs(1),
        Duration::from_secs(10),
        Duration::from_secs(60),
        Duration::from_secs(3_600),
        Duration::from_nanos(u64::MAX / 256),
    ];
    let unit = UNITS[usize::from(unit) % UNITS.len()];
    unit.saturating_mul(u32::from(count % 16))
}

fn pick<'a, T: Clone + 'a>(items: impl Iterator<Item = &'a T> + Clone, which: u8) -> Option<T> {
    let count = items.clone().count();
    items.clone().nth(usize::from(which) % count.max(1)).cloned()
}
