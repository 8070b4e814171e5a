//! What a remote or the system does wrong.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use futures::{AsyncReadExt, AsyncWriteExt};
use sanspeer_core::address::{Endpoint, without_peer};
use sanspeer_core::close::CloseReason;
use sanspeer_core::identity::Identity;
use sanspeer_core::node::{CommandError, DialError, DialFailure, ListenFailure, NodeEvent};
use sanspeer_core::rng::Seed;
use sanspeer_driver::runtime::{ByteStream, Runtime};
use sanspeer_driver::{Handle, Multiaddr, RequestError};

use super::world::{ECHO, echo, exchange, in_time, listen, node, pattern, protocol, wait_for};

const TRANSPORTS: [&str; 3] = ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1", "/memory/0"];

/// Why the only address of a dial failed.
async fn dial_error(node: &Handle, address: Multiaddr) -> DialError {
    match node.dial(address).await {
        Err(RequestError::Failed(CommandError::Dial(mut failures))) if failures.len() == 1 => {
            failures.remove(0).1
        }
        other => panic!("{other:?}"),
    }
}

async fn listen_error(node: &Handle, address: &str) -> ListenFailure {
    match node.listen(address.parse().expect("an address")).await {
        Err(RequestError::Failed(CommandError::Listen(failure))) => failure,
        other => panic!("{other:?}"),
    }
}

async fn assert_echoes(from: &Handle, address: &Multiaddr) {
    let peer = from.dial(address.clone()).await.expect("a connection");
    let stream = from.open_stream(peer, &[protocol(ECHO)]).await.expect("a stream");
    assert_eq!(exchange(stream, b"still here").await, b"still here");
}

pub async fn a_wrong_expected_peer_is_a_failed_dial<R: Runtime>(runtime: R) {
    in_time(&runtime, async {
        for transport in TRANSPORTS {
            let (dialer, listener) = (node(&runtime), node(&runtime));
            echo(&runtime, &listener).await;
            let (_, address) = listen(&listener, transport).await;
            let nobody = Identity::ed25519(&Seed::from_u64(u64::MAX)).peer_id();
            let wrong = without_peer(&address).with_p2p(nobody).expect("no other peer in it");
            let error = dial_error(&dialer, wrong).await;
            let DialError::Closed(CloseReason::WrongPeer { expected, found }) = error else {
                panic!("{transport}: {error:?}");
            };
            assert_eq!((*expected, *found), (nobody, listener.peer_id()));
            assert_echoes(&dialer, &address).await;
        }
    })
    .await;
}

pub async fn an_address_in_use_is_said<R: Runtime>(runtime: R) {
    in_time(&runtime, async {
        for transport in TRANSPORTS {
            let (one, other) = (node(&runtime), node(&runtime));
            let (_, address) = listen(&one, transport).await;
            let taken = without_peer(&address).to_string();
            assert_eq!(listen_error(&other, &taken).await, ListenFailure::AddressInUse);
        }
    })
    .await;
}

pub async fn an_address_of_nobody_is_said<R: Runtime>(runtime: R) {
    in_time(&runtime, async {
        // TEST-NET-1 (RFC 5737): no interface has it.
        for address in ["/ip4/192.0.2.1/tcp/0", "/ip4/192.0.2.1/udp/0/quic-v1"] {
            let failure = listen_error(&node(&runtime), address).await;
            assert_eq!(failure, ListenFailure::AddressNotAvailable, "{address}");
        }
    })
    .await;
}

pub async fn a_refused_dial_is_said<R: Runtime>(runtime: R) {
    in_time(&runtime, async {
        let dialer = node(&runtime);
        // A port that was free a moment ago.
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        let address = Endpoint::Tcp(socket.local_addr().expect("an address")).to_multiaddr();
        drop(socket);
        let error = dial_error(&dialer, address).await;
        assert_eq!(error, DialError::Failed(DialFailure::Refused));
        let nowhere = Endpoint::Memory(u64::MAX).to_multiaddr();
        let error = dial_error(&dialer, nowhere).await;
        assert_eq!(error, DialError::Failed(DialFailure::Refused));
    })
    .await;
}

pub async fn a_transport_that_nobody_has_is_said<R: Runtime>(runtime: R) {
    in_time(&runtime, async {
        let node = node(&runtime);
        let strange = "/ip4/127.0.0.1/udp/1/utp";
        assert_eq!(listen_error(&node, strange).await, ListenFailure::Unsupported);
        let error = dial_error(&node, strange.parse().expect("an address")).await;
        assert_eq!(error, DialError::Failed(DialFailure::Unsupported));
    })
    .await;
}

pub async fn garbage_on_the_socket_leaves_the_node_alive<R: Runtime>(runtime: R) {
    in_time(&runtime, async {
        let listener = node(&runtime);
        echo(&runtime, &listener).await;
        let (_, address) = listen(&listener, "/ip4/127.0.0.1/tcp/0").await;
        let mut events = listener.events();
        for seed in 0..4 {
            let mut stream = runtime.tcp_connect(socket(&address)).await.expect("a connection");
            let mut garbage = pattern(5000, seed);
            // A line that is longer than any may be.
            garbage[0] = 0xff;
            let mut stream = Blocking(&mut stream);
            let _ = stream.write_all(&garbage).await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            wait_for(&mut events, |event| {
                matches!(event, NodeEvent::InboundFailed { .. }).then_some(())
            })
            .await;
        }
        assert_echoes(&node(&runtime), &address).await;
    })
    .await;
}

pub async fn garbage_datagrams_leave_the_node_alive<R: Runtime>(runtime: R) {
    in_time(&runtime, async {
        let listener = node(&runtime);
        echo(&runtime, &listener).await;
        let (_, address) = listen(&listener, "/ip4/127.0.0.1/udp/0/quic-v1").await;
        let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        for seed in 0..64 {
            let mut garbage = pattern(1200, seed);
            if seed % 2 == 0 {
                // The form of an initial packet of QUIC v1 (RFC 9000, section 17.2.2).
                garbage[..6].copy_from_slice(&[0xc3, 0, 0, 0, 1, 8]);
            }
            sender.send_to(&garbage, socket(&address)).expect("room");
        }
        assert_echoes(&node(&runtime), &address).await;
    })
    .await;
}

pub async fn a_peer_is_not_its_own<R: Runtime>(runtime: R) {
    in_time(&runtime, async {
        let node = node(&runtime);
        let (_, address) = listen(&node, "/memory/0").await;
        let error = node.dial(address).await.expect_err("it is ourselves");
        assert_eq!(error, RequestError::Failed(CommandError::Ourselves));
    })
    .await;
}

fn socket(address: &Multiaddr) -> SocketAddr {
    Endpoint::parse(address).and_then(|endpoint| endpoint.socket()).expect("a socket's address")
}

/// A runtime's stream as the world knows it.
struct Blocking<'a, S>(&'a mut S);

impl<S: ByteStream> futures::AsyncRead for Blocking<'_, S> {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buffer: &mut [u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        loop {
            match self.0.try_read(buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    std::task::ready!(self.0.poll_readable(cx))?;
                }
                result => return std::task::Poll::Ready(result),
            }
        }
    }
}

impl<S: ByteStream> futures::AsyncWrite for Blocking<'_, S> {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        data: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        loop {
            match self.0.try_write_vectored(&[std::io::IoSlice::new(data)]) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    std::task::ready!(self.0.poll_writable(cx))?;
                }
                result => return std::task::Poll::Ready(result),
            }
        }
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_close(
        mut self: std::pin::Pin<&mut Self>,
        _cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(self.0.shutdown())
    }
}
