//! [`Pattern`]: what an echo carries.

use sanspeer_core::rng::{Rng, Seed};
use sha2::{Digest as _, Sha256};

/// What is made at once, in bytes.
const BLOCK_BYTES: usize = 64 * 1024;

/// The key stream of ChaCha20 for a stream's number. It does not repeat, so that a byte tells by its
/// neighbours where it belongs; one that is lost, twice there, or in another place is found.
pub struct Pattern {
    rng: Rng,
    /// [`BLOCK_BYTES`], of which those from `at` on are not used.
    block: Vec<u8>,
    at: usize,
    position: u64,
    hash: Sha256,
}

/// Where what came first differs from the pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Bytes before it.
    pub position: u64,
}

impl Pattern {
    /// The pattern of stream `number`, from its start.
    pub fn new(number: u64) -> Self {
        let rng = Seed::from_u64(number).derive("interop echo", 0).rng();
        Pattern {
            rng,
            block: vec![0; BLOCK_BYTES],
            at: BLOCK_BYTES,
            position: 0,
            hash: Sha256::new(),
        }
    }

    /// The next bytes: at least one and at most `max`, unless that is 0.
    pub fn take(&mut self, max: u64) -> &[u8] {
        if self.at == BLOCK_BYTES {
            self.rng.fill(&mut self.block);
            self.at = 0;
        }
        let left = BLOCK_BYTES - self.at;
        let length = usize::try_from(max).map_or(left, |max| max.min(left));
        let taken = &self.block[self.at..self.at + length];
        self.hash.update(taken);
        self.at += length;
        self.position += length as u64;
        taken
    }

    /// Compares what came with the next bytes.
    pub fn check(&mut self, mut came: &[u8]) -> Result<(), Mismatch> {
        while !came.is_empty() {
            let before = self.position;
            let expected = self.take(came.len() as u64);
            let (head, tail) = came.split_at(expected.len());
            if head != expected {
                let same = head.iter().zip(expected).take_while(|(a, b)| a == b).count();
                return Err(Mismatch { position: before + same as u64 });
            }
            came = tail;
        }
        Ok(())
    }

    /// How many bytes were taken or compared.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Their SHA-256.
    pub fn sha256(self) -> [u8; 32] {
        self.hash.finalize().into()
    }
}

impl core::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "byte {} came back as another", self.position)
    }
}

impl core::error::Error for Mismatch {}

impl core::fmt::Debug for Pattern {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Pattern({} bytes)", self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(number: u64, bytes: usize) -> Vec<u8> {
        let (mut pattern, mut whole) = (Pattern::new(number), Vec::new());
        while whole.len() < bytes {
            whole.extend_from_slice(pattern.take((bytes - whole.len()) as u64));
        }
        whole
    }

    #[test]
    fn pieces_of_any_size_are_the_same_bytes() {
        let bytes = whole(1, 3 * BLOCK_BYTES + 5);
        for size in [1, 3, 1000, BLOCK_BYTES - 1, BLOCK_BYTES + 1] {
            let mut pattern = Pattern::new(1);
            bytes.chunks(size).for_each(|piece| pattern.check(piece).expect("the same bytes"));
            assert_eq!(pattern.position(), bytes.len() as u64);
            assert_eq!(pattern.sha256(), <[u8; 32]>::from(Sha256::digest(&bytes)));
        }
    }

    #[test]
    fn what_differs_is_found_where_it_is() {
        let bytes = whole(1, 2 * BLOCK_BYTES);
        let mut changed = bytes.clone();
        changed[BLOCK_BYTES + 7] ^= 1;
        let position = BLOCK_BYTES as u64 + 7;
        assert_eq!(Pattern::new(1).check(&changed), Err(Mismatch { position }));
        // A block twice, a byte lost, another stream's bytes.
        let twice = [&bytes[..BLOCK_BYTES], &bytes[..BLOCK_BYTES]].concat();
        assert!(Pattern::new(1).check(&twice).is_err());
        assert!(Pattern::new(1).check(&bytes[1..]).is_err());
        assert!(Pattern::new(2).check(&bytes).is_err());
    }
}
