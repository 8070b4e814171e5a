//! A protocol of an application's own.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use sanspeer_core::close::CloseReason;
use sanspeer_core::identity::PeerId;
use sanspeer_core::mailbox::{Frame, RequestId};
use sanspeer_core::mux::Role;
use sanspeer_core::node::{
    Accepted, CommandId, ConnectionId, Protocol, ProtocolInput, ProtocolOutput, StreamRef,
};
use sanspeer_core::time::{Deadline, DeadlineReason, Timestamp};

use super::id;

/// Says hello on a stream of its own to everybody whom we dialled, answers, and does what it is
/// told about whom it met last.
pub struct Hello {
    name: String,
    outputs: VecDeque<ProtocolOutput>,
    next_request: u64,
    asked: BTreeMap<RequestId, PeerId>,
    streams: BTreeMap<StreamRef, PeerId>,
    open: Vec<ConnectionId>,
    last_peer: Option<PeerId>,
    wake: Option<Timestamp>,
    credit: BTreeMap<StreamRef, u64>,
}

impl Hello {
    pub fn new(name: &str) -> Self {
        Hello {
            name: name.to_owned(),
            outputs: VecDeque::new(),
            next_request: 0,
            asked: BTreeMap::new(),
            streams: BTreeMap::new(),
            open: Vec::new(),
            last_peer: None,
            wake: None,
            credit: BTreeMap::new(),
        }
    }

    pub fn boxed(name: &str) -> Box<dyn Protocol> {
        Box::new(Hello::new(name))
    }

    fn tell(&mut self, text: &str) {
        self.outputs.push_back(ProtocolOutput::Event(Bytes::copy_from_slice(text.as_bytes())));
    }

    fn send(&mut self, stream: StreamRef, text: &str) {
        let sent = self.credit.entry(stream).or_default();
        *sent += text.len() as u64;
        let frame = Frame::new(Bytes::copy_from_slice(text.as_bytes()));
        self.outputs.push_back(ProtocolOutput::Send { stream, frame });
    }

    fn ask(&mut self, peer: PeerId, connection: Option<ConnectionId>) {
        let request = RequestId(self.next_request);
        self.next_request += 1;
        self.asked.insert(request, peer);
        let protocols = vec![id(&format!("/test/{}/1.0.0", self.name))];
        let max_frame_bytes = 1000;
        self.outputs.push_back(ProtocolOutput::Open {
            request,
            peer,
            connection,
            protocols,
            max_frame_bytes,
        });
    }

    fn command(&mut self, now: Timestamp, command: CommandId, text: &str) {
        let reply = |text: String| ProtocolOutput::Reply { id: command, reply: text.into() };
        let Some(peer) = self.last_peer else {
            return self.outputs.push_back(reply("nobody was met".to_owned()));
        };
        let reason = "a test".to_owned();
        match text {
            "protect" => {
                self.outputs.push_back(ProtocolOutput::Protect { peer, protect: true });
            }
            "penalise" => {
                self.outputs.push_back(ProtocolOutput::Penalty { peer, reason, points: 3 });
            }
            "close" => {
                let reason = CloseReason::Requested;
                self.outputs.push_back(ProtocolOutput::Close { peer, reason });
            }
            "dial" => {
                self.outputs.push_back(ProtocolOutput::Dial { peer, addresses: Vec::new() });
            }
            "ask" => self.ask(peer, None),
            "wake" => self.wake = Some(now.saturating_add(core::time::Duration::from_secs(3))),
            "silence" => return,
            "finish" => {
                for stream in self.streams.keys().copied().collect::<Vec<_>>() {
                    self.outputs.push_back(ProtocolOutput::Finish(stream));
                }
            }
            "reset" => {
                for stream in self.streams.keys().copied().collect::<Vec<_>>() {
                    self.outputs.push_back(ProtocolOutput::Reset { stream, code: 0 });
                }
            }
            text => {
                for stream in self.streams.keys().copied().collect::<Vec<_>>() {
                    self.send(stream, text);
                }
            }
        }
        self.outputs.push_back(reply(format!("{text} done")));
    }
}

impl Protocol for Hello {
    fn name(&self) -> &str {
        &self.name
    }

    fn accepts(&self) -> Vec<Accepted> {
        let protocol = id(&format!("/test/{}/1.0.0", self.name));
        vec![Accepted { protocol, max_frame_bytes: 1000, max_inbound_streams: 4 }]
    }

    fn handle(&mut self, now: Timestamp, input: ProtocolInput) {
        match input {
            ProtocolInput::ConnectionOpened { peer, connection, role, .. } => {
                assert!(!self.open.contains(&connection), "opened twice");
                self.open.push(connection);
                self.last_peer = Some(peer);
                if role == Role::Dialer {
                    self.ask(peer, Some(connection));
                }
            }
            ProtocolInput::ConnectionClosed { connection, .. } => {
                assert!(self.open.contains(&connection), "closed, and never opened");
                assert!(self.streams.keys().all(|stream| stream.connection != connection));
                self.open.retain(|open| *open != connection);
            }
            ProtocolInput::StreamOpened { request, peer, stream, .. } => {
                assert_eq!(self.asked.remove(&request), Some(peer), "an answer to a request");
                self.streams.insert(stream, peer);
                self.send(stream, "hello");
            }
            ProtocolInput::OpenFailed { request, peer, failure } => {
                assert_eq!(self.asked.remove(&request), Some(peer), "an answer to a request");
                self.tell(&format!("not opened: {failure}"));
            }
            ProtocolInput::InboundStream { peer, stream, .. } => {
                assert_eq!(self.streams.insert(stream, peer), None, "told twice");
            }
            ProtocolInput::Frame { stream, frame } => {
                assert!(self.streams.contains_key(&stream), "a frame of a stream that is known");
                let text = String::from_utf8_lossy(&frame).into_owned();
                self.tell(&text);
                if text == "hello" {
                    self.send(stream, "hello to you");
                }
            }
            ProtocolInput::Credit { stream, bytes } => {
                assert!(self.streams.contains_key(&stream));
                let sent = self.credit.entry(stream).or_default();
                *sent = sent.saturating_sub(bytes);
            }
            ProtocolInput::StreamFinished(stream) => {
                assert!(self.streams.contains_key(&stream));
                self.outputs.push_back(ProtocolOutput::Finish(stream));
            }
            ProtocolInput::StreamClosed { stream, end } => {
                assert!(self.streams.remove(&stream).is_some(), "closed once");
                self.tell(&format!("stream closed: {end}"));
            }
            ProtocolInput::DialFailed(_) => self.tell("dial failed"),
            ProtocolInput::Verified { .. } => self.tell("verified"),
            ProtocolInput::Command { id, command } => {
                let text = String::from_utf8_lossy(&command).into_owned();
                self.command(now, id, &text);
            }
            ProtocolInput::Timeout => {
                if self.wake.is_some_and(|at| at <= now) {
                    self.wake = None;
                    self.tell("awake");
                }
            }
        }
    }

    fn poll(&mut self) -> Option<ProtocolOutput> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        Some(Deadline::new(self.wake?, DeadlineReason::Protocol))
    }
}
