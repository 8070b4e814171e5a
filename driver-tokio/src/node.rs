//! [`Node`], with streams that are tokio's `AsyncRead` and `AsyncWrite`.

use std::io;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use sanspeer_driver::sanspeer_core::identity::PeerId;
use sanspeer_driver::sanspeer_core::protocol::ProtocolId;
use sanspeer_driver::stream::{read_error, write_error};
use sanspeer_driver::{AppStream, Config, Handle, OpenStreamError, RequestError, StartError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::runtime::Tokio;

/// A running node: [`Handle`], with tokio's streams. Cloning shares it; when the last one is
/// dropped, the node shuts down.
#[derive(Clone, Debug)]
pub struct Node(Handle);

/// Takes the streams of one protocol. When it is dropped, further ones are refused.
#[derive(Debug)]
pub struct Acceptor(sanspeer_driver::Acceptor);

/// One stream. See [`AppStream`] for what a drop does.
#[derive(Debug)]
pub struct Stream(AppStream);

/// Starts a node on the runtime that this is called from.
pub fn start(config: Config) -> Result<Node, StartError> {
    sanspeer_driver::start(Tokio::current(), config).map(Node)
}

impl Node {
    /// Opens a stream, see [`Handle::open_stream`].
    pub async fn open_stream(
        &self,
        peer: PeerId,
        protocols: &[ProtocolId],
    ) -> Result<Stream, OpenStreamError> {
        self.0.open_stream(peer, protocols).await.map(Stream)
    }

    /// Takes the streams of a protocol that remotes open, until the acceptor is dropped.
    pub async fn accept(&self, protocol: ProtocolId) -> Result<Acceptor, RequestError> {
        self.0.accept(protocol).await.map(Acceptor)
    }
}

impl Deref for Node {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.0
    }
}

impl Acceptor {
    /// The protocol.
    pub fn protocol(&self) -> &ProtocolId {
        self.0.protocol()
    }

    /// The next stream; `None` when the node has shut down.
    pub async fn accept(&mut self) -> Option<Stream> {
        self.0.accept().await.map(Stream)
    }

    /// The next stream; `None` when the node has shut down.
    pub fn poll_accept(&mut self, cx: &Context<'_>) -> Poll<Option<Stream>> {
        self.0.poll_accept(cx).map(|stream| stream.map(Stream))
    }
}

impl Deref for Stream {
    type Target = AppStream;

    fn deref(&self) -> &AppStream {
        &self.0
    }
}

impl Stream {
    /// The stream without tokio's traits.
    pub fn into_inner(self) -> AppStream {
        self.0
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let n = ready!(self.0.poll_read(cx, buffer.initialize_unfilled())).map_err(read_error)?;
        buffer.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, data).map_err(write_error)
    }

    /// What is written leaves by itself.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Finishes.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_finish(cx).map_err(write_error)
    }
}
