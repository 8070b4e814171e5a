//! [`PolledHandle`]: a [`Handle`] as [`Network`], where nothing waits.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use sanspeer_core::application::{AppEvent, InboundStream, Network, StreamOpenError};
use sanspeer_core::identity::PeerId;
use sanspeer_core::mux::{ReadError, ResetCode, WriteError};
use sanspeer_core::node::{Command, CommandId, ConnectionId, NodeEvent, StreamRef};
use sanspeer_core::protocol::ProtocolId;
use sanspeer_core::time::Timestamp;

use crate::acceptor::Acceptor;
use crate::control::inbox::{Reply, Request};
use crate::events::Listener;
use crate::handle::Handle;
use crate::observer::Observer;
use crate::stream::AppStream;

/// A handle as [`Network`], for an application that is written against that trait, and so against
/// the scripted double and a `Host` as well.
///
/// It hears the events from its making on. An application that leaves more than 1,024 events of
/// Node waiting misses the oldest ([`PolledHandle::missed`]); what concerns its own requests and
/// streams is never lost.
pub struct PolledHandle {
    handle: Handle,
    observer: Arc<Observer>,
    /// Protocols whose inbound streams are taken.
    acceptors: BTreeMap<ProtocolId, Acceptor>,
    /// Bounded by the stream limits.
    streams: BTreeMap<StreamRef, AppStream>,
    /// Connections that are over and whose streams can still be read, in the order of their ends.
    /// Bounded by [`MAX_OVER`].
    over: VecDeque<ConnectionId>,
    next_command: u64,
}

/// Connections that are over and whose streams can still be read. The streams of older ones are
/// forgotten.
const MAX_OVER: usize = 16;

impl PolledHandle {
    /// A handle that does not wait.
    pub fn new(handle: Handle) -> Self {
        let observer = Arc::<Observer>::default();
        let listener: Arc<dyn Listener> = Arc::<Observer>::clone(&observer);
        handle.core.subscribers.add(&listener);
        PolledHandle {
            handle,
            observer,
            acceptors: BTreeMap::new(),
            streams: BTreeMap::new(),
            over: VecDeque::new(),
            next_command: 0,
        }
    }

    /// The handle.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Waits until there is an event.
    pub async fn ready(&self) {
        poll_fn(|cx| self.poll_ready(cx)).await;
    }

    /// Ready when there is an event. One task may wait.
    pub fn poll_ready(&self, cx: &Context<'_>) -> Poll<()> {
        self.observer.poll_ready(cx)
    }

    /// Events of Node that were dropped so far.
    pub fn missed(&self) -> u64 {
        self.observer.missed()
    }

    /// A connection is over; what its streams received can be read for a while.
    fn retire(&mut self, connection: ConnectionId) {
        self.over.push_back(connection);
        if self.over.len() > MAX_OVER
            && let Some(oldest) = self.over.pop_front()
        {
            self.streams.retain(|at, _| at.connection != oldest);
        }
    }

    /// Forgets a stream with which nothing is left to be done.
    fn forget_if_over(&mut self, at: StreamRef) {
        if self.streams.get(&at).is_some_and(AppStream::is_over) {
            self.streams.remove(&at);
        }
    }

    /// What an operation says that would wait.
    fn at_once<T, E>(result: Poll<Result<T, E>>, blocked: E) -> Result<T, E> {
        match result {
            Poll::Ready(result) => result,
            Poll::Pending => Err(blocked),
        }
    }
}

impl Network for PolledHandle {
    fn peer_id(&self) -> PeerId {
        self.handle.peer_id()
    }

