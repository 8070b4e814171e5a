//! The records that follow the handshake: a ciphertext and its tag, at most 65,535 bytes.
//!
//! An idle connection keeps its two keys and nonces, 80 bytes; `ring` sets up ChaCha20-Poly1305 for
//! each record, which costs nothing against the record itself.
//!
//! Specifications: [noise, Wire Format](https://github.com/libp2p/specs/blob/master/noise/README.md#wire-format)
//! and [the Noise framework, 5.1 and 12.3](https://noiseprotocol.org/noise.html#chachapoly-cipher-functions).

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The longest record, in bytes, without its length prefix.
pub const MAX_RECORD_BYTES: usize = 65_535;

/// The tag at the end of each record, in bytes.
pub const TAG_BYTES: usize = 16;

/// The longest plaintext of one record, in bytes.
pub const MAX_PLAINTEXT_BYTES: usize = MAX_RECORD_BYTES - TAG_BYTES;

/// Why a record was not sealed or opened. The nonce has not moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordError {
    /// The record has fewer bytes than its tag. Its length.
    TooShort(usize),
    /// The plaintext or the record is longer than allowed. Its length, in bytes.
    TooLong(usize),
    /// The record is not authentic: changed, replayed, out of order or not from this connection.
    Forged,
    /// 2^64 - 1 records have passed; the last nonce is never used. The connection must end.
    Exhausted,
}

/// Encrypts what we send.
pub struct Sealer(CipherState);

/// Decrypts what we receive.
pub struct Opener(CipherState);

/// A key, wiped when dropped, and the nonce of the next record.
struct CipherState {
    key: Zeroizing<[u8; 32]>,
    nonce: u64,
}

impl Sealer {
    /// Seals with `key`, from nonce 0.
    pub fn new(key: [u8; 32]) -> Self {
        Sealer(CipherState { key: Zeroizing::new(key), nonce: 0 })
    }

    /// Encrypts `in_out` in place and returns the tag that follows it. At most
    /// [`MAX_PLAINTEXT_BYTES`]; with an error, `in_out` is as it was.
    pub fn seal(&mut self, in_out: &mut [u8]) -> Result<[u8; TAG_BYTES], RecordError> {
        if in_out.len() > MAX_PLAINTEXT_BYTES {
            return Err(RecordError::TooLong(in_out.len()));
        }
        let next = self.0.next_nonce()?;
        let tag = self
            .0
            .cipher()?
            .seal_in_place_separate_tag(self.0.ring_nonce(), Aad::empty(), in_out)
            // ring refuses plaintexts from 256 GiB only.
            .map_err(|ring::error::Unspecified| RecordError::TooLong(in_out.len()))?;
        self.0.nonce = next;
        let mut bytes = [0; TAG_BYTES];
        bytes.copy_from_slice(tag.as_ref());
        Ok(bytes)
    }
}

impl Opener {
    /// Opens with `key`, from nonce 0.
    pub fn new(key: [u8; 32]) -> Self {
        Opener(CipherState { key: Zeroizing::new(key), nonce: 0 })
    }

    /// Decrypts `record`, a ciphertext and its tag, in place: the plaintext is at its front, and
    /// its length is returned. With [`RecordError::Forged`] the content of `record` is
    /// unspecified, and the nonce has not moved.
    pub fn open(&mut self, record: &mut [u8]) -> Result<usize, RecordError> {
        if record.len() < TAG_BYTES {
            return Err(RecordError::TooShort(record.len()));
        }
        if record.len() > MAX_RECORD_BYTES {
            return Err(RecordError::TooLong(record.len()));
        }
        let next = self.0.next_nonce()?;
        let length = self
            .0
            .cipher()?
            .open_in_place(self.0.ring_nonce(), Aad::empty(), record)
            .map_err(|ring::error::Unspecified| RecordError::Forged)?
            .len();
        self.0.nonce = next;
        Ok(length)
    }
}

impl CipherState {
    /// The nonce after this one, or an error when this is the last, which Noise reserves.
    fn next_nonce(&self) -> Result<u64, RecordError> {
        self.nonce.checked_add(1).ok_or(RecordError::Exhausted)
    }

    fn cipher(&self) -> Result<LessSafeKey, RecordError> {
        UnboundKey::new(&CHACHA20_POLY1305, &*self.key)
            .map(LessSafeKey::new)
            // ring refuses keys that are not of 32 bytes only.
            .map_err(|ring::error::Unspecified| RecordError::Exhausted)
    }

    /// 32 zero bits, then the nonce in little-endian (Noise, 12.3).
    fn ring_nonce(&self) -> Nonce {
        let mut bytes = [0; 12];
        bytes[4..].copy_from_slice(&self.nonce.to_le_bytes());
        Nonce::assume_unique_for_key(bytes)
    }
}

impl core::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Sealer").field("nonce", &self.0.nonce).finish_non_exhaustive()
    }
}

