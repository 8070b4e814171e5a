//! [`QuicMux`]: one connection, from datagrams to streams.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use libp2p_identity::PeerId;
use quinn_proto::{Connection, ConnectionError, Event, VarInt};

use super::config::QuicConfig;
use super::crypto;
use super::datagram::QuicTransmit;
use super::epoch::Epoch;
use super::error::QuicError;
use super::mailbox::{FromEndpoint, ToEndpoint, ToEndpointInner};
use super::stream::Stream;
use super::windows::Windows;
use crate::close::CloseReason;
use crate::mux::{MuxEvent, MuxLimits, Role, StreamId};
use crate::time::{Clock, Deadline, DeadlineReason, Timestamp};
use crate::tls::TlsError;

/// Datagrams after which their events are taken even if nobody polls: `quinn_proto` keeps the room
/// that they once took.
const MAX_ARRIVED: u32 = 32;

/// How far the connection is.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    /// Nobody has proved who they are.
    Handshaking,
    /// Streams run.
    Open,
    /// What was written goes out first.
    /// `sent`: all that could be sent was, once.
    Flushing { reason: CloseReason, until: Timestamp, sent: bool },
    /// The goodbye is to be sent, or was.
    Closing { reason: CloseReason, until: Timestamp, sent: bool },
    /// It is over. Late packets of the remote are still answered.
    Closed,
}

/// One connection. Its stream side is [`crate::mux::Mux`].
///
/// After every input poll events, then [`QuicMux::poll_endpoint_event`],
/// [`QuicMux::poll_transmit`] until there is nothing, and the timeout. The connection is over with
/// [`MuxEvent::Closed`], but wants to be driven until [`ToEndpoint::is_last`], so that late packets
/// of the remote are answered (RFC 9000, section 10.2); a driver may drop it earlier, and tell the
/// endpoint ([`super::QuicEndpoint::forget`]).
///
/// - [`MuxEvent::Finished`] comes when everything before the end has been read, or when the end
///   arrives and nothing is unread: `quinn_proto` does not tell of an end behind unread data.
/// - [`crate::mux::Mux::close`] first sends what was written, as far as the congestion window has
///   room, and waits for the acknowledgement of the streams that were finished, at most
///   [`QuicConfig::linger`]. What is lost of the others is not sent again.
/// - A reset of the remote's direction ends ours too, with the same code, as in Yamux.
pub struct QuicMux {
    pub(super) connection: Box<Connection>,
    pub(super) role: Role,
    pub(super) config: Arc<QuicConfig>,
    pub(super) limits: MuxLimits,
    pub(super) clock: Clock,
    epoch: Epoch,
    started_at: Timestamp,
    pub(super) phase: Phase,
    /// Bounded by the two stream limits.
    pub(super) streams: BTreeMap<StreamId, Stream>,
    pub(super) outbound: u32,
    /// Remote streams that nobody took; those that were reset meanwhile are skipped. Bounded by the
    /// inbound stream limit, see `register_inbound`.
    pub(super) waiting: VecDeque<StreamId>,
    pub(super) inbound_announced: bool,
    /// Streams that we finished and whose end the remote has not acknowledged. Bounded by how many
    /// `quinn_proto` keeps, see `open`.
    pub(super) unacknowledged: BTreeSet<StreamId>,
    /// At most a few for each stream: none is announced again before it was asked for.
    pub(super) events: VecDeque<MuxEvent>,
    secured_owed: bool,
    pub(super) windows: Windows,
    /// What `quinn_proto` waits for.
    deadline: Option<Timestamp>,
    /// When its time was last handled. A timer that it sets in the past, since what is to be done
    /// for it is to send, fires only later than that.
    timed_at: Option<Timestamp>,
    /// Datagrams whose events were not taken yet, below [`MAX_ARRIVED`], and their bytes.
    arrived: u32,
    arrived_bytes: u64,
    received_bytes: u64,
    sent_bytes: u64,
}

