//! Our connection with rust-libp2p in both roles: the same tests over every transport.

#![allow(clippy::unwrap_used, reason = "the helpers here are part of the tests")]

#[path = "ours/peer.rs"]
mod ours;
mod protocols;
#[path = "rust_libp2p/peer.rs"]
mod rust;

use ours::{Listener, OurPeer, Task};
use protocols::{Transport, over_transports};
use rust::{Identity, RustPeer, RustPeerConfig};
use sanspeer_core::close::CloseReason;

const KEY: [u8; 32] = [7; 32];
const OTHER_KEY: [u8; 32] = [8; 32];

over_transports! {
    tcp_noise: Transport::TcpNoise,
    tcp_tls: Transport::TcpTls,
    pnet_noise: Transport::PnetNoise(KEY),
    quic: Transport::Quic;
    sixty_four_mebibytes_go_each_way_with_a_checksum,
    both_directions_flow_at_once,
    two_hundred_streams_are_open_at_once,
    resets_and_half_closes_are_seen_on_both_sides,
    every_kind_of_identity_is_accepted,
    another_identity_than_the_dialled_one_is_refused_by_both,
    a_close_ends_the_connection_at_the_other_side,
}

const MIB: u64 = 1 << 20;

/// A peer that waits for the answer to each proposal.
fn waiting(transport: Transport) -> RustPeerConfig {
    RustPeerConfig { transport, ..RustPeerConfig::default() }
}

/// A peer that sends the first bytes of a stream behind its proposal.
fn lazy(transport: Transport) -> RustPeerConfig {
    RustPeerConfig { lazy_streams: true, ..waiting(transport) }
}

/// A connection that we dialled.
fn we_dial(config: RustPeerConfig, number: u64) -> (OurPeer, RustPeer) {
    let transport = config.transport;
    let rust = RustPeer::spawn(config);
    let ours = OurPeer::dial(transport, rust.listen_addr(), Some(rust.peer_id()), number).unwrap();
    assert_eq!(ours.remote(), rust.peer_id());
    assert_eq!(rust.wait_connected().unwrap(), ours.peer_id());
    (ours, rust)
}

/// A connection that rust-libp2p dialled.
fn they_dial(config: RustPeerConfig, number: u64) -> (OurPeer, RustPeer) {
    let listener = Listener::bind(config.transport).unwrap();
    let addr = listener.addr().unwrap();
    let rust = RustPeer::spawn(config);
    std::thread::scope(|scope| {
        let accepting = scope.spawn(|| listener.accept(number));
        let found = rust.dial(addr, Some(OurPeer::id_of(number))).unwrap();
        let ours = accepting.join().unwrap().unwrap();
        assert_eq!(found, ours.peer_id());
        assert_eq!(ours.remote(), rust.peer_id());
        (ours, rust)
    })
}

/// Every way in which the two can meet.
fn meetings(transport: Transport) -> [(OurPeer, RustPeer); 4] {
    [
        we_dial(waiting(transport), 1),
        we_dial(lazy(transport), 2),
        they_dial(waiting(transport), 3),
        they_dial(lazy(transport), 4),
    ]
}

/// Nothing failed, and we can say goodbye.
fn end_well(ours: OurPeer, rust: RustPeer) {
    assert_eq!(ours.counters().failures, 0, "{:?}", ours.last_failure());
    assert_eq!(rust.counters().failures, 0, "{:?}", rust.last_failure());
    assert_eq!(ours.close(), CloseReason::Requested);
    // Only now: over QUIC we would wait for it to acknowledge what we sent last.
    drop(rust);
}

fn sixty_four_mebibytes_go_each_way_with_a_checksum(transport: Transport) {
    let sizes = [(64 * MIB, 64 * MIB), (65_537, 300_001), (0, 0)];
    let (ours, rust) = we_dial(waiting(transport), 5);
    for (up, down) in sizes {
        let outcomes = ours.run(Task::Checksum { up, down }).unwrap();
        assert_eq!(outcomes[0].bytes_received, down);
    }
    end_well(ours, rust);
    let (ours, rust) = they_dial(lazy(transport), 6);
    for (up, down) in sizes {
        let report = rust.run(rust::Task::Checksum { up, down }).unwrap();
        assert_eq!(report.bytes_received, down);
    }
    end_well(ours, rust);
}

fn both_directions_flow_at_once(transport: Transport) {
    for (ours, rust) in [we_dial(lazy(transport), 7), they_dial(waiting(transport), 8)] {
        std::thread::scope(|scope| {
            let theirs =
                scope.spawn(|| rust.run(rust::Task::Duplex { up: 8 * MIB, down: 8 * MIB }));
            let outcomes = ours.run(Task::Duplex { up: 16 * MIB, down: 16 * MIB }).unwrap();
            assert_eq!(outcomes[0].bytes_received, 16 * MIB);
            assert_eq!(theirs.join().unwrap().unwrap().bytes_received, 8 * MIB);
        });
        end_well(ours, rust);
    }
}

