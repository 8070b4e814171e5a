//! [`Occasion`]: a node that is started for one command.

use core::time::Duration;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use multiaddr::{Multiaddr, Protocol};
use sanspeer_core::gossip::{GossipCommand, GossipReply, QueueLimits, Topic};
use sanspeer_core::identity::Identity;
use sanspeer_tokio::Node;
use tokio::time::{Instant, sleep, timeout_at};

use crate::bootstrap::{self, Outcome};
use crate::cli::MeetingArgs;
use crate::config::{ConfigFile, Settings};
use crate::error::Error;
use crate::pubsub::{self, Nobody, PublishFailure, PublishReport};
use crate::setup;

/// How long peers have to read what was published, when all of it is.
const FINISH: Duration = Duration::from_secs(5);

/// How often they are asked whether they have.
const FINISH_CHECK: Duration = Duration::from_millis(5);

/// What may wait for a peer: little, so that one that reads slowly slows us down, and for long, so
/// that it loses nothing.
const PUBLISH_QUEUE: QueueLimits =
    QueueLimits { max_bytes: 256 * 1024, max_age: Duration::from_secs(60) };

/// A node that is started for one command.
pub(crate) struct Occasion {
    node: Node,
    /// Whom it meets.
    peers: Vec<Multiaddr>,
    /// Why it did not, the first time.
    failure: Arc<Mutex<Option<String>>>,
}

impl Occasion {
    /// Starts a node, which listens where it is told to and prints that on stderr. It dials nobody
    /// before [`Occasion::meet`].
    pub(crate) async fn start(
        data: &Path,
        settings: &Settings,
        meeting: &MeetingArgs,
        identity: Identity,
    ) -> Result<Occasion, Error> {
        let peers = match meeting.peer.is_empty() {
            true => settings.bootstrap_peers.clone(),
            false => meeting.peer.clone(),
        };
        if peers.is_empty() && meeting.listen.is_empty() {
            return Err(Error::NobodyToMeet(ConfigFile::path(data)));
        }
        let mut config = setup::node_config(settings, identity);
        if let Some(gossip) = &mut config.gossip {
            gossip.publish_queue = PUBLISH_QUEUE;
        }
        let node = setup::start(config).await?;
        for address in &meeting.listen {
            let bound = node.listen(address.clone()).await;
            let (_, bound) =
                bound.map_err(|source| Error::Listen { address: address.clone(), source })?;
            eprintln!("{}", bound.with(Protocol::P2p(node.peer_id())));
        }
        Ok(Occasion { node, peers, failure: Arc::default() })
    }

    /// The node.
    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    /// Keeps its peers connected from now on.
    pub(crate) fn meet(&self) {
        for address in &self.peers {
            let failure = Arc::clone(&self.failure);
            let told = move |outcome: Outcome<'_>| {
                let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
                match outcome {
                    Ok(_) => *failure = None,
                    Err(error) => {
                        failure.get_or_insert_with(|| error.to_string());
                    }
                }
            };
            tokio::spawn(bootstrap::keep_connected(self.node.clone(), address.clone(), told));
        }
    }

    /// Publishes, see [`pubsub::publish()`].
    pub(crate) async fn publish(
        &self,
        topic: &Topic,
        data: Bytes,
        patience: Duration,
    ) -> Result<PublishReport, Error> {
        let result = pubsub::publish(&self.node, topic, data, patience).await;
        result.map_err(|failure| match failure {
            PublishFailure::Nobody(nobody) => Error::Nobody(self.explained(nobody)),
            PublishFailure::Refused(_) | PublishFailure::Request(_) => Error::Publish(failure),
        })
    }

    /// Waits for so long until a peer in one of the topics is connected.
    pub(crate) async fn somebody(&self, topics: &[Topic], patience: Duration) -> Result<(), Error> {
        let until = Instant::now() + patience;
        let mut events = self.node.events();
        loop {
            for topic in topics {
                let peers = self.node.topic_peers(topic).await.map_err(Error::Gossip)?;
                if !peers.is_empty() {
                    return Ok(());
                }
            }
            if timeout_at(until, events.next()).await.is_err() {
                let connected = self.node.peers().await.map_or(0, |peers| peers.len());
                let nobody = Nobody { topics: topics.to_vec(), patience, connected, why: None };
                return Err(Error::Nobody(self.explained(nobody)));
            }
        }
    }

    fn explained(&self, nobody: Nobody) -> Nobody {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        Nobody { why: failure.clone(), ..nobody }
    }

    /// Returns when peers have read what was published, or had time enough. Nothing is published
    /// afterwards.
    pub(crate) async fn finish(&self) {
        let until = Instant::now() + FINISH;
        while Instant::now() < until
            && let Ok(GossipReply::Unfinished(1..)) = self.node.gossip(GossipCommand::Finish).await
        {
            sleep(FINISH_CHECK).await;
        }
    }

    /// Ends.
    pub(crate) async fn end(self) {
        self.node.shutdown().await;
    }
}
