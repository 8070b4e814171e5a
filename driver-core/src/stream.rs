//! [`AppStream`]: one stream of the application's.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_io::{AsyncRead, AsyncWrite};
use sanspeer_core::identity::PeerId;
use sanspeer_core::mailbox::OpenFailure;
use sanspeer_core::mux::{ReadError, ResetCode, StreamId, WriteError};
use sanspeer_core::node::ConnectionId;
use sanspeer_core::protocol::ProtocolId;

use crate::connection::link::Link;
use crate::observer::Observer;

/// One stream, which goes to its connection directly: no other task is between.
///
/// Dropped after [`AppStream::poll_finish`], it still sends what was written, and what the remote
/// goes on to say is thrown away. Dropped before, it is reset.
///
/// If one protocol was proposed, writing may begin at once; a remote that does not speak it shows as
/// [`ReadError::UnsupportedProtocol`] at the first read ([`io::ErrorKind::Unsupported`]).
pub struct AppStream {
    link: Arc<Link>,
    id: StreamId,
    peer: PeerId,
    protocol: Option<ProtocolId>,
    finished: bool,
    /// There is nothing more to read.
    ended: bool,
}

impl AppStream {
    pub(crate) fn new(
        link: Arc<Link>,
        id: StreamId,
        peer: PeerId,
        protocol: Option<ProtocolId>,
    ) -> Self {
        AppStream { link, id, peer, protocol, finished: false, ended: false }
    }

    /// Waits until a protocol is agreed on.
    pub(crate) fn poll_opened(&mut self, cx: &Context<'_>) -> Poll<Result<(), OpenFailure>> {
        if self.protocol.is_some() {
            return Poll::Ready(Ok(()));
        }
        self.link.poll_opened(cx, self.id).map_ok(|protocol| self.protocol = Some(protocol))
    }

    /// Whether nothing is left to be done: our direction is finished, and theirs was read to its end.
    pub(crate) fn is_over(&self) -> bool {
        self.finished && self.ended
    }

    /// Tells an observer what happens to the stream from now on.
    pub(crate) fn observe(&self, observer: &Arc<Observer>) {
        self.link.observe(self.id, observer);
    }

    /// Who is at the other end.
    pub fn peer(&self) -> PeerId {
        self.peer
    }

    /// The stream's number within its connection.
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// The stream's connection.
    pub fn connection(&self) -> ConnectionId {
        self.link.id
    }

    /// What was agreed on, or the only protocol that was proposed.
    pub fn protocol(&self) -> Option<&ProtocolId> {
        self.protocol.as_ref()
    }

