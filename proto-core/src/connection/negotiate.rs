//! Which protocol a stream speaks: proposing, answering, and handing it to its owner.

use std::collections::VecDeque;

use super::entry::{Entry, Opener, Outbound, Phase};
use super::event::{ConnectionEvent, OpenError};
use super::machine::{Admission, Cause, Connection};
use super::node_stream::NodeStream;
use super::perf::PerfServer;
use crate::mailbox::{Builtin, OpenFailure, Owner, StreamEnd};
use crate::multistream::{Dialer, Listener, NegotiationError, Proposals};
use crate::mux::{MuxOpenError, ReadError, StreamId, WriteError};
use crate::protocol::ProtocolId;
use crate::time::{Deadline, DeadlineReason, Timestamp};

/// How much is read at a time while negotiating, in bytes. What is read behind the negotiation is
/// kept outside of the receive budget, so this is little.
const READ_BYTES: usize = 256;

impl Connection {
    /// Opens a stream for `opener`.
    pub(super) fn open_for(
        &mut self,
        protocols: Vec<ProtocolId>,
        opener: Opener,
    ) -> Result<StreamId, OpenError> {
        if self.admission != Admission::Admitted {
            return Err(OpenError::NotOpen);
        }
        // Refused streams stay until their owner looks at them.
        let lease = &self.limits.lease;
        let most = lease.inbound_streams.saturating_add(lease.outbound_streams);
        if self.streams.len() as u64 >= u64::from(most) {
            return Err(OpenError::Limit(most));
        }
        let count = protocols.len();
        let lone = match &protocols[..] {
            [protocol] => Some(protocol.clone()),
            _ => None,
        };
        let proposals =
            Proposals::try_from(&protocols[..]).map_err(|_| OpenError::Proposals(count))?;
        let dialer = Dialer::new(proposals);
        let id = self.transport.mux().open().map_err(|error| match error {
            MuxOpenError::NotOpen => OpenError::NotOpen,
            MuxOpenError::Limit(limit) => OpenError::Limit(limit),
            MuxOpenError::Exhausted => OpenError::Exhausted,
        })?;
        let optimistic = lone.is_some();
        self.usage.application_streams += u64::from(matches!(opener, Opener::Application));
        let mut entry =
            Entry::new(false, Phase::Outbound(Box::new(Outbound { dialer, optimistic, opener })));
        entry.protocol = lone;
        self.streams.insert(id, Box::new(entry));
        self.usage.outbound_streams += 1;
        self.limits.changed = true;
        if !optimistic {
            self.flush_proposal(id);
        }
        Ok(id)
    }

    /// Sends what the negotiation has to say; from the first time on it is timed.
    pub(super) fn flush_proposal(&mut self, id: StreamId) {
        let Some(entry) = self.streams.get_mut(&id) else { return };
        let first = match &entry.phase {
            Phase::Outbound(outbound) => !outbound.dialer.has_started(),
            Phase::Inbound(_)
            | Phase::Refused
            | Phase::Application { .. }
            | Phase::Node(_)
            | Phase::PingEcho(_)
            | Phase::PingAsker(_)
            | Phase::PerfServer(_)
            | Phase::PerfClient(_) => false,
        };
        match entry.flush(id, self.transport.mux()) {
            // A closing connection sends no more; what the stream has received can still be read.
            Ok(_) | Err(WriteError::ConnectionClosed) => {}
            Err(_) => return self.reset_stream(id, StreamEnd::ResetByUs),
        }
        if first {
            self.await_negotiation(id);
        }
    }

    /// Starts the clock of a negotiation.
    fn await_negotiation(&mut self, id: StreamId) {
        let at = self.clock.now().saturating_add(self.config.negotiation_timeout);
        self.negotiations.push_back((at, id));
        // Streams that are through leave their deadlines behind; they are swept before they are
        // more than the streams.
        if self.negotiations.len() > 2 * self.streams.len() + 16 {
            let streams = &self.streams;
            self.negotiations
                .retain(|(_, id)| streams.get(id).is_some_and(|entry| entry.is_negotiating()));
        }
    }

    pub(super) fn negotiation_deadline(&self) -> Option<Deadline> {
        let (at, _) = self.negotiations.front()?;
        Some(Deadline::new(*at, DeadlineReason::StreamNegotiation))
    }

