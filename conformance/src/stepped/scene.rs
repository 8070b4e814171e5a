//! [`Scene`]: actors, what they do, and what they tell.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use sanspeer_core::application::{AppEvent, InboundStream, Network};
use sanspeer_core::identity::PeerId;
use sanspeer_core::mux::{ReadError, WriteError};
use sanspeer_core::node::{Answer, Command, ConnectionId, NodeEvent, StreamRef};
use sanspeer_core::protocol::ProtocolId;
use sanspeer_driver::PolledHandle;

use super::clock::StepClock;
use super::threads::own_waker;

/// How long, by the clock on the wall, an event may be awaited: far longer than any needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A peer that a script plays with, whatever runs it.
pub trait Actor: Network + Send {
    /// Ready when there may be an event. One thread may wait.
    fn poll_ready(&self, cx: &Context<'_>) -> Poll<()>;
}

impl Actor for PolledHandle {
    fn poll_ready(&self, cx: &Context<'_>) -> Poll<()> {
        PolledHandle::poll_ready(self, cx)
    }
}

/// What an actor told, in order: of each peer, by its name, and of itself.
///
/// Hints are left out: how often a stream is said to be readable or writable depends on how its
/// bytes were cut on the way.
pub type Story = BTreeMap<String, Vec<String>>;

/// Actors on one clock. They are named by their places.
pub struct Scene {
    clock: Arc<StepClock>,
    cast: Vec<Role>,
}

struct Role {
    actor: Box<dyn Actor>,
    peer: PeerId,
    /// Events that the script has not asked for yet.
    unclaimed: Vec<AppEvent>,
    /// Whose each connection is.
    connections: BTreeMap<ConnectionId, PeerId>,
    told: Vec<(Option<PeerId>, String)>,
}

impl Scene {
    /// A scene with these actors.
    pub fn new(clock: Arc<StepClock>, actors: Vec<Box<dyn Actor>>) -> Self {
        let role = |actor: Box<dyn Actor>| Role {
            peer: actor.peer_id(),
            actor,
            unclaimed: Vec::new(),
            connections: BTreeMap::new(),
            told: Vec::new(),
        };
        Scene { clock, cast: actors.into_iter().map(role).collect() }
    }

    /// Who an actor is.
    pub fn peer(&self, who: usize) -> PeerId {
        self.cast[who].peer
    }

    /// Moves the clock on. Whatever a step caused must have been expected before.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Lets an actor ask for something, and waits for the answer.
    pub fn ask(&mut self, who: usize, command: Command) -> Answer {
        let asked = self.cast[who].actor.request(self.clock.now(), command);
        self.expect(who, |event| match event {
            AppEvent::Answer { id, answer } if *id == asked => Some(answer.clone()),
            _ => None,
        })
    }

    /// Waits for something that Node tells an actor.
    pub fn expect_node<T>(&mut self, who: usize, wanted: impl Fn(&NodeEvent) -> Option<T>) -> T {
        self.expect(who, |event| match event {
            AppEvent::Node(event) => wanted(event),
            _ => None,
        })
    }

    /// Waits for an event of an actor's that was not asked for yet.
    pub fn expect<T>(&mut self, who: usize, wanted: impl Fn(&AppEvent) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        loop {
            self.take_events();
            let unclaimed = &mut self.cast[who].unclaimed;
            let found = unclaimed
                .iter()
                .enumerate()
                .find_map(|(at, event)| wanted(event).map(|found| (at, found)));
            if let Some((at, found)) = found {
                unclaimed.remove(at);
                return found;
            }
            self.wait(who, until);
        }
    }

    /// Opens a stream to another actor.
    pub fn open(&mut self, who: usize, to: usize, protocols: &[ProtocolId]) -> StreamRef {
        let (now, peer) = (self.clock.now(), self.peer(to));
        self.cast[who].actor.open(now, &peer, protocols).expect("a connected peer")
    }

    /// Waits for a stream, and takes it.
    pub fn accept(&mut self, who: usize) -> StreamRef {
        self.expect(who, |event| matches!(event, AppEvent::Inbound).then_some(()));
        let role = &mut self.cast[who];
        let InboundStream { stream, peer, protocol } = role.actor.accept().expect("a stream");
        role.told.push((Some(peer), format!("took a stream of {protocol}")));
        stream
    }

