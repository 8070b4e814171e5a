//! Two endpoints in memory, in virtual time, behind [`Stack`].
//!
//! One loop for all contenders. A turn takes what one end has to send, as much
//! as a socket buffer holds, carries it to the other end in one batch, and does
//! the same in the other direction. Between the two, time passes; while nothing
//! moves, it jumps to what is due next. Nothing is lost.

use std::time::Duration;

use anyhow::Result;
use bytes::BytesMut;

use crate::allocator::HeapTotals;
use crate::contender::{PIPE_BYTES, Stack};
use crate::loops::{self, Pair, StreamEnd};
use crate::meter::{Cost, Meter};
use crate::payload::Payload;

/// Datagrams of one call of the socket, as a driver's `UDP_SEGMENT` takes them.
pub const MAX_SEGMENTS: usize = 32;

/// How long a batch travels.
const ONE_WAY: Duration = Duration::from_micros(50);

/// The longest that a transfer waits for a timer: acknowledgements are delayed by up to 25 ms.
const MAX_WAIT: Duration = Duration::from_millis(100);

/// How long a connection rests before its memory is counted. A keep-alive falls into it.
const REST: Duration = Duration::from_secs(15);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Side {
    Dialer,
    Listener,
}

/// Datagrams for one call of the socket.
pub struct Batch {
    pub bytes: usize,
    /// The length of each datagram but the last.
    pub segment_bytes: usize,
    /// Whether they carry ECT(0).
    pub ecn: bool,
}

/// An endpoint with one connection in use, and those that it rests.
pub trait DatagramEnd: StreamEnd + Sized {
    fn name() -> String;

    /// Two endpoints and what they make once.
    fn pair() -> Result<(Self, Self)>;

    /// Begins a connection to the other endpoint, which accepts it, and on
    /// which the first write opens a stream. It takes the place of the last.
    fn dial(&mut self, now: Duration) -> Result<()>;

    /// Writes what is to be sent over `buffer`.
    fn transmit(&mut self, now: Duration, buffer: &mut Vec<u8>) -> Option<Batch>;

    /// Takes one datagram of a batch.
    fn receive(&mut self, now: Duration, datagram: BytesMut, ecn: bool) -> Result<()>;

    /// Handles what is due, and takes what the last batch caused.
    fn progress(&mut self, now: Duration) -> Result<()>;

    /// When [`DatagramEnd::progress`] has something to do.
    fn deadline(&mut self) -> Option<Duration>;

    /// Drops the connection in use, and lets the endpoint forget it.
    fn abandon(&mut self);

    /// Keeps the connection in use, for nothing any more.
    fn park(&mut self);

    /// Drops the connections that were kept.
    fn abandon_parked(&mut self);
}

/// Two endpoints, the link between them, and the time.
struct Wire<E> {
    dialer: E,
    listener: E,
    now: Duration,
    buffer: Vec<u8>,
}

impl<E: DatagramEnd> Wire<E> {
    fn connect(&mut self) -> Result<()> {
        self.dialer.dial(self.now)?;
        loops::echo(self)
    }

    fn abandon(&mut self) {
        self.dialer.abandon();
        self.listener.abandon();
    }

    fn park_idle_pair(&mut self) -> Result<()> {
        self.connect()?;
        loops::close_stream(self)?;
        let end = self.now + REST;
        while self.wait(end)? {
            while self.exchange()? {}
        }
        self.now = self.now.max(end);
        self.dialer.park();
        self.listener.park();
        Ok(())
    }

    /// Jumps to what is due next, if it is due by `end`.
    fn wait(&mut self, end: Duration) -> Result<bool> {
        let due = [self.dialer.deadline(), self.listener.deadline()].into_iter().flatten().min();
        let Some(due) = due.filter(|due| *due <= end) else { return Ok(false) };
        self.now = self.now.max(due);
        self.dialer.progress(self.now)?;
        self.listener.progress(self.now)?;
        Ok(true)
    }

