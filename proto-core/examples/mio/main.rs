//! A whole peer on one thread, over mio: TCP and QUIC on real sockets, without async, and without
//! any of the drivers.
//!
//! ```text
//! cargo run -p sanspeer-core --example mio                                 both sides here
//! cargo run -p sanspeer-core --example mio -- listen /ip4/127.0.0.1/tcp/4001
//! cargo run -p sanspeer-core --example mio -- dial /ip4/127.0.0.1/tcp/4001/p2p/12D3KooW... TEXT
//! ```
//!
//! [`peer`] is what an embedder writes, with [`stream`] and [`udp`] for its sockets and [`failure`]
//! for its errors; [`echo`] is the application.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    reason = "a driver has what the core may not use: sockets and a clock"
)]
#![allow(unreachable_pub, reason = "tests include these files")]

mod echo;
mod failure;
mod peer;
mod stream;
mod udp;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use multiaddr::{Multiaddr, Protocol};
use peer::MioPeer;
use sanspeer_core::application::Network as _;
use sanspeer_core::identity::Identity;
use sanspeer_core::rng::Seed;

const PATIENCE: Duration = Duration::from_secs(30);

const USAGE: &str = "\
usage: mio                        both sides here, over TCP and over QUIC
       mio listen MULTIADDR...    answers with what it hears
       mio dial MULTIADDR TEXT    says TEXT, and prints the answer";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match &arguments[..] {
        [] => demonstrate(),
        ["listen", addresses @ ..] if !addresses.is_empty() => listen(addresses),
        ["dial", address, text] => dial(address, text),
        _ => Err(io::Error::other(USAGE)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("mio: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// A peer with a new identity.
fn new_peer() -> io::Result<MioPeer> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    let seed = Seed::new(bytes);
    MioPeer::new(Identity::ed25519(&seed.derive("identity", 0)), &seed.derive("peer", 0))
}

fn listen(addresses: &[&str]) -> io::Result<()> {
    let mut peer = new_peer()?;
    for address in addresses {
        println!("{}", listen_on(&mut peer, address)?);
    }
    echo::serve(&mut peer, || false)
}

/// Listens, and returns the address with the peer's id.
fn listen_on(peer: &mut MioPeer, address: &str) -> io::Result<Multiaddr> {
    let address = address.parse().map_err(io::Error::other)?;
    let bound = echo::listen(peer, address)?;
    Ok(bound.with(Protocol::P2p(peer.host().peer_id())))
}

fn dial(address: &str, text: &str) -> io::Result<()> {
    let address = address.parse().map_err(io::Error::other)?;
    let (peer, answer) = echo::ask(&mut new_peer()?, address, text.as_bytes(), PATIENCE)?;
    println!("{peer} answered {}", String::from_utf8_lossy(&answer));
    Ok(())
}

/// Both sides in one process, each on a thread of its own.
fn demonstrate() -> io::Result<()> {
    let mut bob = new_peer()?;
    let addresses = [
        listen_on(&mut bob, "/ip4/127.0.0.1/tcp/0")?,
        listen_on(&mut bob, "/ip4/127.0.0.1/udp/0/quic-v1")?,
    ];
    std::thread::spawn(move || echo::serve(&mut bob, || false));
    for address in addresses {
        println!("{address}");
        dial(&address.to_string(), "hello")?;
    }
    Ok(())
}
