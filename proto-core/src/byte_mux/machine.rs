//! The byte side of [`ByteMux`], and what moves it from phase to phase.

use std::collections::VecDeque;

use bytes::Bytes;
use libp2p_identity::PeerId;

use super::config::ByteMuxConfig;
use super::layer::StreamLayer;
use super::records::Opener;
use super::security::{Offer, Security};
use super::upgrade::{Phase, SecurityPhase, YAMUX};
use crate::close::{CloseReason, TransportFailure};
use crate::mux::{MuxEvent, MuxLimits, Role};
use crate::protocol::ProtocolId;
use crate::recv_buffer::{BlockId, RecvBuffer};
use crate::rng::Seed;
use crate::send_buffer::SendBuffer;
use crate::time::{Clock, Deadline, DeadlineReason, Timestamp};

/// Yamux's codes for a goodbye.
pub(super) const GOODBYE_NORMAL: u32 = 0;
const GOODBYE_PROTOCOL_ERROR: u32 = 1;

/// A connection that has carried so few bytes is young: its handshake and what identify says.
const YOUNG_BYTES: u64 = 16 * 1024;

/// What a connection begins with.
pub struct ByteMuxSetup<'a> {
    /// Which side this is.
    pub role: Role,
    /// The security protocols to offer, the preferred first, with who we are. One of each counts,
    /// the first; without any, the connection ends at once with [`CloseReason::NoSecurity`].
    ///
    /// A dialer with one sends its proposal and the first handshake message together, which saves
    /// a round trip; with several it proposes them in turn. A listener takes what the dialer
    /// prefers.
    pub security: &'a [Security<'a>],
    /// This connection's own seed.
    pub seed: Seed,
    /// Who must be at the other end; anybody if `None`.
    pub expected_peer: Option<PeerId>,
    /// A layer below the first negotiated byte.
    pub layer: Option<Box<dyn StreamLayer>>,
}

/// How a connection ends: first it says goodbye, then it is over.
pub(super) enum Ending {
    Open,
    /// The transport is gone, and what it brought is being dealt with.
    Draining {
        reason: CloseReason,
    },
    Closing {
        reason: CloseReason,
        until: Timestamp,
    },
    Closed,
}

/// A connection over a transport that carries bytes in order.
///
/// The byte side: read into [`ByteMux::recv_buf`] and count with [`ByteMux::handle_recv`]; then
/// poll events until there is none; then send what [`ByteMux::poll_transmit`] has and count with
/// [`ByteMux::handle_transmitted`]. The stream side is [`crate::mux::Mux`].
pub struct ByteMux {
    pub(super) role: Role,
    pub(super) config: ByteMuxConfig,
    pub(super) clock: Clock,
    pub(super) layer: Option<Box<dyn StreamLayer>>,
    /// The remote's preamble, as far as it is awaited; bytes behind it pass through the layer.
    pub(super) missing_preamble_bytes: usize,
    pub(super) recv: RecvBuffer,
    pub(super) send: SendBuffer,
    pub(super) phase: Phase,
    pub(super) ending: Ending,
    pub(super) opener: Option<Opener>,
    pub(super) peer: Option<PeerId>,
    /// The rest of the record that is being taken apart, and the block that it is in.
    pub(super) plaintext: Bytes,
    pub(super) plaintext_block: BlockId,
    pub(super) limits: MuxLimits,
    /// At most a few: taking input apart stops while there is one.
    pub(super) events: VecDeque<MuxEvent>,
    /// The remote said goodbye with this code and nothing is left to do, but to take the
    /// session's last events.
    pub(super) goodbye: Option<u32>,
    started_at: Timestamp,
    /// Buffers were used since the last idle deadline.
    active: bool,
    release_at: Option<Timestamp>,
    pub(super) received_bytes: u64,
    sent_bytes: u64,
}

