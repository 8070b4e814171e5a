//! An application on the trait `Network`: the same code on the scripted double and on two hosts.
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks at some events")]

mod host_world;

use std::collections::BTreeMap;
use std::time::Duration;

use host_world::*;
use multiaddr::Multiaddr;
use sanspeer_core::application::{AppEvent, Network, StreamOpenError};
use sanspeer_core::host::HostConfig;
use sanspeer_core::identity::PeerId;
use sanspeer_core::mailbox::StreamEnd;
use sanspeer_core::mux::{ReadError, WriteError};
use sanspeer_core::node::{Answer, Command, CommandError, CommandId, ConnectionId, StreamRef};
use sanspeer_core::protocol::ProtocolId;
use sanspeer_core::scripted::Scripted;
use sanspeer_core::time::Timestamp;

const COUNT: &str = "/example/count/1.0.0";

fn count() -> ProtocolId {
    id(COUNT)
}

/// The application: who connects to it can have the bytes of a text counted.
#[derive(Default)]
struct Counter {
    connect: Option<CommandId>,
    /// What is to be counted by the other side, and how much of it was written.
    question: Option<(Vec<u8>, usize)>,
    asked: Option<StreamRef>,
    counting: BTreeMap<StreamRef, usize>,
    answer: Vec<u8>,
    log: Vec<String>,
}

impl Counter {
    fn serve(network: &mut impl Network, now: Timestamp) -> Self {
        network.request(now, Command::AddProtocol(count()));
        Counter::default()
    }

    fn ask(network: &mut impl Network, now: Timestamp, address: Multiaddr, text: &[u8]) -> Self {
        let connect = Command::Connect { peer: None, addresses: vec![address] };
        let connect = Some(network.request(now, connect));
        Counter { connect, question: Some((text.to_vec(), 0)), ..Counter::default() }
    }

    /// Does what can be done.
    fn turn(&mut self, network: &mut impl Network, now: Timestamp) {
        while let Some(event) = network.poll_event() {
            match event {
                AppEvent::Answer { id, answer } if Some(id) == self.connect => {
                    self.connected(network, now, answer);
                }
                AppEvent::Inbound => {
                    if let Some(inbound) = network.accept() {
                        self.counting.insert(inbound.stream, 0);
                    }
                }
                AppEvent::Ended { end, .. } => self.log.push(end.to_string()),
                _ => {}
            }
        }
        self.write(network, now);
        self.count(network, now);
        self.hear(network, now);
    }

    fn connected(&mut self, network: &mut impl Network, now: Timestamp, answer: Answer) {
        match answer {
            Answer::Connected { peer, .. } => {
                self.asked = network.open(now, &peer, &[count()]).ok();
            }
            answer => self.log.push(format!("{answer:?}")),
        }
    }

    fn write(&mut self, network: &mut impl Network, now: Timestamp) {
        let (Some(stream), Some((text, written))) = (self.asked, &mut self.question) else {
            return;
        };
        while *written < text.len() {
            match network.write(now, stream, &text[*written..]) {
                Ok(n) => *written += n,
                Err(WriteError::Blocked) => return,
                Err(error) => return self.log.push(error.to_string()),
            }
        }
        network.finish(now, stream).expect("an open stream");
        self.question = None;
    }

    fn count(&mut self, network: &mut impl Network, now: Timestamp) {
        let mut done = Vec::new();
        for (stream, counted) in &mut self.counting {
            loop {
                match network.read(now, *stream, 1000) {
                    Ok(bytes) if bytes.is_empty() => {
                        done.push(*stream);
                        network.write(now, *stream, counted.to_string().as_bytes()).expect("room");
                        network.finish(now, *stream).expect("an open stream");
                        break;
                    }
                    Ok(bytes) => *counted += bytes.len(),
                    Err(ReadError::Blocked) => break,
                    Err(error) => {
                        done.push(*stream);
                        self.log.push(error.to_string());
                        break;
                    }
                }
            }
        }
        self.counting.retain(|stream, _| !done.contains(stream));
    }

    fn hear(&mut self, network: &mut impl Network, now: Timestamp) {
        let Some(stream) = self.asked else { return };
        match network.read(now, stream, 1000) {
            Ok(bytes) if bytes.is_empty() => self.asked = None,
            Ok(bytes) => self.answer.extend_from_slice(&bytes),
            Err(ReadError::Blocked) => {}
            Err(error) => {
                self.log.push(error.to_string());
                self.asked = None;
            }
        }
    }
}

fn peer(number: u64) -> PeerId {
    identity(number).peer_id()
}

fn address() -> Multiaddr {
    "/memory/2".parse().expect("an address")
}

