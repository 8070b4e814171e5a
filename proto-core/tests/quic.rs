//! QUIC, both sides ours, over a link in virtual time.

mod quic_world;

use std::time::Duration;

use bytes::BytesMut;
use proptest::prelude::*;
use quic_world::{Admission, Raw, Weather, Whole, World, content, exchange};
use sanspeer_core::close::CloseReason;
use sanspeer_core::connection::ConnectionEvent;
use sanspeer_core::identity::{Identity, PeerId};
use sanspeer_core::mux::{Mux, MuxEvent, MuxLimits, MuxOpenError, ReadError, StreamId, WriteError};
use sanspeer_core::protocol::ProtocolId;
use sanspeer_core::quic::{DatagramMeta, QuicConfig, QuicError};
use sanspeer_core::rng::Seed;
use sanspeer_core::time::{DeadlineReason, Timestamp};
use sanspeer_core::tls::{CertificateError, TlsError};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn closed(reason: CloseReason) -> MuxEvent {
    MuxEvent::Closed { reason }
}

/// A stream of the dialer's that the listener has taken, with one byte read.
fn stream(world: &mut World<Raw>) -> (StreamId, StreamId) {
    let ours = world.dialer.only().mux.open().expect("room for a stream");
    assert_eq!(world.dialer.only().write(ours, b"x"), 1);
    world.run_for(SECOND);
    let theirs = world.listener.only().mux.accept().expect("a stream");
    assert_eq!(world.listener.only().read(theirs), (b"x".to_vec(), false));
    (ours, theirs)
}

#[test]
fn both_sides_learn_who_the_other_is_before_anything_else() {
    let mut world = World::<Raw>::established(1);
    let (dialer, listener) = (world.dialer.identity.peer_id(), world.listener.identity.peer_id());
    assert_eq!(world.dialer.only().events, [MuxEvent::Secured { peer: listener }]);
    assert_eq!(world.listener.only().events, [MuxEvent::Secured { peer: dialer }]);
}

#[test]
fn four_mebibytes_arrive_each_way() {
    let mut world = World::<Raw>::established(2);
    let (up, down) = (content(1, 4 << 20), content(2, 4 << 20));
    let (got_up, got_down) = exchange(&mut world, &up, &down, MINUTE);
    assert!(got_up == up && got_down == down);
    assert!(world.listener.only().mux.transferred().0 > 4 << 20);
}

#[test]
fn two_hundred_streams_run_at_once() {
    let mut world = World::<Raw>::established(3);
    let mut open = Vec::new();
    // The remote allows 16 at first, and twice as many whenever half of them are open.
    while open.len() < 200 {
        match world.dialer.only().mux.open() {
            Ok(id) => {
                assert_eq!(world.dialer.only().write(id, &id.0.to_le_bytes()), 8);
                open.push(id);
            }
            Err(MuxOpenError::Limit(_)) => world.run_for(Duration::from_millis(50)),
            Err(error) => panic!("{error:?}"),
        }
        assert!(world.now < Timestamp::from_secs(10));
    }
    world.run_for(SECOND);
    let listener = world.listener.only();
    let mut taken = Vec::new();
    while let Some(id) = listener.mux.accept() {
        assert_eq!(listener.read(id), (id.0.to_le_bytes().to_vec(), false));
        listener.mux.finish(id).unwrap();
        taken.push(id);
    }
    assert_eq!(taken, open);
    for id in &open {
        world.dialer.only().mux.finish(*id).unwrap();
    }
    world.run_for(SECOND);
    for id in open {
        assert_eq!(world.dialer.only().read(id), (vec![], true));
        assert_eq!(world.listener.only().read(id), (vec![], true));
        assert_eq!(world.listener.only().mux.read(id, 1), Err(ReadError::UnknownStream));
        assert_eq!(world.dialer.only().count(&MuxEvent::Finished(id)), 1);
        assert_eq!(world.listener.only().count(&MuxEvent::Finished(id)), 1);
    }
    let inbound = world.listener.only().count(&MuxEvent::Inbound);
    assert!((1..=200).contains(&inbound));
}

