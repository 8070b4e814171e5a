//! [`Smol`]: smol behind [`Runtime`].

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use quinn::Runtime as _;
use sanspeer_driver::runtime::{AsyncUdpSocket, Runtime};
use sanspeer_driver::sanspeer_core::time::Timestamp;
use sanspeer_driver::{Config, Handle, StartError};
use smol::Executor;

use crate::io::{AsyncIoTcpListener, AsyncIoTcpStream, AsyncIoTimer, lookup};

/// A runtime of smol's.
#[derive(Clone, Debug)]
pub struct Smol {
    /// smol's global one if `None`.
    executor: Option<Arc<Executor<'static>>>,
    epoch: Instant,
}

/// Starts a node on smol's global executor, which has one thread, or `SMOL_THREADS`.
pub fn start(config: Config) -> Result<Handle, StartError> {
    sanspeer_driver::start(Smol::global(), config)
}

impl Smol {
    /// smol's global executor.
    pub fn global() -> Self {
        Smol { executor: None, epoch: Instant::now() }
    }

    /// An executor that the caller runs, on as many threads as he likes.
    pub fn on(executor: Arc<Executor<'static>>) -> Self {
        Smol { executor: Some(executor), epoch: Instant::now() }
    }
}

impl Runtime for Smol {
    type Timer = AsyncIoTimer;
    type TcpStream = AsyncIoTcpStream;
    type TcpListener = AsyncIoTcpListener;

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        match &self.executor {
            Some(executor) => executor.spawn(task).detach(),
            None => smol::spawn(task).detach(),
        }
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
        quinn::SmolRuntime.wrap_udp_socket(socket)
    }

    async fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        lookup(host).await
    }
}
