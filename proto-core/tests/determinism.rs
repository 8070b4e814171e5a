//! One seed, one session: the same bytes; however the transport cuts them, the same lives.

mod common;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use common::*;
use proptest::prelude::*;
use sanspeer_core::connection::{Connection, ConnectionEvent, MAX_INBOUND_PERF_STREAMS};
use sanspeer_core::mailbox::{Frame, Lease, RequestId, StreamEnd, ToConnection, ToNode};
use sanspeer_core::mux::{ReadError, StreamId, WriteError};
use sanspeer_core::rng::Seed;
use sanspeer_core::time::Timestamp;

/// The listener answers what it read so far at once.
const PROMPT: &str = "/test/prompt/1.0.0";
/// The listener resets the stream at the first byte.
const RESETTER: &str = "/test/resetter/1.0.0";
/// The listener speaks, and the dialer finished at once.
const GREETER: &str = "/test/greeter/1.0.0";
/// Nobody speaks it.
const UNKNOWN: &str = "/test/unknown/1.0.0";

/// What a stream of the scenario is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// So many bytes there, half-close, the same bytes back, the other half.
    Echo(usize),
    /// The same, behind a proposal that is refused.
    SecondChoice(usize),
    /// The dialer resets when the first answer comes.
    ResetByDialer,
    /// The listener resets when the first byte comes.
    ResetByListener,
    /// The dialer only reads so many bytes.
    Greeting(usize),
    /// Nothing is agreed on.
    Refused,
    /// Node's: frames of these sizes there and back.
    Frames(Vec<usize>),
    /// A measurement with so many bytes each way.
    Perf(u64, u64),
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        (0usize..30_000).prop_map(Kind::Echo),
        (0usize..3_000).prop_map(Kind::SecondChoice),
        Just(Kind::ResetByDialer),
        Just(Kind::ResetByListener),
        (0usize..30_000).prop_map(Kind::Greeting),
        Just(Kind::Refused),
        proptest::collection::vec(0usize..8_000, 1..5).prop_map(Kind::Frames),
        (0u64..20_000, 0u64..20_000).prop_map(|(up, down)| Kind::Perf(up, down)),
    ]
}

/// What a side saw, per stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Log {
    contents: BTreeMap<StreamId, (Vec<u8>, bool)>,
    node: BTreeMap<StreamId, Vec<ToNode>>,
}

struct Open {
    kind: Kind,
    outgoing: Vec<u8>,
    written: usize,
    finish: bool,
    ended: bool,
}

/// Both sides' application and Node.
struct Scenario {
    /// What the dialer opens; empty for the listener.
    plan: Vec<Kind>,
    streams: BTreeMap<StreamId, Open>,
    /// Node's streams of the dialer: what is sent once they are there.
    frames: BTreeMap<RequestId, Vec<usize>>,
    dialer: bool,
    log: Rc<RefCell<Log>>,
}

fn pattern(bytes: usize, salt: u64) -> Vec<u8> {
    let mut data = vec![0; bytes];
    Seed::from_u64(salt).rng().fill(&mut data);
    data
}

impl Scenario {
    fn add(
        &mut self,
        connection: &mut Connection,
        id: StreamId,
        kind: Kind,
        outgoing: Vec<u8>,
        finish: bool,
    ) {
        let open = Open { kind, outgoing, written: 0, finish, ended: false };
        self.streams.insert(id, open);
        self.drive(connection, id);
    }

