//! rustls alone, through the API that costs least: it keeps no bytes, encrypts into a buffer of
//! ours, and decrypts in place. No multiplexer, no negotiation, no copy from one end to the other.

use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};
use rustls::{ClientConfig, ServerConfig};

use crate::allocator::HeapTotals;
use crate::contender::{ECHO, PIPE_BYTES, Stack, WARM_UP_BYTES};
use crate::meter::{Cost, Meter};
use crate::payload::{Payload, Receiver, Thoroughness};
use crate::rustls_config::{Primitives, TlsNode};

/// The ALPN of libp2p with an early Yamux.
const ALPN: &[u8] = b"/yamux/1.0.0";

/// A pipe's worth, and what records add to it.
const WIRE_BYTES: usize = PIPE_BYTES + PIPE_BYTES / 16;

/// A [`Stack`] of nothing but rustls.
pub struct Rustls {
    name: String,
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    payload: Payload,
}

/// The two roles, which rustls has as two types.
trait Role {
    type Data;
    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data>;
}

impl Role for UnbufferedClientConnection {
    type Data = ClientConnectionData;
    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }
}

impl Role for UnbufferedServerConnection {
    type Data = ServerConnectionData;
    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }
}

/// Bytes from one end to the other: written from the front, then read from the front.
struct Wire {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Wire {
    fn new(capacity: usize) -> Self {
        Self { bytes: vec![0; capacity], start: 0, end: 0 }
    }

    fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Starts again from the front, once everything was read.
    fn rewind(&mut self) -> Result<()> {
        ensure!(self.is_empty(), "a part of a record is left");
        (self.start, self.end) = (0, 0);
        Ok(())
    }
}

/// Runs `role` until it waits for bytes or may send data, reading from `incoming` and writing to
/// `outgoing`. Hands data to `take`. With `data` to send, sends it. Says whether it could have.
fn turn<R: Role>(
    role: &mut R,
    incoming: &mut Wire,
    outgoing: &mut Wire,
    data: Option<&[u8]>,
    take: &mut dyn FnMut(&[u8]),
) -> Result<bool> {
    loop {
        let unread = &mut incoming.bytes[incoming.start..incoming.end];
        let UnbufferedStatus { mut discard, state, .. } = role.process(unread);
        let unsent = &mut outgoing.bytes[outgoing.end..];
        let ready = match state? {
            ConnectionState::EncodeTlsData(mut state) => {
                outgoing.end += state.encode(unsent).map_err(encode_error)?;
                None
            }
            ConnectionState::TransmitTlsData(state) => {
                state.done();
                None
            }
            ConnectionState::ReadTraffic(mut state) => {
                while let Some(record) = state.next_record() {
                    let record = record?;
                    discard += record.discard;
                    take(record.payload);
                }
                None
            }
            ConnectionState::BlockedHandshake => Some(false),
            ConnectionState::WriteTraffic(mut state) => {
                if let Some(data) = data {
                    let sealed = state.encrypt(data, unsent);
                    outgoing.end += sealed.map_err(|error| anyhow!("{error:?}"))?;
                }
                Some(true)
            }
            state => bail!("unexpected: {state:?}"),
        };
        incoming.start += discard;
        if let Some(ready) = ready {
            return Ok(ready);
        }
    }
}

fn encode_error(error: EncodeError) -> anyhow::Error {
    anyhow!("{error:?}")
}

/// A client and a server on one thread.
struct Pair {
    client: UnbufferedClientConnection,
    server: UnbufferedServerConnection,
}

impl Rustls {
    pub fn new<P: Primitives>() -> Result<Self> {
        Ok(Self {
            name: format!("rustls alone{}", P::SUFFIX),
            client: Arc::new(TlsNode::new::<P>()?.client(ALPN)?),
            server: Arc::new(TlsNode::new::<P>()?.server(ALPN)?),
            payload: Payload::new(),
        })
    }