#[test]
fn the_remote_may_open_as_many_streams_as_its_limit_says() {
    let config = QuicConfig {
        limits: MuxLimits { max_inbound_streams: 20, ..MuxLimits::default() },
        ..QuicConfig::default()
    };
    let mut world = World::<Raw>::with(4, Weather::fair(), config);
    world.dial();
    world.run_for(SECOND);
    for expected in [16, 20] {
        let mut open = 0;
        while let Ok(id) = world.dialer.only().mux.open() {
            assert_eq!(world.dialer.only().write(id, b"x"), 1);
            open += 1;
        }
        assert!(open <= expected);
        world.run_for(SECOND);
    }
    assert_eq!(world.dialer.only().mux.open(), Err(MuxOpenError::Limit(20)));
}

#[test]
fn one_direction_can_end_while_the_other_goes_on() {
    let mut world = World::<Raw>::established(5);
    let (ours, theirs) = stream(&mut world);
    world.dialer.only().mux.finish(ours).unwrap();
    world.dialer.only().mux.finish(ours).unwrap();
    assert_eq!(world.dialer.only().mux.write(ours, b"y"), Err(WriteError::Finished));
    world.run_for(SECOND);
    let listener = world.listener.only();
    assert_eq!(listener.count(&MuxEvent::Finished(theirs)), 1);
    assert_eq!(listener.read(theirs), (vec![], true));
    assert_eq!(listener.read(theirs), (vec![], true));
    assert_eq!(listener.write(theirs, b"still here"), 10);
    listener.mux.finish(theirs).unwrap();
    assert_eq!(listener.mux.read(theirs, 1), Err(ReadError::UnknownStream));
    world.run_for(SECOND);
    assert_eq!(world.dialer.only().read(ours), (b"still here".to_vec(), true));
    assert_eq!(world.dialer.only().mux.read(ours, 1), Err(ReadError::UnknownStream));
}

#[test]
fn a_read_of_nothing_does_not_take_the_end() {
    let mut world = World::<Raw>::established(33);
    let (ours, theirs) = stream(&mut world);
    for (id, side) in [(ours, world.dialer.only()), (theirs, world.listener.only())] {
        side.mux.finish(id).unwrap();
    }
    world.run_for(SECOND);
    let dialer = world.dialer.only();
    assert_eq!(dialer.mux.read(ours, 0), Ok(bytes::Bytes::new()));
    assert_eq!(dialer.mux.read_into(ours, &mut []), Ok(0));
    assert_eq!(dialer.read(ours), (vec![], true));
    assert_eq!(dialer.mux.read(ours, 0), Err(ReadError::UnknownStream));
}

#[test]
fn a_reset_carries_its_code_and_ends_both_directions() {
    let mut world = World::<Raw>::established(6);
    let (ours, theirs) = stream(&mut world);
    assert_eq!(world.listener.only().write(theirs, b"unread"), 6);
    world.run_for(SECOND);
    world.dialer.only().mux.reset(ours, 77);
    world.dialer.only().mux.reset(ours, 78);
    assert_eq!(world.dialer.only().mux.read(ours, 1), Err(ReadError::UnknownStream));
    world.run_for(SECOND);
    let listener = world.listener.only();
    assert_eq!(listener.count(&MuxEvent::Reset { stream: theirs, code: 77 }), 1);
    assert_eq!(listener.mux.read(theirs, 1), Err(ReadError::UnknownStream));
    assert_eq!(listener.mux.write(theirs, b"y"), Err(WriteError::UnknownStream));
    assert!(!listener.events.iter().any(|event| matches!(event, MuxEvent::Stopped { .. })));
    assert!(!world.dialer.only().events.contains(&MuxEvent::Reset { stream: ours, code: 77 }));
}

