//! A bare `quinn_proto` pair: what ours cannot beat, since it is inside of ours.
//!
//! The settings are those of [`QuicConfig`], in the words of `quinn_proto`. Its
//! windows stand from the start where ours have grown to after the warm-up.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use bytes::BytesMut;
use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn_proto::{
    ClientConfig, Connection, ConnectionHandle, DatagramEvent, Dir, EcnCodepoint, Endpoint,
    EndpointEvent, Event, IdleTimeout, MtuDiscoveryConfig, NoneTokenStore, ReadError, ServerConfig,
    StreamEvent, StreamId, TransportConfig, VarInt, WriteError,
};
use sanspeer_core::quic::QuicConfig;

use super::link::{Batch, DatagramEnd, MAX_SEGMENTS};
use crate::loops::{Read, StreamEnd};
use crate::rustls_config::{Primitives, TlsNode};

/// Where each endpoint believes the other to be.
pub const REMOTE: ([u8; 4], u16) = ([10, 0, 0, 1], 4001);

/// What ours has after the warm-up: 1 MiB, 256 KiB for the stream that is held, and the lease of
/// 1 MiB.
pub const RECEIVE_WINDOW_BYTES: u32 = (2 << 20) + (256 << 10);

/// The ALPN of libp2p over QUIC.
const ALPN: &[u8] = b"libp2p";

/// One endpoint.
pub struct BareEnd<P> {
    endpoint: Endpoint,
    client: ClientConfig,
    dials: bool,
    epoch: Instant,
    response: Vec<u8>,
    current: Option<BareConnection>,
    parked: HashMap<ConnectionHandle, BareConnection>,
    primitives: PhantomData<P>,
}

struct BareConnection {
    handle: ConnectionHandle,
    connection: Box<Connection>,
    stream: Option<StreamId>,
    connected: bool,
}

impl<P: Primitives> BareEnd<P> {
    fn new(node: &TlsNode, dials: bool, epoch: Instant) -> Result<Self> {
        let config = QuicConfig::default();
        let transport = Arc::new(transport(&config));
        let client = Arc::new(QuicClientConfig::try_from(node.client(ALPN)?)?);
        let mut client = ClientConfig::new(client);
        client.transport_config(Arc::clone(&transport)).token_store(Arc::new(NoneTokenStore));
        let server = Arc::new(QuicServerConfig::try_from(node.server(ALPN)?)?);
        let mut server = ServerConfig::with_crypto(server);
        server.transport_config(transport).migration(false);
        let endpoint =
            Endpoint::new(Arc::default(), Some(Arc::new(server)), config.mtu_discovery, None);
        let (response, parked) = (Vec::new(), HashMap::new());
        let (current, primitives) = (None, PhantomData);
        Ok(Self { endpoint, client, dials, epoch, response, current, parked, primitives })
    }

    fn begin(&mut self, (handle, connection): (ConnectionHandle, Connection)) {
        let connection = Box::new(connection);
        self.current = Some(BareConnection { handle, connection, stream: None, connected: false });
    }
}

impl<P: Primitives> DatagramEnd for BareEnd<P> {
    fn name() -> String {
        format!("bare quinn_proto{}", P::SUFFIX)
    }

    fn pair() -> Result<(Self, Self)> {
        let epoch = Instant::now();
        let end = |dials| Self::new(&TlsNode::new::<P>()?, dials, epoch);
        Ok((end(true)?, end(false)?))
    }

    fn dial(&mut self, now: Duration) -> Result<()> {
        let remote: SocketAddr = REMOTE.into();
        let begun =
            self.endpoint.connect(self.epoch + now, self.client.clone(), remote, "libp2p")?;
        self.begin(begun);
        Ok(())
    }

    fn transmit(&mut self, now: Duration, buffer: &mut Vec<u8>) -> Option<Batch> {
        buffer.clear();
        let held = self.current.as_mut()?;
        let sent = held.connection.poll_transmit(self.epoch + now, MAX_SEGMENTS, buffer)?;
        let segment_bytes = sent.segment_size.unwrap_or(sent.size);
        Some(Batch { bytes: sent.size, segment_bytes, ecn: sent.ecn.is_some() })
    }

