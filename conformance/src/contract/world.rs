//! Nodes of a case, and how long they may take.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use sanspeer_core::identity::{Identity, PeerId};
use sanspeer_core::node::{ListenerId, NodeEvent};
use sanspeer_core::protocol::ProtocolId;
use sanspeer_core::rng::Seed;
use sanspeer_driver::runtime::{Runtime, Timer};
use sanspeer_driver::{AppStream, Config, Event, Events, Handle, Multiaddr, SecurityProtocol};

/// How long a case may take: far longer than any needs.
const DEADLINE: Duration = Duration::from_secs(120);

/// The protocol that [`echo`] answers.
pub const ECHO: &str = "/contract/echo/1.0.0";

/// Runs a case; panics if it is not over in time.
pub async fn in_time<R: Runtime, T>(runtime: &R, case: impl Future<Output = T>) -> T {
    within(DEADLINE, runtime, case).await
}

/// The same with another deadline.
pub async fn within<R: Runtime, T>(
    deadline: Duration,
    runtime: &R,
    case: impl Future<Output = T>,
) -> T {
    let mut timer = runtime.sleep_until(runtime.now().saturating_add(deadline));
    let mut case = pin!(case);
    poll_fn(|cx| {
        if let Poll::Ready(value) = case.as_mut().poll(cx) {
            return Poll::Ready(value);
        }
        assert!(timer.poll_due(cx).is_pending(), "not over within {deadline:?}");
        Poll::Pending
    })
    .await
}

/// A seed that no other node of this process has.
fn fresh_seed() -> Seed {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    Seed::from_u64(NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A node with an identity of its own.
pub fn node<R: Runtime>(runtime: &R) -> Handle {
    node_with(runtime, |_| {})
}

/// The same, with another configuration.
pub fn node_with<R: Runtime>(runtime: &R, change: impl FnOnce(&mut Config)) -> Handle {
    let seed = fresh_seed();
    let mut config = Config::new(Identity::ed25519(&seed));
    config.seed = Some(seed.derive("contract", 0));
    change(&mut config);
    sanspeer_driver::start(runtime.clone(), config).expect("a node")
}

/// A node that speaks one security protocol over TCP.
pub fn node_securing<R: Runtime>(runtime: &R, protocol: SecurityProtocol) -> Handle {
    node_with(runtime, |config| config.security = vec![protocol])
}

/// Listens, and gives the address with our peer id.
pub async fn listen(node: &Handle, address: &str) -> (ListenerId, Multiaddr) {
    let address = address.parse().expect("an address");
    let (listener, bound) = node.listen(address).await.expect("a listener");
    (listener, bound.with_p2p(node.peer_id()).expect("no other peer in it"))
}

/// A protocol id.
pub fn protocol(name: &str) -> ProtocolId {
    ProtocolId::new(name).expect("a valid protocol id")
}

/// Answers every stream of [`ECHO`] with what it says, as it says it, until the node is gone.
pub async fn echo<R: Runtime>(runtime: &R, node: &Handle) {
    let mut acceptor = node.accept(protocol(ECHO)).await.expect("a free protocol");
    let on = runtime.clone();
    runtime.spawn(async move {
        while let Some(stream) = acceptor.accept().await {
            on.spawn(async move {
                let (reader, mut writer) = stream.split();
                // The remote may go away meanwhile.
                if futures::io::copy(reader, &mut writer).await.is_ok() {
                    let _ = writer.close().await;
                }
            });
        }
    });
}

/// Two nodes; the second one echoes and is reached at the address.
pub async fn pair<R: Runtime>(runtime: &R, address: &str) -> (Handle, Handle, PeerId) {
    let (dialer, listener) = (node(runtime), node(runtime));
    echo(runtime, &listener).await;
    let (_, address) = listen(&listener, address).await;
    let peer = dialer.dial(address).await.expect("a connection");
    assert_eq!(peer, listener.peer_id());
    (dialer, listener, peer)
}

/// Writes while it reads, so that neither side waits for the other; returns what came back.
pub async fn exchange(stream: AppStream, sent: &[u8]) -> Vec<u8> {
    let (mut reader, mut writer) = stream.split();
    let write = async {
        writer.write_all(sent).await.expect("room in the end");
        writer.close().await.expect("an open stream");
    };
    let (received, ()) = futures::join!(read_all(&mut reader), write);
    received
}

/// Reads to the end. (`read_to_end` of futures clears its whole buffer each time it is polled.)
pub async fn read_all(reader: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let (mut received, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        match reader.read(&mut buffer).await.expect("all of it") {
            0 => return received,
            n => received.extend_from_slice(&buffer[..n]),
        }
    }
}

/// Bytes that do not repeat within a buffer's length.
pub fn pattern(length: usize, seed: u64) -> Vec<u8> {
    let mut rng = Seed::from_u64(seed).rng();
    let mut bytes = vec![0; length];
    rng.fill(&mut bytes);
    bytes
}

/// Waits for an event.
pub async fn wait_for<T>(events: &mut Events, wanted: impl Fn(&NodeEvent) -> Option<T>) -> T {
    loop {
        match events.next().await.expect("the node is there") {
            Event::Node(event) => {
                if let Some(found) = wanted(&event) {
                    return found;
                }
            }
            Event::Missed(count) => panic!("{count} events missed"),
        }
    }
}

/// Lets other tasks run until `holds`.
pub async fn until<R: Runtime>(runtime: &R, mut holds: impl FnMut() -> bool) {
    while !holds() {
        a_moment(runtime).await;
    }
}

/// Long enough to be no busy loop; how long does not matter.
pub async fn a_moment<R: Runtime>(runtime: &R) {
    let mut timer = runtime.sleep_until(runtime.now().saturating_add(Duration::from_millis(5)));
    poll_fn(|cx| timer.poll_due(cx)).await;
}
