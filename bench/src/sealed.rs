//! The ceiling of TCP with Noise: on each side one thread that copies, seals with ring's
//! ChaCha20-Poly1305 in records of Noise's length, and writes; or reads, opens in place and looks at
//! what came. No handshake, no multiplexing; the keys are fixed.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use anyhow::{Result, ensure};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

use crate::api::{Opts, Peer, Skip, Transport};
use crate::measure::{Meter, Sample, Verifier, pattern_at};

pub struct Sealed;

/// Longest record, its length field apart (Noise's limit).
const RECORD: usize = 65_535;
const TAG: usize = 16;
const HEADER: usize = 2;
/// Records that are sealed before they are written.
const RECORDS_A_WRITE: usize = 2;
/// What is read at once.
const READ: usize = 2 * (HEADER + RECORD);

fn key() -> LessSafeKey {
    let key = UnboundKey::new(&CHACHA20_POLY1305, &[7; 32]).expect("a key of 32 bytes");
    LessSafeKey::new(key)
}

fn nonce(counter: &mut u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&counter.to_le_bytes());
    *counter += 1;
    Nonce::assume_unique_for_key(bytes)
}

/// Sends `length` bytes of the pattern, taken in pieces of `chunk` as an application would write.
fn send(stream: &mut TcpStream, length: u64, chunk: usize) -> Result<()> {
    let (key, mut counter) = (key(), 0);
    let mut buffer = Vec::with_capacity(RECORDS_A_WRITE * (HEADER + RECORD));
    let mut sent = 0;
    while sent < length {
        buffer.clear();
        for _ in 0..RECORDS_A_WRITE {
            let start = buffer.len() + HEADER;
            buffer.extend_from_slice(&[0; HEADER]);
            while buffer.len() - start < RECORD - TAG && sent < length {
                let room = RECORD - TAG - (buffer.len() - start);
                let part = (length - sent).min(chunk as u64).min(room as u64) as usize;
                buffer.extend_from_slice(pattern_at(sent, part));
                sent += part as u64;
            }
            let sealed = buffer.len() - start + TAG;
            buffer[start - HEADER..start].copy_from_slice(&(sealed as u16).to_be_bytes());
            let tag = key
                .seal_in_place_separate_tag(nonce(&mut counter), Aad::empty(), &mut buffer[start..])
                .expect("a record is not too long");
            buffer.extend_from_slice(tag.as_ref());
            if sent == length {
                break;
            }
        }
        stream.write_all(&buffer)?;
    }
    Ok(())
}

/// Receives until `length` bytes or the end.
fn receive(stream: &mut TcpStream, length: u64) -> Result<Verifier> {
    let (key, mut counter) = (key(), 0);
    let mut seen = Verifier::default();
    let mut buffer = vec![0; READ + HEADER + RECORD];
    // What the application's buffer would be.
    let mut plain = vec![0; RECORD];
    let mut filled = 0;
    while seen.received < length {
        let read = stream.read(&mut buffer[filled..])?;
        ensure!(read > 0, "the stream ended after {} bytes", seen.received);
        filled += read;
        let mut at = 0;
        while filled - at >= HEADER {
            let record = usize::from(u16::from_be_bytes([buffer[at], buffer[at + 1]]));
            if filled - at < HEADER + record {
                break;
            }
            let sealed = &mut buffer[at + HEADER..at + HEADER + record];
            let opened = key
                .open_in_place(nonce(&mut counter), Aad::empty(), sealed)
                .map_err(|_| anyhow::anyhow!("a record does not open"))?;
            plain[..opened.len()].copy_from_slice(opened);
            seen.feed(&plain[..opened.len()]);
            at += HEADER + record;
        }
        buffer.copy_within(at..filled, 0);
        filled -= at;
    }
    Ok(seen)
}

fn open(addr: &str, kind: u8, bytes: u64, chunk: usize) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_nodelay(true)?;
    let mut request = vec![kind];
    request.extend(bytes.to_be_bytes());
    request.extend((chunk as u32).to_be_bytes());
    stream.write_all(&request)?;
    Ok(stream)
}

fn serve(mut stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut request = [0; 13];
    stream.read_exact(&mut request)?;
    let length = u64::from_be_bytes(request[1..9].try_into()?);
    let chunk = u32::from_be_bytes(request[9..].try_into()?) as usize;
    if request[0] == b'u' {
        let seen = receive(&mut stream, length)?;
        stream.write_all(&seen.ack())?;
    } else {
        send(&mut stream, length, chunk)?;
        stream.shutdown(Shutdown::Write)?;
    }
    Ok(())
}

impl Peer for Sealed {
    fn name(&self) -> &'static str {
        "sealed"
    }

    fn version(&self) -> &'static str {
        "std::net + ring"
    }

    fn serve(&self, opts: &Opts) -> Result<()> {
        if opts.transport != Transport::Tcp {
            return Err(Skip("over TCP only").into());
        }
        let listener = TcpListener::bind("127.0.0.1:0")?;
        println!("LISTEN {}", listener.local_addr()?);
        for stream in listener.incoming() {
            let stream = stream?;
            thread::spawn(move || serve(stream));
        }
        Ok(())
    }

    fn upload(&self, opts: &Opts, addr: &str, bytes: u64, chunk: usize) -> Result<Sample> {
        let meter = Meter::start(opts.server_pid);
        let mut stream = open(addr, b'u', bytes, chunk)?;
        send(&mut stream, bytes, chunk)?;
        let mut ack = [0; 8];
        stream.read_exact(&mut ack)?;
        let sample = meter.stop();
        ensure!(ack == bytes.to_be_bytes(), "wrong ack");
        Ok(sample)
    }

    fn download(&self, opts: &Opts, addr: &str, bytes: u64, chunk: usize) -> Result<Sample> {
        let meter = Meter::start(opts.server_pid);
        let mut stream = open(addr, b'd', bytes, chunk)?;
        let seen = receive(&mut stream, bytes)?;
        let sample = meter.stop();
        ensure!(seen.received == bytes && !seen.corrupt, "received {}", seen.received);
        Ok(sample)
    }
}
