//! [`ByteWire`]: a connection over bytes in order.

use std::io::{self, ErrorKind, IoSlice};
use std::task::{Context, Poll};
use std::time::Duration;

use sanspeer_core::close::TransportFailure;
use sanspeer_core::connection::Connection;
use sanspeer_core::time::Timestamp;

use super::wire::{Received, Sent, Wire};
use crate::failure::transport_failure;
use crate::runtime::ByteStream;

/// Reads and writes of one round. Each moves at most what the connection buffers.
const MAX_CALLS: usize = 4;

/// What one turn receives, in bytes. Readers then take it while it is in the processor's cache, and
/// the buffer that it is in serves again.
const TURN_BYTES: usize = 128 * 1024;

/// How long the remote may take to close its end after our goodbye.
const HANG_UP_TIMEOUT: Duration = Duration::from_millis(500);

/// What is thrown away of a remote that goes on to send after the end, in bytes a turn.
const SCRAP_BYTES: usize = 16 * 1024;

/// A connection over bytes in order.
pub(crate) struct ByteWire<S> {
    stream: S,
    /// The last read filled its buffer: there may be more without asking.
    more: bool,
    /// Received since the last turn, in bytes.
    received: usize,
    /// The stream has ended or failed, in this direction.
    read_over: bool,
    write_failed: Option<TransportFailure>,
    /// Since the end: when the remote must have closed its end.
    hanging_up: Option<Timestamp>,
}

impl<S: ByteStream> ByteWire<S> {
    pub(crate) fn new(stream: S) -> Self {
        ByteWire {
            stream,
            more: false,
            received: 0,
            read_over: false,
            write_failed: None,
            hanging_up: None,
        }
    }

    /// With nothing left to read, a failure to write is the end.
    fn give_up_writing(&mut self, connection: &mut Connection, now: Timestamp) -> Received {
        let Some(failure) = self.write_failed else { return Received::Nothing };
        self.read_over = true;
        connection.handle_transport_error(now, failure);
        Received::Something
    }

    fn read_failed(&mut self, connection: &mut Connection, now: Timestamp, error: &io::Error) {
        self.read_over = true;
        connection.handle_transport_error(now, transport_failure(error));
    }

    /// Reads what is there; also says how much could have been read. `None` if the connection does
    /// not read.
    fn read(&mut self, connection: &mut Connection) -> Option<(usize, io::Result<usize>)> {
        if S::READS_SPARE {
            let spare = connection.recv_spare()?;
            let room = spare.capacity() - spare.len();
            Some((room, self.stream.try_read_spare(spare)))
        } else {
            let space = connection.recv_buf()?;
            Some((space.len(), self.stream.try_read(space)))
        }
    }

    /// Whether the stream may have something, without taking a buffer for it.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.more { Poll::Ready(Ok(())) } else { self.stream.poll_readable(cx) }
    }
}

impl<S: ByteStream> Wire for ByteWire<S> {
    const STOPS_AT_ONCE: bool = false;

    fn prepare(&mut self) {}

    fn receive(
        &mut self,
        cx: &mut Context<'_>,
        connection: &mut Connection,
        now: Timestamp,
    ) -> Received {
        if self.read_over {
            return Received::Nothing;
        }
        // An idle connection holds no buffer, so readiness comes first.
        match self.poll_more(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => {
                self.read_failed(connection, now, &error);
                return Received::Something;
            }
            Poll::Pending => {
                self.received = 0;
                return self.give_up_writing(connection, now);
            }
        }
        // None while too much is unread, or the connection is ending: then a read by the
        // application, or time, is what wakes the task.
        let Some((room, result)) = self.read(connection) else {
            let received = self.give_up_writing(connection, now);
            return if received == Received::Nothing { Received::Paused } else { received };
        };
        match result {
            Ok(0) => {
                self.read_over = true;
                connection.handle_eof(now);
                Received::Something
            }
            Ok(n) => {
                self.more = n == room;
                connection.handle_recv(now, n);
                self.received += n;
                if self.received < TURN_BYTES {
                    return Received::Something;
                }
                self.received = 0;
                Received::Most
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Received::Something,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.more = false;
                // Leaves the waker, or says that there is something meanwhile.
                match self.stream.poll_readable(cx) {
                    Poll::Ready(_) => Received::Something,
                    Poll::Pending => self.give_up_writing(connection, now),
                }
            }
            Err(error) => {
                self.read_failed(connection, now, &error);
                Received::Something
            }
        }
    }

    fn transmit(
        &mut self,
        cx: &mut Context<'_>,
        connection: &mut Connection,
        now: Timestamp,
    ) -> Sent {
        let mut sent = Sent::Nothing;
        for _ in 0..MAX_CALLS {
            if self.write_failed.is_some() {
                break;
            }
            let Some(bytes) = connection.poll_transmit(now) else { break };
            match self.stream.try_write_vectored(&[IoSlice::new(bytes)]) {
                Ok(n) => {
                    connection.handle_transmitted(n);
                    sent = Sent::Some;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    match self.stream.poll_writable(cx) {
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(error)) => {
                            self.write_failed = Some(transport_failure(&error))
                        }
                        Poll::Pending => break,
                    }
                }
                // The remote may have said why before it closed: first read on.
                Err(error) => {
                    self.write_failed = Some(transport_failure(&error));
                    sent = Sent::Some;
                }
            }
        }
        sent
    }

    fn settle(&mut self) {}

    /// Closes our end and waits until the remote has closed its own: bytes that arrive at a closed
    /// socket make the operating system reset it, and our goodbye would be lost.
    fn poll_over(&mut self, cx: &mut Context<'_>, now: Timestamp) -> Poll<()> {
        if self.read_over {
            return Poll::Ready(());
        }
        let until = match self.hanging_up {
            Some(until) => until,
            None => {
                if self.stream.shutdown().is_err() {
                    return Poll::Ready(());
                }
                *self.hanging_up.insert(now.saturating_add(HANG_UP_TIMEOUT))
            }
        };
        if now >= until {
            return Poll::Ready(());
        }
        let mut scrap = [0; SCRAP_BYTES];
        loop {
            match self.stream.poll_readable(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
            match self.stream.try_read(&mut scrap) {
                Ok(0) => return Poll::Ready(()),
                Ok(n) if n == scrap.len() => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Ok(_) => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(_) => return Poll::Ready(()),
            }
        }
    }

    fn over_deadline(&self) -> Option<Timestamp> {
        self.hanging_up
    }
}
