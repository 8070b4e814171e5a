//! The example that runs a `Host` over mio: with itself, and with a node of a driver's, in both
//! roles.
#![allow(dead_code, unreachable_pub, reason = "the example's own main uses the rest")]
#![allow(clippy::wildcard_enum_match_arm, reason = "as in the example")]

#[path = "../../proto-core/examples/mio/echo.rs"]
mod echo;
#[path = "../../proto-core/examples/mio/failure.rs"]
mod failure;
#[path = "../../proto-core/examples/mio/peer.rs"]
mod peer;
#[path = "../../proto-core/examples/mio/stream.rs"]
mod stream;
#[path = "../../proto-core/examples/mio/udp.rs"]
mod udp;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::scope;
use std::time::Duration;

use echo::echo_protocol;
use multiaddr::{Multiaddr, Protocol};
use peer::MioPeer;
use sanspeer_conformance::contract::world::{exchange, pattern};
use sanspeer_core::application::Network as _;
use sanspeer_core::identity::Identity;
use sanspeer_core::rng::Seed;
use sanspeer_tokio::Config;
use tokio::io::{AsyncWriteExt as _, copy, split};

const TRANSPORTS: [&str; 2] = ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"];

const PATIENCE: Duration = Duration::from_secs(120);

const LARGE_BYTES: usize = 4 * 1024 * 1024;

fn new_peer(number: u64) -> MioPeer {
    let seed = Seed::from_u64(number);
    let identity = Identity::ed25519(&seed.derive("identity", 0));
    MioPeer::new(identity, &seed.derive("peer", 0)).expect("a peer")
}

/// Does something while a mio peer answers at the address that it is given.
fn with_listener<T>(number: u64, transport: &str, act: impl FnOnce(Multiaddr) -> T) -> T {
    /// Stops the listener also when the other side panics.
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Release);
        }
    }
    let stop = AtomicBool::new(false);
    let mut listener = new_peer(number);
    let bound = echo::listen(&mut listener, transport.parse().expect("an address"));
    let address = bound.expect("a listener").with(Protocol::P2p(listener.host().peer_id()));
    scope(|scope| {
        let serving = scope.spawn(|| {
            echo::serve(&mut listener, || stop.load(Ordering::Acquire)).expect("sockets work");
        });
        let result = {
            let _stop = Stop(&stop);
            act(address)
        };
        serving.join().expect("it served");
        result
    })
}

#[test]
fn a_host_over_mio_talks_with_another_one() {
    for transport in TRANSPORTS {
        with_listener(1, transport, |address| {
            for (number, length) in [(2, 5), (3, LARGE_BYTES)] {
                let sent = pattern(length, number);
                let mut dialer = new_peer(number);
                let answer = echo::ask(&mut dialer, address.clone(), &sent, PATIENCE);
                let (_, received) = answer.expect("an answer");
                assert!(received == sent, "{transport}: what came back is something else");
            }
        });
    }
}

#[test]
fn a_node_of_a_driver_dials_a_host_over_mio() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for transport in TRANSPORTS {
        with_listener(4, transport, |address| {
            runtime.block_on(async {
                let node = sanspeer_tokio::start(Config::ephemeral().expect("randomness"))
                    .expect("a node");
                let peer = node.dial(address).await.expect("a connection");
                let stream = node.open_stream(peer, &[echo_protocol()]).await.expect("a stream");
                let sent = pattern(LARGE_BYTES, 4);
                let received = exchange(stream.into_inner(), &sent).await;
                assert!(received == sent, "{transport}: what came back is something else");
                node.shutdown().await;
            });
        });
    }
}

#[test]
fn a_host_over_mio_dials_a_node_of_a_driver() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for (transport, number) in TRANSPORTS.into_iter().zip(5..) {
        let node = runtime.block_on(async {
            let config = Config::ephemeral().expect("randomness");
            let node = sanspeer_tokio::start(config).expect("a node");
            let mut streams = node.accept(echo_protocol()).await.expect("a free protocol");
            tokio::spawn(async move {
                while let Some(stream) = streams.accept().await {
                    let (mut reader, mut writer) = split(stream);
                    tokio::spawn(async move {
                        copy(&mut reader, &mut writer).await?;
                        writer.shutdown().await
                    });
                }
            });
            let (_, bound) =
                node.listen(transport.parse().expect("an address")).await.expect("a listener");
            (bound.with(Protocol::P2p(node.peer_id())), node)
        });
        let (address, node) = node;
        let sent = pattern(LARGE_BYTES, number);
        let answer = echo::ask(&mut new_peer(number), address, &sent, PATIENCE);
        let (remote, received) = answer.expect("an answer");
        assert_eq!(remote, node.peer_id());
        assert!(received == sent, "{transport}: what came back is something else");
        runtime.block_on(node.shutdown());
    }
}
