//! A `sanspeer_core` connection over bytes in order as one [`End`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use sanspeer_core::byte_mux::Security;
use sanspeer_core::connection::{Connection, ConnectionConfig, ConnectionSetup};
use sanspeer_core::identity::Identity;
use sanspeer_core::mux::Role;
use sanspeer_core::rng::Seed;
use sanspeer_core::time::Timestamp;
use sanspeer_core::tls::TlsIdentity;

use crate::application::{Application, Protocol};
use crate::loops::{Read, StreamEnd};
use crate::ours::End;
use crate::rustls_config::UNIX_SECONDS;

/// How long a connection rests before its memory is counted.
const REST: Duration = Duration::from_secs(15);

/// How connections are secured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SecurityProtocol {
    Noise,
    Tls,
}

/// What the nodes at both ends make once.
pub struct Nodes {
    security: SecurityProtocol,
    dialer: (Identity, TlsIdentity),
    listener: (Identity, TlsIdentity),
    protocol: Protocol,
    epoch: Instant,
}

impl Nodes {
    pub fn new(security: SecurityProtocol) -> Result<Self> {
        let node = |seed| -> Result<_> {
            let seed = Seed::from_u64(seed);
            let identity = Identity::ed25519(&seed);
            let tls = TlsIdentity::new(&identity, &seed)?;
            Ok((identity, tls))
        };
        Ok(Self {
            security,
            dialer: node(1)?,
            listener: node(2)?,
            protocol: Protocol::new()?,
            epoch: Instant::now(),
        })
    }
}

/// One end of a connection.
pub struct ConnectionEnd {
    held: Application,
    epoch: Instant,
}

/// Every connection has a seed of its own.
static CONNECTIONS: AtomicU64 = AtomicU64::new(0);

impl ConnectionEnd {
    fn new(role: Role, nodes: &Nodes) -> Self {
        let (node, expected_peer) = match role {
            Role::Dialer => (&nodes.dialer, Some(nodes.listener.0.peer_id())),
            Role::Listener => (&nodes.listener, None),
        };
        let security = &[match nodes.security {
            SecurityProtocol::Noise => Security::Noise(&node.0),
            SecurityProtocol::Tls => {
                Security::Tls { identity: &node.1, unix_seconds: UNIX_SECONDS }
            }
        }];
        let seed = Seed::from_u64(CONNECTIONS.fetch_add(1, Ordering::Relaxed));
        let setup = ConnectionSetup { role, security, seed, expected_peer, layer: None };
        let config = ConnectionConfig::default();
        let connection = Connection::new(setup, config, timestamp(nodes.epoch));
        Self { held: Application::new(connection, &nodes.protocol), epoch: nodes.epoch }
    }
}

impl End for ConnectionEnd {
    type Nodes = Nodes;

    fn pair(nodes: &Nodes) -> Result<(Self, Self)> {
        Ok((Self::new(Role::Dialer, nodes), Self::new(Role::Listener, nodes)))
    }

    fn transmit(&mut self, take: &mut dyn FnMut(&[u8]) -> usize) -> Result<()> {
        let now = timestamp(self.epoch);
        while let Some(bytes) = self.held.connection.poll_transmit(now) {
            let taken = take(bytes);
            if taken == 0 {
                break;
            }
            self.held.connection.handle_transmitted(taken);
            self.held.poll(now)?;
        }
        Ok(())
    }

    fn receive(&mut self, fill: &mut dyn FnMut(&mut [u8]) -> usize) -> Result<()> {
        let now = timestamp(self.epoch);
        while let Some(space) = self.held.connection.recv_buf() {
            let filled = fill(space);
            if filled == 0 {
                break;
            }
            self.held.connection.handle_recv(now, filled);
            self.held.poll(now)?;
        }
        if self.held.connection.poll_timeout().is_some_and(|deadline| deadline.at <= now) {
            self.held.connection.handle_timeout(now);
            self.held.poll(now)?;
        }
        Ok(())
    }

    fn rest(&mut self) -> Result<()> {
        // Less than the keep-alive interval, so that nothing is sent.
        let end = timestamp(self.epoch).saturating_add(REST);
        while let Some(deadline) = self.held.connection.poll_timeout()
            && deadline.at <= end
        {
            self.held.connection.handle_timeout(deadline.at);
            self.held.poll(deadline.at)?;
        }
        Ok(())
    }
}

impl StreamEnd for ConnectionEnd {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.held.write(|| timestamp(self.epoch), bytes)
    }

    fn read(&mut self, max_bytes: usize, take: &mut dyn FnMut(&[u8])) -> Result<Read> {
        self.held.read(max_bytes, take)
    }

    fn finish(&mut self) -> Result<()> {
        self.held.finish()
    }
}

fn timestamp(epoch: Instant) -> Timestamp {
    Timestamp(u64::try_from(epoch.elapsed().as_nanos()).unwrap_or(u64::MAX))
}
