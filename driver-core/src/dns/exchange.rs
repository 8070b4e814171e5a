//! Carrying a question and its reply over UDP, and over TCP when the reply is long.

use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind, IoSlice};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use multiaddr::Multiaddr;
use sanspeer_core::quic::QuicTransmit;

use super::message::{Question, Reply};
use crate::endpoint::socket::{poll_receive, try_send};
use crate::runtime::{AsyncUdpSocket, ByteStream, Runtime, Timer};
use crate::sockets::bind_udp;

/// How long one server has for one answer.
const TIMEOUT: Duration = Duration::from_secs(3);

/// How often each server is asked.
const ROUNDS: usize = 2;

/// The addresses that the TXT records of a host name; none if nobody knows any.
pub(super) async fn dnsaddr<R: Runtime>(
    runtime: &R,
    servers: &[SocketAddr],
    host: &str,
) -> Vec<Multiaddr> {
    for server in servers.iter().cycle().take(servers.len() * ROUNDS) {
        let mut id = [0; 2];
        // Without randomness anybody could answer in the server's place.
        if getrandom::fill(&mut id).is_err() {
            break;
        }
        let Some(question) = Question::new(host, u16::from_be_bytes(id)) else { break };
        match in_time(runtime, ask(runtime, *server, &question)).await {
            Ok(Reply::Addresses(addresses)) => return addresses,
            Ok(Reply::Truncated | Reply::Failed) | Err(_) => {}
        }
    }
    Vec::new()
}

async fn ask<R: Runtime>(
    runtime: &R,
    server: SocketAddr,
    question: &Question,
) -> io::Result<Reply> {
    let bytes = question.encode().ok_or(ErrorKind::InvalidInput)?;
    match ask_udp(runtime, server, question, &bytes).await? {
        Reply::Truncated => ask_tcp(runtime, server, question, &bytes).await,
        reply @ (Reply::Addresses(_) | Reply::Failed) => Ok(reply),
    }
}

/// Each question has a socket, and so a port, of its own.
async fn ask_udp<R: Runtime>(
    runtime: &R,
    server: SocketAddr,
    question: &Question,
    bytes: &[u8],
) -> io::Result<Reply> {
    let any = match server {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = runtime.udp_socket(bind_udp(any)?)?;
    send(&socket, server, bytes).await?;
    poll_fn(|cx| {
        loop {
            let mut reply = None;
            ready!(poll_receive(&*socket, cx, |meta, datagram| {
                if meta.remote == server && reply.is_none() {
                    reply = question.read_reply(&datagram);
                }
            }))?;
            if let Some(reply) = reply {
                return Poll::Ready(Ok(reply));
            }
        }
    })
    .await
}

async fn send(
    socket: &Arc<dyn AsyncUdpSocket>,
    destination: SocketAddr,
    bytes: &[u8],
) -> io::Result<()> {
    let size = bytes.len();
    let transmit = QuicTransmit { destination, ecn: None, size, segment_size: None, src_ip: None };
    let mut poller = Arc::clone(socket).create_io_poller();
    poll_fn(|cx| {
        loop {
            match try_send(&**socket, &transmit, bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(poller.as_mut().poll_writable(cx))?;
                }
                result => return Poll::Ready(result),
            }
        }
    })
    .await
}

/// Over TCP, lengths come first (RFC 1035, section 4.2.2).
async fn ask_tcp<R: Runtime>(
    runtime: &R,
    server: SocketAddr,
    question: &Question,
    bytes: &[u8],
) -> io::Result<Reply> {
    let length = u16::try_from(bytes.len()).map_err(|_| ErrorKind::InvalidInput)?;
    let mut stream = runtime.tcp_connect(server).await?;
    write_all(&mut stream, &length.to_be_bytes()).await?;
    write_all(&mut stream, bytes).await?;
    let mut length = [0; 2];
    read_exact(&mut stream, &mut length).await?;
    let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
    read_exact(&mut stream, &mut reply).await?;
    question.read_reply(&reply).ok_or_else(|| ErrorKind::InvalidData.into())
}

async fn write_all(stream: &mut impl ByteStream, mut bytes: &[u8]) -> io::Result<()> {
    poll_fn(|cx| {
        while !bytes.is_empty() {
            match stream.try_write_vectored(&[IoSlice::new(bytes)]) {
                Ok(n) => bytes = &bytes[n..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(stream.poll_writable(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    })
    .await
}

async fn read_exact(stream: &mut impl ByteStream, buffer: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    poll_fn(|cx| {
        while filled < buffer.len() {
            match stream.try_read(&mut buffer[filled..]) {
                Ok(0) => return Poll::Ready(Err(ErrorKind::UnexpectedEof.into())),
                Ok(n) => filled += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(stream.poll_readable(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    })
    .await
}

/// Fails when the future is not ready in time.
async fn in_time<R: Runtime, T>(
    runtime: &R,
    future: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    let mut timer = runtime.sleep_until(runtime.now().saturating_add(TIMEOUT));
    let mut future = pin!(future);
    poll_fn(|cx| {
        if let Poll::Ready(result) = future.as_mut().poll(cx) {
            return Poll::Ready(result);
        }
        timer.poll_due(cx).map(|()| Err(ErrorKind::TimedOut.into()))
    })
    .await
}
