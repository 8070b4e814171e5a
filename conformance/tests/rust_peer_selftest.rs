//! rust-libp2p against itself: what the interop tests of others rest on.

#![allow(clippy::unwrap_used, reason = "the helpers here are part of the tests")]

#[path = "rust_libp2p/peer.rs"]
mod peer;
mod protocols;

use peer::{Identity, RustPeer, RustPeerConfig, Task, TaskReport};
use protocols::Transport;

const MIB: u64 = 1 << 20;

/// A dialler and a listener, connected.
fn pair(dialler: RustPeerConfig, listener: RustPeerConfig) -> (RustPeer, RustPeer) {
    let (dialler, listener) = (RustPeer::spawn(dialler), RustPeer::spawn(listener));
    let dialled = dialler.dial(listener.listen_addr(), Some(listener.peer_id())).unwrap();
    assert_eq!(dialled, listener.peer_id());
    assert_eq!(listener.wait_connected().unwrap(), dialler.peer_id());
    (dialler, listener)
}

fn default_pair() -> (RustPeer, RustPeer) {
    pair(RustPeerConfig::default(), RustPeerConfig::default())
}

fn lazy() -> RustPeerConfig {
    RustPeerConfig { lazy_streams: true, ..RustPeerConfig::default() }
}

/// Runs `task` with each peer as the opener; neither may see anything that it did not expect.
fn run_both_ways((dialler, listener): &(RustPeer, RustPeer), task: Task) -> [TaskReport; 2] {
    let reports = [dialler.run(task).unwrap(), listener.run(task).unwrap()];
    for peer in [dialler, listener] {
        assert_eq!(peer.wait_idle().unwrap().failures, 0, "{task:?}: {:?}", peer.last_failure());
    }
    reports
}

#[test]
fn two_hundred_echo_streams_are_open_at_once() {
    for peers in [default_pair(), pair(lazy(), lazy())] {
        let task = Task::Echo { count: 200, bytes: 4096 };
        for report in run_both_ways(&peers, task) {
            assert_eq!(report.streams, 200);
            assert_eq!(report.bytes_received, 200 * 4096);
        }
        for peer in [&peers.0, &peers.1] {
            let counters = peer.wait_counters(|c| c.half_closes_seen == 200).unwrap();
            assert!(counters.max_concurrent >= 200, "{counters:?}");
            assert_eq!(counters.bytes_received, 200 * 4096);
            assert_eq!(counters.streams_accepted, 200);
        }
    }
}

#[test]
fn both_sides_open_two_hundred_streams_at_the_same_time() {
    let peers = default_pair();
    let task = Task::Echo { count: 200, bytes: 4096 };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| peers.1.run(task));
        peers.0.run(task).unwrap();
        other.join().unwrap().unwrap();
    });
}

#[test]
fn an_echo_of_nothing_ends() {
    run_both_ways(&default_pair(), Task::Echo { count: 3, bytes: 0 });
    run_both_ways(&pair(lazy(), lazy()), Task::Echo { count: 3, bytes: 0 });
}

#[test]
fn the_acceptor_answers_a_checksum_after_the_half_close() {
    for peers in [default_pair(), pair(lazy(), lazy())] {
        for (up, down) in [(0, 0), (1, 0), (0, 1), (65_537, 300_001), (8 * MIB, 8 * MIB)] {
            run_both_ways(&peers, Task::Checksum { up, down });
        }
    }
}

#[test]
fn sixty_four_mebibytes_flow_each_way_at_once() {
    let reports = run_both_ways(&default_pair(), Task::Duplex { up: 64 * MIB, down: 64 * MIB });
    for report in reports {
        assert_eq!((report.bytes_sent, report.bytes_received), (64 * MIB, 64 * MIB));
    }
}

#[test]
fn a_duplex_may_be_lopsided() {
    for peers in [default_pair(), pair(lazy(), lazy())] {
        for (up, down) in [(0, 0), (3 * MIB, 0), (0, 3 * MIB), (1, MIB)] {
            run_both_ways(&peers, Task::Duplex { up, down });
        }
    }
}

#[test]
fn a_reset_is_seen_by_the_opener() {
    run_both_ways(&default_pair(), Task::ResetMe);
    run_both_ways(&pair(lazy(), lazy()), Task::ResetMe);
}

#[test]
fn a_reset_is_seen_and_counted_by_the_acceptor() {
    for peers in [default_pair(), pair(lazy(), lazy())] {
        for report in run_both_ways(&peers, Task::ExpectReset) {
            assert_eq!(report.remote.unwrap().resets_seen, 1);
        }
        assert_eq!(peers.0.counters().resets_seen, 1);
        assert_eq!(peers.1.counters().resets_seen, 1);
    }
}

#[test]
fn a_report_is_what_the_acceptor_counts() {
    let peers = default_pair();
    let [report, _] = run_both_ways(&peers, Task::Report);
    assert_eq!(report.remote.unwrap(), peers.1.counters());
}

#[test]
fn every_kind_of_identity_connects_in_both_roles() {
    for identity in Identity::ALL {
        let config = RustPeerConfig { identity, ..RustPeerConfig::default() };
        run_both_ways(
            &pair(config.clone(), RustPeerConfig::default()),
            Task::Echo { count: 1, bytes: 1 },
        );
        run_both_ways(&pair(RustPeerConfig::default(), config), Task::Echo { count: 1, bytes: 1 });
    }
}

#[test]
fn every_transport_carries_streams_both_ways() {
    for transport in
        [Transport::TcpNoise, Transport::TcpTls, Transport::PnetNoise([7; 32]), Transport::Quic]
    {
        let config = RustPeerConfig { transport, ..RustPeerConfig::default() };
        run_both_ways(&pair(config.clone(), config), Task::Checksum { up: MIB, down: MIB });
    }
}

#[test]
fn a_dial_without_an_expected_peer_answers_who_is_there() {
    let (dialler, listener) =
        (RustPeer::spawn(RustPeerConfig::default()), RustPeer::spawn(RustPeerConfig::default()));
    assert_eq!(dialler.dial(listener.listen_addr(), None).unwrap(), listener.peer_id());
}

#[test]
fn a_dial_that_finds_another_peer_fails() {
    let (dialler, listener) =
        (RustPeer::spawn(RustPeerConfig::default()), RustPeer::spawn(RustPeerConfig::default()));
    let stranger = libp2p::PeerId::random();
    let error = dialler.dial(listener.listen_addr(), Some(stranger)).unwrap_err();
    assert!(error.contains(&listener.peer_id().to_string()), "{error}");
}

#[test]
fn a_dropped_peer_is_seen_to_leave() {
    let (dialler, listener) = default_pair();
    let gone = dialler.peer_id();
    drop(dialler);
    listener.wait_disconnected(gone).unwrap();
}
