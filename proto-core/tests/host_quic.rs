//! Two hosts over QUIC, joined by a link of datagrams in virtual time.
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks at some events")]

mod host_world;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use host_world::{ECHO, Side, id};
use sanspeer_core::address::Endpoint;
use sanspeer_core::application::Network;
use sanspeer_core::close::{CloseReason, RefuseReason};
use sanspeer_core::host::{EndpointId, HostConfig, HostOutput};
use sanspeer_core::mux::ReadError;
use sanspeer_core::node::{
    Answer, Command, CommandError, CommandId, ConnectionLimits, DialError, NodeEvent,
};
use sanspeer_core::quic::DatagramMeta;
use sanspeer_core::time::Timestamp;

const DELAY: Duration = Duration::from_millis(10);

struct Flight {
    at: Timestamp,
    to: SocketAddr,
    from: SocketAddr,
    bytes: Vec<u8>,
}

/// Hosts with one UDP socket each.
struct Net {
    sides: Vec<(Side, EndpointId, SocketAddr)>,
    flights: VecDeque<Flight>,
    now: Timestamp,
}

#[allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "there is no other way to make an Instant, and no output depends on it"
)]
fn epoch() -> std::time::Instant {
    std::time::Instant::now()
}

impl Net {
    fn new(configs: Vec<HostConfig>) -> Self {
        let sides = (1..).zip(configs).map(|(number, config)| {
            let mut side = Side::new(u64::from(number), config, Vec::new());
            side.echo = true;
            side.host.request(Timestamp::ZERO, Command::AddProtocol(id(ECHO)));
            // The first thing that is listened on has the first id.
            let socket = SocketAddr::from(([10, 0, 0, number], 4001));
            let text = format!("/ip4/10.0.0.{number}/udp/4001/quic-v1");
            let address = text.parse().expect("an address");
            side.host.request(Timestamp::ZERO, Command::Listen(address));
            let Some(HostOutput::Listen { listener, address }) = side.host.poll_output() else {
                panic!("it listens")
            };
            let endpoint = side.host.add_endpoint(Some(listener), epoch());
            side.host.handle_listening(Timestamp::ZERO, listener, address);
            (side, endpoint, socket)
        });
        Net { sides: sides.collect(), flights: VecDeque::new(), now: Timestamp::ZERO }
    }

    fn run(&mut self) {
        let mut buffer = Vec::new();
        loop {
            let mut any = false;
            for (side, endpoint, from) in &mut self.sides {
                any |= side.take_events(self.now);
                while let Some(output) = side.host.poll_output() {
                    any = true;
                    if let HostOutput::Dial { connection, address } = output {
                        let endpoint_of = Endpoint::parse(&address);
                        let Some(Endpoint::Quic(socket)) = endpoint_of else { panic!("{address}") };
                        side.host.begin_quic(self.now, connection, *endpoint, socket);
                    }
                }
                while let Some(sent) =
                    side.host.poll_datagrams(self.now, *endpoint, 10, &mut buffer)
                {
                    any = true;
                    let at = self.now.saturating_add(DELAY);
                    let segment = sent.segment_size.unwrap_or(sent.size);
                    for bytes in buffer[..sent.size].chunks(segment) {
                        let (to, bytes) = (sent.destination, bytes.to_vec());
                        self.flights.push_back(Flight { at, to, from: *from, bytes });
                    }
                }
            }
            while self.flights.front().is_some_and(|flight| flight.at <= self.now)
                && let Some(flight) = self.flights.pop_front()
            {
                any = true;
                for (side, endpoint, socket) in &mut self.sides {
                    if *socket == flight.to {
                        let remote = flight.from;
                        let meta = DatagramMeta { remote, local_ip: None, ecn: None };
                        let bytes = BytesMut::from(&flight.bytes[..]);
                        side.host.handle_datagram(self.now, *endpoint, meta, bytes);
                    }
                }
            }
            if !any {
                return;
            }
        }
    }

    fn advance(&mut self, duration: Duration) {
        let until = self.now.saturating_add(duration);
        self.run();
        loop {
            let deadlines =
                self.sides.iter().filter_map(|(side, ..)| Some(side.host.poll_timeout()?.at));
            let arrival = self.flights.front().map(|flight| flight.at);
            let Some(at) = deadlines.chain(arrival).min().filter(|at| *at <= until) else { break };
            self.now = self.now.max(at);
            for (side, ..) in &mut self.sides {
                side.host.handle_timeout(self.now);
            }
            self.run();
        }
        self.now = until;
        self.run();
    }

    fn connect(&mut self, from: usize, to: usize) -> CommandId {
        let socket = self.sides[to].2;
        let peer = self.sides[to].0.peer_id;
        let address = format!("/ip4/{}/udp/{}/quic-v1/p2p/{peer}", socket.ip(), socket.port());
        let addresses = vec![address.parse().expect("an address")];
        let connect = Command::Connect { peer: None, addresses };
        self.sides[from].0.host.request(self.now, connect)
    }

