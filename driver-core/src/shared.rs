//! [`Shared`]: what every part of a node's driver holds.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use sanspeer_core::byte_mux::Security;
use sanspeer_core::connection::{Connection, ConnectionConfig, ConnectionSetup};
use sanspeer_core::identity::{Identity, PeerId};
use sanspeer_core::mux::Role;
use sanspeer_core::node::ConnectionId;
use sanspeer_core::quic::QuicMux;
use sanspeer_core::rng::Seed;
use sanspeer_core::tls::TlsIdentity;

use crate::acceptor::Acceptors;
use crate::config::SecurityProtocol;
use crate::connection::byte_wire::ByteWire;
use crate::connection::link::Link;
use crate::connection::quic_task::{OwnTask, QuicTask};
use crate::connection::quic_wire::QuicWire;
use crate::connection::task::ConnectionTask;
use crate::control::inbox::{Inbox, Report, Reports};
use crate::runtime::{ByteStream, Runtime};
use crate::tasks::Tasks;

/// What every part of a node's driver holds.
pub(crate) struct Shared<R: Runtime> {
    pub(crate) runtime: R,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) reports: Arc<Reports<R>>,
    pub(crate) acceptors: Arc<Acceptors>,
    pub(crate) tasks: Arc<Tasks>,
    pub(crate) identity: Identity,
    pub(crate) tls: TlsIdentity,
    pub(crate) security: Vec<SecurityProtocol>,
    /// The system's if empty.
    pub(crate) dns_servers: Vec<SocketAddr>,
    /// Of connections and endpoints; each derives its own.
    pub(crate) seed: Seed,
    pub(crate) connection: Arc<ConnectionConfig>,
}

impl<R: Runtime> Shared<R> {
    /// Runs a task, whose end [`Tasks`] hears of.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + Unpin + 'static) {
        self.runtime.spawn(self.tasks.count(task));
    }

    /// Begins a connection over bytes in order.
    pub(crate) fn begin_bytes(
        self: &Arc<Self>,
        id: ConnectionId,
        role: Role,
        stream: impl ByteStream,
        expected_peer: Option<PeerId>,
    ) {
        let unix_seconds = self.runtime.unix_seconds();
        let security: Vec<Security<'_>> = self
            .security
            .iter()
            .map(|protocol| match protocol {
                SecurityProtocol::Noise => Security::Noise(&self.identity),
                SecurityProtocol::Tls => Security::Tls { identity: &self.tls, unix_seconds },
            })
            .collect();
        let seed = self.seed.derive("connection", id.0);
        let setup = ConnectionSetup { role, security: &security, seed, expected_peer, layer: None };
        let config = Arc::clone(&self.connection);
        let connection = Connection::new(setup, config, self.runtime.now());
        let link = Link::new(id, connection, Arc::clone(&self.inbox));
        self.reports.push(Report::Started(Arc::clone(&link)));
        self.spawn(ConnectionTask::new(link, ByteWire::new(stream), Arc::clone(self)));
    }

    /// A connection over QUIC, to be run with [`Shared::run_quic`].
    pub(crate) fn quic_link(&self, id: ConnectionId, mux: QuicMux) -> Arc<Link> {
        let seed = self.seed.derive("connection", id.0);
        let config = Arc::clone(&self.connection);
        let connection = Connection::quic(mux, &seed, config, self.runtime.now());
        Link::new(id, connection, Arc::clone(&self.inbox))
    }

    /// Runs the task of a connection over QUIC.
    pub(crate) fn run_quic(self: &Arc<Self>, link: Arc<Link>, wire: QuicWire) -> Arc<QuicTask<R>> {
        self.reports.push(Report::Started(Arc::clone(&link)));
        let task = ConnectionTask::new(Arc::clone(&link), wire, Arc::clone(self));
        let task = QuicTask::new(link, task);
        self.spawn(OwnTask(Arc::clone(&task)));
        task
    }
}
