//! Our own peer for interop tests: one connection on a thread of its own, run by the loop of the
//! `lines` example over a real socket, and blocking calls.
//!
//! Test files include it with `#[path = "ours/peer.rs"] mod ours;`. What it speaks is in
//! conformance/interop/PROTOCOLS.md.

#![allow(dead_code, reason = "each test crate that includes this uses a part of it")]

#[path = "../../../proto-core/examples/lines/blocking.rs"]
mod blocking;
#[path = "../../../proto-core/examples/lines/driver.rs"]
mod driver;
mod job;
#[path = "../../../proto-core/examples/lines/transport.rs"]
mod transport;
#[path = "../../../proto-core/examples/lines/udp.rs"]
mod udp;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TryRecvError};
use std::thread::JoinHandle;
use std::time::Duration;

use sanspeer_core::close::CloseReason;
use sanspeer_core::connection::ConnectionEvent;
use sanspeer_core::identity::{Identity, PeerId};
use sanspeer_core::mailbox::ProtocolTable;
use sanspeer_core::mux::StreamId;
use sanspeer_core::pnet::PreSharedKey;
use sanspeer_core::protocol::ProtocolId;
use sanspeer_core::rng::Seed;

use crate::protocols::{self, SharedCounters, Transport};
use driver::Driver;
use job::{Job, Kind};
use transport::{OurSide, SecuredBy};

pub(crate) use crate::protocols::Counters;
pub(crate) use job::Outcome;

/// How long any one call may take. Generous: it only bounds a failure.
const DEADLINE: Duration = Duration::from_secs(120);

/// What the peer can be asked to do as the opener; see PROTOCOLS.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Echo { count: usize, bytes: u64 },
    Checksum { up: u64, down: u64 },
    Duplex { up: u64, down: u64 },
    ResetMe,
    ExpectReset,
    Report,
}

/// A running peer with one connection. Drop closes it.
pub(crate) struct OurPeer {
    peer_id: PeerId,
    remote: PeerId,
    counters: Arc<SharedCounters>,
    commands: Option<mpsc::Sender<Command>>,
    thread: Option<JoinHandle<CloseReason>>,
}

enum Command {
    Run { kinds: Vec<Kind>, reply: SyncSender<Result<Vec<Outcome>, String>> },
}

/// A task under way.
struct Running {
    reply: SyncSender<Result<Vec<Outcome>, String>>,
    streams: Vec<StreamId>,
    outcomes: Vec<Outcome>,
    /// Echo streams wait for each other after their first byte.
    waiting: usize,
    released: bool,
}

impl OurPeer {
    /// Dials and waits until the connection is there. `number` seeds keys and randomness.
    pub(crate) fn dial(
        transport: Transport,
        addr: SocketAddr,
        expected_peer: Option<PeerId>,
        number: u64,
    ) -> Result<OurPeer, String> {
        OurPeer::start(number, |our_side| {
            of_the_example(transport).dial(addr, expected_peer, our_side)
        })
    }

    /// The id that [`OurPeer::dial`] and [`Listener::accept`] have for this number.
    pub(crate) fn id_of(number: u64) -> PeerId {
        Identity::ed25519(&Seed::from_u64(number)).peer_id()
    }

