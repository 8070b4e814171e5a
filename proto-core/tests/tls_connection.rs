//! Connections that TLS secures, and the choice between it and Noise.

mod common;

use std::time::Duration;

use common::*;
use proptest::prelude::*;
use sanspeer_core::byte_mux::Security;
use sanspeer_core::close::CloseReason;
use sanspeer_core::connection::{ConnectionConfig, ConnectionEvent};
use sanspeer_core::identity::PeerId;
use sanspeer_core::mailbox::ToNode;
use sanspeer_core::multistream::NegotiationError;
use sanspeer_core::mux::Role;
use sanspeer_core::time::Timestamp;
use sanspeer_core::tls::{CertificateError, TlsError};

const NOISE_FIRST: [Secured; 2] = [Secured::Noise, Secured::Tls];
const TLS_FIRST: [Secured; 2] = [Secured::Tls, Secured::Noise];

/// The alert for a certificate that is not acceptable.
const CERTIFICATE_UNKNOWN: u8 = 46;

/// Moves 100,000 bytes there and half as many back.
fn converse(pair: &mut Pair) {
    let (ours, theirs) = pair.open_echo();
    let (there, back): (Vec<u8>, Vec<u8>) =
        ((0..=255).cycle().take(100_000).collect(), (0..=250).cycle().take(50_000).collect());
    assert_eq!(pair.dialer.write(ours, &there), there.len());
    assert_eq!(pair.listener.write(theirs, &back), back.len());
    pair.run();
    assert!(pair.listener.read(theirs) == (there, false));
    assert!(pair.dialer.read(ours) == (back, false));
}

#[test]
fn streams_run_over_tls_and_the_end_is_a_goodbye() {
    let mut pair = Pair::established_over(1, Secured::Tls);
    assert_eq!(pair.dialer.connection.peer(), Some(pair.listener.identity.peer_id()));
    assert_eq!(pair.listener.connection.peer(), Some(pair.dialer.identity.peer_id()));
    converse(&mut pair);
    pair.advance(Duration::from_secs(25));
    converse(&mut pair);
    pair.dialer.connection.close(pair.now, CloseReason::Requested);
    pair.run();
    assert_eq!(pair.dialer.closed(), Some(&CloseReason::Requested));
    assert_eq!(pair.listener.closed(), Some(&CloseReason::RemoteGoodbye { code: 0 }));
}

/// What a pair that offers these agrees on, and each line of multistream-select that its listener
/// sent in the clear.
fn agreed(dialer: &[Secured], listener: &[Secured], chunks: usize) -> (Pair, Vec<String>) {
    let mut pair = Pair::offering(2, dialer, listener);
    for end in [&mut pair.dialer, &mut pair.listener] {
        end.sent = Some(Vec::new());
        end.chunks = Chunks::Fixed(chunks);
    }
    pair.run();
    let mut sent = &pair.listener.sent.as_ref().expect("kept")[..];
    let mut lines = Vec::new();
    while let [length, rest @ ..] = sent
        && let Some((text, after)) = rest.split_at_checked(usize::from(*length))
        && let Some(text) = text.strip_suffix(b"\n")
    {
        lines.push(String::from_utf8_lossy(text).into_owned());
        sent = after;
    }
    (pair, lines)
}

#[test]
fn the_first_of_the_dialers_offer_that_the_listener_has_is_taken() {
    let (noise, tls) = (&NOISE_FIRST[..1], &TLS_FIRST[..1]);
    let cases: [(&[Secured], &[Secured], &[&str]); 8] = [
        (&NOISE_FIRST, &NOISE_FIRST, &["/noise"]),
        (&NOISE_FIRST, &TLS_FIRST, &["/noise"]),
        (&TLS_FIRST, &NOISE_FIRST, &["/tls/1.0.0"]),
        (&TLS_FIRST, noise, &["na", "/noise"]),
        (&NOISE_FIRST, tls, &["na", "/tls/1.0.0"]),
        (noise, &TLS_FIRST, &["/noise"]),
        (tls, &NOISE_FIRST, &["/tls/1.0.0"]),
        (tls, tls, &["/tls/1.0.0"]),
    ];
    for (dialer, listener, expected) in cases {
        for chunks in [1, 13, usize::MAX] {
            let (mut pair, lines) = agreed(dialer, listener, chunks);
            assert_eq!(lines[0], "/multistream/1.0.0");
            assert_eq!(lines[1..], *expected, "{dialer:?} to {listener:?}");
            converse(&mut pair);
        }
    }
}

#[test]
fn a_lone_proposal_is_optimistic_and_one_of_several_waits_for_the_answer() {
    let first = |offer: &[Secured]| {
        let mut end = End::offering(Role::Dialer, 3, None, Default::default(), None, offer);
        end.poll(Timestamp::ZERO);
        end.transmit(Timestamp::ZERO);
        end.wire.len()
    };
    for (lone, several) in [(Secured::Noise, NOISE_FIRST), (Secured::Tls, TLS_FIRST)] {
        assert!(first(&[lone]) > proposal(lone.protocol()).len() + 30);
        assert_eq!(first(&several), proposal(lone.protocol()).len());
    }
}

#[test]
fn ends_that_share_no_security_protocol_part() {
    for (dialer, listener) in [(Secured::Noise, Secured::Tls), (Secured::Tls, Secured::Noise)] {
        let mut pair = Pair::offering(4, &[dialer], &[listener]);
        pair.run();
        let refused = pair.dialer.closed();
        assert!(
            matches!(refused, Some(CloseReason::Multistream(NegotiationError::Refused(_)))),
            "{refused:?}"
        );
        pair.advance(Duration::from_secs(10));
        assert!(pair.listener.connection.is_closed());
        assert_eq!(pair.listener.connection.peer(), None);
    }
}

