//! rust-libp2p with go-libp2p: what the interop tests of ours rest on. Runs with the program that
//! conformance/interop/go.sh builds; without it, which `GO_PEER` names, the tests say so and pass.

#![allow(clippy::unwrap_used, reason = "the helpers here are part of the tests")]

#[path = "go_libp2p/peer.rs"]
mod go;
#[path = "rust_libp2p/peer.rs"]
mod peer;
mod protocols;

use go::GoPeer;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use peer::{Counters, Identity, RustPeer, RustPeerConfig, Task};
use protocols::{Transport, over_transports, socket_addr};

const MIB: u64 = 1 << 20;

/// Every protocol, at the sizes that matter.
const TASKS: [Task; 11] = [
    Task::Echo { count: 200, bytes: 4096 },
    Task::Echo { count: 3, bytes: 0 },
    Task::Checksum { up: 0, down: 0 },
    Task::Checksum { up: 65_537, down: 300_001 },
    Task::Checksum { up: 64 * MIB, down: 64 * MIB },
    Task::Duplex { up: 64 * MIB, down: 64 * MIB },
    Task::Duplex { up: 3 * MIB, down: 0 },
    Task::Duplex { up: 0, down: 3 * MIB },
    Task::ResetMe,
    Task::ExpectReset,
    Task::Report,
];

fn go_args(task: Task) -> Vec<String> {
    let words = |name: &str, numbers: &[u64]| {
        std::iter::once(name.to_owned()).chain(numbers.iter().map(u64::to_string)).collect()
    };
    match task {
        Task::Echo { count, bytes } => words("echo", &[count as u64, bytes]),
        Task::Checksum { up, down } => words("checksum", &[up, down]),
        Task::Duplex { up, down } => words("duplex", &[up, down]),
        Task::ResetMe => words("reset-me", &[]),
        Task::ExpectReset => words("expect-reset", &[]),
        Task::Report => words("report", &[]),
    }
}

over_transports! {
    tcp_noise: Transport::TcpNoise,
    tcp_tls: Transport::TcpTls,
    pnet_noise: Transport::PnetNoise([7; 32]),
    quic: Transport::Quic;
    rust_libp2p_dials_go_libp2p,
    go_libp2p_dials_rust_libp2p,
    every_kind_of_identity_connects_in_both_roles,
    a_dial_that_finds_another_peer_fails,
}

fn config(transport: Transport) -> RustPeerConfig {
    RustPeerConfig { transport, ..RustPeerConfig::default() }
}

/// Dials what a go peer says of itself.
fn dial_go(rust: &RustPeer, go: &GoPeer) -> PeerId {
    let addr: Multiaddr = go.multiaddr().parse().unwrap();
    let Some(Protocol::P2p(id)) = addr.iter().last() else { panic!("no peer id in {addr}") };
    rust.dial(socket_addr(&addr).unwrap(), Some(id)).unwrap()
}

fn assert_clean(peer: &RustPeer, task: Task) {
    assert_eq!(peer.wait_idle().unwrap().failures, 0, "{task:?}: {:?}", peer.last_failure());
}

fn rust_libp2p_dials_go_libp2p(transport: Transport) {
    let Some(program) = go::program() else { return };
    for lazy_streams in [false, true] {
        let go = GoPeer::listen(&program, &go::options(transport));
        let rust = RustPeer::spawn(RustPeerConfig { lazy_streams, ..config(transport) });
        dial_go(&rust, &go);
        let resets = transport.rust_libp2p_resets();
        for task in TASKS.into_iter().filter(|task| resets || *task != Task::ExpectReset) {
            rust.run(task).unwrap();
        }
        let seen = rust.run(Task::Report).unwrap().remote.unwrap();
        assert!(seen.max_concurrent >= 200, "{seen:?}");
        assert_eq!((seen.resets_seen, seen.failures), (u64::from(resets), 0), "{seen:?}");
    }
}

fn go_libp2p_dials_rust_libp2p(transport: Transport) {
    let Some(program) = go::program() else { return };
    let rust = RustPeer::spawn(config(transport));
    let addr = rust.listen_multiaddr().to_string();
    let resets = transport.rust_libp2p_resets();
    for task in TASKS.into_iter().filter(|task| resets || *task != Task::ResetMe) {
        let detail = go::dial(&program, &go::options(transport), &addr, &go_args(task)).unwrap();
        assert_clean(&rust, task);
        if task == Task::Report {
            let seen: Counters = serde_json::from_str(&detail).unwrap();
            assert_eq!(seen.resets_seen, 1, "{seen:?}");
            assert!(seen.max_concurrent >= 200, "{seen:?}");
        }
    }
}

fn every_kind_of_identity_connects_in_both_roles(transport: Transport) {
    let Some(program) = go::program() else { return };
    let echo = Task::Echo { count: 1, bytes: 1 };
    for (identity, key) in Identity::ALL.into_iter().zip(["ed25519", "secp256k1", "ecdsa", "rsa"]) {
        let options = go::options_with_key(transport, key);
        let rust = RustPeer::spawn(RustPeerConfig { identity, ..config(transport) });
        let go = GoPeer::listen(&program, &options);
        dial_go(&rust, &go);
        rust.run(echo).unwrap();
        let addr = rust.listen_multiaddr().to_string();
        go::dial(&program, &options, &addr, &go_args(echo)).unwrap();
        assert_clean(&rust, echo);
    }
}

fn a_dial_that_finds_another_peer_fails(transport: Transport) {
    let Some(program) = go::program() else { return };
    let rust = RustPeer::spawn(config(transport));
    let options = go::options(transport);
    let go = GoPeer::listen(&program, &options);
    let addr: Multiaddr = go.multiaddr().parse().unwrap();
    let stranger = PeerId::random();
    rust.dial(socket_addr(&addr).unwrap(), Some(stranger)).unwrap_err();
    let mut wrong = rust.listen_multiaddr();
    wrong.pop();
    let wrong = wrong.with(Protocol::P2p(stranger)).to_string();
    let error = go::dial(&program, &options, &wrong, &go_args(Task::Report)).unwrap_err();
    assert!(error.contains("peer id mismatch"), "{error}");
}