#[test]
fn a_stream_that_was_reset_before_it_was_taken_is_never_seen() {
    let mut world = World::<Raw>::established(7);
    let dialer = world.dialer.only();
    let (one, two) = (dialer.mux.open().unwrap(), dialer.mux.open().unwrap());
    dialer.write(one, b"one");
    dialer.write(two, b"two");
    world.run_for(SECOND);
    world.dialer.only().mux.reset(one, 5);
    world.run_for(SECOND);
    let listener = world.listener.only();
    assert_eq!(listener.mux.accept(), Some(two));
    assert_eq!(listener.mux.accept(), None);
    assert_eq!(listener.read(two).0, b"two");
    assert_eq!(listener.count(&MuxEvent::Inbound), 1);
}

#[test]
fn unread_bytes_close_the_window_and_a_reset_gives_it_back() {
    let mut world = World::<Raw>::established(8);
    let (ours, theirs) = stream(&mut world);
    let data = content(3, 8 << 20);
    let mut sent = 0;
    for _ in 0..400 {
        sent += world.dialer.only().write(ours, &data[sent..]);
        world.run_for(Duration::from_millis(10));
    }
    let unread = world.listener.only().mux.window_use().unread_bytes;
    assert!(((1 << 20) - 80_000..=1 << 20).contains(&unread), "{unread} bytes unread");
    assert_eq!(world.listener.only().mux.unread_bytes(theirs).min(1 << 20), unread);
    assert!(sent < 2 << 20, "{sent} bytes written");
    assert_eq!(world.dialer.only().mux.write(ours, b"x"), Err(WriteError::Blocked));
    world.listener.only().mux.reset(theirs, 9);
    assert_eq!(world.listener.only().mux.window_use().unread_bytes, 0);
    let other = world.dialer.only().mux.open().unwrap();
    world.run_for(SECOND);
    assert!(world.dialer.only().write(other, &data) > 100_000);
    assert_eq!(world.dialer.only().count(&MuxEvent::Reset { stream: ours, code: 9 }), 1);
}

#[test]
fn the_window_grows_by_lease_and_shrinks_when_it_is_idle() {
    let mut world = World::<Raw>::established(9);
    let data = content(4, 24 << 20);
    exchange(&mut world, &data, b"", MINUTE);
    let window = world.listener.only().mux.window_use();
    assert_eq!(window.leased_bytes, 1 << 20);
    assert!(window.wants_lease);
    assert_eq!(window.unread_bytes, 0);
    world.run_for(11 * SECOND);
    assert_eq!(world.listener.only().mux.window_use().leased_bytes, 0);
}

#[test]
fn somebody_else_at_the_address_is_refused_before_any_stream() {
    let mut world = World::<Raw>::new(10);
    let expected = Identity::ed25519(&Seed::from_u64(99)).peer_id();
    let found = world.listener.identity.peer_id();
    world.dial_expecting(Some(expected));
    world.run_for(Duration::from_millis(100));
    let reason = CloseReason::WrongPeer { expected: Box::new(expected), found: Box::new(found) };
    assert_eq!(world.dialer.only().events, [closed(reason)]);
    let told = &world.listener.only().events;
    assert!(
        matches!(
            told[..],
            [MuxEvent::Closed {
                reason: CloseReason::Quic(QuicError::ClosedByTransport { code: 256.. })
            }]
        ),
        "{told:?}"
    );
    world.run_for(MINUTE);
    assert_eq!((world.dialer.gone, world.listener.gone), (1, 1));
    assert_eq!(world.listener.endpoint.connection_count(), 0);
}