fn two_hundred_streams_are_open_at_once(transport: Transport) {
    for (ours, rust) in meetings(transport) {
        let outcomes = ours.run(Task::Echo { count: 200, bytes: 10_000 }).unwrap();
        assert_eq!(outcomes.len(), 200);
        let seen = rust.wait_counters(|counters| counters.half_closes_seen == 200).unwrap();
        assert!(seen.max_concurrent >= 200, "{seen:?}");
        let report = rust.run(rust::Task::Echo { count: 200, bytes: 10_000 }).unwrap();
        assert_eq!(report.streams, 200);
        let seen = ours.wait_counters(|counters| counters.half_closes_seen == 200).unwrap();
        assert!(seen.max_concurrent >= 200, "{seen:?}");
        end_well(ours, rust);
    }
}

fn resets_and_half_closes_are_seen_on_both_sides(transport: Transport) {
    for (ours, rust) in meetings(transport) {
        let result = ours.run(Task::ResetMe);
        if transport.rust_libp2p_resets() {
            result.unwrap();
        } else {
            let error = result.unwrap_err();
            assert!(error.contains("an end where a reset was due"), "{error}");
        }
        rust.run(rust::Task::ResetMe).unwrap();
        ours.run(Task::ExpectReset).unwrap();
        rust.wait_counters(|counters| counters.resets_seen == 1).unwrap();
        if transport.rust_libp2p_resets() {
            rust.run(rust::Task::ExpectReset).unwrap();
            ours.wait_counters(|counters| counters.resets_seen == 1).unwrap();
        }
        ours.run(Task::Echo { count: 1, bytes: 1 }).unwrap();
        rust.wait_counters(|counters| counters.half_closes_seen >= 1).unwrap();
        rust.run(rust::Task::Echo { count: 1, bytes: 1 }).unwrap();
        ours.wait_counters(|counters| counters.half_closes_seen >= 1).unwrap();
        end_well(ours, rust);
    }
}

fn every_kind_of_identity_is_accepted(transport: Transport) {
    for (number, identity) in (10..).zip(Identity::ALL) {
        let config = RustPeerConfig { identity, ..waiting(transport) };
        let (ours, rust) = we_dial(config.clone(), number);
        ours.run(Task::Echo { count: 1, bytes: 100 }).unwrap();
        end_well(ours, rust);
        let (ours, rust) = they_dial(config, number);
        rust.run(rust::Task::Echo { count: 1, bytes: 100 }).unwrap();
        end_well(ours, rust);
    }
}

fn another_identity_than_the_dialled_one_is_refused_by_both(transport: Transport) {
    let rust = RustPeer::spawn(waiting(transport));
    let stranger = OurPeer::id_of(99);
    let error = OurPeer::dial(transport, rust.listen_addr(), Some(stranger), 20).err().unwrap();
    assert!(error.contains("WrongPeer"), "{error}");
    let listener = Listener::bind(transport).unwrap();
    let addr = listener.addr().unwrap();
    std::thread::scope(|scope| {
        let accepting = scope.spawn(|| listener.accept(21));
        let error = rust.dial(addr, Some(stranger)).unwrap_err();
        assert!(error.contains(&OurPeer::id_of(21).to_string()), "{error}");
        drop(accepting.join().unwrap());
    });
}

fn a_close_ends_the_connection_at_the_other_side(transport: Transport) {
    let (ours, rust) = we_dial(waiting(transport), 22);
    let id = ours.peer_id();
    assert_eq!(ours.close(), CloseReason::Requested);
    rust.wait_disconnected(id).unwrap();
    let (ours, rust) = they_dial(waiting(transport), 23);
    drop(rust);
    let error = ours.run(Task::Echo { count: 1, bytes: 1 }).unwrap_err();
    assert!(!error.contains("no end after"), "{error}");
}

/// Two sides that cannot understand each other: each must say so, and be there for the next.
fn each_side_gives_up(ours: Transport, theirs: Transport) {
    let rust = RustPeer::spawn(waiting(theirs));
    let error = OurPeer::dial(ours, rust.listen_addr(), Some(rust.peer_id()), 30).err().unwrap();
    assert!(!error.contains("panicked"), "{error}");
    rust.wait_refused().unwrap();
    let listener = Listener::bind(ours).unwrap();
    let addr = listener.addr().unwrap();
    std::thread::scope(|scope| {
        let accepting = scope.spawn(|| listener.accept(31));
        rust.dial(addr, Some(OurPeer::id_of(31))).unwrap_err();
        let error = accepting.join().unwrap().err().unwrap();
        assert!(!error.contains("panicked"), "{error}");
    });
    let other = RustPeer::spawn(waiting(theirs));
    assert_eq!(other.dial(rust.listen_addr(), Some(rust.peer_id())).unwrap(), rust.peer_id());
}

#[test]
fn with_another_pre_shared_key_each_side_gives_up() {
    each_side_gives_up(Transport::PnetNoise(KEY), Transport::PnetNoise(OTHER_KEY));
}

#[test]
fn without_a_pre_shared_key_there_is_no_way_in() {
    each_side_gives_up(Transport::TcpNoise, Transport::PnetNoise(KEY));
}

#[test]
fn with_a_pre_shared_key_there_is_no_way_out() {
    each_side_gives_up(Transport::PnetNoise(KEY), Transport::TcpNoise);
}

#[test]
fn without_a_security_protocol_in_common_each_side_gives_up() {
    each_side_gives_up(Transport::TcpNoise, Transport::TcpTls);
    each_side_gives_up(Transport::TcpTls, Transport::TcpNoise);
}
