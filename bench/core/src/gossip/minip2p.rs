//! The same work by minip2p's `GossipsubAgent`, a machine as well.

use anyhow::{Context as _, Result, anyhow, ensure};
use minip2p_core::PeerId;
use minip2p_identity::Ed25519Keypair;
use minip2p_pubsub::{
    GossipsubAction, GossipsubAgent, GossipsubConfig, GossipsubEvent, MESHSUB_PROTOCOL_ID_V11,
    RawMessage, Rpc, SubOpts, encode_frame,
};
use minip2p_swarm::SwarmEvent;
use minip2p_transport::{Bytes, ConnectionId, StreamId};

use super::MESH;
use super::work::{Machine, Tally, numbered};

const TOPIC: &str = "bench";

/// An agent and its neighbours. What it sends leaves at once.
pub struct Agent {
    agent: GossipsubAgent,
    now_ms: u64,
    neighbours: Vec<Neighbour>,
    author: Ed25519Keypair,
    next: u64,
    tally: Tally,
}

#[derive(Clone)]
struct Neighbour {
    peer: PeerId,
    connection: ConnectionId,
    inbound: StreamId,
}

fn keypair(number: u8) -> Ed25519Keypair {
    Ed25519Keypair::from_secret_key_bytes([number; 32])
}

fn frame(rpc: &Rpc) -> Bytes {
    Bytes::from(encode_frame(&rpc.encode()))
}

impl Agent {
    /// All neighbours are in the mesh.
    pub fn new() -> Result<Self> {
        let config =
            GossipsubConfig { d: MESH, d_low: MESH, d_high: MESH, ..GossipsubConfig::default() };
        let agent = GossipsubAgent::new(keypair(1), config, 1, 1);
        let mut all = Self {
            agent: agent.map_err(|error| anyhow!("{error}"))?,
            now_ms: 0,
            neighbours: Vec::new(),
            author: keypair(u8::MAX),
            next: 1,
            tally: Tally::default(),
        };
        all.agent.subscribe(TOPIC, 0).map_err(|error| anyhow!("{error}"))?;
        for number in 2..2 + MESH {
            all.add(u8::try_from(number)?)?;
        }
        ensure!(all.agent.mesh_peers(TOPIC).len() == MESH, "not all are in the mesh");
        Ok(all)
    }

    fn add(&mut self, number: u8) -> Result<()> {
        let peer_id = keypair(number).peer_id();
        let conn_id = ConnectionId::new(u64::from(number));
        let stream = |at: u64| StreamId::new(2 * u64::from(number) + at);
        let (outbound, inbound) = (stream(0), stream(1));
        let protocol_id = MESHSUB_PROTOCOL_ID_V11.to_owned();
        self.tell(&SwarmEvent::ConnectionEstablished { peer_id: peer_id.clone(), conn_id });
        let protocols = vec![protocol_id.clone()];
        self.tell(&SwarmEvent::PeerReady { peer_id: peer_id.clone(), conn_id, protocols });
        let token = core::iter::from_fn(|| self.agent.poll_action())
            .find_map(|action| match action {
                GossipsubAction::OpenStream { token, .. } => Some(token),
                _ => None,
            })
            .context("a stream is asked for")?;
        self.agent.stream_open_result(&peer_id, token, Ok(outbound), self.now_ms);
        for (stream_id, initiated_locally) in [(outbound, true), (inbound, false)] {
            self.tell(&SwarmEvent::StreamReady {
                peer_id: peer_id.clone(),
                conn_id,
                stream_id,
                protocol_id: protocol_id.clone(),
                initiated_locally,
            });
            self.settle();
        }
        self.neighbours.push(Neighbour { peer: peer_id, connection: conn_id, inbound });
        let subscription = SubOpts { subscribe: Some(true), topic_id: Some(TOPIC.to_owned()) };
        let subscriptions = vec![subscription];
        let said = frame(&Rpc { subscriptions, publish: Vec::new(), control: None });
        self.bring(self.neighbours.len() - 1, said);
        Ok(())
    }

    fn tell(&mut self, event: &SwarmEvent) {
        self.agent.handle_event(event, self.now_ms);
    }

    fn settle(&mut self) {
        while let Some(action) = self.agent.poll_action() {
            if let GossipsubAction::SendStream { token, peer, stream_id, .. } = action {
                self.tally.sent += 1;
                self.agent.send_result(&peer, stream_id, token, Ok(()), self.now_ms);
            }
        }
        while let Some(event) = self.agent.poll_event() {
            self.tally.delivered += u64::from(matches!(event, GossipsubEvent::Message { .. }));
        }
    }
}

impl Machine for Agent {
    fn data(&mut self) -> Bytes {
        numbered(&mut self.next).into()
    }

    fn messages(&mut self, count: u64) -> Result<Vec<Bytes>> {
        let message = |_| {
            let data = numbered(&mut self.next);
            let message = RawMessage::build_signed(&self.author, TOPIC, data, self.next);
            frame(&Rpc { subscriptions: Vec::new(), publish: vec![message], control: None })
        };
        Ok((0..count).map(message).collect())
    }

    fn publish(&mut self, data: Bytes) -> Result<()> {
        let published = self.agent.publish(TOPIC, data.into(), self.now_ms);
        published.map_err(|error| anyhow!("{error}"))?;
        self.settle();
        Ok(())
    }

    fn bring(&mut self, neighbour: usize, data: Bytes) {
        let Neighbour { peer, connection, inbound } = self.neighbours[neighbour].clone();
        self.tell(&SwarmEvent::StreamData {
            peer_id: peer,
            conn_id: connection,
            stream_id: inbound,
            data,
        });
        self.settle();
    }

    fn second(&mut self) {
        self.now_ms += 1000;
        self.agent.handle_tick(self.now_ms);
        self.settle();
    }

    fn tally(&self) -> Tally {
        self.tally
    }
}
