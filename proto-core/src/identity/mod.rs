//! Who a node is: its libp2p key pair, the peer id that follows from it, and the Noise key that
//! the key pair signed.
//!
//! [`PeerId`], [`PublicKey`] and [`Keypair`] are those of `libp2p-identity`, shared with
//! rust-libp2p. What comes from a remote or a file goes through [`decode_public_key`] and
//! [`decode_private_key`], which bound it first.
//!
//! A key pair is always whole: nothing here signs with a secret key and a public key that were
//! given separately (RUSTSEC-2022-0093).
//!
//! Specification: [peer-ids](https://github.com/libp2p/specs/blob/master/peer-ids/peer-ids.md).

mod keys;

use std::sync::Arc;

pub use libp2p_identity::{Keypair, PeerId, PublicKey};
use zeroize::Zeroizing;

pub use self::keys::{
    KeyError, KeyKind, MAX_PRIVATE_KEY_BYTES, MAX_PUBLIC_KEY_BYTES, MAX_RSA_BITS, MIN_RSA_BITS,
    decode_private_key, decode_public_key, encode_private_key,
};
use crate::noise::NoiseKeys;
use crate::rng::Seed;

/// The identity of a node. Immutable; cloning shares it.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

struct Inner {
    keypair: Keypair,
    public_key: PublicKey,
    peer_id: PeerId,
    noise_keys: NoiseKeys,
}

/// Why a key pair did not become an [`Identity`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityError {
    /// It could not sign. Only RSA can fail so.
    Signing(KeyKind),
}

impl Identity {
    /// The identity of `keypair`, with the Noise static key that is derived from `seed`.
    ///
    /// Signs once, so that no handshake has to. With an RSA key `ring` draws blinding from the
    /// operating system; the signature does not depend on it.
    pub fn new(keypair: Keypair, seed: &Seed) -> Result<Identity, IdentityError> {
        let noise_keys =
            NoiseKeys::new(&keypair, seed).map_err(|_| IdentityError::of_signing(&keypair))?;
        let public_key = keypair.public();
        let peer_id = public_key.to_peer_id();
        Ok(Identity(Arc::new(Inner { keypair, public_key, peer_id, noise_keys })))
    }

    /// A new Ed25519 identity, made from `seed`: the same seed gives the same peer id.
    pub fn ed25519(seed: &Seed) -> Identity {
        let mut secret = Zeroizing::new(*seed.derive("identity", 0).expose());
        let keypair = Keypair::ed25519_from_bytes(secret.as_mut_slice())
            .expect("any 32 bytes are an Ed25519 secret key (RFC 8032, section 5.1.5)");
        Identity::new(keypair, seed).expect("signing with Ed25519 does not fail")
    }

    /// The peer id.
    pub fn peer_id(&self) -> PeerId {
        self.0.peer_id
    }

    /// The public key.
    pub fn public_key(&self) -> &PublicKey {
        &self.0.public_key
    }

    /// The key pair, for signing records and messages.
    pub fn keypair(&self) -> &Keypair {
        &self.0.keypair
    }

    /// The Noise static key and its signature.
    pub fn noise_keys(&self) -> &NoiseKeys {
        &self.0.noise_keys
    }
}

impl IdentityError {
    /// The error of `keypair`, which did not sign.
    pub(crate) fn of_signing(keypair: &Keypair) -> Self {
        IdentityError::Signing(KeyKind::of(keypair))
    }
}

impl core::fmt::Debug for Identity {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Identity({})", self.0.peer_id)
    }
}

impl core::fmt::Display for IdentityError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            IdentityError::Signing(kind) => write!(f, "the {kind} key could not sign"),
        }
    }
}

impl core::error::Error for IdentityError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_identity() {
        let (one, two) =
            (Identity::ed25519(&Seed::from_u64(1)), Identity::ed25519(&Seed::from_u64(2)));
        assert_eq!(one.peer_id(), Identity::ed25519(&Seed::from_u64(1)).peer_id());
        assert_ne!(one.peer_id(), two.peer_id());
        assert_ne!(one.noise_keys().public(), two.noise_keys().public());
        assert_eq!(one.peer_id(), one.public_key().to_peer_id());
    }

    #[test]
    fn debug_output_shows_the_peer_id_and_no_secret() {
        let identity = Identity::ed25519(&Seed::from_u64(1));
        assert_eq!(format!("{identity:?}"), format!("Identity({})", identity.peer_id()));
        assert_eq!(format!("{:?}", identity.noise_keys()), "NoiseKeys(..)");
    }
}
