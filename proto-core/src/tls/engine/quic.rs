//! rustls inside QUIC, behind the traits of `quinn_proto` (RFC 9001).
//!
//! A [`Session`] sets the seed scope around every call of rustls, keeps the error of a handshake
//! that failed, and tells who the remote proved to be. Resumption and early data are off.

use core::any::Any;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use libp2p_identity::PeerId;
use quinn_proto::crypto::{
    self, ExportKeyingMaterialError, HeaderKey, KeyPair, PacketKey, UnsupportedVersion,
};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{ConnectError, ConnectionId, Side, TransportError, TransportErrorCode};
use ring::aead;
use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::pki_types::ServerName;
use rustls::quic::{Connection, KeyChange, Keys, Secrets, Suite, Version};

use super::config::Terms;
use super::negotiation::reason;
use super::seed_scope::SeedScope;
use crate::mux::Role;
use crate::rng::{Rng, Seed};
use crate::tls::TlsIdentity;
use crate::tls::certificate;
use crate::tls::error::TlsError;

/// The one version that is spoken (RFC 9000, section 15).
pub(crate) const QUIC_V1: u32 = 1;

/// What both sides negotiate, since QUIC needs no multiplexer (tls, ALPN).
const ALPN: &[u8] = b"libp2p";

/// RFC 9001, section 5.8.
const RETRY_KEY: [u8; 16] = [
    0xbe, 0x0c, 0x69, 0x0b, 0x9f, 0x66, 0x57, 0x5a, 0x1d, 0x76, 0x6b, 0x54, 0xe3, 0x68, 0xc8, 0x4e,
];
const RETRY_NONCE: [u8; 12] =
    [0x46, 0x15, 0x99, 0xd3, 0x5d, 0x63, 0x2b, 0xf2, 0x23, 0x98, 0x25, 0xbb];
const RETRY_TAG_BYTES: usize = 16;

/// What the handshake of one connection starts from. It starts one session, from its seed.
pub(crate) struct Setup {
    identity: TlsIdentity,
    expected_peer: Option<PeerId>,
    unix_seconds: u64,
    seed: Seed,
}

/// How a handshake came out, as [`crypto::Session::peer_identity`] gives it.
pub(crate) struct Outcome(pub(crate) Result<PeerId, TlsError>);

impl Setup {
    /// A setup for one connection. `expected_peer` is who the remote must be; `unix_seconds` is
    /// the time, in seconds since 1970-01-01 UTC, at which its certificate must be valid.
    pub(crate) fn new(
        identity: &TlsIdentity,
        expected_peer: Option<PeerId>,
        unix_seconds: u64,
        seed: &Seed,
    ) -> Arc<Self> {
        let seed = seed.derive("tls", 0);
        Arc::new(Setup { identity: identity.clone(), expected_peer, unix_seconds, seed })
    }

    fn session(&self, role: Role, params: &TransportParameters) -> Session {
        let mut rng = self.seed.rng();
        let mut encoded = Vec::new();
        params.write(&mut encoded);
        let scope = SeedScope::enter(&mut rng);
        let started = self.start(role, encoded);
        drop(scope);
        let (inner, failure) = match started {
            Ok(connection) => (Some(connection), None),
            Err(error) => (None, Some(reason(&error))),
        };
        Session { role, inner, failure, next_secrets: None, told_handshake_data: false, rng }
    }

    fn start(&self, role: Role, params: Vec<u8>) -> Result<Connection, rustls::Error> {
        let terms = Terms {
            expected_peer: self.expected_peer,
            alpn: vec![ALPN.to_vec()],
            unix_seconds: self.unix_seconds,
        };
        let base = self.identity.base();
        Ok(match role {
            Role::Dialer => {
                // Never sent: there is no server name (tls, Future Extensibility).
                let name = ServerName::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
                let config = Arc::new(base.client(terms)?);
                rustls::quic::ClientConnection::new(config, Version::V1, name, params)?.into()
            }
            Role::Listener => {
                let config = Arc::new(base.server(terms)?);
                rustls::quic::ServerConnection::new(config, Version::V1, params)?.into()
            }
        })
    }
}

