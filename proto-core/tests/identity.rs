//! Keys and peer ids against the vectors of the specification.
#![allow(clippy::unwrap_used)]

use sanspeer_core::identity::{
    Identity, KeyError, KeyKind, decode_private_key, decode_public_key, encode_private_key,
};
use sanspeer_core::rng::Seed;
use serde::Deserialize;

#[derive(Deserialize)]
struct File {
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    r#type: String,
    private: String,
    public: String,
    peer_id: String,
}

fn vectors() -> Vec<Vector> {
    let file: File = serde_json::from_str(include_str!("vectors/peer_ids.json")).unwrap();
    assert_eq!(file.vectors.len(), 4);
    file.vectors
}

fn hex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2));
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

#[test]
fn private_keys_decode_to_their_public_keys_and_peer_ids() {
    for vector in vectors() {
        let private = decode_private_key(&hex(&vector.private)).unwrap();
        assert_eq!(private.public().encode_protobuf(), hex(&vector.public), "{}", vector.r#type);
        let public = decode_public_key(&hex(&vector.public)).unwrap();
        assert_eq!(public, private.public());
        assert_eq!(public.to_peer_id().to_string(), vector.peer_id);
        let identity = Identity::new(private, &Seed::from_u64(1)).unwrap();
        assert_eq!(identity.peer_id().to_string(), vector.peer_id);
    }
}

#[test]
fn every_type_of_key_verifies_what_it_signed_and_nothing_else() {
    for vector in vectors() {
        let private = decode_private_key(&hex(&vector.private)).unwrap();
        let public = decode_public_key(&hex(&vector.public)).unwrap();
        let mut signature = private.sign(b"message").unwrap();
        assert!(public.verify(b"message", &signature), "{}", vector.r#type);
        assert!(!public.verify(b"another", &signature));
        signature[10] ^= 1;
        assert!(!public.verify(b"message", &signature));
        assert!(!public.verify(b"message", &[]));
    }
}

#[test]
fn private_keys_encode_as_they_came_except_rsa() {
    for vector in vectors() {
        let private = decode_private_key(&hex(&vector.private)).unwrap();
        match encode_private_key(&private) {
            Ok(encoded) => assert_eq!(*encoded, hex(&vector.private), "{}", vector.r#type),
            Err(error) => {
                assert_eq!(vector.r#type, "RSA");
                assert_eq!(error, KeyError::NotEncodable(KeyKind::Rsa));
            }
        }
    }
}

#[test]
fn a_key_that_is_cut_short_or_longer_is_refused() {
    for vector in vectors() {
        let key = hex(&vector.public);
        for length in 0..key.len() {
            assert!(decode_public_key(&key[..length]).is_err(), "{} {length}", vector.r#type);
        }
    }
}

#[test]
fn debug_output_of_key_pairs_hides_the_secret() {
    for vector in vectors() {
        let secret = hex(&vector.private);
        let shown = format!("{:?}", decode_private_key(&secret).unwrap()).to_lowercase();
        // Where the secret is: all of a short key's, a part of the exponent of RSA.
        let (start, end) = match vector.r#type.as_str() {
            "Ed25519" | "secp256k1" => (4, 36),
            "ECDSA" => (10, 42),
            _ => (700, 732),
        };
        assert!(!shown.contains(&vector.private[start * 2..end * 2]), "{}", vector.r#type);
    }
}
