//! [`Counting`]: a runtime that knows how many of its tasks run.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Context;
use std::time::Instant;

use sanspeer_core::time::Timestamp;
use sanspeer_driver::runtime::{AsyncUdpSocket, Runtime};

/// A runtime that knows how many of the tasks run that were spawned through it.
#[derive(Clone)]
pub struct Counting<R> {
    inner: R,
    running: Arc<AtomicUsize>,
}

/// A task that runs until it is dropped.
struct Running(Arc<AtomicUsize>);

impl<R> Counting<R> {
    /// Counts from zero.
    pub fn new(inner: R) -> Self {
        Counting { inner, running: Arc::default() }
    }

    /// How many tasks run.
    pub fn running(&self) -> usize {
        self.running.load(Ordering::Acquire)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl<R: Runtime> Runtime for Counting<R> {
    type Timer = R::Timer;
    type TcpStream = R::TcpStream;
    type TcpListener = R::TcpListener;

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.running.fetch_add(1, Ordering::AcqRel);
        let running = Running(Arc::clone(&self.running));
        self.inner.spawn(async move {
            task.await;
            drop(running);
        });
    }

    fn yield_turn(&self, cx: &mut Context<'_>) {
        self.inner.yield_turn(cx);
    }

    fn epoch(&self) -> Instant {
        self.inner.epoch()
    }

    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    fn unix_seconds(&self) -> u64 {
        self.inner.unix_seconds()
    }

    fn sleep_until(&self, at: Timestamp) -> R::Timer {
        self.inner.sleep_until(at)
    }

    fn tcp_connect(
        &self,
        remote: SocketAddr,
    ) -> impl Future<Output = io::Result<R::TcpStream>> + Send {
        self.inner.tcp_connect(remote)
    }

    fn tcp_listener(&self, socket: std::net::TcpListener) -> io::Result<R::TcpListener> {
        self.inner.tcp_listener(socket)
    }

    fn udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        self.inner.udp_socket(socket)
    }

    fn lookup(&self, host: &str) -> impl Future<Output = io::Result<Vec<IpAddr>>> + Send {
        self.inner.lookup(host)
    }
}
