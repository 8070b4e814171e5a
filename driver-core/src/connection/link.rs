//! [`Link`]: one connection, as its task, the control task and its streams share it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use sanspeer_core::application::AppEvent;
use sanspeer_core::close::{CloseReason, TransportFailure};
use sanspeer_core::connection::{Connection, ConnectionEvent, NodeRoom, OpenError};
use sanspeer_core::identity::PeerId;
use sanspeer_core::mailbox::{Mailbox, OpenFailure, StreamEnd, ToConnection, ToNode};
use sanspeer_core::mux::{ReadError, StreamId};
use sanspeer_core::node::{ConnectionId, StreamRef};
use sanspeer_core::protocol::ProtocolId;
use sanspeer_core::time::Timestamp;

use crate::control::inbox::Inbox;
use crate::error::OpenStreamError;
use crate::notify::Notify;
use crate::observer::Observer;
use crate::stream::AppStream;
use crate::sync::lock;

/// Messages that wait for Node, beside those with places of their own. With more, frames stay in
/// their streams.
const MAX_NODE_MESSAGES: usize = 32;

/// What is read and thrown away of a stream that the application finished and dropped, in bytes;
/// then it is reset.
const MAX_DISCARDED_BYTES: usize = 256 * 1024;

/// One connection. Nobody takes two of its locks at once.
pub(crate) struct Link {
    pub(crate) id: ConnectionId,
    /// Wakes the connection's task.
    pub(crate) notify: Notify,
    state: Mutex<State>,
    to_node: Mutex<Mailbox<ToNode>>,
    /// Its queue is bounded by the credit and the requests that Node has under way.
    to_connection: Mutex<Mailbox<ToConnection>>,
    inbox: Arc<Inbox>,
    /// In the list of those that have something for Node.
    pub(crate) listed: AtomicBool,
    /// The task has more for Node than there was room for.
    starved: AtomicBool,
    /// The task is to end at once.
    stopped: AtomicBool,
}

/// What the connection's lock guards.
pub(crate) struct State {
    pub(crate) connection: Connection,
    admitted: bool,
    /// Nothing more will come of it.
    pub(crate) closed: bool,
    /// What has arrived waits until more of what the connection has is read.
    pub(crate) paused: bool,
    /// Streams whose readers or writers wait. Bounded by the streams of the application.
    waits: BTreeMap<StreamId, Wait>,
    /// Streams that were opened with several protocols, likewise.
    openings: BTreeMap<StreamId, Opening>,
    /// Why streams are gone that the application did not end itself, until it drops them. Bounded
    /// like `waits`.
    ends: BTreeMap<StreamId, ReadError>,
    /// Who hears what happens to streams, likewise.
    observers: BTreeMap<StreamId, Arc<Observer>>,
    /// Tasks of the application that wait until a stream can be opened.
    openers: Vec<Waker>,
    /// Streams that were finished and dropped, and how many bytes of them may still be discarded.
    /// Bounded by the stream limits.
    abandoned: BTreeMap<StreamId, usize>,
}

#[derive(Default)]
struct Wait {
    reader: Option<Waker>,
    writer: Option<Waker>,
}

enum Opening {
    Waiting(Option<Waker>),
    Over(Result<ProtocolId, OpenFailure>),
}

/// What is to be done when the connection's lock is released.
#[derive(Default)]
pub(crate) struct Aftermath {
    pub(crate) wakers: Vec<Waker>,
    /// Streams that the remote opened for the application.
    pub(crate) inbound: Vec<(StreamId, ProtocolId)>,
    /// Bounded by the room there was.
    pub(crate) to_node: Vec<ToNode>,
    /// What happened to streams that are observed.
    pub(crate) observed: Vec<(Arc<Observer>, AppEvent)>,
}

