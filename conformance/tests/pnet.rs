//! Private networks with rust-libp2p at the other end, over a transport in memory.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures::io::{AsyncReadExt, AsyncWriteExt};
use futures::{AsyncRead, AsyncWrite, FutureExt};
use libp2p::pnet::{PnetConfig, PreSharedKey as TheirKey};
use sanspeer_core::byte_mux::StreamLayer;
use sanspeer_core::pnet::{NONCE_BYTES, PreSharedKey, PskLayer};
use sanspeer_core::rng::{Rng, Seed};

const DATA_BYTES: usize = 200_000;

/// Bytes on their way to and from rust-libp2p.
#[derive(Default)]
struct Wire {
    to_them: VecDeque<u8>,
    to_us: Vec<u8>,
}

/// Their end of the wire. It gives and takes a few bytes at a time and never wakes: the test polls.
#[derive(Clone, Default)]
struct Pipe(Arc<Mutex<Wire>>);

impl Pipe {
    fn with<T>(&self, f: impl FnOnce(&mut Wire) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.with(|wire| {
            let n = buffer.len().min(wire.to_them.len()).min(1_000);
            if n == 0 {
                return Poll::Pending;
            }
            for (slot, byte) in buffer.iter_mut().zip(wire.to_them.drain(..n)) {
                *slot = byte;
            }
            Poll::Ready(Ok(n))
        })
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let n = bytes.len().min(700);
        self.with(|wire| wire.to_us.extend_from_slice(&bytes[..n]));
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Our end of the wire: what a `ByteMux` does with its layer.
struct OurEnd {
    layer: PskLayer,
    missing_preamble: Vec<u8>,
    received: Vec<u8>,
    chunks: Rng,
}

impl OurEnd {
    fn new(key: &PreSharedKey, seed: u64) -> OurEnd {
        let seed = Seed::from_u64(seed);
        OurEnd {
            layer: PskLayer::new(key, &seed),
            missing_preamble: Vec::new(),
            received: Vec::new(),
            chunks: seed.derive("chunks", 0).rng(),
        }
    }

    fn chunk(&mut self) -> usize {
        1 + (self.chunks.next_u32() % 3_000) as usize
    }

    fn send_preamble(&mut self, pipe: &Pipe) {
        let preamble = self.layer.preamble();
        pipe.with(|wire| wire.to_them.extend(preamble));
    }

    fn send(&mut self, pipe: &Pipe, mut data: &[u8]) {
        while !data.is_empty() {
            let (now, later) = data.split_at(self.chunk().min(data.len()));
            let mut bytes = now.to_vec();
            self.layer.encrypt(&mut bytes);
            pipe.with(|wire| wire.to_them.extend(bytes));
            data = later;
        }
    }

    fn receive(&mut self, pipe: &Pipe) {
        let mut bytes = pipe.with(|wire| std::mem::take(&mut wire.to_us));
        let missing = NONCE_BYTES - self.missing_preamble.len();
        if missing > 0 {
            self.missing_preamble.extend(bytes.drain(..missing.min(bytes.len())));
            if self.missing_preamble.len() < NONCE_BYTES {
                return;
            }
            self.layer.handle_preamble(&self.missing_preamble);
        }
        let mut rest = &mut bytes[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at_mut(self.chunk().min(rest.len()));
            self.layer.decrypt(now);
            self.received.extend_from_slice(now);
            rest = later;
        }
    }
}

/// Polls `theirs` until it is done, letting our end receive meanwhile.
fn drive<T>(pipe: &Pipe, ours: &mut OurEnd, theirs: impl Future<Output = T>) -> T {
    let mut theirs = Box::pin(theirs);
    for _ in 0..100_000 {
        if let Some(done) = theirs.as_mut().now_or_never() {
            ours.receive(pipe);
            return done;
        }
        ours.receive(pipe);
    }
    panic!("rust-libp2p waits for something that does not come");
}

fn data(start: u8) -> Vec<u8> {
    (0..251).cycle().map(|at: u8| at.wrapping_add(start)).take(DATA_BYTES).collect()
}

/// Both exchange nonces and then `data` each way, whichever has the first word.
fn exchange(key: [u8; 32], their_key: [u8; 32], we_speak_first: bool) -> (Vec<u8>, Vec<u8>) {
    let pipe = Pipe::default();
    let mut ours = OurEnd::new(&PreSharedKey::new(key), 1);
    let config = PnetConfig::new(TheirKey::new(their_key));
    let mut handshake = Box::pin(config.handshake(pipe.clone()));
    if we_speak_first {
        ours.send_preamble(&pipe);
        ours.send(&pipe, &data(1));
    } else {
        assert!(handshake.as_mut().now_or_never().is_none());
        ours.receive(&pipe);
        assert_eq!(ours.missing_preamble.len(), NONCE_BYTES);
        ours.send_preamble(&pipe);
    }
    let mut theirs = drive(&pipe, &mut ours, handshake).expect("nonces are exchanged");
    let written = data(2);
    drive(&pipe, &mut ours, async {
        theirs.write_all(&written).await.expect("the pipe takes everything");
        theirs.flush().await.expect("the pipe takes everything");
    });
    if !we_speak_first {
        ours.send(&pipe, &data(1));
    }
    let mut read = vec![0; DATA_BYTES];
    drive(&pipe, &mut ours, theirs.read_exact(&mut read)).expect("everything is there");
    (ours.received, read)
}

#[test]
fn rust_libp2p_and_we_understand_each_other() {
    for we_speak_first in [true, false] {
        let (received, read) = exchange([7; 32], [7; 32], we_speak_first);
        assert!(received == data(2), "what rust-libp2p sent");
        assert!(read == data(1), "what we sent");
    }
}

#[test]
fn rust_libp2p_with_another_key_understands_nothing() {
    let (received, read) = exchange([7; 32], [8; 32], true);
    for (garbled, sent) in [(received, data(2)), (read, data(1))] {
        assert_eq!(garbled.len(), sent.len());
        let equal = garbled.iter().zip(&sent).filter(|(one, other)| one == other).count();
        // One byte in 256 by chance.
        assert!(equal < DATA_BYTES / 100, "{equal} bytes got through");
    }
}

#[test]
fn key_files_and_fingerprints_are_those_of_rust_libp2p() {
    for number in 0..20 {
        let bytes = *Seed::from_u64(number).derive("key", 0).expose();
        let (ours, theirs) = (PreSharedKey::new(bytes), TheirKey::new(bytes));
        assert_eq!(*ours.to_file(), theirs.to_key_file());
        assert_eq!(ours.to_file().parse::<TheirKey>(), Ok(theirs));
        assert_eq!(PreSharedKey::parse(theirs.to_key_file().as_bytes()), Ok(ours.clone()));
        assert_eq!(ours.fingerprint().to_string(), theirs.fingerprint().to_string());
    }
}
