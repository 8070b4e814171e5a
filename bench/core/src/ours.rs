//! Our own `Connection` behind [`Stack`].
//!
//! The ways are here and tested with a plain double; [`crate::connection_end`] puts a
//! `sanspeer_core` connection behind [`End`].
//!
//! Bytes travel in one of two ways, each a contender of its own:
//!
//! - [`Route::Pipe`]: `poll_transmit` → pipe → `recv_buf`, the two copies of a
//!   real socket, and the same as the peers'. Compare this one with the peers.
//! - [`Route::Direct`]: `poll_transmit` → the other end's `recv_buf`, one copy.
//!   Compare this one with the limits.

use anyhow::Result;

use crate::allocator::HeapTotals;
use crate::connection_end::{ConnectionEnd, Nodes, SecurityProtocol};
use crate::contender::Stack;
use crate::loops::{self, StreamEnd};
use crate::meter::{Cost, Meter};
use crate::payload::Payload;
use crate::pipe::Pipe;

/// The contenders over one security protocol.
pub fn stacks(security: SecurityProtocol) -> Result<Vec<Box<dyn Stack>>> {
    let (pipe, direct) = match security {
        SecurityProtocol::Noise => ("ours", "ours, one copy between the ends"),
        SecurityProtocol::Tls => ("ours over TLS", "ours over TLS, one copy between the ends"),
    };
    Ok(vec![
        Box::new(Ours::<ConnectionEnd>::new(pipe, Route::Pipe, Nodes::new(security)?)),
        Box::new(Ours::<ConnectionEnd>::new(direct, Route::Direct, Nodes::new(security)?)),
    ])
}

/// One end of a connection over bytes in order.
pub trait End: StreamEnd + Sized {
    /// Keys and signatures that nodes make once, for both ends.
    type Nodes;

    /// A dialer, which opens its stream at once (with
    /// [`crate::contender::STREAM_PROTOCOL`]), and a listener, which admits the
    /// connection and accepts the first stream.
    fn pair(nodes: &Self::Nodes) -> Result<(Self, Self)>;

    /// Offers outgoing bytes to `take` until there are none or `take` returns
    /// 0; `take` returns how many of the bytes it took.
    fn transmit(&mut self, take: &mut dyn FnMut(&[u8]) -> usize) -> Result<()>;

    /// Calls `fill` with room for incoming bytes and handles as many as it says,
    /// until it returns 0. Advances the connection's time and runs due timers.
    fn receive(&mut self, fill: &mut dyn FnMut(&mut [u8]) -> usize) -> Result<()>;

    /// Lets so much time pass that an idle connection has given its buffers back.
    fn rest(&mut self) -> Result<()>;
}

/// How bytes get from one end to the other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Route {
    Pipe,
    Direct,
}

/// A [`Stack`] made of two [`End`]s.
pub struct Ours<E: End> {
    name: &'static str,
    route: Route,
    nodes: E::Nodes,
    payload: Payload,
}

struct Pair<E> {
    dialer: E,
    listener: E,
    wire: Wire,
}

enum Wire {
    Pipe { near: Pipe, far: Pipe },
    Direct,
}

impl<E: End> Ours<E> {
    fn new(name: &'static str, route: Route, nodes: E::Nodes) -> Self {
        Self { name, route, nodes, payload: Payload::new() }
    }

    fn connect(&self) -> Result<Pair<E>> {
        let (dialer, listener) = E::pair(&self.nodes)?;
        let wire = match self.route {
            Route::Pipe => {
                let (near, far) = Pipe::pair();
                Wire::Pipe { near, far }
            }
            Route::Direct => Wire::Direct,
        };
        let mut pair = Pair { dialer, listener, wire };
        loops::echo(&mut pair)?;
        Ok(pair)
    }

    fn idle_pair(&self) -> Result<(E, E)> {
        let mut pair = self.connect()?;
        loops::close_stream(&mut pair)?;
        pair.dialer.rest()?;
        pair.listener.rest()?;
        Ok((pair.dialer, pair.listener))
    }
}

impl<E: End> Stack for Ours<E> {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn throughput(&mut self, total_bytes: u64, write_bytes: usize) -> Result<Cost> {
        let mut pair = self.connect()?;
        loops::throughput(&mut pair, &self.payload, total_bytes, write_bytes)
    }

    fn handshakes(&mut self, count: u64) -> Result<Cost> {
        let meter = Meter::start();
        for _ in 0..count {
            self.connect()?;
        }
        Ok(meter.stop())
    }

