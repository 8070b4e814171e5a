//! Whole connections in a private network, on a transport that cuts their bytes anywhere.

mod common;

use std::time::Duration;

use common::*;
use proptest::prelude::*;
use sanspeer_core::byte_mux::StreamLayer;
use sanspeer_core::connection::{ConnectionConfig, ConnectionEvent};
use sanspeer_core::mux::Role;
use sanspeer_core::pnet::{NONCE_BYTES, PreSharedKey, PskLayer};
use sanspeer_core::rng::Seed;
use sanspeer_core::time::Timestamp;

/// A pair whose ends have these keys.
fn pair(seed: u64, dialer: Option<u8>, listener: Option<u8>) -> Pair {
    pair_over(Secured::Noise, seed, dialer, listener)
}

fn pair_over(secured: Secured, seed: u64, dialer: Option<u8>, listener: Option<u8>) -> Pair {
    let layer = |key: Option<u8>, seed: u64| {
        let key = PreSharedKey::new([key?; 32]);
        let seed = Seed::from_u64(seed).derive("connection", 7);
        Some(Box::new(PskLayer::new(&key, &seed)) as Box<dyn StreamLayer>)
    };
    let config = ConnectionConfig::default();
    let (one, other) = (2 * seed, 2 * seed + 1);
    let layers = (layer(dialer, one), layer(listener, other));
    let offer = &[secured];
    let mut listener = End::offering(Role::Listener, other, None, config.clone(), layers.1, offer);
    let expected = Some(listener.identity.peer_id());
    let mut dialer = End::offering(Role::Dialer, one, expected, config, layers.0, offer);
    for end in [&mut dialer, &mut listener] {
        end.sent = Some(Vec::new());
    }
    Pair { dialer, listener, now: Timestamp::ZERO }
}

/// Shakes hands and sends `data` to and fro. Returns what each side sent and saw.
fn exchange(mut pair: Pair, data: &[u8]) -> [(Vec<u8>, Vec<ConnectionEvent>); 2] {
    pair.run();
    let (ours, theirs) = pair.open_echo();
    let (mut there, mut back) = (Vec::new(), Vec::new());
    let (mut asked, mut answered) = (0, 0);
    while back.len() < data.len() {
        asked += pair.dialer.write(ours, &data[asked..]);
        pair.run();
        there.extend(pair.listener.read(theirs).0);
        answered += pair.listener.write(theirs, &there[answered..]);
        pair.run();
        back.extend(pair.dialer.read(ours).0);
    }
    assert_eq!(there, data);
    assert_eq!(back, data);
    [pair.dialer, pair.listener].map(|end| (end.sent.clone().unwrap_or_default(), end.lifecycle()))
}

#[test]
fn both_ends_with_the_key_carry_streams() {
    let data: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    for secured in SECURED {
        let [dialer, listener] = exchange(pair_over(secured, 1, Some(1), Some(1)), &data);
        let [plain_dialer, plain_listener] = exchange(pair_over(secured, 1, None, None), &data);
        assert_eq!(dialer.1, plain_dialer.1);
        assert_eq!(listener.1, plain_listener.1);
        // The nonce first, and then nothing that looks like a handshake.
        for (sent, plain) in [(dialer.0, plain_dialer.0), (listener.0, plain_listener.0)] {
            let proposal = b"/multistream/1.0.0\n";
            assert!(plain.windows(proposal.len()).any(|bytes| bytes == proposal));
            assert!(!sent.windows(proposal.len()).any(|bytes| bytes == proposal));
            assert!(sent.len() >= NONCE_BYTES + data.len());
            assert_ne!(sent[NONCE_BYTES..NONCE_BYTES + 20], plain[..20]);
        }
    }
}

#[test]
fn one_seed_gives_the_same_bytes_again() {
    let sent = |seed| exchange(pair(seed, Some(1), Some(1)), b"data").map(|(sent, _)| sent);
    assert_eq!(sent(1), sent(1));
    assert_ne!(sent(1)[0][..NONCE_BYTES], sent(2)[0][..NONCE_BYTES]);
    assert_ne!(sent(1)[0][..NONCE_BYTES], sent(1)[1][..NONCE_BYTES]);
}

#[test]
fn a_nonce_that_comes_byte_by_byte_is_awaited() {
    let mut pair = pair(3, Some(1), Some(1));
    for end in [&mut pair.dialer, &mut pair.listener] {
        end.chunks = Chunks::Fixed(1);
    }
    exchange(pair, b"data");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn how_the_transport_cuts_bytes_changes_nothing(
        secured in prop::sample::select(&SECURED[..]),
        seed: u64,
        most in 1..200usize,
    ) {
        let data: Vec<u8> = (0..=255).cycle().take(5_000).collect();
        let whole = exchange(pair_over(secured, 4, Some(1), Some(1)), &data);
        let mut cut = pair_over(secured, 4, Some(1), Some(1));
        let seed = Seed::from_u64(seed);
        for (id, end) in [&mut cut.dialer, &mut cut.listener].into_iter().enumerate() {
            let rng = seed.derive("chunks", id as u64).rng();
            end.chunks = Chunks::Random(Box::new(rng), most);
        }
        let cut = exchange(cut, &data);
        for (whole, cut) in whole.into_iter().zip(cut) {
            prop_assert_eq!(whole.1, cut.1);
        }
    }

    #[test]
    fn another_key_or_none_never_gets_a_byte_through(
        seed in 0..u64::MAX / 4,
        keys in prop::sample::select(vec![
            (Some(1), Some(2)), (None, Some(1)), (Some(1), None),
        ]),
    ) {
        let mut pair = pair(seed, keys.0, keys.1);
        pair.run();
        pair.advance(Duration::from_secs(120));
        for end in [&pair.dialer, &pair.listener] {
            prop_assert!(end.connection.peer().is_none());
            prop_assert!(
                end.events.iter().all(|event| matches!(event, ConnectionEvent::Closed { .. })),
                "{:?}", end.events
            );
            prop_assert_eq!(end.events.len(), 1);
        }
    }
}
