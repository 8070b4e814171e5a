//! From the first byte to a secured connection, with remotes that keep to nothing.

mod common;

use std::time::Duration;

use common::*;
use sanspeer_core::byte_mux::{ByteMuxConfig, StreamLayer};
use sanspeer_core::close::CloseReason;
use sanspeer_core::connection::{ConnectionConfig, ConnectionEvent};
use sanspeer_core::identity::{Identity, PeerId};
use sanspeer_core::mailbox::ToNode;
use sanspeer_core::multistream::NegotiationError;
use sanspeer_core::mux::Role;
use sanspeer_core::noise::RecordError;
use sanspeer_core::rng::{Rng, Seed};
use sanspeer_core::time::{DeadlineReason, Timestamp};
use sanspeer_core::tls::{self, TlsError};

const ROLES: [Role; 2] = [Role::Dialer, Role::Listener];

/// The alert for a certificate that is not the one of who was dialled.
const CERTIFICATE_UNKNOWN: u8 = 46;

fn alone(role: Role, seed: u64, secured: Secured) -> End {
    expecting(role, seed, None, secured)
}

fn expecting(role: Role, seed: u64, peer: Option<PeerId>, secured: Secured) -> End {
    End::offering(role, seed, peer, ConnectionConfig::default(), None, &[secured])
}