impl ByteMux {
    /// A connection that begins now.
    pub fn new(setup: ByteMuxSetup<'_>, config: ByteMuxConfig, now: Timestamp) -> Self {
        let ByteMuxSetup { role, security, seed, expected_peer, mut layer } = setup;
        let muxers =
            if config.early_muxer { vec![ProtocolId::well_known(YAMUX)] } else { Vec::new() };
        let offer = Offer::new(security, role, seed, expected_peer, muxers);
        let send = match &mut layer {
            Some(layer) => SendBuffer::with_preamble(layer.preamble()),
            None => SendBuffer::default(),
        };
        let limits = config.limits;
        let missing_preamble_bytes = layer.as_ref().map_or(0, |layer| layer.preamble_bytes());
        let mut mux = ByteMux {
            role,
            config,
            clock: Clock::new(now),
            layer,
            recv: RecvBuffer::default(),
            send,
            phase: Phase::Ended,
            missing_preamble_bytes,
            ending: Ending::Open,
            opener: None,
            peer: None,
            plaintext: Bytes::new(),
            plaintext_block: BlockId { number: 0, bytes: 0 },
            limits,
            events: VecDeque::new(),
            goodbye: None,
            started_at: now,
            active: false,
            release_at: None,
            received_bytes: 0,
            sent_bytes: 0,
        };
        match SecurityPhase::start(offer, &mut mux.send) {
            Ok(phase) => mux.phase = Phase::Security(Box::new(phase)),
            Err(reason) => mux.end(reason),
        }
        mux
    }

    /// The transport has no more bytes. What was received is dealt with first.
    pub fn handle_eof(&mut self, now: Timestamp) {
        self.advance(now);
        self.transport_gone(None);
    }

    /// The transport failed. What was received is dealt with first.
    pub fn handle_transport_error(&mut self, now: Timestamp, failure: TransportFailure) {
        self.advance(now);
        self.transport_gone(Some(failure));
    }

    fn transport_gone(&mut self, failure: Option<TransportFailure>) {
        let ended = failure.map_or(CloseReason::TransportEnded, CloseReason::TransportFailed);
        match &self.ending {
            Ending::Open => self.ending = Ending::Draining { reason: ended },
            Ending::Closing { reason, .. } => {
                let reason = reason.clone();
                self.end(reason);
            }
            Ending::Draining { .. } | Ending::Closed => {}
        }
    }

    /// What the transport should send, the same again until [`ByteMux::handle_transmitted`] counts
    /// it. `None` when there is nothing.
    pub fn poll_transmit(&mut self, now: Timestamp) -> Option<&[u8]> {
        self.advance(now);
        if matches!(self.ending, Ending::Closed | Ending::Draining { .. }) {
            return None;
        }
        self.flush();
        if self.send.is_empty() {
            return None;
        }
        self.use_buffers();
        if let Err(error) = self.send.transmit(self.layer.as_mut()).map(|_| ()) {
            self.end(error.into());
            return None;
        }
        self.send.transmit(None).ok().filter(|bytes| !bytes.is_empty())
    }

    /// Whether [`ByteMux::poll_transmit`] would have something.
    pub fn wants_transmit(&self) -> bool {
        match &self.ending {
            Ending::Open | Ending::Closing { .. } => !self.send.is_empty() || self.owes_frames(),
            Ending::Draining { .. } | Ending::Closed => false,
        }
    }

    /// Counts bytes that the transport took. Poll events afterwards: writers may have room.
    pub fn handle_transmitted(&mut self, n: usize) {
        self.sent_bytes += n as u64;
        self.send.transmitted(n);
        self.flush();
    }

    /// Appends what the session owes, unless the last words were said.
    fn flush(&mut self) {
        if let Phase::Open { session, .. } = &mut self.phase
            && !self.send.is_closed()
        {
            session.flush(&mut self.send);
        }
    }

    /// When the session has nothing more to say, the security protocol has the last word.
    fn say_last_words(&mut self) {
        if let Ending::Closing { reason, .. } = &self.ending
            && self.send.is_empty()
            && !self.owes_frames()
        {
            let error =
                if let CloseReason::TlsRecord(error) = reason { Some(*error) } else { None };
            self.send.close(error);
        }
    }

