//! Many connections, the end of a node, and what it leaves behind.

use futures::future::join_all;
use futures::{AsyncReadExt, AsyncWriteExt};
use sanspeer_core::node::{CommandError, NodeEvent};
use sanspeer_driver::runtime::Runtime;
use sanspeer_driver::{OpenStreamError, RequestError};

use super::counting::Counting;
use super::world::{
    ECHO, echo, exchange, in_time, listen, node, pair, pattern, protocol, read_all, until, wait_for,
};

const TRANSPORTS: [&str; 3] = ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1", "/memory/0"];

fn disconnected(event: &NodeEvent) -> Option<()> {
    matches!(event, NodeEvent::PeerDisconnected { .. }).then_some(())
}

pub async fn a_disconnect_ends_the_streams_and_is_told_to_both<R: Runtime>(runtime: R) {
    in_time(&runtime, async {
        for transport in TRANSPORTS {
            let (dialer, listener, peer) = pair(&runtime, transport).await;
            let (mut ours, mut theirs) = (dialer.events(), listener.events());
            let mut stream = dialer.open_stream(peer, &[protocol(ECHO)]).await.expect("a stream");
            stream.write_all(b"hello").await.expect("room");
            let mut heard = [0; 5];
            stream.read_exact(&mut heard).await.expect("the echo");
            dialer.disconnect(peer).await.expect("a connected peer");
            wait_for(&mut ours, disconnected).await;
            wait_for(&mut theirs, disconnected).await;
            stream.read(&mut heard).await.expect_err("the connection is over");
            stream.write(b"hello?").await.expect_err("the connection is over");
            assert_eq!(dialer.peers().await, Ok(Vec::new()));
            let error = dialer.disconnect(peer).await;
            assert_eq!(error, Err(RequestError::Failed(CommandError::Unknown)));
        }
    })
    .await;
}

pub async fn a_lost_peer_is_dialled_again<R: Runtime>(runtime: R) {
    in_time(&runtime, async {
        let (dialer, listener) = (node(&runtime), node(&runtime));
        echo(&runtime, &listener).await;
        let (_, address) = listen(&listener, "/ip4/127.0.0.1/tcp/0").await;
        let peer = listener.peer_id();
        dialer.add_addresses(peer, vec![address]).await.expect("a node");
        for _ in 0..2 {
            let stream = dialer.open_stream(peer, &[protocol(ECHO)]).await.expect("a stream");
            assert_eq!(exchange(stream, b"hello").await, b"hello");
            dialer.disconnect(peer).await.expect("a connected peer");
        }
    })
    .await;
}

pub async fn shutdown_sends_what_was_written_and_ends_everything<R: Runtime>(runtime: R) {
    in_time(&runtime, async {
        for transport in TRANSPORTS {
            let counting = Counting::new(runtime.clone());
            let (dialer, listener) = (node(&counting), node(&runtime));
            let name = protocol("/contract/last");
            let mut acceptor = listener.accept(name.clone()).await.expect("a free protocol");
            let (_, address) = listen(&listener, transport).await;
            let peer = dialer.dial(address).await.expect("a connection");
            for own in TRANSPORTS {
                listen(&dialer, own).await;
            }
            let mut events = dialer.events();
            let mut own = dialer.accept(protocol(ECHO)).await.expect("a free protocol");
            let mut stream = dialer.open_stream(peer, &[name]).await.expect("a stream");
            let sent = pattern(100_000, 1);
            stream.write_all(&sent).await.expect("room");
            stream.close().await.expect("an open stream");
            let mut taken = acceptor.accept().await.expect("the stream");
            let (received, ()) = futures::join!(read_all(&mut taken), dialer.shutdown());
            assert!(received == sent, "{transport}: what arrived is something else");
            until(&runtime, || counting.running() == 0).await;
            assert!(own.accept().await.is_none());
            while events.next().await.is_some() {}
            let gone = Err(RequestError::NodeGone);
            assert_eq!(dialer.peers().await, gone);
            let error = dialer.open_stream(peer, &[protocol(ECHO)]).await.expect_err("gone");
            assert_eq!(error, OpenStreamError::Connect(RequestError::NodeGone));
            dialer.shutdown().await;
        }
    })
    .await;
}

pub async fn a_dropped_handle_shuts_the_node_down<R: Runtime>(runtime: R) {
    in_time(&runtime, async {
        let counting = Counting::new(runtime.clone());
        let (dialer, _listener, peer) = {
            let (dialer, listener) = (node(&counting), node(&runtime));
            echo(&runtime, &listener).await;
            let (_, address) = listen(&listener, "/ip4/127.0.0.1/tcp/0").await;
            let peer = dialer.dial(address).await.expect("a connection");
            (dialer, listener, peer)
        };
        let mut stream = dialer.open_stream(peer, &[protocol(ECHO)]).await.expect("a stream");
        drop(dialer);
        until(&runtime, || counting.running() == 0).await;
        stream.read(&mut [0; 8]).await.expect_err("the connection is over");
    })
    .await;
}

pub async fn an_address_is_free_after_unlisten_and_connections_stay<R: Runtime>(runtime: R) {
    in_time(&runtime, async {
        for transport in ["/ip4/127.0.0.1/tcp/0", "/memory/0"] {
            let (dialer, listener) = (node(&runtime), node(&runtime));
            echo(&runtime, &listener).await;
            let (id, address) = listen(&listener, transport).await;
            let peer = dialer.dial(address.clone()).await.expect("a connection");
            listener.unlisten(id).await.expect("a listener");
            let stream = dialer.open_stream(peer, &[protocol(ECHO)]).await.expect("a stream");
            assert_eq!(exchange(stream, b"hello").await, b"hello");
            let free = sanspeer_core::address::without_peer(&address);
            let other = node(&runtime);
            // The socket goes with its task.
            while other.listen(free.clone()).await.is_err() {}
            let error = listener.unlisten(id).await;
            assert_eq!(error, Err(RequestError::Failed(CommandError::Unknown)));
        }
    })
    .await;
}

pub async fn connections_come_and_go_without_a_trace<R: Runtime>(runtime: R) {
    in_time(&runtime, async {
        for transport in TRANSPORTS {
            let counting = Counting::new(runtime.clone());
            let listener = node(&counting);
            echo(&counting, &listener).await;
            let (_, address) = listen(&listener, transport).await;
            let before = counting.running();
            for _ in 0..5 {
                join_all((0..10).map(|_| async {
                    let dialer = node(&runtime);
                    let peer = dialer.dial(address.clone()).await.expect("a connection");
                    let stream =
                        dialer.open_stream(peer, &[protocol(ECHO)]).await.expect("a stream");
                    assert_eq!(exchange(stream, b"hello").await, b"hello");
                    dialer.shutdown().await;
                }))
                .await;
            }
            until(&runtime, || counting.running() == before).await;
            assert_eq!(listener.peers().await, Ok(Vec::new()));
        }
    })
    .await;
}