    /// Carries a batch from one end to the other; says whether there was one.
    fn carry(&mut self, from: Side) -> Result<bool> {
        let (sender, receiver) = match from {
            Side::Dialer => (&mut self.dialer, &mut self.listener),
            Side::Listener => (&mut self.listener, &mut self.dialer),
        };
        let mut on_the_way = Vec::new();
        let mut sent_bytes = 0;
        while sent_bytes < PIPE_BYTES
            && let Some(batch) = sender.transmit(self.now, &mut self.buffer)
        {
            sent_bytes += batch.bytes;
            on_the_way.push((BytesMut::from(&self.buffer[..batch.bytes]), batch));
        }
        if sent_bytes == 0 {
            return Ok(false);
        }
        self.now += ONE_WAY;
        for (mut bytes, batch) in on_the_way {
            while !bytes.is_empty() {
                let datagram = bytes.split_to(batch.segment_bytes.min(bytes.len()));
                receiver.receive(self.now, datagram, batch.ecn)?;
            }
        }
        sender.progress(self.now)?;
        receiver.progress(self.now)?;
        Ok(true)
    }
}

impl<E: DatagramEnd> Pair for Wire<E> {
    type End = E;

    fn ends(&mut self) -> (&mut E, &mut E) {
        (&mut self.dialer, &mut self.listener)
    }

    fn exchange(&mut self) -> Result<bool> {
        let end = self.now + MAX_WAIT;
        loop {
            let there = self.carry(Side::Dialer)?;
            let back = self.carry(Side::Listener)?;
            if there || back {
                return Ok(true);
            }
            if !self.wait(end)? {
                return Ok(false);
            }
        }
    }
}

/// A [`Stack`] made of two [`DatagramEnd`]s.
pub struct Link<E> {
    wire: Wire<E>,
    payload: Payload,
}

impl<E: DatagramEnd> Link<E> {
    pub fn new() -> Result<Self> {
        let (dialer, listener) = E::pair()?;
        let wire = Wire { dialer, listener, now: Duration::ZERO, buffer: Vec::new() };
        Ok(Self { wire, payload: Payload::new() })
    }
}

impl<E: DatagramEnd> Stack for Link<E> {
    fn name(&self) -> String {
        E::name()
    }

    fn throughput(&mut self, total_bytes: u64, write_bytes: usize) -> Result<Cost> {
        self.wire.connect()?;
        let cost = loops::throughput(&mut self.wire, &self.payload, total_bytes, write_bytes)?;
        self.wire.abandon();
        Ok(cost)
    }

    fn handshakes(&mut self, count: u64) -> Result<Cost> {
        let meter = Meter::start();
        for _ in 0..count {
            self.wire.connect()?;
            self.wire.abandon();
        }
        Ok(meter.stop())
    }

    fn idle_bytes_per_end(&mut self, pairs: usize) -> Result<f64> {
        // What is made once per process or endpoint is made by this one.
        self.wire.park_idle_pair()?;
        let before = HeapTotals::now();
        for _ in 0..pairs {
            self.wire.park_idle_pair()?;
        }
        let grown_bytes = HeapTotals::now().growth_since(before);
        self.wire.dialer.abandon_parked();
        self.wire.listener.abandon_parked();
        Ok(grown_bytes / (2 * pairs) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quic::bare::{BareEnd, RECEIVE_WINDOW_BYTES};
    use crate::quic::ours::OurEnd;
    use crate::rustls_config::{Ring, Seedable};

    fn does_all_three<E: DatagramEnd>() -> Result<()> {
        let mut link = Link::<E>::new()?;
        for write_bytes in [64 << 10, 1 << 10, 777] {
            link.throughput(3 << 20, write_bytes)?;
        }
        assert!(link.handshakes(2)?.allocations > 0);
        // No value to assert: other tests allocate at the same time.
        link.idle_bytes_per_end(3)?;
        Ok(())
    }

    #[test]
    fn the_window_of_a_bare_pair_is_that_which_ours_grows_to() -> Result<()> {
        let mut link = Link::<OurEnd>::new()?;
        link.wire.connect()?;
        loops::throughput(&mut link.wire, &link.payload, 1 << 20, 64 << 10)?;
        assert_eq!(link.wire.listener.receive_window_bytes(), Some(RECEIVE_WINDOW_BYTES.into()));
        Ok(())
    }

    #[test]
    fn ours_transfers_connects_and_rests() -> Result<()> {
        does_all_three::<OurEnd>()
    }

    #[test]
    fn a_bare_pair_transfers_connects_and_rests() -> Result<()> {
        does_all_three::<BareEnd<Ring>>()?;
        does_all_three::<BareEnd<Seedable>>()
    }
}
