//! A bare loop of `quinn_proto`: one thread on each side, 32 segments a call of the socket, batches
//! read, nobody authenticated, nothing negotiated, what came looked at where it lies.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn_proto::{
    ClientConfig, Connection, ConnectionHandle, DatagramEvent, Dir, Endpoint, EndpointConfig,
    Event, IdleTimeout, ReadError, ServerConfig, StreamEvent, StreamId, Transmit, TransportConfig,
    VarInt, WriteError,
};
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSocketState};

use crate::api::{Opts, Peer, Skip, Transport as Over};
use crate::measure::{Meter, Sample, Verifier, pattern_at};
use crate::self_signed;

pub struct BareQuic;

/// Datagrams that one call sends at most.
const MAX_SEGMENTS: usize = 32;
/// Calls before the socket is read again.
const MAX_SENDS: usize = 4;
/// The largest message that the operating system joins.
const MESSAGE: usize = 65_535;
const IDLE_MS: u32 = 3_600_000;
/// What may be under way unread.
const RECEIVE_WINDOW: u32 = 2 << 20;
/// Kind, length, chunk.
const REQUEST: usize = 13;

fn transport() -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_MS))))
        .stream_receive_window(RECEIVE_WINDOW.into())
        .receive_window(RECEIVE_WINDOW.into());
    Arc::new(transport)
}

fn client() -> Result<ClientConfig> {
    let crypto = QuicClientConfig::try_from(self_signed::client()?)?;
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(transport());
    Ok(config)
}

fn server() -> Result<Arc<ServerConfig>> {
    let crypto = QuicServerConfig::try_from(self_signed::server()?)?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(transport());
    Ok(Arc::new(config))
}

/// What one side does with the one stream.
struct Transfer {
    id: StreamId,
    /// Bytes before the pattern that are still to be sent.
    head: Vec<u8>,
    /// How much of the pattern is sent, and is to be.
    sent: u64,
    length: u64,
    chunk: usize,
    finished: bool,
    /// The server's: the request, as far as it has come.
    request: Option<Vec<u8>>,
    /// The server's answer to an upload waits for its end.
    answers: bool,
    /// An answer of 8 bytes comes, and not the pattern.
    ack: Option<Vec<u8>>,
    seen: Verifier,
    over: bool,
}

impl Transfer {
    fn new(id: StreamId) -> Self {
        Transfer {
            id,
            head: Vec::new(),
            sent: 0,
            length: 0,
            chunk: 1,
            finished: false,
            request: None,
            answers: false,
            ack: None,
            seen: Verifier::default(),
            over: false,
        }
    }

    /// The client's, which asks with `kind`.
    fn client(id: StreamId, kind: u8, bytes: u64, chunk: usize) -> Self {
        let mut head = vec![kind];
        head.extend(bytes.to_be_bytes());
        head.extend((chunk as u32).to_be_bytes());
        let uploads = kind == b'u';
        let length = if uploads { bytes } else { 0 };
        Transfer { head, length, chunk, ack: uploads.then(Vec::new), ..Transfer::new(id) }
    }

    fn server(id: StreamId) -> Self {
        Transfer { request: Some(Vec::new()), ..Transfer::new(id) }
    }

    fn obey(&mut self, request: &[u8]) -> Result<()> {
        let length = u64::from_be_bytes(request[1..9].try_into()?);
        self.chunk = u32::from_be_bytes(request[9..].try_into()?) as usize;
        self.answers = request[0] == b'u';
        self.length = if self.answers { 0 } else { length };
        Ok(())
    }