#[test]
fn an_end_with_nothing_to_offer_says_so_and_closes() {
    for role in [Role::Dialer, Role::Listener] {
        let mut end = End::offering(role, 5, None, ConnectionConfig::default(), None, &[]);
        end.poll(Timestamp::ZERO);
        assert!(!end.transmit(Timestamp::ZERO));
        assert_eq!(end.closed(), Some(&CloseReason::NoSecurity));
        let closed = |message: &ToNode| {
            matches!(message, ToNode::Closed { reason: CloseReason::NoSecurity, .. })
        };
        assert!(end.node.iter().any(closed), "{:?}", end.node);
        assert!(end.connection.is_closed());
    }
}

/// A pair whose ends have these clocks, in seconds since 1970.
fn at(dialer: u64, listener: u64) -> Pair {
    let end = |role, seed, unix_seconds| {
        let identity = tls_identity(seed);
        let security = [Security::Tls { identity: &identity, unix_seconds }];
        End::with_security(role, seed, None, ConnectionConfig::default(), None, &security)
    };
    let dialer = end(Role::Dialer, 12, dialer);
    let listener = end(Role::Listener, 13, listener);
    Pair { dialer, listener, now: Timestamp::ZERO }
}

#[test]
fn a_certificate_out_of_its_time_is_refused_with_a_reason_on_both_sides() {
    // Ours are valid from 1975 to 4096.
    let told = CloseReason::Tls(TlsError::Alert(CERTIFICATE_UNKNOWN));
    let mut pair = at(67_090_118_401, NOW);
    pair.run();
    let late = CertificateError::Expired { until: 67_090_118_400, now: 67_090_118_401 };
    assert_eq!(pair.dialer.closed(), Some(&CloseReason::Tls(TlsError::Certificate(late))));
    assert_eq!(pair.listener.closed(), Some(&told));
    assert_eq!(pair.listener.events.len(), 1);

    let mut pair = at(NOW, 157_766_399);
    pair.run();
    let early = CertificateError::NotYetValid { from: 157_766_400, now: 157_766_399 };
    assert_eq!(pair.listener.closed(), Some(&CloseReason::Tls(TlsError::Certificate(early))));
    assert_eq!(pair.listener.connection.peer(), None);
    // The dialer was done by then.
    let secured = ConnectionEvent::Secured { peer: pair.listener.identity.peer_id() };
    let closed = ConnectionEvent::Closed { reason: told };
    assert_eq!(pair.dialer.lifecycle(), [secured, closed]);
    assert_eq!(pair.dialer.node.len(), 2, "{:?}", pair.dialer.node);
}

#[test]
fn a_listener_that_awaits_another_peer_refuses_the_dialer_with_an_alert() {
    let mut pair = Pair::offering(6, &[Secured::Tls], &[Secured::Tls]);
    let expected: PeerId = tls_identity(99).peer_id();
    let (seed, config) = (13, ConnectionConfig::default());
    pair.listener =
        End::offering(Role::Listener, seed, Some(expected), config, None, &[Secured::Tls]);
    pair.run();
    let found = Box::new(pair.dialer.identity.peer_id());
    let reason = CloseReason::WrongPeer { expected: Box::new(expected), found };
    assert_eq!(pair.listener.closed(), Some(&reason));
    let told = CloseReason::Tls(TlsError::Alert(CERTIFICATE_UNKNOWN));
    assert_eq!(pair.dialer.closed(), Some(&told));
    assert_eq!(told.to_string(), "tls alert 46 (CertificateUnknown) from the remote");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What one end sent in a good session, changed in one byte and cut anywhere, ends a
    /// connection or does it no harm.
    #[test]
    fn no_bytes_panic(
        role in prop::sample::select(vec![Role::Dialer, Role::Listener]),
        at: prop::sample::Index,
        flip in 1u8..,
        cut in 1usize..3_000,
    ) {
        let mut pair = Pair::offering(7, &TLS_FIRST, &TLS_FIRST);
        for end in [&mut pair.dialer, &mut pair.listener] {
            end.sent = Some(Vec::new());
        }
        pair.run();
        let (ours, theirs) = pair.open_echo();
        pair.dialer.write(ours, &[1; 3_000]);
        pair.listener.write(theirs, &[2; 3_000]);
        pair.run();
        pair.dialer.connection.close(pair.now, CloseReason::Requested);
        pair.run();
        let (other, seed) = match role {
            Role::Dialer => (&pair.listener, 14),
            Role::Listener => (&pair.dialer, 15),
        };
        let mut wire = other.sent.clone().expect("kept");
        let at = at.index(wire.len());
        wire[at] ^= flip;
        let config = ConnectionConfig::default();
        let mut end = End::offering(role, seed, None, config, None, &TLS_FIRST);
        end.chunks = Chunks::Fixed(cut);
        let mut wire = wire.into_iter().collect();
        end.poll(Timestamp::ZERO);
        while end.receive(Timestamp::ZERO, &mut wire) {
            end.transmit(Timestamp::ZERO);
        }
        end.connection.handle_eof(Timestamp::ZERO);
        end.poll(Timestamp::ZERO);
        end.transmit(Timestamp::ZERO);
        end.connection.handle_timeout(Timestamp::from_secs(20));
        end.poll(Timestamp::from_secs(20));
        prop_assert!(end.connection.is_closed());
        let closes = end.events.iter().filter(|event| matches!(event, ConnectionEvent::Closed { .. }));
        prop_assert_eq!(closes.count(), 1);
    }
}
