//! `/ipfs/ping/1.0.0`: 32 random bytes there, the same 32 bytes back.
//!
//! Specification: <https://github.com/libp2p/specs/blob/master/ping/ping.md>.

use super::entry::{Opener, Phase};
use super::machine::Connection;
use crate::mailbox::PingFailure;
use crate::mux::{Mux, ReadError, StreamId, WriteError};
use crate::protocol::ProtocolId;
use crate::time::{Deadline, DeadlineReason, Timestamp};

/// The protocol's id.
pub const PING: &str = "/ipfs/ping/1.0.0";

/// Ping streams that the remote may have open at once.
pub const MAX_INBOUND_PING_STREAMS: u32 = 2;

const PING_BYTES: usize = 32;

/// Whether a stream goes on.
pub(super) enum PingStep {
    /// It waits for the remote.
    Waiting,
    /// The remote ended it.
    Ended,
}

/// The answering side of a stream.
#[derive(Default)]
pub(super) struct PingEcho {
    bytes: [u8; PING_BYTES],
    received: usize,
    /// The answer is under way, as far as this.
    answered: Option<usize>,
}

impl PingEcho {
    /// Reads and answers as far as the stream allows.
    fn drive(
        &mut self,
        mut read: impl FnMut(&mut dyn Mux, &mut [u8]) -> Result<usize, ReadError>,
        id: StreamId,
        mux: &mut dyn Mux,
    ) -> PingStep {
        loop {
            if let Some(answered) = &mut self.answered {
                match mux.write(id, &self.bytes[*answered..]) {
                    Ok(n) => *answered += n,
                    Err(WriteError::Blocked) => return PingStep::Waiting,
                    Err(_) => return PingStep::Ended,
                }
                if *answered == PING_BYTES {
                    self.answered = None;
                    self.received = 0;
                }
                continue;
            }
            match read(mux, &mut self.bytes[self.received..]) {
                Ok(0) => return PingStep::Ended,
                Ok(n) => self.received += n,
                Err(ReadError::Blocked) => return PingStep::Waiting,
                Err(_) => return PingStep::Ended,
            }
            if self.received == PING_BYTES {
                self.answered = Some(0);
            }
        }
    }
}

/// The asking side of a stream.
#[derive(Default)]
pub(super) struct PingAsker {
    asked: [u8; PING_BYTES],
    written: usize,
    answer: [u8; PING_BYTES],
    received: usize,
    asked_at: Option<Timestamp>,
}

/// When the connection asks.
#[derive(Default)]
pub(super) struct PingSchedule {
    next_at: Option<Timestamp>,
    stream: Option<StreamId>,
    timeout_at: Option<Timestamp>,
    /// Pings asked so far; numbers their payloads.
    count: u64,
    /// The remote does not speak the protocol.
    unsupported: bool,
}

impl Connection {
    /// Begins or stops to ask, as the lease says.
    pub(super) fn schedule_ping(&mut self, now: Timestamp) {
        match self.limits.lease.ping_interval {
            Some(interval) if !self.ping.unsupported => {
                let latest = now.saturating_add(interval);
                self.ping.next_at = Some(self.ping.next_at.map_or(now, |at| at.min(latest)));
            }
            Some(_) | None => self.ping.next_at = None,
        }
    }

    pub(super) fn ping_deadline(&self) -> Option<Deadline> {
        match self.ping.timeout_at {
            Some(at) => Some(Deadline::new(at, DeadlineReason::PingTimeout)),
            None => Some(Deadline::new(self.ping.next_at?, DeadlineReason::Ping)),
        }
    }

    pub(super) fn time_out_ping(&mut self, now: Timestamp) {
        if self.ping.timeout_at.is_some_and(|at| now >= at) {
            if let Some(stream) = self.ping.stream {
                self.transport.mux().reset(stream, 0);
                self.forget_stream(stream);
            }
            self.ping_failed(PingFailure::TimedOut);
        } else if self.ping.timeout_at.is_none() && self.ping.next_at.is_some_and(|at| now >= at) {
            self.ask_ping(now);
        }
    }