    /// Writes and reads as far as that goes.
    fn drive(&mut self, connection: &mut Connection, id: StreamId) {
        let Some(open) = self.streams.get_mut(&id) else { return };
        let mut stream = connection.stream(id);
        loop {
            let mut moved = false;
            while open.written < open.outgoing.len() {
                match stream.write(&open.outgoing[open.written..]) {
                    Ok(n) => {
                        open.written += n;
                        moved = true;
                    }
                    Err(WriteError::Blocked) => break,
                    Err(error) => panic!("write: {error:?}"),
                }
            }
            if open.finish && open.written == open.outgoing.len() {
                open.finish = false;
                stream.finish().expect("an open stream");
            }
            if open.ended {
                return;
            }
            let bytes = match stream.read(usize::MAX) {
                Ok(bytes) => bytes,
                Err(ReadError::Blocked) if moved => continue,
                Err(ReadError::Blocked | ReadError::UnsupportedProtocol) => return,
                Err(error) => panic!("read: {error:?}"),
            };
            let mut log = self.log.borrow_mut();
            let (content, end) = log.contents.entry(id).or_default();
            content.extend_from_slice(&bytes);
            if bytes.is_empty() {
                *end = true;
                open.ended = true;
                if !self.dialer && matches!(open.kind, Kind::Echo(_)) {
                    open.outgoing.clone_from(content);
                    open.finish = true;
                }
                continue;
            }
            match (&open.kind, self.dialer) {
                (Kind::ResetByDialer, true) | (Kind::ResetByListener, false) => {
                    stream.reset(0);
                    self.streams.remove(&id);
                    return;
                }
                (Kind::ResetByDialer, false) => open.outgoing.extend_from_slice(&bytes),
                (
                    Kind::Echo(_)
                    | Kind::SecondChoice(_)
                    | Kind::Greeting(_)
                    | Kind::Refused
                    | Kind::Frames(_)
                    | Kind::Perf(..),
                    _,
                )
                | (Kind::ResetByListener, true) => {}
            }
        }
    }
}

impl App for Scenario {
    fn admitted(&mut self, connection: &mut Connection, now: Timestamp) {
        for (index, kind) in core::mem::take(&mut self.plan).into_iter().enumerate() {
            let salt = index as u64;
            let mut open = |names: &[&str]| {
                let names: Vec<_> = names.iter().copied().map(id).collect();
                connection.open(now, &names).expect("room for a stream")
            };
            match kind.clone() {
                Kind::Echo(n) => {
                    let stream = open(&[ECHO]);
                    self.add(connection, stream, kind, pattern(n, salt), true);
                }
                Kind::SecondChoice(n) => {
                    let stream = open(&[UNKNOWN, ECHO]);
                    self.add(connection, stream, kind, pattern(n, salt), true);
                }
                Kind::ResetByDialer => {
                    let stream = open(&[PROMPT]);
                    self.add(connection, stream, kind, pattern(100, salt), false);
                }
                Kind::ResetByListener => {
                    let stream = open(&[RESETTER]);
                    self.add(connection, stream, kind, pattern(100, salt), false);
                }
                Kind::Greeting(_) => {
                    let stream = open(&[GREETER]);
                    self.add(connection, stream, kind, Vec::new(), true);
                }
                Kind::Refused => {
                    let stream = open(&[UNKNOWN]);
                    self.add(connection, stream, kind, pattern(10, salt), false);
                }
                Kind::Frames(sizes) => {
                    let request = RequestId(salt);
                    self.frames.insert(request, sizes);
                    let protocols = vec![id(FRAMES)];
                    let max_frame_bytes = MAX_FRAME;
                    connection.handle_node(
                        now,
                        ToConnection::Open { request, protocols, max_frame_bytes },
                    );
                }
                Kind::Perf(up, down) => {
                    connection.perf(now, up, down).expect("room for a stream");
                }
            }
        }
    }

