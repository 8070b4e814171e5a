//! One side of a Yamux session: frames in, events out, frames out.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use bytes::{Buf, Bytes};

use super::control::ControlQueue;
use super::error::YamuxError;
use super::header::{Flags, FrameType, HEADER_BYTES, Header, HeaderError};
use super::keep_alive::KeepAlive;
use super::pinned::PinnedBlocks;
use super::remote_ids::RemoteIds;
use super::send::Writers;
use super::stream::{INITIAL_WINDOW_BYTES, Stream};
use super::window::Lease;
use crate::mux::{
    MuxEvent, MuxLimits, MuxOpenError, ReadError, ResetCode, Role, StreamId, WindowUse,
};
use crate::recv_buffer::BlockId;
use crate::time::{Clock, Deadline, Timestamp};

/// Streams of ours that the remote has not acknowledged; no more are opened beyond this many
/// (specification: "ACK backlog").
pub const MAX_ACK_BACKLOG: u32 = 256;

/// Yamux carries no codes with its resets.
pub const RESET_CODE: ResetCode = 0;

/// Numbers of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct YamuxConfig {
    /// A session that received nothing for so long asks whether the remote is alive.
    pub keep_alive_interval: Duration,
    /// The answer must come within this time.
    pub keep_alive_timeout: Duration,
    /// Window beyond the initial one that a stream has not used for so long is given back.
    pub lease_idle: Duration,
}

impl Default for YamuxConfig {
    fn default() -> Self {
        YamuxConfig {
            keep_alive_interval: Duration::from_secs(30),
            keep_alive_timeout: Duration::from_secs(20),
            lease_idle: Duration::from_secs(10),
        }
    }
}

/// Where in the remote's bytes the session is.
#[derive(Debug)]
enum Parser {
    /// In a header, of which these bytes were read.
    Header { bytes: [u8; HEADER_BYTES], filled: usize },
    /// In the payload of a data frame. It is skipped if there was no such stream when its header
    /// came: one that opens meanwhile has granted nothing for it.
    Payload { stream: Option<u32>, remaining: u32, fin: bool },
}

const AT_HEADER: Parser = Parser::Header { bytes: [0; HEADER_BYTES], filled: 0 };

/// One side of a session.
///
/// Frames are taken apart one by one ([`Yamux::handle`]), so that what one causes is dealt with
/// before the next one counts, however the transport cut them. Frames to be sent go into the
/// caller's [`crate::send_buffer::SendBuffer`].
#[derive(Debug)]
pub struct Yamux {
    pub(super) config: YamuxConfig,
    pub(super) clock: Clock,
    pub(super) limits: MuxLimits,
    parser: Parser,
    /// Bounded by the two stream limits.
    pub(super) streams: BTreeMap<u32, Box<Stream>>,
    remote_ids: RemoteIds,
    /// `None` when all are used up.
    next_id: Option<u32>,
    inbound: u32,
    outbound: u32,
    unacknowledged: u32,
    /// Remote streams that nobody took; may name ones that are gone. Bounded in `announce`.
    waiting: VecDeque<u32>,
    inbound_announced: bool,
    /// At most a few: [`Yamux::handle`] stops after each frame that caused one.
    pub(super) events: VecDeque<MuxEvent>,
    pub(super) pinned: PinnedBlocks,
    pub(super) lease: Lease,
    pub(super) writers: Writers,
    pub(super) control: ControlQueue,
    pub(super) keep_alive: KeepAlive,
    remote_went_away: Option<u32>,
}

