//! [`Neighbourhood`]: a machine, and the peers around it, played by hand.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use bytes::Bytes;
use sanspeer_core::gossip::{
    Author, Gossip, GossipConfig, GossipEvent, MessageFields, Outgoing, SendLimits,
    SignaturePolicy, Topic, WireMessage, publish_frame,
};
use sanspeer_core::identity::Identity;
use sanspeer_core::mailbox::{Frame, RequestId};
use sanspeer_core::mux::{Role, StreamId};
use sanspeer_core::node::{ConnectionId, Protocol, ProtocolInput, ProtocolOutput, StreamRef};
use sanspeer_core::protocol::ProtocolId;
use sanspeer_core::rng::Seed;
use sanspeer_core::time::Timestamp;

use super::work::{Machine, Tally, numbered};

const SELF_SEED: u64 = 0;
/// Nobody's who is connected.
const AUTHOR_SEED: u64 = u64::MAX;

/// A machine and its neighbours. What it sends leaves at once.
pub struct Neighbourhood {
    pub gossip: Gossip,
    pub now: Timestamp,
    topic: Topic,
    /// The streams on which neighbours speak to us.
    inbound: Vec<StreamRef>,
    tally: Tally,
    credit: Vec<(StreamRef, u64)>,
    asked: Vec<RequestId>,
    stranger: Stranger,
}

/// Writes messages that neighbours bring.
struct Stranger {
    policy: SignaturePolicy,
    /// Whether the signatures are looked at.
    is_checked: bool,
    author: Author,
    source: Bytes,
    next: u64,
}

impl Neighbourhood {
    /// `peers` neighbours in one topic of ours. `is_checked` says whether the machine looks at
    /// signatures itself, so that they have to hold.
    pub fn new(config: GossipConfig, peers: usize, is_checked: bool) -> Result<Self> {
        let protocols: Vec<ProtocolId> =
            config.protocols.iter().map(|spoken| spoken.protocol.clone()).collect();
        let protocol = protocols.first().context("a protocol")?;
        let (policy, degree) = (config.signatures, config.mesh.degree);
        let author = Identity::ed25519(&Seed::from_u64(AUTHOR_SEED));
        let source = Bytes::from(author.peer_id().to_bytes());
        let identity = Identity::ed25519(&Seed::from_u64(SELF_SEED));
        let mut all = Self {
            gossip: Gossip::new(config, identity, &Seed::from_u64(SELF_SEED))?,
            now: Timestamp::ZERO,
            topic: Topic::new("bench")?,
            inbound: Vec::new(),
            tally: Tally::default(),
            credit: Vec::new(),
            asked: Vec::new(),
            stranger: Stranger {
                policy,
                is_checked,
                author: Author::new(author, 1),
                source,
                next: 1,
            },
        };
        all.gossip.subscribe(all.now, &all.topic)?;
        for number in 0..peers {
            all.add(number, protocol)?;
        }
        for _ in 0..5 {
            all.second();
        }
        let mesh = all.gossip.mesh_peers(&all.topic).len();
        ensure!(mesh >= degree.min(peers), "{mesh} of {peers} peers are in the mesh");
        Ok(all)
    }

