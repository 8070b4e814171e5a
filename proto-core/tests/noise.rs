//! The Noise handshake as a whole: both roles against each other and against `snow` driven by
//! hand, on a transport that cuts, changes and replays what it carries.
#![allow(clippy::unwrap_used)]

mod common;

use common::{sent, shake};
use proptest::prelude::*;
use sanspeer_core::identity::{Identity, KeyError, KeyKind, PeerId, decode_private_key};
use sanspeer_core::mux::Role;
use sanspeer_core::noise::{
    Handshake, HandshakeConfig, MAX_HANDSHAKE_MESSAGE_BYTES, MAX_PAYLOAD_BYTES, NoiseError, Opener,
    PayloadError, Sealer, Secured,
};
use sanspeer_core::protocol::ProtocolId;
use sanspeer_core::rng::Seed;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};

fn identity(number: u64) -> Identity {
    Identity::ed25519(&Seed::from_u64(number))
}

fn config(muxers: &[&str]) -> HandshakeConfig {
    let muxers = muxers.iter().map(|muxer| ProtocolId::new(muxer).unwrap()).collect();
    HandshakeConfig { expected_peer: None, muxers }
}

fn expecting(peer: PeerId) -> HandshakeConfig {
    HandshakeConfig { expected_peer: Some(peer), muxers: Vec::new() }
}

fn wrong_peer(expected: PeerId, found: PeerId) -> NoiseError {
    NoiseError::WrongPeer { expected: Box::new(expected), found: Box::new(found) }
}

fn pair(dialer: HandshakeConfig, listener: HandshakeConfig) -> (Handshake, Handshake) {
    (
        Handshake::new(Role::Dialer, &identity(1), &Seed::from_u64(11), dialer),
        Handshake::new(Role::Listener, &identity(2), &Seed::from_u64(12), listener),
    )
}

fn secured(dialer: HandshakeConfig, listener: HandshakeConfig) -> (Secured, Secured) {
    let (mut dialer, mut listener) = pair(dialer, listener);
    shake(&mut dialer, &mut listener).unwrap();
    (dialer.finish().unwrap(), listener.finish().unwrap())
}

fn carries(sealer: &mut Sealer, opener: &mut Opener, text: &[u8]) {
    let mut record = text.to_vec();
    let tag = sealer.seal(&mut record).unwrap();
    record.extend_from_slice(&tag);
    assert_eq!(opener.open(&mut record), Ok(text.len()));
    assert_eq!(&record[..text.len()], text);
}

#[test]
fn both_sides_know_each_other_and_agree_on_hash_and_keys() {
    let (mut dialer, mut listener) =
        secured(expecting(identity(2).peer_id()), expecting(identity(1).peer_id()));
    assert_eq!(dialer.peer, identity(2).peer_id());
    assert_eq!(listener.peer, identity(1).peer_id());
    assert_eq!(dialer.public_key, *identity(2).public_key());
    assert_eq!(dialer.handshake_hash, listener.handshake_hash);
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
    let first = sent(&mut dialer);
    assert_eq!(first.len(), 34);
    listener.handle(&first).unwrap();
    dialer.handle(&sent(&mut listener)).unwrap();
    assert!(!dialer.is_finished() && !listener.is_finished());
    listener.handle(&sent(&mut dialer)).unwrap();
    assert!(dialer.is_finished() && listener.is_finished());
    let (early, _) = pair(config(&[]), config(&[]));
    assert_eq!(early.finish().map(|_| ()), Err(NoiseError::Unfinished));
}

#[test]
fn every_type_of_identity_key_is_accepted_in_both_roles() {
    let file: serde_json::Value =
        serde_json::from_str(include_str!("vectors/peer_ids.json")).unwrap();
    for vector in file["vectors"].as_array().unwrap() {
        let key = decode_private_key(&hex(vector["private"].as_str().unwrap())).unwrap();
        let other = Identity::new(key, &Seed::from_u64(3)).unwrap();
        for role in [Role::Dialer, Role::Listener] {
            let mut them =
                Handshake::new(role, &other, &Seed::from_u64(4), config(&["/yamux/1.0.0"]));
            let mut us = Handshake::new(
                match role {
                    Role::Dialer => Role::Listener,
                    Role::Listener => Role::Dialer,
                },
                &identity(1),
                &Seed::from_u64(5),
                config(&["/yamux/1.0.0"]),
            );
            match role {
                Role::Dialer => shake(&mut them, &mut us).unwrap(),
                Role::Listener => shake(&mut us, &mut them).unwrap(),
            };
            let us = us.finish().unwrap();
            assert_eq!(us.peer.to_string(), vector["peer_id"].as_str().unwrap());
            assert_eq!(us.muxer.unwrap().as_str(), "/yamux/1.0.0");
        }
    }
}

