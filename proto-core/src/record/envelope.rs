//! [`SignedEnvelope`]: a payload, the key that signed it, and the signature.
//!
//! Specification: [RFC 0002, Signed Envelopes](https://github.com/libp2p/specs/blob/master/RFC/0002-signed-envelopes.md).

use libp2p_identity::PublicKey;
use prost::Message as _;
use serde::{Deserialize, Serialize};

use crate::identity::{Identity, KeyError, KeyKind, decode_public_key};
use crate::varint::{self, MAX_VARINT_BYTES};

/// The longest envelope that is made or decoded, in bytes. go-libp2p reads no longer message of
/// identify, which is what carries most envelopes, and trims its own records to fit.
pub const MAX_ENVELOPE_BYTES: usize = 8 * 1024;

/// A payload and its signature. What comes from a remote has a valid key and a bounded size, but
/// is not verified before [`SignedEnvelope::open`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedEnvelope {
    public_key: PublicKey,
    payload_type: Vec<u8>,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

/// What is wrong with an encoded envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EnvelopeError {
    /// It is longer than [`MAX_ENVELOPE_BYTES`]. Its length, in bytes.
    TooLong(usize),
    /// It is no protobuf message of the specification.
    Malformed,
    /// Its public key is missing or not acceptable.
    PublicKey(KeyError),
}

/// Why an envelope did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OpenError {
    /// Its payload is of another type than the one that was asked for.
    PayloadType,
    /// The key did not sign this payload, of this type, in this domain.
    Signature,
}

/// Why an envelope could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SealError {
    /// The key could not sign. Only RSA can fail so.
    Signing(KeyKind),
    /// It would be longer than [`MAX_ENVELOPE_BYTES`]. Its length, in bytes.
    TooLong(usize),
}

/// `Envelope` of the specification. There is no field 4, and the key is a message that is decoded
/// on its own, within its own bounds.
#[derive(Clone, PartialEq, prost::Message)]
struct Envelope {
    #[prost(bytes = "vec", tag = "1")]
    public_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    payload_type: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    payload: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    signature: Vec<u8>,
}

impl SignedEnvelope {
    /// Signs `payload` for one purpose: `domain` says which, and is not part of the envelope;
    /// `payload_type` says how to read the payload, and is (Signature Production).
    ///
    /// The result encodes to at most [`MAX_ENVELOPE_BYTES`]. go-libp2p makes no envelope with an
    /// empty domain or payload type; the specification allows an empty payload type.
    pub fn sign(
        identity: &Identity,
        domain: &str,
        payload_type: &[u8],
        payload: &[u8],
    ) -> Result<SignedEnvelope, SealError> {
        let keypair = identity.keypair();
        // Nothing is signed that cannot be sent, so the size is looked at on both sides of it.
        if payload_type.len().saturating_add(payload.len()) > MAX_ENVELOPE_BYTES {
            return Err(SealError::TooLong(payload_type.len().saturating_add(payload.len())));
        }
        let signature = keypair
            .sign(&signed_bytes(domain, payload_type, payload))
            .map_err(|_| SealError::Signing(KeyKind::of(keypair)))?;
        let envelope = SignedEnvelope {
            public_key: identity.public_key().clone(),
            payload_type: payload_type.to_vec(),
            payload: payload.to_vec(),
            signature,
        };
        match envelope.encode().len() {
            length if length > MAX_ENVELOPE_BYTES => Err(SealError::TooLong(length)),
            _ => Ok(envelope),
        }
    }

    /// Decodes an envelope of at most [`MAX_ENVELOPE_BYTES`], and its public key, without
    /// verifying the signature. Total: every input gives an envelope or an error, and takes no
    /// more memory than its own length and the key.
    ///
    /// Of a field that occurs more than once the last counts, and unknown fields are skipped and
    /// not kept. What was signed is what [`SignedEnvelope::open`] returns, so neither matters.
    pub fn decode(bytes: &[u8]) -> Result<SignedEnvelope, EnvelopeError> {
        if bytes.len() > MAX_ENVELOPE_BYTES {
            return Err(EnvelopeError::TooLong(bytes.len()));
        }
        let envelope = Envelope::decode(bytes).map_err(|_| EnvelopeError::Malformed)?;
        let public_key =
            decode_public_key(&envelope.public_key).map_err(EnvelopeError::PublicKey)?;
        let Envelope { public_key: _, payload_type, payload, signature } = envelope;
        Ok(SignedEnvelope { public_key, payload_type, payload, signature })
    }