impl core::fmt::Debug for Opener {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Opener").field("nonce", &self.0.nonce).finish_non_exhaustive()
    }
}

impl core::fmt::Display for RecordError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            RecordError::TooShort(length) => {
                write!(f, "noise record of {length} bytes, fewer than its tag")
            }
            RecordError::TooLong(length) => write!(f, "{length} bytes do not fit a noise record"),
            RecordError::Forged => f.write_str("noise record is not authentic"),
            RecordError::Exhausted => f.write_str("noise nonces are exhausted"),
        }
    }
}

impl core::error::Error for RecordError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: [u8; 32] = [7; 32];

    fn sealed(sealer: &mut Sealer, plaintext: &[u8]) -> Vec<u8> {
        let mut record = plaintext.to_vec();
        let tag = sealer.seal(&mut record).unwrap();
        record.extend_from_slice(&tag);
        record
    }

    #[test]
    fn records_shorter_than_the_tag_are_errors_before_any_assertion() {
        let mut opener = Opener::new(KEY);
        for length in 0..TAG_BYTES {
            assert_eq!(opener.open(&mut vec![0; length]), Err(RecordError::TooShort(length)));
        }
        assert_eq!(opener.open(&mut [0; TAG_BYTES]), Err(RecordError::Forged));
        assert_eq!(opener.0.nonce, 0);
    }

    #[test]
    fn rustsec_2024_0011_the_nonce_does_not_move_when_a_record_is_forged() {
        let (mut sealer, mut opener) = (Sealer::new(KEY), Opener::new(KEY));
        let mut first = sealed(&mut sealer, b"first");
        let mut forged = first.clone();
        forged[0] ^= 1;
        for _ in 0..3 {
            assert_eq!(opener.open(&mut forged.clone()), Err(RecordError::Forged));
            assert_eq!(opener.0.nonce, 0);
        }
        assert_eq!(opener.open(&mut first), Ok(5));
        assert_eq!(&first[..5], b"first");
        assert_eq!(opener.0.nonce, 1);
    }

    #[test]
    fn the_last_nonce_is_never_used() {
        let (mut sealer, mut opener) = (Sealer::new(KEY), Opener::new(KEY));
        sealer.0.nonce = u64::MAX - 1;
        opener.0.nonce = u64::MAX - 1;
        let mut last = sealed(&mut sealer, b"last");
        assert_eq!(opener.open(&mut last), Ok(4));
        let mut data = *b"more";
        assert_eq!(sealer.seal(&mut data), Err(RecordError::Exhausted));
        assert_eq!(&data, b"more");
        assert_eq!(opener.open(&mut [0; 20]), Err(RecordError::Exhausted));
        assert_eq!((sealer.0.nonce, opener.0.nonce), (u64::MAX, u64::MAX));
    }

    #[test]
    fn the_longest_plaintext_fits_and_one_byte_more_does_not() {
        let (mut sealer, mut opener) = (Sealer::new(KEY), Opener::new(KEY));
        let mut record = sealed(&mut sealer, &vec![1; MAX_PLAINTEXT_BYTES]);
        assert_eq!(record.len(), MAX_RECORD_BYTES);
        assert_eq!(opener.open(&mut record), Ok(MAX_PLAINTEXT_BYTES));
        let mut long = vec![1; MAX_PLAINTEXT_BYTES + 1];
        assert_eq!(sealer.seal(&mut long), Err(RecordError::TooLong(MAX_PLAINTEXT_BYTES + 1)));
        let mut long = vec![1; MAX_RECORD_BYTES + 1];
        assert_eq!(opener.open(&mut long), Err(RecordError::TooLong(MAX_RECORD_BYTES + 1)));
    }

    #[test]
    fn replayed_and_reordered_records_are_forged() {
        let (mut sealer, mut opener) = (Sealer::new(KEY), Opener::new(KEY));
        let first = sealed(&mut sealer, b"1");
        let second = sealed(&mut sealer, b"2");
        assert_eq!(opener.open(&mut second.clone()), Err(RecordError::Forged));
        assert_eq!(opener.open(&mut first.clone()), Ok(1));
        assert_eq!(opener.open(&mut first.clone()), Err(RecordError::Forged));
        assert_eq!(opener.open(&mut second.clone()), Ok(1));
    }

    #[test]
    fn debug_output_hides_the_key() {
        assert_eq!(format!("{:?}", Sealer::new(KEY)), "Sealer { nonce: 0, .. }");
    }

    proptest! {
        #[test]
        fn one_flipped_bit_is_forged(
            plaintext in proptest::collection::vec(any::<u8>(), 0..300),
            bit: proptest::sample::Index,
        ) {
            let mut record = sealed(&mut Sealer::new(KEY), &plaintext);
            let bit = bit.index(record.len() * 8);
            record[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Opener::new(KEY).open(&mut record), Err(RecordError::Forged));
        }
    }
}
