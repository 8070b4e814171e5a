//! From the first byte to a secured connection, with remotes that keep to nothing.

mod common;

use std::time::Duration;

use common::*;
use sanspeer_core::byte_mux::{ByteMuxConfig, StreamLayer};
use sanspeer_core::close::CloseReason;
use sanspeer_core::connection::{ConnectionConfig, ConnectionEvent};
use sanspeer_core::identity::Identity;
use sanspeer_core::mailbox::ToNode;
use sanspeer_core::multistream::NegotiationError;
use sanspeer_core::mux::Role;
use sanspeer_core::noise::{Handshake, HandshakeConfig, RecordError, Secured};
use sanspeer_core::rng::{Rng, Seed};
use sanspeer_core::time::{DeadlineReason, Timestamp};

const ROLES: [Role; 2] = [Role::Dialer, Role::Listener];

fn alone(role: Role, seed: u64) -> End {
    End::new(role, seed, None, ConnectionConfig::default())
}

/// Gives `end` these bytes. It may stop reading on the way.
fn feed(end: &mut End, now: Timestamp, bytes: &[u8]) {
    let mut wire = bytes.iter().copied().collect();
    while end.receive(now, &mut wire) {}
    end.transmit(now);
}

/// Lets time pass until the connection is over, and returns when that was.
fn wait(end: &mut End, mut now: Timestamp, mut each: impl FnMut(&mut End, Timestamp)) -> Timestamp {
    end.poll(now);
    while let Some(deadline) = end.connection.poll_timeout() {
        now = now.max(deadline.at.min(now.saturating_add(Duration::from_secs(1))));
        end.connection.handle_timeout(now);
        end.poll(now);
        each(end, now);
    }
    assert!(end.connection.is_closed());
    now
}

#[test]
fn a_remote_that_says_nothing_is_given_ten_seconds() {
    for role in ROLES {
        for takes_bytes in [true, false] {
            let mut end = alone(role, 1);
            let until = wait(&mut end, Timestamp::ZERO, |end, now| {
                if takes_bytes {
                    end.transmit(now);
                }
            });
            assert_eq!(until, Timestamp::from_secs(10), "{role:?}, takes bytes: {takes_bytes}");
            let reason = CloseReason::TimedOut(DeadlineReason::Handshake);
            assert_eq!(end.closed(), Some(&reason));
            assert!(
                matches!(&end.node[..], [ToNode::Closed { reason: told, .. }] if *told == reason)
            );
        }
    }
}

#[test]
fn a_remote_that_says_a_byte_a_second_is_given_ten_seconds() {
    for role in ROLES {
        let mut pair = Pair::new(2);
        // What an honest remote would say.
        pair.dialer.sent = Some(Vec::new());
        pair.listener.sent = Some(Vec::new());
        pair.run();
        let other = if role == Role::Dialer { &pair.listener } else { &pair.dialer };
        let mut bytes = other.sent.clone().expect("kept").into_iter();
        let expected = (role == Role::Dialer).then(|| pair.listener.identity.peer_id());
        let seed = if role == Role::Dialer { 4 } else { 5 };
        let mut end = End::new(role, seed, expected, ConnectionConfig::default());
        let until = wait(&mut end, Timestamp::ZERO, |end, now| {
            let byte = bytes.next().expect("a long handshake");
            feed(end, now, &[byte]);
        });
        assert_eq!(until, Timestamp::from_secs(10), "{role:?}");
        let reason = CloseReason::TimedOut(DeadlineReason::Handshake);
        assert_eq!(end.closed(), Some(&reason));
    }
}

#[test]
fn another_peer_than_the_one_that_was_dialled_is_a_reason_of_its_own() {
    let mut pair = Pair::new(3);
    let expected = Identity::ed25519(&Seed::from_u64(99)).peer_id();
    pair.dialer = End::new(Role::Dialer, 6, Some(expected), ConnectionConfig::default());
    pair.run();
    let found = pair.listener.identity.peer_id();
    let reason = CloseReason::WrongPeer { expected: Box::new(expected), found: Box::new(found) };
    assert_eq!(pair.dialer.closed(), Some(&reason));
    assert_eq!(pair.dialer.events.len(), 1, "{:?}", pair.dialer.events);
    assert_eq!(pair.dialer.connection.peer(), None);
    // The dialer's identity was not given away.
    assert_eq!(pair.listener.closed(), Some(&CloseReason::TransportEnded));
    assert_eq!(pair.listener.connection.peer(), None);
}

