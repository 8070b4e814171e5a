//! One connection, and what its application and its Node know of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use sanspeer_core::byte_mux::{ByteMux, Security};
use sanspeer_core::connection::{
    Connection, ConnectionConfig, ConnectionEvent, ConnectionSetup, NodeRoom, SEND_CREDIT_BYTES,
};
use sanspeer_core::identity::{Identity, PeerId};
use sanspeer_core::mailbox::{
    Frame, Lease, Owner, ProtocolTable, RequestId, StreamEnd, StreamRate, ToConnection, ToNode,
};
use sanspeer_core::mux::{Mux as _, ReadError, Role, StreamId, WriteError};
use sanspeer_core::protocol::ProtocolId;
use sanspeer_core::recv_buffer::MAX_BLOCK_BYTES;
use sanspeer_core::rng::Seed;
use sanspeer_core::send_buffer::MAX_QUEUED_BYTES;
use sanspeer_core::time::Timestamp;
use sanspeer_core::yamux::INITIAL_WINDOW_BYTES;

use crate::pattern;

/// Polling anything takes fewer turns than this, or does not end.
pub(super) const MAX_TURNS: usize = 20_000;

/// Frames begin at multiples of this in a stream's pattern.
const FRAME_STRIDE: u64 = 1 << 32;
const MAX_FRAME_BYTES: u32 = 64 * 1024;
const APPLICATION: [&str; 3] = ["/echo", "/other", "/nobody"];
const NODE: [&str; 3] = ["/frames", "/gossip", "/nobody"];

/// A stream of the application's.
#[derive(Debug, Default)]
pub(super) struct AppStream {
    pub(super) accepted: bool,
    pub(super) written: u64,
    pub(super) read: u64,
    pub(super) finished: bool,
    pub(super) end_read: bool,
    /// Reset, refused or failed.
    pub(super) over: bool,
    pub(super) read_blocked: bool,
    write_blocked: bool,
}

/// A stream of Node's.
#[derive(Debug, Default)]
pub(super) struct NodeStream {
    /// Lengths of frames.
    pub(super) sent: Vec<usize>,
    pub(super) received: Vec<usize>,
    pub(super) finished: bool,
    pub(super) end_told: bool,
    pub(super) closed: bool,
    unreturned_bytes: u64,
    overdrawn: bool,
}

pub(super) struct End {
    pub(super) connection: Connection,
    number: u8,
    /// Sent, and not received by the other end.
    pub(super) wire: VecDeque<u8>,
    pub(super) streams: BTreeMap<StreamId, AppStream>,
    pub(super) node_streams: BTreeMap<StreamId, NodeStream>,
    digest: DefaultHasher,
    pub(super) admit_at_once: bool,
    pub(super) busy_node: bool,
    pub(super) established: bool,
    pub(super) admitted: bool,
    secured: bool,
    closed: bool,
    pub(super) node_closed: bool,
    pub(super) open_requests: BTreeSet<RequestId>,
    verify_requests: BTreeMap<RequestId, bool>,
    next_request: u64,
    pub(super) perf: BTreeSet<StreamId>,
    held_most: u64,
    leased_most: u64,
}

pub(super) fn identity(number: u8) -> &'static Identity {
    static IDENTITIES: [OnceLock<Identity>; 3] = [const { OnceLock::new() }; 3];
    IDENTITIES[usize::from(number)]
        .get_or_init(|| Identity::ed25519(&Seed::from_u64(number.into())))
}

fn id(text: &str) -> ProtocolId {
    ProtocolId::new(text).expect("a valid protocol id")
}

/// `count` of them, from `first` on.
fn proposals(names: &[&str; 3], first: u8, count: u8) -> Vec<ProtocolId> {
    let count = if count == 255 { 70 } else { usize::from(count % 4) };
    (0..count).map(|at| id(names[(usize::from(first) + at) % names.len()])).collect()
}

pub(super) fn table(mask: u8) -> ProtocolTable {
    let most = if mask & 8 == 0 { u32::MAX } else { 1 };
    let node = Owner::Node { max_frame_bytes: MAX_FRAME_BYTES };
    let mut table = ProtocolTable::new();
    if mask & 1 == 0 {
        table = table.with(id("/echo"), Owner::Application, most);
    }
    if mask & 2 == 0 {
        table = table.with(id("/frames"), node, most).with(id("/gossip"), node, most);
    }
    if mask & 4 == 0 {
        table = table.with_perf().with_application(id("/other"));
    }
    table
}

