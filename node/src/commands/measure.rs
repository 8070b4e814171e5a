//! `sanspeer ping` and `sanspeer perf`: what a connection to a peer can do.
//!
//! Both dial with an identity made for the occasion, so that a node can measure itself too.

use core::time::Duration;
use std::time::Instant;

use multiaddr::Multiaddr;
use sanspeer_core::connection::{PERF, PING};
use sanspeer_core::identity::{Identity, PeerId};
use sanspeer_core::protocol::ProtocolId;
use sanspeer_tokio::{Config, Node, Stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::on_tokio;
use crate::error::Error;
use crate::identity::random_seed;

/// What a ping carries, in bytes.
const PING_BYTES: usize = 32;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is written and read at once, in bytes.
const CHUNK_BYTES: usize = 256 * 1024;

const MEBIBYTE: f64 = 1024.0 * 1024.0;

pub(super) fn ping(address: Multiaddr, count: u32) -> Result<(), Error> {
    on_tokio(with_peer(address, async move |node, peer, address| {
        let mut stream = open(node, peer, PING, address).await?;
        println!("PING {peer} at {address}");
        let mut seeds = random_seed()?.rng();
        for number in 1..=count {
            let sent = seeds.bytes::<PING_BYTES>();
            let began = Instant::now();
            let mut answer = [0; PING_BYTES];
            let exchange = async {
                stream.write_all(&sent).await?;
                stream.read_exact(&mut answer).await
            };
            let exchanged = timeout(PATIENCE, exchange).await;
            exchanged.map_err(|_| no_answer(address))?.map_err(failed("ping", address))?;
            if answer != sent {
                return Err(Error::WrongAnswer(address.clone()));
            }
            println!("{number}: {:.3} ms", began.elapsed().as_secs_f64() * 1000.0);
        }
        Ok(())
    }))
}

pub(super) fn perf(address: Multiaddr, upload: u64, download: u64) -> Result<(), Error> {
    on_tokio(with_peer(address, async move |node, peer, address| {
        let mut stream = open(node, peer, PERF, address).await?;
        println!("PERF {peer} at {address}");
        let chunk = vec![0; CHUNK_BYTES];
        let began = Instant::now();
        let sending = async {
            stream.write_all(&download.to_be_bytes()).await?;
            let mut left = upload;
            while left > 0 {
                let n = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_BYTES);
                left -= stream.write(&chunk[..n]).await? as u64;
            }
            stream.shutdown().await
        };
        sending.await.map_err(failed("perf", address))?;
        // The remote answers when it has read everything.
        let (mut received, mut sent_after) = (0, None);
        let mut buffer = chunk;
        loop {
            let n = stream.read(&mut buffer).await.map_err(failed("perf", address))?;
            sent_after.get_or_insert_with(|| began.elapsed());
            if n == 0 {
                break;
            }
            received += n as u64;
        }
        if received != download {
            return Err(Error::WrongAnswer(address.clone()));
        }
        let whole = began.elapsed();
        let sent_after = sent_after.unwrap_or(whole);
        rate("sent", upload, sent_after);
        rate("received", download, whole.saturating_sub(sent_after));
        Ok(())
    }))
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn rate(what: &str, bytes: u64, time: Duration) {
    let mebibytes = bytes as f64 / MEBIBYTE;
    let seconds = time.as_secs_f64();
    println!("{what} {mebibytes:.1} MiB in {seconds:.3} s: {:.1} MiB/s", mebibytes / seconds);
}

/// Dials `address` from a node of its own, which is gone afterwards.
async fn with_peer(
    address: Multiaddr,
    task: impl AsyncFnOnce(&Node, PeerId, &Multiaddr) -> Result<(), Error>,
) -> Result<(), Error> {
    let identity = Identity::ed25519(&random_seed()?);
    let node = sanspeer_tokio::start(Config::new(identity)).map_err(Error::Start)?;
    let result = match node.dial(address.clone()).await {
        Ok(peer) => task(&node, peer, &address).await,
        Err(source) => Err(Error::Dial { address, source }),
    };
    node.shutdown().await;
    result
}

async fn open(
    node: &Node,
    peer: PeerId,
    protocol: &'static str,
    address: &Multiaddr,
) -> Result<Stream, Error> {
    let protocol = ProtocolId::new(protocol).expect("a protocol of the specification");
    node.open_stream(peer, &[protocol])
        .await
        .map_err(|source| Error::OpenStream { address: address.clone(), source })
}

fn no_answer(address: &Multiaddr) -> Error {
    failed("ping", address)(std::io::ErrorKind::TimedOut.into())
}

fn failed(what: &'static str, address: &Multiaddr) -> impl FnOnce(std::io::Error) -> Error {
    let address = address.clone();
    move |source| Error::Stream { what, address, source }
}
