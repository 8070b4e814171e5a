//! What Node tells the connection, and what the connection tells Node.
//!
//! The connection keeps no queue of messages for Node: each is made from the state that it reports
//! when Node's side has room for it. Frames that Node does not take stay in their streams, whose
//! windows close.

use core::time::Duration;
use std::collections::VecDeque;

use bytes::Bytes;

use super::entry::{Opener, Phase, Source};
use super::event::OpenError;
use super::machine::{Admission, Connection};
use super::node_stream::{Announcement, CREDIT_STEP_BYTES, NodeStream};
use crate::close::CloseReason;
use crate::frame::{FrameError, FrameStep};
use crate::identity::decode_public_key;
use crate::mailbox::{OpenFailure, PingFailure, RequestId, StreamEnd, ToConnection, ToNode};
use crate::mux::{StreamId, WriteError};
use crate::time::Timestamp;

/// What Node's side of the mailbox has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeRoom {
    /// Messages with places of their own alone.
    State,
    /// One more message in the queue.
    Queue,
}

/// A signature that Node wants checked.
pub(super) struct Verification {
    request: RequestId,
    public_key: Bytes,
    message: Bytes,
    signature: Bytes,
}

/// What Node is to be told.
#[derive(Default)]
pub(super) struct NodeSide {
    pub(super) established: bool,
    pub(super) ping: Option<Result<Duration, PingFailure>>,
    pub(super) lease_request: Option<u64>,
    pub(super) lease_return: Option<u64>,
    pub(super) usage_due: bool,
    /// Answers to requests; Node keeps a slot for each before it asks.
    pub(super) replies: VecDeque<ToNode>,
    /// Signatures to be checked, likewise.
    verifications: VecDeque<Verification>,
    /// Streams with something to tell, each once.
    ready: VecDeque<StreamId>,
    /// Streams that are gone, each of which was open: bounded like they were.
    ended: VecDeque<(StreamId, StreamEnd)>,
    pub(super) closed: Option<CloseReason>,
    /// Node was told of the end, behind which nothing follows.
    closed_told: bool,
}

impl NodeSide {
    /// A connection at rest holds no queue.
    pub(super) fn release(&mut self) {
        if self.replies.is_empty() {
            self.replies = VecDeque::new();
        }
        if self.verifications.is_empty() {
            self.verifications = VecDeque::new();
        }
        if self.ready.is_empty() {
            self.ready = VecDeque::new();
        }
        if self.ended.is_empty() {
            self.ended = VecDeque::new();
        }
    }
}

impl Connection {
    /// Takes a message of Node's. A message for a stream that is gone does nothing.
    pub fn handle_node(&mut self, now: Timestamp, message: ToConnection) {
        let now = self.clock.advance(now);
        if self.node.closed_told {
            return;
        }
        match message {
            ToConnection::Admit { lease, protocols } => {
                self.protocols = protocols;
                self.set_lease(lease);
                if let Admission::Waiting { .. } = self.admission {
                    self.admission = Admission::Admitted;
                    self.schedule_ping(now);
                    self.take_inbound();
                }
            }
            ToConnection::Refuse(reason) => self.close(now, CloseReason::Refused(reason)),
            ToConnection::Close(reason) => self.close(now, reason),
            ToConnection::Lease(lease) => {
                self.set_lease(lease);
                if self.admission == Admission::Admitted {
                    self.schedule_ping(now);
                }
            }
            ToConnection::Protocols(protocols) => self.protocols = protocols,
            ToConnection::Open { request, protocols, max_frame_bytes } => {
                let opener = Opener::Node { request, max_frame_bytes };
                match self.open_for(protocols, opener) {
                    Ok(id) => self.flush_proposal(id),
                    Err(error) => {
                        let failure = open_failure(error);
                        self.node.replies.push_back(ToNode::OpenFailed { request, failure });
                    }
                }
            }
            ToConnection::Send { stream, frame } => {
                let Some(node_stream) = self.node_stream(stream) else { return };
                if node_stream.push(frame) {
                    self.drive_node_stream(stream);
                } else {
                    self.reset_stream(stream, StreamEnd::CreditExceeded);
                }
            }
            ToConnection::Finish(stream) => {
                if let Some(node_stream) = self.node_stream(stream) {
                    node_stream.finish = true;
                    self.drive_node_stream(stream);
                }
            }
            ToConnection::Reset { stream, code } => {
                if self.node_stream(stream).is_some() {
                    self.transport.mux().reset(stream, code);
                    self.end_stream(stream, StreamEnd::ResetByUs);
                }
            }
            ToConnection::Verify { request, public_key, message, signature } => {
                self.node.verifications.push_back(Verification {
                    request,
                    public_key,
                    message,
                    signature,
                });
            }
        }
    }