#[test]
fn garbage_ends_a_connection_within_ten_seconds_and_no_byte_of_it_gets_through() {
    for role in ROLES {
        for seed in 0..64 {
            let mut rng = Seed::from_u64(seed).rng();
            let mut garbage = vec![0; 1 + (rng.next_u32() as usize) % 100_000];
            rng.fill(&mut garbage);
            if seed % 2 == 1 {
                // Behind a good beginning.
                let mut good = proposal("/noise");
                good.append(&mut garbage);
                garbage = good;
            }
            let mut end = alone(role, 4);
            feed(&mut end, Timestamp::ZERO, &garbage);
            let until = wait(&mut end, Timestamp::ZERO, |end, now| {
                end.transmit(now);
            });
            assert!(until <= Timestamp::from_secs(10), "{until:?}");
            assert!(
                matches!(
                    end.closed(),
                    Some(
                        CloseReason::Multistream(_)
                            | CloseReason::Noise(_)
                            | CloseReason::TimedOut(DeadlineReason::Handshake)
                    )
                ),
                "{:?}",
                end.closed()
            );
            assert_eq!(end.events.len(), 1);
        }
    }
}

#[test]
fn a_remote_without_noise_is_told_so_and_left() {
    let mut dialer = alone(Role::Dialer, 5);
    feed(&mut dialer, Timestamp::ZERO, &[line("/multistream/1.0.0"), line("na")].concat());
    assert!(matches!(
        dialer.closed(),
        Some(CloseReason::Multistream(NegotiationError::Refused(_)))
    ));
    let mut listener = alone(Role::Listener, 5);
    feed(&mut listener, Timestamp::ZERO, &proposal("/tls/1.0.0"));
    let answer: Vec<u8> = listener.wire.iter().copied().collect();
    assert_eq!(answer, [line("/multistream/1.0.0"), line("na")].concat());
    let until = wait(&mut listener, Timestamp::ZERO, |_, _| {});
    assert_eq!(until, Timestamp::from_secs(10));
}

/// Shakes hands with `end` by hand, without a word about muxers.
fn shake_hands(end: &mut End, role: Role) -> Secured {
    let seed = Seed::from_u64(77);
    let identity = Identity::ed25519(&seed);
    let config = HandshakeConfig { expected_peer: None, muxers: Vec::new() };
    let mut handshake = Handshake::new(role, &identity, &seed, config);
    let now = Timestamp::ZERO;
    let mut out = proposal("/noise");
    end.poll(now);
    end.transmit(now);
    let mut skipped = false;
    for _ in 0..4 {
        handshake.transmit(&mut out);
        feed(end, now, &out);
        out.clear();
        if !skipped && end.wire.len() >= proposal("/noise").len() {
            end.wire.drain(..proposal("/noise").len());
            skipped = true;
        }
        let bytes: Vec<u8> = end.wire.iter().copied().collect();
        if !handshake.is_finished() {
            let consumed = handshake.handle(&bytes).expect("a good handshake");
            end.wire.drain(..consumed);
        }
    }
    handshake.finish().expect("a finished handshake")
}

/// Seals bytes as a record.
fn seal(secured: &mut Secured, bytes: &[u8]) -> Vec<u8> {
    let mut record = bytes.to_vec();
    let tag = secured.sealer.seal(&mut record).expect("a fresh key");
    record.extend_from_slice(&tag);
    let length = u16::try_from(record.len()).expect("a short record");
    [&length.to_be_bytes()[..], &record].concat()
}

#[test]
fn a_remote_without_yamux_is_told_so_and_left() {
    let mut dialer = alone(Role::Dialer, 6);
    let mut secured = shake_hands(&mut dialer, Role::Listener);
    let refusal = [line("/multistream/1.0.0"), line("na")].concat();
    let refusal = seal(&mut secured, &refusal);
    feed(&mut dialer, Timestamp::ZERO, &refusal);
    let until = wait(&mut dialer, Timestamp::ZERO, |end, now| {
        end.transmit(now);
    });
    assert_eq!(until, Timestamp::ZERO);
    assert!(matches!(
        dialer.closed(),
        Some(CloseReason::Multistream(NegotiationError::Refused(_)))
    ));

    let mut listener = alone(Role::Listener, 6);
    let mut secured = shake_hands(&mut listener, Role::Dialer);
    let mplex = seal(&mut secured, &proposal("/mplex/6.7.0"));
    feed(&mut listener, Timestamp::ZERO, &mplex);
    let mut record: Vec<u8> = listener.wire.drain(..).skip(2).collect();
    let length = secured.opener.open(&mut record).unwrap();
    assert_eq!(record[..length], [line("/multistream/1.0.0"), line("na")].concat());
    let until = wait(&mut listener, Timestamp::ZERO, |_, _| {});
    assert_eq!(until, Timestamp::from_secs(10));
    assert_eq!(listener.connection.peer(), None);
}

