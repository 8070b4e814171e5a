//! What every test does with a connected pair, whatever carries its bytes.

use anyhow::{Result, bail, ensure};

use crate::contender::{ECHO, READ_BYTES, WARM_UP_BYTES};
use crate::meter::{Cost, Meter};
use crate::payload::{Payload, Receiver, Thoroughness};

/// The one stream of one end.
pub trait StreamEnd {
    /// Writes to the stream; returns how much was accepted, 0 when blocked or
    /// not open yet.
    fn write(&mut self, bytes: &[u8]) -> Result<usize>;

    /// Hands what the stream has, up to `max_bytes`, to `take`.
    fn read(&mut self, max_bytes: usize, take: &mut dyn FnMut(&[u8])) -> Result<Read>;

    /// Closes the stream for writing.
    fn finish(&mut self) -> Result<()>;
}

/// What [`StreamEnd::read`] found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Read {
    /// It may have more.
    Some,
    /// Nothing for now, or no stream yet.
    Blocked,
    /// The other end finished and everything was read.
    Finished,
}

/// Two ends, the first of which dials and opens the stream, and what is between them.
pub trait Pair {
    type End: StreamEnd;

    fn ends(&mut self) -> (&mut Self::End, &mut Self::End);

    /// Moves bytes both ways once; says whether any moved.
    fn exchange(&mut self) -> Result<bool>;
}

/// Sends [`ECHO`] there and back.
pub fn echo(pair: &mut impl Pair) -> Result<()> {
    let (mut sent, mut asked, mut answered, mut echoed) = (0, Vec::new(), 0, Vec::new());
    while echoed.len() < ECHO.len() {
        let mut progress = pair.exchange()?;
        let (dialer, listener) = pair.ends();
        if sent < ECHO.len() {
            let written = dialer.write(&ECHO[sent..])?;
            sent += written;
            progress |= written > 0;
        }
        let before = asked.len() + echoed.len();
        listener.read(ECHO.len(), &mut |bytes| asked.extend_from_slice(bytes))?;
        dialer.read(ECHO.len(), &mut |bytes| echoed.extend_from_slice(bytes))?;
        progress |= asked.len() + echoed.len() > before;
        if answered < asked.len() {
            let written = listener.write(&asked[answered..])?;
            answered += written;
            progress |= written > 0;
        }
        if !progress {
            bail!("both ends wait for each other");
        }
    }
    ensure!(echoed == ECHO, "the echo differs");
    Ok(())
}

/// What carrying `total_bytes` costs a pair, after [`WARM_UP_BYTES`].
pub fn throughput(
    pair: &mut impl Pair,
    payload: &Payload,
    total_bytes: u64,
    write_bytes: usize,
) -> Result<Cost> {
    transfer(pair, payload, WARM_UP_BYTES, write_bytes, Thoroughness::All)?;
    let meter = Meter::start();
    transfer(pair, payload, total_bytes, write_bytes, Thoroughness::Edges)?;
    Ok(meter.stop())
}

/// Turn by turn: writes until blocked, moves the bytes, reads until blocked.
fn transfer(
    pair: &mut impl Pair,
    payload: &Payload,
    total_bytes: u64,
    write_bytes: usize,
    thoroughness: Thoroughness,
) -> Result<()> {
    let mut receiver = Receiver::new(payload, thoroughness);
    let mut sent_bytes = 0;
    // What is left of the write that the stream took only a part of.
    let mut rest: &[u8] = &[];
    while receiver.received_bytes < total_bytes {
        let before = (sent_bytes, receiver.received_bytes);
        let (dialer, _) = pair.ends();
        while sent_bytes < total_bytes {
            if rest.is_empty() {
                rest = payload.at(sent_bytes, write_bytes.min((total_bytes - sent_bytes) as usize));
            }
            let written = dialer.write(rest)?;
            rest = &rest[written..];
            sent_bytes += written as u64;
            if !rest.is_empty() {
                break;
            }
        }
        let moved = pair.exchange()?;
        let (_, listener) = pair.ends();
        while listener.read(READ_BYTES, &mut |bytes| receiver.take(bytes))? == Read::Some {}
        if !moved && before == (sent_bytes, receiver.received_bytes) {
            bail!("stalled after {} bytes", receiver.received_bytes);
        }
    }
    Ok(())
}

/// Closes the stream at both ends and moves what there is to move.
pub fn close_stream(pair: &mut impl Pair) -> Result<()> {
    let nothing = &mut |bytes: &[u8]| assert!(bytes.is_empty(), "data after the echo");
    pair.ends().0.finish()?;
    while pair.exchange()? {}
    let (_, listener) = pair.ends();
    ensure!(listener.read(1, nothing)? == Read::Finished, "the finish got lost");
    listener.finish()?;
    while pair.exchange()? {}
    ensure!(pair.ends().0.read(1, nothing)? == Read::Finished, "the finish got lost");
    while pair.exchange()? {}
    Ok(())
}