    pub(super) fn time_out_negotiations(&mut self, now: Timestamp) {
        while let Some((at, id)) = self.negotiations.front().copied()
            && now >= at
        {
            self.negotiations.pop_front();
            if self.streams.get(&id).is_some_and(|entry| entry.is_negotiating()) {
                self.reset_stream(id, StreamEnd::NegotiationTimedOut);
            }
        }
        if self.negotiations.is_empty() {
            self.negotiations = VecDeque::new();
        }
    }

    /// Takes the streams that the remote opened, once the connection is admitted.
    pub(super) fn take_inbound(&mut self) {
        if self.admission != Admission::Admitted {
            return;
        }
        while let Some(id) = self.transport.mux().accept() {
            self.usage.inbound_streams += 1;
            if !self.limits.admit_stream(self.clock.now()) {
                self.usage.refused_streams += 1;
                self.transport.mux().reset(id, 0);
                continue;
            }
            let entry = Entry::new(true, Phase::Inbound(Box::new(Listener::new())));
            self.streams.insert(id, Box::new(entry));
            self.await_negotiation(id);
            self.drive_inbound(id);
        }
    }

    /// Answers the remote's proposals as far as they have arrived.
    pub(super) fn drive_inbound(&mut self, id: StreamId) {
        let protocol = loop {
            let Some(entry) = self.streams.get_mut(&id) else { return };
            let bytes = match entry.read(id, self.transport.mux(), READ_BYTES) {
                Ok(bytes) if !bytes.is_empty() => bytes,
                Err(ReadError::Blocked) => return,
                Ok(_) | Err(_) => return self.reset_stream(id, StreamEnd::ResetByUs),
            };
            let Phase::Inbound(listener) = &mut entry.phase else { return };
            let step = match listener.handle(&bytes, &self.protocols, &mut entry.unsent) {
                Ok(step) => step,
                Err(_) => {
                    // What follows a refused proposal is no line. The dialer is to read the
                    // refusal before it sees the reset; without room for it, the reset must do.
                    let _ = entry.flush(id, self.transport.mux());
                    return self.reset_stream(id, StreamEnd::ResetByUs);
                }
            };
            if let Some(protocol) = step.agreed {
                entry.prefix = bytes.slice(step.consumed.min(bytes.len())..);
                break protocol;
            }
            if entry.flush(id, self.transport.mux()).is_err() {
                return self.reset_stream(id, StreamEnd::ResetByUs);
            }
        };
        self.give_inbound(id, protocol);
    }

    /// Gives a remote stream to the owner of its protocol.
    fn give_inbound(&mut self, id: StreamId, protocol: ProtocolId) {
        let Some(row) = self.protocols.get(protocol.as_str()).copied() else {
            return self.reset_stream(id, StreamEnd::ResetByUs);
        };
        if row.max_inbound_streams < self.limits.lease.inbound_streams {
            let open = self
                .streams
                .values()
                .filter(|entry| entry.inbound && entry.protocol.as_ref() == Some(&protocol));
            if open.count() >= row.max_inbound_streams as usize {
                return self.reset_stream(id, StreamEnd::ResetByUs);
            }
        }
        let Some(entry) = self.streams.get_mut(&id) else { return };
        entry.protocol = Some(protocol.clone());
        match row.owner {
            Owner::Application => {
                entry.phase = Phase::Application { held: false };
                let finished = entry.remote_finished;
                self.usage.application_streams += 1;
                self.limits.changed = true;
                self.acceptable.push_back(id);
                self.events.push_back(ConnectionEvent::Inbound { stream: id, protocol });
                if finished {
                    self.events.push_back(ConnectionEvent::Finished(id));
                }
            }
            Owner::Node { max_frame_bytes } => {
                entry.phase = Phase::Node(Box::new(NodeStream::inbound(max_frame_bytes)));
                self.limits.changed = true;
                self.mark_node_ready(id);
            }
            Owner::Connection(Builtin::Ping) => {
                entry.phase = Phase::PingEcho(Box::default());
            }
            Owner::Connection(Builtin::Perf) => entry.phase = Phase::PerfServer(PerfServer::new()),
        }
        self.flush_agreed(id);
    }

