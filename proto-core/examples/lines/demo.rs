//! Both sides in one process: a listener that echoes, and a dialer that measures round trips.

use std::collections::VecDeque;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use sanspeer_core::identity::{Identity, PeerId};

use super::blocking::BlockingDriver;
use super::conversation::{self, Local, Next, converse};
use super::terminal::printable;
use super::{DIAL_TIMEOUT, Problem, multiaddr_of, os_seed};

/// What the dialer says.
const SAID: [&str; 4] = [
    "hello over TCP, multistream-select, Noise and Yamux",
    "no async, no runtime: this thread reads, writes and waits itself",
    "the core saw bytes and timestamps only",
    "goodbye",
];

/// Starts a listener on a free port of 127.0.0.1 and dials it from a second thread.
pub(super) fn run() -> Result<(), Problem> {
    let (here, there) = (Identity::ed25519(&os_seed()?), Identity::ed25519(&os_seed()?));
    let cannot = |error| format!("cannot listen on 127.0.0.1: {error}");
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    println!("listening on {}", multiaddr_of(address, here.peer_id()));

    let expected = here.peer_id();
    let dialer = std::thread::spawn(move || -> Result<Dialer, Problem> {
        let socket = TcpStream::connect_timeout(&address, DIAL_TIMEOUT)
            .map_err(|error| format!("cannot dial {address}: {error}"))?;
        let protocols = conversation::protocols();
        let mut driver =
            BlockingDriver::connect(socket, &there, os_seed()?, Some(expected), protocols)
                .map_err(|error| format!("cannot dial {address}: {error}"))?;
        let mut dialer = Dialer { said: 0, said_at: None, round_trips: Vec::new() };
        converse(&mut driver, &mut dialer).map_err(|failure| format!("dialer: {failure}"))?;
        Ok(dialer)
    });

    let (socket, from) = listener.accept().map_err(cannot)?;
    let mut driver = BlockingDriver::accept(socket, &here, os_seed()?, conversation::protocols())
        .map_err(|error| format!("{from}: {error}"))?;
    let heard = converse(&mut driver, &mut Echo::default());
    let dialer = dialer.join().map_err(|_| "the dialer's thread panicked")??;
    heard.map_err(|failure| format!("listener: {failure}"))?;

    let fastest = dialer.round_trips.iter().min().copied().unwrap_or_default();
    let (lines, expected) = (dialer.round_trips.len(), SAID.len());
    if lines != expected {
        return Err(format!("{lines} of {expected} lines came back"));
    }
    println!("{lines} lines went there and back; fastest round trip {}", micros(fastest));
    Ok(())
}

/// Says each line when the one before has come back.
struct Dialer {
    said: usize,
    said_at: Option<Instant>,
    round_trips: Vec<Duration>,
}

impl Local for Dialer {
    fn connected(&mut self, peer: PeerId) {
        println!("dialer: connected to {peer}");
    }

    fn next(&mut self) -> Next {
        if self.said_at.is_some() {
            return Next::Nothing;
        }
        let Some(line) = SAID.get(self.said) else { return Next::End };
        self.said += 1;
        self.said_at = Some(Instant::now());
        Next::Line(line.as_bytes().to_vec())
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