/// Each role with each security protocol.
fn both() -> impl Iterator<Item = (Role, Secured)> {
    ROLES.into_iter().flat_map(|role| SECURED.map(|secured| (role, secured)))
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
    for (role, secured) in both() {
        for takes_bytes in [true, false] {
            let mut end = alone(role, 1, secured);
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
    for (role, secured) in both() {
        let mut pair = Pair::offering(2, &[secured], &[secured]);
        // What an honest remote would say.
        pair.dialer.sent = Some(Vec::new());
        pair.listener.sent = Some(Vec::new());
        pair.run();
        let other = if role == Role::Dialer { &pair.listener } else { &pair.dialer };
        let mut bytes = other.sent.clone().expect("kept").into_iter();
        let expected = (role == Role::Dialer).then(|| pair.listener.identity.peer_id());
        let seed = if role == Role::Dialer { 4 } else { 5 };
        let mut end = expecting(role, seed, expected, secured);
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
    for secured in SECURED {
        let mut pair = Pair::offering(3, &[secured], &[secured]);
        let expected = Identity::ed25519(&Seed::from_u64(99)).peer_id();
        pair.dialer = expecting(Role::Dialer, 6, Some(expected), secured);
        pair.run();
        let found = pair.listener.identity.peer_id();
        let (expected, found) = (Box::new(expected), Box::new(found));
        let reason = CloseReason::WrongPeer { expected, found };
        assert_eq!(pair.dialer.closed(), Some(&reason));
        assert_eq!(pair.dialer.events.len(), 1, "{:?}", pair.dialer.events);
        assert_eq!(pair.dialer.connection.peer(), None);
        // The dialer's identity was not given away.
        let told = match secured {
            Secured::Noise => CloseReason::TransportEnded,
            Secured::Tls => CloseReason::Tls(TlsError::Alert(CERTIFICATE_UNKNOWN)),
        };
        assert_eq!(pair.listener.closed(), Some(&told));
        assert_eq!(pair.listener.connection.peer(), None);
    }
}

#[test]
fn garbage_ends_a_connection_within_ten_seconds_and_no_byte_of_it_gets_through() {
    for (role, secured) in both() {
        for seed in 0..64 {
            let mut rng = Seed::from_u64(seed).rng();
            let mut garbage = vec![0; 1 + (rng.next_u32() as usize) % 100_000];
            rng.fill(&mut garbage);
            if seed % 2 == 1 {
                // Behind a good beginning.
                let mut good = proposal(secured.protocol());
                good.append(&mut garbage);
                garbage = good;
            }
            let mut end = alone(role, 4, secured);
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
                            | CloseReason::Tls(_)
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
fn a_remote_without_the_security_protocol_is_told_so_and_left() {
    for (secured, other) in SECURED.into_iter().zip(SECURED.into_iter().rev()) {
        let refusal = [line("/multistream/1.0.0"), line("na")].concat();
        let mut dialer = alone(Role::Dialer, 5, secured);
        feed(&mut dialer, Timestamp::ZERO, &refusal);
        assert!(matches!(
            dialer.closed(),
            Some(CloseReason::Multistream(NegotiationError::Refused(_)))
        ));
        let mut listener = alone(Role::Listener, 5, secured);
        feed(&mut listener, Timestamp::ZERO, &proposal(other.protocol()));
        let answer: Vec<u8> = listener.wire.iter().copied().collect();
        assert_eq!(answer, refusal);
        let until = wait(&mut listener, Timestamp::ZERO, |_, _| {});
        assert_eq!(until, Timestamp::from_secs(10));
    }
}

/// Shakes hands with `end` by hand, without a word about muxers.
fn shake_hands(end: &mut End, role: Role, secured: Secured) -> Records {
    let mut hand = Hand::new(secured, role, 77);
    let now = Timestamp::ZERO;
    let proposal = proposal(secured.protocol());
    let mut out = proposal.clone();
    end.poll(now);
    end.transmit(now);
    let mut skipped = false;
    for _ in 0..4 {
        out.append(&mut hand.sent());
        feed(end, now, &out);
        out.clear();
        if !skipped && end.wire.len() >= proposal.len() {
            end.wire.drain(..proposal.len());
            skipped = true;
        }
        let bytes: Vec<u8> = end.wire.iter().copied().collect();
        if !hand.is_finished() {
            end.wire.drain(..hand.handle(&bytes));
        }
    }
    hand.finish()
}

#[test]
fn a_remote_without_yamux_is_told_so_and_left() {
    for secured in SECURED {
        let refusal = [line("/multistream/1.0.0"), line("na")].concat();
        let mut dialer = alone(Role::Dialer, 6, secured);
        let mut records = shake_hands(&mut dialer, Role::Listener, secured);
        let sealed = records.seal(&refusal);
        feed(&mut dialer, Timestamp::ZERO, &sealed);
        let until = wait(&mut dialer, Timestamp::ZERO, |end, now| {
            end.transmit(now);
        });
        assert_eq!(until, Timestamp::ZERO);
        assert!(matches!(
            dialer.closed(),
            Some(CloseReason::Multistream(NegotiationError::Refused(_)))
        ));

        let mut listener = alone(Role::Listener, 6, secured);
        let mut records = shake_hands(&mut listener, Role::Dialer, secured);
        let mplex = records.seal(&proposal("/mplex/6.7.0"));
        feed(&mut listener, Timestamp::ZERO, &mplex);
        let mut record: Vec<u8> = listener.wire.drain(..).collect();
        assert_eq!(records.open(&mut record), refusal);
        let until = wait(&mut listener, Timestamp::ZERO, |_, _| {});
        assert_eq!(until, Timestamp::from_secs(10));
        assert_eq!(listener.connection.peer(), None);
    }
}

#[test]
fn a_remote_that_never_answers_for_the_muxer_is_given_ten_seconds() {
    for secured in SECURED {
        let mut dialer = alone(Role::Dialer, 7, secured);
        shake_hands(&mut dialer, Role::Listener, secured);
        assert!(dialer.connection.peer().is_some());
        // It does not take the goodbye either.
        let until = wait(&mut dialer, Timestamp::ZERO, |_, _| {});
        assert_eq!(until, Timestamp::from_secs(10));
        assert_eq!(dialer.closed(), Some(&CloseReason::TimedOut(DeadlineReason::Handshake)));
    }
}

#[test]
fn without_the_early_muxer_on_either_side_it_is_negotiated_afterwards() {
    let config = |early_muxer| ConnectionConfig {
        byte_mux: ByteMuxConfig { early_muxer, ..ByteMuxConfig::default() },
        ..ConnectionConfig::default()
    };
    for secured in SECURED {
        let mut sizes = Vec::new();
        for (dialer, listener) in [(true, true), (false, true), (true, false), (false, false)] {
            let mut pair = Pair::new(8);
            let (offer, peer) = (&[secured], Some(pair.listener.identity.peer_id()));
            pair.dialer = End::offering(Role::Dialer, 16, peer, config(dialer), None, offer);
            pair.listener = End::offering(Role::Listener, 17, None, config(listener), None, offer);
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
}

/// The records in `wire`, without their headers.
fn records(secured: Secured, wire: &[u8]) -> Vec<core::ops::Range<usize>> {
    let mut records = Vec::new();
    let mut at = 0;
    while at < wire.len() {
        let start = at + secured.header_bytes();
        at = start + usize::from(u16::from_be_bytes([wire[start - 2], wire[start - 1]]));
        records.push(start..at);
    }
    records
}

#[test]
fn one_flipped_bit_in_any_record_ends_the_connection_and_gets_nothing_through() {
    let mut rng = Seed::from_u64(9).rng();
    for (secured, count) in SECURED.into_iter().zip([2, 5]) {
        // A pair with 70,000 bytes on the wire.
        let sending = || {
            let mut pair = Pair::established_over(9, secured);
            let (ours, theirs) = pair.open_echo();
            assert_eq!(pair.dialer.write(ours, &[1; 70_000]), 70_000);
            pair.dialer.transmit(pair.now);
            (pair, theirs)
        };
        let wire: Vec<u8> = sending().0.dialer.wire.into();
        let records = records(secured, &wire);
        assert_eq!(records.len(), count);
        for (index, record) in records.into_iter().enumerate() {
            for _ in 0..20 {
                let (mut pair, theirs) = sending();
                assert!(pair.dialer.wire == wire);
                let at = record.start + (rng.next_u32() as usize) % record.len();
                pair.dialer.wire[at] ^= 1 << (rng.next_u32() % 8);
                pair.run();
                let reason = match secured {
                    Secured::Noise => CloseReason::Record(RecordError::Forged),
                    Secured::Tls => CloseReason::TlsRecord(tls::RecordError::Forged),
                };
                assert_eq!(pair.listener.closed(), Some(&reason));
                let mut read = Vec::new();
                while let Ok(bytes) = pair.listener.connection.stream(theirs).read(usize::MAX) {
                    read.extend_from_slice(&bytes);
                }
                // What the records before it carried, and nothing else.
                assert_eq!(read.is_empty(), index == 0);
                assert!(read.len() < record.start && read.iter().all(|byte| *byte == 1));
                assert_eq!(pair.dialer.closed(), Some(&CloseReason::RemoteGoodbye { code: 1 }));
            }
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

fn layered(seed: u64, secured: Secured, keys: (u64, u64), chunks: impl Fn() -> Chunks) -> Pair {
    let mut pair = Pair::new(seed);
    let end = |role, seed, layer| {
        End::offering(role, seed, None, ConnectionConfig::default(), Some(layer), &[secured])
    };
    pair.listener = end(Role::Listener, 21, Xor::boxed(keys.0, 1));
    pair.dialer = end(Role::Dialer, 20, Xor::boxed(keys.1, 2));
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
    for (chunks, secured) in cuts.into_iter().flat_map(|cut| SECURED.map(|secured| (cut, secured)))
    {
        let mut pair = layered(10, secured, (5, 5), chunks);
        let sent = pair.dialer.sent.clone().expect("kept");
        assert_eq!(sent[..24], [2; 24]);
        let clear = secured.protocol().as_bytes();
        let is_clear = sent.windows(clear.len()).any(|bytes| bytes == clear);
        assert!(!is_clear, "a layer that changes nothing");
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
    let sizes = [1, 24, usize::MAX];
    for (size, secured) in sizes.into_iter().flat_map(|size| SECURED.map(|secured| (size, secured)))
    {
        let mut pair = layered(11, secured, (5, 6), || Chunks::Fixed(size));
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