#[test]
fn ghsa_5hq8_qhww_jm7q_an_expired_certificate_is_an_error() {
    // Ours are valid from 1975 to 4096.
    for (dialer_is_late, year_seconds) in [(true, 0), (true, 70_000_000_000), (false, 0)] {
        let mut world = World::<Raw>::new(11);
        if dialer_is_late {
            world.dialer.unix_seconds = year_seconds;
        } else {
            world.listener.unix_seconds = year_seconds;
        }
        world.dial();
        world.run_for(SECOND);
        let late = if dialer_is_late { world.dialer.only() } else { world.listener.only() };
        let Some(MuxEvent::Closed { reason: CloseReason::Quic(QuicError::Tls(error)) }) =
            late.events.last()
        else {
            panic!("{:?}", late.events);
        };
        assert!(
            matches!(
                error,
                TlsError::Certificate(
                    CertificateError::Expired { .. } | CertificateError::NotYetValid { .. }
                )
            ),
            "{error:?}"
        );
    }
}

#[test]
fn a_refused_connection_is_told_so() {
    let mut world = World::<Raw>::new(12);
    world.listener.admission = Admission::Refuse;
    world.dial();
    world.run_for(Duration::from_millis(100));
    let reason = CloseReason::Quic(QuicError::ClosedByTransport { code: 2 });
    assert_eq!(world.dialer.only().events, [closed(reason)]);
    assert_eq!(world.listener.endpoint.connection_count(), 0);
    assert_eq!(world.listener.endpoint.pending_count(), 0);
}

#[test]
fn a_retry_validates_the_address_first() {
    let mut world = World::<Raw>::new(13);
    world.listener.admission = Admission::Retry;
    world.dial();
    world.run_for(SECOND);
    assert_eq!(world.dialer.only().peer(), Some(world.listener.identity.peer_id()));
    let (got, _) = exchange(&mut world, b"after a retry", b"", MINUTE);
    assert_eq!(got, b"after a retry");
}

#[test]
fn cve_2024_45311_refusing_after_a_retry_does_no_harm() {
    let mut world = World::<Raw>::new(14);
    world.listener.admission = Admission::RetryThenRefuse;
    world.dial();
    world.run_for(Duration::from_millis(200));
    let reason = CloseReason::Quic(QuicError::ClosedByTransport { code: 2 });
    assert_eq!(world.dialer.only().events, [closed(reason)]);
    // Late answers to one that is gone.
    world.listener.admission = Admission::Wait;
    world.dial();
    world.run_for(Duration::from_millis(20));
    let (id, validated) = world.listener.waiting[0];
    assert!(!validated);
    world.listener.endpoint.retry(id);
    world.listener.endpoint.refuse(id);
    world.listener.endpoint.retry(id);
    world.run_for(Duration::from_millis(20));
    assert_eq!(world.listener.endpoint.pending_count(), 1);
}

#[test]
fn headers_whose_lengths_reach_beyond_the_datagram_begin_no_connection() {
    let mut world = World::<Raw>::new(16);
    let (from, to) = (world.dialer.address, world.listener.address);
    for length in 0..64 {
        world.inject(from, to, vec![0xc0 | u8::try_from(length).unwrap(); length]);
    }
    for byte in 0..=255u8 {
        // A long header of version 1 with everything that follows set to one value.
        let mut bytes = vec![byte; 1200];
        bytes[..5].copy_from_slice(&[0xc0 | (byte & 0x3f), 0, 0, 0, 1]);
        world.inject(from, to, bytes.clone());
        bytes.truncate(usize::from(byte) + 5);
        world.inject(from, to, bytes);
    }
    world.run_for(MINUTE);
    assert_eq!(world.listener.endpoint.connection_count(), 0);
    assert_eq!(world.listener.endpoint.pending_count(), 0);
}

#[test]
fn under_load_addresses_are_validated_without_being_asked() {
    let config = QuicConfig { retry_threshold: 2, ..QuicConfig::default() };
    let mut world = World::<Raw>::with(17, Weather::fair(), config);
    world.listener.admission = Admission::Wait;
    for _ in 0..5 {
        world.dial();
    }
    world.run_for(Duration::from_millis(100));
    let validated: Vec<bool> = world.listener.waiting.iter().map(|(_, v)| *v).collect();
    assert_eq!(validated, [false, false, true, true, true]);
    for (id, _) in core::mem::take(&mut world.listener.waiting) {
        world.listener.accept(world.now, id);
    }
    world.run_for(SECOND);
    assert!(world.dialer.connections.values().all(|raw| raw.peer().is_some()));
}

