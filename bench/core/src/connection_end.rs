//! A `sanspeer_core` connection as one [`End`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use sanspeer_core::byte_mux::Security;
use sanspeer_core::connection::{
    Connection, ConnectionConfig, ConnectionEvent, ConnectionSetup, NodeRoom,
};
use sanspeer_core::identity::Identity;
use sanspeer_core::mailbox::{Lease, ProtocolTable, ToConnection, ToNode};
use sanspeer_core::mux::{ReadError, Role, StreamId, WriteError};
use sanspeer_core::protocol::ProtocolId;
use sanspeer_core::rng::Seed;
use sanspeer_core::time::Timestamp;

use crate::contender::STREAM_PROTOCOL;
use crate::ours::{End, Read};

/// How long a connection rests before its memory is counted.
const REST: Duration = Duration::from_secs(15);

/// What a node makes once.
pub struct Node {
    dialer: Identity,
    listener: Identity,
    protocol: ProtocolId,
    protocols: ProtocolTable,
    epoch: Instant,
}

/// One end of a connection.
pub struct ConnectionEnd {
    connection: Connection,
    stream: Option<StreamId>,
    /// What the dialer opens; the listener has none.
    opens: Option<ProtocolId>,
    protocols: Option<ProtocolTable>,
    epoch: Instant,
}

/// Every connection has a seed of its own.
static CONNECTIONS: AtomicU64 = AtomicU64::new(0);

impl ConnectionEnd {
    fn new(role: Role, identity: &Identity, node: &Node, opens: Option<ProtocolId>) -> Self {
        let expected_peer = opens.as_ref().map(|_| node.listener.peer_id());
        let seed = Seed::from_u64(CONNECTIONS.fetch_add(1, Ordering::Relaxed));
        let security = &[Security::Noise(identity)];
        let setup = ConnectionSetup { role, security, seed, expected_peer, layer: None };
        Self {
            connection: Connection::new(
                setup,
                ConnectionConfig::default(),
                timestamp(node.epoch),
            ),
            stream: None,
            opens,
            protocols: Some(node.protocols.clone()),
            epoch: node.epoch,
        }
    }

    fn poll(&mut self) -> Result<()> {
        loop {
            while let Some(event) = self.connection.poll_event() {
                if let ConnectionEvent::Closed { reason } = event {
                    bail!("connection closed: {reason:?}");
                }
                if let ConnectionEvent::Inbound { .. } = event {
                    self.stream = self.connection.accept().map(|(stream, _)| stream);
                }
            }
            let Some(message) = self.connection.poll_node(NodeRoom::Queue) else { return Ok(()) };
            if let (ToNode::Established { .. }, Some(protocols)) = (message, self.protocols.take())
            {
                let admit = ToConnection::Admit { lease: Lease::default(), protocols };
                self.connection.handle_node(timestamp(self.epoch), admit);
            }
        }
    }
}

impl End for ConnectionEnd {
    type Identities = Node;

    fn identities() -> Result<Node> {
        let protocol = ProtocolId::new(STREAM_PROTOCOL)?;
        Ok(Node {
            dialer: Identity::ed25519(&Seed::from_u64(1)),
            listener: Identity::ed25519(&Seed::from_u64(2)),
            protocols: ProtocolTable::new().with_application(protocol.clone()),
            protocol,
            epoch: Instant::now(),
        })
    }

    fn pair(node: &Node) -> Result<(Self, Self)> {
        Ok((
            Self::new(Role::Dialer, &node.dialer, node, Some(node.protocol.clone())),
            Self::new(Role::Listener, &node.listener, node, None),
        ))
    }

    fn transmit(&mut self, take: &mut dyn FnMut(&[u8]) -> usize) -> Result<()> {
        let now = timestamp(self.epoch);
        while let Some(bytes) = self.connection.poll_transmit(now) {
            let taken = take(bytes);
            if taken == 0 {
                break;
            }
            self.connection.handle_transmitted(taken);
            self.poll()?;
        }
        Ok(())
    }

    fn receive(&mut self, fill: &mut dyn FnMut(&mut [u8]) -> usize) -> Result<()> {
        let now = timestamp(self.epoch);
        while let Some(space) = self.connection.recv_buf() {
            let filled = fill(space);
            if filled == 0 {
                break;
            }
            self.connection.handle_recv(now, filled);
            self.poll()?;
        }
        if self.connection.poll_timeout().is_some_and(|deadline| deadline.at <= now) {
            self.connection.handle_timeout(now);
            self.poll()?;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        if self.stream.is_none()
            && let Some(protocol) = &self.opens
        {
            self.stream =
                self.connection.open(timestamp(self.epoch), std::slice::from_ref(protocol)).ok();
        }
        let Some(stream) = self.stream else { return Ok(0) };
        match self.connection.stream(stream).write(bytes) {
            Ok(n) => Ok(n),
            Err(WriteError::Blocked) => Ok(0),
            Err(error) => Err(anyhow!("write: {error:?}")),
        }
    }

    fn read(&mut self, max_bytes: usize, take: &mut dyn FnMut(&[u8])) -> Result<Read> {
        let Some(stream) = self.stream else { return Ok(Read::Blocked) };
        match self.connection.stream(stream).read(max_bytes) {
            Ok(bytes) if bytes.is_empty() => Ok(Read::Finished),
            Ok(bytes) => {
                take(&bytes);
                Ok(Read::Some)
            }
            Err(ReadError::Blocked) => Ok(Read::Blocked),
            Err(error) => Err(anyhow!("read: {error:?}")),
        }
    }

    fn finish(&mut self) -> Result<()> {
        let Some(stream) = self.stream else { bail!("no stream to finish") };
        self.connection.stream(stream).finish().map_err(|error| anyhow!("finish: {error:?}"))
    }

    fn rest(&mut self) -> Result<()> {
        // Less than the keep-alive interval, so that nothing is sent.
        let end = timestamp(self.epoch).saturating_add(REST);
        while let Some(deadline) = self.connection.poll_timeout()
            && deadline.at <= end
        {
            self.connection.handle_timeout(deadline.at);
            self.poll()?;
        }
        Ok(())
    }
}

fn timestamp(epoch: Instant) -> Timestamp {
    Timestamp(u64::try_from(epoch.elapsed().as_nanos()).unwrap_or(u64::MAX))
}
