//! [`TlsIdentity`]: the certificate of a node, and its key.

use std::sync::Arc;

use super::certificate::{self, CertificateKey};
use super::engine::config::Base;
use super::engine::signer::CertificateSigner;
use crate::identity::{Identity, IdentityError, PeerId};
use crate::rng::Seed;

/// The certificate of a node, with its key. Immutable; cloning shares it.
///
/// One for the life of an identity, so that no handshake makes a key or signs with the identity.
#[derive(Clone)]
pub struct TlsIdentity(Arc<Inner>);

struct Inner {
    peer_id: PeerId,
    base: Base,
}

impl TlsIdentity {
    /// Makes the certificate of `identity`. Its key and serial number follow from the child
    /// `tls-certificate` of `seed`, and so does every byte of it.
    ///
    /// Signs once with the identity key, which only RSA can fail to do; with an RSA key `ring`
    /// draws blinding from the operating system, on which the signature does not depend.
    pub fn new(identity: &Identity, seed: &Seed) -> Result<TlsIdentity, IdentityError> {
        let mut rng = seed.derive("tls-certificate", 0).rng();
        let key = CertificateKey::new(&mut rng);
        let certificate = certificate::make(identity.keypair(), &key, &mut rng)
            .map_err(|_| IdentityError::of_signing(identity.keypair()))?;
        Ok(TlsIdentity::with_certificate(identity.peer_id(), certificate, key))
    }

    /// One that shows this certificate, in DER, and signs with this key.
    pub(super) fn with_certificate(
        peer_id: PeerId,
        certificate: Vec<u8>,
        key: CertificateKey,
    ) -> TlsIdentity {
        let base = Base::new(certificate, CertificateSigner(key.into_signing()));
        TlsIdentity(Arc::new(Inner { peer_id, base }))
    }

    /// The peer id that the certificate vouches for.
    pub fn peer_id(&self) -> PeerId {
        self.0.peer_id
    }

    /// The certificate, in DER.
    pub fn certificate(&self) -> &[u8] {
        self.0.base.certificate()
    }

    /// What configurations are made from.
    pub(super) fn base(&self) -> &Base {
        &self.0.base
    }
}

impl core::fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "TlsIdentity({})", self.0.peer_id)
    }
}
