//! Keys in the protobuf encoding of the peer-id specification, bounded before they are built.
//!
//! Specification: [peer-ids, Keys](https://github.com/libp2p/specs/blob/master/peer-ids/peer-ids.md#keys).

use libp2p_identity::{KeyType, Keypair, PublicKey, ecdsa, ed25519, rsa, secp256k1};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::protobuf::{Fields, Malformed, Value};

/// The longest encoded public key that is looked at, in bytes. An RSA key of [`MAX_RSA_BITS`]
/// takes 1,067.
pub const MAX_PUBLIC_KEY_BYTES: usize = 2_048;

/// The longest encoded private key that is looked at, in bytes. An RSA key of 4,096 bits, the
/// largest that can sign, takes about 2,355.
pub const MAX_PRIVATE_KEY_BYTES: usize = 8_192;

/// The largest RSA modulus, in bits. The work of a verification grows with its square
/// (CVE-2023-39533).
pub const MAX_RSA_BITS: usize = 8_192;

/// The smallest RSA modulus, in bits: below it no signature verifies, in go-libp2p neither.
pub const MIN_RSA_BITS: usize = 2_048;

/// A type of key. The numbers of the wire are those of `KeyType` in the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyKind {
    /// RSA; verified, never made.
    Rsa,
    /// Ed25519; what we make.
    Ed25519,
    /// ECDSA over secp256k1; verified, never made.
    Secp256k1,
    /// ECDSA over P-256; verified, never made.
    Ecdsa,
}

/// What is wrong with an encoded key. Holds nothing of the key itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyError {
    /// The encoding is longer than what is looked at.
    TooLong {
        /// Its length, in bytes.
        length: usize,
        /// The longest allowed, in bytes.
        max: usize,
    },
    /// It is no protobuf key message with a type and data.
    Malformed,
    /// It has a type that the specification does not know.
    UnknownType(u64),
    /// Its data is no key of its type, or the public part does not belong to the private one.
    Invalid(KeyKind),
    /// It is an RSA key of this many bits, outside [`MIN_RSA_BITS`] to [`MAX_RSA_BITS`].
    RsaBits(usize),
    /// A private key of this type has no encoding here.
    NotEncodable(KeyKind),
}

impl KeyKind {
    pub(crate) fn of(keypair: &Keypair) -> KeyKind {
        match keypair.key_type() {
            KeyType::RSA => KeyKind::Rsa,
            KeyType::Ed25519 => KeyKind::Ed25519,
            KeyType::Secp256k1 => KeyKind::Secp256k1,
            KeyType::Ecdsa => KeyKind::Ecdsa,
        }
    }
}

/// Decodes a public key of a remote: at most [`MAX_PUBLIC_KEY_BYTES`], RSA from [`MIN_RSA_BITS`]
/// to [`MAX_RSA_BITS`]. Both are checked before anything is built or computed.
pub fn decode_public_key(bytes: &[u8]) -> Result<PublicKey, KeyError> {
    let (kind, data) = split(bytes, MAX_PUBLIC_KEY_BYTES)?;
    let invalid = |_| KeyError::Invalid(kind);
    match kind {
        KeyKind::Ed25519 => {
            ed25519::PublicKey::try_from_bytes(data).map(Into::into).map_err(invalid)
        }
        KeyKind::Secp256k1 => {
            secp256k1::PublicKey::try_from_bytes(data).map(Into::into).map_err(invalid)
        }
        KeyKind::Ecdsa => {
            let key = ecdsa::PublicKey::try_decode_der(data).map_err(invalid)?;
            // Compressed points, and bytes behind the point, would be accepted too. go-libp2p
            // refuses them, and handed on, such a key would be longer than it came.
            if key.encode_der() == data { Ok(key.into()) } else { Err(KeyError::Invalid(kind)) }
        }
        KeyKind::Rsa => {
            let bits = rsa_modulus_bits(data).ok_or(KeyError::Invalid(kind))?;
            if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) {
                return Err(KeyError::RsaBits(bits));
            }
            rsa::PublicKey::try_decode_x509(data).map(Into::into).map_err(invalid)
        }
    }
}

