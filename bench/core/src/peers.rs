//! rust-libp2p's crates for a TCP connection: `multistream-select`,
//! `libp2p-noise` and `yamux`, over a [`Pipe`].
//!
//! Multistream versions are those of rust-libp2p: lazy for the connection's
//! upgrades (`SwarmBuilder`), not lazy for streams (`libp2p-swarm`'s default).
//! All settings are the crates' defaults. `libp2p-yamux` and `libp2p-swarm`,
//! which would add their own cost, are left out.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::marker::PhantomData;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use anyhow::{Context as _, Result, ensure};
use futures::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use libp2p_core::upgrade::{InboundConnectionUpgrade as _, OutboundConnectionUpgrade as _};
use libp2p_identity::Keypair;
use libp2p_noise as noise;
use multistream_select::{Negotiated, Version, dialer_select_proto, listener_select_proto};

use crate::allocator::HeapTotals;
use crate::contender::{ECHO, READ_BYTES, STREAM_PROTOCOL, Stack, WARM_UP_BYTES};
use crate::meter::{Cost, Meter};
use crate::payload::{Payload, Receiver, Thoroughness};
use crate::pipe::Pipe;
use crate::turns::run_both;

const NOISE: &str = "/noise";
const YAMUX: &str = "/yamux/1.0.0";

/// Polls after which a connection whose streams are closed has nothing to do.
const SETTLING_TURNS: usize = 64;

/// What Yamux runs over.
pub type Socket = Negotiated<noise::Output<Negotiated<Pipe>>>;

/// The part of the crate `yamux` that all its versions share.
pub trait Yamux: Sized {
    const NAME: &'static str;
    type Stream: AsyncRead + AsyncWrite + Unpin;

    fn dialer(socket: Socket) -> Self;
    fn listener(socket: Socket) -> Self;
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Self::Stream>>;
    /// Makes all progress that there is to make, until a stream comes in.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Self::Stream>>;
}

macro_rules! yamux {
    ($wrapper:ident, $package:ident, $name:literal) => {
        pub struct $wrapper($package::Connection<Socket>);

        impl Yamux for $wrapper {
            const NAME: &'static str = $name;
            type Stream = $package::Stream;

            fn dialer(socket: Socket) -> Self {
                let config = $package::Config::default();
                Self($package::Connection::new(socket, config, $package::Mode::Client))
            }

            fn listener(socket: Socket) -> Self {
                let config = $package::Config::default();
                Self($package::Connection::new(socket, config, $package::Mode::Server))
            }

            fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Self::Stream>> {
                self.0.poll_new_outbound(cx).map_err(io::Error::other)
            }

            fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Self::Stream>> {
                self.0.poll_next_inbound(cx).map(|stream| {
                    stream.ok_or(io::ErrorKind::UnexpectedEof)?.map_err(io::Error::other)
                })
            }
        }
    };
}

yamux!(Yamux013, yamux_013, "yamux 0.13 + libp2p-noise");
yamux!(Yamux014, yamux_014, "yamux 0.14 + libp2p-noise");

/// A [`Stack`] of the crates.
pub struct Peer<Y> {
    dialer: noise::Config,
    listener: noise::Config,
    payload: Payload,
    yamux: PhantomData<Y>,
}

/// A connection and its only stream.
struct End<Y: Yamux> {
    connection: Y,
    stream: Y::Stream,
}

impl<Y: Yamux> Peer<Y> {
    pub fn new() -> Result<Self> {
        Ok(Self {
            dialer: noise::Config::new(&Keypair::generate_ed25519())?,
            listener: noise::Config::new(&Keypair::generate_ed25519())?,
            payload: Payload::new(),
            yamux: PhantomData,
        })
    }

    /// Two ends that have exchanged [`ECHO`].
    fn connect(&self, near: Pipe, far: Pipe) -> Result<(End<Y>, End<Y>)> {
        let echoed = Cell::new(false);
        run_both(
            dial(near, self.dialer.clone(), &echoed),
            answer(far, self.listener.clone(), &echoed),
        )
    }

