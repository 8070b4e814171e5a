//! A `sanspeer_core` connection over bytes in order as one [`End`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use sanspeer_core::connection::{Connection, ConnectionConfig, ConnectionSetup};
use sanspeer_core::identity::Identity;
use sanspeer_core::mux::Role;
use sanspeer_core::rng::Seed;
use sanspeer_core::time::Timestamp;

use crate::application::{Application, Protocol};
use crate::loops::{Read, StreamEnd};
use crate::ours::End;

/// How long a connection rests before its memory is counted.
const REST: Duration = Duration::from_secs(15);

/// What a node makes once.
pub struct Node {
    dialer: Identity,
    listener: Identity,
    protocol: Protocol,
    epoch: Instant,
}

/// One end of a connection.
pub struct ConnectionEnd {
    held: Application,
    epoch: Instant,
}

/// Every connection has a seed of its own.
static CONNECTIONS: AtomicU64 = AtomicU64::new(0);

impl ConnectionEnd {
    fn new(role: Role, identity: &Identity, node: &Node) -> Self {
        let expected_peer = (role == Role::Dialer).then(|| node.listener.peer_id());
        let seed = Seed::from_u64(CONNECTIONS.fetch_add(1, Ordering::Relaxed));
        let setup = ConnectionSetup { role, identity, seed, expected_peer, layer: None };
        let config = ConnectionConfig::default();
        let connection = Connection::new(setup, config, timestamp(node.epoch));
        Self { held: Application::new(connection, &node.protocol), epoch: node.epoch }
    }
}

impl End for ConnectionEnd {
    type Identities = Node;

    fn identities() -> Result<Node> {
        Ok(Node {
            dialer: Identity::ed25519(&Seed::from_u64(1)),
            listener: Identity::ed25519(&Seed::from_u64(2)),
            protocol: Protocol::new()?,
            epoch: Instant::now(),
        })
    }

    fn pair(node: &Node) -> Result<(Self, Self)> {
        Ok((
            Self::new(Role::Dialer, &node.dialer, node),
            Self::new(Role::Listener, &node.listener, node),
        ))
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
