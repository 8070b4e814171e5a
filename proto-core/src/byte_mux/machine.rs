//! The byte side of [`ByteMux`], and what moves it from phase to phase.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};
use libp2p_identity::PeerId;

use super::config::ByteMuxConfig;
use super::layer::StreamLayer;
use super::upgrade::{NOISE, Negotiation, Phase, SecurityPhase, YAMUX};
use crate::close::{CloseReason, TransportFailure};
use crate::identity::Identity;
use crate::multistream::Dialer;
use crate::mux::{MuxEvent, MuxLimits, Role};
use crate::noise::{Handshake, HandshakeConfig, NoiseError, Secured};
use crate::noise::{MAX_RECORD_BYTES, Opener};
use crate::protocol::ProtocolId;
use crate::recv_buffer::{BlockId, MAX_BLOCK_BYTES, RecvBuffer};
use crate::rng::Seed;
use crate::send_buffer::SendBuffer;
use crate::time::{Clock, Deadline, DeadlineReason, Timestamp};
use crate::yamux::Yamux;

/// Yamux's codes for a goodbye.
const GOODBYE_NORMAL: u32 = 0;
const GOODBYE_PROTOCOL_ERROR: u32 = 1;

const LENGTH_PREFIX_BYTES: usize = 2;

/// Space to read into while no record has begun.
const MIN_READ_BYTES: usize = 2048;

/// What a connection begins with.
pub struct ByteMuxSetup<'a> {
    /// Which side this is.
    pub role: Role,
    /// Who we are.
    pub identity: &'a Identity,
    /// This connection's own seed.
    pub seed: Seed,
    /// Who must be at the other end; anybody if `None`.
    pub expected_peer: Option<PeerId>,
    /// A layer below the first negotiated byte.
    pub layer: Option<Box<dyn StreamLayer>>,
}

/// How a connection ends: first it says goodbye, then it is over.
enum Ending {
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
    role: Role,
    config: ByteMuxConfig,
    clock: Clock,
    layer: Option<Box<dyn StreamLayer>>,
    /// The remote's preamble, as far as it is awaited; bytes behind it pass through the layer.
    missing_preamble_bytes: usize,
    recv: RecvBuffer,
    pub(super) send: SendBuffer,
    pub(super) phase: Phase,
    ending: Ending,
    opener: Option<Opener>,
    peer: Option<PeerId>,
    /// The rest of the record that is being taken apart, and the block that it is in.
    plaintext: Bytes,
    plaintext_block: BlockId,
    pub(super) limits: MuxLimits,
    /// At most a few: taking input apart stops while there is one.
    events: VecDeque<MuxEvent>,
    /// The remote said goodbye with this code and nothing is left to do, but to take the
    /// session's last events.
    goodbye: Option<u32>,
    started_at: Timestamp,
    /// Buffers were used since the last idle deadline.
    active: bool,
    release_at: Option<Timestamp>,
    received_bytes: u64,
    sent_bytes: u64,
}

impl ByteMux {
    /// A connection that begins now.
    pub fn new(setup: ByteMuxSetup<'_>, config: ByteMuxConfig, now: Timestamp) -> Self {
        let ByteMuxSetup { role, identity, seed, expected_peer, mut layer } = setup;
        let muxers =
            if config.early_muxer { vec![ProtocolId::well_known(YAMUX)] } else { Vec::new() };
        let mut handshake =
            Handshake::new(role, identity, &seed, HandshakeConfig { expected_peer, muxers });
        let mut send = match &mut layer {
            Some(layer) => SendBuffer::with_preamble(layer.preamble()),
            None => SendBuffer::default(),
        };
        let mut negotiation = Negotiation::of(role, NOISE);
        if role == Role::Dialer {
            // The proposal and the first handshake message leave together.
            negotiation.start(&mut send);
            send.append_with(|bytes| handshake.transmit(bytes));
        }
        let limits = config.limits;
        let missing_preamble_bytes = layer.as_ref().map_or(0, |layer| layer.preamble_bytes());
        ByteMux {
            role,
            config,
            clock: Clock::new(now),
            layer,
            recv: RecvBuffer::default(),
            send,
            phase: Phase::Security(Box::new(SecurityPhase {
                negotiation,
                handshake: Box::new(handshake),
            })),
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
        }
    }

