//! Signed envelopes and the peer records in them: arbitrary bytes, arbitrary payloads with a good
//! signature, and changes of good ones.

use std::sync::LazyLock;

use multiaddr::Multiaddr;
use prost::Message as _;
use sanspeer_core::identity::{Identity, PeerId};
use sanspeer_core::record::{
    EnvelopeError, MAX_ADDRESS_BYTES, MAX_ADDRESSES, MAX_ENVELOPE_BYTES, OpenError, PeerRecord,
    PeerRecordError, RecordFormat, SealError, SignedEnvelope, SignedPeerRecord,
};

use crate::change::Change;
use crate::chunks::scaled;
use crate::script::{Operation as _, Raw, Script, raw_bytes};
use crate::vectors;

/// The settings: mode; who signs, or how many of the raw bytes are too many; in which format, and
/// (bit 1) in the domain of the other one; how often raw bytes are repeated. The operations are the
/// parts of a payload, from [`PEER`] to [`RAW`] with their `a`, `b` and `c`, or a [`Change`] each.
pub type Input = Script<Raw>;

/// The peer id of the signer, or with an odd `a` that of somebody else.
pub const PEER: u8 = 0;
/// A sequence number.
pub const SEQ: u8 = 1;
/// `a` (at most 63) addresses of [`ADDRESSES`], or one that `b` repeats `c` times.
pub const ADDRESS: u8 = 2;
/// An unknown field.
pub const UNKNOWN: u8 = 3;
/// The bytes `a`, `b` and `c` as they are.
pub const RAW: u8 = 4;
const KINDS: u8 = 5;

const FORMATS: [RecordFormat; 2] = [RecordFormat::PeerRecord, RecordFormat::RoutingState];

/// Addresses in their encoding, two of which are none.
const ADDRESSES: [&[u8]; 4] =
    [&[4, 192, 0, 2, 0, 6, 0, 42], &[], &[0xff, 0xff, 0x7f], &[4, 127, 0, 0, 1, 0xcd, 3]];

/// One of each type of key.
static SIGNERS: LazyLock<Vec<Identity>> = LazyLock::new(vectors::identities);

/// Good records: of each signer, in both formats.
static GOOD: LazyLock<Vec<SignedPeerRecord>> = LazyLock::new(|| {
    let known: Vec<Multiaddr> =
        ADDRESSES.iter().filter_map(|bytes| Multiaddr::try_from(bytes.to_vec()).ok()).collect();
    let sign = |identity: &Identity| {
        FORMATS.map(|format| {
            SignedPeerRecord::sign(identity, format, 7, known.clone()).expect("short")
        })
    };
    SIGNERS.iter().flat_map(sign).collect()
});

/// Runs one input.
pub fn run(input: &Input) {
    match input.settings[0] % 3 {
        0 => bytes_arrive(input),
        1 => a_payload_is_signed(input),
        _ => a_good_one_is_changed(input),
    }
}

// Bytes.

fn bytes_arrive(input: &Input) {
    let [_, without, _, times] = input.settings;
    let _ = decode(&raw_bytes(&input.operations, without, 1 + usize::from(times % 16)));
}

/// Decodes both as an envelope and as a record, which must agree.
fn decode(bytes: &[u8]) -> Result<SignedPeerRecord, PeerRecordError> {
    let envelope = SignedEnvelope::decode(bytes);
    let record = SignedPeerRecord::decode(bytes);
    if bytes.len() > MAX_ENVELOPE_BYTES {
        assert_eq!(envelope, Err(EnvelopeError::TooLong(bytes.len())));
    }
    match envelope {
        Err(error) => assert_eq!(record, Err(PeerRecordError::Envelope(error))),
        Ok(envelope) => {
            envelope_round_trips(&envelope, bytes.len());
            let opens = FORMATS.map(|format| {
                envelope
                    .open(format.domain(), format.payload_type())
                    .map(|(key, payload)| (key.to_peer_id(), payload.to_vec()))
            });
            match &record {
                Ok(record) => {
                    let opened = &opens[usize::from(record.format() == FORMATS[1])];
                    let (signer, payload) = opened.as_ref().expect("the record is signed");
                    assert_eq!(record.record().peer, *signer);
                    assert_eq!(reference(*signer, payload).as_ref(), Ok(record.record()));
                    assert_eq!(record.envelope(), &envelope);
                    assert!(record.verify_for(*signer).is_ok());
                }
                Err(PeerRecordError::Open(error)) => {
                    assert!(opens.iter().all(Result::is_err) && opens.contains(&Err(*error)));
                }
                Err(_) => assert!(opens.iter().any(Result::is_ok)),
            }
        }
    }
    record
}

/// What is handed on is as long as it was at most, and is the same to the next one.
fn envelope_round_trips(envelope: &SignedEnvelope, length: usize) {
    let encoded = envelope.encode();
    assert!(encoded.len() <= length, "{length} bytes became {}", encoded.len());
    assert_eq!(SignedEnvelope::decode(&encoded).as_ref(), Ok(envelope));
}

// Payloads.

