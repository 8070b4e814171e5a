//! [`Connection`]: its inputs, and where the multiplexer's events go.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::BytesMut;
use libp2p_identity::PeerId;

use super::config::ConnectionConfig;
use super::entry::{Entry, Opener, Phase};
use super::event::{ConnectionEvent, OpenError, PerfReport};
use super::limits::Limits;
use super::node_side::NodeSide;
use super::ping::PingSchedule;
use super::stream::Stream;
use super::transport::Transport;
use crate::byte_mux::{ByteMux, ByteMuxSetup};
use crate::close::{CloseReason, TransportFailure};
use crate::mailbox::{
    OpenFailure, PingFailure, ProtocolTable, RequestId, StreamEnd, ToNode, Usage,
};
use crate::mux::{Mux, MuxEvent, ResetCode, Role, StreamId, WindowUse};
use crate::protocol::ProtocolId;
use crate::quic::{FromEndpoint, QuicMux, QuicTransmit, ToEndpoint};
use crate::rng::Seed;
use crate::time::{Clock, Deadline, DeadlineReason, Timestamp};

/// What a connection over a byte stream begins with.
pub type ConnectionSetup<'a> = ByteMuxSetup<'a>;

/// How far the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// The handshake runs.
    Securing,
    /// Node has to say whether the connection may begin.
    Waiting { until: Timestamp },
    /// Streams run.
    Admitted,
    /// It ends: at most a goodbye is on its way.
    Closing,
    /// It is over.
    Over,
}

/// One connection. See the [module](super) for what it is made of and how it is driven.
pub struct Connection {
    pub(super) transport: Transport,
    pub(super) role: Role,
    pub(super) config: Arc<ConnectionConfig>,
    pub(super) clock: Clock,
    pub(super) seed: Seed,
    pub(super) admission: Admission,
    pub(super) peer: Option<PeerId>,
    pub(super) protocols: ProtocolTable,
    /// Bounded by the lease's two stream limits.
    pub(super) streams: BTreeMap<StreamId, Box<Entry>>,
    /// When negotiations time out, in order. May name streams that are past it; see
    /// [`Connection::await_negotiation`] for its bound.
    pub(super) negotiations: VecDeque<(Timestamp, StreamId)>,
    /// Streams that wait for [`Connection::accept`], bounded like `streams`.
    pub(super) acceptable: VecDeque<StreamId>,
    /// At most a few: the multiplexer's next event waits until these are taken.
    pub(super) events: VecDeque<ConnectionEvent>,
    pub(super) node: NodeSide,
    pub(super) limits: Limits,
    pub(super) ping: PingSchedule,
    pub(super) usage: Usage,
}

impl Connection {
    /// A connection over a transport that carries bytes in order, which begins now.
    /// Connections can share their config.
    pub fn new(
        setup: ConnectionSetup<'_>,
        config: impl Into<Arc<ConnectionConfig>>,
        now: Timestamp,
    ) -> Self {
        let config = config.into();
        let role = setup.role;
        let seed = setup.seed.derive("connection", 0);
        let mux = ByteMux::new(setup, config.byte_mux.clone(), now);
        Connection::with_transport(Transport::Bytes(Box::new(mux)), role, seed, config, now)
    }

    /// A connection over QUIC, see [`crate::quic::QuicEndpoint`]. Its byte side is
    /// [`Connection::handle_endpoint_event`], [`Connection::poll_endpoint_event`] and
    /// [`Connection::poll_datagrams`]; the driver keeps on with it after
    /// [`ConnectionEvent::Closed`] as [`QuicMux`] says.
    pub fn quic(
        mux: QuicMux,
        seed: &Seed,
        config: impl Into<Arc<ConnectionConfig>>,
        now: Timestamp,
    ) -> Self {
        let role = mux.role();
        let seed = seed.derive("connection", 0);
        let transport = Transport::Quic(Box::new(mux));
        Connection::with_transport(transport, role, seed, config.into(), now)
    }