    /// Sends the last line of a negotiation, and lets a stream of our own side begin.
    fn flush_agreed(&mut self, id: StreamId) {
        let Some(entry) = self.streams.get_mut(&id) else { return };
        match &entry.phase {
            Phase::Application { .. } => {
                if entry.flush(id, self.transport.mux()).is_err() {
                    self.reset_stream(id, StreamEnd::ResetByUs);
                }
            }
            Phase::Inbound(_)
            | Phase::Outbound(_)
            | Phase::Refused
            | Phase::Node(_)
            | Phase::PingEcho(_)
            | Phase::PingAsker(_)
            | Phase::PerfServer(_)
            | Phase::PerfClient(_) => self.drive(id, Cause::Readable),
        }
    }

    /// Takes the remote's answers to our proposals as far as they have arrived.
    pub(super) fn drive_outbound(&mut self, id: StreamId) {
        let protocol = loop {
            let Some(entry) = self.streams.get_mut(&id) else { return };
            let bytes = match entry.read(id, self.transport.mux(), READ_BYTES) {
                Ok(bytes) if !bytes.is_empty() => bytes,
                Err(ReadError::Blocked) => return,
                Ok(_) | Err(_) => return self.refuse(id, OpenFailure::Ended),
            };
            let Phase::Outbound(outbound) = &mut entry.phase else { return };
            let step = match outbound.dialer.handle(&bytes, &mut entry.unsent) {
                Ok(step) => step,
                Err(NegotiationError::Refused(_)) => {
                    return self.refuse(id, OpenFailure::UnsupportedProtocol);
                }
                Err(_) => return self.refuse(id, OpenFailure::Negotiation),
            };
            if let Some(protocol) = step.agreed {
                entry.prefix = bytes.slice(step.consumed.min(bytes.len())..);
                break protocol;
            }
            if entry.flush(id, self.transport.mux()).is_err() {
                return self.refuse(id, OpenFailure::Ended);
            }
        };
        self.give_outbound(id, protocol);
    }

    /// Gives a stream of ours to whoever asked for it.
    fn give_outbound(&mut self, id: StreamId, protocol: ProtocolId) {
        let Some(entry) = self.streams.get_mut(&id) else { return };
        entry.protocol = Some(protocol.clone());
        let phase = core::mem::replace(&mut entry.phase, Phase::Refused);
        let Phase::Outbound(outbound) = phase else {
            entry.phase = phase;
            return;
        };
        match outbound.opener {
            Opener::Application => {
                entry.phase = Phase::Application { held: true };
                self.events.push_back(ConnectionEvent::Opened { stream: id, protocol });
                if core::mem::take(&mut entry.read_blocked) {
                    self.events.push_back(ConnectionEvent::Readable(id));
                }
                if core::mem::take(&mut entry.write_blocked) {
                    self.events.push_back(ConnectionEvent::Writable(id));
                }
                if entry.remote_finished {
                    self.events.push_back(ConnectionEvent::Finished(id));
                }
            }
            Opener::Node { request, max_frame_bytes } => {
                entry.phase = Phase::Node(Box::new(NodeStream::outbound(request, max_frame_bytes)));
                self.limits.changed = true;
                self.mark_node_ready(id);
            }
            Opener::Ping(asker) => entry.phase = Phase::PingAsker(asker),
            Opener::Perf(client) => entry.phase = Phase::PerfClient(client),
        }
        self.flush_agreed(id);
    }

    /// Ends a stream of ours for which nothing was agreed on. The application's stays, so that its
    /// next read can say why.
    fn refuse(&mut self, id: StreamId, failure: OpenFailure) {
        self.transport.mux().reset(id, 0);
        let Some(entry) = self.streams.get_mut(&id) else { return };
        let phase = core::mem::replace(&mut entry.phase, Phase::Refused);
        self.limits.changed = true;
        let Phase::Outbound(outbound) = phase else { return };
        match outbound.opener {
            Opener::Application => {}
            Opener::Node { .. } | Opener::Ping(_) | Opener::Perf(_) => {
                self.forget_stream(id);
            }
        }
        self.fail_opening(id, outbound.opener, failure);
    }
}