#[test]
fn a_remote_that_never_answers_for_the_muxer_is_given_ten_seconds() {
    let mut dialer = alone(Role::Dialer, 7);
    shake_hands(&mut dialer, Role::Listener);
    assert!(dialer.connection.peer().is_some());
    // It does not take the goodbye either.
    let until = wait(&mut dialer, Timestamp::ZERO, |_, _| {});
    assert_eq!(until, Timestamp::from_secs(10));
    assert_eq!(dialer.closed(), Some(&CloseReason::TimedOut(DeadlineReason::Handshake)));
}

#[test]
fn without_the_early_muxer_on_either_side_it_is_negotiated_afterwards() {
    let config = |early_muxer| ConnectionConfig {
        byte_mux: ByteMuxConfig { early_muxer, ..ByteMuxConfig::default() },
        ..ConnectionConfig::default()
    };
    let mut sizes = Vec::new();
    for (dialer, listener) in [(true, true), (false, true), (true, false), (false, false)] {
        let mut pair = Pair::with_configs(8, config(dialer), config(listener));
        for end in [&mut pair.dialer, &mut pair.listener] {
            end.sent = Some(Vec::new());
            end.chunks = Chunks::Fixed(7);
        }
        pair.run();
        let (ours, theirs) = pair.open_echo();
        assert_eq!(pair.dialer.write(ours, b"there"), 5);
        assert_eq!(pair.listener.write(theirs, b"back"), 4);
        pair.run();
        assert_eq!(pair.listener.read(theirs), (b"there".to_vec(), false));
        assert_eq!(pair.dialer.read(ours), (b"back".to_vec(), false));
        sizes.push(pair.listener.sent.as_ref().map_or(0, Vec::len));
        pair.advance(Duration::from_secs(20));
        assert_eq!(pair.dialer.closed(), None);
    }
    // A negotiation that did not take place was not sent.
    assert!(sizes[1..].iter().all(|size| *size > sizes[0] + 20), "{sizes:?}");
}

#[test]
fn one_flipped_bit_in_any_record_ends_the_connection_and_gets_nothing_through() {
    let mut rng = Seed::from_u64(9).rng();
    let mut pair = Pair::established(9);
    let (ours, _) = pair.open_echo();
    let data = vec![1; 70_000];
    assert_eq!(pair.dialer.write(ours, &data), data.len());
    pair.dialer.transmit(pair.now);
    let wire = pair.dialer.wire.clone();
    let mut records = Vec::new();
    let mut at = 0;
    while at < wire.len() {
        let length = usize::from(wire[at]) * 256 + usize::from(wire[at + 1]);
        records.push(at + 2..at + 2 + length);
        at += 2 + length;
    }
    assert_eq!(records.len(), 2);
    for record in records {
        for _ in 0..20 {
            let mut pair = Pair::established(9);
            let (ours, theirs) = pair.open_echo();
            pair.dialer.write(ours, &data);
            pair.dialer.transmit(pair.now);
            assert!(pair.dialer.wire == wire);
            let at = record.start + (rng.next_u32() as usize) % record.len();
            pair.dialer.wire[at] ^= 1 << (rng.next_u32() % 8);
            pair.run();
            assert_eq!(pair.listener.closed(), Some(&CloseReason::Record(RecordError::Forged)));
            let mut read = Vec::new();
            while let Ok(bytes) = pair.listener.connection.stream(theirs).read(usize::MAX) {
                read.extend_from_slice(&bytes);
            }
            // What the records before it carried, and nothing else.
            assert_eq!(read.is_empty(), record.start == 2);
            assert!(read.len() < 65_536 && read.iter().all(|byte| *byte == 1));
            assert_eq!(pair.dialer.closed(), Some(&CloseReason::RemoteGoodbye { code: 1 }));
        }
    }
}