    /// A connection over a multiplexer of someone else's. Its byte side is reached through
    /// [`Connection::with_mux`].
    pub fn over(
        mux: Box<dyn Mux>,
        role: Role,
        seed: &Seed,
        config: impl Into<Arc<ConnectionConfig>>,
        now: Timestamp,
    ) -> Self {
        let seed = seed.derive("connection", 0);
        Connection::with_transport(Transport::Other(mux), role, seed, config.into(), now)
    }

    fn with_transport(
        transport: Transport,
        role: Role,
        seed: Seed,
        config: Arc<ConnectionConfig>,
        now: Timestamp,
    ) -> Self {
        Connection {
            transport,
            role,
            config,
            clock: Clock::new(now),
            seed,
            admission: Admission::Securing,
            peer: None,
            protocols: ProtocolTable::default(),
            streams: BTreeMap::new(),
            negotiations: VecDeque::new(),
            acceptable: VecDeque::new(),
            events: VecDeque::new(),
            node: NodeSide::default(),
            limits: Limits::new(now),
            ping: PingSchedule::default(),
            usage: Usage::default(),
        }
    }

    /// Which side we are.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Who is at the other end, once that is proved.
    pub fn peer(&self) -> Option<PeerId> {
        self.peer
    }

    /// Totals so far.
    pub fn usage(&self) -> Usage {
        let (received_bytes, sent_bytes) = match &self.transport {
            Transport::Bytes(mux) => mux.transferred(),
            Transport::Quic(mux) => mux.transferred(),
            Transport::Other(_) => (0, 0),
        };
        Usage { received_bytes, sent_bytes, ..self.usage }
    }

    /// Whether the application has streams here, even of a connection that is over: what they had
    /// received can still be read.
    pub fn has_application_streams(&self) -> bool {
        self.streams.values().any(|entry| entry.is_of_application())
    }

    /// Memory that buffers hold, in bytes of capacity: of received bytes, and of bytes to be sent.
    /// 0 over QUIC, which does not tell, and over a multiplexer of someone else's.
    pub fn buffer_bytes(&self) -> (usize, usize) {
        match &self.transport {
            Transport::Bytes(mux) => mux.buffer_bytes(),
            Transport::Quic(_) | Transport::Other(_) => (0, 0),
        }
    }

    /// How the windows of its streams stand.
    pub fn window_use(&self) -> WindowUse {
        self.transport.mux_ref().window_use()
    }

    // The byte side, for a transport that carries bytes in order.

    /// Space for what the transport has, see [`ByteMux::recv_buf`]. `None` while the connection
    /// does not read, and over a multiplexer of someone else's.
    pub fn recv_buf(&mut self) -> Option<&mut [u8]> {
        self.transport.bytes()?.recv_buf()
    }

    /// The same as spare capacity that needs not be initialised, see [`ByteMux::recv_spare`].
    pub fn recv_spare(&mut self) -> Option<&mut BytesMut> {
        self.transport.bytes()?.recv_spare()
    }

    /// Takes the first `n` bytes of [`Connection::recv_buf`], or those appended to
    /// [`Connection::recv_spare`], as received.
    pub fn handle_recv(&mut self, now: Timestamp, n: usize) {
        let now = self.clock.advance(now);
        if let Some(mux) = self.transport.bytes() {
            mux.handle_recv(now, n);
        }
    }

    /// The transport has no more bytes.
    pub fn handle_eof(&mut self, now: Timestamp) {
        let now = self.clock.advance(now);
        if let Some(mux) = self.transport.bytes() {
            mux.handle_eof(now);
        }
    }

    /// The transport failed.
    pub fn handle_transport_error(&mut self, now: Timestamp, failure: TransportFailure) {
        let now = self.clock.advance(now);
        if let Some(mux) = self.transport.bytes() {
            mux.handle_transport_error(now, failure);
        }
    }