pub(super) fn lease(choice: u8) -> Lease {
    let streams = |bits: u8| [512, 0, 1, 8][usize::from(bits & 3)];
    Lease {
        inbound_streams: streams(choice),
        outbound_streams: streams(choice >> 2),
        window_bytes: [1 << 20, 0, 16 << 20, 100_000][usize::from(choice >> 4 & 3)],
        inbound_rate: (choice & 3 == 3).then_some(StreamRate { per_second: 1, burst: 4 }),
        ping_interval: [None, Some(100), Some(1_000), Some(15_000)][usize::from(choice >> 6)]
            .map(Duration::from_millis),
    }
}

impl End {
    pub(super) fn new(number: u8, expected_peer: Option<PeerId>, early_muxer: bool) -> Self {
        let role = if number == 0 { Role::Dialer } else { Role::Listener };
        let mut config = ConnectionConfig::default();
        config.byte_mux.early_muxer = early_muxer;
        let setup = ConnectionSetup {
            role,
            security: &[Security::Noise(identity(number))],
            seed: Seed::from_u64(7).derive("connection", number.into()),
            expected_peer,
            layer: None,
        };
        End {
            connection: Connection::new(setup, config, Timestamp::ZERO),
            number,
            wire: VecDeque::new(),
            streams: BTreeMap::new(),
            node_streams: BTreeMap::new(),
            digest: DefaultHasher::new(),
            admit_at_once: true,
            busy_node: false,
            established: false,
            admitted: false,
            secured: false,
            closed: false,
            node_closed: false,
            open_requests: BTreeSet::new(),
            verify_requests: BTreeMap::new(),
            next_request: 0,
            perf: BTreeSet::new(),
            held_most: 0,
            leased_most: Lease::default().window_bytes,
        }
    }

    pub(super) fn digest(&self) -> u64 {
        self.digest.finish()
    }

    // The transport.

    pub(super) fn transmit(&mut self, now: Timestamp, most: usize) -> bool {
        let Some(bytes) = self.connection.poll_transmit(now) else { return false };
        let n = bytes.len().min(most);
        assert!(!bytes.is_empty(), "nothing to transmit, but said so");
        self.wire.extend(&bytes[..n]);
        self.digest.write(&bytes[..n]);
        self.connection.handle_transmitted(n);
        self.settle(now);
        n > 0
    }

    /// Receives at most so many bytes of `wire` at once.
    pub(super) fn receive(&mut self, now: Timestamp, wire: &mut VecDeque<u8>, most: usize) -> bool {
        if self.connection.is_closed() {
            // The transport is closed; what still comes is lost.
            wire.clear();
        }
        if wire.is_empty() || most == 0 {
            return false;
        }
        let Some(space) = self.connection.recv_buf() else { return false };
        assert!(!space.is_empty(), "no space to receive into");
        let n = space.len().min(most).min(wire.len());
        for (slot, byte) in space.iter_mut().zip(wire.drain(..n)) {
            *slot = byte;
        }
        self.connection.handle_recv(now, n);
        self.settle(now);
        true
    }

    // What the connection says.

    /// Polls events, then messages for Node, until there are none.
    pub(super) fn settle(&mut self, now: Timestamp) {
        self.poll_events();
        if !self.busy_node {
            self.poll_node(now, MAX_TURNS, NodeRoom::Queue);
        }
        self.check_memory(now);
    }

    fn poll_events(&mut self) {
        for _ in 0..MAX_TURNS {
            let Some(event) = self.connection.poll_event() else { return };
            assert!(!self.closed, "{event:?} after the end");
            format!("{event:?}").hash(&mut self.digest);
            self.event(event);
        }
        panic!("events do not end");
    }

    fn event(&mut self, event: ConnectionEvent) {
        match event {
            ConnectionEvent::Secured { peer } => {
                assert!(!core::mem::replace(&mut self.secured, true), "secured twice");
                assert_eq!(peer, identity(1 - self.number).peer_id());
            }
            ConnectionEvent::Inbound { stream, protocol } => {
                assert!(APPLICATION.contains(&protocol.as_str()));
                let known = self.streams.insert(stream, AppStream::default());
                assert!(known.is_none(), "{stream} came twice");
            }
            ConnectionEvent::Opened { stream, .. } => {
                self.live(stream, "opened");
            }
            ConnectionEvent::OpenFailed { stream, .. } => self.live(stream, "failed").over = true,
            ConnectionEvent::Readable(stream) => {
                self.live(stream, "readable").read_blocked = false;
            }
            ConnectionEvent::Writable(stream) => {
                self.live(stream, "writable").write_blocked = false;
            }
            ConnectionEvent::Finished(stream) => {
                self.live(stream, "finished").read_blocked = false;
            }
            ConnectionEvent::Stopped { stream, .. } => panic!("{stream} stopped over Yamux"),
            ConnectionEvent::Ended { stream, .. } => self.live(stream, "ended").over = true,
            ConnectionEvent::Perf(report) => {
                assert!(self.perf.remove(&report.stream), "{report:?} of nobody's");
            }
            ConnectionEvent::Closed { .. } => self.closed = true,
        }
    }