    fn request(&mut self, _now: Timestamp, command: Command) -> CommandId {
        let id = CommandId(self.next_command);
        self.next_command += 1;
        if let Command::AddProtocol(protocol) = &command {
            let core = &self.handle.core;
            // If it is taken, Node says so too.
            if let Some(acceptor) = core.acceptors.add(protocol, &core.inbox) {
                acceptor.observe(&self.observer);
                self.acceptors.insert(protocol.clone(), acceptor);
            }
        }
        let mut removed = None;
        if let Command::RemoveProtocol(protocol) = &command {
            removed = self.acceptors.remove(protocol);
        }
        let reply = Reply::Observer(Arc::clone(&self.observer), id);
        self.handle.core.inbox.push_request(Request { command, reply });
        // Behind the request, which would otherwise find the protocol gone.
        drop(removed);
        id
    }

    fn poll_event(&mut self) -> Option<AppEvent> {
        let event = self.observer.pop()?;
        match &event {
            AppEvent::Ended { stream, .. } => {
                self.streams.remove(stream);
            }
            AppEvent::Node(NodeEvent::ConnectionClosed { connection, .. }) => {
                self.retire(*connection);
            }
            AppEvent::Node(_)
            | AppEvent::Answer { .. }
            | AppEvent::Inbound
            | AppEvent::Opened { .. }
            | AppEvent::OpenFailed { .. }
            | AppEvent::Readable(_)
            | AppEvent::Writable(_)
            | AppEvent::Finished(_)
            | AppEvent::Stopped { .. } => {}
        }
        Some(event)
    }

    fn open(
        &mut self,
        now: Timestamp,
        peer: &PeerId,
        protocols: &[ProtocolId],
    ) -> Result<StreamRef, StreamOpenError> {
        let link = self.handle.core.routes.find(peer).ok_or(StreamOpenError::NotConnected)?;
        let stream = link.open_observed(now, protocols, &self.observer)?;
        let at = StreamRef { connection: link.id, stream: stream.id() };
        self.streams.insert(at, stream);
        Ok(at)
    }

    fn accept(&mut self) -> Option<InboundStream> {
        let cx = Context::from_waker(Waker::noop());
        for acceptor in self.acceptors.values_mut() {
            let Poll::Ready(Some(stream)) = acceptor.poll_accept(&cx) else { continue };
            stream.observe(&self.observer);
            let at = StreamRef { connection: stream.connection(), stream: stream.id() };
            let (peer, protocol) = (stream.peer(), acceptor.protocol().clone());
            self.streams.insert(at, stream);
            return Some(InboundStream { stream: at, peer, protocol });
        }
        None
    }

    fn read(&mut self, _now: Timestamp, at: StreamRef, max: usize) -> Result<Bytes, ReadError> {
        let stream = self.streams.get_mut(&at).ok_or(ReadError::UnknownStream)?;
        let cx = Context::from_waker(Waker::noop());
        let result = PolledHandle::at_once(stream.poll_read_bytes(&cx, max), ReadError::Blocked);
        match result {
            Ok(_) => self.forget_if_over(at),
            Err(ReadError::Blocked) => {}
            Err(_) => drop(self.streams.remove(&at)),
        }
        result
    }

    fn write(&mut self, _now: Timestamp, at: StreamRef, data: &[u8]) -> Result<usize, WriteError> {
        let stream = self.streams.get_mut(&at).ok_or(WriteError::UnknownStream)?;
        let cx = Context::from_waker(Waker::noop());
        PolledHandle::at_once(stream.poll_write(&cx, data), WriteError::Blocked)
    }

    fn finish(&mut self, _now: Timestamp, at: StreamRef) -> Result<(), WriteError> {
        let stream = self.streams.get_mut(&at).ok_or(WriteError::UnknownStream)?;
        let cx = Context::from_waker(Waker::noop());
        let result = PolledHandle::at_once(stream.poll_finish(&cx), WriteError::Blocked);
        self.forget_if_over(at);
        result
    }

    fn reset(&mut self, _now: Timestamp, stream: StreamRef, code: ResetCode) {
        if let Some(stream) = self.streams.remove(&stream) {
            stream.reset(code);
        }
    }
}

impl core::fmt::Debug for PolledHandle {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "PolledHandle({})", self.handle.peer_id())
    }
}