impl QuicMux {
    pub(super) fn new(
        connection: Connection,
        role: Role,
        config: Arc<QuicConfig>,
        epoch: Epoch,
        now: Timestamp,
    ) -> Self {
        let mut mux = QuicMux {
            connection: Box::new(connection),
            role,
            limits: config.limits,
            clock: Clock::new(now),
            epoch,
            started_at: now,
            phase: Phase::Handshaking,
            streams: BTreeMap::new(),
            outbound: 0,
            waiting: VecDeque::new(),
            inbound_announced: false,
            unacknowledged: BTreeSet::new(),
            events: VecDeque::new(),
            secured_owed: false,
            windows: Windows::new(&config, now),
            deadline: None,
            timed_at: None,
            arrived: 0,
            arrived_bytes: 0,
            received_bytes: 0,
            sent_bytes: 0,
            config,
        };
        mux.pump();
        mux
    }

    /// Which side we are.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The remote's address.
    pub fn remote_address(&self) -> SocketAddr {
        self.connection.remote_address()
    }

    /// The smoothed round trip; a guess of 333 ms before the first sample (RFC 9002, section 6.2.2).
    pub fn rtt(&self) -> Duration {
        self.connection.rtt()
    }

    /// Bytes received from and sent to the network so far, in UDP payloads, without the first one
    /// that was accepted.
    pub fn transferred(&self) -> (u64, u64) {
        (self.received_bytes, self.sent_bytes)
    }

    /// Whether nothing more will come of it, and it can be dropped.
    pub fn is_drained(&self) -> bool {
        self.connection.is_drained()
    }

    /// Takes an event of the endpoint's for this connection. What it causes is done when events are
    /// polled, for datagrams that came together at once.
    pub fn handle_endpoint_event(&mut self, now: Timestamp, event: FromEndpoint) {
        self.clock.advance(now);
        self.received_bytes += event.datagram_bytes as u64;
        self.arrived_bytes += event.datagram_bytes as u64;
        self.arrived += 1;
        self.connection.handle_event(event.event);
        if self.arrived >= MAX_ARRIVED {
            self.pump();
        } else {
            self.note_deadline();
        }
    }

    /// The next event for the endpoint ([`super::QuicEndpoint::handle_connection_event`]).
    pub fn poll_endpoint_event(&mut self) -> Option<ToEndpoint> {
        if core::mem::take(&mut self.secured_owed) {
            return Some(ToEndpoint(ToEndpointInner::Secured));
        }
        let event = self.connection.poll_endpoint_events()?;
        Some(ToEndpoint(ToEndpointInner::Protocol(event)))
    }

    /// Writes what is to be sent next over `buffer`: at most `max_segments` datagrams (at least 1
    /// counts) of equal length, for one call of the socket.
    pub fn poll_transmit(
        &mut self,
        now: Timestamp,
        max_segments: usize,
        buffer: &mut Vec<u8>,
    ) -> Option<QuicTransmit> {
        let now = self.clock.advance(now);
        let instant = self.epoch.instant(now);
        loop {
            self.progress_closing();
            buffer.clear();
            let transmit = self.connection.poll_transmit(instant, max_segments.max(1), buffer);
            self.note_deadline();
            if let Some(transmit) = transmit {
                self.sent_bytes += transmit.size as u64;
                if let Phase::Closing { sent, .. } = &mut self.phase {
                    *sent = true;
                }
                return Some(transmit.into());
            }
            let Phase::Flushing { sent, .. } = &mut self.phase else { return None };
            *sent = true;
            if !self.is_flushed() {
                return None;
            }
        }
    }

    /// Whether what has to go out before the goodbye is out, and the goodbye is not.
    fn is_flushed(&self) -> bool {
        match &self.phase {
            Phase::Flushing { until, sent, .. } => {
                *sent && self.unacknowledged.is_empty() || self.clock.now() >= *until
            }
            Phase::Handshaking | Phase::Open | Phase::Closing { .. } | Phase::Closed => false,
        }
    }

