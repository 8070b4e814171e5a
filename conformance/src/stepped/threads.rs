//! [`ThreadedHost`]: a [`Host`] on a plain thread, over the memory transport, without any runtime.

use std::collections::BTreeMap;
use std::io::{ErrorKind, IoSlice};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{JoinHandle, Thread};

use bytes::Bytes;
use sanspeer_core::address::Endpoint;
use sanspeer_core::application::{AppEvent, InboundStream, Network, StreamOpenError};
use sanspeer_core::host::{Host, HostConfig, HostOutput, SecurityProtocol};
use sanspeer_core::identity::{Identity, PeerId};
use sanspeer_core::mux::{ReadError, ResetCode, WriteError};
use sanspeer_core::node::{
    ArrivalId, Command, CommandId, ConnectionId, DialFailure, ListenFailure, ListenerId,
    NodeConfig, StreamRef,
};
use sanspeer_core::protocol::ProtocolId;
use sanspeer_core::rng::Seed;
use sanspeer_core::time::Timestamp;
use sanspeer_driver::memory::{MemoryListener, MemoryStream, connect};
use sanspeer_driver::runtime::{ByteStream as _, Timer as _};

use super::clock::{StepClock, StepTimer};
use super::runtime::BEGIN_UNIX_SECONDS;
use super::scene::Actor;

/// A host on a thread of its own, until it is dropped.
pub struct ThreadedHost {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    clock: Arc<StepClock>,
}

struct Shared {
    host: Mutex<Host>,
    /// Something may have happened since the application looked.
    fresh: AtomicBool,
    application: Mutex<Option<Waker>>,
    stopped: AtomicBool,
}

/// Wakes a thread that is parked.
struct Bell(Thread);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// A waker of the thread that this is called from.
pub(super) fn own_waker() -> Waker {
    Arc::new(Bell(std::thread::current())).into()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ThreadedHost {
    /// A host that speaks what a driver's node speaks.
    pub fn start(node: NodeConfig, seed: &Seed, clock: Arc<StepClock>) -> Self {
        let identity = Identity::ed25519(seed);
        let security = vec![SecurityProtocol::Noise, SecurityProtocol::Tls];
        let config = HostConfig { node, security, ..HostConfig::default() };
        let now = clock.now();
        let mut host = Host::new(config, identity, seed, now).expect("ed25519 signs");
        host.handle_unix_time(now, BEGIN_UNIX_SECONDS);
        let shared = Arc::new(Shared {
            host: Mutex::new(host),
            fresh: AtomicBool::new(true),
            application: Mutex::new(None),
            stopped: AtomicBool::new(false),
        });
        let (ours, timer) = (Arc::clone(&shared), clock.timer(Timestamp::MAX));
        let ticking = Arc::clone(&clock);
        let run = move || World::new(ours, ticking, timer).run();
        let thread = Some(std::thread::spawn(run));
        ThreadedHost { shared, thread, clock }
    }

    /// Lets the application do something; the thread does what follows.
    fn with<T>(&self, act: impl FnOnce(&mut Host, Timestamp) -> T) -> T {
        let result = act(&mut lock(&self.shared.host), self.clock.now());
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
        result
    }
}

impl Drop for ThreadedHost {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic of its own was printed.
            let _ = thread.join();
        }
    }
}