impl Yamux {
    /// A session that begins now. Until [`Yamux::set_limits`] says otherwise, `limits` hold.
    pub fn new(role: Role, config: YamuxConfig, limits: MuxLimits, now: Timestamp) -> Self {
        let (remote, first_id) = match role {
            Role::Dialer => (Role::Listener, 1),
            Role::Listener => (Role::Dialer, 2),
        };
        Yamux {
            config,
            clock: Clock::new(now),
            limits,
            parser: AT_HEADER,
            streams: BTreeMap::new(),
            remote_ids: RemoteIds::of(remote),
            next_id: Some(first_id),
            inbound: 0,
            outbound: 0,
            unacknowledged: 0,
            waiting: VecDeque::new(),
            inbound_announced: false,
            events: VecDeque::new(),
            pinned: PinnedBlocks::default(),
            lease: Lease::default(),
            writers: Writers::default(),
            control: ControlQueue::default(),
            keep_alive: KeepAlive::new(now),
            remote_went_away: None,
        }
    }

    /// Replaces the limits; what is open or granted stays.
    pub fn set_limits(&mut self, limits: MuxLimits) {
        self.limits = limits;
        self.lease.wanted = false;
    }

    /// Tells the time of what comes next.
    pub fn advance(&mut self, now: Timestamp) {
        self.clock.advance(now);
    }

