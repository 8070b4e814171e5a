//! [`QuicWire`]: a connection over QUIC.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use sanspeer_core::connection::Connection;
use sanspeer_core::quic::{FromEndpoint, QuicConnectionId, QuicTransmit, ToEndpoint};
use sanspeer_core::time::Timestamp;

use super::wire::{Received, Sent, Wire};
use crate::endpoint::socket::{try_send, with_scratch};
use crate::endpoint::{Datagrams, EndpointLink, FromConnection};
use crate::runtime::UdpPoller;

/// Datagrams that one call of the socket sends at most.
const MAX_SEGMENTS: usize = 32;

/// Calls of the socket in one turn. More would fill the remote's socket before it is read.
const MAX_SENDS: usize = 4;

/// Datagrams that one round gives to the connection. Their readers then take what they carried while
/// it is in the processor's cache.
const MAX_RECEIVED: usize = 128;

/// A connection over QUIC, which sends by itself.
pub(crate) struct QuicWire {
    id: QuicConnectionId,
    endpoint: Arc<EndpointLink>,
    datagrams: Arc<Datagrams>,
    /// Taken from `datagrams`, and bounded like them.
    taken: VecDeque<FromEndpoint>,
    /// What the socket had no room for.
    blocked: Option<(QuicTransmit, Vec<u8>)>,
    poller: Option<Pin<Box<dyn UdpPoller>>>,
    /// A few in each round.
    to_endpoint: Vec<ToEndpoint>,
    max_segments: usize,
    /// The endpoint has heard the last of the connection.
    drained: bool,
}

/// What came of one call of the socket.
enum Call {
    Sent,
    Nothing,
    Blocked,
}

impl QuicWire {
    pub(crate) fn new(
        id: QuicConnectionId,
        endpoint: Arc<EndpointLink>,
        datagrams: Arc<Datagrams>,
    ) -> Self {
        let max_segments = endpoint.socket.max_transmit_segments().min(MAX_SEGMENTS);
        QuicWire {
            id,
            endpoint,
            datagrams,
            taken: VecDeque::new(),
            blocked: None,
            poller: None,
            to_endpoint: Vec::new(),
            max_segments,
            drained: false,
        }
    }

    /// Sends what the socket had no room for. Whether there is room now.
    fn send_blocked(&mut self, cx: &mut Context<'_>) -> bool {
        while let Some((transmit, bytes)) = &self.blocked {
            match try_send(&*self.endpoint.socket, transmit, bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // What fails otherwise is lost, as on the way.
                Ok(()) | Err(_) => {
                    self.blocked = None;
                    return true;
                }
            }
            let poller = self
                .poller
                .get_or_insert_with(|| Arc::clone(&self.endpoint.socket).create_io_poller());
            match poller.as_mut().poll_writable(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => self.blocked = None,
                Poll::Pending => return false,
            }
        }
        true
    }

    fn send_next(&mut self, connection: &mut Connection, now: Timestamp) -> Call {
        with_scratch(|scratch| {
            let Some(transmit) = connection.poll_datagrams(now, self.max_segments, scratch) else {
                return Call::Nothing;
            };
            match try_send(&*self.endpoint.socket, &transmit, scratch) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let bytes = scratch[..transmit.size.min(scratch.len())].to_vec();
                    self.blocked = Some((transmit, bytes));
                    Call::Blocked
                }
                Ok(()) | Err(_) => Call::Sent,
            }
        })
    }
}

impl QuicWire {
    fn send(&mut self, cx: &mut Context<'_>, connection: &mut Connection, now: Timestamp) -> Sent {
        if !self.send_blocked(cx) {
            return Sent::Nothing;
        }
        let mut sent = Sent::Nothing;
        for _ in 0..MAX_SENDS {
            match self.send_next(connection, now) {
                Call::Sent => sent = Sent::Some,
                Call::Nothing => return sent,
                Call::Blocked if self.send_blocked(cx) => sent = Sent::Some,
                Call::Blocked => return sent,
            }
        }
        Sent::Most
    }
}

impl Wire for QuicWire {
    const STOPS_AT_ONCE: bool = true;

    fn prepare(&mut self) {
        if self.taken.is_empty() {
            self.taken = self.datagrams.take();
        }
    }

    fn receive(
        &mut self,
        _cx: &mut Context<'_>,
        connection: &mut Connection,
        now: Timestamp,
    ) -> Received {
        if self.taken.is_empty() {
            return Received::Nothing;
        }
        let count = self.taken.len().min(MAX_RECEIVED);
        for event in self.taken.drain(..count) {
            connection.handle_endpoint_event(now, event);
        }
        if count < MAX_RECEIVED { Received::Something } else { Received::Most }
    }

    fn transmit(
        &mut self,
        cx: &mut Context<'_>,
        connection: &mut Connection,
        now: Timestamp,
    ) -> Sent {
        let sent = self.send(cx, connection, now);
        while let Some(event) = connection.poll_endpoint_event() {
            self.drained |= event.is_last();
            self.to_endpoint.push(event);
        }
        sent
    }

    fn settle(&mut self) {
        if !self.to_endpoint.is_empty() {
            // Taken, since a connection at rest holds no queue.
            let events = core::mem::take(&mut self.to_endpoint);
            self.endpoint.tell(self.id, events.into_iter().map(FromConnection::Event));
        }
    }

    /// Late packets of the remote are answered for a while (RFC 9000, section 10.2).
    fn poll_over(&mut self, _cx: &mut Context<'_>, _now: Timestamp) -> Poll<()> {
        if self.drained { Poll::Ready(()) } else { Poll::Pending }
    }

    fn over_deadline(&self) -> Option<Timestamp> {
        None
    }
}

impl Drop for QuicWire {
    fn drop(&mut self) {
        if !self.drained {
            self.endpoint.tell(self.id, core::iter::once(FromConnection::Gone));
        }
    }
}
