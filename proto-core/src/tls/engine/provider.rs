//! The primitives that rustls runs on: ring's ciphers, hashes and signature checks; randomness and
//! X25519 from the [`SeedScope`](super::seed_scope::SeedScope).

use std::sync::Arc;

use curve25519_dalek::MontgomeryPoint;
use rustls::crypto::ring::{cipher_suite, default_provider};
use rustls::crypto::{
    ActiveKeyExchange, CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, SharedSecret,
    SupportedKxGroup,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::SigningKey;
use rustls::{Error, NamedGroup, PeerMisbehaved};
use zeroize::Zeroizing;

use super::seed_scope;

const KEY_BYTES: usize = 32;

/// A provider for TLS 1.3, over bytes and inside QUIC. Every draw comes from the seed scope.
///
/// The order of the suites is that of preference, and does not depend on the machine, since it is
/// in the first message.
pub(in crate::tls) fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![&X25519],
        signature_verification_algorithms: default_provider().signature_verification_algorithms,
        secure_random: &Draws,
        key_provider: &NoKeys,
    })
}

/// Randomness from the seed scope.
#[derive(Debug)]
struct Draws;

impl SecureRandom for Draws {
    fn fill(&self, dest: &mut [u8]) -> Result<(), GetRandomFailed> {
        seed_scope::draw(dest).map_err(|seed_scope::NoScope| GetRandomFailed)
    }
}

/// Loads no keys: ours come as a resolver.
#[derive(Debug)]
struct NoKeys;

impl KeyProvider for NoKeys {
    fn load_private_key(&self, _: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        Err(Error::General("keys are not loaded from DER".to_owned()))
    }
}

/// X25519 (RFC 7748, section 5; RFC 8446, section 7.4.2).
#[derive(Debug)]
struct X25519;

impl SupportedKxGroup for X25519 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut secret = Zeroizing::new([0; KEY_BYTES]);
        seed_scope::draw(secret.as_mut_slice())
            .map_err(|seed_scope::NoScope| Error::FailedToGetRandomBytes)?;
        let public = MontgomeryPoint::mul_base_clamped(*secret).to_bytes();
        Ok(Box::new(KeyShare { secret, public }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

/// Our half of one key exchange. The secret is wiped when it is dropped.
struct KeyShare {
    secret: Zeroizing<[u8; KEY_BYTES]>,
    public: [u8; KEY_BYTES],
}

impl ActiveKeyExchange for KeyShare {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let refused = Error::PeerMisbehaved(PeerMisbehaved::InvalidKeyShare);
        let Ok(peer) = <[u8; KEY_BYTES]>::try_from(peer) else { return Err(refused) };
        let shared = Zeroizing::new(MontgomeryPoint(peer).mul_clamped(*self.secret).to_bytes());
        // A point of low order gives zero whatever our secret is (RFC 7748, section 6.1).
        if shared.iter().fold(0, |all, byte| all | byte) == 0 {
            return Err(refused);
        }
        Ok(SharedSecret::from(shared.as_slice()))
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

#[cfg(test)]
mod tests {
    use super::super::seed_scope::SeedScope;
    use super::*;
    use crate::rng::Seed;

    #[test]
    fn both_halves_of_a_key_exchange_give_the_same_secret() {
        let mut rng = Seed::from_u64(1).rng();
        let _scope = SeedScope::enter(&mut rng);
        let (ours, theirs) = (X25519.start().unwrap(), X25519.start().unwrap());
        let (our_share, their_share) = (ours.pub_key().to_vec(), theirs.pub_key().to_vec());
        assert_ne!(our_share, their_share);
        let secret = ours.complete(&their_share).unwrap();
        assert_eq!(secret.secret_bytes(), theirs.complete(&our_share).unwrap().secret_bytes());
    }

    #[test]
    fn key_shares_of_low_order_or_of_another_length_are_refused() {
        let mut rng = Seed::from_u64(1).rng();
        let _scope = SeedScope::enter(&mut rng);
        let mut one = [0; KEY_BYTES];
        one[0] = 1;
        for share in [&[0; KEY_BYTES][..], &one, &[9; 31], &[9; 33], &[]] {
            assert!(X25519.start().unwrap().complete(share).is_err());
        }
    }

    #[test]
    fn nothing_is_drawn_outside_of_a_scope() {
        let provider = provider();
        assert!(provider.secure_random.fill(&mut [0; 4]).is_err());
        for group in &provider.kx_groups {
            assert_eq!(group.start().err(), Some(Error::FailedToGetRandomBytes));
        }
    }
}
