//! The TLS handshake as a whole: both roles against each other, on a transport that cuts and
//! changes what it carries, and certificates against the vectors of the specification.
#![allow(clippy::unwrap_used)]

mod common;

use common::{NOW, sent, shake, tls_identity};
use proptest::prelude::*;
use sanspeer_core::identity::{Identity, PeerId, decode_private_key};
use sanspeer_core::mux::Role;
use sanspeer_core::protocol::ProtocolId;
use sanspeer_core::rng::Seed;
use sanspeer_core::tls::{
    CertificateError, HEADER_BYTES, Handshake, HandshakeConfig, MAX_HANDSHAKE_BYTES, Opened,
    Opener, Sealer, Secured, TlsError, TlsIdentity, record_bytes, verify,
};
use serde::Deserialize;

const YAMUX: &str = "/yamux/1.0.0";
const MPLEX: &str = "/mplex/6.7.0";

fn config(muxers: &[&str]) -> HandshakeConfig {
    let muxers = muxers.iter().map(|muxer| ProtocolId::new(muxer).unwrap()).collect();
    HandshakeConfig { expected_peer: None, muxers, unix_seconds: NOW }
}

fn expecting(peer: PeerId) -> HandshakeConfig {
    HandshakeConfig { expected_peer: Some(peer), ..config(&[]) }
}

fn wrong_peer(expected: PeerId, found: PeerId) -> TlsError {
    TlsError::WrongPeer { expected: Box::new(expected), found: Box::new(found) }
}

fn pair(dialer: HandshakeConfig, listener: HandshakeConfig) -> (Handshake, Handshake) {
    (
        Handshake::new(Role::Dialer, &tls_identity(1), &Seed::from_u64(11), dialer),
        Handshake::new(Role::Listener, &tls_identity(2), &Seed::from_u64(12), listener),
    )
}

fn secured(dialer: HandshakeConfig, listener: HandshakeConfig) -> (Secured, Secured) {
    let (mut dialer, mut listener) = pair(dialer, listener);
    shake(&mut dialer, &mut listener).unwrap();
    (dialer.finish().unwrap(), listener.finish().unwrap())
}

fn carries(sealer: &mut Sealer, opener: &mut Opener, text: &[u8]) {
    let mut record = Vec::new();
    sealer.seal(text, &mut record).unwrap();
    assert_eq!(record_bytes(*record.first_chunk().unwrap()), Ok(record.len()));
    assert_eq!(opener.open(&mut record), Ok(Opened::Data(text.len())));
    assert_eq!(&record[HEADER_BYTES..HEADER_BYTES + text.len()], text);
}

#[test]
fn both_sides_know_each_other_and_agree_on_keys() {
    let (mut dialer, mut listener) =
        secured(expecting(tls_identity(2).peer_id()), expecting(tls_identity(1).peer_id()));
    assert_eq!(dialer.peer, tls_identity(2).peer_id());
    assert_eq!(listener.peer, tls_identity(1).peer_id());
    assert_eq!(dialer.public_key.to_peer_id(), dialer.peer);
    assert_eq!((dialer.muxer, listener.muxer), (None, None));
    for _ in 0..3 {
        carries(&mut dialer.sealer, &mut listener.opener, b"from the dialer");
        carries(&mut listener.sealer, &mut dialer.opener, b"from the listener");
    }
}

#[test]
fn a_finished_handshake_needs_everything_transmitted() {
    let (mut dialer, mut listener) = pair(config(&[]), config(&[]));
    assert!(!dialer.is_finished());
    listener.handle(&sent(&mut dialer)).unwrap();
    dialer.handle(&sent(&mut listener)).unwrap();
    assert!(!dialer.is_finished() && !listener.is_finished());
    listener.handle(&sent(&mut dialer)).unwrap();
    assert!(dialer.is_finished() && listener.is_finished());
    let (early, _) = pair(config(&[]), config(&[]));
    assert_eq!(early.finish().map(|_| ()), Err(TlsError::Unfinished));
}