    fn live(&mut self, stream: StreamId, what: &str) -> &mut AppStream {
        let known = self.streams.get_mut(&stream);
        let known = known.unwrap_or_else(|| panic!("{stream} is {what}, but nobody knows it"));
        assert!(!known.over, "{stream} is {what} after its end");
        known
    }

    /// Takes at most so many messages.
    pub(super) fn poll_node(&mut self, now: Timestamp, most: usize, room: NodeRoom) {
        for turn in 0.. {
            assert!(turn < MAX_TURNS, "messages for Node do not end");
            if turn == most {
                return;
            }
            let Some(message) = self.connection.poll_node(room) else { return };
            assert!(!self.node_closed, "{message:?} after Closed");
            match &message {
                ToNode::Frame { stream, frame } => (stream, frame).hash(&mut self.digest),
                other => format!("{other:?}").hash(&mut self.digest),
            }
            self.node_message(now, message);
            self.poll_events();
        }
    }

    fn node_message(&mut self, now: Timestamp, message: ToNode) {
        if !self.established {
            let is_answer = matches!(message, ToNode::OpenFailed { .. } | ToNode::Verified { .. });
            let is_first = matches!(message, ToNode::Established { .. } | ToNode::Closed { .. });
            assert!(is_first || is_answer, "{message:?} before Established");
        }
        match message {
            ToNode::Established { peer, role } => {
                assert!(!core::mem::replace(&mut self.established, true), "established twice");
                assert_eq!(Some(peer), self.connection.peer());
                assert_eq!(role, self.connection.role());
                if self.admit_at_once {
                    self.admit(now, Lease::default(), table(0));
                }
            }
            ToNode::Rtt(_) | ToNode::PingFailed(_) | ToNode::Usage(_) => {}
            ToNode::LeaseRequest { window_bytes } | ToNode::LeaseReturn { window_bytes } => {
                assert!(window_bytes > 0);
            }
            ToNode::StreamOpened { request, stream, protocol } => {
                assert!(self.open_requests.remove(&request), "{request:?} was not asked");
                self.new_node_stream(stream, &protocol);
            }
            ToNode::OpenFailed { request, .. } => {
                assert!(self.open_requests.remove(&request), "{request:?} was not asked");
            }
            ToNode::InboundStream { stream, protocol } => self.new_node_stream(stream, &protocol),
            ToNode::Frame { stream, frame } => {
                assert!(frame.len() <= MAX_FRAME_BYTES as usize);
                let direction = 1 - self.number;
                let known = self.live_node_stream(stream);
                assert!(!known.end_told);
                let offset = known.received.len() as u64 * FRAME_STRIDE;
                pattern::check(stream.0, direction, offset, &frame);
                known.received.push(frame.len());
            }
            ToNode::Sent { stream, bytes } => {
                let known = self.live_node_stream(stream);
                let left = known.unreturned_bytes.checked_sub(bytes);
                known.unreturned_bytes = left.expect("more credit came back than was used");
            }
            ToNode::StreamFinished(stream) => {
                let known = self.live_node_stream(stream);
                assert!(!core::mem::replace(&mut known.end_told, true));
            }
            ToNode::StreamClosed { stream, end } => {
                let known = self.live_node_stream(stream);
                known.closed = true;
                assert!(end != StreamEnd::CreditExceeded || known.overdrawn);
                if end == StreamEnd::Finished {
                    assert!(known.finished && known.end_told);
                }
            }
            ToNode::Verified { request, valid } => {
                assert_eq!(self.verify_requests.remove(&request), Some(valid));
            }
            ToNode::Closed { .. } => {
                self.node_closed = true;
                assert!(self.node_streams.values().all(|stream| stream.closed), "streams left");
                assert!(self.open_requests.is_empty(), "requests left");
                assert!(self.verify_requests.is_empty(), "signatures left");
            }
        }
    }

