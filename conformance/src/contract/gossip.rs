//! Topics: what is published arrives once at everybody who holds a subscription.

use bytes::Bytes;
use sanspeer_core::gossip::{Acceptance, GossipConfig, GossipEvent, Topic, Validation};
use sanspeer_core::node::NodeEvent;
use sanspeer_driver::runtime::Runtime;
use sanspeer_driver::{Delivery, Handle, ReceivedMessage, Subscription};

use super::world::{a_moment, in_time, listen, node, node_with, wait_for};

fn topic() -> Topic {
    Topic::new("contract").expect("a valid topic")
}

fn gossiping<R: Runtime>(runtime: &R, config: GossipConfig) -> Handle {
    node_with(runtime, |node| node.gossip = Some(config))
}

async fn message(subscription: &mut Subscription) -> ReceivedMessage {
    match subscription.next().await.expect("the node is there") {
        Delivery::Message(received) => received,
        Delivery::Missed(count) => panic!("{count} messages missed"),
    }
}

/// Connects, and waits until each side knows that the other is in the topic.
async fn meet(dialer: &Handle, listener: &Handle, address: &str) {
    let (mut dialed, mut listened) = (dialer.events(), listener.events());
    let (_, address) = listen(listener, address).await;
    dialer.dial(address).await.expect("a connection");
    for events in [&mut dialed, &mut listened] {
        wait_for(events, |event| {
            let NodeEvent::Gossip(GossipEvent::Subscribed { topic: joined, .. }) = event else {
                return None;
            };
            (*joined == topic()).then_some(())
        })
        .await;
    }
}

async fn messages_arrive_both_ways<R: Runtime>(runtime: R, address: &str) {
    in_time(&runtime, async {
        let (one, other) = (
            gossiping(&runtime, GossipConfig::default()),
            gossiping(&runtime, GossipConfig::default()),
        );
        let mut at_one = one.subscribe(&topic()).await.expect("a topic");
        let mut at_other = other.subscribe(&topic()).await.expect("a topic");
        meet(&one, &other, address).await;
        for number in 0..20u8 {
            let data = Bytes::from(vec![number; 2_000]);
            let published = one.publish(&topic(), data.clone()).await.expect("a peer to send to");
            assert_eq!(published.queued_for, 1);
            let received = message(&mut at_other).await;
            assert_eq!(received.message.id, published.id);
            assert_eq!(received.message.source, Some(one.peer_id()));
            assert_eq!(received.message.data, data);
            let answer = Bytes::from(vec![number]);
            other.publish(&topic(), answer.clone()).await.expect("a peer to send to");
            assert_eq!(message(&mut at_one).await.message.data, answer);
        }
        assert_eq!(one.topic_peers(&topic()).await.expect("gossip"), [other.peer_id()]);
        one.shutdown().await;
        other.shutdown().await;
        assert_eq!(at_one.next().await, None);
    })
    .await;
}

pub async fn messages_arrive_once_over_tcp<R: Runtime>(runtime: R) {
    messages_arrive_both_ways(runtime, "/ip4/127.0.0.1/tcp/0").await;
}

pub async fn messages_arrive_once_over_quic<R: Runtime>(runtime: R) {
    messages_arrive_both_ways(runtime, "/ip4/127.0.0.1/udp/0/quic-v1").await;
}

pub async fn a_message_goes_on_when_it_is_accepted<R: Runtime>(runtime: R) {
    in_time(&runtime, async {
        let wait = Validation::Wait(core::time::Duration::from_secs(60));
        let deciding = GossipConfig { validation: wait, ..GossipConfig::default() };
        let author = gossiping(&runtime, GossipConfig::default());
        let middle = gossiping(&runtime, deciding);
        let last = gossiping(&runtime, GossipConfig::default());
        let _at_author = author.subscribe(&topic()).await.expect("a topic");
        let mut at_middle = middle.subscribe(&topic()).await.expect("a topic");
        let mut at_last = last.subscribe(&topic()).await.expect("a topic");
        meet(&author, &middle, "/memory/0").await;
        meet(&last, &middle, "/memory/0").await;
        // A peer in the mesh of the one in the middle gets what that accepts.
        while middle.mesh_peers(&topic()).await.expect("gossip").len() < 2 {
            a_moment(&runtime).await;
        }
        for data in [&b"good"[..], b"bad", b"good again"] {
            author.publish(&topic(), Bytes::from_static(data)).await.expect("a peer to send to");
            let received = message(&mut at_middle).await;
            assert!(received.needs_verdict);
            let bad = received.message.data == "bad";
            let acceptance = if bad { Acceptance::Reject } else { Acceptance::Accept };
            let waited = middle.report(received.message.id, acceptance).await.expect("gossip");
            assert!(waited, "a message waits for its verdict once");
        }
        assert_eq!(message(&mut at_last).await.message.data, "good");
        assert_eq!(message(&mut at_last).await.message.data, "good again");
        let score = middle.score(author.peer_id()).await.expect("gossip").expect("a known peer");
        let (_, of_topic) = score.topics.first().expect("a topic that is scored");
        assert!(of_topic.invalid_message_deliveries.value > 0.0, "{score:?}");
    })
    .await;
}

pub async fn a_topic_is_left_with_its_last_subscription<R: Runtime>(runtime: R) {
    in_time(&runtime, async {
        let (one, other) = (
            gossiping(&runtime, GossipConfig::default()),
            gossiping(&runtime, GossipConfig::default()),
        );
        let first = one.subscribe(&topic()).await.expect("a topic");
        let second = one.subscribe(&topic()).await.expect("the same topic");
        let _at_other = other.subscribe(&topic()).await.expect("a topic");
        meet(&one, &other, "/memory/0").await;
        let mut events = other.events();
        drop(first);
        assert_eq!(one.topics().await.expect("gossip"), [topic()]);
        drop(second);
        let left = wait_for(&mut events, |event| {
            let NodeEvent::Gossip(GossipEvent::Unsubscribed { peer, .. }) = event else {
                return None;
            };
            Some(*peer)
        });
        assert_eq!(left.await, one.peer_id());
    })
    .await;
}

pub async fn a_node_that_does_not_gossip_says_so<R: Runtime>(runtime: R) {
    in_time(&runtime, async {
        let silent = node(&runtime);
        assert!(silent.subscribe(&topic()).await.is_err());
        assert!(silent.publish(&topic(), Bytes::new()).await.is_err());
    })
    .await;
}