    /// Space for what the transport has. `None` while the connection does not read: because it is
    /// over, or because unread data has reached the receive budget.
    pub fn recv_buf(&mut self) -> Option<&mut [u8]> {
        if !matches!(self.ending, Ending::Open) {
            return None;
        }
        self.use_buffers();
        let max = self.receive_room()?.min(MAX_BLOCK_BYTES);
        let filled = self.recv.filled();
        let needed = match (&self.opener, filled) {
            // A record stays in one block.
            (Some(_), [high, low, ..]) => {
                LENGTH_PREFIX_BYTES + usize::from(u16::from_be_bytes([*high, *low]))
            }
            (Some(_), _) | (None, _) => filled.len() + MIN_READ_BYTES.min(max),
        };
        Some(self.recv.space(needed, max))
    }

    /// How many bytes may be received without going beyond the receive budget; `None` when it is
    /// used up.
    fn receive_room(&mut self) -> Option<usize> {
        let budget = self.limits.receive_budget_bytes;
        let Phase::Open { session, .. } = &mut self.phase else { return Some(MAX_BLOCK_BYTES) };
        let least = (LENGTH_PREFIX_BYTES + MAX_RECORD_BYTES) as u64;
        let mut room = budget.saturating_sub(session.window_use().unread_bytes);
        if room < least {
            session.compact();
            room = budget.saturating_sub(session.window_use().unread_bytes);
        }
        (room >= least).then(|| usize::try_from(room).unwrap_or(usize::MAX))
    }

    /// Whether [`ByteMux::recv_buf`] would give nothing because of unread data.
    pub fn is_receive_paused(&self) -> bool {
        match &self.phase {
            Phase::Open { session, .. } => {
                let least = (LENGTH_PREFIX_BYTES + MAX_RECORD_BYTES) as u64;
                let unread = session.window_use().unread_bytes;
                self.limits.receive_budget_bytes.saturating_sub(unread) < least
            }
            Phase::Security(_) | Phase::Noise(_) | Phase::Muxer(_) | Phase::Ended => false,
        }
    }