    fn write(&mut self, connection: &mut Connection) -> Result<()> {
        if self.finished || self.request.is_some() || self.answers {
            return Ok(());
        }
        let mut stream = connection.send_stream(self.id);
        loop {
            let written = if !self.head.is_empty() {
                stream.write(&self.head).inspect(|n| drop(self.head.drain(..*n)))
            } else if self.sent < self.length {
                let part = (self.length - self.sent).min(self.chunk as u64) as usize;
                stream.write(pattern_at(self.sent, part)).inspect(|n| self.sent += *n as u64)
            } else {
                self.finished = true;
                return stream.finish().map_err(|error| anyhow!("{error:?}"));
            };
            match written {
                Ok(_) => {}
                Err(WriteError::Blocked) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn read(&mut self, connection: &mut Connection) -> Result<()> {
        if self.over {
            return Ok(());
        }
        let mut stream = connection.recv_stream(self.id);
        let mut chunks = stream.read(true)?;
        let end = loop {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) => self.take(&chunk.bytes)?,
                Ok(None) => break true,
                Err(ReadError::Blocked) => break false,
                Err(error) => return Err(error.into()),
            }
        };
        // Whatever was freed is sent with the next transmission.
        let _ = chunks.finalize();
        if end {
            self.over = true;
            if core::mem::take(&mut self.answers) {
                self.head = self.seen.ack().to_vec();
            }
        }
        Ok(())
    }

    fn take(&mut self, mut bytes: &[u8]) -> Result<()> {
        if let Some(mut request) = self.request.take() {
            let (now, rest) = bytes.split_at(bytes.len().min(REQUEST - request.len()));
            request.extend_from_slice(now);
            bytes = rest;
            if request.len() < REQUEST {
                self.request = Some(request);
            } else {
                self.obey(&request)?;
            }
        }
        match &mut self.ack {
            Some(ack) => ack.extend_from_slice(bytes),
            None => self.seen.feed(bytes),
        }
        Ok(())
    }
}

/// One socket with at most one connection.
struct Loop {
    socket: UdpSocket,
    state: UdpSocketState,
    endpoint: Endpoint,
    connection: Option<(ConnectionHandle, Connection)>,
    transfer: Option<Transfer>,
    connected: bool,
    space: Vec<u8>,
    scratch: Vec<u8>,
    /// What the socket had no room for.
    blocked: Option<Transmit>,
}

impl Loop {
    fn new(server: Option<Arc<ServerConfig>>) -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let state = UdpSocketState::new((&socket).into())?;
        let mtu = !state.may_fragment();
        let endpoint = Endpoint::new(Arc::new(EndpointConfig::default()), server, mtu, None);
        Ok(Loop {
            socket,
            state,
            endpoint,
            connection: None,
            transfer: None,
            connected: false,
            space: vec![0; BATCH_SIZE * MESSAGE],
            scratch: Vec::new(),
            blocked: None,
        })
    }

    /// One round; waits for the socket or the next deadline if nothing was left to do.
    fn turn(&mut self) -> Result<()> {
        let received = self.receive()?;
        self.progress()?;
        if let (Some((_, connection)), Some(transfer)) = (&mut self.connection, &mut self.transfer)
        {
            transfer.read(connection)?;
            transfer.write(connection)?;
        }
        if !self.transmit()? && !received {
            self.wait()?;
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<bool> {
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        let mut chunks = self.space.chunks_mut(MESSAGE);
        let mut buffers: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        let received = match self.state.recv((&self.socket).into(), &mut buffers, &mut metas) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let now = Instant::now();
        for (meta, message) in metas.iter().zip(self.space.chunks(MESSAGE)).take(received) {
            let mut joined = bytes::BytesMut::from(&message[..meta.len]);
            while !joined.is_empty() {
                let datagram = joined.split_to(meta.stride.clamp(1, joined.len()));
                let ecn = meta.ecn.and_then(|ecn| quinn_proto::EcnCodepoint::from_bits(ecn as u8));
                let event = self.endpoint.handle(
                    now,
                    meta.addr,
                    meta.dst_ip,
                    ecn,
                    datagram,
                    &mut self.scratch,
                );
                match event {
                    Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                        if let Some((current, connection)) = &mut self.connection
                            && *current == handle
                        {
                            connection.handle_event(event);
                        }
                    }
                    Some(DatagramEvent::NewConnection(incoming)) => {
                        let accepted = self.endpoint.accept(incoming, now, &mut self.scratch, None);
                        let accepted = accepted.map_err(|error| error.cause)?;
                        // The last one's peer is gone.
                        self.connection = Some(accepted);
                        self.transfer = None;
                        self.blocked = None;
                    }
                    Some(DatagramEvent::Response(_)) | None => {}
                }
            }
        }
        Ok(true)
    }

    fn progress(&mut self) -> Result<()> {
        let Some((handle, connection)) = &mut self.connection else { return Ok(()) };
        let now = Instant::now();
        if connection.poll_timeout().is_some_and(|due| due <= now) {
            connection.handle_timeout(now);
        }
        let mut lost = None;
        while let Some(event) = connection.poll() {
            match event {
                Event::Connected => self.connected = true,
                Event::ConnectionLost { reason } => lost = Some(reason),
                Event::Stream(StreamEvent::Opened { dir }) => {
                    self.transfer = connection.streams().accept(dir).map(Transfer::server);
                }
                Event::Stream(_)
                | Event::HandshakeDataReady
                | Event::DatagramReceived
                | Event::DatagramsUnblocked => {}
            }
        }
        while let Some(event) = connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(*handle, event) {
                connection.handle_event(event);
            }
        }
        if lost.is_some() {
            self.transfer = None;
        }
        if connection.is_drained() {
            self.connection = None;
        }
        Ok(())
    }