    /// Whether the connection is over; the transport can be closed.
    pub fn is_closed(&self) -> bool {
        matches!(self.ending, Ending::Closed)
    }

    /// Bytes received from and sent to the transport so far.
    pub fn transferred(&self) -> (u64, u64) {
        (self.received_bytes, self.sent_bytes)
    }

    /// The last round trip that the session measured.
    pub fn rtt(&self) -> Option<core::time::Duration> {
        match &self.phase {
            Phase::Open { session, .. } => session.rtt(),
            Phase::Security(_) | Phase::Handshake(_) | Phase::Muxer(_) | Phase::Ended => None,
        }
    }

    /// Memory that buffers hold, in bytes of capacity: of received bytes, and of bytes to be sent.
    pub fn buffer_bytes(&self) -> (usize, usize) {
        (self.recv.held_bytes(), self.send.held_bytes())
    }

    pub(super) fn advance(&mut self, now: Timestamp) {
        let now = self.clock.advance(now);
        if let Phase::Open { session, .. } = &mut self.phase {
            session.advance(now);
        }
    }

    pub(super) fn next_event(&mut self) -> Option<MuxEvent> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if self.can_receive()
                && let Phase::Open { session, .. } = &mut self.phase
                && let Some(event) = session.poll_event()
            {
                return Some(event);
            }
            match self.step() {
                Ok(true) => {}
                Ok(false) => break,
                Err(reason) => self.fail(reason),
            }
        }
        self.rest();
        self.say_last_words();
        let over = match &self.ending {
            Ending::Open | Ending::Closed => None,
            Ending::Draining { reason } => Some(self.goodbye().unwrap_or_else(|| reason.clone())),
            Ending::Closing { reason, .. } if self.send.is_closed() && self.send.is_empty() => {
                Some(reason.clone())
            }
            Ending::Closing { .. } => None,
        };
        self.end(over?);
        self.events.pop_front()
    }

    /// The remote's goodbye, if it said one, tells more than the end of its transport.
    fn goodbye(&self) -> Option<CloseReason> {
        match &self.phase {
            Phase::Open { session, .. } => {
                session.remote_went_away().map(|code| CloseReason::RemoteGoodbye { code })
            }
            Phase::Security(_) | Phase::Handshake(_) | Phase::Muxer(_) | Phase::Ended => None,
        }
    }

    fn owes_frames(&self) -> bool {
        match &self.phase {
            Phase::Open { session, .. } => session.owes_frames(),
            Phase::Security(_) | Phase::Handshake(_) | Phase::Muxer(_) | Phase::Ended => false,
        }
    }

    /// Says goodbye to a remote that did something wrong, and ends.
    pub(super) fn fail(&mut self, reason: CloseReason) {
        self.close_with(reason, GOODBYE_PROTOCOL_ERROR);
    }

    pub(super) fn close_normally(&mut self, reason: CloseReason) {
        let code = reason.goodbye_code();
        self.close_with(reason, code);
    }

    fn close_with(&mut self, reason: CloseReason, code: u32) {
        match &self.ending {
            Ending::Open => {}
            // Nobody is left to hear a goodbye.
            Ending::Draining { .. } => return self.end(reason),
            Ending::Closing { .. } | Ending::Closed => return,
        }
        match &mut self.phase {
            Phase::Open { session, .. } => {
                session.go_away(code);
                let until = self.clock.now().saturating_add(self.config.linger);
                self.ending = Ending::Closing { reason, until };
            }
            Phase::Security(_) | Phase::Handshake(_) | Phase::Muxer(_) | Phase::Ended => {
                // What is queued may tell the remote why, a refusal for instance.
                let until = self.clock.now().saturating_add(self.config.linger);
                self.ending = Ending::Closing { reason, until };
            }
        }
    }

    /// The connection is over. What streams have received can still be read.
    pub(super) fn end(&mut self, reason: CloseReason) {
        if matches!(self.ending, Ending::Closed) {
            return;
        }
        self.ending = Ending::Closed;
        self.opener = None;
        self.plaintext = Bytes::new();
        self.recv = RecvBuffer::default();
        self.send = SendBuffer::default();
        match &self.phase {
            Phase::Open { .. } => {}
            Phase::Security(_) | Phase::Handshake(_) | Phase::Muxer(_) | Phase::Ended => {
                self.phase = Phase::Ended
            }
        }
        self.events.clear();
        self.events.push_back(MuxEvent::Closed { reason });
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.ending, Ending::Open)
    }

    /// Whether more may come out of what was received.
    pub(super) fn can_receive(&self) -> bool {
        matches!(self.ending, Ending::Open | Ending::Draining { .. })
    }

    pub(super) fn on_timeout(&mut self, now: Timestamp) {
        self.advance(now);
        let now = self.clock.now();
        if self.release_at.is_some_and(|at| now >= at) {
            self.release_buffers(now);
        }
        if let Ending::Closing { reason, until } = &self.ending
            && now >= *until
        {
            let reason = reason.clone();
            return self.end(reason);
        }
        if !self.is_open() {
            return;
        }
        if let Some(deadline) = self.handshake_deadline()
            && now >= deadline.at
        {
            // What is queued is the remote's to take within the same time.
            return self.end(CloseReason::TimedOut(DeadlineReason::Handshake));
        }
        if let Phase::Open { session, .. } = &mut self.phase
            && let Err(error) = session.handle_timeout(now)
        {
            self.fail(CloseReason::Yamux(error));
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Deadline> {
        let own = match &self.ending {
            Ending::Closed | Ending::Draining { .. } => return None,
            Ending::Closing { until, .. } => {
                return Some(Deadline::new(*until, DeadlineReason::Linger));
            }
            Ending::Open => self.handshake_deadline(),
        };
        let session = match &self.phase {
            Phase::Open { session, .. } => session.poll_timeout(),
            Phase::Security(_) | Phase::Handshake(_) | Phase::Muxer(_) | Phase::Ended => None,
        };
        let release = self.release_at.map(|at| Deadline::new(at, DeadlineReason::Idle));
        Deadline::earlier(own, Deadline::earlier(session, release))
    }

    fn handshake_deadline(&self) -> Option<Deadline> {
        match &self.phase {
            Phase::Open { unanswered: None, .. } | Phase::Ended => None,
            Phase::Security(_) | Phase::Handshake(_) | Phase::Muxer(_) | Phase::Open { .. } => {
                Some(Deadline::new(
                    self.started_at.saturating_add(self.config.handshake_timeout),
                    DeadlineReason::Handshake,
                ))
            }
        }
    }

    pub(super) fn use_buffers(&mut self) {
        self.active = true;
        if self.release_at.is_none() {
            self.release_at = Some(self.clock.now().saturating_add(self.config.buffer_idle));
        }
    }

    /// Between two turns a young connection holds no buffers, since many that begin together would
    /// hold them together. Others keep theirs for [`ByteMux::release_buffers`], so that a steady
    /// transfer allocates nothing.
    fn rest(&mut self) {
        if self.received_bytes.saturating_add(self.sent_bytes) > YOUNG_BYTES {
            return;
        }
        self.recv.rest();
        self.send.rest();
        if let Phase::Open { session, .. } = &mut self.phase {
            session.release();
        }
        if self.events.is_empty() {
            self.events = VecDeque::new();
        }
    }

    /// Gives buffers back that were not used for a while.
    fn release_buffers(&mut self, now: Timestamp) {
        if core::mem::take(&mut self.active) {
            self.release_at = Some(now.saturating_add(self.config.buffer_idle));
        } else {
            self.release_at = None;
            self.recv.release();
            self.send.release();
            if let Some(opener) = &mut self.opener {
                opener.release();
            }
            if self.events.is_empty() {
                self.events = VecDeque::new();
            }
            if let Phase::Open { session, .. } = &mut self.phase {
                session.release();
            }
        }
    }
}
