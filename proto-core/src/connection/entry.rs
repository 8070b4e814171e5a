//! What a connection knows of one stream.

use bytes::{Buf, Bytes};

use super::node_stream::NodeStream;
use super::perf::{PerfClient, PerfServer};
use super::ping::{PingAsker, PingEcho};
use crate::frame::ByteSource;
use crate::mailbox::RequestId;
use crate::multistream::{Dialer, Listener};
use crate::mux::{Mux, ReadError, StreamId, WriteError};
use crate::protocol::ProtocolId;

/// One stream.
pub(super) struct Entry {
    pub(super) inbound: bool,
    /// Agreed on, or the only one that was proposed.
    pub(super) protocol: Option<ProtocolId>,
    pub(super) phase: Phase,
    /// Negotiation bytes that are to be written before anything else.
    pub(super) unsent: Vec<u8>,
    /// Bytes that were read behind the negotiation's; they come before what the multiplexer has.
    pub(super) prefix: Bytes,
    /// Our direction ends once `unsent` is out.
    pub(super) finish_owed: bool,
    /// Our direction ended.
    pub(super) finished: bool,
    /// The owner has read the end.
    pub(super) end_read: bool,
    /// The remote's FIN came before the owner could be told.
    pub(super) remote_finished: bool,
    /// The owner's last read would have blocked.
    pub(super) read_blocked: bool,
    /// The owner's last write would have blocked on the negotiation.
    pub(super) write_blocked: bool,
}

/// How far a stream is, and whose it is.
pub(super) enum Phase {
    /// The remote proposes.
    Inbound(Box<Listener>),
    /// We propose.
    Outbound(Box<Outbound>),
    /// The remote refused everything; kept for the application's next read.
    Refused,
    /// The application's; `held` once it has taken the stream.
    Application { held: bool },
    /// Node's.
    Node(Box<NodeStream>),
    /// We answer pings.
    PingEcho(Box<PingEcho>),
    /// We ask pings.
    PingAsker(Box<PingAsker>),
    /// We serve a measurement.
    PerfServer(PerfServer),
    /// We measure.
    PerfClient(Box<PerfClient>),
}

/// A stream of ours whose protocol is not agreed on.
pub(super) struct Outbound {
    pub(super) dialer: Dialer,
    /// With one proposal, what the owner writes leaves with it.
    pub(super) optimistic: bool,
    pub(super) opener: Opener,
}

/// Who opened a stream, and gets it when its protocol is agreed on.
pub(super) enum Opener {
    Application,
    Node { request: RequestId, max_frame_bytes: u32 },
    Ping(Box<PingAsker>),
    Perf(Box<PerfClient>),
}

impl Entry {
    pub(super) fn new(inbound: bool, phase: Phase) -> Self {
        Entry {
            inbound,
            protocol: None,
            phase,
            unsent: Vec::new(),
            prefix: Bytes::new(),
            finish_owed: false,
            finished: false,
            end_read: false,
            remote_finished: false,
            read_blocked: false,
            write_blocked: false,
        }
    }

    pub(super) fn is_negotiating(&self) -> bool {
        match &self.phase {
            Phase::Inbound(_) | Phase::Outbound(_) => true,
            Phase::Refused
            | Phase::Application { .. }
            | Phase::Node(_)
            | Phase::PingEcho(_)
            | Phase::PingAsker(_)
            | Phase::PerfServer(_)
            | Phase::PerfClient(_) => false,
        }
    }

    /// Whether somebody has the stream in his hands, and so brings its window to the receive budget:
    /// the application opened it or took it, or it is Node's. Frames that Node does not take must
    /// not keep the connection from reading; how many streams of Node's there can be is in the
    /// protocol table.
    pub(super) fn is_held(&self) -> bool {
        match &self.phase {
            Phase::Application { held } => *held,
            Phase::Node(_) => true,
            Phase::Outbound(outbound) => match outbound.opener {
                Opener::Application => true,
                Opener::Node { .. } | Opener::Ping(_) | Opener::Perf(_) => false,
            },
            Phase::Inbound(_)
            | Phase::Refused
            | Phase::PingEcho(_)
            | Phase::PingAsker(_)
            | Phase::PerfServer(_)
            | Phase::PerfClient(_) => false,
        }
    }