    /// The next message for Node. With [`NodeRoom::State`] only those that Node always has a place
    /// for.
    pub fn poll_node(&mut self, room: NodeRoom) -> Option<ToNode> {
        if let Some(message) = self.state_for_node() {
            return Some(message);
        }
        if room == NodeRoom::State {
            return None;
        }
        if let Some(message) = self.node.replies.pop_front() {
            if self.node.replies.is_empty() {
                // Streams of Node's end seldom; an idle connection holds no room for it.
                self.node.replies = VecDeque::new();
            }
            return Some(message);
        }
        if let Some(verification) = self.node.verifications.pop_front() {
            return Some(verify(verification));
        }
        while let Some(stream) = self.node.ready.pop_front() {
            if let Some(message) = self.stream_for_node(stream) {
                return Some(message);
            }
        }
        if let Some((stream, end)) = self.node.ended.pop_front() {
            return Some(ToNode::StreamClosed { stream, end });
        }
        let reason = self.node.closed.take()?;
        self.node.closed_told = true;
        Some(ToNode::Closed { reason, usage: self.usage() })
    }

    fn state_for_node(&mut self) -> Option<ToNode> {
        // Before all, Node hears that the connection is established.
        let peer = self.peer?;
        if core::mem::take(&mut self.node.established) {
            return Some(ToNode::Established { peer, role: self.role });
        }
        if let Some(window_bytes) = self.node.lease_request.take() {
            return Some(ToNode::LeaseRequest { window_bytes });
        }
        if let Some(window_bytes) = self.node.lease_return.take() {
            return Some(ToNode::LeaseReturn { window_bytes });
        }
        if let Some(ping) = self.node.ping.take() {
            return Some(match ping {
                Ok(rtt) => ToNode::Rtt(rtt),
                Err(failure) => ToNode::PingFailed(failure),
            });
        }
        core::mem::take(&mut self.node.usage_due).then(|| ToNode::Usage(self.usage()))
    }

    /// The next message about a stream of Node's.
    fn stream_for_node(&mut self, id: StreamId) -> Option<ToNode> {
        let entry = self.streams.get_mut(&id)?;
        let protocol = entry.protocol.clone();
        let Phase::Node(stream) = &mut entry.phase else { return None };
        stream.ready = false;
        if let Some(announcement) = stream.announcement.take()
            && let Some(protocol) = protocol
        {
            self.mark_node_ready(id);
            return Some(match announcement {
                Announcement::Inbound => ToNode::InboundStream { stream: id, protocol },
                Announcement::Opened(request) => {
                    ToNode::StreamOpened { request, stream: id, protocol }
                }
            });
        }
        if stream.sent_bytes >= CREDIT_STEP_BYTES {
            let sent = core::mem::take(&mut stream.sent_bytes);
            self.mark_node_ready(id);
            return Some(ToNode::Sent { stream: id, bytes: sent });
        }
        let mut source = Source { prefix: &mut entry.prefix, mux: self.transport.mux(), id };
        match stream.reader.poll(&mut source) {
            Ok(FrameStep::Frame(frame)) => {
                self.usage.received_frames += 1;
                self.usage.read_bytes += frame.len() as u64;
                self.mark_node_ready(id);
                Some(ToNode::Frame { stream: id, frame })
            }
            Ok(FrameStep::Blocked) => None,
            Ok(FrameStep::End) => {
                entry.end_read = true;
                let told = core::mem::replace(&mut stream.end_told, true);
                if entry.is_over() {
                    self.end_stream(id, StreamEnd::Finished);
                } else if self.admission == Admission::Over {
                    self.end_stream(id, StreamEnd::ConnectionClosed);
                }
                (!told).then_some(ToNode::StreamFinished(id))
            }
            Err(error) => {
                let end = stream_end(error, stream.max_frame_bytes);
                self.reset_stream(id, end);
                None
            }
        }
    }