#[test]
fn on_the_double_an_application_asks_and_hears_the_answer() {
    let now = Timestamp::ZERO;
    let mut network = Scripted::new(peer(1));
    let connect = Command::Connect { peer: None, addresses: vec![address()] };
    network.expect_unanswered(connect);
    let mut counter = Counter::ask(&mut network, now, address(), b"twelve bytes");
    counter.turn(&mut network, now);
    assert_eq!(network.streams().count(), 0, "not before it is connected");
    let connection = network.connect(peer(2));
    network.answer(Answer::Connected { peer: peer(2), connection });
    counter.turn(&mut network, now);
    let (stream, state) = network.streams().next().expect("a stream");
    assert_eq!(state.protocols, [count()]);
    assert_eq!(state.written, b"twelve bytes");
    assert!(state.finished);
    network.deliver(stream, b"1");
    network.deliver(stream, b"2");
    counter.turn(&mut network, now);
    network.finish_remote(stream);
    counter.turn(&mut network, now);
    assert_eq!(counter.answer, b"12");
    assert_eq!(counter.asked, None);
    assert!(counter.log.is_empty(), "{:?}", counter.log);
    network.verify();
}

#[test]
fn on_the_double_a_slow_remote_and_a_reset_can_be_played() {
    let now = Timestamp::ZERO;
    let mut network = Scripted::new(peer(1));
    network.expect(Command::AddProtocol(count()), Answer::Done);
    let mut counter = Counter::serve(&mut network, now);
    let stream = network.open_inbound(peer(2), count());
    network.deliver(stream, &[0; 2500]);
    counter.turn(&mut network, now);
    network.reset_remote(stream, 7);
    counter.turn(&mut network, now);
    assert_eq!(counter.log, [StreamEnd::Reset(7).to_string(), ReadError::Reset(7).to_string()]);
    network.verify();

    let connect = Command::Connect { peer: None, addresses: vec![address()] };
    let connection = network.connect(peer(2));
    network.expect(connect.clone(), Answer::Connected { peer: peer(2), connection });
    let mut counter = Counter::ask(&mut network, now, address(), b"slowly");
    counter.connect = None;
    counter.asked = network.open(now, &peer(2), &[count()]).ok();
    let stream = counter.asked.expect("a stream");
    network.block(stream);
    counter.turn(&mut network, now);
    assert_eq!(network.stream(stream).written, b"");
    network.make_room(stream, 4);
    counter.turn(&mut network, now);
    assert_eq!(network.stream(stream).written, b"slow");
    assert!(!network.stream(stream).finished);
    network.make_room(stream, 100);
    counter.turn(&mut network, now);
    assert_eq!(network.stream(stream).written, b"slowly");
    assert!(network.stream(stream).finished);
    network.disconnect(&peer(2));
    assert_eq!(network.open(now, &peer(2), &[count()]), Err(StreamOpenError::NotConnected));

    network.expect(connect, Answer::Failed(CommandError::NoAddresses));
    let mut counter = Counter::ask(&mut network, now, address(), b"never");
    counter.turn(&mut network, now);
    assert_eq!(counter.log, ["Failed(NoAddresses)"]);
}

#[test]
#[should_panic(expected = "another command was expected")]
fn the_double_does_not_let_an_unexpected_command_pass() {
    let mut network = Scripted::new(peer(1));
    network.expect(Command::Peers, Answer::Peers(Vec::new()));
    network.request(Timestamp::ZERO, Command::Addresses);
}

#[test]
#[should_panic(expected = "not asked")]
fn the_double_tells_what_was_not_asked() {
    let mut network = Scripted::new(peer(1));
    let answer = Answer::Connected { peer: peer(2), connection: ConnectionId(1) };
    network.expect(Command::Peers, answer);
    network.verify();
}

#[test]
fn on_two_hosts_the_same_application_does_the_same() {
    let quiet = |number| {
        let mut side = Side::new(number, HostConfig::default(), Vec::new());
        // The application takes the events itself.
        side.listens = false;
        side
    };
    let mut world = World::of(vec![quiet(1), quiet(2)]);
    let now = world.now;
    let mut server = Counter::serve(&mut world.sides[1].host, now);
    world.request(1, Command::Listen(address()));
    world.run();
    let text = vec![0; 300_000];
    let mut client = Counter::ask(&mut world.sides[0].host, now, address(), &text);
    for _ in 0..1000 {
        let now = world.now;
        client.turn(&mut world.sides[0].host, now);
        server.turn(&mut world.sides[1].host, now);
        world.run();
        if !client.answer.is_empty() && client.asked.is_none() {
            break;
        }
        world.advance(Duration::from_millis(1));
    }
    assert_eq!(client.answer, b"300000");
    assert!(client.log.is_empty() && server.log.is_empty(), "{:?} {:?}", client.log, server.log);
}