    fn event(&mut self, connection: &mut Connection, _now: Timestamp, event: &ConnectionEvent) {
        match event {
            ConnectionEvent::Inbound { stream, protocol } => {
                assert_eq!(connection.accept(), Some((*stream, protocol.clone())));
                let (kind, outgoing, finish) = match protocol.as_str() {
                    ECHO => (Kind::Echo(0), Vec::new(), false),
                    PROMPT => (Kind::ResetByDialer, Vec::new(), false),
                    RESETTER => (Kind::ResetByListener, Vec::new(), false),
                    _ => (Kind::Greeting(0), pattern(20_000, stream.0), true),
                };
                self.add(connection, *stream, kind, outgoing, finish);
            }
            ConnectionEvent::Opened { stream, .. }
            | ConnectionEvent::Readable(stream)
            | ConnectionEvent::Writable(stream)
            | ConnectionEvent::Finished(stream) => self.drive(connection, *stream),
            ConnectionEvent::OpenFailed { stream, .. } | ConnectionEvent::Ended { stream, .. } => {
                self.streams.remove(stream);
            }
            ConnectionEvent::Secured { .. }
            | ConnectionEvent::Stopped { .. }
            | ConnectionEvent::Perf(_)
            | ConnectionEvent::Closed { .. } => {}
        }
    }

    fn node(&mut self, connection: &mut Connection, now: Timestamp, message: &ToNode) {
        let stream = match message {
            ToNode::StreamOpened { request, stream, .. } => {
                for size in self.frames.remove(request).unwrap_or_default() {
                    let frame = Frame::new(pattern(size, request.0));
                    let stream = *stream;
                    connection.handle_node(now, ToConnection::Send { stream, frame });
                }
                connection.handle_node(now, ToConnection::Finish(*stream));
                stream
            }
            ToNode::Frame { stream, frame } => {
                if !self.dialer {
                    let frame = Frame { head: Bytes::new(), body: frame.clone() };
                    let stream = *stream;
                    connection.handle_node(now, ToConnection::Send { stream, frame });
                }
                stream
            }
            ToNode::StreamFinished(stream) => {
                connection.handle_node(now, ToConnection::Finish(*stream));
                stream
            }
            ToNode::InboundStream { stream, .. } | ToNode::StreamClosed { stream, .. } => stream,
            // How credit comes back in pieces depends on when Node is told.
            ToNode::Sent { .. }
            | ToNode::Established { .. }
            | ToNode::Rtt(_)
            | ToNode::PingFailed(_)
            | ToNode::LeaseRequest { .. }
            | ToNode::LeaseReturn { .. }
            | ToNode::Usage(_)
            | ToNode::OpenFailed { .. }
            | ToNode::Verified { .. }
            | ToNode::Closed { .. } => return,
        };
        self.log.borrow_mut().node.entry(*stream).or_default().push(message.clone());
    }
}

/// What is the same however the bytes are cut.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    dialer: (Vec<ConnectionEvent>, Log),
    listener: (Vec<ConnectionEvent>, Log),
    pings: usize,
}

/// How the ends are driven.
enum Turns {
    /// Everything at once, both ways.
    Mixed,
    /// Whoever has received all there was.
    Strict,
}

/// A session that opens what `plan` says, pings, and closes.
fn session(
    secured: Secured,
    seed: u64,
    plan: &[Kind],
    chunks: (Chunks, Chunks),
    turns: Turns,
) -> (Pair, Outcome) {
    let lease = Lease { ping_interval: Some(Duration::from_secs(1)), ..Lease::default() };
    let protocols = table()
        .with_application(id(PROMPT))
        .with_application(id(RESETTER))
        .with_application(id(GREETER));
    let mut pair = Pair::offering(seed, &[secured], &[secured]);
    let logs = [Rc::default(), Rc::default()];
    let ends = [&mut pair.dialer, &mut pair.listener];
    for (end, chunks) in ends.into_iter().zip([chunks.0, chunks.1]) {
        end.admit = Some((lease, protocols.clone()));
        end.chunks = chunks;
        end.sent = Some(Vec::new());
    }
    // When Node admits a connection is an input of its own, so that comes first.
    pair.run_in_turns();
    let now = pair.now;
    let ends = [(&mut pair.dialer, plan, true), (&mut pair.listener, &[], false)];
    for ((end, plan, dialer), log) in ends.into_iter().zip(&logs) {
        let mut scenario = Scenario {
            plan: plan.to_vec(),
            streams: BTreeMap::new(),
            frames: BTreeMap::new(),
            dialer,
            log: Rc::clone(log),
        };
        scenario.admitted(&mut end.connection, now);
        end.app = Some(Box::new(scenario));
    }
    for _ in 0..4 {
        match turns {
            Turns::Mixed => pair.run(),
            Turns::Strict => pair.run_in_turns(),
        }
        pair.now = pair.now.saturating_add(Duration::from_secs(1));
        pair.dialer.connection.handle_timeout(pair.now);
        pair.listener.connection.handle_timeout(pair.now);
    }
    pair.run();
    let [dialer, listener] = logs.map(|log: Rc<RefCell<Log>>| log.borrow().clone());
    let ends = [&pair.dialer, &pair.listener];
    let is_rtt = |message: &&ToNode| matches!(message, ToNode::Rtt(_));
    let pings = ends.iter().map(|end| end.node.iter().filter(is_rtt).count()).sum();
    let outcome = Outcome {
        dialer: (pair.dialer.lifecycle(), dialer),
        listener: (pair.listener.lifecycle(), listener),
        pings,
    };
    (pair, outcome)
}

