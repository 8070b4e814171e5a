//! The application: one side answers with what it hears, the other one asks.
//!
//! It is written against [`Network`], and so runs over the drivers' handles as well.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use multiaddr::Multiaddr;
use sanspeer_core::application::{AppEvent, Network};
use sanspeer_core::identity::PeerId;
use sanspeer_core::mux::{ReadError, WriteError};
use sanspeer_core::node::{Answer, Command, StreamRef};
use sanspeer_core::protocol::ProtocolId;
use sanspeer_core::time::Timestamp;

use crate::peer::MioPeer;

/// What both sides speak.
pub const ECHO: &str = "/example/echo/1.0.0";

/// What is read at once, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;

/// How long a turn may wait: what ends it is an event or a deadline.
const WAIT: Duration = Duration::from_secs(1);

/// Protocol ids of this program are valid.
pub fn echo_protocol() -> ProtocolId {
    ProtocolId::new(ECHO).expect("a valid protocol id")
}

/// Answers every stream with what it says.
#[derive(Default)]
pub struct Echo {
    /// What is not sent yet, of each stream. Bounded by a chunk each.
    unsent: BTreeMap<StreamRef, Vec<u8>>,
}

impl Echo {
    /// Does what follows from an event.
    pub fn hear(&mut self, network: &mut impl Network, now: Timestamp, event: &AppEvent) {
        match event {
            AppEvent::Inbound => self.take_streams(network, now),
            AppEvent::Readable(stream)
            | AppEvent::Writable(stream)
            | AppEvent::Finished(stream) => {
                self.advance(network, now, *stream);
            }
            AppEvent::Ended { stream, .. } => drop(self.unsent.remove(stream)),
            _ => {}
        }
    }

    /// Takes the streams that are there.
    fn take_streams(&mut self, network: &mut impl Network, now: Timestamp) {
        while let Some(inbound) = network.accept() {
            self.unsent.insert(inbound.stream, Vec::new());
            self.advance(network, now, inbound.stream);
        }
    }

    /// Moves what can be moved.
    fn advance(&mut self, network: &mut impl Network, now: Timestamp, stream: StreamRef) {
        let Some(unsent) = self.unsent.get_mut(&stream) else { return };
        let over = loop {
            if unsent.is_empty() {
                match network.read(now, stream, CHUNK_BYTES) {
                    Ok(bytes) if bytes.is_empty() => break network.finish(now, stream).is_ok(),
                    Ok(bytes) => unsent.extend_from_slice(&bytes),
                    Err(ReadError::Blocked) => break false,
                    Err(_) => break true,
                }
            }
            match network.write(now, stream, unsent) {
                Ok(n) => drop(unsent.drain(..n)),
                Err(WriteError::Blocked) => break false,
                Err(_) => break true,
            }
        };
        if over {
            self.unsent.remove(&stream);
        }
    }
}

/// Listens, and returns where.
pub fn listen(peer: &mut MioPeer, address: Multiaddr) -> io::Result<Multiaddr> {
    request(peer, Command::AddProtocol(echo_protocol()))?;
    match request(peer, Command::Listen(address))? {
        Answer::Listening { address, .. } => Ok(address),
        other => Err(io::Error::other(format!("{other:?}"))),
    }
}

/// Answers whoever comes, until `is_over`, which is asked at least once a second.
pub fn serve(peer: &mut MioPeer, is_over: impl Fn() -> bool) -> io::Result<()> {
    let mut echo = Echo::default();
    // Those that came while we were listening elsewhere.
    let now = peer.now();
    echo.take_streams(peer.host(), now);
    while !is_over() {
        let now = peer.now();
        while let Some(event) = peer.host().poll_event() {
            echo.hear(peer.host(), now, &event);
        }
        peer.turn(WAIT)?;
    }
    request(peer, Command::Shutdown)?;
    Ok(())
}

/// Dials, says `data`, and returns what comes back and from whom. All of it must be there within
/// `patience`.
pub fn ask(
    peer: &mut MioPeer,
    address: Multiaddr,
    data: &[u8],
    patience: Duration,
) -> io::Result<(PeerId, Vec<u8>)> {
    let command = Command::Connect { peer: None, addresses: vec![address] };
    let remote = match request(peer, command)? {
        Answer::Connected { peer, .. } => peer,
        other => return Err(io::Error::other(format!("{other:?}"))),
    };
    let until = Instant::now() + patience;
    let now = peer.now();
    let stream = peer.host().open(now, &remote, &[echo_protocol()]).map_err(io::Error::other)?;
    let (mut written, mut received) = (0, Vec::new());
    loop {
        let now = peer.now();
        let host = peer.host();
        while let Some(event) = host.poll_event() {
            // All that matters here shows when the stream is read and written.
            drop(event);
        }
        if written < data.len() {
            match host.write(now, stream, &data[written..]) {
                Ok(n) => written += n,
                Err(WriteError::Blocked) => {}
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        if written == data.len() {
            host.finish(now, stream).map_err(io::Error::other)?;
        }
        match host.read(now, stream, CHUNK_BYTES) {
            Ok(bytes) if bytes.is_empty() => return Ok((remote, received)),
            Ok(bytes) => {
                received.extend_from_slice(&bytes);
                peer.turn(Duration::ZERO)?;
            }
            Err(ReadError::Blocked) => peer.turn(WAIT)?,
            Err(error) => return Err(io::Error::other(error)),
        }
        if Instant::now() >= until {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

/// Asks the host for something, and takes turns until it answers.
pub fn request(peer: &mut MioPeer, command: Command) -> io::Result<Answer> {
    let now = peer.now();
    let asked = peer.host().request(now, command);
    loop {
        while let Some(event) = peer.host().poll_event() {
            if let AppEvent::Answer { id, answer } = event
                && id == asked
            {
                return Ok(answer);
            }
        }
        peer.turn(WAIT)?;
    }
}
