//! The vectors for signed envelopes and peer records, replayed.

use sanspeer_core::identity::{Identity, Keypair};
use sanspeer_core::record::{
    EnvelopeError, OpenError, PeerRecordError, RecordFormat, SignedEnvelope, SignedPeerRecord,
};
use sanspeer_core::rng::Seed;
use serde::Deserialize;

#[derive(Deserialize)]
struct File<V> {
    license: String,
    vectors: Vec<V>,
}

#[derive(Deserialize)]
struct EnvelopeVector {
    number: usize,
    name: String,
    link: String,
    secret_key: String,
    domain: String,
    payload_type: String,
    payload: String,
    envelope: String,
    error: Option<String>,
}

#[derive(Deserialize)]
struct RecordVector {
    number: usize,
    name: String,
    link: String,
    secret_key: String,
    format: String,
    peer_id: String,
    seq: String,
    addresses: Vec<String>,
    envelope: String,
    connected: Option<String>,
    latest_seq: Option<String>,
    error: Option<String>,
}

fn hex(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).expect("hexadecimal digits")
}

fn identity(secret_key: &str) -> Identity {
    let keypair = Keypair::ed25519_from_bytes(hex(secret_key)).expect("32 bytes");
    Identity::new(keypair, &Seed::from_u64(1)).expect("Ed25519 signs")
}

/// The vectors of a file, which are numbered from 1 and link to the specification.
fn check_file<V>(file: File<V>, head: impl Fn(&V) -> (usize, &str)) -> Vec<V> {
    assert_eq!(file.license, "CC0-1.0");
    assert!(!file.vectors.is_empty());
    for (index, vector) in file.vectors.iter().enumerate() {
        let (number, link) = head(vector);
        assert_eq!(number, index + 1);
        assert!(link.starts_with("https://github.com/libp2p/specs/blob/master/RFC/"));
    }
    file.vectors
}

fn open_error(error: OpenError) -> &'static str {
    match error {
        OpenError::PayloadType => "payload type",
        OpenError::Signature => "signature",
    }
}

fn envelope_error(error: EnvelopeError) -> &'static str {
    match error {
        EnvelopeError::TooLong(_) => "too long",
        EnvelopeError::Malformed => "malformed",
        EnvelopeError::PublicKey(_) => "public key",
    }
}

fn record_error(error: PeerRecordError) -> &'static str {
    match error {
        PeerRecordError::Envelope(error) => envelope_error(error),
        PeerRecordError::Open(error) => open_error(error),
        PeerRecordError::Malformed => "malformed",
        PeerRecordError::PeerId => "peer id",
        PeerRecordError::TooManyAddresses(_) => "too many addresses",
        PeerRecordError::AddressTooLong(_) => "address too long",
        PeerRecordError::WrongSigner { .. } => "wrong signer",
        PeerRecordError::WrongPeer { .. } => "wrong peer",
        PeerRecordError::NotNewer { .. } => "not newer",
    }
}

#[test]
fn signed_envelopes() {
    let file = serde_json::from_str(include_str!("../vectors/signed_envelope.json")).unwrap();
    let vectors = check_file(file, |v: &EnvelopeVector| (v.number, &v.link));
    let mut made = 0;
    for vector in vectors {
        let name = format!("{}: {}", vector.number, vector.name);
        let identity = identity(&vector.secret_key);
        let (payload_type, payload) = (hex(&vector.payload_type), hex(&vector.payload));
        let opened = SignedEnvelope::decode(&hex(&vector.envelope))
            .map_err(envelope_error)
            .and_then(|envelope| {
                let (key, payload) =
                    envelope.open(&vector.domain, &payload_type).map_err(open_error)?;
                Ok((key.clone(), payload.to_vec(), envelope.encode()))
            });
        let (key, found, encoded) = match (opened, &vector.error) {
            (Ok(opened), None) => opened,
            (Err(found), Some(expected)) => {
                assert_eq!(found, expected, "{name}");
                continue;
            }
            (opened, expected) => panic!("{name}: {opened:?}, not {expected:?}"),
        };
        assert_eq!((&key, found), (identity.public_key(), payload.clone()), "{name}");
        let ours =
            SignedEnvelope::sign(&identity, &vector.domain, &payload_type, &payload).unwrap();
        assert_eq!(ours.encode(), encoded, "{name}");
        made += usize::from(encoded == hex(&vector.envelope));
    }
    // The others have fields that are unknown or repeated.
    assert_eq!(made, 5);
}

#[test]
fn peer_records() {
    let file = serde_json::from_str(include_str!("../vectors/peer_record.json")).unwrap();
    let vectors = check_file(file, |v: &RecordVector| (v.number, &v.link));
    let mut made = 0;
    for vector in vectors {
        let name = format!("{}: {}", vector.number, vector.name);
        let identity = identity(&vector.secret_key);
        assert_eq!(identity.peer_id().to_string(), vector.peer_id, "{name}");
        let format = match vector.format.as_str() {
            "peer record" => RecordFormat::PeerRecord,
            "routing state" => RecordFormat::RoutingState,
            other => panic!("{name}: no format {other}"),
        };
        let opened = SignedPeerRecord::decode(&hex(&vector.envelope)).and_then(|signed| {
            if let Some(connected) = &vector.connected {
                signed.verify_for(connected.parse().unwrap())?;
            }
            if let Some(latest) = &vector.latest_seq {
                signed.verify_newer_than(latest.parse().unwrap())?;
            }
            Ok(signed)
        });
        let signed = match (opened.map_err(record_error), &vector.error) {
            (Ok(signed), None) => signed,
            (Err(found), Some(expected)) => {
                assert_eq!(found, expected, "{name}");
                continue;
            }
            (opened, expected) => panic!("{name}: {opened:?}, not {expected:?}"),
        };
        let record = signed.record();
        assert_eq!(signed.format(), format, "{name}");
        assert_eq!(record.peer, identity.peer_id(), "{name}");
        assert_eq!(record.seq.to_string(), vector.seq, "{name}");
        let addresses: Vec<String> = record.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, vector.addresses, "{name}");
        // Whoever hands a record on must not change it.
        assert_eq!(signed.encode(), hex(&vector.envelope), "{name}");
        let ours = SignedPeerRecord::sign(&identity, format, record.seq, record.addresses.clone());
        made += usize::from(ours.unwrap() == signed);
    }
    // The others have addresses that are skipped, or fields that are unknown.
    assert_eq!(made, 9);
}