fn fifty_streams() -> Vec<Kind> {
    let some = [
        Kind::Echo(10_000),
        Kind::SecondChoice(1_000),
        Kind::ResetByDialer,
        Kind::ResetByListener,
        Kind::Greeting(20_000),
        Kind::Refused,
        Kind::Frames(vec![0, 1, 127, 128, 5_000]),
        Kind::Perf(100_000, 100_000),
        Kind::Echo(0),
        Kind::Echo(300_000),
    ];
    some.iter().cycle().take(50).cloned().collect()
}

/// Checks that the scenario did what it says, so that comparing it means something.
fn check(plan: &[Kind], outcome: &Outcome) {
    let (events, log) = &outcome.dialer;
    let mut contents = log.contents.values();
    let mut node_streams = log.node.values();
    for (index, kind) in plan.iter().enumerate() {
        let salt = index as u64;
        match kind {
            Kind::Echo(n) | Kind::SecondChoice(n) => {
                let (content, end) = contents.next().expect("a stream that was read");
                assert!(*end && *content == pattern(*n, salt), "stream {index} of {kind:?}");
            }
            Kind::ResetByDialer => {
                assert_eq!(contents.next(), Some(&(pattern(100, salt), false)));
            }
            Kind::ResetByListener | Kind::Refused | Kind::Perf(..) => {}
            Kind::Greeting(_) => {
                let (content, end) = contents.next().expect("a stream that was read");
                assert!(*end && content.len() == 20_000);
            }
            Kind::Frames(sizes) => {
                let messages = node_streams.next().expect("a stream of Node's");
                let frames: Vec<_> = messages
                    .iter()
                    .filter_map(|message| {
                        if let ToNode::Frame { frame, .. } = message { Some(frame) } else { None }
                    })
                    .collect();
                let expected: Vec<_> = sizes.iter().map(|n| pattern(*n, salt)).collect();
                assert_eq!(frames, expected.iter().collect::<Vec<_>>());
                let end = messages.last().expect("an end");
                assert!(matches!(end, ToNode::StreamClosed { end: StreamEnd::Finished, .. }));
            }
        }
    }
    let count = |is: fn(&Kind) -> bool| plan.iter().filter(|kind| is(kind)).count();
    let of_dialer = |is: fn(&ConnectionEvent) -> bool| events.iter().filter(|e| is(e)).count();
    let resets = of_dialer(|event| matches!(event, ConnectionEvent::Ended { .. }));
    assert_eq!(resets, count(|kind| matches!(kind, Kind::ResetByListener)));
    let refused = of_dialer(|event| matches!(event, ConnectionEvent::OpenFailed { .. }));
    assert_eq!(refused, count(|kind| matches!(kind, Kind::Refused)));
    let perfs =
        of_dialer(|event| matches!(event, ConnectionEvent::Perf(report) if report.complete));
    let wanted = count(|kind| matches!(kind, Kind::Perf(..)));
    assert!(perfs <= wanted && perfs >= wanted.min(MAX_INBOUND_PERF_STREAMS as usize));
    assert!(outcome.pings >= 4, "{} pings", outcome.pings);
}

