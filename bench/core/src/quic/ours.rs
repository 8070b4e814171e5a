//! `sanspeer_core` over QUIC: an endpoint, and the connections with their applications.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use bytes::BytesMut;
use sanspeer_core::connection::{Connection, ConnectionConfig};
use sanspeer_core::identity::{Identity, PeerId};
use sanspeer_core::quic::{
    DatagramMeta, Ecn, EndpointEvent, QuicConfig, QuicConnectionId, QuicEndpoint, QuicMux,
};
use sanspeer_core::rng::Seed;
use sanspeer_core::time::Timestamp;
use sanspeer_core::tls::TlsIdentity;

use super::link::{Batch, DatagramEnd, MAX_SEGMENTS};
use crate::application::{Application, Protocol};
use crate::contender::READ_BYTES;
use crate::loops::{Read, StreamEnd};
use crate::rustls_config::UNIX_SECONDS;

/// One endpoint.
pub struct OurEnd {
    endpoint: QuicEndpoint,
    remote: SocketAddr,
    remote_peer: PeerId,
    seed: Seed,
    config: Arc<ConnectionConfig>,
    protocol: Protocol,
    now: Timestamp,
    /// The application's, which reads one stream after the other.
    read_buffer: Vec<u8>,
    current: Option<(QuicConnectionId, Application)>,
    parked: Vec<(QuicConnectionId, Application)>,
}

impl OurEnd {
    fn new(seed: u64, remote_seed: u64) -> Result<Self> {
        let remote_peer = Identity::ed25519(&Seed::from_u64(remote_seed)).peer_id();
        let seed = Seed::from_u64(seed);
        let identity = TlsIdentity::new(&Identity::ed25519(&seed), &seed)?;
        Ok(Self {
            endpoint: QuicEndpoint::new(&identity, &seed, QuicConfig::default(), Instant::now()),
            remote: super::bare::REMOTE.into(),
            remote_peer,
            seed,
            config: Arc::default(),
            protocol: Protocol::new()?,
            now: Timestamp::ZERO,
            read_buffer: vec![0; READ_BYTES],
            current: None,
            parked: Vec::new(),
        })
    }

    fn begin(&mut self, id: QuicConnectionId, mux: QuicMux) {
        let seed = self.seed.derive("bench", id.0);
        let connection = Connection::quic(mux, &seed, Arc::clone(&self.config), self.now);
        self.current = Some((id, Application::new(connection, &self.protocol)));
    }

    /// What the remote may send, while one stream is held.
    #[cfg(test)]
    pub fn receive_window_bytes(&self) -> Option<u64> {
        let (_, held) = self.current.as_ref()?;
        let held_bytes = u64::from(sanspeer_core::yamux::INITIAL_WINDOW_BYTES);
        let leased_bytes = held.connection.window_use().leased_bytes;
        Some(self.config.receive_budget_bytes + held_bytes + leased_bytes)
    }

    fn admit(&mut self) -> Result<()> {
        while let Some(EndpointEvent::Incoming { id, .. }) = self.endpoint.poll_event() {
            let (id, mux) = self.endpoint.accept(self.now, id, UNIX_SECONDS)?;
            self.begin(id, mux);
        }
        Ok(())
    }
}

impl DatagramEnd for OurEnd {
    fn name() -> String {
        "ours over QUIC".to_owned()
    }

    fn pair() -> Result<(Self, Self)> {
        Ok((Self::new(1, 2)?, Self::new(2, 1)?))
    }

    fn dial(&mut self, now: Duration) -> Result<()> {
        self.now = timestamp(now);
        let (id, mux) =
            self.endpoint.connect(self.now, self.remote, Some(self.remote_peer), UNIX_SECONDS)?;
        self.begin(id, mux);
        Ok(())
    }

    fn transmit(&mut self, now: Duration, buffer: &mut Vec<u8>) -> Option<Batch> {
        self.now = timestamp(now);
        let (_, held) = self.current.as_mut()?;
        let sent = held.connection.poll_datagrams(self.now, MAX_SEGMENTS, buffer)?;
        let segment_bytes = sent.segment_size.unwrap_or(sent.size);
        Some(Batch { bytes: sent.size, segment_bytes, ecn: sent.ecn.is_some() })
    }

    fn receive(&mut self, now: Duration, datagram: BytesMut, ecn: bool) -> Result<()> {
        self.now = timestamp(now);
        let meta =
            DatagramMeta { remote: self.remote, local_ip: None, ecn: ecn.then_some(Ecn::Ect0) };
        self.endpoint.handle_datagram(self.now, meta, datagram);
        Ok(())
    }

    fn progress(&mut self, now: Duration) -> Result<()> {
        self.now = timestamp(now);
        self.admit()?;
        let Some((id, held)) = &mut self.current else { return Ok(()) };
        while let Some((to, event)) = self.endpoint.poll_connection_event() {
            if to == *id {
                held.connection.handle_endpoint_event(self.now, event);
            }
        }
        if held.connection.poll_timeout().is_some_and(|deadline| deadline.at <= self.now) {
            held.connection.handle_timeout(self.now);
        }
        held.poll(self.now)?;
        while let Some(event) = held.connection.poll_endpoint_event() {
            self.endpoint.handle_connection_event(*id, event);
        }
        Ok(())
    }

    fn deadline(&mut self) -> Option<Duration> {
        let (_, held) = self.current.as_ref()?;
        held.connection.poll_timeout().map(|deadline| Duration::from_nanos(deadline.at.0))
    }

    fn abandon(&mut self) {
        if let Some((id, _)) = self.current.take() {
            self.endpoint.forget(id);
        }
    }

    fn park(&mut self) {
        self.parked.extend(self.current.take());
    }

    fn abandon_parked(&mut self) {
        for (id, _) in std::mem::take(&mut self.parked) {
            self.endpoint.forget(id);
        }
    }
}

impl StreamEnd for OurEnd {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let Some((_, held)) = &mut self.current else { return Ok(0) };
        held.write(|| self.now, bytes)
    }

    fn read(&mut self, max_bytes: usize, take: &mut dyn FnMut(&[u8])) -> Result<Read> {
        let Some((_, held)) = &mut self.current else { return Ok(Read::Blocked) };
        let len = max_bytes.min(self.read_buffer.len());
        held.read_into(&mut self.read_buffer[..len], take)
    }

    fn finish(&mut self) -> Result<()> {
        match &mut self.current {
            Some((_, held)) => held.finish(),
            None => bail!("no connection"),
        }
    }
}

fn timestamp(since_start: Duration) -> Timestamp {
    Timestamp::ZERO.saturating_add(since_start)
}
