//! Where the messages of topics come from.

use sanspeer_core::gossip::Topic;
use sanspeer_tokio::{Node, Subscription};
use tokio::sync::mpsc;

use super::heard::Heard;
use crate::error::Error;

/// Messages that may wait for one subscriber, beside those of its subscriptions.
pub(crate) const WAITING_MESSAGES: usize = 16;

/// Joins topics.
pub(crate) async fn subscribe(node: &Node, topics: &[Topic]) -> Result<Vec<Subscription>, Error> {
    let mut subscriptions = Vec::new();
    for topic in topics {
        let joined = node.subscribe(topic).await;
        let joined = joined.map_err(|source| Error::Join { topic: topic.clone(), source })?;
        subscriptions.push(joined);
    }
    Ok(subscriptions)
}

/// Passes on what a subscription gives, until the node ends or nobody is there to take it.
pub(crate) async fn pass_on(mut subscription: Subscription, to: mpsc::Sender<Heard>) {
    loop {
        let delivery = tokio::select! {
            () = to.closed() => return,
            delivery = subscription.next() => delivery,
        };
        let Some(delivery) = delivery else { return };
        let heard = Heard::new(subscription.topic().as_str(), delivery);
        if to.send(heard).await.is_err() {
            return;
        }
    }
}
