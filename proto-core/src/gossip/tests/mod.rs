//! Parts of [`Gossip`] with peers that are there at once: [`Fixture`], and tests by part.

mod direct;
mod exchange;
mod gossiping;
mod heartbeat;
mod mesh;
mod streams;
mod validation;
mod verification;

use super::config::GossipConfig;
use super::events::GossipEvent;
use super::machine::Gossip;
use super::message::WireMessage;
use super::peers::{Outbound, PeerKey};
use super::rpc::{Control, Rpc, RpcLimits};
use super::signature::{Author, SignaturePolicy};
use super::topic::Topic;
use crate::identity::{Identity, PeerId};
use crate::mailbox::RequestId;
use crate::mux::{Role, StreamId};
use crate::node::{ConnectionId, Protocol, ProtocolInput, ProtocolOutput, StreamRef};
use crate::protocol::ProtocolId;
use crate::rng::Seed;
use crate::time::Timestamp;

const LATEST: &str = "/meshsub/1.3.0";

/// A machine in topic `t`, at a time between two heartbeats.
struct Fixture {
    gossip: Gossip,
    now: Timestamp,
    t: Topic,
    last: u64,
}

fn identity(number: u64) -> Identity {
    Identity::ed25519(&Seed::from_u64(number))
}

fn topic(name: &str) -> Topic {
    Topic::new(name).unwrap()
}

impl Fixture {
    fn new(config: GossipConfig) -> Self {
        let gossip = Gossip::new(config, identity(0), &Seed::from_u64(1)).unwrap();
        let mut fixture = Fixture { gossip, now: Timestamp::from_secs(1), t: topic("t"), last: 0 };
        fixture.gossip.subscribe(fixture.now, &fixture.t).unwrap();
        fixture
    }

    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn tell(&mut self, input: ProtocolInput) {
        self.gossip.handle(self.now, input);
    }

    fn outputs(&mut self) -> Vec<ProtocolOutput> {
        core::iter::from_fn(|| self.gossip.poll()).collect()
    }

    fn events(&mut self) -> Vec<GossipEvent> {
        core::iter::from_fn(|| self.gossip.poll_event()).collect()
    }

    /// Opens a connection to peer `number`.
    fn connect(&mut self, number: u64, role: Role) -> ConnectionId {
        let connection = ConnectionId(self.next());
        self.tell(ProtocolInput::ConnectionOpened {
            peer: identity(number).peer_id(),
            connection,
            role,
            address: "/ip4/10.0.0.1/tcp/1".parse().unwrap(),
            first: true,
        });
        connection
    }

    fn disconnect(&mut self, number: u64, connection: ConnectionId) {
        let peer = identity(number).peer_id();
        self.tell(ProtocolInput::ConnectionClosed { peer, connection, last: true });
    }

    fn key(&self, number: u64) -> PeerKey {
        self.gossip.peers.key(&identity(number).peer_id()).unwrap()
    }

    fn outbound(&self, number: u64) -> Outbound {
        self.gossip.peers.get(self.key(number)).unwrap().outbound
    }

    fn latest_connection(&self, number: u64) -> ConnectionId {
        let peer = self.gossip.peers.get(self.key(number)).unwrap();
        *peer.connections.keys().next_back().unwrap()
    }

    /// The stream that was asked for is there, and speaks this.
    fn open(&mut self, number: u64, protocol: &str) -> StreamRef {
        let Outbound::Opening(request) = self.outbound(number) else { panic!("none asked for") };
        let connection = self.latest_connection(number);
        let stream = StreamRef { connection, stream: StreamId(self.next()) };
        self.opened(number, request, stream, protocol);
        stream
    }

    fn opened(&mut self, number: u64, request: RequestId, stream: StreamRef, protocol: &str) {
        let protocol = ProtocolId::new(protocol).unwrap();
        let peer = identity(number).peer_id();
        self.tell(ProtocolInput::StreamOpened { request, peer, stream, protocol });
    }

    /// The peer opens a stream on its latest connection.
    fn inbound(&mut self, number: u64) -> StreamRef {
        let connection = self.latest_connection(number);
        let stream = StreamRef { connection, stream: StreamId(self.next()) };
        let (peer, protocol) = (identity(number).peer_id(), ProtocolId::new(LATEST).unwrap());
        self.tell(ProtocolInput::InboundStream { peer, stream, protocol });
        stream
    }

    /// A peer that is connected, can be spoken to and is in topic `t`, and was not grafted.
    fn peer_outside(&mut self, number: u64, role: Role) -> PeerKey {
        self.connect(number, role);
        self.open(number, LATEST);
        let (key, now, t) = (self.key(number), self.now, self.t.clone());
        assert!(self.gossip.peer_joined(now, key, &t));
        // As if that was long ago.
        self.gossip.remove_from_mesh(now, &t, key);
        key
    }

    /// One that is in the mesh of topic `t`.
    fn peer_inside(&mut self, number: u64, role: Role) -> PeerKey {
        let key = self.peer_outside(number, role);
        let (now, t) = (self.now, self.t.clone());
        self.gossip.graft(now, &t, key);
        key
    }

    fn mesh(&self) -> Vec<PeerKey> {
        self.gossip.mesh_of(&self.t)
    }

    /// Takes all that the machine wanted, and gives back what was said to a peer.
    fn said_to(&mut self, number: u64) -> Control {
        let Outbound::Open(to, _) = self.outbound(number) else { panic!("no stream") };
        let mut all = Control::default();
        self.gossip.flush();
        for output in self.outputs() {
            let ProtocolOutput::Send { stream, frame } = output else { continue };
            if stream != to || !frame.head.is_empty() {
                continue;
            }
            let said = Rpc::decode(&frame.body, &RpcLimits::default()).unwrap().to_outgoing();
            all.graft.extend(said.control.graft);
            all.prune.extend(said.control.prune);
            all.ihave.extend(said.control.ihave);
            all.iwant.extend(said.control.iwant);
            all.idontwant.extend(said.control.idontwant);
        }
        all
    }

    /// Goes on to the next heartbeat.
    fn beat(&mut self) {
        let at = self.gossip.poll_timeout().unwrap().at;
        self.now = self.now.max(at);
        self.tell(ProtocolInput::Timeout);
    }

    fn set_score(&mut self, number: u64, score: f64) {
        let (now, peer) = (self.now, identity(number).peer_id());
        // The weight of P5 is 10.
        self.gossip.set_application_score(now, &peer, score / 10.0).unwrap();
    }

    fn penalties(&self, number: u64) -> f64 {
        self.gossip.score(&identity(number).peer_id()).unwrap().behaviour_penalty.value
    }
}

fn peer_id(number: u64) -> PeerId {
    identity(number).peer_id()
}

/// A message that peer `author` has signed.
fn signed(author: u64, number: u64, topic: &Topic, data: &'static [u8]) -> WireMessage {
    Author::new(identity(author), number)
        .message(SignaturePolicy::StrictSign, topic.clone(), data)
        .unwrap()
}

/// A frame with messages.
fn frame_of(messages: &[WireMessage]) -> bytes::Bytes {
    let frames = messages.iter().map(super::rpc::publish_frame);
    frames.flat_map(|frame| [frame.head, frame.body].concat()).collect::<Vec<u8>>().into()
}
