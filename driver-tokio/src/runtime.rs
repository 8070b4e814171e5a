//! [`Tokio`]: tokio behind [`Runtime`].

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use quinn::Runtime as _;
use sanspeer_driver::runtime::{AsyncUdpSocket, ByteStream, Runtime, TcpListener, Timer};
use sanspeer_driver::sanspeer_core::time::Timestamp;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::Sleep;

/// Further away than any timer is set: tokio's reach about two years.
const MAX_SLEEP: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A runtime of tokio's.
#[derive(Clone, Debug)]
pub struct Tokio {
    handle: Handle,
    epoch: Instant,
}

impl Tokio {
    /// The runtime that this is called from. Panics outside of one, like [`Handle::current`].
    pub fn current() -> Self {
        Tokio::new(Handle::current())
    }

    /// This runtime.
    pub fn new(handle: Handle) -> Self {
        Tokio { handle, epoch: Instant::now() }
    }

    fn instant(&self, at: Timestamp) -> tokio::time::Instant {
        let away = at.saturating_since(self.now()).min(MAX_SLEEP);
        tokio::time::Instant::now() + away
    }
}

impl Runtime for Tokio {
    type Timer = TokioTimer;
    type TcpStream = TokioTcpStream;
    type TcpListener = TokioTcpListener;

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.handle.spawn(task);
    }

    /// A task that is woken runs before tokio looks at its sockets; one that yields does not.
    fn yield_turn(&self, cx: &mut Context<'_>) {
        if pin!(tokio::task::yield_now()).poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }

    fn epoch(&self) -> Instant {
        self.epoch
    }

    fn sleep_until(&self, at: Timestamp) -> TokioTimer {
        let sleep = Box::pin(tokio::time::sleep_until(self.instant(at)));
        TokioTimer { sleep, runtime: self.clone() }
    }

    async fn tcp_connect(&self, remote: SocketAddr) -> io::Result<TokioTcpStream> {
        TokioTcpStream::new(TcpStream::connect(remote).await?)
    }

    fn tcp_listener(&self, socket: std::net::TcpListener) -> io::Result<TokioTcpListener> {
        tokio::net::TcpListener::from_std(socket).map(TokioTcpListener)
    }

    fn udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        quinn::TokioRuntime.wrap_udp_socket(socket)
    }

    async fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let found = tokio::net::lookup_host((host, 0)).await?;
        Ok(found.map(|socket| socket.ip()).collect())
    }
}

/// A timer of tokio's.
#[derive(Debug)]
pub struct TokioTimer {
    sleep: Pin<Box<Sleep>>,
    runtime: Tokio,
}

impl Timer for TokioTimer {
    fn set(&mut self, at: Timestamp) {
        self.sleep.as_mut().reset(self.runtime.instant(at));
    }

    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.sleep.as_mut().poll(cx)
    }
}

/// A TCP connection of tokio's.
#[derive(Debug)]
pub struct TokioTcpStream(TcpStream);

impl TokioTcpStream {
    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(TokioTcpStream(stream))
    }
}

/// Reading and writing go through tokio's `poll_` functions, which also note that a call that moved
/// less than it could has emptied or filled the socket; readiness is asked for on its own.
impl ByteStream for TokioTcpStream {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_read_ready(cx)
    }

    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(buffer);
        let cx = &mut Context::from_waker(Waker::noop());
        match Pin::new(&mut self.0).poll_read(cx, &mut buffer) {
            Poll::Ready(result) => result.map(|()| buffer.filled().len()),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    const READS_SPARE: bool = true;

    fn try_read_spare(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        match pin!(self.0.read_buf(buffer)).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => result,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_write_ready(cx)
    }

    fn try_write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let cx = &mut Context::from_waker(Waker::noop());
        match Pin::new(&mut self.0).poll_write_vectored(cx, buffers) {
            Poll::Ready(result) => result,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn shutdown(&mut self) -> io::Result<()> {
        let cx = &mut Context::from_waker(Waker::noop());
        match Pin::new(&mut self.0).poll_shutdown(cx) {
            Poll::Ready(result) => result,
            Poll::Pending => Ok(()),
        }
    }
}

/// A TCP listener of tokio's.
#[derive(Debug)]
pub struct TokioTcpListener(tokio::net::TcpListener);

impl TcpListener for TokioTcpListener {
    type Stream = TokioTcpStream;

    fn poll_accept(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(TokioTcpStream, SocketAddr)>> {
        let (stream, remote) = ready!(self.0.poll_accept(cx))?;
        Poll::Ready(TokioTcpStream::new(stream).map(|stream| (stream, remote)))
    }
}