/// XORs everything behind a 24-byte nonce with a key stream.
struct Xor {
    key: u64,
    nonce: [u8; 24],
    sending: KeyStream,
    receiving: Option<KeyStream>,
}

struct KeyStream {
    rng: Rng,
    block: [u8; 64],
    used: usize,
}

impl KeyStream {
    fn new(key: u64, nonce: &[u8]) -> Self {
        let label = nonce.iter().fold(0, |sum: u64, byte| sum.wrapping_mul(257) + u64::from(*byte));
        let rng = Seed::from_u64(key).derive("test", label).rng();
        KeyStream { rng, block: [0; 64], used: 64 }
    }

    fn apply(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            if self.used == 64 {
                self.block = self.rng.bytes();
                self.used = 0;
            }
            *byte ^= self.block[self.used];
            self.used += 1;
        }
    }
}

impl Xor {
    fn boxed(key: u64, nonce: u8) -> Box<dyn StreamLayer> {
        let nonce = [nonce; 24];
        Box::new(Xor { key, nonce, sending: KeyStream::new(key, &nonce), receiving: None })
    }
}

impl StreamLayer for Xor {
    fn preamble(&mut self) -> Vec<u8> {
        self.nonce.to_vec()
    }

    fn preamble_bytes(&self) -> usize {
        24
    }

    fn handle_preamble(&mut self, preamble: &[u8]) {
        assert!(self.receiving.is_none(), "called twice");
        assert_eq!(preamble.len(), 24);
        self.receiving = Some(KeyStream::new(self.key, preamble));
    }

    fn decrypt(&mut self, received: &mut [u8]) {
        self.receiving.as_mut().expect("the preamble came first").apply(received);
    }

    fn encrypt(&mut self, sent: &mut [u8]) {
        self.sending.apply(sent);
    }
}

fn layered(seed: u64, keys: (u64, u64), chunks: impl Fn() -> Chunks) -> Pair {
    let mut pair = Pair::new(seed);
    let config = ConnectionConfig::default;
    pair.listener =
        End::with_layer(Role::Listener, 21, None, config(), Some(Xor::boxed(keys.0, 1)));
    pair.dialer = End::with_layer(Role::Dialer, 20, None, config(), Some(Xor::boxed(keys.1, 2)));
    for end in [&mut pair.dialer, &mut pair.listener] {
        end.chunks = chunks();
        end.sent = Some(Vec::new());
    }
    pair.run();
    pair
}

#[test]
fn a_layer_below_the_first_byte_works_however_the_bytes_are_cut() {
    let random = || Chunks::Random(Box::new(Seed::from_u64(3).rng()), 100);
    let cuts: [&dyn Fn() -> Chunks; 6] = [
        &|| Chunks::Whole,
        &|| Chunks::Fixed(1),
        &|| Chunks::Fixed(23),
        &|| Chunks::Fixed(24),
        &|| Chunks::Fixed(25),
        &random,
    ];
    for chunks in cuts {
        let mut pair = layered(10, (5, 5), chunks);
        let sent = pair.dialer.sent.clone().expect("kept");
        assert_eq!(sent[..24], [2; 24]);
        assert!(!sent.windows(6).any(|bytes| bytes == b"/noise"), "a layer that changes nothing");
        let (ours, theirs) = pair.open_echo();
        let data = vec![3; 150_000];
        assert_eq!(pair.dialer.write(ours, &data), data.len());
        assert_eq!(pair.listener.write(theirs, &data), data.len());
        pair.run();
        assert!(pair.listener.read(theirs) == (data.clone(), false));
        assert!(pair.dialer.read(ours) == (data, false));
    }
}

#[test]
fn a_layer_with_another_key_gets_no_byte_through() {
    for size in [1, 24, usize::MAX] {
        let mut pair = layered(11, (5, 6), || Chunks::Fixed(size));
        pair.advance(Duration::from_secs(10));
        for end in [&pair.dialer, &pair.listener] {
            assert!(end.connection.is_closed());
            assert_eq!(end.connection.peer(), None);
            assert!(
                matches!(&end.events[..], [ConnectionEvent::Closed { .. }]),
                "{:?}",
                end.events
            );
        }
    }
}