#[test]
fn the_wrong_peer_is_named_and_never_learns_who_dialled() {
    let expected = identity(9).peer_id();
    let (mut dialer, mut listener) = pair(expecting(expected), config(&[]));
    let error = shake(&mut dialer, &mut listener).unwrap_err();
    assert_eq!(error, wrong_peer(expected, identity(2).peer_id()));
    assert!(error.to_string().contains(&expected.to_string()));
    assert!(sent(&mut dialer).is_empty(), "message 3 names the dialer");
    assert_eq!(dialer.handle(&[0]), Err(error.clone()), "an error is final");
    assert!(!dialer.is_finished());
    assert_eq!(dialer.finish().map(|_| ()), Err(error));

    let (mut dialer, mut listener) = pair(config(&[]), expecting(expected));
    assert_eq!(shake(&mut dialer, &mut listener), Err(wrong_peer(expected, identity(1).peer_id())));
}

#[test]
fn the_first_muxer_of_the_dialer_that_both_offer_is_chosen() {
    // The example of the specification.
    let (yamux, mplex) = ("/yamux/1.0.0", "/mplex/6.7.0");
    let cases: [(&[&str], &[&str], Option<&str>); 6] = [
        (&[yamux, mplex], &[mplex, yamux], Some(yamux)),
        (&[mplex, yamux], &[yamux, mplex], Some(mplex)),
        (&["/other", yamux], &[mplex, yamux], Some(yamux)),
        (&[yamux], &[], None),
        (&[], &[yamux], None),
        (&[], &[], None),
    ];
    for (dialer, listener, chosen) in cases {
        let (dialer, listener) = secured(config(dialer), config(listener));
        assert_eq!(dialer.muxer, listener.muxer);
        assert_eq!(dialer.muxer.as_ref().map(ProtocolId::as_str), chosen);
    }
}

#[test]
fn offers_without_a_common_muxer_fail() {
    let (mut dialer, mut listener) = pair(config(&["/yamux/1.0.0"]), config(&["/mplex/6.7.0"]));
    assert_eq!(shake(&mut dialer, &mut listener), Err(NoiseError::NoCommonMuxer));
    assert!(sent(&mut dialer).is_empty());
}

#[test]
fn the_same_seeds_give_the_same_bytes_and_another_seed_another_key() {
    let bytes = |seed: u64| {
        let mut dialer =
            Handshake::new(Role::Dialer, &identity(1), &Seed::from_u64(seed), config(&["/m"]));
        let (_, mut listener) = pair(config(&[]), config(&["/m"]));
        shake(&mut dialer, &mut listener).unwrap()
    };
    assert_eq!(bytes(1), bytes(1));
    assert_ne!(bytes(1)[0], bytes(2)[0]);
}

#[test]
fn impossible_lengths_are_refused_from_the_prefix_alone() {
    for (length, refused) in [
        (0u16, true),
        (31, true),
        (32, false),
        (32 + 4_096, false),
        (32 + 4_097, true),
        (65_535, true),
    ] {
        let (_, mut listener) = pair(config(&[]), config(&[]));
        let result = listener.handle(&length.to_be_bytes());
        assert_eq!(result.is_err(), refused, "{length}");
        if refused {
            assert!(matches!(result, Err(NoiseError::MessageLength { message: 1, min: 32, .. })));
        }
    }
    let (mut dialer, _) = pair(config(&[]), config(&[]));
    let longest = u16::try_from(MAX_HANDSHAKE_MESSAGE_BYTES).unwrap();
    assert_eq!(dialer.handle(&longest.to_be_bytes()), Ok(2));
    let (mut dialer, _) = pair(config(&[]), config(&[]));
    assert!(dialer.handle(&(longest + 1).to_be_bytes()).is_err());
}

#[test]
fn a_key_of_low_order_is_refused() {
    let (_, mut listener) = pair(config(&[]), config(&[]));
    let mut message = vec![0; 34];
    message[1] = 32;
    assert_eq!(listener.handle(&message), Err(NoiseError::Message { message: 1 }));
    assert!(sent(&mut listener).is_empty());
}