impl Actor for ThreadedHost {
    fn poll_ready(&self, cx: &Context<'_>) -> Poll<()> {
        *lock(&self.shared.application) = Some(cx.waker().clone());
        if self.shared.fresh.swap(false, Ordering::AcqRel) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Network for ThreadedHost {
    fn peer_id(&self) -> PeerId {
        lock(&self.shared.host).peer_id()
    }

    fn request(&mut self, _now: Timestamp, command: Command) -> CommandId {
        self.with(|host, now| host.request(now, command))
    }

    fn poll_event(&mut self) -> Option<AppEvent> {
        lock(&self.shared.host).poll_event()
    }

    fn open(
        &mut self,
        _now: Timestamp,
        peer: &PeerId,
        protocols: &[ProtocolId],
    ) -> Result<StreamRef, StreamOpenError> {
        self.with(|host, now| host.open(now, peer, protocols))
    }

    fn accept(&mut self) -> Option<InboundStream> {
        self.with(|host, _| host.accept())
    }

    fn read(&mut self, _now: Timestamp, stream: StreamRef, max: usize) -> Result<Bytes, ReadError> {
        self.with(|host, now| host.read(now, stream, max))
    }

    fn write(
        &mut self,
        _now: Timestamp,
        stream: StreamRef,
        data: &[u8],
    ) -> Result<usize, WriteError> {
        self.with(|host, now| host.write(now, stream, data))
    }

    fn finish(&mut self, _now: Timestamp, stream: StreamRef) -> Result<(), WriteError> {
        self.with(|host, now| host.finish(now, stream))
    }

    fn reset(&mut self, _now: Timestamp, stream: StreamRef, code: ResetCode) {
        self.with(|host, now| host.reset(now, stream, code));
    }
}

/// What the thread has: the world of its host.
struct World {
    shared: Arc<Shared>,
    clock: Arc<StepClock>,
    timer: StepTimer,
    listeners: BTreeMap<ListenerId, MemoryListener>,
    /// Those whom Node has not answered yet, which it does at once.
    arrivals: BTreeMap<ArrivalId, MemoryStream>,
    streams: BTreeMap<ConnectionId, Stream>,
}

struct Stream {
    bytes: MemoryStream,
    /// Nothing more comes.
    read_over: bool,
    /// The connection is over.
    over: bool,
}

impl World {
    fn new(shared: Arc<Shared>, clock: Arc<StepClock>, timer: StepTimer) -> Self {
        World {
            shared,
            clock,
            timer,
            listeners: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            streams: BTreeMap::new(),
        }
    }

    fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let waker = own_waker();
        let cx = &mut Context::from_waker(&waker);
        while !shared.stopped.load(Ordering::Acquire) {
            let (moved, deadline) = {
                let mut host = lock(&shared.host);
                let mut moved = false;
                while self.turn(cx, &mut host) {
                    moved = true;
                }
                (moved, host.poll_timeout())
            };
            if moved {
                shared.fresh.store(true, Ordering::Release);
                let application = lock(&shared.application).take();
                if let Some(application) = application {
                    application.wake();
                }
            }
            self.timer.set(deadline.map_or(Timestamp::MAX, |deadline| deadline.at));
            if self.timer.poll_due(cx).is_pending() {
                std::thread::park();
            }
        }
    }

    /// Does what can be done now. Whether that was anything.
    fn turn(&mut self, cx: &mut Context<'_>, host: &mut Host) -> bool {
        let now = self.clock.now();
        let mut moved = false;
        if host.poll_timeout().is_some_and(|deadline| deadline.at <= now) {
            host.handle_timeout(now);
            moved = true;
        }
        for (listener, door) in &mut self.listeners {
            while let Poll::Ready(stream) = door.poll_accept(cx) {
                // As the drivers say it: there is no address at the end that dialled.
                let remote = Endpoint::Memory(0).to_multiaddr();
                let arrival = host.handle_arrival(now, *listener, remote);
                self.arrivals.insert(arrival, stream);
                moved = true;
            }
        }
        for (connection, stream) in &mut self.streams {
            moved |= stream.receive(cx, now, host, *connection);
        }
        while let Some(output) = host.poll_output() {
            self.apply(now, host, output);
            moved = true;
        }
        while let Some(connection) = host.poll_sendable() {
            if let Some(stream) = self.streams.get_mut(&connection) {
                moved |= stream.transmit(cx, now, host, connection);
            }
        }
        for (connection, stream) in &mut self.streams {
            moved |= stream.transmit(cx, now, host, *connection);
        }
        self.streams.retain(|_, stream| !(stream.over && stream.read_over));
        moved
    }

    fn apply(&mut self, now: Timestamp, host: &mut Host, output: HostOutput) {
        match output {
            HostOutput::Listen { listener, address } => match Endpoint::parse(&address) {
                Some(Endpoint::Memory(number)) => match MemoryListener::bind(number) {
                    Ok(door) => {
                        let address = Endpoint::Memory(door.number()).to_multiaddr();
                        self.listeners.insert(listener, door);
                        host.handle_listening(now, listener, address);
                    }
                    Err(_) => {
                        host.handle_listen_failed(now, listener, ListenFailure::AddressInUse);
                    }
                },
                Some(_) | None => {
                    host.handle_listen_failed(now, listener, ListenFailure::Unsupported);
                }
            },
            HostOutput::Unlisten(listener) => drop(self.listeners.remove(&listener)),
            HostOutput::Accept { arrival, connection } => match self.arrivals.remove(&arrival) {
                Some(bytes) => self.begin(now, host, connection, bytes),
                None => host.handle_arrival_gone(now, arrival),
            },
            HostOutput::Reject { arrival, reason: _ } => drop(self.arrivals.remove(&arrival)),
            HostOutput::Dial { connection, address } => match Endpoint::parse(&address) {
                Some(Endpoint::Memory(number)) => match connect(number) {
                    Ok(bytes) => self.begin(now, host, connection, bytes),
                    Err(_) => host.handle_dial_failed(now, connection, DialFailure::Refused),
                },
                Some(_) | None => {
                    host.handle_dial_failed(now, connection, DialFailure::Unsupported);
                }
            },
            // Dials are over at once.
            HostOutput::CancelDial(_) => {}
            HostOutput::LookUp { lookup, address: _ } => {
                host.handle_looked_up(now, lookup, Vec::new());
            }
            HostOutput::Close(connection) => {
                if let Some(stream) = self.streams.get_mut(&connection) {
                    stream.over = true;
                    // It is gone already if that fails.
                    let _ = stream.bytes.shutdown();
                }
            }
        }
    }

    fn begin(&mut self, now: Timestamp, host: &mut Host, id: ConnectionId, bytes: MemoryStream) {
        if host.begin(now, id, None) {
            self.streams.insert(id, Stream { bytes, read_over: false, over: false });
        }
    }
}

impl Stream {
    fn receive(
        &mut self,
        cx: &mut Context<'_>,
        now: Timestamp,
        host: &mut Host,
        connection: ConnectionId,
    ) -> bool {
        if self.over {
            return self.hang_up(cx);
        }
        let mut moved = false;
        while !self.read_over && self.bytes.poll_readable(cx).is_ready() {
            let Some(space) = host.recv_buf(connection) else { break };
            match self.bytes.try_read(space) {
                Ok(0) => {
                    self.read_over = true;
                    host.handle_eof(now, connection);
                }
                Ok(n) => host.handle_recv(now, connection, n),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // Memory fails in no other way.
                Err(error) => panic!("{error}"),
            }
            moved = true;
        }
        moved
    }

    /// Reads to the end, so that the remote gets rid of what it has.
    fn hang_up(&mut self, cx: &mut Context<'_>) -> bool {
        let mut scrap = [0; 4096];
        while !self.read_over && self.bytes.poll_readable(cx).is_ready() {
            self.read_over = !matches!(self.bytes.try_read(&mut scrap), Ok(1..));
        }
        // The end of a connection that is over changes nothing.
        false
    }

    fn transmit(
        &mut self,
        cx: &mut Context<'_>,
        now: Timestamp,
        host: &mut Host,
        connection: ConnectionId,
    ) -> bool {
        let mut moved = false;
        while let Some(bytes) = host.poll_transmit(now, connection) {
            match self.bytes.try_write_vectored(&[IoSlice::new(bytes)]) {
                Ok(n) => {
                    host.handle_transmitted(now, connection, n);
                    moved = true;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if self.bytes.poll_writable(cx).is_pending() {
                        break;
                    }
                }
                // The remote is gone; its end is read.
                Err(_) => break,
            }
        }
        moved
    }
}
