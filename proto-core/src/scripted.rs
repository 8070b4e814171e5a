//! [`Scripted`]: the double of [`Network`] for tests of applications. It has no peers and no
//! streams but those that a script plays.
//!
//! A test says what the application is expected to ask, each with its answer, plays events, and
//! looks at what the application wrote:
//!
//! ```
//! use sanspeer_core::application::{AppEvent, Network};
//! use sanspeer_core::identity::Identity;
//! use sanspeer_core::node::{Answer, Command};
//! use sanspeer_core::rng::Seed;
//! use sanspeer_core::scripted::Scripted;
//! use sanspeer_core::time::Timestamp;
//!
//! /// The application: asks who is there.
//! fn begin(network: &mut impl Network) {
//!     network.request(Timestamp::ZERO, Command::Peers);
//! }
//!
//! let me = Identity::ed25519(&Seed::from_u64(1)).peer_id();
//! let mut network = Scripted::new(me);
//! network.expect(Command::Peers, Answer::Peers(Vec::new()));
//! begin(&mut network);
//! assert!(matches!(network.poll_event(), Some(AppEvent::Answer { .. })));
//! network.verify();
//! ```

use std::collections::{BTreeMap, VecDeque};

use bytes::{Buf, Bytes};
use libp2p_identity::PeerId;

use crate::application::{AppEvent, InboundStream, Network, StreamOpenError};
use crate::mailbox::StreamEnd;
use crate::mux::{ReadError, ResetCode, StreamId, WriteError};
use crate::node::{Answer, Command, CommandId, ConnectionId, StreamRef};
use crate::protocol::ProtocolId;
use crate::time::Timestamp;

/// A peer that a script plays.
///
/// It panics when the application does what the script does not expect: it is for tests alone.
#[derive(Debug)]
pub struct Scripted {
    peer_id: PeerId,
    expected: VecDeque<(Command, Option<Answer>)>,
    /// Commands whose answers come later.
    unanswered: Vec<(CommandId, Command)>,
    events: VecDeque<AppEvent>,
    streams: BTreeMap<StreamRef, ScriptedStream>,
    waiting: VecDeque<InboundStream>,
    connected: BTreeMap<PeerId, ConnectionId>,
    next: u64,
}

/// A stream that a script plays: what the application reads, and what it did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScriptedStream {
    /// What is there to be read.
    unread: VecDeque<u8>,
    remote_finished: bool,
    reset: Option<ResetCode>,
    /// Bytes that can be written now; without end if `None`.
    room: Option<usize>,
    /// What the application wrote.
    pub written: Vec<u8>,
    /// Whether it has finished its direction.
    pub finished: bool,
    /// The code with which it reset the stream, if it did.
    pub reset_by_us: Option<ResetCode>,
    /// What was proposed by the application, or agreed on with the remote.
    pub protocols: Vec<ProtocolId>,
}

impl Scripted {
    /// A peer with this id, which expects nothing yet.
    pub fn new(peer_id: PeerId) -> Self {
        Scripted {
            peer_id,
            expected: VecDeque::new(),
            unanswered: Vec::new(),
            events: VecDeque::new(),
            streams: BTreeMap::new(),
            waiting: VecDeque::new(),
            connected: BTreeMap::new(),
            next: 0,
        }
    }

    /// The application's next command is this one, and is answered so at once.
    pub fn expect(&mut self, command: Command, answer: Answer) {
        self.expected.push_back((command, Some(answer)));
    }

    /// The application's next command is this one, and is answered by [`Scripted::answer`].
    pub fn expect_unanswered(&mut self, command: Command) {
        self.expected.push_back((command, None));
    }

    /// Answers the oldest command that waits.
    pub fn answer(&mut self, answer: Answer) {
        assert!(!self.unanswered.is_empty(), "no command waits for an answer");
        let (id, _) = self.unanswered.remove(0);
        self.events.push_back(AppEvent::Answer { id, answer });
    }

    /// Plays an event.
    pub fn play(&mut self, event: AppEvent) {
        self.events.push_back(event);
    }

    /// Lets streams be opened to a peer from now on. Events are the script's to play.
    pub fn connect(&mut self, peer: PeerId) -> ConnectionId {
        let connection = ConnectionId(self.number());
        self.connected.insert(peer, connection);
        connection
    }

    /// Lets no further streams be opened to a peer.
    pub fn disconnect(&mut self, peer: &PeerId) {
        self.connected.remove(peer);
    }

    /// The remote opens a stream.
    pub fn open_inbound(&mut self, peer: PeerId, protocol: ProtocolId) -> StreamRef {
        let known = self.connected.get(&peer).copied();
        let connection = known.unwrap_or_else(|| self.connect(peer));
        let stream = self.stream_on(connection, vec![protocol.clone()]);
        self.waiting.push_back(InboundStream { stream, peer, protocol });
        self.events.push_back(AppEvent::Inbound);
        stream
    }

    /// The remote writes on a stream.
    pub fn deliver(&mut self, stream: StreamRef, data: &[u8]) {
        self.stream_mut(stream).unread.extend(data);
        self.events.push_back(AppEvent::Readable(stream));
    }