#[test]
fn every_type_of_identity_key_is_accepted_in_both_roles() {
    let file: serde_json::Value =
        serde_json::from_str(include_str!("vectors/peer_ids.json")).unwrap();
    for vector in file["vectors"].as_array().unwrap() {
        let key = decode_private_key(&hex(vector["private"].as_str().unwrap())).unwrap();
        let other = Identity::new(key, &Seed::from_u64(3)).unwrap();
        let other = TlsIdentity::new(&other, &Seed::from_u64(3)).unwrap();
        let (ours, seed) = (tls_identity(1), Seed::from_u64(4));
        let expected = vector["peer_id"].as_str().unwrap();

        let mut dialer = Handshake::new(Role::Dialer, &other, &seed, config(&[YAMUX]));
        let mut listener = Handshake::new(Role::Listener, &ours, &seed, config(&[YAMUX]));
        shake(&mut dialer, &mut listener).unwrap();
        assert_eq!(listener.finish().unwrap().peer.to_string(), expected);

        let mut dialer = Handshake::new(Role::Dialer, &ours, &seed, config(&[YAMUX]));
        let mut listener = Handshake::new(Role::Listener, &other, &seed, config(&[YAMUX]));
        shake(&mut dialer, &mut listener).unwrap();
        assert_eq!(dialer.finish().unwrap().peer.to_string(), expected);
    }
}

#[test]
fn the_wrong_peer_is_named_and_never_learns_who_dialled() {
    let (one, two, three) =
        (tls_identity(1).peer_id(), tls_identity(2).peer_id(), tls_identity(3).peer_id());
    let (mut dialer, mut listener) = pair(expecting(three), config(&[]));
    let error = wrong_peer(three, two);
    assert_eq!(shake(&mut dialer, &mut listener), Err(error.clone()));
    // Only an alert, certificate_unknown.
    let alert = sent(&mut dialer);
    assert!(alert.len() < 40);
    assert_eq!(listener.handle(&alert), Err(TlsError::Alert(46)));
    assert_eq!(dialer.handle(b"more"), Err(error.clone()));
    assert_eq!(dialer.finish().map(|_| ()), Err(error));

    let (mut dialer, mut listener) = pair(config(&[]), expecting(three));
    assert_eq!(shake(&mut dialer, &mut listener), Err(wrong_peer(three, one)));
    // The dialer is finished already, and is told instead of data.
    let mut dialer = dialer.finish().unwrap();
    let mut alert = sent(&mut listener);
    assert_eq!(dialer.opener.open(&mut alert), Err(sanspeer_core::tls::RecordError::Alert(46)));
}

#[test]
fn the_muxer_that_both_offer_is_chosen_by_the_listeners_preference() {
    let cases: [(&[&str], &[&str], Option<&str>); 6] = [
        (&[YAMUX], &[YAMUX], Some(YAMUX)),
        (&[MPLEX, YAMUX], &[YAMUX, MPLEX], Some(YAMUX)),
        (&[MPLEX, YAMUX], &[YAMUX], Some(YAMUX)),
        // `libp2p` is the last of every list: multistream-select decides.
        (&[YAMUX], &[MPLEX], None),
        (&[], &[YAMUX], None),
        (&[YAMUX], &[], None),
    ];
    for (theirs, ours, expected) in cases {
        let (dialer, listener) = secured(config(theirs), config(ours));
        let names = (dialer.muxer, listener.muxer);
        assert_eq!(names.0.as_ref().map(ProtocolId::as_str), expected);
        assert_eq!(names.0, names.1);
    }
}

#[test]
fn the_same_seeds_give_the_same_bytes_and_another_seed_others() {
    let transcript = |seed: u64| {
        let config = config(&[YAMUX]);
        let (one, two) = (tls_identity(1), tls_identity(2));
        let seed = Seed::from_u64(seed);
        let mut dialer =
            Handshake::new(Role::Dialer, &one, &seed.derive("dialer", 0), config.clone());
        let mut listener =
            Handshake::new(Role::Listener, &two, &seed.derive("listener", 0), config);
        let mut flights = shake(&mut dialer, &mut listener).unwrap();
        let mut records = Vec::new();
        dialer.finish().unwrap().sealer.seal(b"data", &mut records).unwrap();
        listener.finish().unwrap().sealer.seal(b"data", &mut records).unwrap();
        flights.push(records);
        flights
    };
    let (first, again, other) = (transcript(1), transcript(1), transcript(2));
    assert_eq!(first, again);
    assert_eq!(first.len(), 4);
    assert!(first.iter().zip(&other).all(|(one, two)| one != two));
    // In another process too. These change with rustls' choice and order of extensions, and with
    // how rcgen writes a certificate.
    assert_eq!(fnv_1a(&first[0]), 0x9f42_82c5_5c41_69e6);
    assert_eq!(fnv_1a(tls_identity(1).certificate()), 0x7f33_4f03_4dcc_0da3);
}