    /// Takes a close one step further.
    pub(super) fn progress_closing(&mut self) {
        let now = self.clock.now();
        if self.is_flushed()
            && let Phase::Flushing { reason, .. } = &self.phase
        {
            let reason = reason.clone();
            self.say_goodbye(reason);
        }
        if let Phase::Closing { reason, until, sent } = &self.phase
            && (*sent || now >= *until || self.connection.is_drained())
        {
            let reason = reason.clone();
            self.end(reason);
        }
    }

    /// Closes, after what was written.
    pub(super) fn start_closing(&mut self, reason: CloseReason) {
        match &self.phase {
            Phase::Handshaking => self.say_goodbye(reason),
            Phase::Open => {
                let until = self.clock.now().saturating_add(self.config.linger);
                self.phase = Phase::Flushing { reason, until, sent: false };
            }
            Phase::Flushing { .. } | Phase::Closing { .. } | Phase::Closed => {}
        }
    }

    /// Closes at once.
    fn say_goodbye(&mut self, reason: CloseReason) {
        let now = self.clock.now();
        let code = VarInt::from_u32(reason.goodbye_code());
        self.connection.close(self.epoch.instant(now), code, Bytes::new());
        let until = now.saturating_add(self.config.linger);
        self.phase = Phase::Closing { reason, until, sent: false };
        self.note_deadline();
    }

    /// The connection is over. What streams have received can still be read.
    fn end(&mut self, reason: CloseReason) {
        self.phase = Phase::Closed;
        self.waiting = VecDeque::new();
        self.unacknowledged = BTreeSet::new();
        self.events.push_back(MuxEvent::Closed { reason });
    }

    pub(super) fn is_open(&self) -> bool {
        match self.phase {
            Phase::Open => true,
            Phase::Handshaking | Phase::Flushing { .. } | Phase::Closing { .. } | Phase::Closed => {
                false
            }
        }
    }

    /// Whether more may come out of what is received.
    pub(super) fn can_receive(&self) -> bool {
        match self.phase {
            Phase::Handshaking | Phase::Open | Phase::Flushing { .. } => true,
            Phase::Closing { .. } | Phase::Closed => false,
        }
    }

    /// Takes the events of `quinn_proto`, which the datagrams since the last time caused.
    pub(super) fn pump(&mut self) {
        let mut readable = Vec::new();
        while let Some(event) = self.connection.poll() {
            match event {
                Event::HandshakeDataReady | Event::DatagramReceived | Event::DatagramsUnblocked => {
                }
                Event::Connected => self.handle_connected(),
                Event::ConnectionLost { reason } => self.handle_lost(&reason),
                Event::Stream(event) => {
                    // Nothing follows the end.
                    if self.can_receive() {
                        self.handle_stream_event(event, &mut readable);
                    }
                }
            }
        }
        let arrived_bytes = core::mem::take(&mut self.arrived_bytes);
        if core::mem::take(&mut self.arrived) > 0 {
            self.count_unread(&readable, arrived_bytes);
            self.windows.fit_send_window(&self.config, &mut self.connection);
        }
        self.note_deadline();
    }

    fn handle_connected(&mut self) {
        self.secured_owed = true;
        match (crypto::outcome(&self.connection), &self.phase) {
            (Some(Ok(peer)), Phase::Handshaking) => self.secured(peer),
            (Some(Ok(_)), _) => {}
            (Some(Err(error)), _) => self.say_goodbye(tls_reason(error)),
            (None, _) => self.say_goodbye(tls_reason(TlsError::NoCertificate)),
        }
    }

    fn secured(&mut self, peer: PeerId) {
        self.phase = Phase::Open;
        self.events.push_back(MuxEvent::Secured { peer });
    }

    fn handle_lost(&mut self, error: &ConnectionError) {
        let found = match (&self.phase, error) {
            (Phase::Handshaking, ConnectionError::TimedOut) => {
                CloseReason::TimedOut(DeadlineReason::Handshake)
            }
            (_, ConnectionError::TransportError(_)) => match crypto::outcome(&self.connection) {
                Some(Err(error)) => tls_reason(error),
                Some(Ok(_)) | None => lost_reason(error),
            },
            _ => lost_reason(error),
        };
        match &self.phase {
            Phase::Handshaking | Phase::Open => self.end(found),
            Phase::Flushing { reason, .. } | Phase::Closing { reason, .. } => {
                let reason = reason.clone();
                self.end(reason);
            }
            Phase::Closed => {}
        }
    }