#[test]
fn incoming_connections_that_wait_are_bounded_and_expire() {
    let config =
        QuicConfig { max_pending_incoming: 3, retry_threshold: 100, ..QuicConfig::default() };
    let mut world = World::<Raw>::with(18, Weather::fair(), config);
    world.listener.admission = Admission::Wait;
    for _ in 0..10 {
        world.dial();
    }
    world.run_for(Duration::from_millis(100));
    assert_eq!(world.listener.endpoint.pending_count(), 3);
    world.run_for(9 * SECOND);
    let timed_out = closed(CloseReason::TimedOut(DeadlineReason::Handshake));
    world.run_for(2 * SECOND);
    assert!(world.dialer.connections.values().all(|raw| raw.events == [timed_out.clone()]));
    assert!(world.listener.endpoint.pending_count() <= 3);
    world.run_for(MINUTE);
    assert_eq!(world.listener.endpoint.pending_count(), 0);
    assert_eq!(world.dialer.gone, 10);
}

#[test]
fn before_validation_at_most_three_times_what_came_goes_back() {
    let mut world = World::<Raw>::new(19);
    world.dial();
    world.settle();
    // The first flight arrives; nothing that the listener sends does.
    world.weather.loss_percent = 100;
    world.run_for(MINUTE);
    let listener = &world.listener;
    assert!(listener.received_bytes >= 1200);
    // The limit of RFC 9000, section 8.1, and the rest of a datagram that began within it, which
    // quinn_proto sends whole.
    assert!(
        listener.sent_bytes <= 3 * listener.received_bytes + 1200,
        "{} bytes for {}",
        listener.sent_bytes,
        listener.received_bytes
    );
}

#[test]
fn garbage_is_dropped_or_answered_with_less() {
    let mut world = World::<Raw>::established(20);
    let to = world.listener.address;
    let from = "10.0.0.9:9".parse().unwrap();
    let before = (world.listener.received_bytes, world.listener.sent_bytes);
    for number in 0..2_000u64 {
        let length = usize::try_from(number * 7 % 1_500).unwrap();
        let mut bytes = content(number, length);
        if number % 3 == 0
            && let [first, a, b, c, d, ..] = &mut bytes[..]
        {
            (*first, *a, *b, *c, *d) = (*first | 0xc0, 0, 0, 0, 1);
        }
        world.inject(from, to, bytes);
        world.run_for(Duration::from_millis(1));
    }
    world.run_for(20 * SECOND);
    let received = world.listener.received_bytes - before.0;
    let sent = world.listener.sent_bytes - before.1;
    assert!(sent < received, "{sent} bytes for {received}");
    assert_eq!(world.listener.endpoint.pending_count(), 0);
    let (got, _) = exchange(&mut world, b"unharmed", b"", MINUTE);
    assert_eq!(got, b"unharmed");
}

#[test]
fn keep_alive_holds_an_idle_connection_and_silence_ends_it() {
    let mut world = World::<Raw>::established(21);
    world.run_for(10 * MINUTE);
    assert_eq!(world.dialer.only().events.len(), 1);
    let pings = world.sent;
    world.weather.loss_percent = 100;
    world.run_for(29 * SECOND);
    assert_eq!(world.dialer.only().events.len(), 1);
    world.run_for(12 * SECOND);
    assert!(world.sent >= pings);
    // An idle timeout leaves nothing to be answered: the connection is gone at once.
    assert_eq!((world.dialer.gone, world.listener.gone), (1, 1));
    assert_eq!(world.dialer.endpoint.connection_count(), 0);
}