    /// The remote finishes its direction.
    pub fn finish_remote(&mut self, stream: StreamRef) {
        self.stream_mut(stream).remote_finished = true;
        self.events.push_back(AppEvent::Finished(stream));
    }

    /// The remote resets a stream.
    pub fn reset_remote(&mut self, stream: StreamRef, code: ResetCode) {
        self.stream_mut(stream).reset = Some(code);
        self.events.push_back(AppEvent::Ended { stream, end: StreamEnd::Reset(code) });
    }

    /// Lets the application write so many bytes more on a stream, and tells it.
    pub fn make_room(&mut self, stream: StreamRef, bytes: usize) {
        let known = self.stream_mut(stream);
        known.room = Some(known.room.unwrap_or(0).saturating_add(bytes));
        self.events.push_back(AppEvent::Writable(stream));
    }

    /// Lets the application write nothing on a stream until there is room again.
    pub fn block(&mut self, stream: StreamRef) {
        self.stream_mut(stream).room = Some(0);
    }

    /// The streams so far, in order.
    pub fn streams(&self) -> impl Iterator<Item = (StreamRef, &ScriptedStream)> {
        self.streams.iter().map(|(id, stream)| (*id, stream))
    }

    /// A stream of the script.
    pub fn stream(&self, stream: StreamRef) -> &ScriptedStream {
        self.streams.get(&stream).expect("a stream of the script")
    }

    /// Checks that everything that was expected was asked, and that the application took all
    /// events.
    pub fn verify(&self) {
        assert!(self.expected.is_empty(), "not asked: {:?}", self.expected);
        assert!(self.events.is_empty(), "not taken: {:?}", self.events);
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn stream_on(&mut self, connection: ConnectionId, protocols: Vec<ProtocolId>) -> StreamRef {
        let stream = StreamRef { connection, stream: StreamId(self.number()) };
        self.streams.insert(stream, ScriptedStream { protocols, ..ScriptedStream::default() });
        stream
    }

    fn stream_mut(&mut self, stream: StreamRef) -> &mut ScriptedStream {
        self.streams.get_mut(&stream).expect("a stream of the script")
    }
}

impl Network for Scripted {
    fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    fn request(&mut self, _now: Timestamp, command: Command) -> CommandId {
        let id = CommandId(self.number());
        let Some((expected, answer)) = self.expected.pop_front() else {
            panic!("asked: {command:?}, and nothing was expected");
        };
        assert_eq!(command, expected, "another command was expected");
        match answer {
            Some(answer) => self.events.push_back(AppEvent::Answer { id, answer }),
            None => self.unanswered.push((id, command)),
        }
        id
    }

    fn poll_event(&mut self) -> Option<AppEvent> {
        self.events.pop_front()
    }

    fn open(
        &mut self,
        _now: Timestamp,
        peer: &PeerId,
        protocols: &[ProtocolId],
    ) -> Result<StreamRef, StreamOpenError> {
        let connection = self.connected.get(peer).copied().ok_or(StreamOpenError::NotConnected)?;
        Ok(self.stream_on(connection, protocols.to_vec()))
    }

    fn accept(&mut self) -> Option<InboundStream> {
        self.waiting.pop_front()
    }

    fn read(&mut self, _now: Timestamp, stream: StreamRef, max: usize) -> Result<Bytes, ReadError> {
        let known = self.streams.get_mut(&stream).ok_or(ReadError::UnknownStream)?;
        if let Some(code) = known.reset.or(known.reset_by_us) {
            return Err(ReadError::Reset(code));
        }
        if known.unread.is_empty() && !known.remote_finished {
            return Err(ReadError::Blocked);
        }
        let taken = max.min(known.unread.len());
        Ok(known.unread.copy_to_bytes(taken))
    }

    fn write(
        &mut self,
        _now: Timestamp,
        stream: StreamRef,
        data: &[u8],
    ) -> Result<usize, WriteError> {
        let known = self.streams.get_mut(&stream).ok_or(WriteError::UnknownStream)?;
        if let Some(code) = known.reset.or(known.reset_by_us) {
            return Err(WriteError::Reset(code));
        }
        if known.finished {
            return Err(WriteError::Finished);
        }
        let written = data.len().min(known.room.unwrap_or(usize::MAX));
        if written == 0 && !data.is_empty() {
            return Err(WriteError::Blocked);
        }
        if let Some(room) = &mut known.room {
            *room -= written;
        }
        known.written.extend_from_slice(&data[..written]);
        Ok(written)
    }

    fn finish(&mut self, _now: Timestamp, stream: StreamRef) -> Result<(), WriteError> {
        let known = self.streams.get_mut(&stream).ok_or(WriteError::UnknownStream)?;
        if let Some(code) = known.reset.or(known.reset_by_us) {
            return Err(WriteError::Reset(code));
        }
        known.finished = true;
        Ok(())
    }

    fn reset(&mut self, _now: Timestamp, stream: StreamRef, code: ResetCode) {
        if let Some(known) = self.streams.get_mut(&stream) {
            known.reset_by_us.get_or_insert(code);
        }
    }
}
