//! What two peers do with streams, over every transport.

use std::future::{Future, poll_fn};
use std::io::ErrorKind;
use std::slice;
use std::task::Poll;

use futures::future::join_all;
use futures::{AsyncReadExt, AsyncWriteExt};
use sanspeer_core::mailbox::OpenFailure;
use sanspeer_core::mux::ReadError;
use sanspeer_driver::acceptor::MAX_QUEUED_STREAMS;
use sanspeer_driver::runtime::Runtime;
use sanspeer_driver::{OpenStreamError, SecurityProtocol};

use super::world::{
    ECHO, echo, exchange, in_time, listen, node, node_securing, pair, pattern, protocol, read_all,
};

const TCP: &str = "/ip4/127.0.0.1/tcp/0";
const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";
const MEMORY: &str = "/memory/0";

const LARGE_BYTES: usize = 16 * 1024 * 1024;

/// 16 MiB there and back; the end comes behind them.
async fn echo_large<R: Runtime>(runtime: R, address: &str) {
    in_time(&runtime, async {
        let (dialer, listener, peer) = pair(&runtime, address).await;
        let stream = dialer.open_stream(peer, &[protocol(ECHO)]).await.expect("a stream");
        let sent = pattern(LARGE_BYTES, 1);
        assert!(exchange(stream, &sent).await == sent, "what came back is something else");
        dialer.shutdown().await;
        listener.shutdown().await;
    })
    .await;
}

async fn echo_large_secured<R: Runtime>(runtime: R, security: SecurityProtocol) {
    in_time(&runtime, async {
        let (dialer, listener) =
            (node_securing(&runtime, security), node_securing(&runtime, security));
        echo(&runtime, &listener).await;
        let (_, address) = listen(&listener, TCP).await;
        let peer = dialer.dial(address).await.expect("a connection");
        let stream = dialer.open_stream(peer, &[protocol(ECHO)]).await.expect("a stream");
        let sent = pattern(LARGE_BYTES, 2);
        assert!(exchange(stream, &sent).await == sent, "what came back is something else");
    })
    .await;
}

pub async fn tcp_noise_echoes_16_mib_with_a_half_close<R: Runtime>(runtime: R) {
    echo_large_secured(runtime, SecurityProtocol::Noise).await;
}

pub async fn tcp_tls_echoes_16_mib_with_a_half_close<R: Runtime>(runtime: R) {
    echo_large_secured(runtime, SecurityProtocol::Tls).await;
}

pub async fn quic_echoes_16_mib_with_a_half_close<R: Runtime>(runtime: R) {
    echo_large(runtime, QUIC).await;
}

pub async fn memory_echoes_16_mib_with_a_half_close<R: Runtime>(runtime: R) {
    echo_large(runtime, MEMORY).await;
}

pub async fn quic_echoes_over_ipv6<R: Runtime>(runtime: R) {
    echo_large(runtime, "/ip6/::1/udp/0/quic-v1").await;
}

pub async fn tcp_echoes_over_ipv6<R: Runtime>(runtime: R) {
    echo_large(runtime, "/ip6/::1/tcp/0").await;
}

/// 200 streams that are all open before the first one says anything.
async fn many_streams<R: Runtime>(runtime: R, address: &str) {
    in_time(&runtime, async {
        let (dialer, _listener, peer) = pair(&runtime, address).await;
        let echoes = (0..200).map(|number| {
            let dialer = dialer.clone();
            async move {
                let stream = dialer.open_stream(peer, &[protocol(ECHO)]).await.expect("a stream");
                let sent = pattern(3000, number);
                assert_eq!(exchange(stream, &sent).await, sent, "stream {number}");
            }
        });
        join_all(echoes).await;
    })
    .await;
}

pub async fn tcp_carries_200_streams_at_once<R: Runtime>(runtime: R) {
    many_streams(runtime, TCP).await;
}

pub async fn quic_carries_200_streams_at_once<R: Runtime>(runtime: R) {
    many_streams(runtime, QUIC).await;
}

pub async fn memory_carries_200_streams_at_once<R: Runtime>(runtime: R) {
    many_streams(runtime, MEMORY).await;
}

pub async fn a_protocol_of_several_is_agreed_on<R: Runtime>(runtime: R) {
    in_time(&runtime, async {
        let (dialer, _listener, peer) = pair(&runtime, MEMORY).await;
        let proposals = [protocol("/contract/new/2.0.0"), protocol(ECHO)];
        let stream = dialer.open_stream(peer, &proposals).await.expect("a stream");
        assert_eq!(stream.protocol(), Some(&proposals[1]));
        assert_eq!(exchange(stream, b"hello").await, b"hello");
    })
    .await;
}

pub async fn a_protocol_that_nobody_speaks_is_refused<R: Runtime>(runtime: R) {
    in_time(&runtime, async {
        let (dialer, _listener, peer) = pair(&runtime, MEMORY).await;
        let unknown = [protocol("/contract/a"), protocol("/contract/b")];
        let error = dialer.open_stream(peer, &unknown).await.expect_err("nobody speaks it");
        assert_eq!(error, OpenStreamError::Refused(OpenFailure::UnsupportedProtocol));
        // With one the stream is there at once, and the first read says it.
        let mut stream = dialer.open_stream(peer, &unknown[..1]).await.expect("a stream");
        let error = stream.read(&mut [0; 8]).await.expect_err("nobody speaks it");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let error = dialer.open_stream(peer, &[]).await.expect_err("nothing was proposed");
        assert_eq!(error, OpenStreamError::Proposals(0));
    })
    .await;
}

