//! In which order things end, and who is turned away.
#![allow(clippy::wildcard_enum_match_arm, reason = "a case looks at some events")]

use futures::{AsyncReadExt, AsyncWriteExt};
use sanspeer_core::application::{AppEvent, Network, StreamOpenError};
use sanspeer_core::close::{CloseReason, RefuseReason};
use sanspeer_core::identity::PeerId;
use sanspeer_core::mailbox::StreamEnd;
use sanspeer_core::mux::ReadError;
use sanspeer_core::node::{CommandError, DialError, NodeEvent, StreamRef};
use sanspeer_core::time::Timestamp;
use sanspeer_driver::runtime::Runtime;
use sanspeer_driver::{Handle, Multiaddr, PolledHandle, RequestError};

use super::world::{
    ECHO, a_moment, echo, exchange, in_time, listen, node, node_with, pair, pattern, protocol,
    read_all, wait_for,
};

const TRANSPORTS: [&str; 3] = ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1", "/memory/0"];

/// What is told until a peer is gone.
#[derive(Default)]
struct Told {
    /// Of its streams, its connection and itself, in order.
    order: Vec<&'static str>,
    /// Streams that ended before the connection did.
    ended: Vec<StreamRef>,
}

async fn told_until_gone(network: &mut PolledHandle, of: PeerId) -> Told {
    let mut told = Told::default();
    while told.order.last() != Some(&"peer gone") {
        network.ready().await;
        while let Some(event) = network.poll_event() {
            match event {
                AppEvent::Node(NodeEvent::ConnectionClosed { peer, .. }) if peer == of => {
                    told.order.push("connection closed");
                }
                AppEvent::Node(NodeEvent::PeerDisconnected { peer, .. }) if peer == of => {
                    told.order.push("peer gone");
                }
                AppEvent::Node(_) | AppEvent::Answer { .. } => {}
                AppEvent::Ended { stream, end } => {
                    told.order.push("stream");
                    if end != StreamEnd::ConnectionClosed {
                        told.ended.push(stream);
                    }
                }
                _ => told.order.push("stream"),
            }
        }
    }
    told
}

/// Opens a stream once the connection is admitted, and waits until its protocol is agreed on.
async fn open<R: Runtime>(runtime: &R, network: &mut PolledHandle, peer: PeerId) -> StreamRef {
    let opened = loop {
        match network.open(Timestamp::ZERO, &peer, &[protocol(ECHO)]) {
            Ok(stream) => break stream,
            Err(error) => assert_eq!(error, StreamOpenError::NotConnected),
        }
        a_moment(runtime).await;
    };
    network.write(Timestamp::ZERO, opened, b"hello").expect("room");
    loop {
        network.ready().await;
        while let Some(event) = network.poll_event() {
            if matches!(event, AppEvent::Opened { stream, .. } if stream == opened) {
                return opened;
            }
        }
    }
}

pub async fn a_connection_is_closed_before_its_peer_is_gone_and_nothing_follows<R: Runtime>(
    runtime: R,
) {
    in_time(&runtime, async {
        for transport in TRANSPORTS {
            for remote_ends in [false, true] {
                let (dialer, listener, peer) = pair(&runtime, transport).await;
                let mut network = PolledHandle::new(dialer.clone());
                let mut streams = Vec::new();
                for _ in 0..3 {
                    streams.push(open(&runtime, &mut network, peer).await);
                }
                if remote_ends {
                    listener.disconnect(dialer.peer_id()).await.expect("a connected peer");
                } else {
                    dialer.disconnect(peer).await.expect("a connected peer");
                }
                let told = told_until_gone(&mut network, peer).await;
                let order = &told.order;
                assert!(
                    order.ends_with(&["connection closed", "peer gone"]),
                    "{transport}: {order:?}"
                );
                // What had arrived is there, and the end behind it.
                for stream in streams {
                    let end = loop {
                        match network.read(Timestamp::ZERO, stream, 100) {
                            Ok(bytes) => assert!(b"hello".ends_with(&bytes), "{bytes:?}"),
                            Err(error) => break error,
                        }
                    };
                    // The remote's echo may hear of the end first and drop its stream, and that
                    // reset may come before the connection's end. Then it was told.
                    let expected = if told.ended.contains(&stream) {
                        ReadError::UnknownStream
                    } else {
                        ReadError::ConnectionClosed
                    };
                    assert_eq!(end, expected, "{transport}, ended by the remote: {remote_ends}");
                    let sent = network.write(Timestamp::ZERO, stream, b"hello?");
                    assert!(sent.is_err(), "{transport}");
                }
                let again = network.open(Timestamp::ZERO, &peer, &[protocol(ECHO)]);
                assert_eq!(again, Err(StreamOpenError::NotConnected));
            }
        }
    })
    .await;
}

