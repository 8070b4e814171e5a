//! [`Theirs`]: a peer of rust-libp2p.

use std::sync::Arc;

use futures::StreamExt as _;
use libp2p::gossipsub::{
    self, ConfigBuilder, IdentTopic, MessageAuthenticity, PeerScoreParams, PeerScoreThresholds,
    TopicScoreParams,
};
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, SwarmBuilder, identify, noise, tcp, yamux};
use tokio::sync::{mpsc, oneshot};

use super::inbox::{Inbox, Letter};
use super::{Ids, PATIENCE, QUEUE_TIME, TOPIC};
use crate::transport::Transport;

/// What is accepted of others, and sent, in bytes: room for the longest message of the tests.
const MAX_TRANSMIT_BYTES: usize = 1024 * 1024;

/// Gossip, and identify, which real peers have.
#[derive(NetworkBehaviour)]
pub(crate) struct Whole {
    pub(crate) gossip: gossipsub::Behaviour,
    identify: identify::Behaviour,
}

type Order = Box<dyn FnOnce(&mut Swarm<Whole>) + Send>;

/// A peer of rust-libp2p. It is gone when it is dropped.
pub(crate) struct Theirs {
    pub(crate) peer_id: PeerId,
    pub(crate) address: Multiaddr,
    pub(crate) inbox: Arc<Inbox>,
    orders: mpsc::UnboundedSender<Order>,
}

impl Theirs {
    /// The numbers that tests start from: the default, but longer messages, and nothing is lost
    /// because the machine is slow.
    pub(crate) fn config(ids: Ids) -> ConfigBuilder {
        let mut config = ConfigBuilder::default();
        config
            .max_transmit_size(MAX_TRANSMIT_BYTES)
            .publish_queue_duration(QUEUE_TIME)
            .forward_queue_duration(QUEUE_TIME)
            // Five seconds otherwise, which is only waiting.
            .heartbeat_initial_delay(std::time::Duration::from_millis(100));
        if let Some(ids) = ids.of_theirs() {
            config.message_id_fn(ids);
        }
        config
    }

    /// A peer that listens and is in the topic. It scores others if it has numbers for the topic.
    pub(crate) async fn start(
        transport: Transport,
        config: &ConfigBuilder,
        scored: Option<TopicScoreParams>,
    ) -> Theirs {
        let mut swarm = swarm(transport, config, scored);
        let any_port = transport.multiaddr("127.0.0.1:0".parse().expect("an address"));
        swarm.listen_on(any_port).expect("a listener");
        let peer_id = *swarm.local_peer_id();
        let address = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                break address.with(Protocol::P2p(peer_id));
            }
        };
        let topic = IdentTopic::new(TOPIC);
        swarm.behaviour_mut().gossip.subscribe(&topic).expect("a topic");
        let inbox = Arc::<Inbox>::default();
        let (orders, taken) = mpsc::unbounded_channel();
        tokio::spawn(drive(swarm, Arc::clone(&inbox), taken));
        Theirs { peer_id, address, inbox, orders }
    }

    /// Asks the swarm, between two of its events.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Swarm<Whole>) -> T + Send + 'static,
    ) -> T {
        let (reply, answer) = oneshot::channel();
        let order: Order = Box::new(move |swarm| drop(reply.send(question(swarm))));
        assert!(self.orders.send(order).is_ok(), "the swarm runs");
        answer.await.expect("the swarm runs")
    }

    pub(crate) async fn publish(&self, data: Vec<u8>) -> Result<(), String> {
        let topic = IdentTopic::new(TOPIC);
        let published = self.ask(move |swarm| swarm.behaviour_mut().gossip.publish(topic, data));
        published.await.map(|_| ()).map_err(|error| error.to_string())
    }
}

fn swarm(
    transport: Transport,
    config: &ConfigBuilder,
    scored: Option<TopicScoreParams>,
) -> Swarm<Whole> {
    let config = config.build().expect("a sound configuration");
    let behaviour = move |key: &Keypair| {
        let signed = MessageAuthenticity::Signed(key.clone());
        let mut gossip = gossipsub::Behaviour::new(signed, config).expect("a sound configuration");
        if let Some(of_topic) = scored {
            let mut scores = PeerScoreParams::default();
            scores.topics.insert(IdentTopic::new(TOPIC).hash(), of_topic);
            let thresholds = PeerScoreThresholds::default();
            gossip.with_peer_score(scores, thresholds).expect("sound scores");
        }
        let identify = identify::Config::new("interop/1.0.0".to_owned(), key.public());
        Whole { gossip, identify: identify::Behaviour::new(identify) }
    };
    let builder = SwarmBuilder::with_new_identity().with_tokio();
    let tune = |swarm: libp2p::swarm::Config| swarm.with_idle_connection_timeout(PATIENCE);
    match transport {
        Transport::Quic => {
            let builder = builder.with_quic().with_behaviour(behaviour);
            builder.expect("a behaviour").with_swarm_config(tune).build()
        }
        Transport::TcpNoise => {
            let tcp = tcp::Config::default();
            let builder = builder.with_tcp(tcp, noise::Config::new, yamux::Config::default);
            let builder = builder.expect("Noise").with_behaviour(behaviour);
            builder.expect("a behaviour").with_swarm_config(tune).build()
        }
        Transport::TcpTls | Transport::PnetNoise(_) => panic!("gossip is tried without these"),
    }
}

async fn drive(
    mut swarm: Swarm<Whole>,
    inbox: Arc<Inbox>,
    mut orders: mpsc::UnboundedReceiver<Order>,
) {
    loop {
        tokio::select! {
            event = swarm.select_next_some() => hear(event, &inbox),
            order = orders.recv() => match order {
                Some(order) => order(&mut swarm),
                None => return,
            },
        }
    }
}

fn hear(event: SwarmEvent<WholeEvent>, inbox: &Inbox) {
    if let SwarmEvent::OutgoingConnectionError { error, .. } = event {
        inbox.note(error.to_string());
    } else if let SwarmEvent::Behaviour(WholeEvent::Gossip(event)) = event {
        match event {
            gossipsub::Event::Message { message, .. } => match message.source {
                Some(author) => inbox.put(Letter::new(author, &message.data)),
                None => inbox.note("a message without an author".to_owned()),
            },
            gossipsub::Event::GossipsubNotSupported { .. } | gossipsub::Event::SlowPeer { .. } => {
                inbox.note(format!("{event:?}"));
            }
            gossipsub::Event::Subscribed { .. } | gossipsub::Event::Unsubscribed { .. } => {}
        }
    }
}
