//! Published vectors of `Noise_XX_25519_ChaChaPoly_SHA256`, replayed through our resolver and,
//! after the handshake, through our records.

use serde::Deserialize;
use snow::{Builder, HandshakeState};

use super::handshake::params;
use super::resolver::Resolver;
use super::{Opener, Sealer};
use crate::identity::Identity;
use crate::rng::Seed;

#[derive(Deserialize)]
struct File {
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    protocol_name: String,
    init_prologue: String,
    init_static: String,
    init_ephemeral: String,
    resp_prologue: String,
    resp_static: String,
    resp_ephemeral: String,
    handshake_hash: Option<String>,
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Message {
    payload: String,
    ciphertext: String,
}

fn hex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2));
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn builder<'a>(prologue: &'a [u8], secret: &'a [u8], ephemeral: &'a [u8]) -> Builder<'a> {
    let identity = Identity::ed25519(&Seed::from_u64(0));
    let resolver = Resolver::new(Seed::from_u64(0), identity.noise_keys());
    Builder::with_resolver(params(), Box::new(resolver))
        .prologue(prologue)
        .unwrap()
        .local_private_key(secret)
        .unwrap()
        .fixed_ephemeral_key_for_testing_only(ephemeral)
}

fn exchange(from: &mut HandshakeState, to: &mut HandshakeState, message: &Message) {
    let mut buffer = [0; 1024];
    let length = from.write_message(&hex(&message.payload), &mut buffer).unwrap();
    assert_eq!(buffer[..length], hex(&message.ciphertext));
    let mut payload = [0; 1024];
    let length = to.read_message(&buffer[..length], &mut payload).unwrap();
    assert_eq!(payload[..length], hex(&message.payload));
}

fn transport(sealer: &mut Sealer, opener: &mut Opener, message: &Message) {
    let mut record = hex(&message.payload);
    let tag = sealer.seal(&mut record).unwrap();
    record.extend_from_slice(&tag);
    assert_eq!(record, hex(&message.ciphertext));
    let length = opener.open(&mut record).unwrap();
    assert_eq!(record[..length], hex(&message.payload));
}

#[test]
fn the_published_vectors_hold() {
    let file: File =
        serde_json::from_str(include_str!("../../tests/vectors/noise_xx.json")).unwrap();
    assert_eq!(file.vectors.len(), 2);
    for vector in &file.vectors {
        assert_eq!(vector.protocol_name, params().name);
        assert_eq!(params(), vector.protocol_name.parse().unwrap());
        let init =
            [&vector.init_prologue, &vector.init_static, &vector.init_ephemeral].map(|t| hex(t));
        let resp =
            [&vector.resp_prologue, &vector.resp_static, &vector.resp_ephemeral].map(|t| hex(t));
        let mut dialer = builder(&init[0], &init[1], &init[2]).build_initiator().unwrap();
        let mut listener = builder(&resp[0], &resp[1], &resp[2]).build_responder().unwrap();

        let (handshake, records) = vector.messages.split_at(3);
        exchange(&mut dialer, &mut listener, &handshake[0]);
        exchange(&mut listener, &mut dialer, &handshake[1]);
        exchange(&mut dialer, &mut listener, &handshake[2]);
        assert_eq!(dialer.get_handshake_hash(), listener.get_handshake_hash());
        if let Some(hash) = &vector.handshake_hash {
            assert_eq!(dialer.get_handshake_hash(), hex(hash));
        }

        let (from_dialer, from_listener) = dialer.dangerously_get_raw_split();
        assert_eq!(listener.dangerously_get_raw_split(), (from_dialer, from_listener));
        let mut dialing = (Sealer::new(from_dialer), Opener::new(from_dialer));
        let mut listening = (Sealer::new(from_listener), Opener::new(from_listener));
        for (number, record) in records.iter().enumerate() {
            let (sealer, opener) = if number % 2 == 0 { &mut listening } else { &mut dialing };
            transport(sealer, opener, record);
        }
    }
}
