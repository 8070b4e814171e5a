//! [`Feed`]: a protocol of Node's that tells everybody the same, and drops what a peer has no room
//! for.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use sanspeer_core::connection::SEND_CREDIT_BYTES;
use sanspeer_core::mailbox::{Frame, RequestId};
use sanspeer_core::mux::Role;
use sanspeer_core::node::{
    Accepted, CommandId, Protocol, ProtocolInput, ProtocolOutput, StreamRef,
};
use sanspeer_core::time::{Deadline, Timestamp};

use super::world::protocol;

/// Its name in a node.
pub const FEED: &str = "feed";

/// The largest message, in bytes.
pub const MAX_MESSAGE_BYTES: u32 = 64 * 1024;

/// Messages that wait for one peer's credit. More are dropped.
const MAX_WAITING: usize = 32;

/// Tells whoever dialled us what it is commanded to tell; hears what those tell whom we dialled.
///
/// The reply to a command says for how many there was room, 64 bits, little-endian; an event is a
/// message that was heard.
#[derive(Default)]
pub struct Feed {
    outputs: VecDeque<ProtocolOutput>,
    next_request: u64,
    /// Who is told. Bounded by the connection limits.
    listeners: BTreeMap<StreamRef, Listener>,
}

/// One who is told.
struct Listener {
    /// Bytes that were sent and whose credit did not come back.
    under_way: u64,
    /// Bounded by [`MAX_WAITING`].
    waiting: VecDeque<Bytes>,
}

impl Feed {
    /// For [`sanspeer_driver::Config::protocols`].
    pub fn boxed() -> Box<dyn Protocol> {
        Box::new(Feed::default())
    }

    fn tell(&mut self, id: CommandId, message: &Bytes) {
        let mut told = 0_u64;
        for (stream, listener) in &mut self.listeners {
            if listener.waiting.len() < MAX_WAITING {
                told += 1;
                listener.waiting.push_back(message.clone());
                listener.send(*stream, &mut self.outputs);
            }
        }
        let reply = Bytes::copy_from_slice(&told.to_le_bytes());
        self.outputs.push_back(ProtocolOutput::Reply { id, reply });
    }
}

impl Listener {
    /// Sends what there is credit for.
    fn send(&mut self, stream: StreamRef, outputs: &mut VecDeque<ProtocolOutput>) {
        while self.under_way < SEND_CREDIT_BYTES as u64
            && let Some(message) = self.waiting.pop_front()
        {
            self.under_way = self.under_way.saturating_add(message.len() as u64);
            outputs.push_back(ProtocolOutput::Send { stream, frame: Frame::new(message) });
        }
    }
}

impl Protocol for Feed {
    fn name(&self) -> &str {
        FEED
    }

    fn accepts(&self) -> Vec<Accepted> {
        let protocol = protocol("/contract/feed/1.0.0");
        vec![Accepted { protocol, max_frame_bytes: MAX_MESSAGE_BYTES, max_inbound_streams: 1 }]
    }

    fn handle(&mut self, _now: Timestamp, input: ProtocolInput) {
        match input {
            ProtocolInput::ConnectionOpened { peer, connection, role: Role::Listener, .. } => {
                let request = RequestId(self.next_request);
                self.next_request += 1;
                self.outputs.push_back(ProtocolOutput::Open {
                    request,
                    peer,
                    connection: Some(connection),
                    protocols: vec![protocol("/contract/feed/1.0.0")],
                    max_frame_bytes: MAX_MESSAGE_BYTES,
                });
            }
            ProtocolInput::StreamOpened { stream, .. } => {
                let listener = Listener { under_way: 0, waiting: VecDeque::new() };
                self.listeners.insert(stream, listener);
            }
            ProtocolInput::Credit { stream, bytes } => {
                if let Some(listener) = self.listeners.get_mut(&stream) {
                    listener.under_way = listener.under_way.saturating_sub(bytes);
                    listener.send(stream, &mut self.outputs);
                }
            }
            ProtocolInput::StreamClosed { stream, .. } => drop(self.listeners.remove(&stream)),
            ProtocolInput::Frame { frame, .. } => {
                self.outputs.push_back(ProtocolOutput::Event(frame));
            }
            ProtocolInput::Command { id, command } => self.tell(id, &command),
            ProtocolInput::ConnectionOpened { .. }
            | ProtocolInput::ConnectionClosed { .. }
            | ProtocolInput::OpenFailed { .. }
            | ProtocolInput::InboundStream { .. }
            | ProtocolInput::StreamFinished(_)
            | ProtocolInput::Verified { .. }
            | ProtocolInput::DialFailed(_)
            | ProtocolInput::Timeout => {}
        }
    }

    fn poll(&mut self) -> Option<ProtocolOutput> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        None
    }
}
