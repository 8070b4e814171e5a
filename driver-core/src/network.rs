//! [`PolledHandle`]: a [`Handle`] as [`Network`], where nothing waits.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use sanspeer_core::application::{AppEvent, InboundStream, Network, StreamOpenError};
use sanspeer_core::identity::PeerId;
use sanspeer_core::mux::{ReadError, ResetCode, WriteError};
use sanspeer_core::node::{Answer, Command, CommandError, CommandId, StreamRef};
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
    next_command: u64,
}

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
        let removed = if let Command::RemoveProtocol(protocol) = &command {
            self.acceptors.remove(protocol)
        } else {
            None
        };
        let reply = Reply::Observer(Arc::clone(&self.observer), id);
        if let Err(reply) = self.handle.core.inbox.push_request(Request { command, reply }) {
            reply.send(Answer::Failed(CommandError::ShuttingDown));
        }
        // Behind the request, which would otherwise find the protocol gone.
        drop(removed);
        id
    }

    fn poll_event(&mut self) -> Option<AppEvent> {
        self.observer.pop()
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

    fn read(&mut self, _now: Timestamp, stream: StreamRef, max: usize) -> Result<Bytes, ReadError> {
        let stream = self.streams.get_mut(&stream).ok_or(ReadError::UnknownStream)?;
        let cx = Context::from_waker(Waker::noop());
        PolledHandle::at_once(stream.poll_read_bytes(&cx, max), ReadError::Blocked)
    }

    fn write(
        &mut self,
        _now: Timestamp,
        stream: StreamRef,
        data: &[u8],
    ) -> Result<usize, WriteError> {
        let stream = self.streams.get_mut(&stream).ok_or(WriteError::UnknownStream)?;
        let cx = Context::from_waker(Waker::noop());
        PolledHandle::at_once(stream.poll_write(&cx, data), WriteError::Blocked)
    }

    fn finish(&mut self, _now: Timestamp, stream: StreamRef) -> Result<(), WriteError> {
        let stream = self.streams.get_mut(&stream).ok_or(WriteError::UnknownStream)?;
        let cx = Context::from_waker(Waker::noop());
        PolledHandle::at_once(stream.poll_finish(&cx), WriteError::Blocked)
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