    /// Takes the first `n` bytes of [`ByteMux::recv_buf`] as received. Poll events afterwards.
    pub fn handle_recv(&mut self, now: Timestamp, n: usize) {
        self.advance(now);
        let received = self.recv.received(n);
        self.received_bytes += received.len() as u64;
        if let Some(layer) = &mut self.layer {
            let preamble = received.len().min(self.missing_preamble_bytes);
            self.missing_preamble_bytes -= preamble;
            if self.missing_preamble_bytes == 0 && preamble > 0 {
                // Nothing was taken before the preamble was whole.
                layer.handle_preamble(&self.recv.take(layer.preamble_bytes()));
                layer.decrypt(self.recv.filled_mut());
            } else if self.missing_preamble_bytes == 0 {
                layer.decrypt(received);
            }
        }
        if let Phase::Open { session, .. } = &mut self.phase {
            session.received();
        }
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
        if let Phase::Open { session, .. } = &mut self.phase {
            session.flush(&mut self.send);
        }
        if self.send.is_empty() {
            return None;
        }
        self.use_buffers();
        if let Err(error) = self.send.transmit(self.layer.as_mut()).map(|_| ()) {
            self.end(CloseReason::Record(error));
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
        if let Phase::Open { session, .. } = &mut self.phase {
            session.flush(&mut self.send);
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
            Phase::Security(_) | Phase::Noise(_) | Phase::Muxer(_) | Phase::Ended => None,
        }
    }

    /// Memory that buffers hold, in bytes of capacity: of received bytes, and of bytes to be sent.
    pub fn buffer_bytes(&self) -> (usize, usize) {
        (self.recv.held_bytes(), self.send.held_bytes())
    }

    fn advance(&mut self, now: Timestamp) {
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
        let over = match &self.ending {
            Ending::Open | Ending::Closed => None,
            Ending::Draining { reason } => Some(self.goodbye().unwrap_or_else(|| reason.clone())),
            Ending::Closing { reason, .. } if self.send.is_empty() && !self.owes_frames() => {
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
            Phase::Security(_) | Phase::Noise(_) | Phase::Muxer(_) | Phase::Ended => None,
        }
    }

    fn owes_frames(&self) -> bool {
        match &self.phase {
            Phase::Open { session, .. } => session.owes_frames(),
            Phase::Security(_) | Phase::Noise(_) | Phase::Muxer(_) | Phase::Ended => false,
        }
    }

    /// Takes the next piece of what was received apart; false when there is nothing to do.
    fn step(&mut self) -> Result<bool, CloseReason> {
        if !matches!(self.ending, Ending::Open | Ending::Draining { .. })
            || self.missing_preamble_bytes > 0
        {
            return Ok(false);
        }
        match &mut self.phase {
            Phase::Security(_) => self.step_security(),
            Phase::Noise(_) => self.step_noise(),
            Phase::Muxer(_) => self.step_muxer(),
            Phase::Open { .. } => self.step_session(),
            Phase::Ended => Ok(false),
        }
    }

    fn step_security(&mut self) -> Result<bool, CloseReason> {
        let Phase::Security(security) = &mut self.phase else { return Ok(false) };
        let filled = self.recv.filled();
        if filled.is_empty() {
            return Ok(false);
        }
        let (consumed, agreed) = security
            .negotiation
            .handle(filled, NOISE, &mut self.send)
            .map_err(CloseReason::Multistream)?;
        self.recv.take(consumed);
        if agreed {
            let Phase::Security(security) = self.take_phase() else { return Ok(false) };
            self.phase = Phase::Noise(security.handshake);
        }
        Ok(consumed > 0)
    }

    fn step_noise(&mut self) -> Result<bool, CloseReason> {
        let Phase::Noise(handshake) = &mut self.phase else { return Ok(false) };
        let consumed = handshake.handle(self.recv.filled()).map_err(noise_reason)?;
        self.recv.take(consumed);
        self.send.append_with(|bytes| handshake.transmit(bytes));
        if handshake.is_finished() {
            let Phase::Noise(handshake) = self.take_phase() else { return Ok(false) };
            let secured = handshake.finish().map_err(noise_reason)?;
            self.secured(secured);
            return Ok(true);
        }
        Ok(consumed > 0)
    }

    fn take_phase(&mut self) -> Phase {
        core::mem::replace(&mut self.phase, Phase::Ended)
    }

    fn secured(&mut self, secured: Secured) {
        self.send.start_sealing(secured.sealer);
        self.opener = Some(secured.opener);
        self.peer = Some(secured.peer);
        match (secured.muxer.is_some(), self.role) {
            (true, _) => self.open_session(None),
            (false, Role::Listener) => self.phase = Phase::Muxer(Negotiation::of(self.role, YAMUX)),
            (false, Role::Dialer) => {
                // The only muxer there is: no need to wait for the answer.
                let mut dialer = Dialer::new(ProtocolId::well_known(YAMUX));
                self.send.append_with(|bytes| dialer.start(bytes));
                self.open_session(Some(Box::new(dialer)));
            }
        }
    }

    fn open_session(&mut self, unanswered: Option<Box<Dialer>>) {
        let now = self.clock.now();
        let session = Box::new(Yamux::new(self.role, self.config.yamux, self.limits, now));
        self.phase = Phase::Open { session, unanswered };
        if let Some(peer) = self.peer {
            self.events.push_back(MuxEvent::Secured { peer });
        }
    }

    fn step_muxer(&mut self) -> Result<bool, CloseReason> {
        if !self.next_record()? {
            return Ok(false);
        }
        let Phase::Muxer(negotiation) = &mut self.phase else { return Ok(false) };
        let (consumed, agreed) = negotiation
            .handle(&self.plaintext, YAMUX, &mut self.send)
            .map_err(CloseReason::Multistream)?;
        self.plaintext.advance(consumed);
        if agreed {
            self.open_session(None);
        }
        Ok(true)
    }

    fn step_session(&mut self) -> Result<bool, CloseReason> {
        if let Some(code) = self.goodbye.take() {
            self.end(CloseReason::RemoteGoodbye { code });
            return Ok(true);
        }
        if !self.next_record()? {
            return Ok(false);
        }
        let Phase::Open { session, unanswered } = &mut self.phase else { return Ok(false) };
        if let Some(dialer) = unanswered {
            // One proposal has no other behind it, so there is nothing to send.
            let step = dialer
                .handle(&self.plaintext, &mut Vec::new())
                .map_err(CloseReason::Multistream)?;
            self.plaintext.advance(step.consumed);
            if step.agreed.is_some() {
                *unanswered = None;
            }
            return Ok(true);
        }
        session.handle(&mut self.plaintext, self.plaintext_block).map_err(CloseReason::Yamux)?;
        if session.is_crowded() {
            session.flush(&mut self.send);
        }
        if self.plaintext.is_empty() {
            // Nothing of a record is held that nobody reads.
            self.plaintext = Bytes::new();
        }
        if let Some(code) = session.remote_went_away()
            && (code != GOODBYE_NORMAL || session.stream_count() == 0)
        {
            self.goodbye = Some(code);
        }
        Ok(true)
    }

    /// Makes sure that there is plaintext; false when no whole record has arrived.
    fn next_record(&mut self) -> Result<bool, CloseReason> {
        if !self.plaintext.is_empty() {
            return Ok(true);
        }
        let (Some(opener), [high, low, rest @ ..]) = (&mut self.opener, self.recv.filled()) else {
            return Ok(false);
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if rest.len() < length {
            return Ok(false);
        }
        let block = self.recv.block_id();
        let mut record =
            self.recv.take(LENGTH_PREFIX_BYTES + length).split_off(LENGTH_PREFIX_BYTES);
        let plaintext_bytes = opener.open(&mut record).map_err(CloseReason::Record)?;
        record.truncate(plaintext_bytes);
        self.plaintext = record.freeze();
        self.plaintext_block = block;
        Ok(true)
    }

    /// Says goodbye to a remote that did something wrong, and ends.
    pub(super) fn fail(&mut self, reason: CloseReason) {
        self.close_with(reason, GOODBYE_PROTOCOL_ERROR);
    }

    pub(super) fn close_normally(&mut self, reason: CloseReason) {
        self.close_with(reason, GOODBYE_NORMAL);
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
            Phase::Security(_) | Phase::Noise(_) | Phase::Muxer(_) | Phase::Ended => {
                // What is queued may tell the remote why, a refusal for instance.
                let until = self.clock.now().saturating_add(self.config.linger);
                self.ending = Ending::Closing { reason, until };
            }
        }
    }

    /// The connection is over. What streams have received can still be read.
    fn end(&mut self, reason: CloseReason) {
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
            Phase::Security(_) | Phase::Noise(_) | Phase::Muxer(_) | Phase::Ended => {
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
            Phase::Security(_) | Phase::Noise(_) | Phase::Muxer(_) | Phase::Ended => None,
        };
        let release = self.release_at.map(|at| Deadline::new(at, DeadlineReason::Idle));
        Deadline::earlier(own, Deadline::earlier(session, release))
    }

    fn handshake_deadline(&self) -> Option<Deadline> {
        match &self.phase {
            Phase::Open { unanswered: None, .. } | Phase::Ended => None,
            Phase::Security(_) | Phase::Noise(_) | Phase::Muxer(_) | Phase::Open { .. } => {
                Some(Deadline::new(
                    self.started_at.saturating_add(self.config.handshake_timeout),
                    DeadlineReason::Handshake,
                ))
            }
        }
    }

    fn use_buffers(&mut self) {
        self.active = true;
        if self.release_at.is_none() {
            self.release_at = Some(self.clock.now().saturating_add(self.config.buffer_idle));
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
            if self.events.is_empty() {
                self.events = VecDeque::new();
            }
            if let Phase::Open { session, .. } = &mut self.phase {
                session.release();
            }
        }
    }
}

/// The wrong peer is a reason of its own.
fn noise_reason(error: NoiseError) -> CloseReason {
    if let NoiseError::WrongPeer { expected, found } = error {
        CloseReason::WrongPeer { expected, found }
    } else {
        CloseReason::Noise(error)
    }
}
