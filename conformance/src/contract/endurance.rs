//! Ten thousand connections, and what they leave behind.

use std::time::Duration;

use futures::future::join_all;
use sanspeer_driver::runtime::Runtime;
use sanspeer_driver::{Handle, Multiaddr};

use super::counting::Counting;
use super::world::{ECHO, echo, exchange, listen, node, protocol, until, within};

/// How long all of it may take: far longer than it needs.
const DEADLINE: Duration = Duration::from_secs(1200);

/// Who dials, at the same time.
const DIALERS: usize = 10;

/// How many connections each dialer makes over each transport before anything is measured, so that
/// whatever has a bound has grown to it.
const WARM_UP: usize = 30;

/// The same afterwards: 10,000 in all.
const SHORT_CONNECTIONS: [(&str, usize); 3] =
    [("/ip4/127.0.0.1/tcp/0", 400), ("/ip4/127.0.0.1/udp/0/quic-v1", 300), ("/memory/0", 300)];

/// What may be left of all of them, in bytes: less than 30 for each.
const MAX_LEFT_BYTES: usize = 256 * 1024;

/// Connects, exchanges a few bytes and disconnects, again and again, and counts tasks, descriptors
/// and bytes before and after. Nothing else may go on in the process. `live_bytes` counts what is
/// allocated.
pub async fn ten_thousand_short_connections_leave_nothing<R: Runtime>(
    runtime: R,
    live_bytes: impl Fn() -> usize,
) {
    within(DEADLINE, &runtime, async {
        let counting = Counting::new(runtime.clone());
        // One for each transport: whoever knows a peer's other addresses dials those too.
        let (mut listeners, mut addresses) = (Vec::new(), Vec::new());
        for (transport, _) in SHORT_CONNECTIONS {
            let listener = node(&counting);
            echo(&counting, &listener).await;
            addresses.push(listen(&listener, transport).await.1);
            listeners.push(listener);
        }
        let dialers: Vec<Handle> = (0..DIALERS).map(|_| node(&counting)).collect();
        // Each dialer keeps the socket from which it dials over QUIC.
        let idle = counting.running() + DIALERS;
        let settled = || counting.running() == idle;

        for address in &addresses {
            come_and_go(&dialers, address, WARM_UP).await;
        }
        until(&runtime, settled).await;
        let (descriptors, bytes) = (open_descriptors(), live_bytes());
        for (address, (_, count)) in addresses.iter().zip(SHORT_CONNECTIONS) {
            come_and_go(&dialers, address, count).await;
        }
        until(&runtime, settled).await;
        until(&runtime, || open_descriptors() <= descriptors).await;
        let left = live_bytes().saturating_sub(bytes);
        assert!(left < MAX_LEFT_BYTES, "{left} bytes are left");
        for listener in &listeners {
            assert_eq!(listener.peers().await, Ok(Vec::new()));
        }

        join_all(dialers.iter().chain(&listeners).map(Handle::shutdown)).await;
        until(&runtime, || counting.running() == 0).await;
    })
    .await;
}

async fn come_and_go(dialers: &[Handle], address: &Multiaddr, count: usize) {
    join_all(dialers.iter().map(|dialer| async {
        for _ in 0..count {
            let peer = dialer.dial(address.clone()).await.expect("a connection");
            let stream = dialer.open_stream(peer, &[protocol(ECHO)]).await.expect("a stream");
            assert_eq!(exchange(stream, b"hello").await, b"hello");
            dialer.disconnect(peer).await.expect("a connected peer");
        }
    }))
    .await;
}

/// How many descriptors this process has open; 0 where the operating system does not tell.
fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}
