//! The gossip test, the same on every runtime.

use anyhow::{Context as _, Result};
use sanspeer_driver::sanspeer_core::gossip::{GossipConfig, Topic};
use sanspeer_driver::{Config, Delivery, Handle, Subscription};
use tokio::sync::mpsc;

use super::{config, listen};
use crate::api::{GossipOut, GossipPlan, Opts};
use crate::executor::Executor;
use crate::gossip_board::{Board, Inbox, TOPIC};

/// Runs the plan with nodes that `start` makes on the runtime of `E`. Gossip has its default numbers.
pub async fn run<E: Executor>(
    opts: Opts,
    plan: GossipPlan,
    start: impl Fn(Config) -> Result<Handle> + Send + Sync,
) -> Result<GossipOut> {
    let topic = Topic::new(TOPIC)?;
    let board = Board::new(&plan);
    let (mut nodes, mut addresses) = (Vec::new(), Vec::new());
    for _ in 0..plan.nodes {
        let mut config = config()?;
        config.gossip = Some(GossipConfig::default());
        let node = start(config)?;
        let subscription = node.subscribe(&topic).await?;
        drop(E::spawn(receive(subscription, Inbox::new(&board))));
        addresses.push(listen(&node, &opts).await?);
        nodes.push(node);
    }
    for &(from, to) in &plan.edges {
        nodes[from].dial(addresses[to].parse()?).await.context("dial")?;
    }
    let mut publishers = Vec::new();
    for node in &nodes {
        let (publisher, mut indices) = mpsc::unbounded_channel::<usize>();
        publishers.push(publisher);
        let (node, board, topic) = (node.clone(), board.clone(), topic.clone());
        drop(E::spawn(async move {
            while let Some(index) = indices.recv().await {
                let data = board.message(index).into();
                board.published(index, node.publish(&topic, data).await);
            }
        }));
    }
    let publish = move |node: usize, index| publishers[node].send(index).expect("node runs");
    Ok(board.run_async(publish).await)
}

/// What the application's queue of 512 messages had no room for is lost.
async fn receive(mut subscription: Subscription, mut inbox: Inbox) {
    while let Some(delivery) = subscription.next().await {
        if let Delivery::Message(received) = delivery {
            inbox.deliver(&received.message.data);
        }
    }
}