    /// Whether anything was sent.
    fn transmit(&mut self) -> Result<bool> {
        let Some((_, connection)) = &mut self.connection else { return Ok(false) };
        let mut any = false;
        for _ in 0..MAX_SENDS {
            let transmit = match self.blocked.take() {
                Some(transmit) => transmit,
                None => {
                    self.scratch.clear();
                    let segments = self.state.max_gso_segments().min(MAX_SEGMENTS);
                    let now = Instant::now();
                    match connection.poll_transmit(now, segments, &mut self.scratch) {
                        Some(transmit) => transmit,
                        None => break,
                    }
                }
            };
            let sent = self.state.try_send(
                (&self.socket).into(),
                &quinn_udp::Transmit {
                    destination: transmit.destination,
                    ecn: transmit.ecn.and_then(|ecn| quinn_udp::EcnCodepoint::from_bits(ecn as u8)),
                    contents: &self.scratch[..transmit.size],
                    segment_size: transmit.segment_size,
                    src_ip: transmit.src_ip,
                },
            );
            match sent {
                Ok(()) => any = true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = Some(transmit);
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(any)
    }

    fn wait(&mut self) -> Result<()> {
        let due = self.connection.as_mut().and_then(|(_, connection)| connection.poll_timeout());
        let wait = due.map(|due| due.saturating_duration_since(Instant::now()));
        let millis = wait.map_or(-1, |wait| wait.as_millis().min(60_000) as i32 + 1);
        let mut events = libc::POLLIN;
        if self.blocked.is_some() {
            events |= libc::POLLOUT;
        }
        let mut poll = libc::pollfd { fd: self.socket.as_raw_fd(), events, revents: 0 };
        // SAFETY: one valid entry, which outlives the call.
        if unsafe { libc::poll(&mut poll, 1, millis) } < 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error.into());
            }
        }
        Ok(())
    }
}

/// Runs one transfer of a client.
fn transfer(
    opts: &Opts,
    addr: &str,
    kind: u8,
    bytes: u64,
    chunk: usize,
) -> Result<(Sample, Transfer)> {
    let remote: SocketAddr = addr.strip_suffix("/quic-v1").context("over QUIC only")?.parse()?;
    let mut client_loop = Loop::new(None)?;
    let connected = client_loop.endpoint.connect(Instant::now(), client()?, remote, "bench")?;
    client_loop.connection = Some(connected);
    let deadline = Instant::now() + Duration::from_secs(5);
    while !client_loop.connected {
        ensure!(Instant::now() < deadline, "no handshake");
        client_loop.turn()?;
    }
    let meter = Meter::start(opts.server_pid);
    let Some((_, connection)) = &mut client_loop.connection else { bail!("no connection") };
    let id = connection.streams().open(Dir::Bi).context("no stream")?;
    client_loop.transfer = Some(Transfer::client(id, kind, bytes, chunk));
    loop {
        client_loop.turn()?;
        match &client_loop.transfer {
            Some(transfer) if transfer.over => break,
            Some(_) => {}
            None => bail!("the connection was lost"),
        }
    }
    let sample = meter.stop();
    if let Some((_, connection)) = &mut client_loop.connection {
        connection.close(Instant::now(), VarInt::from_u32(0), bytes::Bytes::new());
    }
    client_loop.transmit()?;
    let transfer = client_loop.transfer.take().context("no transfer")?;
    Ok((sample, transfer))
}

impl Peer for BareQuic {
    fn name(&self) -> &'static str {
        "bare-quic"
    }

    fn version(&self) -> &'static str {
        "quinn-proto 0.11.19"
    }

    fn serve(&self, opts: &Opts) -> Result<()> {
        if opts.transport != Over::Quic {
            return Err(Skip("over QUIC only").into());
        }
        let mut server_loop = Loop::new(Some(server()?))?;
        println!("LISTEN {}/quic-v1", server_loop.socket.local_addr()?);
        loop {
            server_loop.turn()?;
        }
    }

    fn upload(&self, opts: &Opts, addr: &str, bytes: u64, chunk: usize) -> Result<Sample> {
        let (sample, transfer) = transfer(opts, addr, b'u', bytes, chunk)?;
        ensure!(transfer.ack.as_deref() == Some(&bytes.to_be_bytes()[..]), "wrong ack");
        Ok(sample)
    }

    fn download(&self, opts: &Opts, addr: &str, bytes: u64, chunk: usize) -> Result<Sample> {
        let (sample, Transfer { seen, .. }) = transfer(opts, addr, b'd', bytes, chunk)?;
        ensure!(seen.received == bytes && !seen.corrupt, "received {}", seen.received);
        Ok(sample)
    }
}