    fn add(&mut self, number: usize, protocol: &ProtocolId) -> Result<()> {
        let place = number as u64 + 1;
        let peer = Identity::ed25519(&Seed::from_u64(place)).peer_id();
        let connection = ConnectionId(place);
        let at = |stream| StreamRef { connection, stream: StreamId(stream) };
        let (outbound, inbound) = (at(0), at(1));
        let role = if number.is_multiple_of(2) { Role::Dialer } else { Role::Listener };
        // Each at an address of its own.
        let [.., high, low] = place.to_be_bytes();
        let address = format!("/ip4/20.0.{high}.{low}/tcp/4001").parse()?;
        self.tell(ProtocolInput::ConnectionOpened { peer, connection, role, address, first: true });
        let request = core::iter::from_fn(|| self.gossip.poll())
            .find_map(|output| match output {
                ProtocolOutput::Open { request, .. } => Some(request),
                _ => None,
            })
            .context("a stream is asked for")?;
        let (stream, protocol) = (outbound, protocol.clone());
        self.tell(ProtocolInput::StreamOpened {
            request,
            peer,
            stream,
            protocol: protocol.clone(),
        });
        let stream = inbound;
        self.tell(ProtocolInput::InboundStream { peer, stream, protocol });
        let subscriptions = vec![(true, self.topic.clone())];
        let said = Outgoing { subscriptions, ..Outgoing::default() };
        for frame in said.frames(&SendLimits::default()) {
            self.tell(ProtocolInput::Frame { stream, frame: joined(&frame) });
        }
        self.settle();
        self.inbound.push(inbound);
        Ok(())
    }

    fn tell(&mut self, input: ProtocolInput) {
        self.gossip.handle(self.now, input);
    }

    /// Does what Node, connections and the application do, until nothing is left.
    pub fn settle(&mut self) {
        loop {
            while let Some(output) = self.gossip.poll() {
                match output {
                    ProtocolOutput::Send { stream, frame } => {
                        self.tally.sent += 1;
                        self.credit.push((stream, frame.len() as u64));
                    }
                    ProtocolOutput::Verify { request, .. } => self.asked.push(request),
                    _ => {}
                }
            }
            while let Some(event) = self.gossip.poll_event() {
                self.tally.delivered += u64::from(matches!(event, GossipEvent::Message { .. }));
            }
            if self.credit.is_empty() && self.asked.is_empty() {
                return;
            }
            for (stream, bytes) in self.credit.drain(..) {
                self.gossip.handle(self.now, ProtocolInput::Credit { stream, bytes });
            }
            for request in self.asked.drain(..) {
                self.gossip.handle(self.now, ProtocolInput::Verified { request, valid: true });
            }
        }
    }

    /// Lets time pass, and does what is due.
    fn wait(&mut self, time: Duration) {
        let end = self.now.saturating_add(time);
        while let Some(due) = self.gossip.poll_timeout().filter(|due| due.at <= end) {
            self.now = self.now.max(due.at);
            self.tell(ProtocolInput::Timeout);
            self.settle();
        }
        self.now = end;
    }
}

impl Machine for Neighbourhood {
    fn data(&mut self) -> Bytes {
        numbered(&mut self.stranger.next).into()
    }

    fn messages(&mut self, count: u64) -> Result<Vec<Bytes>> {
        (0..count).map(|_| self.stranger.message(&self.topic)).collect()
    }

    fn publish(&mut self, data: Bytes) -> Result<()> {
        let published = self.gossip.publish(self.now, &self.topic, data);
        published.map_err(|error| anyhow!("{error}"))?;
        self.settle();
        Ok(())
    }

    fn bring(&mut self, neighbour: usize, frame: Bytes) {
        let stream = self.inbound[neighbour];
        self.tell(ProtocolInput::Frame { stream, frame });
        self.settle();
    }

    fn second(&mut self) {
        self.wait(Duration::from_secs(1));
    }

    fn tally(&self) -> Tally {
        self.tally
    }
}

impl Stranger {
    fn message(&mut self, topic: &Topic) -> Result<Bytes> {
        let data = numbered(&mut self.next);
        let message: WireMessage = if self.policy.signs() && !self.is_checked {
            let mut fields = MessageFields::new(topic.clone(), data);
            fields.from = Some(self.source.clone());
            fields.seqno = Some(Bytes::copy_from_slice(&self.next.to_be_bytes()));
            fields.signature = Some(vec![7; 64].into());
            fields.encode()
        } else {
            self.author.message(self.policy, topic.clone(), data)?
        };
        Ok(joined(&publish_frame(&message)))
    }
}

/// A frame as it arrives.
fn joined(frame: &Frame) -> Bytes {
    [&frame.head[..], &frame.body[..]].concat().into()
}