#[test]
fn a_payload_in_the_first_message_is_refused() {
    let (_, mut listener) = pair(config(&[]), config(&[]));
    let mut message = vec![9; 37];
    message[..2].copy_from_slice(&35u16.to_be_bytes());
    assert_eq!(listener.handle(&message), Err(NoiseError::Payload(PayloadError::Unexpected(3))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn one_flipped_bit_in_any_message_fails(which in 0usize..3, bit: prop::sample::Index) {
        let (mut dialer, mut listener) = pair(config(&["/yamux/1.0.0"]), config(&["/yamux/1.0.0"]));
        let mut failed = None;
        for number in 0..3 {
            let (from, to) = if number % 2 == 0 {
                (&mut dialer, &mut listener)
            } else {
                (&mut listener, &mut dialer)
            };
            let mut message = sent(from);
            if number == which {
                let bit = bit.index(message.len() * 8);
                message[bit / 8] ^= 1 << (bit % 8);
            }
            if let Err(error) = to.handle(&message) {
                failed = Some(error);
                break;
            }
        }
        prop_assert!(!(dialer.is_finished() && listener.is_finished()));
        // Otherwise a longer length was announced, and the rest never came.
        if let Some(error) = failed {
            let expected = matches!(
                error,
                NoiseError::Message { .. } | NoiseError::MessageLength { .. } | NoiseError::Payload(_)
            );
            prop_assert!(expected, "{}", error);
        }
    }

    #[test]
    fn cutting_the_bytes_anywhere_changes_nothing_and_records_are_left(
        cuts in prop::collection::vec(1usize..60, 1..80),
        trailing in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let (mut dialer, mut listener) = pair(config(&["/m"]), config(&["/m"]));
        let whole = shake(&mut dialer, &mut listener).unwrap();
        let expected = (dialer.finish().unwrap(), listener.finish().unwrap());

        let (mut dialer, mut listener) = pair(config(&["/m"]), config(&["/m"]));
        let mut cuts = cuts.iter().cycle();
        for (number, expected) in whole.iter().enumerate() {
            let (from, to) = if number % 2 == 0 {
                (&mut dialer, &mut listener)
            } else {
                (&mut listener, &mut dialer)
            };
            let mut message = sent(from);
            prop_assert_eq!(&message, expected);
            let length = message.len();
            // What follows the last message of one direction is a record.
            if number > 0 {
                message.extend_from_slice(&trailing);
            }
            let (mut rest, mut taken) = (&message[..], 0);
            while taken < length {
                let (piece, after) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                let count = to.handle(piece).unwrap();
                taken += count;
                prop_assert!(count == piece.len() || taken == length);
                rest = after;
            }
            prop_assert_eq!(taken, length);
            if number > 0 {
                prop_assert_eq!(to.handle(rest).unwrap(), 0);
            }
        }
        let found = (dialer.finish().unwrap(), listener.finish().unwrap());
        prop_assert_eq!(found.0.handshake_hash, expected.0.handshake_hash);
        prop_assert_eq!(found.1.muxer, expected.1.muxer);
    }

    #[test]
    fn no_bytes_panic(role: bool, bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let (dialer, listener) = pair(config(&[]), config(&[]));
        let mut handshake = if role { dialer } else { listener };
        let _ = handshake.handle(&bytes);
        prop_assert!(!handshake.is_finished());
    }
}

// A remote made of snow alone, which says whatever a test wants.

struct Plain;

struct NoRandomness;

impl Random for NoRandomness {
    fn try_fill_bytes(&mut self, _: &mut [u8]) -> Result<(), snow::Error> {
        Err(snow::Error::Rng)
    }
}

impl CryptoResolver for Plain {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(NoRandomness))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        DefaultResolver.resolve_dh(choice)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

const REMOTE_STATIC: [u8; 32] = [5; 32];

/// `NoiseHandshakePayload` with these fields, written by hand.
fn payload(key: Option<&[u8]>, signature: Option<&[u8]>) -> Vec<u8> {
    let mut payload = Vec::new();
    for (tag, field) in [(0x0a, key), (0x12, signature)] {
        if let Some(field) = field {
            payload.push(tag);
            payload.push(u8::try_from(field.len()).unwrap());
            payload.extend_from_slice(field);
        }
    }
    payload
}

/// A good payload of `identity` for `REMOTE_STATIC`, in two parts.
fn credentials(identity: &Identity) -> (Vec<u8>, Vec<u8>) {
    let mut dh = DefaultResolver.resolve_dh(&DHChoice::Curve25519).unwrap();
    dh.set(&REMOTE_STATIC);
    let signed = [b"noise-libp2p-static-key:", dh.pubkey()].concat();
    (identity.public_key().encode_protobuf(), identity.keypair().sign(&signed).unwrap())
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&u16::try_from(message.len()).unwrap().to_be_bytes()[..], message].concat()
}

/// Our dialer against a listener of snow that sends `payload`.
fn dial_snow(payload: &[u8]) -> Result<(Handshake, snow::HandshakeState), NoiseError> {
    let mut remote = snow::Builder::with_resolver(
        "Noise_XX_25519_ChaChaPoly_SHA256".parse().unwrap(),
        Box::new(Plain),
    )
    .local_private_key(&REMOTE_STATIC)
    .unwrap()
    .fixed_ephemeral_key_for_testing_only(&[6; 32])
    .build_responder()
    .unwrap();
    let (mut dialer, _) = pair(config(&["/yamux/1.0.0"]), config(&[]));
    let mut buffer = vec![0; 65_535];
    remote.read_message(&sent(&mut dialer)[2..], &mut buffer).unwrap();
    let length = remote.write_message(payload, &mut buffer).unwrap();
    dialer.handle(&framed(&buffer[..length]))?;
    let third = sent(&mut dialer);
    remote.read_message(&third[2..], &mut buffer).unwrap();
    Ok((dialer, remote))
}

#[test]
fn records_are_those_of_snow_in_both_directions() {
    let (key, signature) = credentials(&identity(7));
    let (dialer, remote) = dial_snow(&payload(Some(&key), Some(&signature))).unwrap();
    let mut secured = dialer.finish().unwrap();
    assert_eq!(secured.peer, identity(7).peer_id());
    assert_eq!(secured.handshake_hash, remote.get_handshake_hash());
    assert_eq!(secured.muxer, None);
    let mut remote = remote.into_transport_mode().unwrap();
    let mut buffer = vec![0; 65_535];
    for text in [&b""[..], b"one", &[3; 65_519]] {
        let mut record = text.to_vec();
        let tag = secured.sealer.seal(&mut record).unwrap();
        record.extend_from_slice(&tag);
        let length = remote.read_message(&record, &mut buffer).unwrap();
        assert_eq!(&buffer[..length], text);

        let length = remote.write_message(text, &mut buffer).unwrap();
        assert_eq!(secured.opener.open(&mut buffer[..length]), Ok(text.len()));
        assert_eq!(&buffer[..text.len()], text);
    }
}

#[test]
fn an_identity_that_is_missing_unsigned_or_no_key_is_refused() {
    let (key, signature) = credentials(&identity(7));
    let refused = |payload: &[u8]| dial_snow(payload).map(|_| ()).unwrap_err();
    assert_eq!(refused(&[]), NoiseError::Payload(PayloadError::NoIdentityKey));
    assert_eq!(
        refused(&payload(None, Some(&signature))),
        NoiseError::Payload(PayloadError::NoIdentityKey)
    );
    assert_eq!(refused(&payload(Some(&key), None)), NoiseError::Payload(PayloadError::NoSignature));
    assert_eq!(refused(&payload(Some(&key), Some(&[]))), NoiseError::Signature);
    assert_eq!(
        refused(&payload(Some(&key), Some(&credentials(&identity(8)).1))),
        NoiseError::Signature
    );
    assert_eq!(
        refused(&payload(Some(&[8, 1, 18, 1, 0]), Some(&signature))),
        NoiseError::IdentityKey(KeyError::Invalid(KeyKind::Ed25519))
    );
    assert_eq!(refused(&[0x0a, 9, 1]), NoiseError::Payload(PayloadError::Malformed));
    assert!(matches!(
        refused(&vec![0; MAX_PAYLOAD_BYTES + 1]),
        NoiseError::MessageLength { message: 2, .. }
    ));
}

#[test]
fn the_signature_of_another_noise_key_is_refused() {
    // The identity is real and so is its signature, but for the Noise key of somebody else.
    let signed = [&b"noise-libp2p-static-key:"[..], identity(7).noise_keys().public()].concat();
    let signature = identity(7).keypair().sign(&signed).unwrap();
    let key = identity(7).public_key().encode_protobuf();
    assert_eq!(
        dial_snow(&payload(Some(&key), Some(&signature))).map(|_| ()),
        Err(NoiseError::Signature)
    );
}

fn hex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2));
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}