    fn start(
        number: u64,
        connect: impl FnOnce(OurSide<'_>) -> std::io::Result<Box<dyn Driver>>,
    ) -> Result<OurPeer, String> {
        let identity = &Identity::ed25519(&Seed::from_u64(number));
        let seed = Seed::from_u64(number).derive("interop", 0);
        let our_side = OurSide { identity, seed, protocols: table() };
        let driver = connect(our_side).map_err(|e| e.to_string())?;
        let counters = Arc::new(SharedCounters::default());
        let (commands, inbox) = mpsc::channel();
        let (secured, ready) = mpsc::sync_channel(1);
        let worker = Worker {
            driver,
            counters: Arc::clone(&counters),
            jobs: BTreeMap::new(),
            running: None,
            secured: Some(secured),
            closing: false,
        };
        let thread = std::thread::spawn(move || worker.run(&inbox));
        match ready.recv_timeout(DEADLINE) {
            Ok(remote) => Ok(OurPeer {
                peer_id: identity.peer_id(),
                remote,
                counters,
                commands: Some(commands),
                thread: Some(thread),
            }),
            Err(_) => {
                drop(commands);
                let reason = thread.join().map_err(|_| "the peer's thread panicked".to_owned())?;
                Err(format!("{reason:?}"))
            }
        }
    }

    pub(crate) fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    pub(crate) fn remote(&self) -> PeerId {
        self.remote
    }

    /// What accepted streams have seen.
    pub(crate) fn counters(&self) -> Counters {
        self.counters.snapshot()
    }

    /// Waits until the counters are as `reached` wants them.
    pub(crate) fn wait_counters(
        &self,
        reached: impl Fn(&Counters) -> bool,
    ) -> Result<Counters, String> {
        self.counters.wait_for(DEADLINE, |counters, _| reached(counters))
    }

    /// Why the last accepted stream failed that did.
    pub(crate) fn last_failure(&self) -> Option<String> {
        self.counters.last_failure()
    }

    /// Runs a task to its end.
    pub(crate) fn run(&self, task: Task) -> Result<Vec<Outcome>, String> {
        let kinds = match task {
            Task::Echo { count, bytes } => vec![Kind::EchoOpener { bytes }; count],
            Task::Checksum { up, down } => vec![Kind::ChecksumOpener { up, down }],
            Task::Duplex { up, down } => vec![Kind::DuplexOpener { up, down }],
            Task::ResetMe => vec![Kind::ResetMeOpener],
            Task::ExpectReset => vec![Kind::ExpectResetOpener],
            Task::Report => vec![Kind::ReportOpener],
        };
        let (reply, answer) = mpsc::sync_channel(1);
        let commands = self.commands.as_ref().expect("the peer runs until it is dropped");
        commands
            .send(Command::Run { kinds, reply })
            .map_err(|_| "the connection is over".to_owned())?;
        let result = answer.recv_timeout(DEADLINE).map_err(|error| match error {
            RecvTimeoutError::Timeout => format!("no end after {DEADLINE:?}"),
            RecvTimeoutError::Disconnected => "the connection is over".to_owned(),
        })?;
        result.map_err(|reason| format!("{task:?}: {reason}"))
    }

    /// Says goodbye and waits for the end of the connection.
    pub(crate) fn close(mut self) -> CloseReason {
        self.commands = None;
        self.thread.take().expect("joined once").join().expect("the peer's thread does not panic")
    }
}

impl Drop for OurPeer {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the peer's thread panicked");
        }
    }
}

/// Where one connection is waited for.
pub(crate) struct Listener(transport::Listener);

impl Listener {
    /// Listens on a free port of 127.0.0.1.
    pub(crate) fn bind(transport: Transport) -> std::io::Result<Listener> {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Ok(Listener(of_the_example(transport).listen(any_port)?))
    }

    pub(crate) fn addr(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Accepts one connection and waits until it is there. `number` seeds keys and randomness.
    pub(crate) fn accept(self, number: u64) -> Result<OurPeer, String> {
        OurPeer::start(number, |our_side| Ok(self.0.accept(our_side)?.0))
    }
}

fn of_the_example(transport: Transport) -> transport::Transport {
    let tcp = |secured_by, psk: Option<[u8; 32]>| transport::Transport::Tcp {
        secured_by,
        psk: psk.map(PreSharedKey::new),
    };
    match transport {
        Transport::TcpNoise => tcp(SecuredBy::Noise, None),
        Transport::TcpTls => tcp(SecuredBy::Tls, None),
        Transport::PnetNoise(key) => tcp(SecuredBy::Noise, Some(key)),
        Transport::Quic => transport::Transport::Quic,
    }
}

fn table() -> ProtocolTable {
    protocols::ALL
        .iter()
        .fold(ProtocolTable::new(), |table, protocol| table.with_application(id(protocol.as_ref())))
}

fn id(name: &str) -> ProtocolId {
    ProtocolId::new(name).expect("the tests' protocols have valid ids")
}

/// The thread of a peer.
struct Worker {
    driver: Box<dyn Driver>,
    counters: Arc<SharedCounters>,
    jobs: BTreeMap<StreamId, Job>,
    running: Option<Running>,
    secured: Option<SyncSender<PeerId>>,
    closing: bool,
}

impl Worker {
    fn run(mut self, inbox: &Receiver<Command>) -> CloseReason {
        loop {
            while let Some(event) = self.driver.poll_event() {
                if let Some(reason) = self.handle(event) {
                    return reason;
                }
            }
            match inbox.try_recv() {
                Ok(Command::Run { kinds, reply }) => self.begin(kinds, reply),
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) if !self.closing => {
                    self.closing = true;
                    let now = self.driver.now();
                    self.driver.connection().close(now, CloseReason::Requested);
                }
                Err(TryRecvError::Disconnected) => {}
            }
            // Short, so that a command does not wait for the socket.
            self.driver.turn(Duration::from_millis(5)).expect("the socket can be configured");
        }
    }

