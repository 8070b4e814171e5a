//! [`AsyncStd`]: async-std behind [`Runtime`].

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use quinn::Runtime as _;
use sanspeer_driver::runtime::{AsyncUdpSocket, Runtime};
use sanspeer_driver::sanspeer_core::time::Timestamp;
use sanspeer_driver::{Config, Handle, StartError};

use crate::io::{AsyncIoTcpListener, AsyncIoTcpStream, AsyncIoTimer, lookup};

/// async-std, of which there is one in a process.
#[derive(Clone, Debug)]
pub struct AsyncStd {
    epoch: Instant,
}

/// Starts a node on async-std.
pub fn start(config: Config) -> Result<Handle, StartError> {
    sanspeer_driver::start(AsyncStd::new(), config)
}

impl AsyncStd {
    /// async-std.
    pub fn new() -> Self {
        AsyncStd { epoch: Instant::now() }
    }
}

impl Default for AsyncStd {
    fn default() -> Self {
        AsyncStd::new()
    }
}

impl Runtime for AsyncStd {
    type Timer = AsyncIoTimer;
    type TcpStream = AsyncIoTcpStream;
    type TcpListener = AsyncIoTcpListener;

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        // Dropping its handle lets the task run on.
        drop(async_std::task::spawn(task));
    }

    fn epoch(&self) -> Instant {
        self.epoch
    }

    fn sleep_until(&self, at: Timestamp) -> AsyncIoTimer {
        AsyncIoTimer::new(self.epoch, at)
    }

    async fn tcp_connect(&self, remote: SocketAddr) -> io::Result<AsyncIoTcpStream> {
        AsyncIoTcpStream::connect(remote).await
    }

    fn tcp_listener(&self, socket: std::net::TcpListener) -> io::Result<AsyncIoTcpListener> {
        AsyncIoTcpListener::new(socket)
    }

    fn udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        quinn::AsyncStdRuntime.wrap_udp_socket(socket)
    }

    async fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        lookup(host).await
    }
}