    /// The encoding that is sent, with its fields in the order of their numbers (Wire Format).
    pub fn encode(&self) -> Vec<u8> {
        Envelope {
            public_key: self.public_key.encode_protobuf(),
            payload_type: self.payload_type.clone(),
            payload: self.payload.clone(),
            signature: self.signature.clone(),
        }
        .encode_to_vec()
    }

    /// The key and the payload, if the payload is of type `payload_type` and the key signed it in
    /// `domain`. Verifies one signature, unless the type is wrong.
    ///
    /// Whether it is the right key is the caller's to decide: anybody can sign.
    pub fn open(
        &self,
        domain: &str,
        payload_type: &[u8],
    ) -> Result<(&PublicKey, &[u8]), OpenError> {
        if self.payload_type != payload_type {
            return Err(OpenError::PayloadType);
        }
        let signed = signed_bytes(domain, payload_type, &self.payload);
        if !self.public_key.verify(&signed, &self.signature) {
            return Err(OpenError::Signature);
        }
        Ok((&self.public_key, &self.payload))
    }

    /// How the payload asks to be read (Payload Type Information). Not verified.
    pub fn payload_type(&self) -> &[u8] {
        &self.payload_type
    }
}

/// What is signed: domain, type and payload, each behind its length (Signature Production).
fn signed_bytes(domain: &str, payload_type: &[u8], payload: &[u8]) -> Vec<u8> {
    let fields = [domain.as_bytes(), payload_type, payload];
    let bytes: usize = fields.iter().map(|field| field.len() + MAX_VARINT_BYTES).sum();
    let mut signed = Vec::with_capacity(bytes);
    for field in fields {
        signed.extend_from_slice(varint::encode(field.len() as u64, &mut [0; MAX_VARINT_BYTES]));
        signed.extend_from_slice(field);
    }
    signed
}

impl core::fmt::Display for EnvelopeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            EnvelopeError::TooLong(length) => {
                write!(f, "envelope of {length} bytes, more than {MAX_ENVELOPE_BYTES}")
            }
            EnvelopeError::Malformed => f.write_str("malformed envelope"),
            EnvelopeError::PublicKey(error) => write!(f, "public key of an envelope: {error}"),
        }
    }
}

impl core::error::Error for EnvelopeError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            EnvelopeError::PublicKey(error) => Some(error),
            EnvelopeError::TooLong(_) | EnvelopeError::Malformed => None,
        }
    }
}

impl core::fmt::Display for OpenError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            OpenError::PayloadType => "the envelope holds another type of payload",
            OpenError::Signature => "the key of the envelope did not sign it for this purpose",
        })
    }
}

impl core::error::Error for OpenError {}

impl core::fmt::Display for SealError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            SealError::Signing(kind) => write!(f, "the {kind} key could not sign"),
            SealError::TooLong(length) => {
                write!(f, "envelope of {length} bytes, more than {MAX_ENVELOPE_BYTES}")
            }
        }
    }
}

