//! Unsigned varints as multiformats defines them: seven bits a byte, least significant first, at
//! most nine bytes (63 bits), and no longer than necessary.
//!
//! Specification: <https://github.com/multiformats/unsigned-varint>.

use serde::{Deserialize, Serialize};

/// The longest encoding, in bytes.
pub const MAX_VARINT_BYTES: usize = 9;

/// The largest value that has an encoding: 2^63 - 1.
pub const MAX_VARINT: u64 = u64::MAX >> 1;

/// What is wrong with a varint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VarintError {
    /// It goes on after [`MAX_VARINT_BYTES`].
    TooLong,
    /// Its last byte is zero, so a shorter encoding exists.
    NotMinimal,
}

impl core::fmt::Display for VarintError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            VarintError::TooLong => write!(f, "varint longer than {MAX_VARINT_BYTES} bytes"),
            VarintError::NotMinimal => f.write_str("varint not minimally encoded"),
        }
    }
}

impl core::error::Error for VarintError {}

/// Reads a varint from the front of `bytes`: its value and its length in bytes, or `None` when
/// more bytes are needed.
pub fn decode(bytes: &[u8]) -> Result<Option<(u64, usize)>, VarintError> {
    let mut value = 0u64;
    for (index, &byte) in bytes.iter().enumerate().take(MAX_VARINT_BYTES) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return if byte == 0 && index > 0 {
                Err(VarintError::NotMinimal)
            } else {
                Ok(Some((value, index + 1)))
            };
        }
    }
    if bytes.len() >= MAX_VARINT_BYTES { Err(VarintError::TooLong) } else { Ok(None) }
}

/// Writes `value` into `out` and returns the part that was used. Values above [`MAX_VARINT`] are
/// written as that: no length or count of ours comes near it.
pub fn encode(value: u64, out: &mut [u8; MAX_VARINT_BYTES]) -> &[u8] {
    let mut rest = value.min(MAX_VARINT);
    let mut length = 0;
    for slot in out.iter_mut() {
        length += 1;
        let low = (rest & 0x7f) as u8;
        rest >>= 7;
        if rest == 0 {
            *slot = low;
            break;
        }
        *slot = low | 0x80;
    }
    &out[..length]
}

/// How many bytes `value` takes.
pub fn encoded_len(value: u64) -> usize {
    let bits = (64 - value.min(MAX_VARINT).leading_zeros()).max(1);
    bits.div_ceil(7) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_vectors_of_the_specification_hold() {
        // Examples of the multiformats unsigned-varint README.
        let vectors: [(u64, &[u8]); 6] = [
            (1, &[0x01]),
            (127, &[0x7f]),
            (128, &[0x80, 0x01]),
            (255, &[0xff, 0x01]),
            (300, &[0xac, 0x02]),
            (16384, &[0x80, 0x80, 0x01]),
        ];
        for (value, bytes) in vectors {
            assert_eq!(decode(bytes), Ok(Some((value, bytes.len()))));
            assert_eq!(encode(value, &mut [0; 9]), bytes);
        }
    }

    #[test]
    fn nine_bytes_are_the_longest_and_the_last_is_not_zero() {
        let mut longest = [0xff; 9];
        longest[8] = 0x7f;
        assert_eq!(decode(&longest), Ok(Some((MAX_VARINT, 9))));
        assert_eq!(decode(&[0xff; 9]), Err(VarintError::TooLong));
        assert_eq!(decode(&[0xff; 10]), Err(VarintError::TooLong));
        assert_eq!(decode(&[0x81, 0x00]), Err(VarintError::NotMinimal));
        assert_eq!(decode(&[0x00]), Ok(Some((0, 1))));
        assert_eq!(decode(&[0xff; 8]), Ok(None));
        assert_eq!(decode(&[]), Ok(None));
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes(value in 0..=MAX_VARINT) {
            let mut buffer = [0; 9];
            let bytes = encode(value, &mut buffer);
            prop_assert_eq!(bytes.len(), encoded_len(value));
            prop_assert_eq!(decode(bytes), Ok(Some((value, bytes.len()))));
        }
    }
}
