//! [`Runtime`]: what a driver needs of the world.
//!
//! A runtime spawns tasks, tells the time, and has sockets that say when they are ready. Everything
//! else is written once, above it. Sockets are bound here with the options that they need and
//! handed over; a runtime registers them with its reactor.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::BytesMut;
pub use quinn::{AsyncUdpSocket, UdpPoller, udp};
use sanspeer_core::time::Timestamp;

/// A runtime. Cloning shares it.
pub trait Runtime: Clone + Send + Sync + Unpin + 'static {
    /// Its timers.
    type Timer: Timer;
    /// Its TCP connections.
    type TcpStream: ByteStream;
    /// Its TCP listeners.
    type TcpListener: TcpListener<Stream = Self::TcpStream>;

    /// Runs a task to its end, whoever called this.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static);

    /// Runs the task of `cx` again, after others have had their turn, and those that wait for
    /// sockets among them.
    fn yield_turn(&self, cx: &mut Context<'_>) {
        cx.waker().wake_by_ref();
    }

    /// The instant at which its time is [`Timestamp::ZERO`].
    fn epoch(&self) -> Instant;

    /// The time.
    fn now(&self) -> Timestamp {
        Timestamp::ZERO.saturating_add(self.epoch().elapsed())
    }

    /// Seconds since 1970-01-01 UTC.
    fn unix_seconds(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    /// A timer that is due at `at`.
    fn sleep_until(&self, at: Timestamp) -> Self::Timer;

    /// Connects to `remote`. The stream sends small writes at once (`TCP_NODELAY`).
    fn tcp_connect(
        &self,
        remote: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send;

    /// Takes a listening socket, which does not block.
    fn tcp_listener(&self, socket: std::net::TcpListener) -> io::Result<Self::TcpListener>;

    /// Takes a bound UDP socket, which does not block.
    fn udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>>;

    /// Looks a host's addresses up.
    fn lookup(&self, host: &str) -> impl Future<Output = io::Result<Vec<IpAddr>>> + Send;
}

/// A timer that can be set again.
pub trait Timer: Send + Unpin + 'static {
    /// Is due at `at` from now on.
    fn set(&mut self, at: Timestamp);

    /// Ready once it is due. Wakes the task of `cx` then.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// A transport that carries bytes in order, such as TCP, and says when it is ready.
///
/// Readiness is a hint: what was announced may still fail with `WouldBlock`. After that, and after
/// a call that moved fewer bytes than it could, poll again to be woken.
pub trait ByteStream: Send + Unpin + 'static {
    /// Ready when a read may give something, the end and failures included.
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Reads what is there; 0 for a buffer that is not empty is the end.
    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Whether [`ByteStream::try_read_spare`] is there; otherwise reading goes through
    /// [`ByteStream::try_read`], whose buffer has to be initialised first.
    const READS_SPARE: bool = false;

    /// The same into the spare capacity of `buffer`, of which there is some: appends to it.
    fn try_read_spare(&mut self, _buffer: &mut BytesMut) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Ready when a write may take something, failures included.
    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Writes as much as there is room for.
    fn try_write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Ends our direction, behind everything that was written.
    fn shutdown(&mut self) -> io::Result<()>;
}

/// A socket that others connect to.
pub trait TcpListener: Send + Unpin + 'static {
    /// What comes of it.
    type Stream: ByteStream;

    /// The next connection, and where it comes from. It sends small writes at once
    /// (`TCP_NODELAY`).
    fn poll_accept(&mut self, cx: &mut Context<'_>)
    -> Poll<io::Result<(Self::Stream, SocketAddr)>>;
}
