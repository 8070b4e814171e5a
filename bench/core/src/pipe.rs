//! A socket pair in memory: two bounded byte queues.
//!
//! A byte is copied in and out, as by `write` and `read` of a real socket.
//! There are no wakers: [`crate::turns`] polls both ends in turn.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures::io::{AsyncRead, AsyncWrite};

use crate::contender::PIPE_BYTES;
use crate::turns;

/// One end. libp2p's upgrades ask for `Send`, hence the mutex, which nobody
/// contends for.
pub struct Pipe {
    incoming: Arc<Mutex<Queue>>,
    outgoing: Arc<Mutex<Queue>>,
}

#[derive(Default)]
struct Queue {
    bytes: VecDeque<u8>,
    closed: bool,
}

impl Pipe {
    pub fn pair() -> (Self, Self) {
        let (here, there) = (Arc::<Mutex<Queue>>::default(), Arc::<Mutex<Queue>>::default());
        let near = Self { incoming: Arc::clone(&here), outgoing: Arc::clone(&there) };
        (near, Self { incoming: there, outgoing: here })
    }

    /// Queues what there is room for and returns how much that was.
    pub fn send(&self, bytes: &[u8]) -> usize {
        let mut queue = lock(&self.outgoing);
        let len = bytes.len().min(PIPE_BYTES - queue.bytes.len());
        turns::note_progress(len);
        // Writing to a VecDeque grows it and cannot fail.
        queue.bytes.write(&bytes[..len]).unwrap_or_default()
    }

    /// Takes what there is; 0 when there is nothing.
    pub fn receive(&self, buffer: &mut [u8]) -> usize {
        let mut queue = lock(&self.incoming);
        let mut len = 0;
        // The queue may wrap around, then its bytes are in two pieces.
        while len < buffer.len() && !queue.bytes.is_empty() {
            len += queue.bytes.read(&mut buffer[len..]).unwrap_or_default();
        }
        turns::note_progress(len);
        len
    }

    /// A handle with which to [`IdlePipe::free_buffers`] when this end is
    /// buried in a stack.
    pub fn idle_handle(&self) -> IdlePipe {
        IdlePipe([Arc::clone(&self.incoming), Arc::clone(&self.outgoing)])
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        lock(&self.outgoing).closed = true;
    }
}

pub struct IdlePipe([Arc<Mutex<Queue>>; 2]);

impl IdlePipe {
    /// Frees the buffers of both directions, so that a pipe that nothing moves
    /// through costs no more than its two queues' headers.
    ///
    /// # Panics
    ///
    /// When bytes are still in it: then the connection was not idle.
    pub fn free_buffers(&self) {
        for queue in &self.0 {
            let mut queue = lock(queue);
            assert!(queue.bytes.is_empty(), "bytes in flight on an idle connection");
            queue.bytes = VecDeque::new();
        }
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self.receive(buffer) {
            0 if !buffer.is_empty() && !lock(&self.incoming).closed => Poll::Pending,
            len => Poll::Ready(Ok(len)),
        }
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.send(bytes) {
            0 if !bytes.is_empty() => Poll::Pending,
            len => Poll::Ready(Ok(len)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        lock(&self.outgoing).closed = true;
        Poll::Ready(Ok(()))
    }
}

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_bounded_and_keeps_order_across_its_wrap() {
        let (near, far) = Pipe::pair();
        let (mut sent, mut expected) = (0_u32, 0_u32);
        for _ in 0..50 {
            while near.send(&sent.to_le_bytes()) == 4 {
                sent += 1;
            }
            assert!((sent - expected) as usize * 4 <= PIPE_BYTES);
            // 100,000 is no divisor of the capacity, so that the start moves.
            let mut buffer = vec![0; 100_000];
            assert_eq!(far.receive(&mut buffer), buffer.len());
            for word in buffer.chunks_exact(4) {
                assert_eq!(word, expected.to_le_bytes());
                expected += 1;
            }
        }
    }
}