    /// Writes all of it, and finishes. The other side reads nothing meanwhile, so it must fit into the
    /// window.
    pub fn say(&mut self, who: usize, stream: StreamRef, data: &[u8]) {
        let until = Instant::now() + PATIENCE;
        let mut written = 0;
        while written < data.len() {
            let now = self.clock.now();
            match self.cast[who].actor.write(now, stream, &data[written..]) {
                Ok(n) => written += n,
                Err(WriteError::Blocked) => {
                    self.wait(who, until);
                    self.take_events();
                }
                Err(error) => panic!("{error}"),
            }
        }
        let now = self.clock.now();
        self.cast[who].actor.finish(now, stream).expect("an open stream");
    }

    /// Reads to the end.
    pub fn hear(&mut self, who: usize, stream: StreamRef) -> Vec<u8> {
        let until = Instant::now() + PATIENCE;
        let mut heard = Vec::new();
        loop {
            let now = self.clock.now();
            match self.cast[who].actor.read(now, stream, usize::MAX) {
                Ok(bytes) if bytes.is_empty() => return heard,
                Ok(bytes) => heard.extend_from_slice(&bytes),
                Err(ReadError::Blocked) => {
                    self.wait(who, until);
                    self.take_events();
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// What each actor told.
    pub fn stories(&mut self) -> Vec<Story> {
        self.take_events();
        let names: BTreeMap<PeerId, String> = (0..)
            .zip(&self.cast)
            .map(|(number, role)| (role.peer, format!("peer {number}")))
            .collect();
        let story = |role: &Role| {
            let mut story = Story::new();
            for (peer, text) in &role.told {
                let name = match peer {
                    Some(peer) => names.get(peer).cloned().unwrap_or(peer.to_string()),
                    None => "itself".to_owned(),
                };
                story.entry(name).or_default().push(text.clone());
            }
            story
        };
        self.cast.iter().map(story).collect()
    }

    fn take_events(&mut self) {
        for role in &mut self.cast {
            while let Some(event) = role.actor.poll_event() {
                role.take(event);
            }
        }
    }

    /// Waits until an actor may have something.
    fn wait(&self, who: usize, until: Instant) {
        let waker = own_waker();
        let cx = Context::from_waker(&waker);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let role = &self.cast[who];
            assert!(!left.is_zero(), "actor {who} waits, and has {:#?}", role.unclaimed);
            // All of them, so that each one wakes.
            let ready = self.cast.iter().filter(|role| role.actor.poll_ready(&cx).is_ready());
            if ready.count() > 0 {
                return;
            }
            std::thread::park_timeout(left);
        }
    }
}

impl Role {
    fn take(&mut self, event: AppEvent) {
        if let AppEvent::Node(NodeEvent::ConnectionOpened { peer, connected }) = &event {
            self.connections.insert(connected.connection, *peer);
        }
        let of = |stream: &StreamRef| self.connections.get(&stream.connection).copied();
        let (about, text) = match &event {
            AppEvent::Node(event) => (peer_of(event), format!("{event:?}")),
            // Numbers of streams are left out: a ping may have taken one before or after.
            AppEvent::Opened { stream, protocol } => (of(stream), format!("opened {protocol}")),
            AppEvent::OpenFailed { stream, failure } => {
                (of(stream), format!("not opened: {failure}"))
            }
            AppEvent::Stopped { stream, code } => (of(stream), format!("stopped with {code}")),
            AppEvent::Ended { stream, end } => (of(stream), format!("a stream ended: {end}")),
            AppEvent::Answer { .. } => (None, format!("{event:?}")),
            // It is told with its peer when it is taken.
            AppEvent::Inbound => return self.unclaimed.push(event),
            AppEvent::Readable(_) | AppEvent::Writable(_) | AppEvent::Finished(_) => return,
        };
        self.told.push((about, text));
        self.unclaimed.push(event);
    }
}

/// Whom an event is about.
fn peer_of(event: &NodeEvent) -> Option<PeerId> {
    match event {
        NodeEvent::PeerConnected { peer, .. }
        | NodeEvent::PeerDisconnected { peer, .. }
        | NodeEvent::ConnectionOpened { peer, .. }
        | NodeEvent::ConnectionClosed { peer, .. }
        | NodeEvent::PreferredConnection { peer, .. }
        | NodeEvent::Identified { peer, .. }
        | NodeEvent::Penalty { peer, .. } => Some(*peer),
        NodeEvent::Refused { peer, .. } => *peer,
        NodeEvent::InboundFailed { .. }
        | NodeEvent::Listening { .. }
        | NodeEvent::AddressGone { .. }
        | NodeEvent::ListenerFailed { .. }
        | NodeEvent::Gossip(_)
        | NodeEvent::Protocol { .. } => None,
    }
}
