//! The receive side of [`ByteMux`]: from received bytes to what the session makes of them.

use bytes::{Buf, Bytes, BytesMut};

use super::machine::{ByteMux, Ending, GOODBYE_NORMAL};
use super::records::{MAX_RECORD_BYTES, Opened};
use super::security::Secured;
use super::upgrade::{Phase, YAMUX, negotiate_muxer};
use crate::close::CloseReason;
use crate::multistream::{Dialer, Listener};
use crate::mux::{MuxEvent, Role};
use crate::protocol::ProtocolId;
use crate::recv_buffer::MAX_BLOCK_BYTES;
use crate::time::Timestamp;
use crate::yamux::Yamux;

/// Space to read into while no record has begun.
const MIN_READ_BYTES: usize = 2048;

impl ByteMux {
    /// Space for what the transport has. `None` while the connection does not read: because it is
    /// over, or because unread data has reached the receive budget.
    pub fn recv_buf(&mut self) -> Option<&mut [u8]> {
        let (needed, max) = self.wanted_space()?;
        Some(self.recv.space(needed, max))
    }

    /// The same for a transport that appends to spare capacity, which then needs not be initialised:
    /// append at most as much as there is capacity for, and change nothing that is there.
    pub fn recv_spare(&mut self) -> Option<&mut BytesMut> {
        let (needed, max) = self.wanted_space()?;
        Some(self.recv.spare(needed, max))
    }

    /// How much space there must be, what is filled included, and how much a new block may have.
    fn wanted_space(&mut self) -> Option<(usize, usize)> {
        if !matches!(self.ending, Ending::Open) {
            return None;
        }
        self.use_buffers();
        let max = self.receive_room()?.min(MAX_BLOCK_BYTES);
        let filled = self.recv.filled();
        // A record stays in one block. One that is not worth receiving ends the connection when
        // events are polled.
        let record = self.opener.as_ref().and_then(|opener| opener.record_bytes(filled).ok()?);
        let needed = record.unwrap_or(filled.len() + MIN_READ_BYTES.min(max));
        Some((needed, max))
    }

    /// How many bytes may be received without going beyond the receive budget; `None` when it is
    /// used up.
    fn receive_room(&mut self) -> Option<usize> {
        let budget = self.limits.receive_budget_bytes;
        let Phase::Open { session, .. } = &mut self.phase else { return Some(MAX_BLOCK_BYTES) };
        let least = MAX_RECORD_BYTES as u64;
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
                let least = MAX_RECORD_BYTES as u64;
                let unread = session.window_use().unread_bytes;
                self.limits.receive_budget_bytes.saturating_sub(unread) < least
            }
            Phase::Security(_) | Phase::Handshake(_) | Phase::Muxer(_) | Phase::Ended => false,
        }
    }

    /// Takes the first `n` bytes of [`ByteMux::recv_buf`], or those appended to
    /// [`ByteMux::recv_spare`], as received. Poll events afterwards.
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

    /// Takes the next piece of what was received apart; false when there is nothing to do.
    pub(super) fn step(&mut self) -> Result<bool, CloseReason> {
        if !matches!(self.ending, Ending::Open | Ending::Draining { .. })
            || self.missing_preamble_bytes > 0
        {
            return Ok(false);
        }
        match &mut self.phase {
            Phase::Security(_) => self.step_security(),
            Phase::Handshake(_) => self.step_handshake(),
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
        let (consumed, handshake) = security.handle(filled, &mut self.send)?;
        self.recv.take(consumed);
        if let Some(handshake) = handshake {
            self.phase = Phase::Handshake(handshake);
        }
        Ok(consumed > 0)
    }

    fn step_handshake(&mut self) -> Result<bool, CloseReason> {
        let Phase::Handshake(handshake) = &mut self.phase else { return Ok(false) };
        let handled = handshake.handle(self.recv.filled());
        // With an error, what is sent tells the remote.
        self.send.append_with(|bytes| handshake.transmit(bytes));
        let consumed = handled?;
        self.recv.take(consumed);
        if !handshake.is_finished() {
            return Ok(consumed > 0);
        }
        let finished = core::mem::replace(&mut self.phase, Phase::Ended);
        let Phase::Handshake(handshake) = finished else { return Ok(false) };
        self.secured(handshake.finish()?);
        Ok(true)
    }

    fn secured(&mut self, secured: Secured) {
        self.send.start_sealing(secured.sealer);
        self.opener = Some(secured.opener);
        self.peer = Some(secured.peer);
        match (secured.has_muxer, self.role) {
            (true, _) => self.open_session(None),
            (false, Role::Listener) => self.phase = Phase::Muxer(Listener::new()),
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
        let Phase::Muxer(listener) = &mut self.phase else { return Ok(false) };
        let (consumed, agreed) = negotiate_muxer(listener, &self.plaintext, &mut self.send)?;
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
        let Some(opener) = &mut self.opener else { return Ok(false) };
        let received = self.recv.filled();
        let bytes = match opener.record_bytes(received)? {
            Some(bytes) if bytes <= received.len() => bytes,
            Some(_) | None => return Ok(false),
        };
        let block = self.recv.block_id();
        let mut record = self.recv.take(bytes);
        match opener.open(&mut record)? {
            Opened::Plaintext(part) => {
                record.truncate(part.end);
                record.advance(part.start);
                self.plaintext = record.freeze();
                self.plaintext_block = block;
                Ok(true)
            }
            Opened::Ended(reason) => {
                // What may be behind it does not count.
                self.recv.take(usize::MAX);
                self.ending = Ending::Draining { reason };
                Ok(false)
            }
        }
    }
}
