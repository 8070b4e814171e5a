//! Eight nodes that live, and whose logs are replayed elsewhere.

use std::fs::File;
use std::io::{self, BufReader, BufWriter};
use std::path::{Path, PathBuf};

use futures::future::join_all;
use sanspeer_core::address::peer_of;
use sanspeer_core::identity::{Identity, PeerId};
use sanspeer_core::node::NodeConfig;
use sanspeer_core::rng::Seed;
use sanspeer_driver::config::make_node;
use sanspeer_driver::log::{LogError, Replay, replay};
use sanspeer_driver::runtime::Runtime;
use sanspeer_driver::{Config, Handle, Multiaddr};

use super::world::{ECHO, echo, exchange, in_time, listen, protocol};

/// How many nodes there are.
pub const NODES: u64 = 8;

const LAST: u64 = NODES - 1;

const TRANSPORTS: [&str; 3] = ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1", "/memory/0"];

/// The seed of one of the nodes: its identity and its Node follow from it.
pub fn seed(number: u64) -> Seed {
    Seed::from_u64(1000).derive("scenario", number)
}

/// The last one has room for three, so that some are turned away.
fn config(number: u64) -> NodeConfig {
    let mut config = NodeConfig::default();
    if number == LAST {
        config.limits.max_connections = 3;
    }
    config
}

/// Where the log of one of the nodes is.
pub fn log_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("node-{number}.log"))
}

/// Replays the log of one of the nodes into a fresh Node.
pub fn replay_one(folder: &Path, number: u64) -> Result<Replay, LogError> {
    let log = File::open(log_path(folder, number)).map_err(LogError::Io)?;
    let seed = seed(number);
    replay(&mut BufReader::new(log), |now| {
        // Only protocols could be refused, and there are none.
        make_node(config(number), Identity::ed25519(&seed), &seed, Vec::new(), now).expect("a Node")
    })
}

/// Runs the nodes, each of which writes its log into the folder.
///
/// They listen over every transport, each dials all that come behind it and talks with them, and
/// the last one turns some away; one peer is lost and dialled again; then all of them end.
pub async fn eight_nodes<R: Runtime>(runtime: R, folder: PathBuf) {
    in_time(&runtime, async {
        let nodes: Vec<Handle> =
            (0..NODES).map(|number| start(&runtime, &folder, number).expect("a node")).collect();
        let mut addresses = Vec::new();
        for (node, transport) in nodes.iter().zip(TRANSPORTS.into_iter().cycle()) {
            echo(&runtime, node).await;
            addresses.push(listen(node, transport).await.1);
        }
        let last = nodes.last().expect("eight nodes").peer_id();
        let pairs = nodes.iter().enumerate().flat_map(|(place, node)| {
            addresses[place + 1..].iter().map(move |address| meet(node, address, last))
        });
        join_all(pairs).await;
        nodes[0].disconnect(nodes[1].peer_id()).await.expect("a connected peer");
        meet(&nodes[0], &addresses[1], last).await;
        join_all(nodes.iter().map(|node| node.shutdown())).await;
    })
    .await;
}

fn start<R: Runtime>(runtime: &R, folder: &Path, number: u64) -> io::Result<Handle> {
    let mut node = Config::new(Identity::ed25519(&seed(number)));
    node.seed = Some(seed(number));
    node.node = config(number);
    node.log = Some(Box::new(BufWriter::new(File::create(log_path(folder, number))?)));
    sanspeer_driver::start(runtime.clone(), node).map_err(io::Error::other)
}

/// Dials somebody and talks with him; the last one may turn us away.
async fn meet(node: &Handle, address: &Multiaddr, last: PeerId) {
    let dialled = node.dial(address.clone()).await;
    if peer_of(address) != Some(last) {
        let peer = dialled.expect("a connection");
        let stream = node.open_stream(peer, &[protocol(ECHO)]).await.expect("a stream");
        assert_eq!(exchange(stream, b"hello").await, b"hello");
    }
}
