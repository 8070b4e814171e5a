//! Keys and ids of an endpoint, from its seed, and the TLS side of a connection.

use core::time::Duration;
use std::sync::Arc;

use libp2p_identity::PeerId;
use quinn_proto::crypto::{ClientConfig, HandshakeTokenKey, HmacKey, ServerConfig};
use quinn_proto::{Connection, ConnectionId, ConnectionIdGenerator};
use ring::{hkdf, hmac};

use crate::rng::{Rng, Seed};
use crate::tls::{Outcome, Setup};
use crate::tls::{TlsError, TlsIdentity};

/// Ids of our own connections, in bytes.
const LOCAL_ID_BYTES: usize = 8;

/// The id that a dialer gives the remote for its first packets, in bytes: the most that there is.
const INITIAL_ID_BYTES: usize = 20;

/// The key of stateless reset tokens (RFC 9000, section 10.3.2).
pub(super) fn reset_key(seed: &Seed) -> Arc<dyn HmacKey> {
    Arc::new(hmac::Key::new(hmac::HMAC_SHA256, seed.derive("quic-reset", 0).expose()))
}

/// The key of retry tokens (RFC 9000, section 8.1.4).
pub(super) fn token_key(seed: &Seed) -> Arc<dyn HandshakeTokenKey> {
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]);
    Arc::new(salt.extract(seed.derive("quic-token", 0).expose()))
}

/// The id of a dialer's first packets, which is also what their keys follow from (RFC 9000,
/// section 7.2).
pub(super) fn initial_id(connection_seed: &Seed) -> ConnectionId {
    ConnectionId::new(
        &connection_seed.derive("quic-initial-id", 0).rng().bytes::<INITIAL_ID_BYTES>(),
    )
}

/// Ids drawn from a seed. They tell an observer nothing (RFC 9000, section 5.1).
pub(super) struct SeededIds(Rng);

impl SeededIds {
    pub(super) fn new(seed: &Seed) -> Self {
        SeededIds(seed.derive("quic-connection-ids", 0).rng())
    }
}

impl ConnectionIdGenerator for SeededIds {
    fn generate_cid(&mut self) -> ConnectionId {
        ConnectionId::new(&self.0.bytes::<LOCAL_ID_BYTES>())
    }

    fn cid_len(&self) -> usize {
        LOCAL_ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// TLS for one dialled connection.
pub(super) fn client(
    identity: &TlsIdentity,
    expected_peer: Option<PeerId>,
    unix_seconds: u64,
    seed: &Seed,
) -> Arc<dyn ClientConfig> {
    Setup::new(identity, expected_peer, unix_seconds, seed)
}

/// TLS for one accepted connection.
pub(super) fn server(
    identity: &TlsIdentity,
    unix_seconds: u64,
    seed: &Seed,
) -> Arc<dyn ServerConfig> {
    Setup::new(identity, None, unix_seconds, seed)
}

/// Who the remote of a connection proved to be, or why the handshake failed on our side; `None`
/// while it runs, and when it failed for another reason.
pub(super) fn outcome(connection: &Connection) -> Option<Result<PeerId, TlsError>> {
    let outcome = connection.crypto_session().peer_identity()?;
    outcome.downcast::<Outcome>().ok().map(|outcome| outcome.0)
}