#[derive(Clone, PartialEq, prost::Message)]
struct Record {
    #[prost(bytes = "vec", optional, tag = "1")]
    peer_id: Option<Vec<u8>>,
    #[prost(uint64, optional, tag = "2")]
    seq: Option<u64>,
    #[prost(message, repeated, tag = "3")]
    addresses: Vec<Address>,
    /// Not of the specification.
    #[prost(fixed32, optional, tag = "300")]
    unknown: Option<u32>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Address {
    #[prost(bytes = "vec", optional, tag = "1")]
    multiaddr: Option<Vec<u8>>,
    /// Not of the specification.
    #[prost(string, optional, tag = "2")]
    unknown: Option<String>,
}

fn a_payload_is_signed(input: &Input) {
    let signer = &SIGNERS[usize::from(input.settings[1]) % SIGNERS.len()];
    let format = FORMATS[usize::from(input.settings[2] & 1)];
    let wrong_domain = input.settings[2] & 2 != 0;
    let other = FORMATS[usize::from(input.settings[2] & 1 == 0)];
    let domain = if wrong_domain { other.domain() } else { format.domain() };
    let (payload, whole) = build(signer.peer_id(), &input.operations);
    let envelope = match SignedEnvelope::sign(signer, domain, format.payload_type(), &payload) {
        Ok(envelope) => envelope,
        Err(SealError::TooLong(length)) => {
            assert!(length > MAX_ENVELOPE_BYTES && length >= payload.len());
            return;
        }
        Err(SealError::Signing(kind)) => panic!("{kind} does not sign"),
    };
    let bytes = envelope.encode();
    assert!(bytes.len() <= MAX_ENVELOPE_BYTES);
    assert_eq!(SignedEnvelope::decode(&bytes).as_ref(), Ok(&envelope));
    let found = decode(&bytes);
    if wrong_domain {
        assert_eq!(found, Err(PeerRecordError::Open(OpenError::Signature)));
    } else if whole {
        assert_eq!(
            found.map(|found| found.record().clone()),
            reference(signer.peer_id(), &payload)
        );
    }
}

/// A payload, and whether all of it is fields.
fn build(signer: PeerId, steps: &[Raw]) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    let mut whole = true;
    for Raw([kind, a, b, c]) in steps {
        if bytes.len() > 2 * MAX_ENVELOPE_BYTES {
            break;
        }
        let mut part = Record::default();
        match kind % KINDS {
            PEER => {
                let peer = if a & 1 == 0 { signer } else { GOOD[usize::from(b % 8)].record().peer };
                let mut peer = peer.to_bytes();
                peer.truncate(peer.len() - usize::from(a >> 1).min(peer.len()));
                part.peer_id = Some(peer);
            }
            SEQ => part.seq = Some(u64::from_be_bytes([0, 0, 0, 0, *c, *b, *a, *a])),
            ADDRESS => {
                let address = match ADDRESSES.get(usize::from(*b)) {
                    Some(address) => address.to_vec(),
                    None => vec![*b; scaled(*c)],
                };
                let unknown = (*c == 1).then(|| "unknown".to_owned());
                let address = Address { multiaddr: Some(address), unknown };
                part.addresses = vec![address; usize::from(a % 64)];
            }
            UNKNOWN => part.unknown = Some(u32::from(*a)),
            _ => {
                bytes.extend_from_slice(&[*a, *b, *c]);
                whole = false;
                continue;
            }
        }
        bytes.extend_from_slice(&part.encode_to_vec());
    }
    (bytes, whole)
}

/// What must come of a payload that `signer` signed, whole or not.
fn reference(signer: PeerId, payload: &[u8]) -> Result<PeerRecord, PeerRecordError> {
    let record = Record::decode(payload).map_err(|_| PeerRecordError::Malformed)?;
    let addresses: Vec<Vec<u8>> =
        record.addresses.into_iter().map(|info| info.multiaddr.unwrap_or_default()).collect();
    if let Some(long) = addresses.iter().find(|address| address.len() > MAX_ADDRESS_BYTES) {
        return Err(PeerRecordError::AddressTooLong(long.len()));
    }
    if addresses.len() > MAX_ADDRESSES {
        return Err(PeerRecordError::TooManyAddresses(addresses.len()));
    }
    let peer = PeerId::from_bytes(&record.peer_id.unwrap_or_default())
        .map_err(|_| PeerRecordError::PeerId)?;
    if peer != signer {
        return Err(PeerRecordError::WrongSigner {
            claimed: Box::new(peer),
            signer: Box::new(signer),
        });
    }
    let addresses = addresses.into_iter().filter_map(|address| Multiaddr::try_from(address).ok());
    let addresses = addresses.filter(|address| !address.is_empty()).collect();
    Ok(PeerRecord { peer, seq: record.seq.unwrap_or_default(), addresses })
}

// Changes.

fn a_good_one_is_changed(input: &Input) {
    let good = &GOOD[usize::from(input.settings[1]) % GOOD.len()];
    let mut bytes = good.encode();
    for step in &input.operations {
        Change::decode(step.0).apply(&mut bytes);
    }
    // Fields that nobody knows, and other encodings of the same fields, change nothing.
    if let Ok(found) = decode(&bytes) {
        assert_eq!(found.record(), good.record(), "another record verifies");
        assert_eq!(found.format(), good.format(), "another format verifies");
    } else {
        assert!(bytes != good.encode(), "a good record is refused");
    }
}
