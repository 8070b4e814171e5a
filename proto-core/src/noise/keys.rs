//! [`NoiseKeys`]: the static key of a node, and the proof that it belongs to the node's identity.

use curve25519_dalek::MontgomeryPoint;
use libp2p_identity::{Keypair, PublicKey, SigningError};
use prost::Message as _;
use zeroize::Zeroizing;

use super::payload::HandshakePayload;
use crate::rng::Seed;

/// What is signed, before the 32 bytes of the static key (noise, Static Key Authentication).
const SIGNATURE_PREFIX: &[u8; 24] = b"noise-libp2p-static-key:";

/// A Noise static key, signed by the identity of the node.
///
/// One for the life of an identity, so that a handshake neither makes a key nor signs.
pub struct NoiseKeys {
    secret: Zeroizing<[u8; 32]>,
    public: [u8; 32],
    payload: Vec<u8>,
}

impl NoiseKeys {
    /// Derives the static key from `seed` and signs it with `keypair`.
    pub(crate) fn new(keypair: &Keypair, seed: &Seed) -> Result<NoiseKeys, SigningError> {
        let secret = Zeroizing::new(*seed.derive("noise-static", 0).expose());
        let public = MontgomeryPoint::mul_base_clamped(*secret).to_bytes();
        let payload = HandshakePayload {
            identity_key: Some(keypair.public().encode_protobuf()),
            identity_sig: Some(keypair.sign(&signed_bytes(&public))?),
            extensions: None,
        };
        Ok(NoiseKeys { secret, public, payload: payload.encode_to_vec() })
    }

    /// The public half, as the handshake carries it (RFC 7748, section 5).
    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// The secret half.
    pub(super) fn secret(&self) -> &[u8; 32] {
        &self.secret
    }

    /// The encoded handshake payload without extensions: identity key and signature.
    pub(super) fn payload(&self) -> &[u8] {
        &self.payload
    }
}

impl core::fmt::Debug for NoiseKeys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("NoiseKeys(..)")
    }
}

/// Whether `signature` shows that the holder of `identity` vouches for the Noise key `static_key`.
pub(super) fn verify(identity: &PublicKey, static_key: &[u8; 32], signature: &[u8]) -> bool {
    identity.verify(&signed_bytes(static_key), signature)
}

fn signed_bytes(static_key: &[u8; 32]) -> [u8; 56] {
    let mut bytes = [0; 56];
    bytes[..24].copy_from_slice(SIGNATURE_PREFIX);
    bytes[24..].copy_from_slice(static_key);
    bytes
}
