//! [`Stalling`]: a runtime whose TCP can stop being read.

use std::future::Future;
use std::io::{self, ErrorKind, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use sanspeer_core::time::Timestamp;
use sanspeer_driver::runtime::{AsyncUdpSocket, ByteStream, Runtime, TcpListener};

/// A runtime whose TCP can stop being read.
#[derive(Clone)]
pub struct Stalling<R> {
    inner: R,
    stalled: Arc<AtomicBool>,
}

/// One connection of it.
pub struct StallingStream<S> {
    inner: S,
    stalled: Arc<AtomicBool>,
}

/// What its connections come from.
pub struct StallingListener<L> {
    inner: L,
    stalled: Arc<AtomicBool>,
}

impl<R> Stalling<R> {
    /// A runtime that reads until it stops.
    pub fn new(inner: R) -> Self {
        Stalling { inner, stalled: Arc::default() }
    }

    /// Reads no TCP connection from now on.
    pub fn stop_reading(&self) {
        self.stalled.store(true, Ordering::Release);
    }
}

impl<S: ByteStream> ByteStream for StallingStream<S> {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.stalled.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        self.inner.poll_readable(cx)
    }

    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stalled.load(Ordering::Acquire) {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.inner.try_read(buffer)
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_writable(cx)
    }

    fn try_write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.inner.try_write_vectored(buffers)
    }

    fn shutdown(&mut self) -> io::Result<()> {
        self.inner.shutdown()
    }
}

impl<L: TcpListener> TcpListener for StallingListener<L> {
    type Stream = StallingStream<L::Stream>;

    fn poll_accept(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(Self::Stream, SocketAddr)>> {
        let stalled = Arc::clone(&self.stalled);
        let stream = |(inner, remote)| (StallingStream { inner, stalled }, remote);
        self.inner.poll_accept(cx).map_ok(stream)
    }
}

impl<R: Runtime> Runtime for Stalling<R> {
    type Timer = R::Timer;
    type TcpStream = StallingStream<R::TcpStream>;
    type TcpListener = StallingListener<R::TcpListener>;

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.inner.spawn(task);
    }

    fn yield_turn(&self, cx: &mut Context<'_>) {
        self.inner.yield_turn(cx);
    }

    fn epoch(&self) -> Instant {
        self.inner.epoch()
    }

    fn sleep_until(&self, at: Timestamp) -> R::Timer {
        self.inner.sleep_until(at)
    }

    async fn tcp_connect(&self, remote: SocketAddr) -> io::Result<Self::TcpStream> {
        let inner = self.inner.tcp_connect(remote).await?;
        Ok(StallingStream { inner, stalled: Arc::clone(&self.stalled) })
    }

    fn tcp_listener(&self, socket: std::net::TcpListener) -> io::Result<Self::TcpListener> {
        let inner = self.inner.tcp_listener(socket)?;
        Ok(StallingListener { inner, stalled: Arc::clone(&self.stalled) })
    }

    fn udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        self.inner.udp_socket(socket)
    }

    fn lookup(&self, host: &str) -> impl Future<Output = io::Result<Vec<IpAddr>>> + Send {
        self.inner.lookup(host)
    }
}