    fn handle(&mut self, event: ConnectionEvent) -> Option<CloseReason> {
        match event {
            ConnectionEvent::Secured { peer } => {
                if let Some(secured) = self.secured.take() {
                    secured.send(peer).ok();
                }
            }
            ConnectionEvent::Inbound { .. } => {
                if let Some((stream, protocol)) = self.driver.connection().accept() {
                    self.counters.accepted();
                    self.jobs.insert(stream, Job::new(Kind::acceptor(protocol.as_str())));
                    self.pump(stream);
                }
            }
            ConnectionEvent::Opened { stream, .. }
            | ConnectionEvent::Readable(stream)
            | ConnectionEvent::Writable(stream)
            | ConnectionEvent::Finished(stream) => self.pump(stream),
            ConnectionEvent::OpenFailed { stream, failure } => {
                self.end(stream, Err(format!("not opened: {failure:?}")));
            }
            ConnectionEvent::Stopped { .. } | ConnectionEvent::Perf(_) => {}
            ConnectionEvent::Ended { stream, end } => {
                if let Some(job) = self.jobs.get_mut(&stream) {
                    let result = job.ended(end, &self.counters);
                    self.end(stream, result);
                }
            }
            ConnectionEvent::Closed { reason } => {
                let streams: Vec<_> = self.jobs.keys().copied().collect();
                for stream in streams {
                    self.end(stream, Err(format!("connection closed: {reason:?}")));
                }
                return Some(reason);
            }
        }
        None
    }

    fn begin(&mut self, kinds: Vec<Kind>, reply: SyncSender<Result<Vec<Outcome>, String>>) {
        let waiting = kinds.len();
        let mut streams = Vec::new();
        for kind in kinds {
            let now = self.driver.now();
            match self.driver.connection().open(now, &[kind.protocol()]) {
                Ok(stream) => {
                    self.jobs.insert(stream, Job::new(kind));
                    streams.push(stream);
                }
                Err(error) => {
                    reply.send(Err(error.to_string())).ok();
                    return;
                }
            }
        }
        self.running = Some(Running {
            reply,
            streams: streams.clone(),
            outcomes: Vec::new(),
            waiting,
            released: false,
        });
        for stream in streams {
            self.pump(stream);
        }
    }

    fn pump(&mut self, stream: StreamId) {
        let Some(job) = self.jobs.get_mut(&stream) else { return };
        let was_waiting = job.is_waiting();
        let result = job.pump(&mut self.driver.connection().stream(stream), &self.counters);
        let arrived = !was_waiting && job.is_waiting();
        if let Some(result) = result {
            return self.end(stream, result);
        }
        if arrived && let Some(running) = &mut self.running {
            running.waiting -= 1;
            if running.waiting == 0 && !running.released {
                running.released = true;
                for stream in running.streams.clone() {
                    if let Some(job) = self.jobs.get_mut(&stream) {
                        job.release();
                    }
                    self.pump(stream);
                }
            }
        }
    }

    fn end(&mut self, stream: StreamId, result: Result<Outcome, String>) {
        let Some(job) = self.jobs.remove(&stream) else { return };
        if job.is_acceptor() {
            return self.counters.ended(result.map(|_| ()));
        }
        let Some(running) = &mut self.running else { return };
        match result {
            Ok(outcome) => {
                running.outcomes.push(outcome);
                if running.outcomes.len() == running.streams.len()
                    && let Some(running) = self.running.take()
                {
                    running.reply.send(Ok(running.outcomes)).ok();
                }
            }
            Err(reason) => {
                if let Some(running) = self.running.take() {
                    running.reply.send(Err(reason)).ok();
                }
            }
        }
    }
}