/// Each side goes on saying something after it heard the other's end.
pub async fn each_direction_ends_by_itself<R: Runtime>(runtime: R) {
    in_time(&runtime, async {
        for transport in TRANSPORTS {
            for opener_ends_first in [true, false] {
                let (dialer, listener) = (node(&runtime), node(&runtime));
                let name = protocol("/contract/half");
                let mut acceptor = listener.accept(name.clone()).await.expect("a free protocol");
                let (_, address) = listen(&listener, transport).await;
                let peer = dialer.dial(address).await.expect("a connection");
                let mut opened = dialer.open_stream(peer, &[name]).await.expect("a stream");
                opened.write_all(b"first").await.expect("room");
                let mut taken = acceptor.accept().await.expect("the stream");
                taken.read_exact(&mut [0; 5]).await.expect("what was written");
                let (mut early, mut late) =
                    if opener_ends_first { (opened, taken) } else { (taken, opened) };
                early.close().await.expect("an open stream");
                assert_eq!(read_all(&mut late).await, b"");
                let sent = pattern(1_000_000, 6);
                let write = async {
                    late.write_all(&sent).await.expect("half a stream");
                    late.close().await.expect("half a stream");
                };
                let (received, ()) = futures::join!(read_all(&mut early), write);
                assert!(received == sent, "{transport}: what came back is something else");
            }
        }
    })
    .await;
}

/// Why a peer that reached us was let go: what its dial came to, or what ended it since.
async fn turned_away(dialer: &Handle, address: &Multiaddr) -> CloseReason {
    let mut events = dialer.events();
    match dialer.dial(address.clone()).await {
        // The dialer's handshake is over before the listener has decided.
        Ok(_) => {
            wait_for(&mut events, |event| match event {
                NodeEvent::PeerDisconnected { reason, .. } => Some(reason.clone()),
                _ => None,
            })
            .await
        }
        Err(RequestError::Failed(CommandError::Dial(failures))) => match &failures[..] {
            [(_, DialError::Closed(reason))] => reason.clone(),
            other => panic!("{other:?}"),
        },
        Err(error) => panic!("{error}"),
    }
}

pub async fn a_refused_peer_is_told_and_disturbs_nobody<R: Runtime>(runtime: R) {
    in_time(&runtime, async {
        for transport in TRANSPORTS {
            let listener = node_with(&runtime, |config| config.node.limits.max_connections = 1);
            echo(&runtime, &listener).await;
            let mut events = listener.events();
            let (_, address) = listen(&listener, transport).await;
            let admitted = node(&runtime);
            let peer = admitted.dial(address.clone()).await.expect("a connection");
            // The listener decides later than the dialer's handshake is over; it has one place.
            wait_for(&mut events, |event| {
                matches!(event, NodeEvent::PeerConnected { peer, .. } if *peer == admitted.peer_id())
                    .then_some(())
            })
            .await;
            for one in [node(&runtime), node(&runtime)] {
                let reason = turned_away(&one, &address).await;
                // RESOURCE_LIMIT_EXCEEDED of libp2p's error codes.
                let told = [
                    CloseReason::RemoteGoodbye { code: 0x1001 },
                    CloseReason::RemoteClosed { code: 0x1001 },
                ];
                assert!(told.contains(&reason), "{transport}: {reason:?}");
                let (who, why) = wait_for(&mut events, |event| match event {
                    NodeEvent::Refused { peer, reason, .. } => Some((*peer, *reason)),
                    _ => None,
                })
                .await;
                assert_eq!(who, Some(one.peer_id()));
                assert_eq!(why, RefuseReason::TooManyConnections(1));
                let stream = admitted.open_stream(peer, &[protocol(ECHO)]).await.expect("a stream");
                assert_eq!(exchange(stream, b"still here").await, b"still here");
            }
            // There is room again once the admitted one is gone.
            admitted.shutdown().await;
            wait_for(&mut events, |event| {
                matches!(event, NodeEvent::PeerDisconnected { .. }).then_some(())
            })
            .await;
            let late = node(&runtime);
            let peer = late.dial(address).await.expect("a connection");
            let stream = late.open_stream(peer, &[protocol(ECHO)]).await.expect("a stream");
            assert_eq!(exchange(stream, b"hello").await, b"hello");
        }
    })
    .await;
}