    fn new_node_stream(&mut self, stream: StreamId, protocol: &ProtocolId) {
        assert!(NODE.contains(&protocol.as_str()));
        let known = self.node_streams.insert(stream, NodeStream::default());
        assert!(known.is_none(), "{stream} came twice");
    }

    fn live_node_stream(&mut self, stream: StreamId) -> &mut NodeStream {
        let known = self.node_streams.get_mut(&stream).expect("Node was told of its streams");
        assert!(!known.closed, "something of {stream} after its end");
        known
    }

    fn check_memory(&mut self, now: Timestamp) {
        let held = self.streams.values().filter(|stream| !stream.over).count() as u64;
        self.held_most = self.held_most.max(held);
        let (window_use, (receive, send)) = self
            .connection
            .with_mux(now, |mux: &mut ByteMux| (mux.window_use(), mux.buffer_bytes()))
            .expect("the connection runs over bytes");
        assert!(window_use.leased_bytes <= self.leased_most, "{window_use:?}");
        let budget = ConnectionConfig::default().receive_budget_bytes
            + self.held_most * u64::from(INITIAL_WINDOW_BYTES)
            + self.leased_most;
        // Between two reads, small pieces may take twice their length; then they are compacted.
        assert!(window_use.unread_bytes <= 2 * budget, "{window_use:?}, budget {budget}");
        assert!(receive <= MAX_BLOCK_BYTES, "{receive} bytes of receive buffer");
        // Two buffers, each of which may have grown to twice what it holds.
        assert!(send <= 4 * MAX_QUEUED_BYTES, "{send} bytes of send buffer");
    }

    // The application.

    pub(super) fn pick(&self, index: u8) -> StreamId {
        if index == 127 {
            return StreamId(u64::from(index) << 40 | 1);
        }
        let count = self.streams.len().max(1);
        let known = self.streams.keys().nth(usize::from(index) % count);
        known.copied().unwrap_or(StreamId(0))
    }

    pub(super) fn open(&mut self, now: Timestamp, first: u8, count: u8) {
        let proposals = proposals(&APPLICATION, first, count);
        if let Ok(id) = self.connection.open(now, &proposals) {
            assert!(!proposals.is_empty());
            let known = self.streams.insert(id, AppStream { accepted: true, ..Default::default() });
            assert!(known.is_none(), "{id} was used before");
        }
    }

    pub(super) fn accept(&mut self) -> bool {
        let Some((id, protocol)) = self.connection.accept() else { return false };
        assert!(APPLICATION.contains(&protocol.as_str()));
        let stream = self.live(id, "accepted");
        assert!(!core::mem::replace(&mut stream.accepted, true), "{id} was accepted twice");
        true
    }

    pub(super) fn write(&mut self, id: StreamId, length: usize) {
        let written = self.streams.get(&id).map_or(0, |stream| stream.written);
        let data = pattern::bytes(id.0, self.number, written, length);
        let result = self.connection.stream(id).write(&data);
        let Some(stream) = self.streams.get_mut(&id) else {
            return assert_eq!(result, Err(WriteError::UnknownStream));
        };
        match result {
            Ok(n) => {
                assert!(n <= data.len() && (n > 0 || data.is_empty()));
                assert!(!stream.finished);
                stream.written += n as u64;
            }
            Err(WriteError::Blocked) => stream.write_blocked = true,
            Err(WriteError::Finished) => assert!(stream.finished),
            Err(
                WriteError::Reset(_) | WriteError::ConnectionClosed | WriteError::UnknownStream,
            ) => {}
            Err(WriteError::Stopped(_)) => panic!("{id} stopped over Yamux"),
        }
    }

    /// How much came; `None` when nothing did, the end included.
    pub(super) fn read(&mut self, id: StreamId, max: usize) -> Option<Bytes> {
        let result = self.connection.stream(id).read(max);
        let Some(stream) = self.streams.get_mut(&id) else {
            assert_eq!(result, Err(ReadError::UnknownStream));
            return None;
        };
        match result {
            Ok(bytes) => {
                assert!(bytes.len() <= max);
                assert!(bytes.is_empty() || !stream.end_read, "data behind the end of {id}");
                pattern::check(id.0, 1 - self.number, stream.read, &bytes);
                stream.read += bytes.len() as u64;
                stream.end_read |= bytes.is_empty() && max > 0;
                Some(bytes).filter(|bytes| !bytes.is_empty())
            }
            Err(ReadError::Blocked) => {
                stream.read_blocked = true;
                None
            }
            Err(ReadError::UnsupportedProtocol) => {
                assert!(stream.over, "a refusal of {id} that was not announced");
                None
            }
            Err(ReadError::UnknownStream) => {
                assert!(stream.over || stream.finished && stream.end_read, "{id}: {stream:?}");
                None
            }
            Err(ReadError::Reset(_) | ReadError::ConnectionClosed) => None,
        }
    }