    /// Two ends that have exchanged [`ECHO`].
    fn connect(&self, there: &mut Wire, back: &mut Wire) -> Result<Pair> {
        let name = "libp2p".try_into()?;
        let mut client = UnbufferedClientConnection::new(Arc::clone(&self.client), name)?;
        let mut server = UnbufferedServerConnection::new(Arc::clone(&self.server))?;
        let nothing = &mut |_: &[u8]| {};
        loop {
            let client_ready = turn(&mut client, back, there, None, nothing)?;
            back.rewind()?;
            let server_ready = turn(&mut server, there, back, None, nothing)?;
            there.rewind()?;
            if client_ready && server_ready {
                break;
            }
        }
        let mut pair = Pair { client, server };
        let mut asked = Vec::new();
        pair.send(there, back, &ECHO, &mut |bytes| asked.extend_from_slice(bytes))?;
        let mut echoed = Vec::new();
        turn(&mut pair.server, there, back, Some(&asked), nothing)?;
        turn(&mut pair.client, back, there, None, &mut |bytes| echoed.extend_from_slice(bytes))?;
        back.rewind()?;
        ensure!(echoed == ECHO, "the echo differs");
        Ok(pair)
    }

    fn transfer(
        &self,
        pair: &mut Pair,
        (there, back): (&mut Wire, &mut Wire),
        total_bytes: u64,
        write_bytes: usize,
        thoroughness: Thoroughness,
    ) -> Result<()> {
        let mut receiver = Receiver::new(&self.payload, thoroughness);
        let (mut sent_bytes, nothing) = (0, &mut |_: &[u8]| {});
        while receiver.received_bytes < total_bytes {
            let mut piped_bytes = 0;
            while piped_bytes + write_bytes <= PIPE_BYTES && sent_bytes < total_bytes {
                let len = write_bytes.min((total_bytes - sent_bytes) as usize);
                let data = Some(self.payload.at(sent_bytes, len));
                turn(&mut pair.client, back, there, data, nothing)?;
                piped_bytes += len;
                sent_bytes += len as u64;
            }
            turn(&mut pair.server, there, back, None, &mut |bytes| receiver.take(bytes))?;
            there.rewind()?;
        }
        Ok(())
    }
}

impl Pair {
    fn send(
        &mut self,
        there: &mut Wire,
        back: &mut Wire,
        data: &[u8],
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<()> {
        turn(&mut self.client, back, there, Some(data), &mut |_| {})?;
        turn(&mut self.server, there, back, None, take)?;
        there.rewind()
    }
}

impl Stack for Rustls {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn throughput(&mut self, total_bytes: u64, write_bytes: usize) -> Result<Cost> {
        let (mut there, mut back) = (Wire::new(WIRE_BYTES), Wire::new(WIRE_BYTES));
        let mut pair = self.connect(&mut there, &mut back).context("connecting")?;
        let wires = (&mut there, &mut back);
        self.transfer(&mut pair, wires, WARM_UP_BYTES, write_bytes, Thoroughness::All)?;
        let meter = Meter::start();
        let wires = (&mut there, &mut back);
        self.transfer(&mut pair, wires, total_bytes, write_bytes, Thoroughness::Edges)?;
        Ok(meter.stop())
    }

    fn handshakes(&mut self, count: u64) -> Result<Cost> {
        let (mut there, mut back) = (Wire::new(WIRE_BYTES), Wire::new(WIRE_BYTES));
        let meter = Meter::start();
        for _ in 0..count {
            self.connect(&mut there, &mut back)?;
        }
        Ok(meter.stop())
    }

    fn idle_bytes_per_end(&mut self, pairs: usize) -> Result<f64> {
        let (mut there, mut back) = (Wire::new(WIRE_BYTES), Wire::new(WIRE_BYTES));
        // What is made once per process is made by this one.
        drop(self.connect(&mut there, &mut back)?);
        let before = HeapTotals::now();
        // Part of the count: a connection's own struct has to be somewhere.
        let mut connections = Vec::with_capacity(pairs);
        for _ in 0..pairs {
            connections.push(self.connect(&mut there, &mut back)?);
        }
        let grown_bytes = HeapTotals::now().growth_since(before);
        drop(connections);
        Ok(grown_bytes / (2 * pairs) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rustls_config::{Ring, Seedable};

    #[test]
    fn rustls_transfers_connects_and_rests() -> Result<()> {
        let mut rustls = Rustls::new::<Ring>()?;
        for write_bytes in [64 << 10, 1 << 10, 777] {
            rustls.throughput(3 << 20, write_bytes)?;
        }
        assert!(rustls.handshakes(2)?.allocations > 0);
        assert!(Rustls::new::<Seedable>()?.handshakes(2)?.allocations > 0);
        // No value to assert: other tests allocate at the same time.
        rustls.idle_bytes_per_end(3)?;
        Ok(())
    }
}
