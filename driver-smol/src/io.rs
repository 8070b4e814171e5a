//! Timers and TCP from async-io, which smol and async-std share.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_io::Async;
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
pub struct AsyncIoTcpStream(Async<TcpStream>);

impl AsyncIoTcpStream {
    /// Connects.
    pub(crate) async fn connect(remote: SocketAddr) -> io::Result<Self> {
        AsyncIoTcpStream::new(Async::<TcpStream>::connect(remote).await?)
    }

    fn new(stream: Async<TcpStream>) -> io::Result<Self> {
        stream.get_ref().set_nodelay(true)?;
        Ok(AsyncIoTcpStream(stream))
    }
}

impl ByteStream for AsyncIoTcpStream {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_readable(cx)
    }

    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.get_ref().read(buffer)
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_writable(cx)
    }

    fn try_write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.get_ref().write_vectored(buffers)
    }

    fn shutdown(&mut self) -> io::Result<()> {
        self.0.get_ref().shutdown(Shutdown::Write)
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
