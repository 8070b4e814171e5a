//! What the second and the third handshake message carry: the identity key, its signature, and
//! extensions.
//!
//! Specification: [noise, The libp2p Handshake Payload](https://github.com/libp2p/specs/blob/master/noise/README.md#the-libp2p-handshake-payload).

use prost::Message as _;
use serde::{Deserialize, Serialize};

use crate::protobuf::{Fields, Malformed, Value};
use crate::protocol::{MAX_PROTOCOL_ID_BYTES, ProtocolId};

/// The longest payload that is decoded, in bytes. Key and signature of the largest RSA key allowed
/// take 2,100 of them.
pub const MAX_PAYLOAD_BYTES: usize = 4_096;

/// The most multiplexers that one side may offer.
pub const MAX_MUXERS: usize = 16;

/// The most bytes that our own offer of multiplexers takes in a payload. It fits beside the
/// identity of any key that can sign.
pub const MAX_MUXER_LIST_BYTES: usize = 1_536;

/// The most WebTransport certificate hashes that one side may send. Nothing here uses them.
pub const MAX_CERTHASHES: usize = 16;

/// `NoiseHandshakePayload` of the specification.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct HandshakePayload {
    /// The identity key of the sender, as the peer-id specification encodes it.
    #[prost(bytes = "vec", optional, tag = "1")]
    pub(super) identity_key: Option<Vec<u8>>,
    /// Its signature of the Noise static key.
    #[prost(bytes = "vec", optional, tag = "2")]
    pub(super) identity_sig: Option<Vec<u8>>,
    /// Early data.
    #[prost(message, optional, tag = "4")]
    pub(super) extensions: Option<Extensions>,
}

/// `NoiseExtensions` of the specification.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Extensions {
    /// Hashes of WebTransport certificates.
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub(super) webtransport_certhashes: Vec<Vec<u8>>,
    /// Multiplexers, in the order of the sender's preference.
    #[prost(string, repeated, tag = "2")]
    pub(super) stream_muxers: Vec<String>,
}

/// What is wrong with a remote's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PayloadError {
    /// It is longer than [`MAX_PAYLOAD_BYTES`]. Its length, in bytes.
    TooLong(usize),
    /// It is no protobuf message of the specification.
    Malformed,
    /// It offers more than [`MAX_MUXERS`] multiplexers.
    TooManyMuxers,
    /// It offers a multiplexer whose id is longer than [`MAX_PROTOCOL_ID_BYTES`]. Its length, in
    /// bytes.
    MuxerTooLong(usize),
    /// It has more than [`MAX_CERTHASHES`] certificate hashes.
    TooManyCertHashes,
    /// It has no identity key.
    NoIdentityKey,
    /// It has no signature.
    NoSignature,
    /// The first message, which nobody has authenticated or encrypted, has a payload. Its length,
    /// in bytes.
    Unexpected(usize),
}

/// Decodes a payload after checking its bounds.
pub(super) fn decode(bytes: &[u8]) -> Result<HandshakePayload, PayloadError> {
    check_bounds(bytes)?;
    HandshakePayload::decode(bytes).map_err(|_| PayloadError::Malformed)
}

/// Counts what repeats, without building anything. A field that is not repeated may still occur
/// more than once on the wire; prost merges the extensions then, so the counts run on.
fn check_bounds(bytes: &[u8]) -> Result<(), PayloadError> {
    const EXTENSIONS: u32 = 4;
    const CERTHASH: u32 = 1;
    const MUXER: u32 = 2;
    if bytes.len() > MAX_PAYLOAD_BYTES {
        return Err(PayloadError::TooLong(bytes.len()));
    }
    let malformed = |Malformed| PayloadError::Malformed;
    let (mut certhashes, mut muxers) = (0, 0);
    for field in Fields::new(bytes) {
        let (EXTENSIONS, Value::Bytes(extensions)) = field.map_err(malformed)? else { continue };
        for field in Fields::new(extensions) {
            match field.map_err(malformed)? {
                (CERTHASH, Value::Bytes(_)) => certhashes += 1,
                (MUXER, Value::Bytes(id)) if id.len() > MAX_PROTOCOL_ID_BYTES => {
                    return Err(PayloadError::MuxerTooLong(id.len()));
                }
                (MUXER, Value::Bytes(_)) => muxers += 1,
                (_, Value::Varint(_) | Value::Bytes(_) | Value::Fixed) => {}
            }
        }
    }
    if muxers > MAX_MUXERS {
        return Err(PayloadError::TooManyMuxers);
    }
    if certhashes > MAX_CERTHASHES {
        return Err(PayloadError::TooManyCertHashes);
    }
    Ok(())
}

/// The payload that we send: `identity` is [`super::NoiseKeys::payload`]. Since the encodings of
/// two messages, one after the other, are the encoding of their sum, the extensions are appended.
pub(super) fn encode(identity: &[u8], muxers: &[ProtocolId]) -> Vec<u8> {
    let mut payload = identity.to_vec();
    if !muxers.is_empty() {
        let offer = HandshakePayload {
            identity_key: None,
            identity_sig: None,
            extensions: Some(Extensions {
                webtransport_certhashes: Vec::new(),
                stream_muxers: muxers.iter().map(|muxer| muxer.as_str().to_owned()).collect(),
            }),
        };
        payload.extend_from_slice(&offer.encode_to_vec());
    }
    payload
}