/// Decodes a private key of at most [`MAX_PRIVATE_KEY_BYTES`]. An Ed25519 key holds its public key
/// too, once or (as old versions wrote it) twice; it must be the one that belongs to the secret.
pub fn decode_private_key(bytes: &[u8]) -> Result<Keypair, KeyError> {
    let (kind, data) = split(bytes, MAX_PRIVATE_KEY_BYTES)?;
    match kind {
        KeyKind::Ed25519 => {
            let (pair, repeated) = data.split_first_chunk::<64>().ok_or(KeyError::Invalid(kind))?;
            if !repeated.is_empty() && repeated != &pair[32..] {
                return Err(KeyError::Invalid(kind));
            }
            let mut pair = Zeroizing::new(*pair);
            ed25519::Keypair::try_from_bytes(pair.as_mut_slice())
                .map(Into::into)
                .map_err(|_| KeyError::Invalid(kind))
        }
        KeyKind::Secp256k1 | KeyKind::Ecdsa | KeyKind::Rsa => {
            Keypair::from_protobuf_encoding(bytes).map_err(|_| KeyError::Invalid(kind))
        }
    }
}

/// Encodes the private key of `keypair`. RSA keys cannot be encoded: `ring` does not give their
/// secret back.
pub fn encode_private_key(keypair: &Keypair) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    keypair
        .to_protobuf_encoding()
        .map(Zeroizing::new)
        .map_err(|_| KeyError::NotEncodable(KeyKind::of(keypair)))
}

/// The type and the data of an encoded key. As everywhere in protobuf, the last of a repeated
/// field counts.
fn split(bytes: &[u8], max: usize) -> Result<(KeyKind, &[u8]), KeyError> {
    if bytes.len() > max {
        return Err(KeyError::TooLong { length: bytes.len(), max });
    }
    let (mut number, mut data) = (None, None);
    for field in Fields::new(bytes) {
        match field.map_err(|Malformed| KeyError::Malformed)? {
            (1, Value::Varint(value)) => number = Some(value),
            (2, Value::Bytes(value)) => data = Some(value),
            (1 | 2, _) => return Err(KeyError::Malformed),
            (_, Value::Varint(_) | Value::Bytes(_) | Value::Fixed) => {}
        }
    }
    let kind = match number.ok_or(KeyError::Malformed)? {
        0 => KeyKind::Rsa,
        1 => KeyKind::Ed25519,
        2 => KeyKind::Secp256k1,
        3 => KeyKind::Ecdsa,
        unknown => return Err(KeyError::UnknownType(unknown)),
    };
    Ok((kind, data.ok_or(KeyError::Malformed)?))
}

/// `AlgorithmIdentifier` of `rsaEncryption` with its `NULL` (RFC 3279, section 2.3.1).
const RSA_ALGORITHM: [u8; 13] =
    [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

/// How many bits the modulus has in a DER `SubjectPublicKeyInfo` of an RSA key, or `None` when it
/// is not one. Only looks at lengths; nothing is copied.
fn rsa_modulus_bits(spki: &[u8]) -> Option<usize> {
    const INTEGER: u8 = 0x02;
    const BIT_STRING: u8 = 0x03;
    const SEQUENCE: u8 = 0x30;
    let body = der(SEQUENCE, spki).filter(|(_, rest)| rest.is_empty())?.0;
    let (algorithm, body) = der(SEQUENCE, body)?;
    let bit_string = der(BIT_STRING, body).filter(|(_, rest)| rest.is_empty())?.0;
    // The first byte of a bit string counts the bits that its last byte does not use.
    let (&0, key) = bit_string.split_first()? else { return None };
    let key = der(SEQUENCE, key).filter(|(_, rest)| rest.is_empty())?.0;
    let (modulus, exponent) = der(INTEGER, key)?;
    der(INTEGER, exponent).filter(|(_, rest)| rest.is_empty())?;
    if algorithm != RSA_ALGORITHM {
        return None;
    }
    let significant = match modulus {
        [0, rest @ ..] => rest,
        all => all,
    };
    let top = significant.first().filter(|&&byte| byte != 0)?;
    Some(significant.len() * 8 - top.leading_zeros() as usize)
}

/// The content of the DER element with this tag at the front of `bytes`, and what follows it.
/// Lengths of more than two bytes do not occur within [`MAX_PUBLIC_KEY_BYTES`].
fn der(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (length, rest) = match rest {
        [0x82, high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        [0x81, length, rest @ ..] => (usize::from(*length), rest),
        [length @ 0..=0x7f, rest @ ..] => (usize::from(*length), rest),
        _ => return None,
    };
    rest.split_at_checked(length).filter(|_| found == tag)
}

impl core::fmt::Display for KeyKind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            KeyKind::Rsa => "RSA",
            KeyKind::Ed25519 => "Ed25519",
            KeyKind::Secp256k1 => "secp256k1",
            KeyKind::Ecdsa => "ECDSA",
        })
    }
}