    /// Reads into `buffer`; 0 for a buffer that is not empty means that the remote finished.
    pub fn poll_read(
        &mut self,
        cx: &Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<usize, ReadError>> {
        if self.ended {
            return Poll::Ready(Ok(0));
        }
        let result = self.poll_read_with(cx, |stream| stream.read_into(buffer));
        if let Poll::Ready(Ok(0)) = result {
            self.ended |= !buffer.is_empty();
        }
        result
    }

    /// Reads at most `max` bytes, without copying where that is possible. Empty for a `max` that is
    /// not 0 means that the remote finished.
    pub fn poll_read_bytes(
        &mut self,
        cx: &Context<'_>,
        max: usize,
    ) -> Poll<Result<Bytes, ReadError>> {
        if self.ended {
            return Poll::Ready(Ok(Bytes::new()));
        }
        let result = self.poll_read_with(cx, |stream| stream.read(max));
        if let Poll::Ready(Ok(bytes)) = &result {
            self.ended |= bytes.is_empty() && max > 0;
        }
        result
    }

    fn poll_read_with<T>(
        &mut self,
        cx: &Context<'_>,
        read: impl FnOnce(&mut sanspeer_core::connection::Stream<'_>) -> Result<T, ReadError>,
    ) -> Poll<Result<T, ReadError>> {
        let mut state = self.link.lock();
        let result = match read(&mut state.connection.stream(self.id)) {
            Err(ReadError::Blocked) if state.closed => {
                Poll::Ready(Err(ReadError::ConnectionClosed))
            }
            Err(ReadError::Blocked) => {
                state.await_read(self.id, cx);
                Poll::Pending
            }
            Err(ReadError::UnknownStream) => Poll::Ready(Err(state.end_of(self.id))),
            result => Poll::Ready(result),
        };
        // A lone proposal leaves with the first read, and reading moves the window.
        let wake = state.paused || state.connection.wants_transmit();
        drop(state);
        if wake {
            self.link.notify.notify();
        }
        result
    }

    /// Writes as much of `data` as there is room for, and says how much that was.
    pub fn poll_write(&mut self, cx: &Context<'_>, data: &[u8]) -> Poll<Result<usize, WriteError>> {
        let result = {
            let mut state = self.link.lock();
            match state.connection.stream(self.id).write(data) {
                Err(WriteError::Blocked) if state.closed => {
                    Poll::Ready(Err(WriteError::ConnectionClosed))
                }
                Err(WriteError::Blocked) => {
                    state.await_write(self.id, cx);
                    Poll::Pending
                }
                Err(WriteError::UnknownStream) => {
                    Poll::Ready(Err(write_error_of(state.end_of(self.id))))
                }
                result => Poll::Ready(result),
            }
        };
        self.link.notify.notify();
        result
    }

    /// Ends our direction, behind everything that was written. Doing it twice is no error.
    pub fn poll_finish(&mut self, _cx: &Context<'_>) -> Poll<Result<(), WriteError>> {
        if self.finished {
            return Poll::Ready(Ok(()));
        }
        let result = self.link.lock().connection.stream(self.id).finish();
        self.finished = result.is_ok();
        self.link.notify.notify();
        Poll::Ready(result)
    }

    /// Ends both directions at once and forgets what was not read or sent.
    pub fn reset(mut self, code: ResetCode) {
        self.link.lock().connection.stream(self.id).reset(code);
        self.finished = true;
        self.ended = true;
        self.link.notify.notify();
    }
}

impl Drop for AppStream {
    fn drop(&mut self) {
        let over = self.is_over();
        self.link.lock().drop_stream(self.id, self.finished, over);
        if !over {
            self.link.notify.notify();
        }
    }
}

impl core::fmt::Debug for AppStream {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("AppStream")
            .field("peer", &self.peer)
            .field("connection", &self.link.id)
            .field("id", &self.id)
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}

impl AsyncRead for AppStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        AppStream::poll_read(&mut self, cx, buffer).map_err(read_error)
    }
}

impl AsyncWrite for AppStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        AppStream::poll_write(&mut self, cx, data).map_err(write_error)
    }

    /// What is written leaves by itself.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Finishes.
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_finish(cx).map_err(write_error)
    }
}

/// What a write says of a stream of which a read says this.
fn write_error_of(error: ReadError) -> WriteError {
    match error {
        ReadError::Reset(code) => WriteError::Reset(code),
        ReadError::ConnectionClosed => WriteError::ConnectionClosed,
        ReadError::Blocked | ReadError::UnknownStream | ReadError::UnsupportedProtocol => {
            WriteError::UnknownStream
        }
    }
}

/// A failure to read as an `io::Error`, which holds the [`ReadError`].
pub fn read_error(error: ReadError) -> io::Error {
    let kind = match error {
        ReadError::Blocked => io::ErrorKind::WouldBlock,
        ReadError::Reset(_) => io::ErrorKind::ConnectionReset,
        ReadError::UnknownStream => io::ErrorKind::NotConnected,
        ReadError::ConnectionClosed => io::ErrorKind::ConnectionAborted,
        ReadError::UnsupportedProtocol => io::ErrorKind::Unsupported,
    };
    io::Error::new(kind, error)
}

/// A failure to write as an `io::Error`, which holds the [`WriteError`].
pub fn write_error(error: WriteError) -> io::Error {
    let kind = match error {
        WriteError::Blocked => io::ErrorKind::WouldBlock,
        WriteError::Finished | WriteError::Stopped(_) => io::ErrorKind::BrokenPipe,
        WriteError::Reset(_) => io::ErrorKind::ConnectionReset,
        WriteError::ConnectionClosed => io::ErrorKind::ConnectionAborted,
        WriteError::UnknownStream => io::ErrorKind::NotConnected,
    };
    io::Error::new(kind, error)
}
