//! The core's vectors: what others made.

use sanspeer_core::identity::{Identity, decode_private_key};
use sanspeer_core::rng::Seed;
use serde_json::Value;

/// Key pairs, one of each type.
const PEER_IDS: &str = include_str!("../../proto-core/tests/vectors/peer_ids.json");

/// Certificates, good and bad.
pub const TLS: &str = include_str!("../../proto-core/tests/vectors/tls.json");

/// The vectors of a file.
pub fn read(file: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(file).expect("JSON");
    file["vectors"].as_array().expect("a list").clone()
}

/// The bytes of a hexadecimal string.
pub fn hex(text: &Value) -> Vec<u8> {
    let text = text.as_str().expect("a string").as_bytes();
    let digit = |digit: u8| char::from(digit).to_digit(16).expect("hexadecimal") as u8;
    text.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// One identity of each type of key.
pub fn identities() -> Vec<Identity> {
    let identity = |vector: Value| {
        let key = decode_private_key(&hex(&vector["private"])).expect("a good key");
        Identity::new(key, &Seed::from_u64(1)).expect("it signs")
    };
    read(PEER_IDS).into_iter().map(identity).collect()
}
