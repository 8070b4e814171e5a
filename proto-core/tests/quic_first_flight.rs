//! What a stranger can do with the first datagram to a listener of QUIC: its keys follow from an id
//! that the stranger chose (RFC 9001, section 5.2), so anything can be in it.

#![allow(clippy::unwrap_used, reason = "the helpers here are part of the tests")]

mod quic_world;

use std::net::SocketAddr;
use std::time::Duration;

use quic_world::{Raw, World, content, exchange};
use rustls::Side;
use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::quic::{Keys, Version};
use sanspeer_core::close::CloseReason;
use sanspeer_core::mux::MuxEvent;
use sanspeer_core::quic::QuicError;
use sanspeer_core::time::DeadlineReason;

/// Longer than a handshake may take, and than a connection that closed lingers.
const LONG: Duration = Duration::from_secs(30);
const MINUTE: Duration = Duration::from_secs(60);

const DATAGRAM_BYTES: usize = 1200;
const TAG_BYTES: usize = 16;
const CRYPTO_FRAME: u8 = 6;

/// The extension of the transport parameters (RFC 9001, section 8.2).
const TRANSPORT_PARAMETERS: u16 = 0x39;
/// Transport parameter, and the code for errors in them (RFC 9000, sections 18.2 and 20.1).
const INITIAL_SOURCE_CONNECTION_ID: u64 = 0x0f;
const TRANSPORT_PARAMETER_ERROR: u64 = 8;

fn keys(destination_id: &[u8], side: Side) -> Keys {
    let suite = TLS13_AES_128_GCM_SHA256.tls13().and_then(|suite| suite.quic_suite());
    suite.expect("ring has it").keys(destination_id, side, Version::V1)
}

/// Takes an integer of RFC 9000, section 16; `None` if the bytes end within it.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let (first, _) = bytes.split_first()?;
    let (whole, rest) = bytes.split_at_checked(1 << (first >> 6))?;
    *bytes = rest;
    let value = whole.iter().fold(0u64, |value, byte| (value << 8) | u64::from(*byte));
    Some(value & (u64::MAX >> (64 - 8 * whole.len() + 2)))
}

fn take<'a>(bytes: &mut &'a [u8], n: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(n);
    *bytes = rest;
    taken
}

/// An integer that takes two bytes.
fn varint_of_two(value: usize) -> [u8; 2] {
    assert!(value < 1 << 14, "{value}");
    (u16::try_from(value).unwrap() | 0x4000).to_be_bytes()
}

/// A dialer's first packet, decrypted.
struct FirstFlight {
    source_id: Vec<u8>,
    /// Without the padding.
    client_hello: Vec<u8>,
}

impl FirstFlight {
    fn of_a_dialer() -> FirstFlight {
        let mut world = World::<Raw>::new(1);
        world.dial();
        world.settle();
        let datagrams = world.intercept();
        assert_eq!(datagrams.len(), 1);
        FirstFlight::open(&datagrams[0])
    }

    fn open(datagram: &[u8]) -> FirstFlight {
        let mut rest = &datagram[5..];
        let id_bytes = usize::from(take(&mut rest, 1)[0]);
        let destination_id = take(&mut rest, id_bytes);
        let id_bytes = usize::from(take(&mut rest, 1)[0]);
        let source_id = take(&mut rest, id_bytes).to_vec();
        assert_eq!(varint(&mut rest), Some(0), "no token");
        let length = usize::try_from(varint(&mut rest).unwrap()).unwrap();
        let number_at = datagram.len() - rest.len();
        assert_eq!(length, rest.len(), "the packet fills its datagram");

        let keys = keys(destination_id, Side::Server).remote;
        let mut packet = datagram.to_vec();
        let (head, body) = packet.split_at_mut(number_at);
        let (number, after) = body.split_at_mut(4);
        keys.header.decrypt_in_place(&after[..16], &mut head[0], number).unwrap();
        assert_eq!((head[0] & 3, number[0]), (0, 0), "the number is zero, in one byte");
        let (header, payload) = packet.split_at_mut(number_at + 1);
        let mut frames = keys.packet.decrypt_in_place(0, header, payload).unwrap();

        assert_eq!(take(&mut frames, 1), [CRYPTO_FRAME]);
        assert_eq!(varint(&mut frames), Some(0), "the offset");
        let length = usize::try_from(varint(&mut frames).unwrap()).unwrap();
        let client_hello = take(&mut frames, length).to_vec();
        assert!(frames.iter().all(|byte| *byte == 0), "nothing but padding is behind it");
        FirstFlight { source_id, client_hello }
    }

