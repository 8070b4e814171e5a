//! The memory transport: `/memory/N` within one process, for tests and examples.
//!
//! A connection is two pipes of [`PIPE_BYTES`]. It works under every runtime, since it needs none.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind, IoSlice};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use crate::runtime::ByteStream;
use crate::sync::lock;

/// Bytes under way in one direction.
pub const PIPE_BYTES: usize = 64 * 1024;

/// Connections of a listener that nobody took yet; more are refused.
const MAX_BACKLOG: usize = 128;

/// The listeners of this process.
static LISTENERS: Mutex<BTreeMap<u64, Arc<Mutex<Backlog>>>> = Mutex::new(BTreeMap::new());

/// One end of a connection.
#[derive(Debug)]
pub struct MemoryStream {
    incoming: Arc<Mutex<Pipe>>,
    outgoing: Arc<Mutex<Pipe>>,
}

#[derive(Debug, Default)]
struct Pipe {
    /// Bounded by [`PIPE_BYTES`].
    bytes: VecDeque<u8>,
    /// The writer ended its direction.
    ended: bool,
    /// The reader is gone.
    abandoned: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// Listens on one number until it is dropped.
#[derive(Debug)]
pub struct MemoryListener {
    number: u64,
    backlog: Arc<Mutex<Backlog>>,
}

#[derive(Debug, Default)]
struct Backlog {
    /// Bounded by [`MAX_BACKLOG`].
    waiting: VecDeque<MemoryStream>,
    waker: Option<Waker>,
}

/// Connects to whoever listens on `number`.
pub fn connect(number: u64) -> io::Result<MemoryStream> {
    let backlog =
        lock(&LISTENERS).get(&number).map(Arc::clone).ok_or(ErrorKind::ConnectionRefused)?;
    let (ours, theirs) = pair();
    let waker = {
        let mut backlog = lock(&backlog);
        if backlog.waiting.len() >= MAX_BACKLOG {
            return Err(ErrorKind::ConnectionRefused.into());
        }
        backlog.waiting.push_back(theirs);
        backlog.waker.take()
    };
    wake(waker);
    Ok(ours)
}

/// Two ends that are connected.
pub fn pair() -> (MemoryStream, MemoryStream) {
    let (one, other) = (Arc::<Mutex<Pipe>>::default(), Arc::<Mutex<Pipe>>::default());
    (
        MemoryStream { incoming: Arc::clone(&one), outgoing: Arc::clone(&other) },
        MemoryStream { incoming: other, outgoing: one },
    )
}

impl MemoryListener {
    /// Listens on `number`; with 0, on one that nobody has.
    pub fn bind(number: u64) -> io::Result<Self> {
        let mut listeners = lock(&LISTENERS);
        let number = match number {
            0 => (1..=u64::MAX).find(|number| !listeners.contains_key(number)),
            number => Some(number).filter(|number| !listeners.contains_key(number)),
        };
        let number = number.ok_or(ErrorKind::AddrInUse)?;
        let backlog = Arc::<Mutex<Backlog>>::default();
        listeners.insert(number, Arc::clone(&backlog));
        Ok(MemoryListener { number, backlog })
    }

