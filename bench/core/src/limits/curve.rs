//! The curve operations that one handshake needs at both ends together, and a
//! whole Noise XX handshake by snow.

use std::hint::black_box;

use anyhow::{Result, anyhow, ensure};
use libp2p_identity::{Keypair, PublicKey};
use snow::Builder;
use snow::resolvers::DefaultResolver;

use crate::meter::{Cost, Meter};

const NOISE_XX: &str = "Noise_XX_25519_ChaChaPoly_SHA256";

/// What an identity signs: the Noise static key after this.
const STATIC_KEY_DOMAIN: &[u8] = b"noise-libp2p-static-key:";

/// Length of libp2p's identity payload with an Ed25519 key: the key's and the
/// signature's protobuf fields.
const IDENTITY_PAYLOAD_BYTES: usize = 38 + 66;

/// Curve25519 arithmetic by one version of curve25519-dalek.
pub trait Curve {
    const NAME: &'static str;
    fn public_key(secret: [u8; 32]) -> [u8; 32];
    fn shared_secret(secret: [u8; 32], public_key: [u8; 32]) -> [u8; 32];
}

macro_rules! curve {
    ($curve:ident, $package:ident, $name:literal) => {
        pub struct $curve;

        impl Curve for $curve {
            const NAME: &'static str = $name;

            fn public_key(secret: [u8; 32]) -> [u8; 32] {
                $package::montgomery::MontgomeryPoint::mul_base_clamped(secret).to_bytes()
            }

            fn shared_secret(secret: [u8; 32], public_key: [u8; 32]) -> [u8; 32] {
                $package::montgomery::MontgomeryPoint(public_key).mul_clamped(secret).to_bytes()
            }
        }
    };
}

curve!(Dalek4, curve25519_dalek_4, "curve25519-dalek 4 (as snow)");
curve!(Dalek5, curve25519_dalek_5, "curve25519-dalek 5 (as libp2p-noise)");

/// The operations of `count` handshakes by `C`, both ends: 2 ephemeral keys, 6
/// agreements (ee, es and se, each at either end) and 2 signatures verified.
pub fn bare_operations<C: Curve>(count: u64) -> Result<Cost> {
    let signed = Signed::new()?;
    let (secret, peer_secret) = ([7; 32], [9; 32]);
    let (public_key, peer_key) = (C::public_key(secret), C::public_key(peer_secret));
    ensure!(
        C::shared_secret(secret, peer_key) == C::shared_secret(peer_secret, public_key),
        "the two ends disagree"
    );
    let meter = Meter::start();
    for _ in 0..count {
        for _ in 0..2 {
            black_box(C::public_key(black_box(secret)));
        }
        for _ in 0..6 {
            black_box(C::shared_secret(black_box(secret), black_box(peer_key)));
        }
        signed.verify_twice()?;
    }
    Ok(meter.stop())
}

/// Whole XX handshakes by snow with its default resolver, in memory and without
/// libp2p's framing, up to both ends' transport keys; `with_signatures` adds
/// the two verifications.
///
/// snow computes the public half of each static key anew, so this has two
/// multiplications more than [`bare_operations`].
pub fn snow_pairs(count: u64, with_signatures: bool) -> Result<Cost> {
    let signed = Signed::new()?;
    let identity = [0; IDENTITY_PAYLOAD_BYTES];
    let (mut message, mut payload) = ([0; 512], [0; 512]);
    let builder = |secret| {
        Builder::with_resolver(NOISE_XX.parse()?, Box::new(DefaultResolver))
            .local_private_key(secret)
    };
    let meter = Meter::start();
    for _ in 0..count {
        let mut dialer = builder(&[7; 32])?.build_initiator()?;
        let mut listener = builder(&[9; 32])?.build_responder()?;
        let len = dialer.write_message(&[], &mut message)?;
        listener.read_message(&message[..len], &mut payload)?;
        let len = listener.write_message(&identity, &mut message)?;
        dialer.read_message(&message[..len], &mut payload)?;
        let len = dialer.write_message(&identity, &mut message)?;
        listener.read_message(&message[..len], &mut payload)?;
        black_box((dialer.into_transport_mode()?, listener.into_transport_mode()?));
        if with_signatures {
            signed.verify_twice()?;
        }
    }
    Ok(meter.stop())
}

struct Signed {
    key: PublicKey,
    message: Vec<u8>,
    signature: Vec<u8>,
}

impl Signed {
    fn new() -> Result<Self> {
        let identity = Keypair::generate_ed25519();
        let message = [STATIC_KEY_DOMAIN, &[5; 32]].concat();
        let signature = identity.sign(&message)?;
        Ok(Self { key: identity.public(), message, signature })
    }

    /// Once for each end of a handshake.
    fn verify_twice(&self) -> Result<()> {
        for _ in 0..2 {
            let valid = self.key.verify(black_box(&self.message), &self.signature);
            valid.then_some(()).ok_or_else(|| anyhow!("a good signature does not verify"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_runs() -> Result<()> {
        bare_operations::<Dalek4>(1)?;
        bare_operations::<Dalek5>(1)?;
        snow_pairs(1, false)?;
        snow_pairs(1, true)?;
        Ok(())
    }

    #[test]
    fn both_versions_compute_the_same() {
        assert_eq!(Dalek4::public_key([3; 32]), Dalek5::public_key([3; 32]));
    }
}