    fn note_deadline(&mut self) {
        let earliest = self.timed_at.map(|at| at.saturating_add(Duration::from_nanos(1)));
        self.deadline = self
            .connection
            .poll_timeout()
            .map(|at| self.epoch.timestamp(at).max(earliest.unwrap_or(Timestamp::ZERO)));
    }

    pub(super) fn on_timeout(&mut self, now: Timestamp) {
        let now = self.clock.advance(now);
        self.connection.handle_timeout(self.epoch.instant(now));
        self.timed_at = Some(now);
        self.pump();
        if self.handshake_deadline().is_some_and(|deadline| now >= deadline.at) {
            self.say_goodbye(CloseReason::TimedOut(DeadlineReason::Handshake));
        }
        self.windows.handle_timeout(now, self.config.lease_idle, &mut self.connection);
        self.progress_closing();
        self.release();
    }

    /// Gives back what nothing is in: a map that was emptied keeps its last node.
    fn release(&mut self) {
        if self.events.is_empty() {
            self.events = VecDeque::new();
        }
        if self.streams.is_empty() {
            self.streams = BTreeMap::new();
            self.waiting = VecDeque::new();
        }
        if self.unacknowledged.is_empty() {
            self.unacknowledged = BTreeSet::new();
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Deadline> {
        let own = match &self.phase {
            Phase::Handshaking => self.handshake_deadline(),
            Phase::Open => self.windows.lease_deadline(self.config.lease_idle),
            Phase::Flushing { until, .. } | Phase::Closing { until, .. } => {
                Some(Deadline::new(*until, DeadlineReason::Linger))
            }
            Phase::Closed => None,
        };
        let protocol = self.deadline.map(|at| Deadline::new(at, DeadlineReason::Quic));
        Deadline::earlier(own, protocol)
    }

    fn handshake_deadline(&self) -> Option<Deadline> {
        match self.phase {
            Phase::Handshaking => Some(Deadline::new(
                self.started_at.saturating_add(self.config.handshake_timeout),
                DeadlineReason::Handshake,
            )),
            Phase::Open | Phase::Flushing { .. } | Phase::Closing { .. } | Phase::Closed => None,
        }
    }
}

impl core::fmt::Debug for QuicMux {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("QuicMux")
            .field("role", &self.role)
            .field("remote", &self.remote_address())
            .field("phase", &self.phase)
            .field("streams", &self.streams.len())
            .finish_non_exhaustive()
    }
}

/// The wrong peer is a reason of its own.
fn tls_reason(error: TlsError) -> CloseReason {
    if let TlsError::WrongPeer { expected, found } = error {
        CloseReason::WrongPeer { expected, found }
    } else {
        CloseReason::Quic(QuicError::Tls(error))
    }
}

/// Why `quinn_proto` gave a connection up.
pub(super) fn lost_reason(error: &ConnectionError) -> CloseReason {
    CloseReason::Quic(match error {
        ConnectionError::VersionMismatch => QuicError::VersionMismatch,
        ConnectionError::TransportError(error) => QuicError::Violation { code: error.code.into() },
        ConnectionError::ConnectionClosed(close) => {
            QuicError::ClosedByTransport { code: close.error_code.into() }
        }
        ConnectionError::ApplicationClosed(close) => {
            return CloseReason::RemoteClosed { code: close.error_code.into_inner() };
        }
        ConnectionError::Reset => QuicError::StatelessReset,
        ConnectionError::TimedOut => QuicError::IdleTimeout,
        ConnectionError::LocallyClosed => return CloseReason::Requested,
        ConnectionError::CidsExhausted => QuicError::ConnectionIdsExhausted,
    })
}
