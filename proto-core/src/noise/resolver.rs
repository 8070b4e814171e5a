//! The primitives that `snow` runs on. Hash and cipher are its own; randomness is our seed's, and
//! the Diffie-Hellman knows the public half of our static key, which `snow` would compute anew at
//! each handshake.

use curve25519_dalek::MontgomeryPoint;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use zeroize::Zeroizing;

use super::keys::NoiseKeys;
use crate::rng::{Rng, Seed};

/// Gives `snow` what one handshake needs.
pub(super) struct Resolver {
    seed: Seed,
    static_key: KeyPair,
}

impl Resolver {
    /// The resolver of one handshake: its ephemeral key is the first draw from `seed`.
    pub(super) fn new(seed: Seed, keys: &NoiseKeys) -> Self {
        let static_key = KeyPair { secret: Zeroizing::new(*keys.secret()), public: *keys.public() };
        Resolver { seed, static_key }
    }
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Draws(self.seed.rng())))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        match choice {
            DHChoice::Curve25519 => Some(Box::new(X25519 {
                // What is there before `snow` sets or generates a key is never used, unless it
                // sets just this one, whose public half is then known.
                pair: self.static_key.clone(),
            })),
            DHChoice::Curve448 => None,
        }
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

/// Draws of one generator.
struct Draws(Rng);

impl Random for Draws {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), snow::Error> {
        self.0.fill(dest);
        Ok(())
    }
}

#[derive(Clone)]
struct KeyPair {
    secret: Zeroizing<[u8; 32]>,
    public: [u8; 32],
}

impl KeyPair {
    fn of(secret: [u8; 32]) -> Self {
        KeyPair {
            secret: Zeroizing::new(secret),
            public: MontgomeryPoint::mul_base_clamped(secret).to_bytes(),
        }
    }
}

/// X25519 (RFC 7748, section 5) on one key pair.
struct X25519 {
    pair: KeyPair,
}

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, privkey: &[u8]) {
        // `snow` hands on what its builder was given, 32 bytes of ours; anything else would leave
        // the key as it was.
        let Ok(secret) = <[u8; 32]>::try_from(privkey) else {
            debug_assert!(false, "a private key of {} bytes", privkey.len());
            return;
        };
        if secret != *self.pair.secret {
            self.pair = KeyPair::of(secret);
        }
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), snow::Error> {
        let mut secret = [0; 32];
        rng.try_fill_bytes(&mut secret)?;
        self.pair = KeyPair::of(secret);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.pair.public
    }

    fn privkey(&self) -> &[u8] {
        self.pair.secret.as_slice()
    }

    /// Refuses a result of all zeros, as go-libp2p does: such a public key has low order, and the
    /// result would not depend on our secret.
    fn dh(&self, pubkey: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        let point = pubkey.first_chunk::<32>().ok_or(snow::Error::Dh)?;
        let shared = MontgomeryPoint(*point).mul_clamped(*self.pair.secret).to_bytes();
        if shared == [0; 32] {
            return Err(snow::Error::Dh);
        }
        *out.first_chunk_mut::<32>().ok_or(snow::Error::Dh)? = shared;
        Ok(())
    }
}
