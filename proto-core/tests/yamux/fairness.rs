//! Who may write when the send buffer is full.

use std::collections::BTreeMap;

use sanspeer_core::mux::{MuxEvent, StreamId, WriteError};
use sanspeer_core::send_buffer::{MAX_QUEUED_BYTES, MAX_QUEUED_DATA_BYTES};
use sanspeer_core::yamux::header::{Flags, FrameType};

use crate::side::{Side, pair, parse};

/// A session with this many streams whose windows never run out.
fn writers(count: usize) -> (Side, Vec<StreamId>) {
    let (mut a, _) = pair();
    let ids: Vec<StreamId> = (0..count).map(|_| a.open()).collect();
    for id in &ids {
        a.write_all(*id, b"x");
    }
    a.transmit_all();
    for id in &ids {
        let wire_id = u32::try_from(id.0).expect("a small id");
        a.frame(FrameType::WindowUpdate, Flags::ACK, wire_id, 1 << 30).expect("window");
    }
    a.events();
    (a, ids)
}

/// Writes until there is no room.
fn fill(side: &mut Side, id: StreamId) -> usize {
    let mut written = 0;
    loop {
        match side.write(id, &[9; 10_000]) {
            Ok(n) => written += n,
            Err(error) => {
                assert_eq!(error, WriteError::Blocked);
                return written;
            }
        }
    }
}

/// Data bytes per stream in what was sent.
fn sent(wire: &[u8]) -> BTreeMap<u32, usize> {
    let mut sent = BTreeMap::new();
    for frame in parse(wire) {
        *sent.entry(frame.header.stream).or_default() += frame.payload.len();
    }
    sent
}

#[test]
fn what_is_queued_is_bounded_and_a_writer_waits_for_room() {
    let (mut a, ids) = writers(1);
    let written = fill(&mut a, ids[0]);
    assert!(written <= MAX_QUEUED_DATA_BYTES);
    assert!(written >= MAX_QUEUED_DATA_BYTES - 1024);
    assert!(a.out.queued() <= MAX_QUEUED_BYTES);
    a.transmit(MAX_QUEUED_DATA_BYTES / 4);
    assert!(a.events().is_empty(), "half of the room must be free");
    a.transmit(MAX_QUEUED_DATA_BYTES / 2);
    assert_eq!(a.events(), [MuxEvent::Writable(ids[0])]);
    assert!(fill(&mut a, ids[0]) > 0);
}

#[test]
fn a_stream_that_never_waits_for_its_turn_cannot_starve_ten_others() {
    let (mut a, ids) = writers(11);
    let (greedy, others) = ids.split_first().unwrap();
    let mut wire = Vec::new();
    for round in 0..2000 {
        // The greedy one tries at every occasion, the others only when they are woken.
        fill(&mut a, *greedy);
        if round == 0 {
            for other in others {
                fill(&mut a, *other);
            }
        }
        wire.extend(a.transmit(1500));
        for event in a.events() {
            if let MuxEvent::Writable(id) = event
                && id != *greedy
            {
                fill(&mut a, id);
            }
        }
    }
    wire.extend(a.transmit_all());
    let sent = sent(&wire);
    assert_eq!(sent.len(), 11);
    let fair = wire.len() / 11;
    for (id, bytes) in sent {
        assert!(bytes >= fair / 2, "stream {id} sent {bytes} bytes, its part were {fair}");
    }
}

#[test]
fn writers_that_wait_share_the_room_evenly() {
    let (mut a, ids) = writers(12);
    for id in &ids {
        fill(&mut a, *id);
    }
    let mut wire = a.transmit_all();
    for _ in 0..50 {
        for event in a.events() {
            let MuxEvent::Writable(id) = event else { panic!("{event:?}") };
            fill(&mut a, id);
        }
        wire.extend(a.transmit_all());
    }
    let sent = sent(&wire);
    let most = sent.values().max().copied().unwrap();
    let least = sent.values().min().copied().unwrap();
    // The first one had filled the whole buffer before anybody competed.
    assert!(least > 0 && most <= least + MAX_QUEUED_DATA_BYTES * 5 / 4, "{sent:?}");
}

#[test]
fn writers_that_there_is_no_room_for_come_first_the_next_time() {
    let (mut a, ids) = writers(250);
    for id in &ids {
        fill(&mut a, *id);
    }
    let mut wire = a.transmit_all();
    for _ in 0..40 {
        for event in a.events() {
            let MuxEvent::Writable(id) = event else { panic!("{event:?}") };
            fill(&mut a, id);
        }
        // So that only half of the room is free.
        wire.extend(a.transmit(MAX_QUEUED_DATA_BYTES / 2));
    }
    wire.extend(a.transmit_all());
    let sent = sent(&wire);
    let fair = (wire.len() - MAX_QUEUED_DATA_BYTES) / 250;
    assert_eq!(sent.len(), 250);
    for (id, bytes) in sent {
        assert!(bytes >= fair / 2, "stream {id} sent {bytes} bytes, its part were {fair}");
    }
}

#[test]
fn a_lone_writer_has_the_whole_buffer_again_when_the_others_are_through() {
    let (mut a, ids) = writers(3);
    for id in &ids {
        fill(&mut a, *id);
    }
    a.transmit_all();
    a.events();
    let share = fill(&mut a, ids[0]);
    assert!(share <= MAX_QUEUED_DATA_BYTES / 3, "{share} bytes");
    for _ in 0..2 {
        a.transmit_all();
        a.events();
        fill(&mut a, ids[0]);
    }
    a.transmit_all();
    a.events();
    assert!(fill(&mut a, ids[0]) >= MAX_QUEUED_DATA_BYTES - 1024);
}

#[test]
fn a_stream_that_ends_while_it_waits_gives_its_place_away() {
    let (mut a, ids) = writers(3);
    for id in &ids {
        fill(&mut a, *id);
    }
    a.session.reset(ids[0], 0).unwrap();
    a.session.reset(ids[1], 0).unwrap();
    a.transmit_all();
    assert_eq!(a.events(), [MuxEvent::Writable(ids[2])]);
    assert!(fill(&mut a, ids[2]) >= MAX_QUEUED_DATA_BYTES - 1024, "nobody competes");
}

#[test]
fn control_frames_find_room_when_data_does_not() {
    let (mut a, ids) = writers(1);
    fill(&mut a, ids[0]);
    a.frame(FrameType::Ping, Flags::SYN, 0, 5).unwrap();
    a.session.flush(&mut a.out);
    assert!(!a.session.owes_frames());
    assert!(a.out.queued() <= MAX_QUEUED_BYTES);
}
