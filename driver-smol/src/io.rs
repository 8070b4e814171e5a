//! Timers and TCP from async-io, which smol and async-std share.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::{Duration, Instant};

use async_io::Async;
use atomic_waker::AtomicWaker;
use sanspeer_driver::runtime::{ByteStream, TcpListener, Timer};
use sanspeer_driver::sanspeer_core::time::Timestamp;

/// A timer of async-io's.
#[derive(Debug)]
pub struct AsyncIoTimer {
    timer: async_io::Timer,
    epoch: Instant,
}

impl AsyncIoTimer {
    /// A timer of a runtime with this epoch.
    pub(crate) fn new(epoch: Instant, at: Timestamp) -> Self {
        let mut timer = AsyncIoTimer { timer: async_io::Timer::never(), epoch };
        timer.set(at);
        timer
    }
}

impl Timer for AsyncIoTimer {
    fn set(&mut self, at: Timestamp) {
        match self.epoch.checked_add(Duration::from_nanos(at.0)) {
            Some(instant) => self.timer.set_at(instant),
            // Further away than the clock goes.
            None => self.timer = async_io::Timer::never(),
        }
    }

    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Future::poll(Pin::new(&mut self.timer), cx).map(|_| ())
    }
}

/// A TCP connection on async-io's reactor.
#[derive(Debug)]
pub struct AsyncIoTcpStream {
    socket: Async<TcpStream>,
    readable: Interest,
    writable: Interest,
}

impl AsyncIoTcpStream {
    /// Connects.
    pub(crate) async fn connect(remote: SocketAddr) -> io::Result<Self> {
        AsyncIoTcpStream::new(Async::<TcpStream>::connect(remote).await?)
    }

    fn new(stream: Async<TcpStream>) -> io::Result<Self> {
        stream.get_ref().set_nodelay(true)?;
        let (readable, writable) = (Interest::new(), Interest::new());
        Ok(AsyncIoTcpStream { socket: stream, readable, writable })
    }
}

impl ByteStream for AsyncIoTcpStream {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.readable.poll(cx, |cx| self.socket.poll_readable(cx))
    }

    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.get_ref().read(buffer)
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writable.poll(cx, |cx| self.socket.poll_writable(cx))
    }

    fn try_write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.socket.get_ref().write_vectored(buffers)
    }

    fn shutdown(&mut self) -> io::Result<()> {
        self.socket.get_ref().shutdown(Shutdown::Write)
    }
}

/// Whether the reactor has woken for one direction of a socket.
///
/// Asked again after a wake-up, async-io does not take that wake-up for readiness when it came out
/// of a look at the sockets that began before the question; it asks the operating system once more,
/// and with several threads that goes round and round. Here the wake-up itself is the answer: what
/// follows is an attempt, which may still fail with `WouldBlock`.
#[derive(Debug)]
struct Interest {
    woken: Arc<Woken>,
    waker: Waker,
}

#[derive(Debug, Default)]
struct Woken {
    fired: AtomicBool,
    task: AtomicWaker,
}

impl Interest {
    fn new() -> Self {
        let woken = Arc::<Woken>::default();
        Interest { waker: Waker::from(Arc::clone(&woken)), woken }
    }

    /// Ready when the reactor has woken since the last time, or when `ask` is ready at once.
    fn poll(
        &self,
        cx: &Context<'_>,
        ask: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        self.woken.task.register(cx.waker());
        if self.woken.fired.swap(false, Ordering::AcqRel) {
            return Poll::Ready(Ok(()));
        }
        ask(&mut Context::from_waker(&self.waker))
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.fired.store(true, Ordering::Release);
        self.task.wake();
    }
}

/// A TCP listener on async-io's reactor.
#[derive(Debug)]
pub struct AsyncIoTcpListener(Async<std::net::TcpListener>);

impl AsyncIoTcpListener {
    /// A socket that listens and does not block.
    pub(crate) fn new(socket: std::net::TcpListener) -> io::Result<Self> {
        Async::new_nonblocking(socket).map(AsyncIoTcpListener)
    }
}

impl TcpListener for AsyncIoTcpListener {
    type Stream = AsyncIoTcpStream;

    fn poll_accept(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(AsyncIoTcpStream, SocketAddr)>> {
        loop {
            match self.0.get_ref().accept() {
                Ok((stream, remote)) => {
                    let stream = Async::new(stream).and_then(AsyncIoTcpStream::new);
                    return Poll::Ready(stream.map(|stream| (stream, remote)));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(self.0.poll_readable(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

/// Asks the system's resolver.
pub(crate) async fn lookup(host: &str) -> io::Result<Vec<IpAddr>> {
    let host = host.to_owned();
    let found = blocking::unblock(move || (host, 0).to_socket_addrs()).await?;
    Ok(found.map(|socket| socket.ip()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_up_is_readiness_once_and_asks_nobody() {
        let interest = Interest::new();
        let cx = Context::from_waker(Waker::noop());
        assert!(interest.poll(&cx, |_| Poll::Pending).is_pending());
        interest.waker.wake_by_ref();
        let ready = interest.poll(&cx, |_| panic!("the reactor has answered"));
        assert!(matches!(ready, Poll::Ready(Ok(()))));
        assert!(interest.poll(&cx, |_| Poll::Pending).is_pending());
    }
}