    fn ask_ping(&mut self, now: Timestamp) {
        self.ping.next_at = None;
        self.ping.timeout_at = Some(now.saturating_add(self.config.ping_timeout));
        self.ping.count += 1;
        let asked = self.seed.derive("ping", self.ping.count).rng().bytes();
        if let Some(id) = self.ping.stream
            && let Some(entry) = self.streams.get_mut(&id)
            && let Phase::PingAsker(asker) = &mut entry.phase
        {
            **asker = PingAsker { asked, ..PingAsker::default() };
            return self.drive_ping_asker(id);
        }
        let asker = Box::new(PingAsker { asked, ..PingAsker::default() });
        match self.open_for(vec![ProtocolId::well_known(PING)], Opener::Ping(asker)) {
            Ok(id) => {
                self.ping.stream = Some(id);
                self.flush_proposal(id);
            }
            Err(_) => self.ping_failed(PingFailure::Stream),
        }
    }

    pub(super) fn ping_failed(&mut self, failure: PingFailure) {
        self.ping.stream = None;
        self.ping.timeout_at = None;
        self.ping.unsupported |= failure == PingFailure::Unsupported;
        self.node.ping = Some(Err(failure));
        self.schedule_next_ping();
    }

    fn schedule_next_ping(&mut self) {
        let interval = self.limits.lease.ping_interval.filter(|_| !self.ping.unsupported);
        self.ping.next_at = interval.map(|interval| self.clock.now().saturating_add(interval));
    }

    pub(super) fn drive_ping_echo(&mut self, id: StreamId) {
        let Some(entry) = self.streams.get_mut(&id) else { return };
        let mux = self.transport.mux();
        let Phase::PingEcho(mut echo) = core::mem::replace(&mut entry.phase, Phase::Refused) else {
            return;
        };
        let step = echo.drive(|mux, buffer| entry.read_into(id, mux, buffer), id, mux);
        entry.phase = Phase::PingEcho(echo);
        match step {
            PingStep::Waiting => {}
            PingStep::Ended => {
                // The asker is done; so are we.
                if mux.finish(id).is_err() {
                    mux.reset(id, 0);
                }
                self.forget_stream(id);
            }
        }
    }

    pub(super) fn drive_ping_asker(&mut self, id: StreamId) {
        let now = self.clock.now();
        let Some(entry) = self.streams.get_mut(&id) else { return };
        let mux = self.transport.mux();
        let Phase::PingAsker(mut asker) = core::mem::replace(&mut entry.phase, Phase::Refused)
        else {
            return;
        };
        asker.asked_at.get_or_insert(now);
        let mut ended = false;
        while asker.written < PING_BYTES {
            match mux.write(id, &asker.asked[asker.written..]) {
                Ok(n) => asker.written += n,
                Err(WriteError::Blocked) => break,
                Err(_) => {
                    ended = true;
                    break;
                }
            }
        }
        while asker.received < PING_BYTES && !ended {
            match entry.read_into(id, mux, &mut asker.answer[asker.received..]) {
                Ok(0) => ended = true,
                Ok(n) => asker.received += n,
                Err(ReadError::Blocked) => break,
                Err(_) => ended = true,
            }
        }
        let answered = asker.received == PING_BYTES;
        let right = asker.answer == asker.asked;
        let asked_at = asker.asked_at;
        entry.phase = Phase::PingAsker(asker);
        if ended || answered && !right {
            mux.reset(id, 0);
            self.forget_stream(id);
            self.ping_failed(if ended { PingFailure::Stream } else { PingFailure::WrongAnswer });
        } else if answered && self.ping.timeout_at.take().is_some() {
            self.node.ping = asked_at.map(|at| Ok(now.saturating_since(at)));
            self.schedule_next_ping();
        }
    }
}
