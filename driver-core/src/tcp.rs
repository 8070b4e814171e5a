//! TCP and memory: dialling, and taking what comes to a listener.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_channel::oneshot;
use multiaddr::Multiaddr;
use sanspeer_core::address::Endpoint;
use sanspeer_core::identity::PeerId;
use sanspeer_core::mux::Role;
use sanspeer_core::node::{ConnectionId, Input, ListenerId};

use crate::control::inbox::{Guest, Report};
use crate::failure::{dial_failure, is_of_one_arrival};
use crate::memory::MemoryListener;
use crate::notify::Notify;
use crate::runtime::{Runtime, TcpListener, Timer};
use crate::shared::Shared;

/// Arrivals of one listener that wait for Node's answer; more stay in the operating system.
const MAX_PENDING: usize = 64;

/// Arrivals that one turn takes.
const MAX_ARRIVALS: usize = 32;

/// How long a listener rests when the operating system refuses to give it what arrived, because no
/// descriptors are left for instance.
const REST: Duration = Duration::from_millis(100);

/// Dials over TCP, until `cancel` is dropped.
pub(crate) async fn dial<R: Runtime>(
    shared: Arc<Shared<R>>,
    id: ConnectionId,
    remote: SocketAddr,
    peer: Option<PeerId>,
    mut cancel: oneshot::Receiver<()>,
) {
    let mut connecting = pin!(shared.runtime.tcp_connect(remote));
    let result = poll_fn(|cx| {
        if Pin::new(&mut cancel).poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        connecting.as_mut().poll(cx).map(Some)
    })
    .await;
    match result {
        Some(Ok(stream)) => shared.begin_bytes(id, Role::Dialer, stream, peer),
        Some(Err(error)) => {
            let failure = dial_failure(&error);
            shared.reports.push(Report::Node(Input::DialFailed { connection: id, failure }));
        }
        None => shared.reports.push(Report::Ended(id)),
    }
}

/// One listener, as its task and the control task share it.
#[derive(Default)]
pub(crate) struct ListenerLink {
    notify: Notify,
    stopped: AtomicBool,
    /// Arrivals that wait for Node's answer.
    pending: AtomicUsize,
}

impl ListenerLink {
    /// Ends the task, and closes the socket.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.notify.notify();
    }

    /// Node has answered one arrival.
    pub(crate) fn answered(&self) {
        if self.pending.fetch_sub(1, Ordering::AcqRel) == MAX_PENDING {
            self.notify.notify();
        }
    }
}

/// What a listener takes its arrivals from.
pub(crate) trait Door<R: Runtime>: Send + Unpin + 'static {
    /// The next arrival and where it comes from.
    fn poll_guest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Guest<R>, Multiaddr)>>;
}

/// A TCP socket.
pub(crate) struct TcpDoor<R: Runtime>(pub(crate) R::TcpListener);

impl<R: Runtime> Door<R> for TcpDoor<R> {
    fn poll_guest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Guest<R>, Multiaddr)>> {
        self.0
            .poll_accept(cx)
            .map_ok(|(stream, remote)| (Guest::Tcp(stream), Endpoint::Tcp(remote).to_multiaddr()))
    }
}

impl<R: Runtime> Door<R> for MemoryListener {
    fn poll_guest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Guest<R>, Multiaddr)>> {
        // A memory connection has no address at the end that dialled.
        let remote = Endpoint::Memory(0).to_multiaddr();
        self.poll_accept(cx).map(|stream| Ok((Guest::Memory(stream), remote)))
    }
}

/// Takes what comes to one listener.
pub(crate) struct ListenerTask<R: Runtime, D> {
    pub(crate) id: ListenerId,
    pub(crate) door: D,
    pub(crate) link: Arc<ListenerLink>,
    pub(crate) shared: Arc<Shared<R>>,
    pub(crate) rest: Option<R::Timer>,
}

impl<R: Runtime, D: Door<R>> Future for ListenerTask<R, D> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.link.notify.begin_turn(cx);
        for _ in 0..MAX_ARRIVALS {
            if this.link.stopped.load(Ordering::Acquire) {
                return Poll::Ready(());
            }
            if let Some(rest) = &mut this.rest {
                if rest.poll_due(cx).is_pending() {
                    return Poll::Pending;
                }
                this.rest = None;
            }
            if this.link.pending.load(Ordering::Acquire) >= MAX_PENDING {
                return Poll::Pending;
            }
            match this.door.poll_guest(cx) {
                Poll::Ready(Ok((guest, remote))) => {
                    this.link.pending.fetch_add(1, Ordering::AcqRel);
                    let listener = this.id;
                    this.shared.reports.push(Report::Arrival {
                        listener,
                        remote,
                        validated: true,
                        guest,
                    });
                }
                Poll::Ready(Err(error)) if is_of_one_arrival(&error) => {}
                Poll::Ready(Err(_)) => {
                    let until = this.shared.runtime.now().saturating_add(REST);
                    this.rest = Some(this.shared.runtime.sleep_until(until));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        this.shared.runtime.yield_turn(cx);
        Poll::Pending
    }
}