    pub(super) fn finish(&mut self, id: StreamId) {
        let result = self.connection.stream(id).finish();
        if let (Ok(()), Some(stream)) = (result, self.streams.get_mut(&id)) {
            stream.finished = true;
        }
    }

    pub(super) fn reset(&mut self, id: StreamId) {
        self.connection.stream(id).reset(0);
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.over = true;
        }
    }

    pub(super) fn open_perf(&mut self, now: Timestamp, upload: usize, download: usize) {
        if let Ok(id) = self.connection.perf(now, upload as u64, download as u64) {
            self.perf.insert(id);
        }
    }

    // Node.

    pub(super) fn pick_node(&self, index: u8) -> StreamId {
        if index == 127 {
            return self.pick(0);
        }
        let count = self.node_streams.len().max(1);
        let known = self.node_streams.keys().nth(usize::from(index) % count);
        known.copied().unwrap_or(StreamId(9))
    }

    pub(super) fn admit(&mut self, now: Timestamp, lease: Lease, protocols: ProtocolTable) {
        self.admitted |= self.established;
        self.leased_most = self.leased_most.max(lease.window_bytes);
        self.tell(now, ToConnection::Admit { lease, protocols });
    }

    pub(super) fn set_lease(&mut self, now: Timestamp, lease: Lease) {
        self.leased_most = self.leased_most.max(lease.window_bytes);
        self.tell(now, ToConnection::Lease(lease));
    }

    pub(super) fn open_for_node(&mut self, now: Timestamp, first: u8, count: u8) {
        let request = self.request();
        if !self.node_closed {
            self.open_requests.insert(request);
        }
        let protocols = proposals(&NODE, first, count);
        let max_frame_bytes = MAX_FRAME_BYTES;
        self.tell(now, ToConnection::Open { request, protocols, max_frame_bytes });
    }

    pub(super) fn send(&mut self, now: Timestamp, stream: StreamId, length: usize, overdraw: bool) {
        let number = self.number;
        let mut frame = pattern::bytes(stream.0, number, 0, length);
        if let Some(known) = self.node_streams.get_mut(&stream).filter(|known| !known.closed) {
            let has_credit = known.unreturned_bytes < SEND_CREDIT_BYTES as u64;
            if known.finished || !has_credit && !overdraw {
                return;
            }
            frame =
                pattern::bytes(stream.0, number, known.sent.len() as u64 * FRAME_STRIDE, length);
            known.overdrawn |= !has_credit;
            known.unreturned_bytes += length as u64;
            known.sent.push(length);
        }
        let mut head = Bytes::from(frame);
        let body = head.split_off(length / 3);
        self.tell(now, ToConnection::Send { stream, frame: Frame { head, body } });
    }

    pub(super) fn finish_for_node(&mut self, now: Timestamp, stream: StreamId) {
        if let Some(known) = self.node_streams.get_mut(&stream) {
            known.finished = true;
        }
        self.tell(now, ToConnection::Finish(stream));
    }

    pub(super) fn verify(&mut self, now: Timestamp, genuine: bool) {
        static SIGNED: OnceLock<(Bytes, Bytes)> = OnceLock::new();
        let (public_key, signature) = SIGNED.get_or_init(|| {
            let signature = identity(2).keypair().sign(b"message").expect("Ed25519 signs");
            (identity(2).public_key().encode_protobuf().into(), signature.into())
        });
        let request = self.request();
        if !self.node_closed {
            self.verify_requests.insert(request, genuine);
        }
        let message = Bytes::from_static(if genuine { b"message" } else { b"another" });
        let (public_key, signature) = (public_key.clone(), signature.clone());
        self.tell(now, ToConnection::Verify { request, public_key, message, signature });
    }

    pub(super) fn tell(&mut self, now: Timestamp, message: ToConnection) {
        self.connection.handle_node(now, message);
        self.poll_events();
    }

    fn request(&mut self) -> RequestId {
        self.next_request += 1;
        RequestId(self.next_request)
    }
}