    /// What the transport should send, see [`ByteMux::poll_transmit`].
    pub fn poll_transmit(&mut self, now: Timestamp) -> Option<&[u8]> {
        let now = self.clock.advance(now);
        self.transport.bytes()?.poll_transmit(now)
    }

    /// Counts bytes that the transport took.
    pub fn handle_transmitted(&mut self, n: usize) {
        if let Some(mux) = self.transport.bytes() {
            mux.handle_transmitted(n);
        }
    }

    /// Whether there may be something to send after an application's call; over QUIC only trying
    /// tells.
    pub fn wants_transmit(&self) -> bool {
        match &self.transport {
            Transport::Bytes(mux) => mux.wants_transmit(),
            Transport::Quic(_) | Transport::Other(_) => true,
        }
    }

    // The byte side, over QUIC.

    /// Takes an event of the endpoint's, see [`QuicMux::handle_endpoint_event`]. Poll events
    /// afterwards.
    pub fn handle_endpoint_event(&mut self, now: Timestamp, event: FromEndpoint) {
        let now = self.clock.advance(now);
        if let Some(mux) = self.transport.quic() {
            mux.handle_endpoint_event(now, event);
        }
    }

    /// The next event for the endpoint, see [`QuicMux::poll_endpoint_event`].
    pub fn poll_endpoint_event(&mut self) -> Option<ToEndpoint> {
        self.transport.quic()?.poll_endpoint_event()
    }

    /// What is to be sent next, see [`QuicMux::poll_transmit`].
    pub fn poll_datagrams(
        &mut self,
        now: Timestamp,
        max_segments: usize,
        buffer: &mut Vec<u8>,
    ) -> Option<QuicTransmit> {
        let now = self.clock.advance(now);
        self.transport.quic()?.poll_transmit(now, max_segments, buffer)
    }

    /// Whether the connection is over and the transport can be closed. What streams had received
    /// can still be read.
    pub fn is_closed(&self) -> bool {
        self.admission == Admission::Over
    }

    /// Reaches the byte side of a multiplexer of someone else's; `None` if it is not an `M`. Poll
    /// events afterwards.
    pub fn with_mux<M: Mux, T>(
        &mut self,
        now: Timestamp,
        reach: impl FnOnce(&mut M) -> T,
    ) -> Option<T> {
        self.clock.advance(now);
        let mux: &mut dyn core::any::Any = match &mut self.transport {
            Transport::Bytes(mux) => &mut **mux,
            Transport::Quic(mux) => &mut **mux,
            Transport::Other(mux) => &mut **mux,
        };
        mux.downcast_mut().map(reach)
    }

    // The application's side.

    /// Opens a stream and proposes these protocols, in order of preference. With one, the stream
    /// can be written at once, and the proposal leaves with the first write, read or finish; a
    /// refusal shows as [`crate::mux::ReadError::UnsupportedProtocol`]. With several, writes are
    /// blocked until [`ConnectionEvent::Opened`].
    pub fn open(
        &mut self,
        now: Timestamp,
        protocols: &[ProtocolId],
    ) -> Result<StreamId, OpenError> {
        self.clock.advance(now);
        self.open_for(protocols.to_vec(), Opener::Application)
    }

    /// Takes the oldest stream that the remote opened for the application. Read it until it
    /// blocks: what arrived before is not announced again.
    pub fn accept(&mut self) -> Option<(StreamId, ProtocolId)> {
        let stream = self.acceptable.pop_front()?;
        if self.acceptable.is_empty() {
            self.acceptable = VecDeque::new();
        }
        let entry = self.streams.get_mut(&stream)?;
        entry.phase = Phase::Application { held: true };
        self.limits.changed = true;
        Some((stream, entry.protocol.clone()?))
    }