impl core::fmt::Display for KeyError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            KeyError::TooLong { length, max } => {
                write!(f, "encoded key of {length} bytes, more than {max}")
            }
            KeyError::Malformed => f.write_str("no protobuf key with a type and data"),
            KeyError::UnknownType(number) => write!(f, "unknown key type {number}"),
            KeyError::Invalid(kind) => write!(f, "not a valid {kind} key"),
            KeyError::RsaBits(bits) => {
                write!(f, "RSA key of {bits} bits, not between {MIN_RSA_BITS} and {MAX_RSA_BITS}")
            }
            KeyError::NotEncodable(kind) => write!(f, "private {kind} keys cannot be encoded"),
        }
    }
}

impl core::error::Error for KeyError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The SPKI of an RSA key whose modulus has exactly `bits` bits, as an encoded public key.
    pub(super) fn rsa_public_key(bits: usize) -> Vec<u8> {
        fn element(tag: u8, content: &[u8]) -> Vec<u8> {
            let length = u16::try_from(content.len()).unwrap().to_be_bytes();
            [&[tag, 0x82, length[0], length[1]][..], content].concat()
        }
        let mut modulus = vec![0xffu8; bits.div_ceil(8)];
        modulus[0] = 0xff >> (modulus.len() * 8 - bits);
        if modulus[0] & 0x80 != 0 {
            modulus.insert(0, 0);
        }
        let key = [element(2, &modulus), vec![2, 3, 1, 0, 1]].concat();
        let bit_string = [vec![0], element(0x30, &key)].concat();
        let algorithm = [&[0x30, 13][..], &RSA_ALGORITHM].concat();
        let spki = element(0x30, &[algorithm, element(3, &bit_string)].concat());
        let mut length = [0; 9];
        let length = crate::varint::encode(spki.len() as u64, &mut length).to_vec();
        [vec![0x08, 0x00, 0x12], length, spki].concat()
    }

    #[test]
    fn cve_2023_39533_rsa_keys_above_8192_bits_are_refused() {
        assert_eq!(decode_public_key(&rsa_public_key(8_193)), Err(KeyError::RsaBits(8_193)));
        assert_eq!(decode_public_key(&rsa_public_key(8_200)), Err(KeyError::RsaBits(8_200)));
        assert_eq!(decode_public_key(&rsa_public_key(2_047)), Err(KeyError::RsaBits(2_047)));
        assert!(decode_public_key(&rsa_public_key(8_192)).is_ok());
        assert!(decode_public_key(&rsa_public_key(2_048)).is_ok());
        let huge = rsa_public_key(65_536);
        assert_eq!(
            decode_public_key(&huge),
            Err(KeyError::TooLong { length: huge.len(), max: MAX_PUBLIC_KEY_BYTES })
        );
    }

    #[test]
    fn rustsec_2022_0093_the_public_key_of_a_pair_cannot_be_given_separately() {
        let one = Keypair::ed25519_from_bytes([1; 32]).unwrap();
        let two = Keypair::ed25519_from_bytes([2; 32]).unwrap();
        let mut mixed = encode_private_key(&one).unwrap();
        assert_eq!(decode_private_key(&mixed).unwrap().public(), one.public());
        let other = encode_private_key(&two).unwrap();
        let half = mixed.len() - 32;
        mixed[half..].copy_from_slice(&other[half..]);
        assert_eq!(
            decode_private_key(&mixed).map(|_| ()),
            Err(KeyError::Invalid(KeyKind::Ed25519))
        );
    }

    #[test]
    fn an_old_ed25519_key_has_its_public_key_twice_and_both_must_agree() {
        let keypair = Keypair::ed25519_from_bytes([1; 32]).unwrap();
        let new = encode_private_key(&keypair).unwrap();
        let mut old = [&[0x08, 0x01, 0x12, 96][..], &new[4..], &new[36..]].concat();
        assert_eq!(decode_private_key(&old).unwrap().public(), keypair.public());
        old[99] ^= 1;
        assert_eq!(decode_private_key(&old).map(|_| ()), Err(KeyError::Invalid(KeyKind::Ed25519)));
    }

    #[test]
    fn an_ecdsa_key_has_one_encoding() {
        let secret = ecdsa::SecretKey::try_from_bytes([1; 32]).unwrap();
        let key = Keypair::from(ecdsa::Keypair::from(secret)).public().encode_protobuf();
        assert_eq!(decode_public_key(&key).unwrap().encode_protobuf(), key);
        let shortened = |by: u8, point: &[u8]| {
            let mut changed = key[..key.len() - 65].to_vec();
            let bit_string = changed.len() - 2;
            for length in [3, 5, bit_string] {
                changed[length] -= by;
            }
            [&changed, point].concat()
        };
        let (head, point) = key.split_at(key.len() - 65);
        assert_eq!(shortened(0, point), key);
        let compressed = shortened(32, &[&[2 | point[64] & 1], &point[1..33]].concat());
        let invalid = Err(KeyError::Invalid(KeyKind::Ecdsa));
        assert_eq!(decode_public_key(&compressed), invalid);
        let mut behind = [head, point, &[0]].concat();
        behind[3] += 1;
        assert_eq!(decode_public_key(&behind), invalid);
        let mut other_length = key.clone();
        other_length[5] ^= 1;
        assert_eq!(decode_public_key(&other_length), invalid);
    }

    #[test]
    fn errors_name_the_type_of_the_key() {
        for (number, name) in [(0, "RSA"), (1, "Ed25519"), (2, "secp256k1"), (3, "ECDSA")] {
            let key = [0x08, number, 0x12, 1, 0];
            let expected = format!("not a valid {name} key");
            assert_eq!(decode_public_key(&key).unwrap_err().to_string(), expected);
            assert_eq!(decode_private_key(&key).unwrap_err().to_string(), expected);
        }
        assert_eq!(decode_public_key(&[0x08, 4, 0x12, 0]), Err(KeyError::UnknownType(4)));
        assert_eq!(decode_public_key(&[0x12, 0]), Err(KeyError::Malformed));
        assert_eq!(decode_public_key(&[0x08, 1]), Err(KeyError::Malformed));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(kind in 0u8..5, data in proptest::collection::vec(any::<u8>(), 0..120)) {
            let length = u8::try_from(data.len()).unwrap();
            let message = [&[0x08, kind, 0x12, length][..], &data].concat();
            let _ = decode_public_key(&message);
            let _ = decode_private_key(&message);
            let _ = decode_public_key(&data);
        }

        #[test]
        fn no_changed_rsa_key_panics(index in 0usize..1_000, byte: u8) {
            let mut key = rsa_public_key(2_048);
            let index = index % key.len();
            key[index] = byte;
            let _ = decode_public_key(&key);
        }
    }
}
