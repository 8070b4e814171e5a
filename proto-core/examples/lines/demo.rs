//! Both sides in one process: a listener that echoes, and a dialer that measures round trips.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use sanspeer_core::identity::{Identity, PeerId};

use super::conversation::{Local, Next, converse};
use super::terminal::printable;
use super::transport::Transport;
use super::{Problem, multiaddr_of, os_seed, our_side};

/// What the dialer says, after a greeting that names the transport.
const SAID: [&str; 3] = [
    "no async, no runtime: this thread reads, writes and waits itself",
    "the core saw bytes and timestamps only",
    "goodbye",
];

/// Starts a listener on a free port of 127.0.0.1 and dials it from a second thread.
pub(super) fn run(transport: &Transport) -> Result<(), Problem> {
    let (here, there) = (Identity::ed25519(&os_seed()?), Identity::ed25519(&os_seed()?));
    let cannot = |error| format!("cannot listen on 127.0.0.1: {error}");
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = transport.listen(any_port).map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    println!("listening on {}", multiaddr_of(transport, address, here.peer_id()));

    let expected = here.peer_id();
    let dialer = std::thread::spawn({
        let transport = transport.clone();
        move || -> Result<Dialer, Problem> {
            let mut driver = transport
                .dial(address, Some(expected), our_side(&there)?)
                .map_err(|error| format!("cannot dial {address}: {error}"))?;
            let mut dialer = Dialer::new(&transport);
            converse(&mut *driver, &mut dialer).map_err(|failure| format!("dialer: {failure}"))?;
            Ok(dialer)
        }
    });

    let (mut driver, _) = listener.accept(our_side(&here)?).map_err(cannot)?;
    let heard = converse(&mut *driver, &mut Echo::default());
    let dialer = dialer.join().map_err(|_| "the dialer's thread panicked")??;
    heard.map_err(|failure| format!("listener: {failure}"))?;

    let fastest = dialer.round_trips.iter().min().copied().unwrap_or_default();
    let (lines, expected) = (dialer.round_trips.len(), SAID.len() + 1);
    if lines != expected {
        return Err(format!("{lines} of {expected} lines came back"));
    }
    println!("{lines} lines went there and back; fastest round trip {}", micros(fastest));
    Ok(())
}

/// Says each line when the one before has come back.
struct Dialer {
    unsaid: VecDeque<Vec<u8>>,
    said_at: Option<Instant>,
    round_trips: Vec<Duration>,
}

impl Dialer {
    fn new(transport: &Transport) -> Self {
        let mut unsaid = VecDeque::from([format!("hello over {transport}").into_bytes()]);
        unsaid.extend(SAID.map(|line| line.as_bytes().to_vec()));
        Dialer { unsaid, said_at: None, round_trips: Vec::new() }
    }
}

impl Local for Dialer {
    fn connected(&mut self, peer: PeerId) {
        println!("dialer: connected to {peer}");
    }

    fn next(&mut self) -> Next {
        if self.said_at.is_some() {
            return Next::Nothing;
        }
        let Some(line) = self.unsaid.pop_front() else { return Next::End };
        self.said_at = Some(Instant::now());
        Next::Line(line)
    }

    fn received(&mut self, line: &[u8]) {
        if let Some(said_at) = self.said_at.take() {
            let round_trip = said_at.elapsed();
            println!("dialer: {:?} came back after {}", printable(line), micros(round_trip));
            self.round_trips.push(round_trip);
        }
    }

    fn remote_finished(&mut self) {
        println!("dialer: the listener has finished");
    }
}

/// Says what it hears.
#[derive(Default)]
struct Echo {
    heard: VecDeque<Vec<u8>>,
}

impl Local for Echo {
    fn connected(&mut self, peer: PeerId) {
        println!("listener: connected to {peer}");
    }

    fn next(&mut self) -> Next {
        self.heard.pop_front().map_or(Next::Nothing, Next::Line)
    }

    fn received(&mut self, line: &[u8]) {
        self.heard.push_back(line.to_vec());
    }

    fn remote_finished(&mut self) {
        println!("listener: the dialer has finished");
    }
}

fn micros(duration: Duration) -> String {
    format!("{} us", duration.as_micros())
}