#[test]
fn a_close_sends_what_was_written_and_reaches_the_other_end() {
    let mut world = World::<Raw>::established(22);
    let data = content(5, 300_000);
    let ours = world.dialer.only().mux.open().unwrap();
    let mut sent = 0;
    world.run_until(MINUTE, |world| {
        sent += world.dialer.only().write(ours, &data[sent..]);
        sent == data.len()
    });
    world.weather.loss_percent = 10;
    world.dialer.only().mux.finish(ours).unwrap();
    world.dialer.only().mux.close(CloseReason::Requested);
    assert_eq!(world.dialer.only().mux.open(), Err(MuxOpenError::NotOpen));
    assert_eq!(world.dialer.only().mux.write(ours, b"x"), Err(WriteError::ConnectionClosed));
    let mut got = Vec::new();
    let theirs = loop {
        if let Some(id) = world.listener.only().mux.accept() {
            break id;
        }
        world.step(Timestamp::MAX);
    };
    world.run_until(MINUTE, |world| {
        let (bytes, over) = world.listener.only().read(theirs);
        got.extend_from_slice(&bytes);
        over
    });
    assert!(got == data);
    world.weather.loss_percent = 0;
    let over = closed(CloseReason::RemoteClosed { code: 0 });
    world.run_until(MINUTE, |world| world.listener.only().events.last() == Some(&over));
    assert_eq!(world.listener.only().mux.read(theirs, 1), Ok(bytes::Bytes::new()));
    world.run_for(MINUTE);
    assert_eq!((world.dialer.gone, world.listener.gone), (1, 1));
    assert_eq!(world.dialer.endpoint.connection_count(), 0);
    assert_eq!(world.listener.endpoint.connection_count(), 0);
}

#[test]
fn what_arrived_can_be_read_after_the_end() {
    let mut world = World::<Raw>::established(23);
    let (ours, theirs) = stream(&mut world);
    world.dialer.only().write(ours, b"last words");
    world.dialer.only().mux.close(CloseReason::Banned);
    world.run_for(Duration::from_millis(60));
    assert_eq!(world.dialer.only().events.last(), Some(&closed(CloseReason::Banned)));
    let listener = world.listener.only();
    assert_eq!(listener.mux.read(theirs, 100).unwrap(), &b"last words"[..]);
    assert_eq!(listener.mux.read(theirs, 100), Err(ReadError::ConnectionClosed));
    assert_eq!(listener.mux.write(theirs, b"x"), Err(WriteError::ConnectionClosed));
}

#[test]
fn nothing_is_told_after_the_end() {
    let mut world = World::<Raw>::established(34);
    let (finished, theirs) = stream(&mut world);
    let (reset, also_theirs) = stream(&mut world);
    let dialer = world.dialer.only();
    dialer.write(finished, b"last words");
    dialer.mux.finish(finished).unwrap();
    dialer.write(reset, b"lost words");
    world.run_for(SECOND);
    world.dialer.only().mux.reset(reset, 3);
    world.listener.only().mux.close(CloseReason::Banned);
    world.run_for(SECOND);
    let listener = world.listener.only();
    assert_eq!(listener.events.last(), Some(&closed(CloseReason::Banned)));
    assert_eq!(listener.read(theirs), (b"last words".to_vec(), true));
    while listener.mux.read(also_theirs, 100).is_ok() {}
    assert_eq!(listener.mux.poll_event(), None);
}

#[test]
fn what_happened_before_the_end_is_told_before_it() {
    let mut world = World::<Raw>::established(31);
    let (ours, theirs) = stream(&mut world);
    world.dialer.only().mux.reset(ours, 3);
    world.dialer.only().mux.close(CloseReason::Requested);
    world.run_for(Duration::from_millis(60));
    let reset = MuxEvent::Reset { stream: theirs, code: 3 };
    let events = &world.listener.only().events;
    let over = closed(CloseReason::RemoteClosed { code: 0 });
    assert_eq!(events[events.len() - 2..], [reset, over]);
}