impl crypto::ClientConfig for Setup {
    fn start_session(
        self: Arc<Self>,
        version: u32,
        _server_name: &str,
        params: &TransportParameters,
    ) -> Result<Box<dyn crypto::Session>, ConnectError> {
        supported(version)?;
        Ok(Box::new(self.session(Role::Dialer, params)))
    }
}

impl crypto::ServerConfig for Setup {
    fn initial_keys(
        &self,
        version: u32,
        dst_cid: &ConnectionId,
    ) -> Result<crypto::Keys, UnsupportedVersion> {
        supported(version)?;
        Ok(initial_keys(dst_cid, Side::Server))
    }

    fn retry_tag(&self, _version: u32, orig_dst_cid: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        // One of zeros is believed by nobody.
        retry_tag(orig_dst_cid, &[packet]).unwrap_or_default()
    }

    fn start_session(
        self: Arc<Self>,
        _version: u32,
        params: &TransportParameters,
    ) -> Box<dyn crypto::Session> {
        // Not called with a version for which there were no initial keys.
        Box::new(self.session(Role::Listener, params))
    }
}

/// One handshake, and the keys after it.
struct Session {
    role: Role,
    /// `None` if it did not even start.
    inner: Option<Connection>,
    failure: Option<TlsError>,
    next_secrets: Option<Secrets>,
    told_handshake_data: bool,
    rng: Rng,
}

impl Session {
    /// The error for the other layer; `inner` may have an alert to be sent. The words stay here.
    fn refusal(&self) -> TransportError {
        let alert = self.inner.as_ref().and_then(Connection::alert);
        let code = match (alert, &self.failure) {
            (Some(alert), _) => TransportErrorCode::crypto(alert.into()),
            (None, Some(TlsError::Internal)) => TransportErrorCode::INTERNAL_ERROR,
            (None, _) => TransportErrorCode::PROTOCOL_VIOLATION,
        };
        code.into()
    }

    fn peer(&self) -> Option<Result<PeerId, TlsError>> {
        if let Some(failure) = &self.failure {
            return Some(Err(failure.clone()));
        }
        let inner = self.inner.as_ref()?;
        if inner.is_handshaking() {
            return None;
        }
        // Both sides show exactly one, or the handshake would not be over.
        let certificate = inner.peer_certificates().and_then(|chain| chain.first());
        Some(certificate.ok_or(TlsError::NoCertificate).and_then(|certificate| {
            certificate::identity_key(certificate)
                .map(|key| key.to_peer_id())
                .map_err(TlsError::Certificate)
        }))
    }
}

impl crypto::Session for Session {
    fn initial_keys(&self, dst_cid: &ConnectionId, side: Side) -> crypto::Keys {
        initial_keys(dst_cid, side)
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        None
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        Some(Box::new(Outcome(self.peer()?)))
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        None
    }

    fn early_data_accepted(&self) -> Option<bool> {
        match self.role {
            Role::Dialer => Some(false),
            Role::Listener => None,
        }
    }

    fn is_handshaking(&self) -> bool {
        self.inner.as_ref().is_none_or(|inner| inner.is_handshaking())
    }

    fn read_handshake(&mut self, buf: &[u8]) -> Result<bool, TransportError> {
        let Some(inner) = &mut self.inner else { return Err(self.refusal()) };
        let scope = SeedScope::enter(&mut self.rng);
        let read = inner.read_hs(buf);
        drop(scope);
        if let Err(error) = read {
            self.failure.get_or_insert(reason(&error));
            return Err(self.refusal());
        }
        let ready = inner.alpn_protocol().is_some() || !inner.is_handshaking();
        Ok(ready && !core::mem::replace(&mut self.told_handshake_data, true))
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        let Some(encoded) = self.inner.as_ref().and_then(|c| c.quic_transport_parameters()) else {
            return Ok(None);
        };
        let side = match self.role {
            Role::Dialer => Side::Client,
            Role::Listener => Side::Server,
        };
        Ok(Some(TransportParameters::read(side, &mut &*encoded)?))
    }

