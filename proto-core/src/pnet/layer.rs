//! [`PskLayer`]: XSalsa20 over everything that a connection sends and receives.
//!
//! It keeps strangers out and nothing more: bytes are not authenticated, and the nonce of an
//! earlier connection can be replayed. Both are for the secure channel above to find out.
//!
//! Specification: [pnet, Cryptography of Private Networks](https://github.com/libp2p/specs/blob/master/pnet/Private-Networks-PSK-V1.md#cryptography-of-private-networks).

use salsa20::XSalsa20;
use salsa20::cipher::{KeyIvInit, StreamCipher};

use super::key::PreSharedKey;
use crate::byte_mux::StreamLayer;
use crate::rng::Seed;

/// The nonce that each side sends in the clear before everything else, in bytes.
pub const NONCE_BYTES: usize = 24;

/// The layer of a private network, for one connection. Holds some 300 bytes for as long as the
/// connection lives, and clears them from memory afterwards.
pub struct PskLayer {
    key: PreSharedKey,
    nonce: [u8; NONCE_BYTES],
    sending: XSalsa20,
    /// Present from the remote's nonce on.
    receiving: Option<XSalsa20>,
}

impl PskLayer {
    /// The layer of a connection whose own seed is `seed`. The nonce follows from the seed, so a
    /// seed must not serve two connections under one key: the XOR of what they send would show.
    pub fn new(key: &PreSharedKey, seed: &Seed) -> PskLayer {
        let nonce = seed.derive("pnet", 0).rng().bytes();
        PskLayer { key: key.clone(), nonce, sending: cipher(key, nonce), receiving: None }
    }
}

impl StreamLayer for PskLayer {
    fn preamble(&mut self) -> Vec<u8> {
        self.nonce.to_vec()
    }

    fn preamble_bytes(&self) -> usize {
        NONCE_BYTES
    }

    /// Any 24 bytes are a nonce; of any other number nothing comes.
    fn handle_preamble(&mut self, preamble: &[u8]) {
        self.receiving = preamble.try_into().ok().map(|nonce| cipher(&self.key, nonce));
    }

    fn decrypt(&mut self, received: &mut [u8]) {
        // A key stream lasts for 2^70 bytes: it does not end.
        if let Some(receiving) = &mut self.receiving {
            receiving.apply_keystream(received);
        }
    }

    fn encrypt(&mut self, sent: &mut [u8]) {
        self.sending.apply_keystream(sent);
    }
}

fn cipher(key: &PreSharedKey, nonce: [u8; NONCE_BYTES]) -> XSalsa20 {
    XSalsa20::new(key.expose().into(), &nonce.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(key: u8, seed: u64) -> PskLayer {
        PskLayer::new(&PreSharedKey::new([key; 32]), &Seed::from_u64(seed))
    }

    fn hex<const N: usize>(text: &str) -> [u8; N] {
        data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap().try_into().unwrap()
    }

    #[test]
    fn the_key_stream_is_that_of_nacl() {
        // tests/stream3.c of NaCl 20110221; "Cryptography in NaCl", sections 8 and 9.
        let key = hex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389");
        let nonce = hex::<24>("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37");
        let mut layer = PskLayer::new(&PreSharedKey::new(key), &Seed::from_u64(1));
        layer.handle_preamble(&nonce);
        let mut stream = [0; 32];
        layer.decrypt(&mut stream);
        assert_eq!(stream, hex("eea6a7251c1e72916d11c2cb214d3c252539121d8e234e652d651fa4c8cff880"));
    }

    #[test]
    fn the_same_seed_gives_the_same_nonce_and_another_seed_another() {
        assert_eq!(layer(1, 1).preamble(), layer(2, 1).preamble());
        assert_ne!(layer(1, 1).preamble(), layer(1, 2).preamble());
        assert_eq!(layer(1, 1).preamble().len(), layer(1, 1).preamble_bytes());
    }

    #[test]
    fn what_is_encrypted_in_pieces_decrypts_in_other_pieces() {
        let (mut one, mut two) = (layer(1, 1), layer(1, 2));
        two.handle_preamble(&one.preamble());
        let text: Vec<u8> = (0..=255).cycle().take(1_000).collect();
        let mut bytes = text.clone();
        for piece in bytes.chunks_mut(77) {
            one.encrypt(piece);
        }
        assert_ne!(bytes, text);
        for piece in bytes.chunks_mut(64) {
            two.decrypt(piece);
        }
        assert_eq!(bytes, text);
    }

    #[test]
    fn each_direction_has_a_key_stream_of_its_own() {
        let (mut one, mut two) = (layer(1, 1), layer(1, 2));
        let (mut there, mut back) = ([0; 64], [0; 64]);
        one.encrypt(&mut there);
        two.encrypt(&mut back);
        assert_ne!(there, back);
    }
}