    /// The frame of a handshake message.
    fn frame(message: &[u8]) -> Vec<u8> {
        [&[CRYPTO_FRAME, 0][..], &varint_of_two(message.len()), message].concat()
    }

    /// A datagram of its own connection with these frames. `attempt` chooses the connection's id.
    fn seal(&self, attempt: u64, frames: &[u8]) -> Vec<u8> {
        let destination_id = content(attempt, 20);
        let mut header = vec![0xc0, 0, 0, 0, 1, 20];
        header.extend_from_slice(&destination_id);
        header.push(u8::try_from(self.source_id.len()).unwrap());
        header.extend_from_slice(&self.source_id);
        // Too little to sample for the header's protection would be another test.
        let mut payload = frames.to_vec();
        payload.resize(payload.len().max(8), 0);
        header.push(0);
        header.extend_from_slice(&varint_of_two(1 + payload.len() + TAG_BYTES));
        let number_at = header.len();
        header.push(0);

        let keys = keys(&destination_id, Side::Client).local;
        let tag = keys.packet.encrypt_in_place(0, &header, &mut payload).unwrap();
        let mut packet = [&header[..], &payload, tag.as_ref()].concat();
        let (head, body) = packet.split_at_mut(number_at);
        let (number, after) = body.split_at_mut(4);
        keys.header.encrypt_in_place(&after[..16], &mut head[0], &mut number[..1]).unwrap();
        // Padding behind the packet is not protected, and belongs to no packet.
        packet.resize(packet.len().max(DATAGRAM_BYTES), 0);
        packet
    }

    /// Where the transport parameters begin in the message, and where they end.
    fn parameters(&self) -> (usize, usize) {
        let (at, end) = self.extensions();
        let mut rest = &self.client_hello[at..end];
        while !rest.is_empty() {
            let head = take(&mut rest, 4);
            let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let begin = end - rest.len();
            take(&mut rest, length);
            if u16::from_be_bytes([head[0], head[1]]) == TRANSPORT_PARAMETERS {
                return (begin, begin + length);
            }
        }
        panic!("no transport parameters")
    }

    /// Where the extensions begin in the message, behind their length, and where they end
    /// (RFC 8446, section 4.1.2).
    fn extensions(&self) -> (usize, usize) {
        let mut rest = &self.client_hello[4 + 2 + 32..];
        let session_id = usize::from(take(&mut rest, 1)[0]);
        take(&mut rest, session_id);
        let suites = take(&mut rest, 2);
        take(&mut rest, usize::from(u16::from_be_bytes([suites[0], suites[1]])));
        let compressions = usize::from(take(&mut rest, 1)[0]);
        take(&mut rest, compressions);
        take(&mut rest, 2);
        (self.client_hello.len() - rest.len(), self.client_hello.len())
    }

    /// The message with other transport parameters, and every length as it must be.
    fn with_parameters(&self, parameters: &[u8]) -> Vec<u8> {
        let (begin, end) = self.parameters();
        let mut message = self.client_hello.clone();
        message.splice(begin..end, parameters.iter().copied());
        let mut set = |at: usize, length: usize| {
            let bytes = u16::try_from(length).unwrap().to_be_bytes();
            message[at..at + 2].copy_from_slice(&bytes);
        };
        let total = self.client_hello.len() - (end - begin) + parameters.len();
        let extensions = self.extensions().0;
        set(begin - 2, parameters.len());
        set(extensions - 2, total - extensions);
        set(2, total - 4);
        message
    }
}

/// A listener that strangers write to.
struct Listener {
    world: World<Raw>,
    attempts: u64,
}

impl Listener {
    fn new(seed: u64) -> Self {
        Listener { world: World::new(seed), attempts: 0 }
    }

    /// How a connection ends that begins with these frames. Nothing is left of it.
    fn ends(&mut self, flight: &FirstFlight, frames: &[u8]) -> CloseReason {
        self.attempts += 1;
        let stranger = SocketAddr::from(([10, 0, 0, 9], 9));
        let datagram = flight.seal(self.attempts, frames);
        let to = self.world.listener.address;
        self.world.inject(stranger, to, datagram);
        self.world.run_for(LONG);
        let listener = &mut self.world.listener;
        assert_eq!(listener.endpoint.connection_count(), 0);
        assert_eq!(listener.endpoint.pending_count(), 0);
        match (listener.failed.pop(), listener.last.take()) {
            (Some(reason), None) => reason,
            (None, Some(mut gone)) => match gone.events.pop() {
                Some(MuxEvent::Closed { reason }) => reason,
                event => panic!("{event:?} is not the end"),
            },
            (failed, last) => panic!("{failed:?}, {} connections", u8::from(last.is_some())),
        }
    }