    fn write_handshake(&mut self, buf: &mut Vec<u8>) -> Option<crypto::Keys> {
        let scope = SeedScope::enter(&mut self.rng);
        let change = self.inner.as_mut()?.write_hs(buf);
        drop(scope);
        Some(boxed(match change? {
            KeyChange::Handshake { keys } => keys,
            KeyChange::OneRtt { keys, next } => {
                self.next_secrets = Some(next);
                keys
            }
        }))
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        let keys = self.next_secrets.as_mut()?.next_packet_keys();
        Some(KeyPair { local: Box::new(keys.local), remote: Box::new(keys.remote) })
    }

    fn is_valid_retry(&self, orig_dst_cid: &ConnectionId, header: &[u8], payload: &[u8]) -> bool {
        let Some((token, tag)) = payload.split_last_chunk::<RETRY_TAG_BYTES>() else {
            return false;
        };
        // Not a secret: anybody can compute it.
        retry_tag(orig_dst_cid, &[header, token]) == Some(*tag)
    }

    fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        let inner = self.inner.as_ref().ok_or(ExportKeyingMaterialError)?;
        match inner.export_keying_material(output, label, Some(context)) {
            Ok(_) => Ok(()),
            Err(_) => Err(ExportKeyingMaterialError),
        }
    }
}

fn supported(version: u32) -> Result<(), UnsupportedVersion> {
    if version == QUIC_V1 { Ok(()) } else { Err(UnsupportedVersion) }
}

/// The suite of initial packets (RFC 9001, section 5.2).
fn initial_suite() -> Suite {
    TLS13_AES_128_GCM_SHA256
        .tls13()
        .and_then(|suite| suite.quic_suite())
        .expect("rustls with ring has AES-128-GCM for QUIC")
}

fn initial_keys(dst_cid: &ConnectionId, side: Side) -> crypto::Keys {
    boxed(initial_suite().keys(dst_cid, side.into(), Version::V1))
}

fn boxed(keys: Keys) -> crypto::Keys {
    crypto::Keys {
        header: KeyPair {
            local: Box::new(keys.local.header),
            remote: Box::new(keys.remote.header),
        },
        packet: KeyPair {
            local: Box::new(keys.local.packet),
            remote: Box::new(keys.remote.packet),
        },
    }
}

/// The tag of a retry packet, whose bytes are `parts` (RFC 9001, section 5.8). `None` if they are
/// more than AES-GCM authenticates, which no datagram is.
fn retry_tag(orig_dst_cid: &ConnectionId, parts: &[&[u8]]) -> Option<[u8; RETRY_TAG_BYTES]> {
    let mut pseudo_packet = Vec::new();
    // Ids have at most 20 bytes (RFC 9000, section 17.2).
    pseudo_packet.push(u8::try_from(orig_dst_cid.len()).unwrap_or(u8::MAX));
    pseudo_packet.extend_from_slice(orig_dst_cid);
    for part in parts {
        pseudo_packet.extend_from_slice(part);
    }
    let key = aead::UnboundKey::new(&aead::AES_128_GCM, &RETRY_KEY).ok()?;
    let nonce = aead::Nonce::assume_unique_for_key(RETRY_NONCE);
    let sealed = aead::LessSafeKey::new(key)
        .seal_in_place_separate_tag(nonce, aead::Aad::from(pseudo_packet), &mut [])
        .ok()?;
    sealed.as_ref().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_has_the_tag_of_rfc_9001_appendix_a_4() {
        let packet = [
            0xff, 0, 0, 0, 1, 0, 8, 0xf0, 0x67, 0xa5, 0x50, 0x2a, 0x42, 0x62, 0xb5, 0x74, 0x6f,
            0x6b, 0x65, 0x6e,
        ];
        let id = ConnectionId::new(&[0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08]);
        let tag = [
            0x04, 0xa2, 0x65, 0xba, 0x2e, 0xff, 0x4d, 0x82, 0x90, 0x58, 0xfb, 0x3f, 0x0f, 0x24,
            0x96, 0xba,
        ];
        assert_eq!(retry_tag(&id, &[&packet]), Some(tag));
    }
}