    /// Remembers that a stream has something for Node.
    pub(super) fn mark_node_ready(&mut self, id: StreamId) {
        if let Some(stream) = self.node_stream(id)
            && !core::mem::replace(&mut stream.ready, true)
        {
            self.node.ready.push_back(id);
        }
    }

    /// Writes a stream's frames and looks whether it has something for Node.
    pub(super) fn drive_node_stream(&mut self, id: StreamId) {
        let Some(entry) = self.streams.get_mut(&id) else { return };
        let Phase::Node(stream) = &mut entry.phase else { return };
        if entry.unsent.is_empty() {
            let reported = stream.sent_bytes;
            match stream.write_frames(id, self.transport.mux()) {
                Ok(frames) => self.usage.sent_frames += frames,
                // What it received is still Node's; its end comes with the connection's.
                Err(WriteError::ConnectionClosed) => return self.mark_node_ready(id),
                Err(WriteError::Stopped(code)) => {
                    return self.reset_stream(id, StreamEnd::Reset(code));
                }
                Err(_) => return self.reset_stream(id, StreamEnd::ResetByUs),
            }
            self.usage.written_bytes += stream.sent_bytes - reported;
            if stream.finish
                && !stream.has_frames()
                && !core::mem::replace(&mut entry.finished, true)
            {
                if entry.finish(id, self.transport.mux()).is_err() {
                    return self.reset_stream(id, StreamEnd::ResetByUs);
                }
                if entry.end_read {
                    return self.end_stream(id, StreamEnd::Finished);
                }
            }
        }
        self.mark_node_ready(id);
    }

    /// Reports the end of a stream, unless Node never heard of it.
    pub(super) fn node_stream_ended(&mut self, id: StreamId, stream: NodeStream, end: StreamEnd) {
        match stream.announcement {
            Some(Announcement::Inbound) => self.usage.refused_streams += 1,
            Some(Announcement::Opened(request)) => {
                let failure = OpenFailure::Ended;
                self.node.replies.push_back(ToNode::OpenFailed { request, failure });
            }
            None => {
                if stream.sent_bytes > 0 {
                    self.node
                        .replies
                        .push_back(ToNode::Sent { stream: id, bytes: stream.sent_bytes });
                }
                self.node.ended.push_back((id, end));
            }
        }
    }

    fn node_stream(&mut self, id: StreamId) -> Option<&mut NodeStream> {
        match &mut self.streams.get_mut(&id)?.phase {
            Phase::Node(stream) => Some(stream),
            Phase::Inbound(_)
            | Phase::Outbound(_)
            | Phase::Refused
            | Phase::Application { .. }
            | Phase::PingEcho(_)
            | Phase::PingAsker(_)
            | Phase::PerfServer(_)
            | Phase::PerfClient(_) => None,
        }
    }
}

fn verify(verification: Verification) -> ToNode {
    let Verification { request, public_key, message, signature } = verification;
    let valid = decode_public_key(&public_key).is_ok_and(|key| key.verify(&message, &signature));
    ToNode::Verified { request, valid }
}

fn open_failure(error: OpenError) -> OpenFailure {
    match error {
        OpenError::NotOpen | OpenError::Exhausted => OpenFailure::NotOpen,
        OpenError::Limit(limit) => OpenFailure::Limit(limit),
        OpenError::Proposals(_) => OpenFailure::Proposals,
    }
}

fn stream_end(error: FrameError, max: u32) -> StreamEnd {
    match error {
        FrameError::TooLong { length, .. } => StreamEnd::FrameTooLong { length, max },
        FrameError::Varint(_) => StreamEnd::MalformedLength,
        FrameError::Truncated => StreamEnd::TruncatedFrame,
        FrameError::Reset(code) => StreamEnd::Reset(code),
        FrameError::ConnectionClosed => StreamEnd::ConnectionClosed,
        FrameError::UnknownStream | FrameError::UnsupportedProtocol => StreamEnd::ResetByUs,
    }
}