    fn idle_bytes_per_end(&mut self, pairs: usize) -> Result<f64> {
        // What is made once per process is made by this one.
        drop(self.idle_pair()?);
        let before = HeapTotals::now();
        // Part of the count: a connection's own struct has to be somewhere.
        let mut connections = Vec::with_capacity(pairs);
        for _ in 0..pairs {
            connections.push(self.idle_pair()?);
        }
        let grown_bytes = HeapTotals::now().growth_since(before);
        drop(connections);
        Ok(grown_bytes / (2 * pairs) as f64)
    }
}

impl<E: End> loops::Pair for Pair<E> {
    type End = E;

    fn ends(&mut self) -> (&mut E, &mut E) {
        (&mut self.dialer, &mut self.listener)
    }

    fn exchange(&mut self) -> Result<bool> {
        let mut moved = false;
        match &self.wire {
            Wire::Pipe { near, far } => {
                for (end, pipe) in [(&mut self.dialer, near), (&mut self.listener, far)] {
                    end.transmit(&mut |bytes| {
                        let len = pipe.send(bytes);
                        moved |= len > 0;
                        len
                    })?;
                }
                for (end, pipe) in [(&mut self.dialer, near), (&mut self.listener, far)] {
                    end.receive(&mut |buffer| {
                        let len = pipe.receive(buffer);
                        moved |= len > 0;
                        len
                    })?;
                }
            }
            Wire::Direct => {
                moved |= hand_over(&mut self.dialer, &mut self.listener)?;
                moved |= hand_over(&mut self.listener, &mut self.dialer)?;
            }
        }
        Ok(moved)
    }
}

fn hand_over<E: End>(from: &mut E, to: &mut E) -> Result<bool> {
    let (mut moved, mut result) = (false, Ok(()));
    from.transmit(&mut |bytes| {
        let mut rest = bytes;
        result = to.receive(&mut |buffer| {
            let len = rest.len().min(buffer.len());
            buffer[..len].copy_from_slice(&rest[..len]);
            rest = &rest[len..];
            len
        });
        moved |= rest.len() < bytes.len();
        if result.is_ok() { bytes.len() - rest.len() } else { 0 }
    })?;
    result.map(|()| moved)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loops::Read;

    /// Sends what is written as it is, one "stream" and no handshake.
    #[derive(Default)]
    struct Plain {
        outgoing: Vec<u8>,
        incoming: Vec<u8>,
    }

    /// Stands for a finish; no payload of these tests has four in a row.
    const FINISH: [u8; 4] = [0xff; 4];

    impl End for Plain {
        type Nodes = ();

        fn pair((): &()) -> Result<(Self, Self)> {
            Ok(Default::default())
        }

        fn transmit(&mut self, take: &mut dyn FnMut(&[u8]) -> usize) -> Result<()> {
            let taken = take(&self.outgoing);
            self.outgoing.drain(..taken);
            Ok(())
        }

        fn receive(&mut self, fill: &mut dyn FnMut(&mut [u8]) -> usize) -> Result<()> {
            let mut buffer = [0; 1_000];
            loop {
                let len = fill(&mut buffer);
                if len == 0 {
                    return Ok(());
                }
                self.incoming.extend_from_slice(&buffer[..len]);
            }
        }

        fn rest(&mut self) -> Result<()> {
            Ok(())
        }
    }

    impl StreamEnd for Plain {
        fn write(&mut self, bytes: &[u8]) -> Result<usize> {
            let len = bytes.len().min(100_000 - self.outgoing.len());
            self.outgoing.extend_from_slice(&bytes[..len]);
            Ok(len)
        }

        fn read(&mut self, max_bytes: usize, take: &mut dyn FnMut(&[u8])) -> Result<Read> {
            if self.incoming == FINISH {
                return Ok(Read::Finished);
            }
            let len = max_bytes.min(self.incoming.len());
            take(&self.incoming[..len]);
            self.incoming.drain(..len);
            Ok(if len == 0 { Read::Blocked } else { Read::Some })
        }

        fn finish(&mut self) -> Result<()> {
            self.outgoing.extend_from_slice(&FINISH);
            Ok(())
        }
    }

    #[test]
    fn both_routes_carry_everything_connect_and_rest() -> Result<()> {
        for route in [Route::Pipe, Route::Direct] {
            let mut ours = Ours::<Plain>::new("plain", route, ());
            for write_bytes in [64 << 10, 1 << 10, 777] {
                ours.throughput(3 << 20, write_bytes)?;
            }
            ours.handshakes(2)?;
            // No value to assert: other tests allocate at the same time.
            ours.idle_bytes_per_end(3)?;
        }
        Ok(())
    }
}