    /// Nobody honest is worse off.
    fn serves_as_ever(mut self) {
        self.world.dial();
        self.world.run_for(Duration::from_secs(1));
        let (got, _) = exchange(&mut self.world, b"unharmed", b"", MINUTE);
        assert_eq!(got, b"unharmed");
    }
}

/// The handshake went on, and nobody answered.
fn is_time_out(reason: &CloseReason) -> bool {
    matches!(reason, CloseReason::TimedOut(DeadlineReason::Handshake))
}

#[test]
fn cve_2026_31812_transport_parameters_that_are_cut_off_are_an_error() {
    let flight = FirstFlight::of_a_dialer();
    let (begin, end) = flight.parameters();
    let parameters = &flight.client_hello[begin..end];
    // Cut behind one of them, the rest is whole; only this one must be there.
    let mut whole = Vec::new();
    let (mut rest, mut has_source_id) = (parameters, false);
    while !rest.is_empty() {
        has_source_id |= varint(&mut rest) == Some(INITIAL_SOURCE_CONNECTION_ID);
        let length = varint(&mut rest).unwrap();
        take(&mut rest, usize::try_from(length).unwrap());
        if has_source_id {
            whole.push(parameters.len() - rest.len());
        }
    }
    assert!(whole.ends_with(&[parameters.len()]) && parameters.len() > 40);

    let mut listener = Listener::new(2);
    let violation = QuicError::Violation { code: TRANSPORT_PARAMETER_ERROR };
    let mut refused = 0;
    for cut in 0..=parameters.len() {
        let message = flight.with_parameters(&parameters[..cut]);
        let reason = listener.ends(&flight, &FirstFlight::frame(&message));
        if whole.contains(&cut) {
            assert!(is_time_out(&reason), "cut at {cut}: {reason:?}");
        } else {
            assert_eq!(reason, CloseReason::Quic(violation.clone()), "cut at {cut}");
            refused += 1;
        }
    }
    assert!(refused > 40, "{refused}");
    // An integer that says it is longer than what is left: an id, a length, a value.
    for tail in
        [&[0x40][..], &[0x80, 0, 0], &[0xc0; 7], &[1, 0x40], &[4, 2, 0x80, 0], &[4, 1, 0xc0]]
    {
        let message = flight.with_parameters(&[parameters, tail].concat());
        let reason = listener.ends(&flight, &FirstFlight::frame(&message));
        assert_eq!(reason, CloseReason::Quic(violation.clone()), "{tail:02x?}");
    }
    listener.serves_as_ever();
}

#[test]
fn cve_2026_31812_frames_that_are_cut_off_are_an_error() {
    let flight = FirstFlight::of_a_dialer();
    let frame = FirstFlight::frame(&flight.client_hello);
    let mut listener = Listener::new(3);
    let mut refused = 0;
    // Cut within what is before the message, nothing may be missing: padding is a frame too.
    for cut in 4..frame.len() {
        let reason = listener.ends(&flight, &frame[..cut]);
        assert!(
            matches!(reason, CloseReason::Quic(QuicError::Violation { .. })),
            "cut at {cut}: {reason:?}"
        );
        refused += 1;
    }
    assert!(refused > 200, "{refused}");
    listener.serves_as_ever();
}

#[test]
fn a_first_flight_with_a_changed_byte_harms_nobody() {
    let flight = FirstFlight::of_a_dialer();
    let mut listener = Listener::new(4);
    let frame = FirstFlight::frame(&flight.client_hello);
    let reason = listener.ends(&flight, &frame);
    assert!(is_time_out(&reason), "unchanged it is in order: {reason:?}");
    let mut refused = 0;
    for at in 0..frame.len() {
        for change in [0x01, 0xff] {
            let mut changed = frame.clone();
            changed[at] ^= change;
            refused += usize::from(!is_time_out(&listener.ends(&flight, &changed)));
        }
    }
    // A random or a session id may be anything; most of the rest may not.
    assert!(refused > frame.len() / 2, "{refused} of {}", 2 * frame.len());
    listener.serves_as_ever();
}