#[test]
fn a_dropped_connection_is_forgotten() {
    let mut world = World::<Raw>::established(24);
    let id = *world.listener.connections.keys().next().unwrap();
    world.listener.connections.remove(&id);
    world.listener.endpoint.forget(id);
    world.listener.endpoint.forget(id);
    assert_eq!(world.listener.endpoint.connection_count(), 0);
    // The other end learns of it from a stateless reset (RFC 9000, section 10.3).
    let ours = world.dialer.only().mux.open().unwrap();
    world.dialer.only().write(ours, &[0; 1000]);
    world.run_for(SECOND);
    let lost = closed(CloseReason::Quic(QuicError::StatelessReset));
    assert_eq!(world.dialer.only().events.last(), Some(&lost));
}

#[test]
fn ids_that_never_were_are_no_ops() {
    let mut world = World::<Raw>::established(25);
    for number in [0, 1, 2, 3, 400, u64::MAX] {
        let id = StreamId(number);
        let mux = &mut world.dialer.only().mux;
        assert_eq!(mux.read(id, 1), Err(ReadError::UnknownStream));
        assert_eq!(mux.write(id, b"x"), Err(WriteError::UnknownStream));
        assert_eq!(mux.finish(id), Err(WriteError::UnknownStream));
        assert_eq!(mux.unread_bytes(id), 0);
        mux.reset(id, u64::MAX);
    }
}

#[test]
fn nothing_is_accepted_where_that_is_off() {
    let config = QuicConfig { accept: false, ..QuicConfig::default() };
    let mut world = World::<Raw>::with(26, Weather::fair(), config);
    world.dial();
    world.run_for(11 * SECOND);
    let timed_out = closed(CloseReason::TimedOut(DeadlineReason::Handshake));
    assert_eq!(world.dialer.only().events, [timed_out]);
}

#[test]
fn a_whole_connection_runs_over_quic() {
    let mut world = World::<Whole>::established(27);
    let echo = ProtocolId::new("/test/echo/1.0.0").unwrap();
    let now = world.now;
    let ours = world.dialer.only().connection.open(now, &[echo]).unwrap();
    world.dialer.only().connection.stream(ours).write(b"hello").unwrap();
    world.run_for(SECOND);
    let (theirs, _) = world.listener.only().connection.accept().unwrap();
    let mut stream = world.listener.only().connection.stream(theirs);
    assert_eq!(stream.read(100).unwrap(), &b"hello"[..]);
    let now = world.now;
    world.dialer.only().connection.perf(now, 3_000_000, 5_000_000).unwrap();
    world.run_for(MINUTE);
    let Some(ConnectionEvent::Perf(report)) = world.dialer.only().events.last().cloned() else {
        panic!("no report: {:?}", world.dialer.only().events);
    };
    assert!(report.complete);
    assert_eq!((report.uploaded_bytes, report.downloaded_bytes), (3_000_000, 5_000_000));
    let now = world.now;
    world.dialer.only().connection.close(now, CloseReason::Requested);
    world.run_for(MINUTE);
    assert_eq!((world.dialer.gone, world.listener.gone), (1, 1));
}

#[test]
fn a_stream_that_nobody_takes_is_reset_when_it_holds_the_connection_up() {
    let mut world = World::<Whole>::established(32);
    let echo = ProtocolId::new("/test/echo/1.0.0").unwrap();
    let now = world.now;
    let ours = world.dialer.only().connection.open(now, &[echo]).unwrap();
    let data = content(6, 4 << 20);
    let mut sent = 0;
    let over = |event: &ConnectionEvent| matches!(event, ConnectionEvent::Ended { stream, .. } if *stream == ours);
    world.run_until(MINUTE, |world| {
        let dialer = world.dialer.only();
        if dialer.events.iter().any(over) {
            return true;
        }
        sent += dialer.connection.stream(ours).write(&data[sent..]).unwrap_or(0);
        false
    });
    assert!((1 << 19..2 << 20).contains(&sent), "{sent} bytes written");
    assert!((10..20).contains(&(world.now.0 / 1_000_000_000)), "at {:?}", world.now);
    assert_eq!(world.listener.only().connection.window_use().unread_bytes, 0);
}

