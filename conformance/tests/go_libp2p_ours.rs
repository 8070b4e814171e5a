//! Our connection with go-libp2p over TCP, Noise and Yamux, in both roles, by the program that
//! conformance/interop/go.sh builds. Without it, which `GO_PEER` names, the tests say so and pass.

#![allow(clippy::unwrap_used, reason = "the helpers here are part of the tests")]

#[path = "go_libp2p/peer.rs"]
mod go;
#[path = "ours/peer.rs"]
mod ours;
mod protocols;

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use go::GoPeer;
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use ours::{Counters, OurPeer, Task};
use sanspeer_core::identity::PeerId;

const MIB: u64 = 1 << 20;

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

/// The program, or a line that says why the test does nothing.
fn program() -> Option<OsString> {
    let program = go::program();
    if program.is_none() {
        println!("skipped: GO_PEER is not set; run conformance/interop/go.sh");
    }
    program
}

/// Dials what a go peer says of itself.
fn dial_go(go: &GoPeer, number: u64) -> Result<OurPeer, String> {
    let addr: Multiaddr = go.multiaddr().parse().unwrap();
    let (mut port, mut peer) = (None, None);
    for part in &addr {
        if let Protocol::Tcp(found) = part {
            port = Some(found);
        } else if let Protocol::P2p(found) = part {
            peer = Some(found);
        }
    }
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port.unwrap()));
    OurPeer::dial(addr, Some(peer.unwrap()), number)
}

/// Lets a go peer dial us for one task.
fn go_dials(program: &OsString, options: &[&str], number: u64, task: &[&str]) -> (OurPeer, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let addr = multiaddr(port, OurPeer::id_of(number));
    let task: Vec<String> = task.iter().map(ToString::to_string).collect();
    std::thread::scope(|scope| {
        let accepting = scope.spawn(|| OurPeer::accept(&listener, number));
        let detail = go::dial(program, options, &addr, &task).unwrap();
        (accepting.join().unwrap().unwrap(), detail)
    })
}

fn multiaddr(port: u16, peer: PeerId) -> String {
    format!("/ip4/127.0.0.1/tcp/{port}/p2p/{peer}")
}

#[test]
fn we_dial_go_libp2p() {
    let Some(program) = program() else { return };
    let go = GoPeer::listen(&program, &[]);
    let ours = dial_go(&go, 1).unwrap();
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

#[test]
fn go_libp2p_dials_us() {
    let Some(program) = program() else { return };
    for (number, task) in (10..).zip(GO_TASKS) {
        let (ours, detail) = go_dials(&program, &[], number, task);
        let seen = ours.counters();
        assert_eq!(seen.failures, 0, "{task:?}: {:?}", ours.last_failure());
        match task[0] {
            "echo" => {
                assert!(seen.max_concurrent >= 200 && seen.half_closes_seen >= 200, "{seen:?}")
            }
            "expect-reset" => assert_eq!(seen.resets_seen, 1, "{seen:?}"),
            "report" => assert_eq!(serde_json::from_str::<Counters>(&detail).unwrap().failures, 0),
            _ => assert!(seen.streams_accepted >= 1, "{seen:?}"),
        }
    }
}

#[test]
fn every_kind_of_identity_connects_in_both_roles() {
    let Some(program) = program() else { return };
    for (number, key) in (30..).zip(KEYS) {
        let go = GoPeer::listen(&program, &["--key", key]);
        let ours = dial_go(&go, number).unwrap();
        ours.run(Task::Echo { count: 1, bytes: 1 }).unwrap();
        let (ours, _) = go_dials(&program, &["--key", key], number, &["echo", "1", "1"]);
        assert_eq!(ours.counters().failures, 0);
    }
}

#[test]
fn a_dial_that_finds_another_peer_fails() {
    let Some(program) = program() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::scope(|scope| {
        let accepting = scope.spawn(|| OurPeer::accept(&listener, 40));
        let wrong = multiaddr(port, OurPeer::id_of(41));
        let error = go::dial(&program, &[], &wrong, &["report".to_owned()]).unwrap_err();
        assert!(error.contains("peer id mismatch"), "{error}");
        drop(accepting.join().unwrap());
    });
}