pub async fn a_dropped_stream_is_reset_and_a_finished_one_arrives<R: Runtime>(runtime: R) {
    in_time(&runtime, async {
        let (dialer, listener) = (node(&runtime), node(&runtime));
        let name = protocol("/contract/drop");
        let mut acceptor = listener.accept(name.clone()).await.expect("a free protocol");
        let (_, address) = listen(&listener, TCP).await;
        let peer = dialer.dial(address).await.expect("a connection");

        let mut dropped = dialer.open_stream(peer, slice::from_ref(&name)).await.expect("a stream");
        dropped.write_all(b"begin").await.expect("room");
        let mut taken = acceptor.accept().await.expect("the stream");
        let mut begin = [0; 5];
        taken.read_exact(&mut begin).await.expect("what was written");
        drop(dropped);
        let error = taken.read(&mut begin).await.expect_err("it was reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);

        let mut finished = dialer.open_stream(peer, &[name]).await.expect("a stream");
        let sent = pattern(100_000, 3);
        finished.write_all(&sent).await.expect("room");
        finished.close().await.expect("an open stream");
        drop(finished);
        let mut taken = acceptor.accept().await.expect("the stream");
        assert_eq!(read_all(&mut taken).await, sent);
        // What is said to nobody is taken, so the stream ends as any other.
        taken.write_all(&sent).await.expect("it is thrown away");
        taken.close().await.expect("an open stream");
    })
    .await;
}

pub async fn a_full_acceptor_loses_no_stream<R: Runtime>(runtime: R) {
    in_time(&runtime, async {
        let (dialer, listener) = (node(&runtime), node(&runtime));
        let (name, other) = (protocol("/contract/full"), protocol("/contract/free"));
        let mut acceptor = listener.accept(name.clone()).await.expect("a free protocol");
        let mut free = listener.accept(other.clone()).await.expect("a free protocol");
        let (_, address) = listen(&listener, TCP).await;
        let peer = dialer.dial(address).await.expect("a connection");
        let count = MAX_QUEUED_STREAMS + 50;
        let mut streams = Vec::new();
        for number in 0..count {
            let mut stream =
                dialer.open_stream(peer, slice::from_ref(&name)).await.expect("a stream");
            stream.write_all(&number.to_le_bytes()).await.expect("room");
            streams.push(stream);
        }
        // One of another protocol is not held up behind those that wait.
        let mut last = dialer.open_stream(peer, &[other]).await.expect("a stream");
        last.write_all(b"!").await.expect("room");
        free.accept().await.expect("the stream");
        let mut numbers = Vec::new();
        for _ in 0..count {
            let mut stream = acceptor.accept().await.expect("the stream");
            let mut number = [0; size_of::<usize>()];
            stream.read_exact(&mut number).await.expect("what was written");
            numbers.push(usize::from_le_bytes(number));
        }
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..count));
    })
    .await;
}

pub async fn a_reader_that_waits_delays_nobody<R: Runtime>(runtime: R) {
    in_time(&runtime, async {
        let (dialer, listener) = (node(&runtime), node(&runtime));
        echo(&runtime, &listener).await;
        let slow = protocol("/contract/slow");
        let mut acceptor = listener.accept(slow.clone()).await.expect("a free protocol");
        let (_, address) = listen(&listener, TCP).await;
        let peer = dialer.dial(address).await.expect("a connection");
        let mut stuck = dialer.open_stream(peer, &[slow]).await.expect("a stream");
        let sent = pattern(4 * 1024 * 1024, 4);
        let mut written = 0;
        // Until there is no room: nobody reads it.
        poll_fn(|cx| {
            while let Poll::Ready(n) = stuck.poll_write(cx, &sent[written..]) {
                written += n.expect("an open stream");
                assert!(written < sent.len(), "the window does not close");
            }
            Poll::Ready(())
        })
        .await;
        let stream = dialer.open_stream(peer, &[protocol(ECHO)]).await.expect("a stream");
        let small = pattern(300_000, 5);
        assert!(exchange(stream, &small).await == small, "what came back is something else");
        // Read at last, all of it comes.
        let mut taken = acceptor.accept().await.expect("the stream");
        let write = async {
            stuck.write_all(&sent[written..]).await.expect("room in the end");
            stuck.close().await.expect("an open stream");
        };
        let (received, ()) = futures::join!(read_all(&mut taken), write);
        assert!(received == sent, "what arrived is something else");
        assert_eq!(closed_read(taken).await, Ok(0));
    })
    .await;
}

fn closed_read(
    mut stream: sanspeer_driver::AppStream,
) -> impl Future<Output = Result<usize, ReadError>> {
    poll_fn(move |cx| stream.poll_read(cx, &mut [0; 8]))
}