/// A session with everything in it, over a bad link. Its digest.
fn session(seed: u64) -> String {
    let mut world = World::<Raw>::with(seed, Weather::foul(10), QuicConfig::default());
    world.listener.admission = Admission::Retry;
    world.dial();
    world.run_until(MINUTE, |world| {
        world.dialer.only().peer().is_some() && world.listener.connections.len() == 1
    });
    let (up, down) = (content(1, 200_000), content(2, 300_000));
    let (got_up, got_down) = exchange(&mut world, &up, &down, 10 * MINUTE);
    assert!(got_up == up && got_down == down);
    world.run_for(MINUTE);
    world.dialer.only().mux.close(CloseReason::Requested);
    world.run_for(MINUTE);
    world.digest()
}

const CHILD: &str = "SANSPEER_QUIC_DIGEST_CHILD";

#[test]
fn one_seed_gives_the_same_datagrams_here_and_in_another_process() {
    let first = session(28);
    assert_eq!(session(28), first);
    assert_ne!(session(29), first);
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_digest_of_a_session", "--nocapture", "--test-threads=1"])
        .env(CHILD, "28")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains(&format!("digest {first}")), "{first} is not in {text}");
}

/// What the other process runs.
#[test]
#[allow(clippy::disallowed_methods, reason = "the parent says so which seed it wants")]
fn the_digest_of_a_session() {
    if let Ok(seed) = std::env::var(CHILD) {
        println!("digest {}", session(seed.parse().unwrap()));
    }
}

#[test]
fn datagrams_after_the_end_of_time_do_no_harm() {
    let mut world = World::<Raw>::established(30);
    let meta = DatagramMeta { remote: world.dialer.address, local_ip: None, ecn: None };
    let now = Timestamp::MAX;
    world.listener.endpoint.handle_datagram(now, meta, BytesMut::from(&[0xff; 1200][..]));
    world.listener.endpoint.handle_timeout(now);
    world.listener.only().mux.handle_timeout(now);
    world.now = now;
    world.settle();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn a_bad_link_changes_no_content(
        seed in 100u64..400,
        loss in 0u32..=20,
        up in 0usize..60_000,
        down in 0usize..60_000,
    ) {
        let mut world = World::<Raw>::with(seed, Weather::foul(loss), QuicConfig::default());
        let config_peer: PeerId = world.listener.identity.peer_id();
        world.dial_expecting(Some(config_peer));
        // A handshake may be lost altogether: within its time it is tried again and again.
        world.run_for(9 * SECOND);
        prop_assume!(world.dialer.connections.len() == 1 && world.listener.connections.len() == 1);
        prop_assume!(world.dialer.only().peer().is_some() && world.listener.only().peer().is_some());
        let (up, down) = (content(seed, up), content(seed + 1, down));
        let (got_up, got_down) = exchange(&mut world, &up, &down, 20 * MINUTE);
        prop_assert!(got_up == up && got_down == down);
    }

    #[test]
    fn changed_copies_of_datagrams_change_no_content(
        seed in 400u64..900,
        up in 0usize..60_000,
        down in 0usize..60_000,
    ) {
        let mut world = World::<Raw>::established(seed);
        // Every datagram comes with a copy of which a bit was changed, before it or after it.
        world.weather = Weather { changed_percent: 100, ..Weather::foul(0) };
        let (up, down) = (content(seed, up), content(seed + 1, down));
        let (got_up, got_down) = exchange(&mut world, &up, &down, 20 * MINUTE);
        prop_assert!(got_up == up && got_down == down);
        prop_assert_eq!((world.dialer.gone, world.listener.gone), (0, 0));
    }
}
