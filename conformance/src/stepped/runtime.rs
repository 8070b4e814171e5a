//! [`Stepped`]: a runtime whose clock moves only by script.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::Context;
use std::time::Instant;

use sanspeer_core::time::Timestamp;
use sanspeer_driver::runtime::{AsyncUdpSocket, Runtime};

use super::clock::{StepClock, StepTimer};

/// 2026-01-01 00:00:00 UTC, in Unix seconds: when every clock begins.
pub const BEGIN_UNIX_SECONDS: u64 = 1_767_225_600;

/// A runtime whose clock moves only by script. Its tasks and sockets are those of `R`.
#[derive(Clone)]
pub struct Stepped<R> {
    inner: R,
    clock: Arc<StepClock>,
}

impl<R> Stepped<R> {
    /// A runtime with this clock.
    pub fn new(inner: R, clock: Arc<StepClock>) -> Self {
        Stepped { inner, clock }
    }
}

impl<R: Runtime> Runtime for Stepped<R> {
    type Timer = StepTimer;
    type TcpStream = R::TcpStream;
    type TcpListener = R::TcpListener;

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.inner.spawn(task);
    }

    fn yield_turn(&self, cx: &mut Context<'_>) {
        self.inner.yield_turn(cx);
    }

    fn epoch(&self) -> Instant {
        self.inner.epoch()
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn unix_seconds(&self) -> u64 {
        let since = self.clock.now().saturating_since(Timestamp::ZERO);
        BEGIN_UNIX_SECONDS.saturating_add(since.as_secs())
    }

    fn sleep_until(&self, at: Timestamp) -> StepTimer {
        self.clock.timer(at)
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