    fn receive(&mut self, now: Duration, datagram: BytesMut, ecn: bool) -> Result<()> {
        let now = self.epoch + now;
        let ecn = ecn.then_some(EcnCodepoint::Ect0);
        self.response.clear();
        let event =
            self.endpoint.handle(now, REMOTE.into(), None, ecn, datagram, &mut self.response);
        match event {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                if let Some(held) = &mut self.current
                    && held.handle == handle
                {
                    held.connection.handle_event(event);
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                let begun = self
                    .endpoint
                    .accept(incoming, now, &mut self.response, None)
                    .map_err(|error| error.cause)?;
                self.begin(begun);
            }
            Some(DatagramEvent::Response(_)) => bail!("the endpoint answers by itself"),
            None => {}
        }
        Ok(())
    }

    fn progress(&mut self, now: Duration) -> Result<()> {
        let now = self.epoch + now;
        let Some(held) = &mut self.current else { return Ok(()) };
        if held.connection.poll_timeout().is_some_and(|due| due <= now) {
            held.connection.handle_timeout(now);
        }
        while let Some(event) = held.connection.poll() {
            match event {
                Event::Connected => held.connected = true,
                Event::ConnectionLost { reason } => return Err(reason).context("lost"),
                Event::Stream(StreamEvent::Opened { dir }) => {
                    held.stream = held.connection.streams().accept(dir);
                }
                Event::Stream(_)
                | Event::HandshakeDataReady
                | Event::DatagramReceived
                | Event::DatagramsUnblocked => {}
            }
        }
        while let Some(event) = held.connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(held.handle, event) {
                held.connection.handle_event(event);
            }
        }
        Ok(())
    }

    fn deadline(&mut self) -> Option<Duration> {
        let due = self.current.as_mut()?.connection.poll_timeout()?;
        Some(due.saturating_duration_since(self.epoch))
    }

    fn abandon(&mut self) {
        if let Some(held) = self.current.take() {
            self.endpoint.handle_event(held.handle, EndpointEvent::drained());
        }
    }

    fn park(&mut self) {
        self.parked.extend(self.current.take().map(|held| (held.handle, held)));
    }

    fn abandon_parked(&mut self) {
        for handle in std::mem::take(&mut self.parked).into_keys() {
            self.endpoint.handle_event(handle, EndpointEvent::drained());
        }
    }
}

impl<P: Primitives> StreamEnd for BareEnd<P> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let Some(held) = &mut self.current else { return Ok(0) };
        if held.stream.is_none() && self.dials && held.connected {
            held.stream = held.connection.streams().open(Dir::Bi);
        }
        let Some(stream) = held.stream else { return Ok(0) };
        match held.connection.send_stream(stream).write(bytes) {
            Ok(n) => Ok(n),
            Err(WriteError::Blocked) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Hands out what came in as it lies in the datagrams, without a copy.
    fn read(&mut self, max_bytes: usize, take: &mut dyn FnMut(&[u8])) -> Result<Read> {
        let Some(held) = &mut self.current else { return Ok(Read::Blocked) };
        let Some(stream) = held.stream else { return Ok(Read::Blocked) };
        let mut stream = held.connection.recv_stream(stream);
        let mut chunks = stream.read(true)?;
        let mut left_bytes = max_bytes;
        let read = loop {
            if left_bytes == 0 {
                break Read::Some;
            }
            match chunks.next(left_bytes) {
                Ok(Some(chunk)) => {
                    left_bytes -= chunk.bytes.len();
                    take(&chunk.bytes);
                }
                Ok(None) => break Read::Finished,
                Err(ReadError::Blocked) => break Read::Blocked,
                Err(error) => return Err(error.into()),
            }
        };
        // Whatever was freed is sent with the next transmission.
        let _ = chunks.finalize();
        Ok(read)
    }

    fn finish(&mut self) -> Result<()> {
        let held = self.current.as_mut().context("no connection")?;
        let stream = held.stream.context("no stream to finish")?;
        held.connection.send_stream(stream).finish().map_err(|error| anyhow!("{error:?}"))
    }
}

/// The numbers of ours.
fn transport(config: &QuicConfig) -> TransportConfig {
    let idle_millis = config.idle_timeout.as_millis() as u32;
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(config.initial_streams.into())
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(idle_millis))))
        .keep_alive_interval(Some(config.keep_alive_interval))
        .stream_receive_window(config.stream_window_bytes.into())
        .receive_window(RECEIVE_WINDOW_BYTES.into())
        .send_window(config.max_send_window_bytes)
        .datagram_receive_buffer_size(None)
        .mtu_discovery_config(config.mtu_discovery.then(MtuDiscoveryConfig::default));
    transport
}