    fn transfer(
        &self,
        (sender, receiver): (&mut End<Y>, &mut End<Y>),
        total_bytes: u64,
        write_bytes: usize,
        thoroughness: Thoroughness,
    ) -> Result<()> {
        let arrived = Cell::new(false);
        let send = async {
            let stream = &mut sender.stream;
            let work = async {
                let mut sent_bytes = 0;
                while sent_bytes < total_bytes {
                    let len = write_bytes.min((total_bytes - sent_bytes) as usize);
                    let bytes = self.payload.at(sent_bytes, len);
                    stream.write_all(bytes).await?;
                    sent_bytes += bytes.len() as u64;
                }
                stream.flush().await?;
                until(&arrived).await;
                Ok(())
            };
            while_driving(&mut sender.connection, work).await
        };
        let receive = async {
            let stream = &mut receiver.stream;
            let work = async {
                let mut check = Receiver::new(&self.payload, thoroughness);
                let mut buffer = vec![0; READ_BYTES];
                while check.received_bytes < total_bytes {
                    let len = stream.read(&mut buffer).await?;
                    ensure!(len > 0, "the stream ended after {} bytes", check.received_bytes);
                    check.take(&buffer[..len]);
                }
                arrived.set(true);
                Ok(())
            };
            while_driving(&mut receiver.connection, work).await
        };
        run_both(send, receive).map(|_| ())
    }

    /// Closes the stream at both ends and lets both connections come to rest.
    fn close_stream(&self, (mut dialer, mut listener): (End<Y>, End<Y>)) -> Result<(Y, Y)> {
        let closed = Cell::new(false);
        let close = async {
            let stream = &mut dialer.stream;
            let work = async {
                stream.close().await?;
                ensure!(stream.read(&mut [0]).await? == 0, "data after the echo");
                closed.set(true);
                Ok(())
            };
            while_driving(&mut dialer.connection, work).await
        };
        let follow = async {
            let stream = &mut listener.stream;
            let work = async {
                ensure!(stream.read(&mut [0]).await? == 0, "data after the echo");
                stream.close().await?;
                until(&closed).await;
                Ok(())
            };
            while_driving(&mut listener.connection, work).await
        };
        run_both(close, follow)?;
        let (mut dialer, mut listener) = (dialer.connection, listener.connection);
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..SETTLING_TURNS {
            for connection in [&mut dialer, &mut listener] {
                ensure!(connection.poll_accept(&mut cx).is_pending(), "an unexpected stream");
            }
        }
        Ok((dialer, listener))
    }

    fn idle_pair(&self) -> Result<(Y, Y)> {
        let (near, far) = Pipe::pair();
        let pipe = near.idle_handle();
        let pair = self.close_stream(self.connect(near, far)?)?;
        pipe.free_buffers();
        Ok(pair)
    }
}

impl<Y: Yamux> Stack for Peer<Y> {
    fn name(&self) -> String {
        Y::NAME.to_owned()
    }

    fn throughput(&mut self, total_bytes: u64, write_bytes: usize) -> Result<Cost> {
        let (near, far) = Pipe::pair();
        let (mut near, mut far) = self.connect(near, far)?;
        self.transfer((&mut near, &mut far), WARM_UP_BYTES, write_bytes, Thoroughness::All)?;
        let meter = Meter::start();
        self.transfer((&mut near, &mut far), total_bytes, write_bytes, Thoroughness::Edges)?;
        Ok(meter.stop())
    }

    fn handshakes(&mut self, count: u64) -> Result<Cost> {
        let meter = Meter::start();
        for _ in 0..count {
            let (near, far) = Pipe::pair();
            self.connect(near, far)?;
        }
        Ok(meter.stop())
    }

