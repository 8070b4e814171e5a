//! Two peers exchange lines over TCP, without async and without a second thread for the
//! connection.
//!
//! ```text
//! cargo run --example lines                         both sides in one process, over real TCP
//! cargo run --example lines -- listen 127.0.0.1:4001
//! cargo run --example lines -- dial /ip4/127.0.0.1/tcp/4001/p2p/12D3KooW...
//! ```
//!
//! [`blocking`] is the loop that an embedder writes, [`conversation`] the application above it.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a driver has what the core may not use: sockets, threads, a clock, a file"
)]

mod blocking;
mod conversation;
mod demo;
mod key;
mod terminal;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use blocking::BlockingDriver;
use conversation::{Failure, converse};
use multiaddr::{Multiaddr, Protocol};
use sanspeer_core::identity::PeerId;
use sanspeer_core::rng::Seed;
use terminal::Terminal;

const USAGE: &str = "\
usage: lines                                  both sides here, over TCP on 127.0.0.1
       lines listen IP:PORT [--key FILE]      wait for a peer and exchange lines with it
       lines dial MULTIADDR [--key FILE]      dial /ip4/../tcp/../p2p/.. and exchange lines

Lines typed here go to the peer; Ctrl-D (end of input) ends this side's direction.
FILE holds a private key in libp2p's protobuf encoding; it is made if there is none.";

const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// What went wrong, in one line that names what the user gave.
type Problem = String;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("lines: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), Problem> {
    let (words, key_file) = split_key_option(arguments)?;
    match words[..] {
        [] if key_file.is_none() => demo::run(),
        ["-h" | "--help" | "help"] => {
            println!("{USAGE}");
            Ok(())
        }
        ["listen", address] => listen(address, key_file),
        ["dial", address] => dial(address, key_file),
        ["listen" | "dial"] => Err(format!("{:?} needs an address; see --help", words[0])),
        _ => Err(format!("do not understand {:?}; see --help", arguments.join(" "))),
    }
}

/// The arguments without `--key FILE`, and FILE.
fn split_key_option(arguments: &[String]) -> Result<(Vec<&str>, Option<&str>), Problem> {
    let (mut words, mut file) = (Vec::new(), None);
    let mut rest = arguments.iter().map(String::as_str);
    while let Some(word) = rest.next() {
        if word == "--key" {
            file = Some(rest.next().ok_or("--key needs a file")?);
        } else {
            words.push(word);
        }
    }
    Ok((words, file))
}

fn listen(address: &str, key_file: Option<&str>) -> Result<(), Problem> {
    let socket_address: SocketAddr = address
        .parse()
        .map_err(|_| format!("{address:?} is not an address such as 127.0.0.1:4001"))?;
    let identity = key::identity(key_file)?;
    let cannot = |error| format!("cannot listen on {address}: {error}");
    let listener = TcpListener::bind(socket_address).map_err(cannot)?;
    let bound = listener.local_addr().map_err(cannot)?;
    println!("listening on {}", multiaddr_of(bound, identity.peer_id()));
    let mut terminal = Terminal::new();
    loop {
        let (socket, from) = listener.accept().map_err(cannot)?;
        let seed = os_seed()?;
        let mut driver = BlockingDriver::accept(socket, &identity, seed, conversation::protocols())
            .map_err(|error| format!("{from}: {error}"))?;
        match converse(&mut driver, &mut terminal) {
            // A stranger who does not get through the handshake must not end the listener.
            Err(failure) if driver.connection().peer().is_none() => {
                eprintln!("lines: {from}: {failure}");
            }
            result => return result.map_err(|failure| format!("{from}: {failure}")),
        }
    }
}

fn dial(address: &str, key_file: Option<&str>) -> Result<(), Problem> {
    let (socket_address, expected_peer) = parse_multiaddr(address)?;
    let identity = key::identity(key_file)?;
    let socket = TcpStream::connect_timeout(&socket_address, DIAL_TIMEOUT)
        .map_err(|error| format!("cannot dial {address}: {error}"))?;
    let seed = os_seed()?;
    let protocols = conversation::protocols();
    let mut driver = BlockingDriver::connect(socket, &identity, seed, expected_peer, protocols)
        .map_err(|error| format!("cannot dial {address}: {error}"))?;
    converse(&mut driver, &mut Terminal::new())
        .map_err(|failure: Failure| format!("{address}: {failure}"))
}

/// `/ip4/../tcp/..` or `/ip6/../tcp/..`, with or without `/p2p/..` behind it.
fn parse_multiaddr(text: &str) -> Result<(SocketAddr, Option<PeerId>), Problem> {
    let address: Multiaddr =
        text.parse().map_err(|error| format!("{text:?} is not a multiaddr: {error}"))?;
    let parts: Vec<Protocol<'_>> = address.iter().collect();
    let (ip, port, rest) = match &parts[..] {
        [Protocol::Ip4(ip), Protocol::Tcp(port), rest @ ..] => ((*ip).into(), *port, rest),
        [Protocol::Ip6(ip), Protocol::Tcp(port), rest @ ..] => ((*ip).into(), *port, rest),
        _ => return Err(format!("{text:?} does not begin with /ip4/../tcp/.. or /ip6/../tcp/..")),
    };
    match rest {
        [] => Ok((SocketAddr::new(ip, port), None)),
        [Protocol::P2p(peer)] => Ok((SocketAddr::new(ip, port), Some(*peer))),
        _ => Err(format!("{text:?} has more behind its port than /p2p/..")),
    }
}

fn multiaddr_of(address: SocketAddr, peer: PeerId) -> Multiaddr {
    Multiaddr::from(address.ip()).with(Protocol::Tcp(address.port())).with(Protocol::P2p(peer))
}

/// A seed from the operating system: all the randomness that a connection or identity needs.
fn os_seed() -> Result<Seed, Problem> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| format!("the operating system gives no randomness: {error}"))?;
    Ok(Seed::new(bytes))
}
