//! One connection, and what its application knows of it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use sanspeer_core::close::CloseReason;
use sanspeer_core::connection::{Connection, ConnectionEvent, NodeRoom};
use sanspeer_core::identity::PeerId;
use sanspeer_core::mailbox::{Lease, ProtocolTable, ToConnection, ToNode};
use sanspeer_core::mux::{ReadError, StreamId, WriteError};
use sanspeer_core::protocol::ProtocolId;
use sanspeer_core::time::Timestamp;
use sanspeer_core::yamux::INITIAL_WINDOW_BYTES;

use super::MAX_TURNS;
use crate::pattern;

const PROTOCOLS: [&str; 3] = ["/echo", "/other", "/nobody"];

/// A stream of the application's.
#[derive(Debug, Default)]
pub(super) struct Stream {
    pub(super) accepted: bool,
    pub(super) written: u64,
    pub(super) read: u64,
    pub(super) finished: bool,
    pub(super) end_read: bool,
    /// The remote does not read any more.
    pub(super) stopped: bool,
    /// Reset, refused or failed.
    pub(super) over: bool,
    pub(super) read_blocked: bool,
}

pub(super) struct End {
    pub(super) connection: Connection,
    number: u8,
    /// Who must be at the other end.
    other: PeerId,
    pub(super) streams: BTreeMap<StreamId, Stream>,
    pub(super) secured: bool,
    pub(super) established: bool,
    pub(super) closed: Option<CloseReason>,
    node_closed: bool,
    pub(super) perf: BTreeSet<StreamId>,
    /// What may be unread: the budget, and the most that was leased or came with held streams.
    budget_bytes: u64,
    held_most: u64,
    leased_most: u64,
}

fn id(text: &str) -> ProtocolId {
    ProtocolId::new(text).expect("a valid protocol id")
}

fn lease(choice: u8) -> Lease {
    let streams = |bits: u8| [512, 0, 1, 8][usize::from(bits & 3)];
    Lease {
        inbound_streams: streams(choice),
        outbound_streams: streams(choice >> 2),
        window_bytes: [1 << 20, 0, 16 << 20, 100_000][usize::from(choice >> 4 & 3)],
        inbound_rate: None,
        ping_interval: (choice >> 6 == 3).then_some(std::time::Duration::from_secs(1)),
    }
}

impl End {
    pub(super) fn new(connection: Connection, number: u8, other: PeerId, budget: u64) -> Self {
        End {
            connection,
            number,
            other,
            streams: BTreeMap::new(),
            secured: false,
            established: false,
            closed: None,
            node_closed: false,
            perf: BTreeSet::new(),
            budget_bytes: budget,
            held_most: 0,
            leased_most: Lease::default().window_bytes,
        }
    }

    /// Polls events and messages for Node, until there are none.
    pub(super) fn settle(&mut self, now: Timestamp) {
        for _ in 0..MAX_TURNS {
            self.poll_events();
            let Some(message) = self.connection.poll_node(NodeRoom::Queue) else {
                return self.check();
            };
            assert!(!self.node_closed, "{message:?} after Closed");
            match message {
                ToNode::Established { peer, .. } => {
                    assert!(!core::mem::replace(&mut self.established, true), "twice");
                    assert_eq!(peer, self.other);
                    let protocols = ProtocolTable::new()
                        .with_perf()
                        .with_application(id("/echo"))
                        .with_application(id("/other"));
                    let lease = Lease::default();
                    self.connection.handle_node(now, ToConnection::Admit { lease, protocols });
                }
                ToNode::Closed { .. } => self.node_closed = true,
                ToNode::Rtt(_) | ToNode::PingFailed(_) | ToNode::Usage(_) => {}
                ToNode::LeaseRequest { .. } | ToNode::LeaseReturn { .. } => {}
                other => panic!("{other:?}, and Node has no protocols"),
            }
        }
        panic!("messages for Node do not end");
    }

    fn poll_events(&mut self) {
        for _ in 0..MAX_TURNS {
            let Some(event) = self.connection.poll_event() else { return };
            assert!(self.closed.is_none(), "{event:?} after the end");
            self.event(event);
        }
        panic!("events do not end");
    }