/// What both sides sent.
fn sent(pair: &Pair) -> [Vec<u8>; 2] {
    [&pair.dialer, &pair.listener].map(|end| end.sent.clone().expect("kept"))
}

/// A hash over what both sides send in a session of fifty streams.
fn digest(secured: Secured, seed: u64) -> u64 {
    let whole = (Chunks::Whole, Chunks::Whole);
    let (pair, _) = session(secured, seed, &fifty_streams(), whole, Turns::Mixed);
    sent(&pair).concat().iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[test]
fn one_seed_gives_the_same_bytes_on_the_wire_over_a_session_of_fifty_streams() {
    let plan = fifty_streams();
    for secured in SECURED {
        let whole = || (Chunks::Whole, Chunks::Whole);
        let run = |seed| session(secured, seed, &plan, whole(), Turns::Mixed);
        let ((one, outcome), (two, again), (other, _)) = (run(7), run(7), run(8));
        check(&plan, &outcome);
        assert_eq!(outcome, again);
        let [dialer, listener] = sent(&one);
        assert!(dialer.len() > 1_000_000 && listener.len() > 1_000_000);
        assert!(sent(&one) == sent(&two), "one seed, different bytes");
        let [other_dialer, other_listener] = sent(&other);
        assert!(dialer != other_dialer && listener != other_listener, "two seeds, the same bytes");
    }
}

const CHILD: &str = "SANSPEER_SESSION_DIGEST_CHILD";

#[test]
fn one_seed_gives_the_same_bytes_in_another_process() {
    let here = SECURED.map(|secured| digest(secured, 28));
    let output = std::process::Command::new(std::env::current_exe().expect("a test program"))
        .args(["--exact", "the_digests_of_a_session", "--nocapture", "--test-threads=1"])
        .env(CHILD, "28")
        .output()
        .expect("the same program again");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains(&format!("digests {here:?}")), "{here:?} is not in {text}");
}

/// What the other process runs.
#[test]
#[allow(clippy::disallowed_methods, reason = "the parent says so which seed it wants")]
fn the_digests_of_a_session() {
    if let Ok(seed) = std::env::var(CHILD) {
        let seed = seed.parse().expect("a number");
        println!("digests {:?}", SECURED.map(|secured| digest(secured, seed)));
    }
}

#[test]
fn cutting_the_bytes_in_pieces_of_one_and_of_primes_changes_nothing() {
    let plan: Vec<Kind> = fifty_streams().into_iter().take(9).chain([Kind::Echo(70_000)]).collect();
    for secured in SECURED {
        let run = |chunks| session(secured, 3, &plan, chunks, Turns::Strict).1;
        let whole = run((Chunks::Whole, Chunks::Whole));
        check(&plan, &whole);
        for size in [1, 2, 3, 17, 251, 16_411, 65_537] {
            let cut = run((Chunks::Fixed(size), Chunks::Fixed(size)));
            assert_eq!(cut, whole, "{secured:?} in pieces of {size}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn cutting_the_bytes_at_random_changes_neither_contents_nor_lives(
        secured in prop::sample::select(&SECURED[..]),
        plan in proptest::collection::vec(kind(), 1..12),
        seed in 0u64..1_000,
        most in (1usize..2_000, 1usize..200_000),
    ) {
        let whole = (Chunks::Whole, Chunks::Whole);
        let whole = session(secured, seed, &plan, whole, Turns::Strict).1;
        check(&plan, &whole);
        let random = |label, most| {
            Chunks::Random(Box::new(Seed::from_u64(seed).derive(label, 0).rng()), most)
        };
        let chunks = (random("dialer", most.0), random("listener", most.1));
        let cut = session(secured, seed, &plan, chunks, Turns::Strict).1;
        prop_assert_eq!(cut, whole);
    }
}