    fn idle_bytes_per_end(&mut self, pairs: usize) -> Result<f64> {
        // What is made once per process is made by this one.
        drop(self.idle_pair()?);
        let before = HeapTotals::now();
        let pipes: Vec<_> = (0..pairs).map(|_| Pipe::pair()).collect();
        let pipes_bytes = HeapTotals::now().growth_since(before);
        drop(pipes);

        let before = HeapTotals::now();
        // Part of the count: a connection's own struct has to be somewhere.
        let mut connections = Vec::with_capacity(pairs);
        for _ in 0..pairs {
            connections.push(self.idle_pair()?);
        }
        let grown_bytes = HeapTotals::now().growth_since(before);
        drop(connections);
        Ok((grown_bytes - pipes_bytes) / (2 * pairs) as f64)
    }
}

async fn dial<Y: Yamux>(pipe: Pipe, config: noise::Config, echoed: &Cell<bool>) -> Result<End<Y>> {
    let (_, pipe) = dialer_select_proto(pipe, [NOISE], Version::V1Lazy).await?;
    let (_, secured) = config.upgrade_outbound(pipe, NOISE).await?;
    let (_, socket) = dialer_select_proto(secured, [YAMUX], Version::V1Lazy).await?;
    let mut connection = Y::dialer(socket);
    let mut stream = poll_fn(|cx| connection.poll_open(cx)).await?;
    let work = async {
        let select = dialer_select_proto(&mut stream, [STREAM_PROTOCOL], Version::V1);
        let (_, mut negotiated) = select.await?;
        negotiated.write_all(&ECHO).await?;
        negotiated.flush().await?;
        let mut echo = [0; ECHO.len()];
        negotiated.read_exact(&mut echo).await?;
        ensure!(echo == ECHO, "the echo differs");
        echoed.set(true);
        Ok(())
    };
    while_driving(&mut connection, work).await?;
    Ok(End { connection, stream })
}

async fn answer<Y: Yamux>(
    pipe: Pipe,
    config: noise::Config,
    echoed: &Cell<bool>,
) -> Result<End<Y>> {
    let (_, pipe) = listener_select_proto(pipe, [NOISE]).await?;
    let (_, secured) = config.upgrade_inbound(pipe, NOISE).await?;
    let (_, socket) = listener_select_proto(secured, [YAMUX]).await?;
    let mut connection = Y::listener(socket);
    let mut stream = poll_fn(|cx| connection.poll_accept(cx)).await?;
    let work = async {
        let (_, mut negotiated) = listener_select_proto(&mut stream, [STREAM_PROTOCOL]).await?;
        let mut echo = [0; ECHO.len()];
        negotiated.read_exact(&mut echo).await?;
        negotiated.write_all(&echo).await?;
        negotiated.flush().await?;
        // The connection has to be driven until the other end has the answer.
        until(echoed).await;
        Ok(())
    };
    while_driving(&mut connection, work).await?;
    Ok(End { connection, stream })
}

/// Polls `connection`, without which its streams stand still, until `work` is done.
async fn while_driving<Y: Yamux, T>(
    connection: &mut Y,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let mut work = pin!(work);
    poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(done);
        }
        match connection.poll_accept(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(_)) => Poll::Ready(Err(anyhow::anyhow!("an unexpected stream"))),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error).context("driving the connection")),
        }
    })
    .await
}

async fn until(flag: &Cell<bool>) {
    poll_fn(|_| if flag.get() { Poll::Ready(()) } else { Poll::Pending }).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn does_all_three<Y: Yamux>() -> Result<()> {
        let mut peer = Peer::<Y>::new()?;
        for write_bytes in [64 << 10, 1 << 10, 777] {
            peer.throughput(3 << 20, write_bytes)?;
        }
        assert!(peer.handshakes(2)?.allocations > 0);
        // No value to assert: other tests allocate at the same time.
        peer.idle_bytes_per_end(3)?;
        Ok(())
    }

    #[test]
    fn yamux_013_transfers_connects_and_rests() -> Result<()> {
        does_all_three::<Yamux013>()
    }

    #[test]
    fn yamux_014_transfers_connects_and_rests() -> Result<()> {
        does_all_three::<Yamux014>()
    }
}
