//! A remote that reads no more of a stream (QUIC's `STOP_SENDING`) may still speak on it: go-libp2p
//! asks us to stop with the end of every answer.

mod common;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::{Bytes, BytesMut};
use common::{ECHO, FRAMES, MAX_FRAME, id, table};
use sanspeer_core::close::CloseReason;
use sanspeer_core::connection::{Connection, ConnectionConfig, ConnectionEvent, NodeRoom};
use sanspeer_core::identity::Identity;
use sanspeer_core::mailbox::{Frame, Lease, RequestId, StreamEnd, ToConnection, ToNode};
use sanspeer_core::mux::{
    Mux, MuxEvent, MuxLimits, MuxOpenError, ReadError, ResetCode, Role, StreamId, WindowUse,
    WriteError,
};
use sanspeer_core::rng::Seed;
use sanspeer_core::time::{Deadline, Timestamp};

const NOW: Timestamp = Timestamp::ZERO;
const CODE: ResetCode = 7;
const STREAM: StreamId = StreamId(0);

/// A multiplexer of one stream, whose remote is the test.
#[derive(Clone, Default)]
struct OneStream(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    events: VecDeque<MuxEvent>,
    waits: bool,
    unread: BytesMut,
    ended: bool,
    end_read: bool,
    stopped: bool,
    written: Vec<u8>,
    room: usize,
    reset: bool,
}

impl OneStream {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic while it is locked")
    }

    /// The remote speaks and ends; it stops to read before that, in between, or behind.
    fn answers(&self, bytes: &[u8], stops_at: usize) {
        let mut state = self.state();
        state.unread.extend_from_slice(bytes);
        (state.ended, state.stopped) = (true, true);
        let mut events = vec![MuxEvent::Readable(STREAM), MuxEvent::Finished(STREAM)];
        events.insert(stops_at, MuxEvent::Stopped { stream: STREAM, code: CODE });
        state.events.extend(events);
    }

    fn stops(&self) {
        let mut state = self.state();
        state.stopped = true;
        state.events.push_back(MuxEvent::Stopped { stream: STREAM, code: CODE });
    }
}

impl State {
    /// What has ended in both directions is forgotten.
    fn is_gone(&self) -> bool {
        self.reset || self.stopped && self.end_read
    }
}

impl Mux for OneStream {
    fn poll_event(&mut self) -> Option<MuxEvent> {
        self.state().events.pop_front()
    }

    fn open(&mut self) -> Result<StreamId, MuxOpenError> {
        Ok(STREAM)
    }

    fn accept(&mut self) -> Option<StreamId> {
        core::mem::take(&mut self.state().waits).then_some(STREAM)
    }

    fn read(&mut self, _: StreamId, max: usize) -> Result<Bytes, ReadError> {
        let mut state = self.state();
        if state.is_gone() {
            return Err(ReadError::UnknownStream);
        }
        let taken = max.min(state.unread.len());
        match (taken, state.ended) {
            (0, false) => Err(ReadError::Blocked),
            (0, true) => {
                state.end_read = true;
                Ok(Bytes::new())
            }
            (taken, _) => Ok(state.unread.split_to(taken).freeze()),
        }
    }