    /// The number that is listened on.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The next connection.
    pub fn poll_accept(&mut self, cx: &Context<'_>) -> Poll<MemoryStream> {
        let mut backlog = lock(&self.backlog);
        if let Some(stream) = backlog.waiting.pop_front() {
            return Poll::Ready(stream);
        }
        backlog.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for MemoryListener {
    fn drop(&mut self) {
        lock(&LISTENERS).remove(&self.number);
        // Their ends go here, without the lock: each wakes its other end.
        let _waiting = core::mem::take(&mut lock(&self.backlog).waiting);
    }
}

impl ByteStream for MemoryStream {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = lock(&self.incoming);
        if !pipe.bytes.is_empty() || pipe.ended {
            return Poll::Ready(Ok(()));
        }
        pipe.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (n, waker) = {
            let mut pipe = lock(&self.incoming);
            if pipe.bytes.is_empty() {
                return if pipe.ended { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
            }
            let n = io::Read::read(&mut pipe.bytes, buffer)?;
            if pipe.bytes.is_empty() {
                pipe.bytes = VecDeque::new();
            }
            (n, pipe.writer.take())
        };
        wake(waker);
        Ok(n)
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = lock(&self.outgoing);
        if pipe.bytes.len() < PIPE_BYTES || pipe.abandoned {
            return Poll::Ready(Ok(()));
        }
        pipe.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    fn try_write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let (written, waker) = {
            let mut pipe = lock(&self.outgoing);
            if pipe.abandoned || pipe.ended {
                return Err(ErrorKind::BrokenPipe.into());
            }
            let mut written = 0;
            for buffer in buffers {
                let n = buffer.len().min(PIPE_BYTES - pipe.bytes.len());
                pipe.bytes.extend(&buffer[..n]);
                written += n;
            }
            if written == 0 && buffers.iter().any(|buffer| !buffer.is_empty()) {
                return Err(ErrorKind::WouldBlock.into());
            }
            (written, pipe.reader.take())
        };
        wake(waker);
        Ok(written)
    }

    fn shutdown(&mut self) -> io::Result<()> {
        let waker = {
            let mut pipe = lock(&self.outgoing);
            pipe.ended = true;
            pipe.reader.take()
        };
        wake(waker);
        Ok(())
    }
}

impl Drop for MemoryStream {
    fn drop(&mut self) {
        let reader = {
            let mut pipe = lock(&self.outgoing);
            pipe.ended = true;
            pipe.reader.take()
        };
        wake(reader);
        let writer = {
            let mut pipe = lock(&self.incoming);
            pipe.abandoned = true;
            pipe.writer.take()
        };
        wake(writer);
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(stream: &mut MemoryStream, bytes: &[u8]) -> io::Result<usize> {
        stream.try_write_vectored(&[IoSlice::new(bytes)])
    }

    fn kind<T>(result: io::Result<T>) -> Option<ErrorKind> {
        result.err().map(|error| error.kind())
    }

    #[test]
    fn a_full_pipe_takes_a_part_and_then_nothing_until_it_is_read() {
        let (mut one, mut other) = pair();
        let cx = &mut Context::from_waker(Waker::noop());
        assert_eq!(write(&mut one, &[1; PIPE_BYTES + 1]).unwrap(), PIPE_BYTES);
        assert_eq!(kind(write(&mut one, &[2])), Some(ErrorKind::WouldBlock));
        assert!(one.poll_writable(cx).is_pending());
        let mut buffer = vec![0; PIPE_BYTES];
        assert!(other.poll_readable(cx).is_ready());
        assert!(other.try_read(&mut buffer).unwrap() > 0);
        assert!(one.poll_writable(cx).is_ready());
    }

    #[test]
    fn an_end_is_read_behind_the_bytes_and_a_drop_breaks_the_pipe() {
        let (mut one, mut other) = pair();
        write(&mut one, b"hi").unwrap();
        one.shutdown().unwrap();
        let mut buffer = [0; 8];
        assert_eq!(other.try_read(&mut buffer).unwrap(), 2);
        assert_eq!(other.try_read(&mut buffer).unwrap(), 0);
        drop(other);
        assert_eq!(kind(write(&mut one, b"x")), Some(ErrorKind::BrokenPipe));
    }

    #[test]
    fn a_number_has_one_listener_and_is_free_when_that_is_dropped() {
        let listener = MemoryListener::bind(0).unwrap();
        let number = listener.number();
        assert_eq!(kind(MemoryListener::bind(number)), Some(ErrorKind::AddrInUse));
        let mut dialed = connect(number).unwrap();
        drop(listener);
        assert_eq!(kind(connect(number)), Some(ErrorKind::ConnectionRefused));
        assert_eq!(dialed.try_read(&mut [0; 4]).unwrap(), 0, "the other end went with it");
    }
}
