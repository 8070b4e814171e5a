//! Our connection with rust-libp2p over TCP, Noise and Yamux, in both roles.

#![allow(clippy::unwrap_used, reason = "the helpers here are part of the tests")]

#[path = "ours/peer.rs"]
mod ours;
mod protocols;
#[path = "rust_libp2p/peer.rs"]
mod rust;

use std::net::TcpListener;

use ours::{OurPeer, Task};
use rust::{Identity, RustPeer, RustPeerConfig};
use sanspeer_core::close::CloseReason;

const MIB: u64 = 1 << 20;

/// A connection that we dialled.
fn we_dial(config: RustPeerConfig, number: u64) -> (OurPeer, RustPeer) {
    let rust = RustPeer::spawn(config);
    let ours = OurPeer::dial(rust.listen_addr(), Some(rust.peer_id()), number).unwrap();
    assert_eq!(ours.remote(), rust.peer_id());
    assert_eq!(rust.wait_connected().unwrap(), ours.peer_id());
    (ours, rust)
}

/// A connection that rust-libp2p dialled.
fn they_dial(config: RustPeerConfig, number: u64) -> (OurPeer, RustPeer) {
    let rust = RustPeer::spawn(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::scope(|scope| {
        let accepting = scope.spawn(|| OurPeer::accept(&listener, number));
        let found = rust.dial(addr, Some(OurPeer::id_of(number))).unwrap();
        let ours = accepting.join().unwrap().unwrap();
        assert_eq!(found, ours.peer_id());
        assert_eq!(ours.remote(), rust.peer_id());
        (ours, rust)
    })
}

fn lazy() -> RustPeerConfig {
    RustPeerConfig { lazy_streams: true, ..RustPeerConfig::default() }
}

/// Every way in which the two can meet.
fn meetings() -> Vec<(OurPeer, RustPeer)> {
    vec![
        we_dial(RustPeerConfig::default(), 1),
        we_dial(lazy(), 2),
        they_dial(RustPeerConfig::default(), 3),
        they_dial(lazy(), 4),
    ]
}

fn assert_no_failures(ours: &OurPeer, rust: &RustPeer) {
    assert_eq!(ours.counters().failures, 0, "{:?}", ours.last_failure());
    assert_eq!(rust.counters().failures, 0, "{:?}", rust.last_failure());
}

#[test]
fn sixty_four_mebibytes_go_each_way_with_a_checksum() {
    for (ours, rust) in [we_dial(RustPeerConfig::default(), 5), they_dial(lazy(), 6)] {
        for (up, down) in [(64 * MIB, 64 * MIB), (65_537, 300_001), (0, 0)] {
            let outcomes = ours.run(Task::Checksum { up, down }).unwrap();
            assert_eq!(outcomes[0].bytes_received, down);
            let report = rust.run(rust::Task::Checksum { up, down }).unwrap();
            assert_eq!(report.bytes_received, down);
        }
        assert_no_failures(&ours, &rust);
    }
}

#[test]
fn both_directions_flow_at_once() {
    for (ours, rust) in [we_dial(lazy(), 7), they_dial(RustPeerConfig::default(), 8)] {
        std::thread::scope(|scope| {
            let theirs =
                scope.spawn(|| rust.run(rust::Task::Duplex { up: 16 * MIB, down: 16 * MIB }));
            let outcomes = ours.run(Task::Duplex { up: 64 * MIB, down: 64 * MIB }).unwrap();
            assert_eq!(outcomes[0].bytes_received, 64 * MIB);
            assert_eq!(theirs.join().unwrap().unwrap().bytes_received, 16 * MIB);
        });
        assert_no_failures(&ours, &rust);
    }
}

#[test]
fn two_hundred_streams_are_open_at_once() {
    for (ours, rust) in meetings() {
        let outcomes = ours.run(Task::Echo { count: 200, bytes: 10_000 }).unwrap();
        assert_eq!(outcomes.len(), 200);
        let seen = rust.wait_counters(|counters| counters.half_closes_seen == 200).unwrap();
        assert!(seen.max_concurrent >= 200, "{seen:?}");
        let report = rust.run(rust::Task::Echo { count: 200, bytes: 10_000 }).unwrap();
        assert_eq!(report.streams, 200);
        let seen = ours.wait_counters(|counters| counters.half_closes_seen == 200).unwrap();
        assert!(seen.max_concurrent >= 200, "{seen:?}");
        assert_no_failures(&ours, &rust);
    }
}

#[test]
fn resets_and_half_closes_are_seen_on_both_sides() {
    for (ours, rust) in meetings() {
        ours.run(Task::ResetMe).unwrap();
        rust.run(rust::Task::ResetMe).unwrap();
        ours.run(Task::ExpectReset).unwrap();
        rust.wait_counters(|counters| counters.resets_seen == 1).unwrap();
        rust.run(rust::Task::ExpectReset).unwrap();
        ours.wait_counters(|counters| counters.resets_seen == 1).unwrap();
        ours.run(Task::Echo { count: 1, bytes: 1 }).unwrap();
        rust.wait_counters(|counters| counters.half_closes_seen >= 1).unwrap();
        rust.run(rust::Task::Echo { count: 1, bytes: 1 }).unwrap();
        ours.wait_counters(|counters| counters.half_closes_seen >= 1).unwrap();
        assert_no_failures(&ours, &rust);
    }
}

#[test]
fn every_kind_of_identity_is_accepted() {
    for (number, identity) in (10..).zip(Identity::ALL) {
        let config = RustPeerConfig { identity, ..RustPeerConfig::default() };
        let (ours, rust) = we_dial(config.clone(), number);
        ours.run(Task::Echo { count: 1, bytes: 100 }).unwrap();
        assert_no_failures(&ours, &rust);
        let (ours, rust) = they_dial(config, number);
        rust.run(rust::Task::Echo { count: 1, bytes: 100 }).unwrap();
        assert_no_failures(&ours, &rust);
    }
}

#[test]
fn another_identity_than_the_dialled_one_is_refused_by_both() {
    let rust = RustPeer::spawn(RustPeerConfig::default());
    let stranger = OurPeer::id_of(99);
    let error = OurPeer::dial(rust.listen_addr(), Some(stranger), 20).err().unwrap();
    assert!(error.contains("WrongPeer"), "{error}");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::scope(|scope| {
        let accepting = scope.spawn(|| OurPeer::accept(&listener, 21));
        rust.dial(addr, Some(stranger)).unwrap_err();
        drop(accepting.join().unwrap());
    });
}

#[test]
fn a_goodbye_ends_the_connection_at_the_other_side() {
    let (ours, rust) = we_dial(RustPeerConfig::default(), 22);
    let id = ours.peer_id();
    assert_eq!(ours.close(), CloseReason::Requested);
    rust.wait_disconnected(id).unwrap();
    let (ours, rust) = they_dial(RustPeerConfig::default(), 23);
    drop(rust);
    let error = ours.run(Task::Echo { count: 1, bytes: 1 }).unwrap_err();
    assert!(!error.contains("no end after"), "{error}");
}