    fn read_into(&mut self, stream: StreamId, buffer: &mut [u8]) -> Result<usize, ReadError> {
        let bytes = self.read(stream, buffer.len())?;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn write(&mut self, _: StreamId, data: &[u8]) -> Result<usize, WriteError> {
        let mut state = self.state();
        if state.is_gone() {
            return Err(WriteError::UnknownStream);
        }
        if state.stopped {
            return Err(WriteError::Stopped(CODE));
        }
        let taken = data.len().min(state.room);
        if taken == 0 && !data.is_empty() {
            return Err(WriteError::Blocked);
        }
        state.room -= taken;
        state.written.extend_from_slice(&data[..taken]);
        Ok(taken)
    }

    fn finish(&mut self, _: StreamId) -> Result<(), WriteError> {
        let state = self.state();
        if state.is_gone() {
            Err(WriteError::UnknownStream)
        } else if state.stopped {
            Err(WriteError::Stopped(CODE))
        } else {
            Ok(())
        }
    }

    fn reset(&mut self, _: StreamId, _: ResetCode) {
        self.state().reset = true;
    }

    fn set_limits(&mut self, _: MuxLimits) {}

    fn window_use(&self) -> WindowUse {
        WindowUse::default()
    }

    fn unread_bytes(&self, _: StreamId) -> u64 {
        self.state().unread.len() as u64
    }

    fn close(&mut self, _: CloseReason) {}

    fn handle_timeout(&mut self, _: Timestamp) {}

    fn poll_timeout(&self) -> Option<Deadline> {
        None
    }
}

/// A connection over it, admitted.
struct World {
    remote: OneStream,
    connection: Connection,
}

impl World {
    fn new() -> World {
        let remote = OneStream::default();
        let peer = Identity::ed25519(&Seed::from_u64(1)).peer_id();
        remote.state().room = usize::MAX;
        remote.state().events.push_back(MuxEvent::Secured { peer });
        let (seed, config) = (Seed::from_u64(2), ConnectionConfig::default());
        let mux = Box::new(remote.clone());
        let connection = Connection::over(mux, Role::Dialer, &seed, config, NOW);
        let mut world = World { remote, connection };
        world.poll();
        // No pings, which would be streams too.
        let lease = Lease { ping_interval: None, ..Lease::default() };
        world.tell(ToConnection::Admit { lease, protocols: table() });
        world
    }

    /// One on which Node has asked for a stream.
    fn asking() -> World {
        let mut world = World::new();
        let protocols = vec![id(FRAMES)];
        let open =
            ToConnection::Open { request: RequestId(1), protocols, max_frame_bytes: MAX_FRAME };
        world.tell(open);
        assert_eq!(world.remote.state().written, negotiation(FRAMES));
        world
    }

    fn tell(&mut self, message: ToConnection) {
        self.connection.handle_node(NOW, message);
    }