    /// Counts an arrival, which shows that the remote is alive.
    pub fn received(&mut self) {
        self.keep_alive.received(self.clock.now());
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<MuxEvent> {
        let event = self.events.pop_front();
        if event == Some(MuxEvent::Inbound) {
            self.inbound_announced = false;
        }
        event
    }

    /// Takes frames from the front of `input`, a part of receive block `block`, until one has
    /// caused an event or nothing is left.
    pub fn handle(&mut self, input: &mut Bytes, block: BlockId) -> Result<(), YamuxError> {
        while !input.is_empty() && self.events.is_empty() {
            match &mut self.parser {
                Parser::Header { bytes, filled } => {
                    let n = (HEADER_BYTES - *filled).min(input.len());
                    bytes[*filled..*filled + n].copy_from_slice(&input[..n]);
                    *filled += n;
                    input.advance(n);
                    if *filled == HEADER_BYTES {
                        let header = Header::decode(bytes).map_err(|error| match error {
                            HeaderError::Version(version) => YamuxError::Version(version),
                            HeaderError::Type(kind) => YamuxError::Type(kind),
                        })?;
                        self.parser = AT_HEADER;
                        self.handle_header(header)?;
                    }
                }
                Parser::Payload { stream, remaining, fin } => {
                    let (id, fin) = (*stream, *fin);
                    let n = input.len().min(*remaining as usize);
                    *remaining -= u32::try_from(n).unwrap_or(u32::MAX);
                    let at_end = *remaining == 0;
                    let piece = input.split_to(n);
                    if at_end {
                        self.parser = AT_HEADER;
                    }
                    let Some(id) = id else { continue };
                    self.deliver(id, piece, block);
                    if at_end && fin {
                        self.remote_finished(id);
                    }
                }
            }
        }
        Ok(())
    }

    fn handle_header(&mut self, header: Header) -> Result<(), YamuxError> {
        match header.kind {
            FrameType::Data => self.handle_data(header),
            FrameType::WindowUpdate => self.handle_window_update(header),
            FrameType::Ping => self.handle_ping(header),
            FrameType::GoAway => {
                self.remote_went_away = Some(header.length);
                Ok(())
            }
        }
    }

    fn handle_data(&mut self, header: Header) -> Result<(), YamuxError> {
        let Header { stream: id, flags, length, .. } = header;
        if id == 0 {
            return Err(YamuxError::SessionData);
        }
        // Everything is checked before anything is registered (CVE-2026-32314).
        if flags.contains(Flags::SYN) {
            if length > INITIAL_WINDOW_BYTES {
                return Err(YamuxError::WindowExceeded {
                    stream: id,
                    granted: INITIAL_WINDOW_BYTES,
                    length,
                });
            }
            self.remote_opened(id, 0)?;
        }
        self.acknowledge(id, flags);
        if flags.contains(Flags::RST) {
            self.remote_reset(id);
        }
        if let Some(stream) = self.streams.get_mut(&id) {
            if stream.remote_finished && length > 0 {
                return Err(YamuxError::DataAfterFin { stream: id });
            }
            // What is granted goes down as the payload arrives, so that what is still on its way is
            // not granted again.
            if length > stream.granted {
                return Err(YamuxError::WindowExceeded {
                    stream: id,
                    granted: stream.granted,
                    length,
                });
            }
        }
        let fin = flags.contains(Flags::FIN);
        if length > 0 {
            // For a stream that is gone the payload is skipped: it was on its way when we reset.
            let stream = self.streams.contains_key(&id).then_some(id);
            self.parser = Parser::Payload { stream, remaining: length, fin };
        } else if fin {
            self.remote_finished(id);
        }
        Ok(())
    }

    fn handle_window_update(&mut self, header: Header) -> Result<(), YamuxError> {
        let Header { stream: id, flags, length, .. } = header;
        if flags.contains(Flags::SYN) {
            if INITIAL_WINDOW_BYTES.checked_add(length).is_none() {
                return Err(YamuxError::WindowOverflow {
                    stream: id,
                    window: INITIAL_WINDOW_BYTES,
                    update: length,
                });
            }
            self.remote_opened(id, length)?;
        } else if let Some(stream) = self.streams.get_mut(&id) {
            let Some(window) = stream.send_window.checked_add(length) else {
                return Err(YamuxError::WindowOverflow {
                    stream: id,
                    window: stream.send_window,
                    update: length,
                });
            };
            stream.send_window = window;
            if window > 0 && core::mem::take(&mut stream.window_blocked) {
                self.events.push_back(MuxEvent::Writable(StreamId(id.into())));
            }
        }
        self.acknowledge(id, flags);
        if flags.contains(Flags::RST) {
            self.remote_reset(id);
        } else if flags.contains(Flags::FIN) {
            self.remote_finished(id);
        }
        Ok(())
    }

    fn handle_ping(&mut self, header: Header) -> Result<(), YamuxError> {
        if header.flags.contains(Flags::SYN) {
            self.control.owe_pong(header.length)
        } else {
            self.keep_alive.answered(header.length, self.clock.now());
            Ok(())
        }
    }

    fn remote_opened(&mut self, id: u32, extra_window: u32) -> Result<(), YamuxError> {
        if !self.remote_ids.has_parity(id) {
            return Err(YamuxError::Parity { stream: id });
        }
        if !self.remote_ids.take(id) {
            return Err(YamuxError::Reused { stream: id });
        }
        if self.inbound >= self.limits.max_inbound_streams || self.remote_went_away.is_some() {
            return self.control.owe_refusal(id);
        }
        let mut stream = Box::new(Stream::inbound(self.clock.now()));
        stream.send_window = INITIAL_WINDOW_BYTES.saturating_add(extra_window);
        self.streams.insert(id, stream);
        self.inbound += 1;
        self.waiting.push_back(id);
        // Streams that were reset while they waited leave their ids behind.
        if self.waiting.len() > 2 * self.streams.len() {
            let streams = &self.streams;
            self.waiting.retain(|id| streams.get(id).is_some_and(|stream| !stream.taken));
        }
        if !core::mem::replace(&mut self.inbound_announced, true) {
            self.events.push_back(MuxEvent::Inbound);
        }
        Ok(())
    }

    fn acknowledge(&mut self, id: u32, flags: Flags) {
        if flags.contains(Flags::ACK)
            && let Some(stream) = self.streams.get_mut(&id)
            && !core::mem::replace(&mut stream.acked, true)
        {
            self.unacknowledged -= 1;
        }
    }

    fn deliver(&mut self, id: u32, piece: Bytes, block: BlockId) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.received_at = self.clock.now();
        stream.granted =
            stream.granted.saturating_sub(u32::try_from(piece.len()).unwrap_or(u32::MAX));
        stream.queue.push(piece, block, &mut self.pinned);
        if stream.taken && core::mem::take(&mut stream.read_blocked) {
            self.events.push_back(MuxEvent::Readable(StreamId(id.into())));
        }
    }

