//! [`Ours`]: a peer of ours, on any of the runtimes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use libp2p::Multiaddr;
use sanspeer_conformance::peer::runtime::RuntimeName;
use sanspeer_core::gossip::{GossipConfig, GossipEvent, GossipVersion, Topic};
use sanspeer_core::identity::PeerId;
use sanspeer_core::node::NodeEvent;
use sanspeer_driver::{
    Config, Delivery, Event, Events, Handle, SecurityProtocol, Subscription, start,
};
use sanspeer_smol::{AsyncStd, Smol};
use sanspeer_tokio::Tokio;

use super::inbox::{Inbox, Letter};
use super::{Ids, QUEUE_TIME, TOPIC};
use crate::transport::Transport;

/// A peer of ours. It is shut down when it is dropped.
pub(crate) struct Ours {
    pub(crate) node: Handle,
    pub(crate) topic: Topic,
    pub(crate) address: Multiaddr,
    pub(crate) inbox: Arc<Inbox>,
    /// What each remote speaks.
    pub(crate) versions: Arc<Mutex<BTreeMap<PeerId, GossipVersion>>>,
}

impl Ours {
    /// The numbers of gossip that tests start from: the default, but nothing is lost because the
    /// machine is slow.
    pub(crate) fn config(ids: Ids) -> GossipConfig {
        let mut config = GossipConfig { message_id: ids.of_ours(), ..GossipConfig::default() };
        config.publish_queue.max_age = QUEUE_TIME;
        config.forward_queue.max_age = QUEUE_TIME;
        // As many long messages as a test publishes at once.
        config.publish_queue.max_bytes = 32 * 1024 * 1024;
        config.forward_queue.max_bytes = 32 * 1024 * 1024;
        config
    }

    /// A peer that listens and is in the topic.
    pub(crate) async fn start(
        runtime: RuntimeName,
        transport: Transport,
        gossip: GossipConfig,
    ) -> Ours {
        let mut config = Config::ephemeral().expect("a key");
        config.security = vec![SecurityProtocol::Noise];
        config.gossip = Some(gossip);
        config.node.idle_timeout = None;
        let node = match runtime {
            RuntimeName::Tokio => start(Tokio::current(), config),
            RuntimeName::Smol => start(Smol::global(), config),
            RuntimeName::AsyncStd => start(AsyncStd::new(), config),
        };
        let node = node.expect("a node");
        let any_port = transport.multiaddr("127.0.0.1:0".parse().expect("an address"));
        let (_, address) = node.listen(any_port).await.expect("a listener");
        let address = address.with_p2p(node.peer_id()).expect("no other peer in it");
        let topic = Topic::new(TOPIC).expect("a topic");
        let inbox = Arc::<Inbox>::default();
        let versions = Arc::<Mutex<BTreeMap<_, _>>>::default();
        tokio::spawn(hear(node.events(), Arc::clone(&versions)));
        let subscription = node.subscribe(&topic).await.expect("a topic");
        tokio::spawn(take(subscription, Arc::clone(&inbox)));
        Ours { node, topic, address, inbox, versions }
    }

    pub(crate) async fn publish(&self, data: Vec<u8>) -> Result<(), String> {
        let published = self.node.publish(&self.topic, Bytes::from(data)).await;
        published.map(|_| ()).map_err(|error| error.to_string())
    }
}

async fn hear(mut events: Events, versions: Arc<Mutex<BTreeMap<PeerId, GossipVersion>>>) {
    while let Some(event) = events.next().await {
        if let Event::Node(NodeEvent::Gossip(GossipEvent::PeerSpeaks { peer, version })) = event {
            let mut versions = versions.lock().expect("no panic while the versions are locked");
            versions.insert(peer, version);
        }
    }
}

async fn take(mut subscription: Subscription, inbox: Arc<Inbox>) {
    while let Some(delivery) = subscription.next().await {
        match delivery {
            Delivery::Message(received) => match received.message.source {
                Some(author) => inbox.put(Letter::new(author, &received.message.data)),
                None => inbox.note("a message without an author".to_owned()),
            },
            Delivery::Missed(count) => inbox.note(format!("{count} messages missed")),
        }
    }
}
