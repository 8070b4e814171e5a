//! What happens, as messages that begin with `P2P:`.

use sanspeer_core::gossip::GossipEvent;
use sanspeer_core::node::NodeEvent;
use sanspeer_tokio::{Delivery, Event, Events, Subscription};

/// Logs until the node ends.
pub(crate) async fn log(mut events: Events) {
    while let Some(event) = events.next().await {
        match event {
            Event::Node(event) => log_one(&event),
            Event::Missed(number) => tracing::warn!("P2P: {number} events were not logged"),
        }
    }
}

/// Logs the messages of a topic until the node ends. As long as this runs, the node is in the topic.
pub(crate) async fn log_messages(mut subscription: Subscription) {
    while let Some(delivery) = subscription.next().await {
        let topic = subscription.topic();
        match delivery {
            Delivery::Message(received) => {
                let (message, via) = (received.message, received.propagation_source);
                let length = message.data.len();
                match message.source {
                    Some(source) => {
                        tracing::info!("P2P: {topic:?}: {length} bytes of {source}, from {via}");
                    }
                    None => tracing::info!("P2P: {topic:?}: {length} bytes, from {via}"),
                }
            }
            Delivery::Missed(number) => {
                tracing::warn!("P2P: {topic:?}: {number} messages were not logged");
            }
        }
    }
}

fn log_one(event: &NodeEvent) {
    match event {
        NodeEvent::PeerConnected { peer, connected } => {
            tracing::info!("P2P: {peer} connected at {}", connected.address);
        }
        NodeEvent::PeerDisconnected { peer, reason } => {
            tracing::info!("P2P: {peer} disconnected: {reason}");
        }
        NodeEvent::ConnectionOpened { peer, connected } => {
            tracing::debug!("P2P: connection {} of {peer} opened", connected.connection);
        }
        NodeEvent::ConnectionClosed { peer, connection, reason } => {
            tracing::debug!("P2P: connection {connection} of {peer} closed: {reason}");
        }
        NodeEvent::PreferredConnection { peer, connection } => {
            tracing::debug!("P2P: connection {connection} of {peer} is preferred");
        }
        NodeEvent::Refused { address, peer: Some(peer), reason } => {
            tracing::warn!("P2P: {peer} at {address} refused: {reason}");
        }
        NodeEvent::Refused { address, peer: None, reason } => {
            tracing::warn!("P2P: {address} refused: {reason}");
        }
        NodeEvent::InboundFailed { address, reason } => {
            tracing::warn!("P2P: handshake of {address} failed: {reason}");
        }
        NodeEvent::Identified { peer, info } => {
            tracing::info!("P2P: {peer} runs {:?}", info.agent);
        }
        NodeEvent::Listening { address, .. } => tracing::info!("P2P: listening on {address}"),
        NodeEvent::AddressGone { address, .. } => {
            tracing::info!("P2P: not listening on {address} any more");
        }
        NodeEvent::ListenerFailed { failure, .. } => {
            tracing::error!("P2P: a listener failed: {failure}");
        }
        NodeEvent::Penalty { peer, protocol, reason, points } => {
            tracing::warn!("P2P: {protocol}: {peer} did wrong ({points} points): {reason}");
        }
        NodeEvent::Gossip(event) => log_gossip(event),
        NodeEvent::Protocol { name, event } => {
            tracing::debug!("P2P: {name}: event of {} bytes", event.len());
        }
    }
}

/// Messages are logged by their topics.
fn log_gossip(event: &GossipEvent) {
    match event {
        GossipEvent::Message { .. } => {}
        GossipEvent::SlowPeer { peer, lost } => {
            tracing::warn!("P2P: {peer} is slow and lost messages: {lost:?}");
        }
        GossipEvent::Subscribed { .. }
        | GossipEvent::Unsubscribed { .. }
        | GossipEvent::PeerSpeaks { .. }
        | GossipEvent::NotSupported { .. }
        | GossipEvent::Grafted { .. }
        | GossipEvent::Pruned { .. } => tracing::debug!("P2P: gossip: {event:?}"),
    }
}