fn fnv_1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[test]
fn a_handshake_without_end_is_cut_off() {
    let (_, mut listener) = pair(config(&[]), config(&[]));
    // A client hello of 60,000 bytes, of which nothing more than the limit is taken.
    let mut rest = vec![22, 3, 1, 0x40, 0, 1, 0, 0xea, 0x60];
    rest.resize(HEADER_BYTES + 0x4000, 0);
    let record = rest;
    assert_eq!(listener.handle(&record), Ok(record.len()));
    let record = [&[22, 3, 1, 0x40, 0][..], &[0; 0x4000]].concat();
    assert_eq!(listener.handle(&record), Err(TlsError::TooLong));
    assert!(2 * record.len() > MAX_HANDSHAKE_BYTES);
}

#[test]
fn another_protocol_is_refused() {
    let (_, mut listener) = pair(config(&[]), config(&[]));
    assert!(listener.handle(b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n").is_ok());
    let (_, mut listener) = pair(config(&[]), config(&[]));
    assert!(listener.handle(&[0; 100]).is_err());
}

#[test]
fn a_certificate_out_of_its_time_is_refused_with_the_time() {
    // Ours are valid from 1975 to 4096.
    let early = HandshakeConfig { unix_seconds: 157_766_399, ..config(&[]) };
    let (mut dialer, mut listener) = pair(early, config(&[]));
    let error = CertificateError::NotYetValid { from: 157_766_400, now: 157_766_399 };
    assert_eq!(shake(&mut dialer, &mut listener), Err(TlsError::Certificate(error)));
    let late = HandshakeConfig { unix_seconds: 67_090_118_401, ..config(&[]) };
    let (mut dialer, mut listener) = pair(config(&[]), late);
    let error = CertificateError::Expired { until: 67_090_118_400, now: 67_090_118_401 };
    assert_eq!(shake(&mut dialer, &mut listener), Err(TlsError::Certificate(error)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn one_flipped_bit_in_any_flight_fails(which in 0usize..3, bit: prop::sample::Index) {
        let (mut dialer, mut listener) = pair(config(&[YAMUX]), config(&[YAMUX]));
        let mut version_bytes = Vec::new();
        let mut bit_at = 0;
        for flight in 0..3 {
            let (from, to) = if flight == 1 {
                (&mut listener, &mut dialer)
            } else {
                (&mut dialer, &mut listener)
            };
            let mut bytes = sent(from);
            if flight == which {
                // The version in the header of a record says nothing (RFC 8446, section 5.1).
                let mut start = 0;
                while start < bytes.len() {
                    version_bytes.extend([start + 1, start + 2]);
                    let length = [bytes[start + 3], bytes[start + 4]];
                    start += HEADER_BYTES + usize::from(u16::from_be_bytes(length));
                }
                bit_at = bit.index(bytes.len() * 8);
                bytes[bit_at / 8] ^= 1 << (bit_at % 8);
            }
            if to.handle(&bytes).is_err() {
                break;
            }
        }
        let flipped_version = version_bytes.contains(&(bit_at / 8));
        let (dialer, listener) = (dialer.finish(), listener.finish());
        prop_assert!(dialer.is_err() || listener.is_err() || flipped_version);
        // Whoever finished knows who it really is.
        prop_assert!(dialer.is_ok_and(|end| end.peer == tls_identity(2).peer_id()) || which != 2);
        if let Ok(end) = listener {
            prop_assert_eq!(end.peer, tls_identity(1).peer_id());
        }
    }

    #[test]
    fn cutting_the_bytes_anywhere_changes_nothing_and_records_are_left(
        sizes in prop::collection::vec(1usize..700, 1..40),
    ) {
        let (mut dialer, mut listener) = pair(config(&[YAMUX]), config(&[YAMUX]));
        let whole = shake(&mut dialer, &mut listener).unwrap();
        let mut record = Vec::new();
        dialer.finish().unwrap().sealer.seal(b"early data", &mut record).unwrap();

        let (mut dialer, mut listener) = pair(config(&[YAMUX]), config(&[YAMUX]));
        let mut sizes = sizes.iter().copied().cycle();
        let mut left = Vec::new();
        for (flight, expected) in whole.iter().enumerate() {
            let (from, to) = if flight == 1 {
                (&mut listener, &mut dialer)
            } else {
                (&mut dialer, &mut listener)
            };
            let mut bytes = sent(from);
            prop_assert_eq!(&bytes, expected);
            if flight == 2 {
                bytes.extend_from_slice(&record);
            }
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let piece = &rest[..sizes.next().unwrap().min(rest.len())];
                let taken = to.handle(piece).unwrap();
                rest = &rest[taken..];
                if taken < piece.len() {
                    left = rest.to_vec();
                    break;
                }
            }
            if flight == 2 && left.is_empty() {
                left = rest.to_vec();
            }
        }
        // All of it, unless a cut was just behind the handshake.
        if left.is_empty() {
            left.clone_from(&record);
        }
        prop_assert_eq!(&left, &record);
        let mut listener = listener.finish().unwrap();
        prop_assert_eq!(listener.opener.open(&mut left), Ok(Opened::Data(10)));
    }

    #[test]
    fn no_bytes_panic(role: bool, bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let (mut dialer, mut listener) = pair(config(&[]), config(&[]));
        let end = if role { &mut dialer } else { &mut listener };
        let _ = end.handle(&bytes);
        let framed = [&[22, 3, 3, 0, u8::try_from(bytes.len()).unwrap_or(u8::MAX)][..], &bytes].concat();
        let (mut dialer, mut listener) = pair(config(&[]), config(&[]));
        let end = if role { &mut dialer } else { &mut listener };
        let _ = end.handle(&framed);
        let _ = verify(&bytes, NOW);
    }
}

#[test]
fn no_certificate_with_a_changed_byte_verifies() {
    let original = tls_identity(1).certificate().to_vec();
    for index in 0..original.len() {
        let mut certificate = original.clone();
        for xor in 1..=u8::MAX {
            certificate[index] = original[index] ^ xor;
            assert!(verify(&certificate, NOW).is_err(), "byte {index} changed by {xor}");
        }
    }
}

#[derive(Deserialize)]
struct File {
    vectors: Vec<Vector>,
    extra: Vec<Vector>,
    algorithms: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    about: String,
    certificate: String,
    #[serde(default)]
    peer_id: Option<String>,
}

fn file() -> File {
    serde_json::from_str(include_str!("vectors/tls.json")).unwrap()
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
        .collect()
}

#[test]
fn certificates_of_the_specification_verify_to_their_peers() {
    let vectors = file().vectors;
    assert_eq!(vectors.iter().filter(|vector| vector.peer_id.is_some()).count(), 3);
    for vector in &vectors {
        let verified = verify(&hex(&vector.certificate), NOW);
        let peer = verified.as_ref().ok().map(|key| key.to_peer_id().to_string());
        assert_eq!(peer, vector.peer_id, "{}", vector.about);
    }
    assert_eq!(verify(&hex(&vectors[3].certificate), NOW), Err(CertificateError::Signature));
}

#[test]
fn certificates_of_rust_and_js_libp2p_verify_to_their_peers() {
    // In these our extension is critical.
    for vector in file().extra {
        let verified = verify(&hex(&vector.certificate), NOW);
        let peer = verified.ok().map(|key| key.to_peer_id().to_string());
        assert_eq!(peer, vector.peer_id, "{}", vector.about);
    }
}

#[test]
fn self_signatures_of_every_algorithm_are_checked() {
    // All but one vouch for no identity, which is found when the self-signature has been verified.
    const WHILE_VALID: u64 = 1_640_000_000;
    for vector in file().algorithms {
        let expected = match vector.about.as_str() {
            "ed448" | "nistp521_sha512" => Some(CertificateError::Algorithm),
            "rsa_pss_sha384" => None,
            _ => Some(CertificateError::Signature),
        };
        let verified = verify(&hex(&vector.certificate), WHILE_VALID);
        assert_eq!(verified.err(), expected, "{}", vector.about);
    }
}
