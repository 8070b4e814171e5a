//! Our connection with go-libp2p in both roles, over every transport, by the program that
//! conformance/interop/go.sh builds. Without it, which `GO_PEER` names, the tests say so and pass.

#![allow(clippy::unwrap_used, reason = "the helpers here are part of the tests")]

#[path = "go_libp2p/peer.rs"]
mod go;
#[path = "ours/peer.rs"]
mod ours;
mod protocols;

use go::GoPeer;
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use ours::{Counters, Listener, OurPeer, Task};
use protocols::{Transport, over_transports, socket_addr};
use sanspeer_core::identity::PeerId;

const MIB: u64 = 1 << 20;
const KEY: [u8; 32] = [7; 32];
const OTHER_KEY: [u8; 32] = [8; 32];

/// Every protocol, at the sizes that matter.
const TASKS: [Task; 9] = [
    Task::Echo { count: 200, bytes: 4096 },
    Task::Checksum { up: 0, down: 0 },
    Task::Checksum { up: 65_537, down: 300_001 },
    Task::Checksum { up: 64 * MIB, down: 64 * MIB },
    Task::Duplex { up: 64 * MIB, down: 64 * MIB },
    Task::Duplex { up: 3 * MIB, down: 0 },
    Task::ResetMe,
    Task::ExpectReset,
    Task::Report,
];

/// What go-peer is asked for, as its command line spells it.
const GO_TASKS: [&[&str]; 9] = [
    &["echo", "200", "4096"],
    &["checksum", "0", "0"],
    &["checksum", "65537", "300001"],
    &["checksum", "67108864", "67108864"],
    &["duplex", "67108864", "67108864"],
    &["duplex", "3145728", "0"],
    &["reset-me"],
    &["expect-reset"],
    &["report"],
];

const KEYS: [&str; 4] = ["ed25519", "secp256k1", "ecdsa", "rsa"];

over_transports! {
    tcp_noise: Transport::TcpNoise,
    tcp_tls: Transport::TcpTls,
    pnet_noise: Transport::PnetNoise(KEY),
    quic: Transport::Quic;
    we_dial_go_libp2p,
    go_libp2p_dials_us,
    every_kind_of_identity_connects_in_both_roles,
    a_dial_that_finds_another_peer_fails,
}

/// Dials what a go peer says of itself, or expects another.
fn dial_go(
    transport: Transport,
    go: &GoPeer,
    expected_peer: Option<PeerId>,
    number: u64,
) -> Result<OurPeer, String> {
    let addr: Multiaddr = go.multiaddr().parse().unwrap();
    let Some(Protocol::P2p(id)) = addr.iter().last() else { panic!("no peer id in {addr}") };
    let expected_peer = expected_peer.unwrap_or(id);
    OurPeer::dial(transport, socket_addr(&addr).unwrap(), Some(expected_peer), number)
}

/// Lets a go peer dial us for one task; what either has to say of it.
fn go_dials(
    transport: Transport,
    options: &[String],
    expected_peer: PeerId,
    number: u64,
    task: &[&str],
) -> (Result<OurPeer, String>, Result<String, String>) {
    let program = go::program().unwrap();
    let listener = Listener::bind(transport).unwrap();
    let addr = transport.multiaddr(listener.addr().unwrap()).with(Protocol::P2p(expected_peer));
    let task: Vec<String> = task.iter().map(ToString::to_string).collect();
    std::thread::scope(|scope| {
        let accepting = scope.spawn(|| listener.accept(number));
        let detail = go::dial(&program, options, &addr.to_string(), &task);
        (accepting.join().unwrap(), detail)
    })
}

fn we_dial_go_libp2p(transport: Transport) {
    let Some(program) = go::program() else { return };
    let go = GoPeer::listen(&program, &go::options(transport));
    let ours = dial_go(transport, &go, None, 1).unwrap();
    for task in TASKS {
        let outcomes = ours.run(task).unwrap();
        if task == Task::Report {
            let seen = outcomes[0].remote.unwrap();
            assert_eq!((seen.resets_seen, seen.failures), (1, 0), "{seen:?}");
            assert!(seen.max_concurrent >= 200, "{seen:?}");
            assert!(seen.half_closes_seen >= 200, "{seen:?}");
        }
    }
}

fn go_libp2p_dials_us(transport: Transport) {
    if go::program().is_none() {
        return;
    }
    for (number, task) in (10..).zip(GO_TASKS) {
        let id = OurPeer::id_of(number);
        let (ours, detail) = go_dials(transport, &go::options(transport), id, number, task);
        let (ours, detail) = (ours.unwrap(), detail.unwrap());
        let seen = ours.counters();
        assert_eq!(seen.failures, 0, "{task:?}: {:?}", ours.last_failure());
        match task[0] {
            "echo" => {
                assert!(seen.max_concurrent >= 200 && seen.half_closes_seen >= 200, "{seen:?}");
            }
            "expect-reset" => assert_eq!(seen.resets_seen, 1, "{seen:?}"),
            "report" => assert_eq!(serde_json::from_str::<Counters>(&detail).unwrap().failures, 0),
            _ => assert!(seen.streams_accepted >= 1, "{seen:?}"),
        }
    }
}

fn every_kind_of_identity_connects_in_both_roles(transport: Transport) {
    let Some(program) = go::program() else { return };
    for (number, key) in (30..).zip(KEYS) {
        let options = go::options_with_key(transport, key);
        let go = GoPeer::listen(&program, &options);
        let ours = dial_go(transport, &go, None, number).unwrap();
        ours.run(Task::Echo { count: 1, bytes: 1 }).unwrap();
        let id = OurPeer::id_of(number);
        let (ours, detail) = go_dials(transport, &options, id, number, &["echo", "1", "1"]);
        detail.unwrap();
        assert_eq!(ours.unwrap().counters().failures, 0);
    }
}

fn a_dial_that_finds_another_peer_fails(transport: Transport) {
    let Some(program) = go::program() else { return };
    let go = GoPeer::listen(&program, &go::options(transport));
    let stranger = OurPeer::id_of(41);
    let error = dial_go(transport, &go, Some(stranger), 40).err().unwrap();
    assert!(error.contains("WrongPeer"), "{error}");
    let (_, detail) = go_dials(transport, &go::options(transport), stranger, 40, &["report"]);
    let error = detail.unwrap_err();
    assert!(error.contains("peer id mismatch"), "{error}");
}

#[test]
fn with_another_pre_shared_key_each_side_gives_up() {
    let Some(program) = go::program() else { return };
    let theirs = go::options(Transport::PnetNoise(OTHER_KEY));
    let transport = Transport::PnetNoise(KEY);
    let go = GoPeer::listen(&program, &theirs);
    let error = dial_go(transport, &go, None, 50).err().unwrap();
    assert!(!error.contains("panicked"), "{error}");
    let (ours, detail) = go_dials(transport, &theirs, OurPeer::id_of(51), 51, &["report"]);
    let error = ours.err().unwrap();
    assert!(!error.contains("panicked"), "{error}");
    detail.unwrap_err();
}