    fn event(&mut self, event: ConnectionEvent) {
        match event {
            ConnectionEvent::Secured { peer } => {
                assert!(!core::mem::replace(&mut self.secured, true), "secured twice");
                assert_eq!(peer, self.other);
            }
            ConnectionEvent::Inbound { stream, protocol } => {
                assert!(PROTOCOLS[..2].contains(&protocol.as_str()));
                let known = self.streams.insert(stream, Stream::default());
                assert!(known.is_none(), "{stream} came twice");
            }
            ConnectionEvent::Opened { stream, .. } => {
                self.live(stream, "opened");
            }
            ConnectionEvent::OpenFailed { stream, .. } => self.live(stream, "failed").over = true,
            ConnectionEvent::Readable(stream) => self.live(stream, "readable").read_blocked = false,
            ConnectionEvent::Writable(stream) => {
                self.live(stream, "writable");
            }
            ConnectionEvent::Finished(stream) => self.live(stream, "finished").read_blocked = false,
            ConnectionEvent::Stopped { stream, .. } => self.live(stream, "stopped").stopped = true,
            ConnectionEvent::Ended { stream, .. } => self.live(stream, "ended").over = true,
            ConnectionEvent::Perf(report) => {
                assert!(self.perf.remove(&report.stream), "{report:?} of nobody's");
            }
            ConnectionEvent::Closed { reason } => self.closed = Some(reason),
        }
    }

    fn live(&mut self, stream: StreamId, what: &str) -> &mut Stream {
        assert!(self.secured, "{stream} is {what} on a connection that is not secured");
        let known = self.streams.get_mut(&stream);
        let known = known.unwrap_or_else(|| panic!("{stream} is {what}, but nobody knows it"));
        assert!(!known.over, "{stream} is {what} after its end");
        known
    }

    fn check(&mut self) {
        let held = self.streams.values().filter(|stream| !stream.over).count() as u64;
        self.held_most = self.held_most.max(held);
        let window_use = self.connection.window_use();
        assert!(window_use.leased_bytes <= self.leased_most, "{window_use:?}");
        assert!(window_use.unread_bytes <= self.receive_bytes_most(), "{window_use:?}");
    }

    /// The most that may be unread.
    pub(super) fn receive_bytes_most(&self) -> u64 {
        self.budget_bytes + self.held_most * u64::from(INITIAL_WINDOW_BYTES) + self.leased_most
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
        let name = |at: u8| id(PROTOCOLS[usize::from(first.wrapping_add(at)) % PROTOCOLS.len()]);
        let proposals: Vec<ProtocolId> = (0..count % 4).map(name).collect();
        if let Ok(id) = self.connection.open(now, &proposals) {
            assert!(self.established && !proposals.is_empty());
            let stream = Stream { accepted: true, ..Default::default() };
            let known = self.streams.insert(id, stream);
            assert!(known.is_none(), "{id} was used before");
        }
    }

    pub(super) fn accept(&mut self) -> bool {
        let Some((id, protocol)) = self.connection.accept() else { return false };
        assert!(PROTOCOLS[..2].contains(&protocol.as_str()));
        let stream = self.live(id, "accepted");
        assert!(!core::mem::replace(&mut stream.accepted, true), "{id} was accepted twice");
        true
    }

    /// Returns how much was written.
    pub(super) fn write(&mut self, id: StreamId, length: usize) -> usize {
        let written = self.streams.get(&id).map_or(0, |stream| stream.written);
        let data = pattern::bytes(id.0, self.number, written, length);
        let result = self.connection.stream(id).write(&data);
        let Some(stream) = self.streams.get_mut(&id) else {
            assert_eq!(result, Err(WriteError::UnknownStream));
            return 0;
        };
        match result {
            Ok(n) => {
                assert!(n <= data.len() && (n > 0 || data.is_empty()));
                assert!(!stream.finished && !stream.over);
                stream.written += n as u64;
                n
            }
            Err(WriteError::Finished) => {
                assert!(stream.finished);
                0
            }
            Err(
                WriteError::Blocked
                | WriteError::Stopped(_)
                | WriteError::Reset(_)
                | WriteError::ConnectionClosed
                | WriteError::UnknownStream,
            ) => 0,
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
            Err(ReadError::UnknownStream | ReadError::Reset(_) | ReadError::ConnectionClosed) => {
                None
            }
        }
    }

    pub(super) fn finish(&mut self, id: StreamId) {
        let result = self.connection.stream(id).finish();
        if let (Ok(()), Some(stream)) = (result, self.streams.get_mut(&id)) {
            stream.finished = true;
        }
    }

    pub(super) fn reset(&mut self, id: StreamId, code: u64) {
        self.connection.stream(id).reset(code);
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.over = true;
        }
    }

    pub(super) fn open_perf(&mut self, now: Timestamp, upload: u64, download: u64) {
        if let Ok(id) = self.connection.perf(now, upload, download) {
            self.perf.insert(id);
        }
    }

    pub(super) fn set_lease(&mut self, now: Timestamp, choice: u8) {
        let lease = lease(choice);
        self.leased_most = self.leased_most.max(lease.window_bytes);
        self.connection.handle_node(now, ToConnection::Lease(lease));
    }
}
