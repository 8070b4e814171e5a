//! Two peers exchange lines over TCP or QUIC, without async and without a second thread for the
//! connection.
//!
//! ```text
//! cargo run --example lines                         both sides in one process, over real TCP
//! cargo run --example lines -- listen 127.0.0.1:4001
//! cargo run --example lines -- dial /ip4/127.0.0.1/tcp/4001/p2p/12D3KooW...
//! ```
//!
//! [`blocking`] and [`udp`] are the loops that an embedder writes, for TCP and QUIC; [`transport`]
//! chooses what lies below the streams, and [`conversation`] is the application above them.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a driver has what the core may not use: sockets, threads, a clock, a file"
)]

mod blocking;
mod conversation;
mod demo;
mod driver;
mod key;
mod options;
mod terminal;
mod transport;
mod udp;

use std::net::SocketAddr;
use std::process::ExitCode;

use conversation::converse;
use multiaddr::{Multiaddr, Protocol};
use options::Options;
use sanspeer_core::identity::{Identity, PeerId};
use sanspeer_core::rng::Seed;
use terminal::Terminal;
use transport::{OurSide, Transport};

const USAGE: &str = "\
usage: lines [OPTIONS]                     both sides here, on 127.0.0.1
       lines listen IP:PORT [OPTIONS]      wait for a peer and exchange lines with it
       lines dial MULTIADDR [OPTIONS]      dial /ip4/../tcp/../p2p/.. and exchange lines,
                                           or /ip4/../udp/../quic-v1/p2p/.. with --quic
options:
  --key FILE    this side's private key, in libp2p's protobuf encoding; made if there is none
  --tls         TLS instead of Noise; both sides must ask for it
  --psk FILE    in the private network of this key, a file that begins with /key/swarm/psk/1.0.0/
  --quic        QUIC over UDP instead of TCP; not in a private network

Lines typed here go to the peer; Ctrl-D (end of input) ends this side's direction.";

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
    let options = Options::parse(arguments)?;
    match options.words[..] {
        [] if options.key_file.is_none() => demo::run(&options.transport()?),
        ["-h" | "--help" | "help"] => {
            println!("{USAGE}");
            Ok(())
        }
        ["listen", address] => listen(address, &options),
        ["dial", address] => dial(address, &options),
        [command @ ("listen" | "dial")] => Err(format!("{command:?} needs an address; see --help")),
        _ => Err(format!("do not understand {:?}; see --help", arguments.join(" "))),
    }
}

fn listen(address: &str, options: &Options<'_>) -> Result<(), Problem> {
    let socket_address: SocketAddr = address
        .parse()
        .map_err(|_| format!("{address:?} is not an address such as 127.0.0.1:4001"))?;
    let transport = options.transport()?;
    let identity = key::identity(options.key_file)?;
    let cannot = |error| format!("cannot listen on {address}: {error}");
    let listener = transport.listen(socket_address).map_err(cannot)?;
    let bound = listener.local_addr().map_err(cannot)?;
    println!("listening on {}", multiaddr_of(&transport, bound, identity.peer_id()));
    let mut terminal = Terminal::new();
    loop {
        let (mut driver, from) = listener.accept(our_side(&identity)?).map_err(cannot)?;
        match converse(&mut *driver, &mut terminal) {
            // A stranger who does not get through the handshake must not end the listener.
            Err(failure) if driver.connection().peer().is_none() => {
                eprintln!("lines: {from}: {failure}");
            }
            result => return result.map_err(|failure| format!("{from}: {failure}")),
        }
    }
}

fn dial(address: &str, options: &Options<'_>) -> Result<(), Problem> {
    let transport = options.transport()?;
    let (socket_address, expected_peer) = parse_multiaddr(&transport, address)?;
    let identity = key::identity(options.key_file)?;
    let mut driver = transport
        .dial(socket_address, expected_peer, our_side(&identity)?)
        .map_err(|error| format!("cannot dial {address}: {error}"))?;
    converse(&mut *driver, &mut Terminal::new()).map_err(|failure| format!("{address}: {failure}"))
}

/// This side of a connection that begins now.
fn our_side(identity: &Identity) -> Result<OurSide<'_>, Problem> {
    Ok(OurSide { identity, seed: os_seed()?, protocols: conversation::protocols() })
}

/// `/ip4/../tcp/..` or `/ip4/../udp/../quic-v1`, or the same with `/ip6/..`, with or without
/// `/p2p/..` behind it.
fn parse_multiaddr(
    transport: &Transport,
    text: &str,
) -> Result<(SocketAddr, Option<PeerId>), Problem> {
    let address: Multiaddr =
        text.parse().map_err(|error| format!("{text:?} is not a multiaddr: {error}"))?;
    let parts: Vec<Protocol<'_>> = address.iter().collect();
    let (ip, rest) = match &parts[..] {
        [Protocol::Ip4(ip), rest @ ..] => ((*ip).into(), rest),
        [Protocol::Ip6(ip), rest @ ..] => ((*ip).into(), rest),
        _ => return Err(format!("{text:?} does not begin with /ip4/.. or /ip6/..")),
    };
    let (port, rest) = match (transport, rest) {
        (Transport::Tcp { .. }, [Protocol::Tcp(port), rest @ ..])
        | (Transport::Quic, [Protocol::Udp(port), Protocol::QuicV1, rest @ ..]) => (*port, rest),
        (Transport::Tcp { .. }, [Protocol::Udp(_), Protocol::QuicV1, ..]) => {
            return Err(format!("{text:?} is dialled with --quic"));
        }
        (Transport::Tcp { .. }, _) => {
            return Err(format!("{text:?} has no /tcp/.. behind its IP address"));
        }
        (Transport::Quic, _) => {
            return Err(format!("{text:?} has no /udp/../quic-v1 behind its IP address"));
        }
    };
    match rest {
        [] => Ok((SocketAddr::new(ip, port), None)),
        [Protocol::P2p(peer)] => Ok((SocketAddr::new(ip, port), Some(*peer))),
        _ => Err(format!("{text:?} has more behind its port than /p2p/..")),
    }
}

fn multiaddr_of(transport: &Transport, address: SocketAddr, peer: PeerId) -> Multiaddr {
    let ip = Multiaddr::from(address.ip());
    let address = match transport {
        Transport::Tcp { .. } => ip.with(Protocol::Tcp(address.port())),
        Transport::Quic => ip.with(Protocol::Udp(address.port())).with(Protocol::QuicV1),
    };
    address.with(Protocol::P2p(peer))
}

/// A seed from the operating system: all the randomness that a connection or identity needs.
fn os_seed() -> Result<Seed, Problem> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| format!("the operating system gives no randomness: {error}"))?;
    Ok(Seed::new(bytes))
}