    fn remote_finished(&mut self, id: u32) {
        if let Some(stream) = self.streams.get_mut(&id)
            && !core::mem::replace(&mut stream.remote_finished, true)
        {
            if stream.taken {
                self.events.push_back(MuxEvent::Finished(StreamId(id.into())));
            }
            self.count_lease(id);
        }
    }

    fn remote_reset(&mut self, id: u32) {
        if let Some(stream) = self.forget(id)
            && stream.taken
        {
            self.events
                .push_back(MuxEvent::Reset { stream: StreamId(id.into()), code: RESET_CODE });
        }
    }

    /// Opens a stream of ours.
    pub fn open(&mut self) -> Result<StreamId, MuxOpenError> {
        if self.remote_went_away.is_some() {
            return Err(MuxOpenError::NotOpen);
        }
        if self.outbound >= self.limits.max_outbound_streams {
            return Err(MuxOpenError::Limit(self.limits.max_outbound_streams));
        }
        if self.unacknowledged >= MAX_ACK_BACKLOG {
            return Err(MuxOpenError::Limit(MAX_ACK_BACKLOG));
        }
        let id = self.next_id.ok_or(MuxOpenError::Exhausted)?;
        self.next_id = id.checked_add(2);
        self.outbound += 1;
        self.unacknowledged += 1;
        self.streams.insert(id, Box::new(Stream::outbound(self.clock.now())));
        Ok(StreamId(id.into()))
    }

    /// Takes the oldest remote stream that was not taken. The remote learns of it with the first
    /// frame that goes the other way.
    pub fn accept(&mut self) -> Option<StreamId> {
        while let Some(id) = self.waiting.pop_front() {
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            stream.taken = true;
            stream.owed.ack = true;
            stream.read_blocked = stream.queue.is_empty();
            if stream.remote_finished {
                self.events.push_back(MuxEvent::Finished(StreamId(id.into())));
            }
            self.owe(id);
            return Some(StreamId(id.into()));
        }
        self.waiting = VecDeque::new();
        None
    }

    /// Reads at most `max` bytes; see [`crate::mux::Mux::read`].
    pub fn read(&mut self, id: StreamId, max: usize) -> Result<Bytes, ReadError> {
        let id = wire_id(id).ok_or(ReadError::UnknownStream)?;
        if !self.before_read(id, max)? || max == 0 {
            return Ok(Bytes::new());
        }
        let stream = self.streams.get_mut(&id).ok_or(ReadError::UnknownStream)?;
        let bytes = stream.queue.read(max, &mut self.pinned);
        self.grant(id);
        Ok(bytes)
    }

    /// Reads into `buffer`; see [`crate::mux::Mux::read_into`].
    pub fn read_into(&mut self, id: StreamId, buffer: &mut [u8]) -> Result<usize, ReadError> {
        let id = wire_id(id).ok_or(ReadError::UnknownStream)?;
        if !self.before_read(id, buffer.len())? || buffer.is_empty() {
            return Ok(0);
        }
        let stream = self.streams.get_mut(&id).ok_or(ReadError::UnknownStream)?;
        let n = stream.queue.read_into(buffer, &mut self.pinned);
        self.grant(id);
        Ok(n)
    }

    /// Whether there is something to read; at the end of the stream there is not. Reading nothing
    /// does not see the end.
    fn before_read(&mut self, id: u32, max: usize) -> Result<bool, ReadError> {
        let stream = self.streams.get_mut(&id).ok_or(ReadError::UnknownStream)?;
        if !stream.queue.is_empty() {
            return Ok(true);
        }
        if !stream.remote_finished {
            stream.read_blocked = true;
            return Err(ReadError::Blocked);
        }
        if max == 0 {
            return Ok(false);
        }
        // With both ends seen and sent, the stream is over.
        stream.end_read = true;
        if stream.finished && !stream.owed.fin {
            self.forget(id);
        }
        Ok(false)
    }