    /// Takes one stream that the remote opened for the application, as [`ConnectionEvent::Inbound`]
    /// named it, ahead of older ones. `None` if it is gone or was taken.
    pub fn accept_stream(&mut self, id: StreamId) -> Option<ProtocolId> {
        let place = self.acceptable.iter().position(|waiting| *waiting == id)?;
        self.acceptable.remove(place);
        if self.acceptable.is_empty() {
            self.acceptable = VecDeque::new();
        }
        let entry = self.streams.get_mut(&id)?;
        entry.phase = Phase::Application { held: true };
        self.limits.changed = true;
        entry.protocol.clone()
    }

    /// A stream of the application's. For one that is gone every operation says so.
    pub fn stream(&mut self, id: StreamId) -> Stream<'_> {
        Stream::new(self, id)
    }

    /// Ends the connection: says goodbye, flushes what is queued, and closes.
    pub fn close(&mut self, now: Timestamp, reason: CloseReason) {
        let now = self.clock.advance(now);
        if !self.is_closed() {
            self.admission = Admission::Closing;
        }
        // The time that it has for its goodbye begins now, not when it was last heard of.
        self.transport.mux().handle_timeout(now);
        self.transport.mux().close(reason);
    }

    /// The next event. Takes the multiplexer's events one by one, so that what each causes is done
    /// before the next one counts.
    pub fn poll_event(&mut self) -> Option<ConnectionEvent> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            match self.transport.mux().poll_event() {
                Some(event) => self.handle_mux_event(event),
                None => {
                    self.settle_limits();
                    return None;
                }
            }
        }
    }

    /// Handles the passing of time. Poll events afterwards.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        let now = self.clock.advance(now);
        // QUIC goes on for a while when it is over.
        self.transport.mux().handle_timeout(now);
        if self.is_closed() {
            return;
        }
        if let Admission::Waiting { until } = self.admission
            && now >= until
        {
            self.close(now, CloseReason::TimedOut(DeadlineReason::Admission));
        }
        self.time_out_negotiations(now);
        self.time_out_limits(now);
        self.time_out_ping(now);
        self.release();
    }

    /// A connection at rest holds no queue.
    fn release(&mut self) {
        if self.events.is_empty() {
            self.events = VecDeque::new();
        }
        if self.streams.is_empty() {
            self.streams = BTreeMap::new();
            self.negotiations = VecDeque::new();
        }
        self.node.release();
    }

    /// When [`Connection::handle_timeout`] should be called next.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        if self.is_closed() {
            // QUIC answers late packets for a while.
            return self.transport.mux_ref().poll_timeout();
        }
        let admission = match self.admission {
            Admission::Waiting { until } => Some(Deadline::new(until, DeadlineReason::Admission)),
            Admission::Securing | Admission::Admitted | Admission::Closing | Admission::Over => {
                None
            }
        };
        [self.negotiation_deadline(), self.limits_deadline(), self.ping_deadline(), admission]
            .into_iter()
            .fold(self.transport.mux_ref().poll_timeout(), Deadline::earlier)
    }

    fn handle_mux_event(&mut self, event: MuxEvent) {
        match event {
            MuxEvent::Secured { peer } => {
                if self.admission == Admission::Securing {
                    let until = self.clock.now().saturating_add(self.config.admission_timeout);
                    self.admission = Admission::Waiting { until };
                }
                self.peer = Some(peer);
                self.node.established = true;
                self.events.push_back(ConnectionEvent::Secured { peer });
            }
            MuxEvent::Inbound => self.take_inbound(),
            MuxEvent::Readable(id) => self.drive(id, Cause::Readable),
            MuxEvent::Writable(id) => self.drive(id, Cause::Writable),
            MuxEvent::Finished(id) => {
                if let Some(entry) = self.streams.get_mut(&id) {
                    entry.remote_finished = true;
                }
                self.drive(id, Cause::Finished);
            }
            MuxEvent::Reset { stream, code } => self.end_stream(stream, StreamEnd::Reset(code)),
            MuxEvent::Stopped { stream, code } => self.handle_stopped(stream, code),
            MuxEvent::Closed { reason } => self.handle_closed(reason),
        }
    }

    /// The remote reads no more of a stream. What it says itself still counts: go-libp2p says so with
    /// the end of every answer. Its owner learns of it when there is something to write.
    fn handle_stopped(&mut self, id: StreamId, code: ResetCode) {
        let Some(entry) = self.streams.get(&id) else { return };
        let told = ConnectionEvent::Stopped { stream: id, code };
        let is_lost = match &entry.phase {
            Phase::Application { .. } => {
                self.events.push_back(told);
                false
            }
            Phase::Inbound(_) => false,
            Phase::Outbound(outbound) => {
                // Its owner may have written ahead of the answer.
                if matches!(outbound.opener, Opener::Application) {
                    self.events.push_back(told);
                }
                !entry.unsent.is_empty()
            }
            Phase::Node(stream) => stream.has_frames(),
            Phase::Refused
            | Phase::PingEcho(_)
            | Phase::PingAsker(_)
            | Phase::PerfServer(_)
            | Phase::PerfClient(_) => true,
        };
        if is_lost {
            self.reset_stream(id, StreamEnd::Reset(code));
        }
    }

    /// Gives a stream its turn, because something about it changed.
    pub(super) fn drive(&mut self, id: StreamId, cause: Cause) {
        let Some(entry) = self.streams.get_mut(&id) else { return };
        if entry.flush(id, self.transport.mux()).is_err() {
            return self.reset_stream(id, StreamEnd::ResetByUs);
        }
        match &entry.phase {
            Phase::Inbound(_) => self.drive_inbound(id),
            Phase::Outbound(outbound) => {
                // Its owner may have written ahead of the answer.
                if cause == Cause::Writable
                    && outbound.optimistic
                    && matches!(outbound.opener, Opener::Application)
                {
                    self.events.push_back(ConnectionEvent::Writable(id));
                }
                self.drive_outbound(id);
            }
            Phase::Refused => {}
            // Its end may have waited for room.
            Phase::Application { .. } if entry.is_over() => {
                self.forget_stream(id);
            }
            Phase::Application { .. } => self.events.push_back(match cause {
                Cause::Readable => ConnectionEvent::Readable(id),
                Cause::Writable => ConnectionEvent::Writable(id),
                Cause::Finished => ConnectionEvent::Finished(id),
            }),
            Phase::Node(_) => self.drive_node_stream(id),
            Phase::PingEcho(_) => self.drive_ping_echo(id),
            Phase::PingAsker(_) => self.drive_ping_asker(id),
            Phase::PerfServer(_) => self.drive_perf_server(id),
            Phase::PerfClient(_) => self.drive_perf_client(id),
        }
    }

    /// Resets a stream and tells its owner.
    pub(super) fn reset_stream(&mut self, id: StreamId, end: StreamEnd) {
        self.transport.mux().reset(id, 0);
        self.end_stream(id, end);
    }

    /// Forgets a stream that is gone and tells its owner.
    pub(super) fn end_stream(&mut self, id: StreamId, end: StreamEnd) {
        let Some(entry) = self.forget_stream(id) else { return };
        match entry.phase {
            Phase::Inbound(_) => self.usage.refused_streams += 1,
            Phase::Outbound(outbound) => self.fail_opening(id, outbound.opener, open_failure(end)),
            Phase::Refused | Phase::PingEcho(_) | Phase::PerfServer(_) => {}
            Phase::Application { .. } => {
                self.events.push_back(ConnectionEvent::Ended { stream: id, end });
            }
            Phase::Node(stream) => self.node_stream_ended(id, *stream, end),
            Phase::PingAsker(_) => self.ping_failed(PingFailure::Stream),
            Phase::PerfClient(client) => {
                let report = client.report(id, self.clock.now(), false);
                self.events.push_back(ConnectionEvent::Perf(report));
            }
        }
    }

    /// Forgets a stream of the application's that has ended in both directions.
    pub(super) fn forget_if_over(&mut self, id: StreamId) {
        if self.streams.get(&id).is_some_and(|entry| entry.is_over()) {
            self.forget_stream(id);
        }
    }

    pub(super) fn forget_stream(&mut self, id: StreamId) -> Option<Box<Entry>> {
        let entry = self.streams.remove(&id)?;
        if let Phase::Application { held: false } = entry.phase {
            self.acceptable.retain(|waiting| *waiting != id);
        }
        self.limits.changed = true;
        Some(entry)
    }

    /// Tells whoever asked that a stream of ours did not come to be.
    pub(super) fn fail_opening(&mut self, id: StreamId, opener: Opener, failure: OpenFailure) {
        match opener {
            Opener::Application => {
                self.events.push_back(ConnectionEvent::OpenFailed { stream: id, failure });
            }
            Opener::Node { request, .. } => self.node_open_failed(request, failure),
            Opener::Ping(_) => self.ping_failed(match failure {
                OpenFailure::UnsupportedProtocol => PingFailure::Unsupported,
                OpenFailure::TimedOut => PingFailure::TimedOut,
                OpenFailure::NotOpen
                | OpenFailure::Limit(_)
                | OpenFailure::Negotiation
                | OpenFailure::Ended
                | OpenFailure::Proposals => PingFailure::Stream,
            }),
            Opener::Perf(client) => {
                let report = client.report(id, self.clock.now(), false);
                self.events.push_back(ConnectionEvent::Perf(report));
            }
        }
    }

    fn node_open_failed(&mut self, request: RequestId, failure: OpenFailure) {
        self.node.replies.push_back(ToNode::OpenFailed { request, failure });
    }

    fn handle_closed(&mut self, reason: CloseReason) {
        self.admission = Admission::Over;
        let ids: Vec<StreamId> = self.streams.keys().copied().collect();
        for id in ids {
            match self.streams.get(&id).map(|entry| &entry.phase) {
                // What they received can still be read.
                Some(Phase::Application { .. }) | None => {}
                Some(Phase::Node(_)) => self.mark_node_ready(id),
                Some(
                    Phase::Inbound(_)
                    | Phase::Outbound(_)
                    | Phase::Refused
                    | Phase::PingEcho(_)
                    | Phase::PingAsker(_)
                    | Phase::PerfServer(_)
                    | Phase::PerfClient(_),
                ) => self.end_stream(id, StreamEnd::ConnectionClosed),
            }
        }
        self.node.closed = Some(reason.clone());
        self.events.push_back(ConnectionEvent::Closed { reason });
    }

    /// Measures the connection with `/perf/1.0.0`: sends `upload_bytes`, asks for
    /// `download_bytes`, and ends with [`ConnectionEvent::Perf`].
    pub fn perf(
        &mut self,
        now: Timestamp,
        upload_bytes: u64,
        download_bytes: u64,
    ) -> Result<StreamId, OpenError> {
        let now = self.clock.advance(now);
        self.open_perf(now, upload_bytes, download_bytes)
    }

    pub(super) fn report_perf(&mut self, report: PerfReport) {
        self.events.push_back(ConnectionEvent::Perf(report));
    }
}

/// Why a stream has its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    Readable,
    Writable,
    Finished,
}

fn open_failure(end: StreamEnd) -> OpenFailure {
    match end {
        StreamEnd::NegotiationTimedOut => OpenFailure::TimedOut,
        StreamEnd::ConnectionClosed => OpenFailure::NotOpen,
        StreamEnd::Finished
        | StreamEnd::Reset(_)
        | StreamEnd::ResetByUs
        | StreamEnd::FrameTooLong { .. }
        | StreamEnd::MalformedLength
        | StreamEnd::TruncatedFrame
        | StreamEnd::CreditExceeded
        | StreamEnd::ReceiveStall => OpenFailure::Ended,
    }
}
