//! The example: its loop, over real TCP on the loopback, in two threads; and the program itself, in
//! two processes.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the loop is a driver: it has sockets, threads and a clock"
)]

#[path = "../examples/lines/blocking.rs"]
mod blocking;
#[path = "../examples/lines/conversation.rs"]
mod conversation;
#[path = "../examples/lines/driver.rs"]
mod driver;
#[path = "lines_example/program.rs"]
mod program;
#[path = "../examples/lines/udp.rs"]
mod udp;

use std::collections::VecDeque;
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use blocking::BlockingDriver;
use conversation::{Failure, Local, MAX_LINE_BYTES, Next, converse};
use sanspeer_core::close::CloseReason;
use sanspeer_core::connection::ConnectionEvent;
use sanspeer_core::identity::{Identity, PeerId};
use sanspeer_core::mailbox::ProtocolTable;
use sanspeer_core::mux::{ReadError, StreamId, WriteError};
use sanspeer_core::protocol::ProtocolId;
use sanspeer_core::rng::Seed;

/// A condition that is not met by then will not be met.
const PATIENCE: Duration = Duration::from_secs(120);

const BULK: &str = "/test/bulk/1.0.0";

fn bulk() -> ProtocolId {
    ProtocolId::new(BULK).expect("a valid protocol id")
}

/// Two drivers that are joined by TCP. The dialer expects `expected`, or the listener.
fn joined(
    seed: u64,
    protocols: &ProtocolTable,
    expected: Option<PeerId>,
) -> (BlockingDriver, BlockingDriver) {
    let seed = Seed::from_u64(seed);
    let dialer = Identity::ed25519(&seed.derive("dialer", 0));
    let listener = Identity::ed25519(&seed.derive("listener", 0));
    let expected = expected.unwrap_or(listener.peer_id());
    let socket = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let address = socket.local_addr().expect("a bound socket");
    let out = TcpStream::connect(address).expect("a listener");
    let (into, _) = socket.accept().expect("a dialer");
    let (ours, theirs) = (seed.derive("ours", 0), seed.derive("theirs", 0));
    let dialer = BlockingDriver::connect(out, &dialer, ours, Some(expected), protocols.clone());
    let listener = BlockingDriver::accept(into, &listener, theirs, protocols.clone());
    (dialer.expect("a socket"), listener.expect("a socket"))
}

/// Says its lines, hears the other's, and gives up after [`PATIENCE`].
struct Script {
    says: VecDeque<Vec<u8>>,
    heard: Vec<Vec<u8>>,
    peer: Option<PeerId>,
    /// Says nothing before the other has finished.
    waits: bool,
    remote_finished: bool,
    began: Instant,
}

impl Script {
    fn new(says: impl IntoIterator<Item = Vec<u8>>, waits: bool) -> Self {
        Script {
            says: says.into_iter().collect(),
            heard: Vec::new(),
            peer: None,
            waits,
            remote_finished: false,
            began: Instant::now(),
        }
    }
}

impl Local for Script {
    fn connected(&mut self, peer: PeerId) {
        self.peer = Some(peer);
    }

    fn next(&mut self) -> Next {
        assert!(self.began.elapsed() < PATIENCE, "still waiting; heard {}", self.heard.len());
        if self.waits && !self.remote_finished {
            return Next::Nothing;
        }
        self.says.pop_front().map_or(Next::End, Next::Line)
    }

    fn received(&mut self, line: &[u8]) {
        self.heard.push(line.to_vec());
    }

    fn remote_finished(&mut self) {
        self.remote_finished = true;
    }
}

/// Runs a conversation in two threads; what each end heard, and how it ended for it.
fn run(
    drivers: (BlockingDriver, BlockingDriver),
    dialer: Script,
    listener: Script,
) -> [(Script, Result<(), Failure>); 2] {
    let side = |mut driver: BlockingDriver, mut script: Script| {
        thread::spawn(move || {
            let result = converse(&mut driver, &mut script);
            (script, result)
        })
    };
    let threads = [side(drivers.0, dialer), side(drivers.1, listener)];
    threads.map(|thread| thread.join().expect("no panic"))
}

#[test]
fn lines_go_both_ways_and_both_sides_end_with_a_goodbye() {
    let longest = vec![b'x'; MAX_LINE_BYTES];
    let ours = vec![b"one".to_vec(), Vec::new(), longest.clone(), b"last".to_vec()];
    let theirs: Vec<Vec<u8>> = (0..500).map(|n| format!("line {n}").into_bytes()).collect();
    let drivers = joined(1, &conversation::protocols(), None);
    let [(dialer, first), (listener, second)] =
        run(drivers, Script::new(ours.clone(), false), Script::new(theirs.clone(), false));
    first.expect("a clean end");
    second.expect("a clean end");
    assert_eq!(dialer.heard, theirs);
    assert_eq!(listener.heard, ours);
    let seed = Seed::from_u64(1);
    let peer = |label| Some(Identity::ed25519(&seed.derive(label, 0)).peer_id());
    assert_eq!((dialer.peer, listener.peer), (peer("listener"), peer("dialer")));
}

#[test]
fn a_side_that_has_finished_still_hears_the_other() {
    let drivers = joined(2, &conversation::protocols(), None);
    let answers = vec![b"after your end".to_vec(), b"and one more".to_vec()];
    let [(dialer, first), (_, second)] =
        run(drivers, Script::new([b"?".to_vec()], false), Script::new(answers.clone(), true));
    first.expect("a clean end");
    second.expect("a clean end");
    assert_eq!(dialer.heard, answers);
}