    fn poll(&mut self) -> (Vec<ConnectionEvent>, Vec<ToNode>) {
        let events = core::iter::from_fn(|| self.connection.poll_event()).collect();
        let messages = core::iter::from_fn(|| self.connection.poll_node(NodeRoom::Queue));
        (events, messages.filter(|message| !matches!(message, ToNode::Usage(_))).collect())
    }
}

/// What either side says when there is one proposal, and it is agreed on.
fn negotiation(protocol: &str) -> Vec<u8> {
    let line = |text: &str| {
        [&[u8::try_from(text.len() + 1).expect("a short line")], text.as_bytes(), b"\n"].concat()
    };
    [line("/multistream/1.0.0"), line(protocol)].concat()
}

/// A negotiation, and a frame behind it.
fn negotiation_and_frame() -> Vec<u8> {
    [&negotiation(FRAMES)[..], b"\x05hello"].concat()
}

fn frame() -> Frame {
    Frame { head: Bytes::new(), body: Bytes::from_static(&[1; 100]) }
}

#[test]
fn an_answer_to_node_arrives_whenever_the_remote_stops() {
    for stops_at in 0..3 {
        let mut world = World::asking();
        world.remote.answers(&negotiation_and_frame(), stops_at);
        let (_, messages) = world.poll();
        let opened =
            ToNode::StreamOpened { request: RequestId(1), stream: STREAM, protocol: id(FRAMES) };
        let frame = ToNode::Frame { stream: STREAM, frame: Bytes::from_static(b"hello") };
        assert_eq!(messages, [opened, frame, ToNode::StreamFinished(STREAM)], "{stops_at}");
        world.tell(ToConnection::Finish(STREAM));
        let ended = ToNode::StreamClosed { stream: STREAM, end: StreamEnd::Finished };
        assert_eq!(world.poll().1, [ended], "{stops_at}");
    }
}

#[test]
fn what_a_remote_says_counts_though_it_does_not_wait_for_our_answer() {
    for stops_at in 0..3 {
        let mut world = World::new();
        world.remote.state().waits = true;
        world.remote.state().events.push_back(MuxEvent::Inbound);
        world.remote.answers(&negotiation_and_frame(), stops_at);
        let (_, messages) = world.poll();
        let inbound = ToNode::InboundStream { stream: STREAM, protocol: id(FRAMES) };
        let frame = ToNode::Frame { stream: STREAM, frame: Bytes::from_static(b"hello") };
        assert_eq!(messages, [inbound, frame, ToNode::StreamFinished(STREAM)], "{stops_at}");
        world.tell(ToConnection::Finish(STREAM));
        let ended = ToNode::StreamClosed { stream: STREAM, end: StreamEnd::Finished };
        assert_eq!(world.poll().1, [ended], "{stops_at}");
    }
}

#[test]
fn node_learns_that_what_it_sends_is_not_read() {
    // While it is under way, and when it is sent behind the stop.
    for under_way in [true, false] {
        let mut world = World::asking();
        world.remote.state().unread.extend_from_slice(&negotiation(FRAMES));
        world.remote.state().events.push_back(MuxEvent::Readable(STREAM));
        world.poll();
        world.remote.state().room = 10;
        if under_way {
            world.tell(ToConnection::Send { stream: STREAM, frame: frame() });
        }
        world.remote.stops();
        let ended = ToNode::StreamClosed { stream: STREAM, end: StreamEnd::Reset(CODE) };
        let (_, messages) = world.poll();
        if under_way {
            assert_eq!(messages, [ended]);
        } else {
            assert_eq!(messages, []);
            world.tell(ToConnection::Send { stream: STREAM, frame: frame() });
            assert_eq!(world.poll().1, [ended]);
        }
    }
}

#[test]
fn a_remote_that_stops_before_it_has_our_proposal_refuses_the_stream() {
    let mut world = World::new();
    world.remote.state().room = 10;
    let protocols = vec![id(FRAMES)];
    world.tell(ToConnection::Open { request: RequestId(1), protocols, max_frame_bytes: MAX_FRAME });
    world.remote.stops();
    let (_, messages) = world.poll();
    assert!(
        matches!(messages[..], [ToNode::OpenFailed { request: RequestId(1), .. }]),
        "{messages:?}"
    );
    assert!(world.remote.state().reset);
}

#[test]
fn an_application_reads_an_answer_that_ends_with_a_stop_and_finishes_without_an_error() {
    for (stops_at, finishes_first) in [(0, true), (1, true), (2, true), (0, false), (2, false)] {
        let mut world = World::new();
        let stream = world.connection.open(NOW, &[id(ECHO)]).expect("it opens");
        assert_eq!(world.connection.stream(stream).write(b"question"), Ok(8));
        world.remote.answers(&[&negotiation(ECHO)[..], b"answer"].concat(), stops_at);
        let (events, _) = world.poll();
        let stopped = ConnectionEvent::Stopped { stream, code: CODE };
        assert!(events.contains(&stopped), "{events:?}");
        if finishes_first {
            assert_eq!(world.connection.stream(stream).finish(), Ok(()));
        }
        assert_eq!(&world.connection.stream(stream).read(100).expect("an answer")[..], b"answer");
        assert_eq!(world.connection.stream(stream).read(100), Ok(Bytes::new()));
        if !finishes_first {
            assert_eq!(world.connection.stream(stream).finish(), Ok(()));
        }
        let (events, _) = world.poll();
        assert_eq!(events, [], "{stops_at} {finishes_first}");
        let gone = world.connection.stream(stream).read(1);
        assert_eq!(gone, Err(ReadError::UnknownStream));
    }
}
