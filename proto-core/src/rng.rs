//! Randomness as an input: one 32-byte [`Seed`], and children derived from it by label.
//!
//! A child depends on its parent's seed, a label and an id, never on how many draws came before,
//! so that a machine added here does not change the bytes that another one sends there.

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng};
use sha2::{Digest, Sha256};

/// A secret 32-byte seed. Its `Debug` output does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Seed([u8; 32]);

impl Seed {
    /// A seed of these bytes. A driver draws them from the operating system; a test names them.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Seed(bytes)
    }

    /// A seed for tests and simulations: `number` in little-endian, then zeros.
    pub fn from_u64(number: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        Seed(bytes)
    }

    /// The seed of the child `label`, number `id`: SHA-256 over a domain, the parent, the label
    /// with its length, and the id.
    pub fn derive(&self, label: &str, id: u64) -> Seed {
        let mut hash = Sha256::new();
        hash.update(b"sanspeer-seed-v1");
        hash.update(self.0);
        hash.update((label.len() as u64).to_le_bytes());
        hash.update(label.as_bytes());
        hash.update(id.to_le_bytes());
        Seed(hash.finalize().into())
    }

    /// The generator of this seed, at its start.
    pub fn rng(&self) -> Rng {
        Rng(ChaCha20Rng::from_seed(self.0))
    }

    /// The seed itself, where it serves as key material.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl core::fmt::Debug for Seed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Seed(..)")
    }
}

/// ChaCha20 as a generator: the same seed gives the same draws on every machine.
#[derive(Clone)]
pub struct Rng(ChaCha20Rng);

impl Rng {
    /// Fills `dest`.
    pub fn fill(&mut self, dest: &mut [u8]) {
        self.0.fill_bytes(dest);
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// A number from the whole range.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number from the whole range.
    pub fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }
}

impl core::fmt::Debug for Rng {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Rng(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_depend_on_parent_label_and_id_only() {
        let parent = Seed::from_u64(7);
        let mut before = parent.rng();
        before.next_u64();
        assert_eq!(parent.derive("noise", 1), parent.derive("noise", 1));
        assert_ne!(parent.derive("noise", 1), parent.derive("noise", 2));
        assert_ne!(parent.derive("noise", 1), parent.derive("yamux", 1));
        assert_ne!(parent.derive("noise", 1), Seed::from_u64(8).derive("noise", 1));
    }

    #[test]
    fn a_seed_gives_the_same_draws_on_every_machine() {
        // The ChaCha20 key stream of the zero key and nonce (RFC 8439, appendix A.1, vector 1).
        assert_eq!(
            Seed::new([0; 32]).rng().bytes::<8>(),
            [0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90]
        );
    }

    #[test]
    fn debug_output_hides_the_seed() {
        assert_eq!(format!("{:?}", Seed::from_u64(0x41)), "Seed(..)");
    }
}