#[test]
fn another_peer_than_the_one_dialled_is_refused_by_name() {
    let expected = Identity::ed25519(&Seed::from_u64(99)).peer_id();
    let drivers = joined(3, &conversation::protocols(), Some(expected));
    let [(_, first), _] = run(drivers, Script::new([], false), Script::new([], false));
    let Err(Failure::Closed(CloseReason::WrongPeer { expected: named, .. })) = first else {
        panic!("{first:?}");
    };
    assert_eq!(*named, expected);
}

#[test]
fn a_remote_without_the_protocol_is_an_error_that_says_so() {
    let (dialer, mut listener) = joined(4, &ProtocolTable::new(), None);
    let listener = thread::spawn(move || while listener.turn(PATIENCE).expect("a socket") {});
    let mut dialer = dialer;
    let failure = converse(&mut dialer, &mut Script::new([b"hello?".to_vec()], true));
    assert!(matches!(failure, Err(Failure::Unsupported)), "{failure:?}");
    drop(dialer);
    listener.join().expect("no panic");
}

/// Sends `total` bytes that say where they belong, and checks those of the other side.
struct Bulk {
    stream: Option<StreamId>,
    total: u64,
    sent: u64,
    received: u64,
    finished: bool,
    heard_all: bool,
}

/// The bytes of a stream at `offset`. Their period is prime, so that no block repeats another.
fn pattern(offset: u64, buffer: &mut [u8]) {
    for (at, byte) in (offset..).zip(buffer) {
        *byte = u8::try_from(at % 251).expect("less than 251");
    }
}

impl Bulk {
    fn new(total: u64) -> Self {
        Bulk { stream: None, total, sent: 0, received: 0, finished: false, heard_all: false }
    }

    fn is_done(&self) -> bool {
        self.finished && self.heard_all
    }

    fn advance(&mut self, driver: &mut BlockingDriver) {
        let Some(id) = self.stream else { return };
        let mut stream = driver.connection().stream(id);
        let mut buffer = [0; 64 * 1024];
        while !self.heard_all {
            match stream.read(usize::MAX) {
                Ok(bytes) if bytes.is_empty() => self.heard_all = true,
                Ok(bytes) => {
                    for piece in bytes.chunks(buffer.len()) {
                        pattern(self.received, &mut buffer[..piece.len()]);
                        assert!(piece == &buffer[..piece.len()], "wrong at {}", self.received);
                        self.received += piece.len() as u64;
                    }
                }
                Err(ReadError::Blocked) => break,
                Err(error) => panic!("read at {}: {error:?}", self.received),
            }
        }
        while self.sent < self.total {
            let n = buffer.len().min(usize::try_from(self.total - self.sent).expect("fits"));
            pattern(self.sent, &mut buffer[..n]);
            match stream.write(&buffer[..n]) {
                Ok(n) => self.sent += n as u64,
                Err(WriteError::Blocked) => return,
                Err(error) => panic!("write at {}: {error:?}", self.sent),
            }
        }
        if !std::mem::replace(&mut self.finished, true) {
            stream.finish().expect("an open stream");
        }
    }
}

#[test]
fn both_sides_write_at_once_and_neither_waits_for_the_other_for_ever() {
    const TOTAL: u64 = 16 * 1024 * 1024;
    const STREAMS: usize = 20;
    let side = |mut driver: BlockingDriver, dials: bool| {
        thread::spawn(move || {
            let began = Instant::now();
            let mut streams: Vec<Bulk> = Vec::new();
            let mut over = false;
            while !over {
                assert!(began.elapsed() < PATIENCE, "{} streams", streams.len());
                while let Some(event) = driver.poll_event() {
                    if let ConnectionEvent::Inbound { .. } = event {
                        while let Some((stream, _)) = driver.connection().accept() {
                            let bulk = Bulk::new(TOTAL / STREAMS as u64);
                            streams.push(Bulk { stream: Some(stream), ..bulk });
                        }
                    }
                }
                let now = driver.now();
                if dials && streams.is_empty() && driver.connection().peer().is_some() {
                    for _ in 0..STREAMS {
                        let stream = driver.connection().open(now, &[bulk()]).expect("room");
                        let bulk = Bulk::new(TOTAL / STREAMS as u64);
                        streams.push(Bulk { stream: Some(stream), ..bulk });
                    }
                }
                for bulk in streams.iter_mut().filter(|bulk| !bulk.is_done()) {
                    bulk.advance(&mut driver);
                }
                if streams.len() == STREAMS && streams.iter().all(Bulk::is_done) && dials {
                    driver.connection().close(now, CloseReason::Requested);
                }
                over = !driver.turn(Duration::from_millis(100)).expect("a socket");
            }
            // What arrived with the goodbye is still to be read.
            for bulk in streams.iter_mut().filter(|bulk| !bulk.is_done()) {
                bulk.advance(&mut driver);
            }
            streams.iter().map(|bulk| bulk.received).sum::<u64>()
        })
    };
    let (dialer, listener) = joined(5, &ProtocolTable::new().with_application(bulk()), None);
    let threads = [side(dialer, true), side(listener, false)];
    let expected = TOTAL / STREAMS as u64 * STREAMS as u64;
    for thread in threads {
        assert_eq!(thread.join().expect("no panic"), expected);
    }
}
