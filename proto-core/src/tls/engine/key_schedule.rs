//! The keys of records, and those that follow them.

use rustls::ConnectionTrafficSecrets;
use rustls::client::ClientConnectionData;
use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;
use zeroize::Zeroizing;

/// A cipher of TLS 1.3 records (RFC 8446, section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tls) enum Suite {
    Aes128Gcm,
    Aes256Gcm,
    ChaCha20Poly1305,
}

/// The key of one direction, wiped when dropped.
pub(in crate::tls) struct TrafficKey {
    pub(in crate::tls) suite: Suite,
    /// As many bytes as the suite takes; the rest is zero.
    pub(in crate::tls) key: Zeroizing<[u8; 32]>,
    pub(in crate::tls) iv: Zeroizing<[u8; 12]>,
}

/// What rustls keeps of a connection whose records are ours: the secrets that the next keys are
/// derived from.
pub(in crate::tls) enum KeySchedule {
    Client(KernelConnection<ClientConnectionData>),
    Server(KernelConnection<ServerConnectionData>),
}

/// rustls has no next key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tls) struct NoKey;

impl KeySchedule {
    /// The next key of what we send (RFC 8446, section 7.2).
    pub(in crate::tls) fn next_sealing(&mut self) -> Result<TrafficKey, NoKey> {
        let next = match self {
            KeySchedule::Client(connection) => connection.update_tx_secret(),
            KeySchedule::Server(connection) => connection.update_tx_secret(),
        };
        next.map_err(|_| NoKey).and_then(|(_, secrets)| TrafficKey::of(&secrets))
    }

    /// The next key of what we receive.
    pub(in crate::tls) fn next_opening(&mut self) -> Result<TrafficKey, NoKey> {
        let next = match self {
            KeySchedule::Client(connection) => connection.update_rx_secret(),
            KeySchedule::Server(connection) => connection.update_rx_secret(),
        };
        next.map_err(|_| NoKey).and_then(|(_, secrets)| TrafficKey::of(&secrets))
    }
}

impl TrafficKey {
    pub(super) fn of(secrets: &ConnectionTrafficSecrets) -> Result<Self, NoKey> {
        let (suite, key, iv) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (Suite::Aes128Gcm, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (Suite::Aes256Gcm, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
                (Suite::ChaCha20Poly1305, key, iv)
            }
            // rustls may get suites that our provider does not have.
            _ => return Err(NoKey),
        };
        let (from_key, from_iv) = (key.as_ref(), iv.as_ref());
        let (mut key, mut iv) = (Zeroizing::new([0; 32]), Zeroizing::new([0; 12]));
        key.get_mut(..from_key.len()).ok_or(NoKey)?.copy_from_slice(from_key);
        iv.get_mut(..from_iv.len()).ok_or(NoKey)?.copy_from_slice(from_iv);
        Ok(TrafficKey { suite, key, iv })
    }
}