impl core::error::Error for SealError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Seed;
    use proptest::prelude::*;

    const DOMAIN: &str = "test-domain";
    const TYPE: &[u8] = b"/test/type";

    fn identity() -> Identity {
        Identity::ed25519(&Seed::from_u64(1))
    }

    fn envelope(payload: &[u8]) -> SignedEnvelope {
        SignedEnvelope::sign(&identity(), DOMAIN, TYPE, payload).unwrap()
    }

    #[test]
    fn each_signed_field_is_behind_its_length() {
        let long = [7; 300];
        let expected = [b"\x02do\x00\xac\x02".as_slice(), &long].concat();
        assert_eq!(signed_bytes("do", b"", &long), expected);
    }

    #[test]
    fn an_envelope_opens_for_its_domain_and_type_only() {
        let envelope = envelope(b"payload");
        let identity = identity();
        assert_eq!(envelope.open(DOMAIN, TYPE), Ok((identity.public_key(), &b"payload"[..])));
        assert_eq!(envelope.open("another-domain", TYPE), Err(OpenError::Signature));
        assert_eq!(envelope.open(DOMAIN, b"/another/type"), Err(OpenError::PayloadType));
    }

    #[test]
    fn a_payload_type_may_be_empty() {
        let envelope = SignedEnvelope::sign(&identity(), DOMAIN, b"", b"payload").unwrap();
        let decoded = SignedEnvelope::decode(&envelope.encode()).unwrap();
        assert!(decoded.open(DOMAIN, b"").is_ok());
    }

    #[test]
    fn a_key_is_required_and_unknown_fields_are_skipped() {
        let missing = Envelope { payload: vec![1], ..Default::default() }.encode_to_vec();
        assert_eq!(
            SignedEnvelope::decode(&missing),
            Err(EnvelopeError::PublicKey(KeyError::Malformed))
        );
        let mut bytes = envelope(b"payload").encode();
        bytes.extend_from_slice(&[0x22, 1, 0xff, 0x80, 0x40, 7]);
        assert_eq!(SignedEnvelope::decode(&bytes), Ok(envelope(b"payload")));
    }

    #[test]
    fn cve_2023_40583_an_envelope_is_bounded_before_anything_is_built() {
        let overhead = envelope(&[0; 4_096]).encode().len() - 4_096;
        let most = MAX_ENVELOPE_BYTES - overhead;
        let bytes = envelope(&vec![0; most]).encode();
        assert_eq!(bytes.len(), MAX_ENVELOPE_BYTES);
        assert!(SignedEnvelope::decode(&bytes).is_ok());
        for length in [most + 1, MAX_ENVELOPE_BYTES] {
            let made = SignedEnvelope::sign(&identity(), DOMAIN, TYPE, &vec![0; length]);
            assert!(matches!(made, Err(SealError::TooLong(_))));
        }
        // A field that nobody reads does not lengthen it.
        let mut longer = bytes;
        longer.extend_from_slice(&[0x22, 0]);
        assert_eq!(
            SignedEnvelope::decode(&longer),
            Err(EnvelopeError::TooLong(MAX_ENVELOPE_BYTES + 2))
        );
        let gigantic_field = [0x1a, 0xff, 0xff, 0xff, 0xff, 0x0f];
        assert_eq!(SignedEnvelope::decode(&gigantic_field), Err(EnvelopeError::Malformed));
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes(
            seed: u64,
            domain in "[a-z-]{0,40}",
            payload_type in prop::collection::vec(any::<u8>(), 0..40),
            payload in prop::collection::vec(any::<u8>(), 0..2_000),
        ) {
            let identity = Identity::ed25519(&Seed::from_u64(seed));
            let made =
                SignedEnvelope::sign(&identity, &domain, &payload_type, &payload).unwrap();
            let decoded = SignedEnvelope::decode(&made.encode()).unwrap();
            prop_assert_eq!(&decoded, &made);
            prop_assert_eq!(
                decoded.open(&domain, &payload_type),
                Ok((identity.public_key(), &payload[..]))
            );
        }

        #[test]
        fn any_flipped_bit_fails(
            payload in prop::collection::vec(any::<u8>(), 0..200),
            at: prop::sample::Index,
            bit in 0u8..8,
        ) {
            let mut bytes = envelope(&payload).encode();
            let at = at.index(bytes.len());
            bytes[at] ^= 1u8 << bit;
            if let Ok(changed) = SignedEnvelope::decode(&bytes) {
                prop_assert!(changed.open(DOMAIN, TYPE).is_err(), "bit {bit} of byte {at}");
            }
        }

        #[test]
        fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(envelope) = SignedEnvelope::decode(&bytes) {
                prop_assert!(envelope.open(DOMAIN, TYPE).is_err());
            }
        }
    }
}