    /// Whether the stream is the application's, or will be.
    pub(super) fn is_of_application(&self) -> bool {
        match &self.phase {
            Phase::Application { .. } => true,
            Phase::Outbound(outbound) => match outbound.opener {
                Opener::Application => true,
                Opener::Node { .. } | Opener::Ping(_) | Opener::Perf(_) => false,
            },
            Phase::Inbound(_)
            | Phase::Refused
            | Phase::Node(_)
            | Phase::PingEcho(_)
            | Phase::PingAsker(_)
            | Phase::PerfServer(_)
            | Phase::PerfClient(_) => false,
        }
    }

    /// Whether both directions ended: ours is on its way, and the remote's end was read.
    pub(super) fn is_over(&self) -> bool {
        self.end_read && self.finished && !self.finish_owed
    }

    /// Writes what the negotiation owes; true once nothing is left.
    pub(super) fn flush(&mut self, id: StreamId, mux: &mut dyn Mux) -> Result<bool, WriteError> {
        if let Phase::Outbound(outbound) = &mut self.phase {
            outbound.dialer.start(&mut self.unsent);
        }
        let mut written = 0;
        while written < self.unsent.len() {
            match mux.write(id, &self.unsent[written..]) {
                Ok(n) => written += n,
                Err(WriteError::Blocked) => {
                    self.unsent.drain(..written);
                    return Ok(false);
                }
                // The remote does without our answer; what it says itself counts.
                Err(WriteError::Stopped(_)) if self.inbound => break,
                Err(error) => return Err(error),
            }
        }
        // A stream at rest holds no buffer.
        self.unsent = Vec::new();
        // Behind one proposal the end may follow at once, behind the first of several it may not.
        let waits = match &self.phase {
            Phase::Outbound(outbound) => !outbound.optimistic,
            Phase::Inbound(_)
            | Phase::Refused
            | Phase::Application { .. }
            | Phase::Node(_)
            | Phase::PingEcho(_)
            | Phase::PingAsker(_)
            | Phase::PerfServer(_)
            | Phase::PerfClient(_) => false,
        };
        if !waits && core::mem::take(&mut self.finish_owed) {
            self.finish(id, mux)?;
        }
        Ok(true)
    }

    /// Ends our direction. A remote that reads no more needs no end, and if it has ended its own
    /// direction, the multiplexer may have forgotten the stream.
    pub(super) fn finish(&self, id: StreamId, mux: &mut dyn Mux) -> Result<(), WriteError> {
        match mux.finish(id) {
            Err(WriteError::Stopped(_)) => Ok(()),
            Err(WriteError::UnknownStream) if self.end_read => Ok(()),
            result => result,
        }
    }

    /// Takes at most `max` bytes, first those behind the negotiation.
    pub(super) fn read(
        &mut self,
        id: StreamId,
        mux: &mut dyn Mux,
        max: usize,
    ) -> Result<Bytes, ReadError> {
        if self.prefix.is_empty() {
            return mux.read(id, max);
        }
        let taken = self.prefix.split_to(max.min(self.prefix.len()));
        self.drop_empty_prefix();
        Ok(taken)
    }

    /// The same into `buffer`.
    pub(super) fn read_into(
        &mut self,
        id: StreamId,
        mux: &mut dyn Mux,
        buffer: &mut [u8],
    ) -> Result<usize, ReadError> {
        if self.prefix.is_empty() {
            return mux.read_into(id, buffer);
        }
        let n = buffer.len().min(self.prefix.len());
        self.prefix.copy_to_slice(&mut buffer[..n]);
        self.drop_empty_prefix();
        Ok(n)
    }

    fn drop_empty_prefix(&mut self) {
        if self.prefix.is_empty() {
            self.prefix = Bytes::new();
        }
    }
}

/// Reads one stream of a multiplexer behind what was read of it already.
pub(super) struct Source<'a> {
    pub(super) prefix: &'a mut Bytes,
    pub(super) mux: &'a mut dyn Mux,
    pub(super) id: StreamId,
}

impl ByteSource for Source<'_> {
    fn read(&mut self, max: usize) -> Result<Bytes, ReadError> {
        if self.prefix.is_empty() {
            return self.mux.read(self.id, max);
        }
        Ok(self.prefix.split_to(max.min(self.prefix.len())))
    }

    fn read_into(&mut self, buffer: &mut [u8]) -> Result<usize, ReadError> {
        if self.prefix.is_empty() {
            return self.mux.read_into(self.id, buffer);
        }
        let n = buffer.len().min(self.prefix.len());
        self.prefix.copy_to_slice(&mut buffer[..n]);
        Ok(n)
    }
}
