use super::*;
use crate::close::CloseReason;
use crate::identity::Identity;
use crate::mux::{Mux, MuxEvent, Role};
use crate::protocol::ProtocolId;
use crate::rng::Seed;
use crate::time::Timestamp;
use crate::tls::{
    self, CertificateError, Handshake, HandshakeConfig, Opened, Secured, TlsError, TlsIdentity,
};

/// 2027-01-15.
const NOW: u64 = 1_800_000_000;

/// The alerts for a certificate that is refused, and for a signature that is not its key's.
const CERTIFICATE_UNKNOWN: u8 = 46;
const DECRYPT_ERROR: u8 = 51;

fn identity(number: u64) -> Identity {
    Identity::ed25519(&Seed::from_u64(number))
}

fn certificate(number: u64) -> TlsIdentity {
    TlsIdentity::new(&identity(number), &Seed::from_u64(number)).unwrap()
}

fn mux(role: Role, security: &[Security<'_>]) -> ByteMux {
    let seed = match role {
        Role::Dialer => Seed::from_u64(11),
        Role::Listener => Seed::from_u64(12),
    };
    let setup = ByteMuxSetup { role, security, seed, expected_peer: None, layer: None };
    ByteMux::new(setup, ByteMuxConfig::default(), Timestamp::ZERO)
}

fn over_tls(role: Role, identity: &TlsIdentity) -> ByteMux {
    mux(role, &[Security::Tls { identity, unix_seconds: NOW }])
}

/// Everything that `mux` has to send. Its events go to `events`.
fn sent(mux: &mut ByteMux, events: &mut Vec<MuxEvent>) -> Vec<u8> {
    let mut wire = Vec::new();
    loop {
        events.extend(core::iter::from_fn(|| mux.poll_event()));
        let Some(bytes) = mux.poll_transmit(Timestamp::ZERO) else { return wire };
        wire.extend_from_slice(bytes);
        let n = bytes.len();
        mux.handle_transmitted(n);
    }
}

/// Gives `mux` these bytes, as far as it takes them. Its events go to `events`.
fn receive(mux: &mut ByteMux, mut wire: &[u8], events: &mut Vec<MuxEvent>) {
    while !wire.is_empty() {
        let Some(space) = mux.recv_buf() else { return };
        let (now, later) = wire.split_at(wire.len().min(space.len()));
        space[..now.len()].copy_from_slice(now);
        mux.handle_recv(Timestamp::ZERO, now.len());
        events.extend(core::iter::from_fn(|| mux.poll_event()));
        wire = later;
    }
}

/// Runs both until neither sends, and returns their events.
fn run(dialer: &mut ByteMux, listener: &mut ByteMux) -> [Vec<MuxEvent>; 2] {
    let mut events = [Vec::new(), Vec::new()];
    loop {
        let there = sent(dialer, &mut events[0]);
        receive(listener, &there, &mut events[1]);
        let back = sent(listener, &mut events[1]);
        receive(dialer, &back, &mut events[0]);
        if there.is_empty() && back.is_empty() {
            return events;
        }
    }
}

fn reason(events: &[MuxEvent]) -> Option<&CloseReason> {
    events.iter().find_map(|event| match event {
        MuxEvent::Closed { reason } => Some(reason),
        MuxEvent::Secured { .. }
        | MuxEvent::Inbound
        | MuxEvent::Readable(_)
        | MuxEvent::Writable(_)
        | MuxEvent::Finished(_)
        | MuxEvent::Reset { .. }
        | MuxEvent::Stopped { .. } => None,
    })
}

#[test]
fn certificates_that_are_not_good_are_refused_with_the_reason_on_both_sides() {
    let good = certificate(1);
    let mallory = identity(2);
    let cases = [
        (
            TlsIdentity::vouching_for_another_key(&mallory),
            TlsError::Certificate(CertificateError::Signature),
            CERTIFICATE_UNKNOWN,
        ),
        (
            TlsIdentity::expired(&mallory),
            TlsError::Certificate(CertificateError::Expired {
                until: 157_766_400,
                now: NOW.cast_signed(),
            }),
            CERTIFICATE_UNKNOWN,
        ),
        (TlsIdentity::with_stolen_certificate(&certificate(3)), TlsError::Forged, DECRYPT_ERROR),
    ];
    for (bad, error, alert) in cases {
        let told = CloseReason::Tls(TlsError::Alert(alert));
        let refused = CloseReason::Tls(error);
        // The dialer refuses before anybody is secured.
        let mut ends = (over_tls(Role::Dialer, &good), over_tls(Role::Listener, &bad));
        let [dialer, listener] = run(&mut ends.0, &mut ends.1);
        assert_eq!(dialer, [MuxEvent::Closed { reason: refused.clone() }]);
        assert_eq!(listener, [MuxEvent::Closed { reason: told.clone() }]);
        // The listener refuses when the dialer has done its part.
        let mut ends = (over_tls(Role::Dialer, &bad), over_tls(Role::Listener, &good));
        let [dialer, listener] = run(&mut ends.0, &mut ends.1);
        let secured = MuxEvent::Secured { peer: good.peer_id() };
        assert_eq!(dialer, [secured, MuxEvent::Closed { reason: told }]);
        assert_eq!(listener, [MuxEvent::Closed { reason: refused }]);
    }
}

/// A listener with an open session, and the dialer's keys, whose side is driven by hand.
fn by_hand() -> (ByteMux, Secured) {
    let mut listener = over_tls(Role::Listener, &certificate(1));
    let config = HandshakeConfig {
        expected_peer: None,
        muxers: vec![ProtocolId::well_known("/yamux/1.0.0")],
        unix_seconds: NOW,
    };
    let seed = Seed::from_u64(11);
    let mut dialer = Handshake::new(Role::Dialer, &certificate(2), &seed, config);
    let proposal = b"\x13/multistream/1.0.0\n\x0b/tls/1.0.0\n";
    let mut wire = proposal.to_vec();
    let mut events = Vec::new();
    dialer.transmit(&mut wire);
    receive(&mut listener, &wire, &mut events);
    let answer = sent(&mut listener, &mut events);
    let (agreed, flight) = answer.split_at(proposal.len());
    assert_eq!(agreed, proposal);
    assert_eq!(dialer.handle(flight), Ok(flight.len()));
    wire.clear();
    dialer.transmit(&mut wire);
    receive(&mut listener, &wire, &mut events);
    assert_eq!(events, [MuxEvent::Secured { peer: certificate(2).peer_id() }]);
    (listener, dialer.finish().unwrap())
}

/// A Yamux ping, and its answer.
const PING: [u8; 12] = [0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9];
const PONG: [u8; 12] = [0, 2, 0, 2, 0, 0, 0, 0, 0, 0, 0, 9];

/// What the remote makes of `wire`, record by record.
fn opened(remote: &mut Secured, wire: &mut [u8]) -> Vec<Result<Vec<u8>, Opened>> {
    let mut all = Vec::new();
    let mut rest = wire;
    while let Some(header) = rest.first_chunk() {
        let (record, after) = rest.split_at_mut(tls::record_bytes(*header).unwrap());
        all.push(match remote.opener.open(record).unwrap() {
            Opened::Data(n) => Ok(record[tls::HEADER_BYTES..tls::HEADER_BYTES + n].to_vec()),
            other @ (Opened::Nothing | Opened::Closed) => Err(other),
        });
        rest = after;
    }
    all
}

#[test]
fn a_remote_that_asks_for_a_new_key_gets_it_before_the_next_data() {
    let (mut listener, mut remote) = by_hand();
    let mut events = Vec::new();
    for _ in 0..3 {
        let mut wire = Vec::new();
        remote.sealer.ask_for_update(&mut wire);
        remote.sealer.ask_for_update(&mut wire);
        remote.sealer.seal(&PING, &mut wire).unwrap();
        receive(&mut listener, &wire, &mut events);
        let mut answer = sent(&mut listener, &mut events);
        let expected = [Err(Opened::Nothing), Ok(PONG.to_vec())];
        assert_eq!(opened(&mut remote, &mut answer), expected);
    }
    assert_eq!(events, []);
}

#[test]
fn records_without_data_do_no_harm_and_come_to_an_end() {
    let (mut listener, mut remote) = by_hand();
    let mut events = Vec::new();
    let mut wire = Vec::new();
    for _ in 0..32 {
        let start = remote.sealer.begin_record(&mut wire);
        remote.sealer.end_record(&mut wire, start).unwrap();
    }
    remote.sealer.seal(&PING, &mut wire).unwrap();
    receive(&mut listener, &wire, &mut events);
    assert_eq!(opened(&mut remote, &mut sent(&mut listener, &mut events)), [Ok(PONG.to_vec())]);
    wire.clear();
    for _ in 0..33 {
        remote.sealer.ask_for_update(&mut wire);
    }
    receive(&mut listener, &wire, &mut events);
    sent(&mut listener, &mut events);
    let error = tls::RecordError::TooManyMessages;
    assert_eq!(reason(&events), Some(&CloseReason::TlsRecord(error)));
}

#[test]
fn a_record_over_the_limit_is_refused_at_its_header() {
    for (header, error) in [
        ([23, 3, 3, 0x41, 1], tls::RecordError::TooLong(tls::MAX_RECORD_BYTES + 1)),
        ([23, 3, 3, 0xff, 0xff], tls::RecordError::TooLong(65_540)),
        ([23, 3, 3, 0, 16], tls::RecordError::TooShort(21)),
        ([20, 3, 3, 0, 20], tls::RecordError::Type(20)),
    ] {
        let (mut listener, mut remote) = by_hand();
        let mut events = Vec::new();
        receive(&mut listener, &header[..4], &mut events);
        assert!(listener.recv_buf().is_some());
        receive(&mut listener, &header[4..], &mut events);
        assert!(listener.recv_buf().is_none());
        assert!(listener.buffer_bytes().0 < 8 * 1024, "{:?}", listener.buffer_bytes());
        // A goodbye, and the alert.
        let mut wire = sent(&mut listener, &mut events);
        assert_eq!(events, [MuxEvent::Closed { reason: CloseReason::TlsRecord(error) }]);
        let mut lengths = Vec::new();
        let mut rest = &mut wire[..];
        while let Some(header) = rest.first_chunk() {
            let (record, after) = rest.split_at_mut(tls::record_bytes(*header).unwrap());
            lengths.push(remote.opener.open(record));
            rest = after;
        }
        assert!(matches!(lengths[..], [Ok(Opened::Data(12)), Err(tls::RecordError::Alert(_))]));
    }
}

#[test]
fn the_remotes_last_words_end_the_connection_and_what_is_behind_them_does_not_count() {
    let (mut listener, mut remote) = by_hand();
    let mut events = Vec::new();
    let mut wire = Vec::new();
    remote.sealer.close(&mut wire).unwrap();
    wire.extend_from_slice(b"rubbish");
    receive(&mut listener, &wire, &mut events);
    assert_eq!(events, [MuxEvent::Closed { reason: CloseReason::TransportEnded }]);
    assert!(sent(&mut listener, &mut events).is_empty());

    // A goodbye before them tells more, and an alert more than the end of the transport.
    let (mut listener, mut remote) = by_hand();
    let mut events = Vec::new();
    let mut wire = Vec::new();
    let stream = listener.open().unwrap();
    assert_eq!(listener.write(stream, b"data"), Ok(4));
    remote.sealer.seal(&[0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &mut wire).unwrap();
    receive(&mut listener, &wire, &mut events);
    assert_eq!(events, []);
    wire.clear();
    remote.sealer.close(&mut wire).unwrap();
    receive(&mut listener, &wire, &mut events);
    let goodbye = CloseReason::RemoteGoodbye { code: 0 };
    assert_eq!(events, [MuxEvent::Closed { reason: goodbye }]);

    let (mut listener, mut remote) = by_hand();
    let mut events = Vec::new();
    let mut wire = Vec::new();
    remote.sealer.give_up(tls::RecordError::Forged, &mut wire).unwrap();
    let space = listener.recv_buf().unwrap();
    space[..wire.len()].copy_from_slice(&wire);
    listener.handle_recv(Timestamp::ZERO, wire.len());
    listener.handle_eof(Timestamp::ZERO);
    sent(&mut listener, &mut events);
    assert_eq!(events, [MuxEvent::Closed { reason: CloseReason::Tls(TlsError::Alert(20)) }]);
}

#[test]
fn closing_says_goodbye_and_then_that_nothing_follows() {
    let (mut listener, mut remote) = by_hand();
    let mut events = Vec::new();
    listener.close(CloseReason::Requested);
    assert!(!listener.is_closed());
    let mut wire = sent(&mut listener, &mut events);
    let goodbye = vec![0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(opened(&mut remote, &mut wire), [Ok(goodbye), Err(Opened::Closed)]);
    assert_eq!(events, [MuxEvent::Closed { reason: CloseReason::Requested }]);
    assert!(listener.is_closed());
}

#[test]
fn nothing_to_offer_is_a_reason() {
    for role in [Role::Dialer, Role::Listener] {
        let mut mux = mux(role, &[]);
        let mut events = Vec::new();
        assert!(mux.recv_buf().is_none());
        assert!(sent(&mut mux, &mut events).is_empty());
        assert_eq!(events, [MuxEvent::Closed { reason: CloseReason::NoSecurity }]);
        assert!(mux.is_closed() && mux.poll_timeout().is_none());
    }
}

#[test]
fn one_of_each_protocol_counts() {
    let (one, two) = (identity(1), identity(2));
    let mut dialer = mux(Role::Dialer, &[Security::Noise(&one), Security::Noise(&two)]);
    let mut listener = mux(Role::Listener, &[Security::Noise(&two)]);
    // A lone proposal is optimistic.
    let mut events = Vec::new();
    let first = sent(&mut dialer, &mut events);
    let message_bytes = 2 + 32;
    assert_eq!(first.len(), b"\x13/multistream/1.0.0\n\x07/noise\n".len() + message_bytes);
    receive(&mut listener, &first, &mut events);
    let [_, listener_events] = run(&mut dialer, &mut listener);
    assert_eq!(listener_events, [MuxEvent::Secured { peer: one.peer_id() }]);
}
