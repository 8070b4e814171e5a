//! [`Trickling`]: a runtime whose TCP moves a few bytes at a time, and says now and then that it is
//! ready when it is not.

use std::future::Future;
use std::io::{self, ErrorKind, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use sanspeer_core::time::Timestamp;
use sanspeer_driver::runtime::{AsyncUdpSocket, ByteStream, Runtime, TcpListener};

use super::world::{ECHO, echo, exchange, in_time, listen, node, pattern, protocol};

/// The most bytes that one call moves.
const MAX_BYTES: usize = 700;

/// A runtime whose TCP moves a few bytes at a time.
#[derive(Clone)]
pub struct Trickling<R>(pub R);

/// One connection of it.
pub struct TricklingStream<S> {
    inner: S,
    reads: usize,
    writes: usize,
}

/// What its connections come from.
pub struct TricklingListener<L>(L);

/// How many bytes the next call moves; none each seventh time.
fn allowance(calls: &mut usize) -> io::Result<usize> {
    *calls = calls.wrapping_add(1);
    match *calls % 7 {
        0 => Err(ErrorKind::WouldBlock.into()),
        1 => Ok(1),
        2 => Ok(2),
        n => Ok(MAX_BYTES / n),
    }
}

impl<S: ByteStream> TricklingStream<S> {
    fn new(inner: S) -> Self {
        TricklingStream { inner, reads: 0, writes: 0 }
    }
}

impl<S: ByteStream> ByteStream for TricklingStream<S> {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_readable(cx)
    }

    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = allowance(&mut self.reads)?.min(buffer.len());
        self.inner.try_read(&mut buffer[..n])
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_writable(cx)
    }

    fn try_write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let n = allowance(&mut self.writes)?;
        let Some(first) = buffers.iter().find(|buffer| !buffer.is_empty()) else { return Ok(0) };
        self.inner.try_write_vectored(&[IoSlice::new(&first[..n.min(first.len())])])
    }

    fn shutdown(&mut self) -> io::Result<()> {
        self.inner.shutdown()
    }
}

impl<L: TcpListener> TcpListener for TricklingListener<L> {
    type Stream = TricklingStream<L::Stream>;

    fn poll_accept(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(Self::Stream, SocketAddr)>> {
        self.0.poll_accept(cx).map_ok(|(stream, remote)| (TricklingStream::new(stream), remote))
    }
}

impl<R: Runtime> Runtime for Trickling<R> {
    type Timer = R::Timer;
    type TcpStream = TricklingStream<R::TcpStream>;
    type TcpListener = TricklingListener<R::TcpListener>;

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(task);
    }

    fn yield_turn(&self, cx: &mut Context<'_>) {
        self.0.yield_turn(cx);
    }

    fn epoch(&self) -> Instant {
        self.0.epoch()
    }

    fn sleep_until(&self, at: Timestamp) -> R::Timer {
        self.0.sleep_until(at)
    }

    async fn tcp_connect(&self, remote: SocketAddr) -> io::Result<Self::TcpStream> {
        self.0.tcp_connect(remote).await.map(TricklingStream::new)
    }

    fn tcp_listener(&self, socket: std::net::TcpListener) -> io::Result<Self::TcpListener> {
        self.0.tcp_listener(socket).map(TricklingListener)
    }

    fn udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        self.0.udp_socket(socket)
    }

    fn lookup(&self, host: &str) -> impl Future<Output = io::Result<Vec<IpAddr>>> + Send {
        self.0.lookup(host)
    }
}

pub async fn partial_reads_and_writes_lose_nothing<R: Runtime>(runtime: R) {
    in_time(&runtime, async {
        let trickling = Trickling(runtime.clone());
        let (dialer, listener) = (node(&trickling), node(&trickling));
        echo(&runtime, &listener).await;
        let (_, address) = listen(&listener, "/ip4/127.0.0.1/tcp/0").await;
        let peer = dialer.dial(address).await.expect("a connection");
        for round in 0..2 {
            let stream = dialer.open_stream(peer, &[protocol(ECHO)]).await.expect("a stream");
            let sent = pattern(200_000, round);
            assert!(exchange(stream, &sent).await == sent, "what came back is something else");
        }
        futures::join!(dialer.shutdown(), listener.shutdown());
    })
    .await;
}