/// Cuts `muxers` to what may be offered: [`MAX_MUXERS`], in [`MAX_MUXER_LIST_BYTES`].
pub(super) fn limit(muxers: &mut Vec<ProtocolId>) {
    const OVERHEAD_BYTES: usize = 3;
    let mut bytes = 2 * OVERHEAD_BYTES;
    let fitting = muxers
        .iter()
        .take(MAX_MUXERS)
        .take_while(|muxer| {
            bytes += muxer.as_str().len() + OVERHEAD_BYTES;
            bytes <= MAX_MUXER_LIST_BYTES
        })
        .count();
    muxers.truncate(fitting);
}

impl core::fmt::Display for PayloadError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            PayloadError::TooLong(length) => {
                write!(f, "payload of {length} bytes, more than {MAX_PAYLOAD_BYTES}")
            }
            PayloadError::Malformed => f.write_str("malformed payload"),
            PayloadError::TooManyMuxers => write!(f, "more than {MAX_MUXERS} multiplexers"),
            PayloadError::MuxerTooLong(length) => {
                write!(f, "multiplexer id of {length} bytes, more than {MAX_PROTOCOL_ID_BYTES}")
            }
            PayloadError::TooManyCertHashes => {
                write!(f, "more than {MAX_CERTHASHES} certificate hashes")
            }
            PayloadError::NoIdentityKey => f.write_str("no identity key"),
            PayloadError::NoSignature => f.write_str("no signature"),
            PayloadError::Unexpected(length) => {
                write!(f, "payload of {length} bytes in the first message")
            }
        }
    }
}

impl core::error::Error for PayloadError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn offering(muxers: Vec<String>) -> Vec<u8> {
        HandshakePayload {
            identity_key: Some(vec![1]),
            identity_sig: Some(vec![2]),
            extensions: Some(Extensions {
                webtransport_certhashes: Vec::new(),
                stream_muxers: muxers,
            }),
        }
        .encode_to_vec()
    }

    #[test]
    fn what_is_over_the_bounds_is_refused_before_it_is_built() {
        assert!(decode(&offering(vec!["/yamux/1.0.0".into(); MAX_MUXERS])).is_ok());
        assert_eq!(
            decode(&offering(vec![String::new(); MAX_MUXERS + 1])),
            Err(PayloadError::TooManyMuxers)
        );
        assert_eq!(
            decode(&offering(vec!["x".repeat(1_024)])),
            Err(PayloadError::MuxerTooLong(1_024))
        );
        assert_eq!(decode(&[0; MAX_PAYLOAD_BYTES + 1]), Err(PayloadError::TooLong(4_097)));
        let hashes = Extensions {
            webtransport_certhashes: vec![vec![]; MAX_CERTHASHES + 1],
            stream_muxers: vec![],
        };
        let payload = HandshakePayload { extensions: Some(hashes), ..Default::default() };
        assert_eq!(decode(&payload.encode_to_vec()), Err(PayloadError::TooManyCertHashes));
    }

    #[test]
    fn extensions_that_come_in_pieces_are_counted_together() {
        let half = offering(vec!["/m".into(); 9]);
        assert_eq!(decode(&[half.clone(), half].concat()), Err(PayloadError::TooManyMuxers));
    }

    #[test]
    fn unknown_fields_are_skipped_and_broken_ones_are_not() {
        let mut payload = offering(vec![]);
        payload.extend_from_slice(&[0x1a, 1, 0xff, 0x80, 0x40, 7]);
        assert_eq!(decode(&payload).unwrap().identity_key, Some(vec![1]));
        payload.push(0x0a);
        assert_eq!(decode(&payload), Err(PayloadError::Malformed));
        assert_eq!(decode(&[0x08, 1]), Err(PayloadError::Malformed));
    }

    #[test]
    fn an_offer_is_field_2_of_field_4() {
        let yamux = ProtocolId::new("/yamux/1.0.0").unwrap();
        let expected = [b"key\x22\x0e\x12\x0c".as_slice(), b"/yamux/1.0.0"].concat();
        assert_eq!(encode(b"key", &[yamux]), expected);
    }

    #[test]
    fn our_own_offer_keeps_within_the_bounds() {
        let id = |length: usize| ProtocolId::new(&"m".repeat(length)).unwrap();
        let mut many = vec![id(12); 40];
        limit(&mut many);
        assert_eq!(many.len(), MAX_MUXERS);
        let mut long = vec![id(500), id(1_000), id(1_000)];
        limit(&mut long);
        assert_eq!(long.len(), 2);
        assert!(encode(&[], &long).len() <= MAX_MUXER_LIST_BYTES);
        assert!(encode(&[], &[]).is_empty());
    }
}