    fn echo(&mut self, from: usize, to: usize, data: &[u8]) -> Vec<u8> {
        let peer = self.sides[to].0.peer_id;
        let host = &mut self.sides[from].0.host;
        let stream = host.open(self.now, &peer, &[id(ECHO)]).expect("a connected peer");
        let (mut sent, mut heard) = (0, Vec::new());
        for _ in 0..1000 {
            let host = &mut self.sides[from].0.host;
            while sent < data.len()
                && let Ok(n) = host.write(self.now, stream, &data[sent..])
            {
                sent += n;
            }
            if sent == data.len() {
                host.finish(self.now, stream).expect("an open stream");
            }
            loop {
                let host = &mut self.sides[from].0.host;
                match host.read(self.now, stream, 65_536) {
                    Ok(bytes) if bytes.is_empty() => return heard,
                    Ok(bytes) => heard.extend_from_slice(&bytes),
                    Err(ReadError::Blocked) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            self.advance(DELAY);
        }
        panic!("no end of the echo");
    }
}

#[test]
fn two_hosts_connect_over_quic_talk_and_part() {
    let mut net = Net::new(vec![HostConfig::default(), HostConfig::default()]);
    let command = net.connect(0, 1);
    net.advance(Duration::from_secs(1));
    let answer = net.sides[0].0.answer(command);
    assert!(matches!(answer, Some(Answer::Connected { .. })), "{answer:?}");
    let data: Vec<u8> = (0..200_000u32).map(|number| number.to_le_bytes()[0]).collect();
    assert_eq!(net.echo(0, 1, &data), data);
    assert_eq!(net.echo(1, 0, b"and back"), b"and back");
    let peers = [net.sides[0].0.peer_id, net.sides[1].0.peer_id];
    assert!(net.sides[1].0.story(peers[0]).contains(&"identified"));
    net.sides[1].0.host.request(net.now, Command::Disconnect(peers[0]));
    net.advance(Duration::from_secs(20));
    for side in [0, 1] {
        let story = net.sides[side].0.story(peers[1 - side]);
        assert_eq!(story.first(), Some(&"peer connected"));
        assert_eq!(story.last(), Some(&"peer disconnected"));
        assert_eq!(net.sides[side].0.host.connection_count(), 0, "all of it is forgotten");
    }
    // And again, over the same sockets.
    let command = net.connect(1, 0);
    net.advance(Duration::from_secs(1));
    assert!(matches!(net.sides[1].0.answer(command), Some(Answer::Connected { .. })));
    assert_eq!(net.echo(1, 0, b"again"), b"again");
}

#[test]
fn an_arrival_over_quic_is_refused_before_anything_is_computed() {
    let mut limited = HostConfig::default();
    limited.node.limits =
        ConnectionLimits { max_pending_inbound: 0, ..ConnectionLimits::default() };
    let mut net = Net::new(vec![HostConfig::default(), limited]);
    let command = net.connect(0, 1);
    net.advance(Duration::from_secs(20));
    let refused: Vec<_> = net.sides[1]
        .0
        .node_events()
        .filter_map(|event| match event {
            NodeEvent::Refused { peer, reason, .. } => Some((*peer, *reason)),
            _ => None,
        })
        .collect();
    assert_eq!(refused, [(None, RefuseReason::TooManyPending(0))]);
    let answer = net.sides[0].0.answer(command);
    let Some(Answer::Failed(CommandError::Dial(failed))) = answer else { panic!("{answer:?}") };
    assert!(matches!(failed[0].1, DialError::Closed(CloseReason::Quic(_))), "{failed:?}");
    assert_eq!(net.sides[1].0.host.connection_count(), 0);
}

#[test]
fn many_that_come_at_once_have_to_show_where_they_are() {
    let mut careful = HostConfig::default();
    careful.node.validate_threshold = 0;
    let mut net = Net::new(vec![HostConfig::default(), careful]);
    let command = net.connect(0, 1);
    net.advance(Duration::from_secs(2));
    let answer = net.sides[0].0.answer(command);
    assert!(matches!(answer, Some(Answer::Connected { .. })), "{answer:?}");
}

#[test]
fn a_host_that_shuts_down_lets_nobody_in_over_quic() {
    let mut net = Net::new(vec![HostConfig::default(), HostConfig::default()]);
    net.connect(0, 1);
    net.advance(Duration::from_secs(1));
    let down = net.sides[1].0.host.request(net.now, Command::Shutdown);
    net.advance(Duration::from_secs(20));
    assert_eq!(net.sides[1].0.answer(down), Some(&Answer::Done));
    assert_eq!(net.sides[1].0.host.connection_count(), 0);
    let command = net.connect(0, 1);
    net.advance(Duration::from_secs(20));
    let answer = net.sides[0].0.answer(command);
    assert!(matches!(answer, Some(Answer::Failed(CommandError::Dial(_)))), "{answer:?}");
}