impl Link {
    pub(crate) fn new(id: ConnectionId, connection: Connection, inbox: Arc<Inbox>) -> Arc<Self> {
        Arc::new(Link {
            id,
            notify: Notify::default(),
            state: Mutex::new(State {
                connection,
                admitted: false,
                closed: false,
                paused: false,
                waits: BTreeMap::new(),
                openings: BTreeMap::new(),
                ends: BTreeMap::new(),
                observers: BTreeMap::new(),
                openers: Vec::new(),
                abandoned: BTreeMap::new(),
            }),
            to_node: Mutex::new(Mailbox::new(MAX_NODE_MESSAGES)),
            to_connection: Mutex::new(Mailbox::new(usize::MAX)),
            inbox,
            listed: AtomicBool::new(false),
            starved: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    // Node's side.

    /// Leaves a message of Node's for the connection.
    pub(crate) fn tell(&self, message: ToConnection) {
        // There is always room.
        let _ = lock(&self.to_connection).push(message);
        self.notify.notify();
    }

    /// Takes at most `max` messages for Node. Whether there are more.
    pub(crate) fn take_for_node(&self, max: usize, messages: &mut Vec<ToNode>) -> bool {
        let more = {
            let mut mailbox = lock(&self.to_node);
            messages.extend((0..max).map_while(|_| mailbox.pop()));
            !mailbox.is_empty()
        };
        if self.starved.swap(false, Ordering::AcqRel) {
            self.notify.notify();
        }
        more
    }

    /// Ends the task, whatever it was doing.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.notify.notify();
    }

    /// The last word for Node of a connection whose task was cut off.
    pub(crate) fn cut_off(&self) -> ToNode {
        let reason = CloseReason::TransportFailed(TransportFailure::Other);
        ToNode::Closed { reason, usage: self.lock().connection.usage() }
    }

    // The task's side.

    /// The task has ended: whoever waits for the connection waits no longer.
    pub(crate) fn abandon(&self) {
        let mut aftermath = Aftermath::default();
        self.lock().close(&mut aftermath);
        aftermath.wakers.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Takes at most `max` messages of Node's.
    pub(crate) fn take_from_node(&self, max: usize, messages: &mut Vec<ToConnection>) {
        let mut mailbox = lock(&self.to_connection);
        messages.extend((0..max).map_while(|_| mailbox.pop()));
    }

    /// How many messages Node's queue has room for. Only the task fills it, so it can but grow.
    pub(crate) fn node_room(&self) -> usize {
        lock(&self.to_node).room()
    }

    /// Does what was left for when the lock is released.
    pub(crate) fn settle(self: &Arc<Self>, aftermath: &mut Aftermath) {
        aftermath.wakers.drain(..).for_each(Waker::wake);
        aftermath.observed.drain(..).for_each(|(observer, event)| observer.push(event));
        if aftermath.to_node.is_empty() {
            return;
        }
        {
            let mut mailbox = lock(&self.to_node);
            for message in aftermath.to_node.drain(..) {
                // There is room for as many as were taken.
                let _ = mailbox.push(message);
            }
        }
        self.inbox.push_link(self);
    }

    /// The task may have more for Node than there was room for, and is woken when there is some.
    /// Whether there is by now.
    pub(crate) fn set_starved(&self) -> bool {
        self.starved.store(true, Ordering::Release);
        self.node_room() > 0
    }

    // The application's side.

    /// Opens a stream. Waits while the connection is not admitted, or as many streams are open as
    /// may be.
    pub(crate) fn poll_open(
        self: &Arc<Self>,
        cx: &Context<'_>,
        now: Timestamp,
        protocols: &[ProtocolId],
    ) -> Poll<Result<AppStream, OpenStreamError>> {
        let opened = {
            let mut state = self.lock();
            let opened = state.open(now, protocols);
            match &opened {
                Err(OpenError::NotOpen) if state.admitted || state.closed => {}
                Err(OpenError::NotOpen | OpenError::Limit(_)) => {
                    state.await_room(cx);
                    return Poll::Pending;
                }
                Ok(_) | Err(OpenError::Exhausted | OpenError::Proposals(_)) => {}
            }
            opened
        };
        Poll::Ready(match opened {
            Ok((id, peer)) => Ok(self.opened(id, peer, protocols)),
            Err(OpenError::NotOpen | OpenError::Limit(_)) => Err(OpenStreamError::ConnectionClosed),
            Err(OpenError::Exhausted) => Err(OpenStreamError::Exhausted),
            Err(OpenError::Proposals(count)) => Err(OpenStreamError::Proposals(count)),
        })
    }

    /// Opens a stream at once, for an observer.
    pub(crate) fn open_observed(
        self: &Arc<Self>,
        now: Timestamp,
        protocols: &[ProtocolId],
        observer: &Arc<Observer>,
    ) -> Result<AppStream, OpenError> {
        let (id, peer) = {
            let mut state = self.lock();
            let (id, peer) = state.open(now, protocols)?;
            state.observers.insert(id, Arc::clone(observer));
            (id, peer)
        };
        Ok(self.opened(id, peer, protocols))
    }

    fn opened(self: &Arc<Self>, id: StreamId, peer: PeerId, protocols: &[ProtocolId]) -> AppStream {
        let lone = match protocols {
            [protocol] => Some(protocol.clone()),
            _ => {
                // Several are proposed at once.
                self.notify.notify();
                None
            }
        };
        AppStream::new(Arc::clone(self), id, peer, lone)
    }

    /// Tells an observer what happens to a stream from now on.
    pub(crate) fn observe(&self, id: StreamId, observer: &Arc<Observer>) {
        self.lock().observers.insert(id, Arc::clone(observer));
    }

    /// Waits for the protocol of a stream that was opened with several.
    pub(crate) fn poll_opened(
        &self,
        cx: &Context<'_>,
        id: StreamId,
    ) -> Poll<Result<ProtocolId, OpenFailure>> {
        let mut state = self.lock();
        match state.openings.get_mut(&id) {
            Some(Opening::Waiting(waker)) => {
                set_waker(waker, cx);
                Poll::Pending
            }
            Some(Opening::Over(_)) | None => match state.openings.remove(&id) {
                Some(Opening::Over(result)) => Poll::Ready(result),
                Some(Opening::Waiting(_)) | None => Poll::Ready(Err(OpenFailure::Ended)),
            },
        }
    }

    /// Takes a stream that the remote opened; `None` if it is gone.
    pub(crate) fn accept(self: &Arc<Self>, id: StreamId) -> Option<AppStream> {
        let (peer, protocol) = {
            let mut state = self.lock();
            let Some(protocol) = state.connection.accept_stream(id) else {
                state.ends.remove(&id);
                return None;
            };
            (state.connection.peer()?, protocol)
        };
        Some(AppStream::new(Arc::clone(self), id, peer, Some(protocol)))
    }

    /// Resets a stream that nobody wants.
    pub(crate) fn refuse(&self, id: StreamId) {
        {
            let mut state = self.lock();
            state.connection.stream(id).reset(0);
            state.ends.remove(&id);
        }
        self.notify.notify();
    }
}

impl State {
    /// Opens a stream; also says to whom.
    fn open(
        &mut self,
        now: Timestamp,
        protocols: &[ProtocolId],
    ) -> Result<(StreamId, PeerId), OpenError> {
        let peer = self.connection.peer().ok_or(OpenError::NotOpen)?;
        let id = self.connection.open(now, protocols)?;
        if protocols.len() > 1 {
            self.openings.insert(id, Opening::Waiting(None));
        }
        Ok((id, peer))
    }

    /// Wakes the task of `cx` when a stream may be opened again.
    fn await_room(&mut self, cx: &Context<'_>) {
        if !self.openers.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.openers.push(cx.waker().clone());
        }
    }

    /// Gives the connection a message of Node's.
    pub(crate) fn handle_node(
        &mut self,
        now: Timestamp,
        message: ToConnection,
        aftermath: &mut Aftermath,
    ) {
        if let ToConnection::Admit { .. } = message {
            self.admitted = true;
            aftermath.wakers.append(&mut self.openers);
        }
        self.connection.handle_node(now, message);
    }

    /// Takes the connection's events, and what it has for Node. Whether something is left for Node
    /// for want of `room`.
    pub(crate) fn take_events(
        &mut self,
        connection: ConnectionId,
        room: usize,
        aftermath: &mut Aftermath,
    ) -> bool {
        loop {
            while let Some(event) = self.connection.poll_event() {
                self.tell_observer(connection, &event, aftermath);
                self.handle_event(event, aftermath);
            }
            let starved = aftermath.to_node.len() >= room;
            let node_room = if starved { NodeRoom::State } else { NodeRoom::Queue };
            match self.connection.poll_node(node_room) {
                Some(message) => aftermath.to_node.push(message),
                None => return starved,
            }
        }
    }

    /// Notes what the observer of a stream is to hear.
    fn tell_observer(
        &self,
        connection: ConnectionId,
        event: &ConnectionEvent,
        aftermath: &mut Aftermath,
    ) {
        if self.observers.is_empty() {
            return;
        }
        let at = |stream: &StreamId| StreamRef { connection, stream: *stream };
        let (stream, event) = match event {
            ConnectionEvent::Opened { stream, protocol } => {
                let protocol = protocol.clone();
                (stream, AppEvent::Opened { stream: at(stream), protocol })
            }
            ConnectionEvent::OpenFailed { stream, failure } => {
                (stream, AppEvent::OpenFailed { stream: at(stream), failure: *failure })
            }
            ConnectionEvent::Readable(stream) => (stream, AppEvent::Readable(at(stream))),
            ConnectionEvent::Writable(stream) => (stream, AppEvent::Writable(at(stream))),
            ConnectionEvent::Finished(stream) => (stream, AppEvent::Finished(at(stream))),
            ConnectionEvent::Stopped { stream, code } => {
                (stream, AppEvent::Stopped { stream: at(stream), code: *code })
            }
            ConnectionEvent::Ended { stream, end } => {
                (stream, AppEvent::Ended { stream: at(stream), end: *end })
            }
            // What concerns the connection, Node tells.
            ConnectionEvent::Secured { .. }
            | ConnectionEvent::Inbound { .. }
            | ConnectionEvent::Perf(_)
            | ConnectionEvent::Closed { .. } => return,
        };
        if let Some(observer) = self.observers.get(stream) {
            aftermath.observed.push((Arc::clone(observer), event));
        }
    }

    fn handle_event(&mut self, event: ConnectionEvent, aftermath: &mut Aftermath) {
        match event {
            ConnectionEvent::Secured { .. } | ConnectionEvent::Perf(_) => {}
            ConnectionEvent::Inbound { stream, protocol } => {
                aftermath.inbound.push((stream, protocol));
            }
            ConnectionEvent::Opened { stream, protocol } => {
                self.end_opening(stream, Ok(protocol), aftermath);
            }
            ConnectionEvent::OpenFailed { stream, failure } => {
                self.end_opening(stream, Err(failure), aftermath);
                // A refusal is for the stream itself to say.
                if failure != OpenFailure::UnsupportedProtocol {
                    self.ends.insert(stream, ReadError::Reset(0));
                }
                self.wake_reader(stream, aftermath);
                self.wake_writer(stream, aftermath);
            }
            ConnectionEvent::Readable(stream) | ConnectionEvent::Finished(stream) => {
                self.wake_reader(stream, aftermath);
                self.discard(stream);
            }
            ConnectionEvent::Writable(stream) | ConnectionEvent::Stopped { stream, .. } => {
                self.wake_writer(stream, aftermath);
            }
            ConnectionEvent::Ended { stream, end } => {
                if self.abandoned.remove(&stream).is_none() {
                    self.ends.insert(stream, read_error(end));
                }
                self.wake_reader(stream, aftermath);
                self.wake_writer(stream, aftermath);
            }
            ConnectionEvent::Closed { .. } => self.close(aftermath),
        }
    }

    /// Gives back what emptied tables hold: a map that was emptied keeps its last node.
    pub(crate) fn release(&mut self) {
        fn release<V>(map: &mut BTreeMap<StreamId, V>) {
            if map.is_empty() {
                *map = BTreeMap::new();
            }
        }
        release(&mut self.waits);
        release(&mut self.openings);
        release(&mut self.ends);
        release(&mut self.observers);
        release(&mut self.abandoned);
        if self.openers.is_empty() {
            self.openers = Vec::new();
        }
    }

    /// Lets those that wait for room to open a stream try again.
    pub(crate) fn retry_openers(&mut self, aftermath: &mut Aftermath) {
        if self.admitted {
            aftermath.wakers.append(&mut self.openers);
        }
    }

    /// The connection is over: nobody waits any longer.
    fn close(&mut self, aftermath: &mut Aftermath) {
        self.closed = true;
        aftermath.wakers.append(&mut self.openers);
        for wait in core::mem::take(&mut self.waits).into_values() {
            aftermath.wakers.extend(wait.reader);
            aftermath.wakers.extend(wait.writer);
        }
        let openings: Vec<StreamId> = self.openings.keys().copied().collect();
        for stream in openings {
            self.end_opening(stream, Err(OpenFailure::NotOpen), aftermath);
        }
        self.abandoned.clear();
    }

    fn end_opening(
        &mut self,
        stream: StreamId,
        result: Result<ProtocolId, OpenFailure>,
        aftermath: &mut Aftermath,
    ) {
        let Some(opening) = self.openings.get_mut(&stream) else { return };
        match core::mem::replace(opening, Opening::Over(result)) {
            Opening::Waiting(waker) => aftermath.wakers.extend(waker),
            // The first answer counts.
            Opening::Over(earlier) => *opening = Opening::Over(earlier),
        }
    }

    /// Why a read or write of a stream fails that is not there.
    pub(crate) fn end_of(&self, stream: StreamId) -> ReadError {
        self.ends.get(&stream).copied().unwrap_or(ReadError::UnknownStream)
    }

    pub(crate) fn await_read(&mut self, stream: StreamId, cx: &Context<'_>) {
        set_waker(&mut self.waits.entry(stream).or_default().reader, cx);
    }

    pub(crate) fn await_write(&mut self, stream: StreamId, cx: &Context<'_>) {
        set_waker(&mut self.waits.entry(stream).or_default().writer, cx);
    }

    fn wake_reader(&mut self, stream: StreamId, aftermath: &mut Aftermath) {
        if let Some(wait) = self.waits.get_mut(&stream) {
            aftermath.wakers.extend(wait.reader.take());
            self.forget_idle_wait(stream);
        }
    }

    fn wake_writer(&mut self, stream: StreamId, aftermath: &mut Aftermath) {
        if let Some(wait) = self.waits.get_mut(&stream) {
            aftermath.wakers.extend(wait.writer.take());
            self.forget_idle_wait(stream);
        }
    }

    fn forget_idle_wait(&mut self, stream: StreamId) {
        if self.waits.get(&stream).is_some_and(|w| w.reader.is_none() && w.writer.is_none()) {
            self.waits.remove(&stream);
        }
    }

    /// The application dropped a stream, which may be over. One that it finished still sends what
    /// was written, and what the remote has to say is thrown away; another is reset.
    pub(crate) fn drop_stream(&mut self, stream: StreamId, finished: bool, over: bool) {
        self.waits.remove(&stream);
        self.openings.remove(&stream);
        self.ends.remove(&stream);
        self.observers.remove(&stream);
        if over {
            return;
        }
        if finished && !self.closed {
            self.abandoned.insert(stream, MAX_DISCARDED_BYTES);
            self.discard(stream);
        } else {
            self.connection.stream(stream).reset(0);
        }
    }

    fn discard(&mut self, id: StreamId) {
        let Some(left) = self.abandoned.get_mut(&id) else { return };
        let over = loop {
            let mut stream = self.connection.stream(id);
            match stream.read(*left) {
                Ok(bytes) if bytes.is_empty() => break true,
                Ok(bytes) => *left = left.saturating_sub(bytes.len()),
                Err(ReadError::Blocked) => break false,
                Err(_) => break true,
            }
            if *left == 0 {
                stream.reset(0);
                break true;
            }
        };
        if over {
            self.abandoned.remove(&id);
        }
    }
}

/// What a read says of a stream that has ended so.
fn read_error(end: StreamEnd) -> ReadError {
    match end {
        StreamEnd::Reset(code) => ReadError::Reset(code),
        StreamEnd::ConnectionClosed => ReadError::ConnectionClosed,
        StreamEnd::Finished
        | StreamEnd::ResetByUs
        | StreamEnd::FrameTooLong { .. }
        | StreamEnd::MalformedLength
        | StreamEnd::TruncatedFrame
        | StreamEnd::CreditExceeded
        | StreamEnd::NegotiationTimedOut
        | StreamEnd::ReceiveStall => ReadError::Reset(0),
    }
}

fn set_waker(place: &mut Option<Waker>, cx: &Context<'_>) {
    match place {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *place = Some(cx.waker().clone()),
    }
}