    /// Removes a stream and everything that was kept for it.
    pub(super) fn forget(&mut self, id: u32) -> Option<Box<Stream>> {
        let mut stream = self.streams.remove(&id)?;
        stream.queue.clear(&mut self.pinned);
        self.lease.used -= u64::from(stream.leased);
        if stream.inbound {
            self.inbound -= 1;
        } else {
            self.outbound -= 1;
        }
        if !stream.acked {
            self.unacknowledged -= 1;
        }
        if stream.owed.queued {
            self.control.streams.retain(|queued| *queued != id);
        }
        if stream.room_blocked {
            self.writers.leave(id);
        }
        Some(stream)
    }

    /// Bytes of one stream that were not read.
    pub fn unread_bytes(&self, id: StreamId) -> u64 {
        wire_id(id)
            .and_then(|id| self.streams.get(&id))
            .map_or(0, |stream| stream.queue.len() as u64)
    }

    /// How the windows stand.
    pub fn window_use(&self) -> WindowUse {
        WindowUse {
            unread_bytes: self.pinned.held_bytes(),
            leased_bytes: self.lease.used,
            wants_lease: self.lease.wanted,
        }
    }

    /// Copies unread data out of the receive blocks that it pins.
    pub fn compact(&mut self) {
        for stream in self.streams.values_mut() {
            stream.queue.compact(&mut self.pinned);
        }
    }

    /// Gives back queues that nothing is in.
    pub fn release(&mut self) {
        if self.events.is_empty() {
            self.events = VecDeque::new();
        }
        if self.streams.is_empty() {
            self.streams = BTreeMap::new();
            self.waiting = VecDeque::new();
        }
    }

    /// The code with which the remote said goodbye, if it did.
    pub fn remote_went_away(&self) -> Option<u32> {
        self.remote_went_away
    }

    /// How many streams are open.
    pub fn stream_count(&self) -> usize {
        self.streams.len()
    }

    /// The last round trip that was measured.
    pub fn rtt(&self) -> Option<Duration> {
        self.keep_alive.rtt()
    }

    /// Handles the passing of time.
    pub fn handle_timeout(&mut self, now: Timestamp) -> Result<(), YamuxError> {
        let now = self.clock.advance(now);
        self.shrink_idle_windows(now);
        if self.keep_alive.timed_out(now, self.config.keep_alive_timeout) {
            return Err(YamuxError::KeepAliveTimeout);
        }
        if self.keep_alive.is_due(now, self.config.keep_alive_interval) {
            self.control.ping = self.keep_alive.ask(now);
        }
        Ok(())
    }

    /// When [`Yamux::handle_timeout`] should be called next.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        let keep_alive = self
            .keep_alive
            .deadline(self.config.keep_alive_interval, self.config.keep_alive_timeout);
        Deadline::earlier(Some(keep_alive), self.lease_deadline())
    }
}

/// The id on the wire; every id that this session gave out has one.
pub(super) fn wire_id(id: StreamId) -> Option<u32> {
    u32::try_from(id.0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_sent_before_a_stream_is_opened_does_not_reach_it() {
        let (config, limits) = (YamuxConfig::default(), MuxLimits::default());
        let mut session = Yamux::new(Role::Dialer, config, limits, Timestamp::ZERO);
        let block = BlockId { number: 1, bytes: 100 };
        let header = Header::new(FrameType::Data, Flags::FIN, 1, 50).encode();
        session.handle(&mut Bytes::copy_from_slice(&header), block).unwrap();
        let stream = session.open().unwrap();
        assert_eq!(stream, StreamId(1));
        session.handle(&mut Bytes::from(vec![7; 50]), block).unwrap();
        assert_eq!(session.poll_event(), None);
        assert_eq!(session.read(stream, 100), Err(ReadError::Blocked));
    }
}
