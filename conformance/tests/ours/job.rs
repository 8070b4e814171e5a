//! One stream of a test: what it sends, what it expects, and when it is done.

use sanspeer_core::connection::Stream;
use sanspeer_core::mailbox::StreamEnd;
use sanspeer_core::mux::WriteError;
use sanspeer_core::protocol::ProtocolId;

use super::protocols::{self, Counters, Received, SharedCounters, pattern};

const HEADER_BYTES: usize = 16;
const HASH_BYTES: usize = 32;
const READ_BYTES: usize = 64 * 1024;

/// A side of a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    EchoOpener { bytes: u64 },
    ChecksumOpener { up: u64, down: u64 },
    DuplexOpener { up: u64, down: u64 },
    ResetMeOpener,
    ExpectResetOpener,
    ReportOpener,
    EchoAcceptor,
    ChecksumAcceptor,
    DuplexAcceptor,
    ResetMeAcceptor,
    ExpectResetAcceptor,
    ReportAcceptor,
}

impl Kind {
    pub(super) fn acceptor(protocol: &str) -> Kind {
        match protocol {
            p if p == protocols::ECHO.as_ref() => Kind::EchoAcceptor,
            p if p == protocols::CHECKSUM.as_ref() => Kind::ChecksumAcceptor,
            p if p == protocols::DUPLEX.as_ref() => Kind::DuplexAcceptor,
            p if p == protocols::RESET_ME.as_ref() => Kind::ResetMeAcceptor,
            p if p == protocols::EXPECT_RESET.as_ref() => Kind::ExpectResetAcceptor,
            _ => Kind::ReportAcceptor,
        }
    }

    pub(super) fn protocol(self) -> ProtocolId {
        let protocol = match self {
            Kind::EchoOpener { .. } | Kind::EchoAcceptor => protocols::ECHO,
            Kind::ChecksumOpener { .. } | Kind::ChecksumAcceptor => protocols::CHECKSUM,
            Kind::DuplexOpener { .. } | Kind::DuplexAcceptor => protocols::DUPLEX,
            Kind::ResetMeOpener | Kind::ResetMeAcceptor => protocols::RESET_ME,
            Kind::ExpectResetOpener | Kind::ExpectResetAcceptor => protocols::EXPECT_RESET,
            Kind::ReportOpener | Kind::ReportAcceptor => protocols::REPORT,
        };
        ProtocolId::new(protocol.as_ref()).expect("the tests' protocols have valid ids")
    }
}

/// What a stream of a task that ended well has moved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) bytes_received: u64,
    /// The acceptor's counters, where they were asked for.
    pub(crate) remote: Option<Counters>,
}

/// One stream.
pub(super) struct Job {
    kind: Kind,
    /// Bytes to be sent first, from `written` on.
    out: Vec<u8>,
    written: usize,
    /// Then the pattern, from here to there.
    pattern: (u64, u64),
    /// Then the end.
    finish: bool,
    finished: bool,
    /// The first bytes that were received, as far as the protocol sets them apart.
    head: Vec<u8>,
    received: Received,
    remote_finished: bool,
    /// An echo has its first byte back and waits for the others'.
    waiting: bool,
    released: bool,
}

impl Job {
    pub(super) fn new(kind: Kind) -> Self {
        let mut job = Job {
            kind,
            out: Vec::new(),
            written: 0,
            pattern: (0, 0),
            finish: false,
            finished: false,
            head: Vec::new(),
            received: Received::new(),
            remote_finished: false,
            waiting: false,
            released: false,
        };
        match kind {
            Kind::EchoOpener { bytes } => {
                assert!(bytes > 0, "an echo has a first byte");
                job.pattern = (0, 1);
            }
            Kind::ChecksumOpener { up, down } | Kind::DuplexOpener { up, down } => {
                job.out = [up.to_be_bytes(), down.to_be_bytes()].concat();
                job.pattern = (0, up);
                job.finish = true;
            }
            Kind::ResetMeOpener | Kind::ExpectResetOpener => job.out = vec![b'r'],
            Kind::ReportOpener => job.finish = true,
            Kind::EchoAcceptor
            | Kind::ChecksumAcceptor
            | Kind::DuplexAcceptor
            | Kind::ResetMeAcceptor
            | Kind::ExpectResetAcceptor
            | Kind::ReportAcceptor => {}
        }
        job
    }

    pub(super) fn is_acceptor(&self) -> bool {
        match self.kind {
            Kind::EchoAcceptor
            | Kind::ChecksumAcceptor
            | Kind::DuplexAcceptor
            | Kind::ResetMeAcceptor
            | Kind::ExpectResetAcceptor
            | Kind::ReportAcceptor => true,
            Kind::EchoOpener { .. }
            | Kind::ChecksumOpener { .. }
            | Kind::DuplexOpener { .. }
            | Kind::ResetMeOpener
            | Kind::ExpectResetOpener
            | Kind::ReportOpener => false,
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.waiting
    }

    /// All the others have come as far.
    pub(super) fn release(&mut self) {
        self.released = true;
        if let Kind::EchoOpener { bytes } = self.kind {
            self.pattern.1 = bytes;
            self.finish = true;
        }
    }

    /// Writes and reads as far as the stream allows; the result once the stream is done with.
    pub(super) fn pump(
        &mut self,
        stream: &mut Stream<'_>,
        counters: &SharedCounters,
    ) -> Option<Result<Outcome, String>> {
        loop {
            // An event says why a stream is gone, and ends the job.
            if self.write(stream).is_err() {
                return None;
            }
            if self.kind == Kind::ExpectResetOpener && self.received.bytes() == 1 {
                stream.reset(0);
                return Some(Ok(Outcome::default()));
            }
            if self.kind == Kind::ResetMeAcceptor && self.received.bytes() == 2 {
                stream.reset(0);
                return Some(Ok(Outcome::default()));
            }
            if self.remote_finished {
                return self.finished.then(|| self.outcome());
            }
            // An echo takes no more than it can give back.
            if self.kind == Kind::EchoAcceptor && self.written < self.out.len() {
                return None;
            }
            match stream.read(READ_BYTES) {
                Ok(bytes) if bytes.is_empty() => {
                    self.remote_finished = true;
                    if let Err(reason) = self.at_end(counters) {
                        return Some(Err(reason));
                    }
                }
                Ok(bytes) => self.take(&bytes, counters),
                Err(_) => return None,
            }
        }
    }

    /// The stream was reset, or the connection ended.
    pub(super) fn ended(
        &mut self,
        end: StreamEnd,
        counters: &SharedCounters,
    ) -> Result<Outcome, String> {
        match (self.kind, end) {
            (Kind::ResetMeOpener, StreamEnd::Reset(_)) if self.received.bytes() == 1 => {
                Ok(Outcome::default())
            }
            (Kind::ExpectResetAcceptor, StreamEnd::Reset(_)) => {
                counters.reset_seen();
                Ok(Outcome::default())
            }
            (kind, end) => {
                if end == StreamEnd::Reset(0) && self.is_acceptor() && !self.remote_finished {
                    counters.reset_seen();
                }
                Err(format!("{kind:?} ended: {end:?}"))
            }
        }
    }

    fn write(&mut self, stream: &mut Stream<'_>) -> Result<(), WriteError> {
        loop {
            let data = if self.written < self.out.len() {
                &self.out[self.written..]
            } else if self.pattern.0 < self.pattern.1 {
                pattern(self.pattern.0, self.pattern.1)
            } else {
                break;
            };
            let n = match stream.write(data) {
                Ok(n) => n,
                Err(WriteError::Blocked) => return Ok(()),
                Err(error) => return Err(error),
            };
            if self.written < self.out.len() {
                self.written += n;
            } else {
                self.pattern.0 += n as u64;
            }
        }
        if self.finish && !self.finished {
            stream.finish()?;
            self.finished = true;
        }
        Ok(())
    }

    fn take(&mut self, bytes: &[u8], counters: &SharedCounters) {
        if self.is_acceptor() {
            counters.received(bytes.len());
        }
        let head_bytes = match self.kind {
            Kind::ChecksumAcceptor | Kind::DuplexAcceptor => HEADER_BYTES,
            Kind::ChecksumOpener { .. } => HASH_BYTES,
            Kind::ReportOpener => usize::MAX,
            Kind::EchoOpener { .. }
            | Kind::DuplexOpener { .. }
            | Kind::ResetMeOpener
            | Kind::ExpectResetOpener
            | Kind::EchoAcceptor
            | Kind::ResetMeAcceptor
            | Kind::ExpectResetAcceptor
            | Kind::ReportAcceptor => 0,
        };
        let had = self.head.len();
        let n = (head_bytes - had.min(head_bytes)).min(bytes.len());
        self.head.extend_from_slice(&bytes[..n]);
        self.received.update(&bytes[n..]);
        match self.kind {
            Kind::EchoOpener { .. } => self.waiting = true,
            Kind::EchoAcceptor | Kind::ExpectResetAcceptor => {
                self.out = bytes.to_vec();
                self.written = 0;
            }
            Kind::ResetMeOpener | Kind::ResetMeAcceptor if self.received.bytes() == 1 => {
                self.out = bytes.to_vec();
                self.written = 0;
            }
            Kind::DuplexAcceptor if had < HEADER_BYTES && self.head.len() == HEADER_BYTES => {
                self.pattern = (0, self.header().1);
                self.finish = true;
            }
            Kind::ChecksumOpener { .. }
            | Kind::DuplexOpener { .. }
            | Kind::ResetMeOpener
            | Kind::ExpectResetOpener
            | Kind::ReportOpener
            | Kind::ChecksumAcceptor
            | Kind::DuplexAcceptor
            | Kind::ResetMeAcceptor
            | Kind::ReportAcceptor => {}
        }
    }

    /// The remote finished: acceptors answer now.
    fn at_end(&mut self, counters: &SharedCounters) -> Result<(), String> {
        if self.is_acceptor() {
            counters.half_close_seen();
        }
        match self.kind {
            Kind::EchoAcceptor => self.finish = true,
            Kind::ChecksumAcceptor => {
                let (up, down) = self.header();
                let received = std::mem::replace(&mut self.received, Received::new());
                if received.bytes() != up {
                    return Err(format!("received {} bytes of {up}", received.bytes()));
                }
                self.out = received.sha256().to_vec();
                self.pattern = (0, down);
                self.finish = true;
            }
            Kind::ReportAcceptor => {
                let mut line =
                    serde_json::to_vec(&counters.snapshot()).map_err(|e| e.to_string())?;
                line.push(b'\n');
                self.out = line;
                self.finish = true;
            }
            Kind::ResetMeOpener | Kind::ResetMeAcceptor | Kind::ExpectResetAcceptor => {
                return Err(format!("{:?}: an end where a reset was due", self.kind));
            }
            Kind::DuplexAcceptor
            | Kind::EchoOpener { .. }
            | Kind::ChecksumOpener { .. }
            | Kind::DuplexOpener { .. }
            | Kind::ExpectResetOpener
            | Kind::ReportOpener => {}
        }
        Ok(())
    }

    /// Both directions ended: is everything as it should be?
    fn outcome(&mut self) -> Result<Outcome, String> {
        let received = std::mem::replace(&mut self.received, Received::new());
        let bytes_received = received.bytes();
        let mut remote = None;
        match self.kind {
            Kind::EchoOpener { bytes } => received.check_pattern(bytes)?,
            Kind::ChecksumOpener { up, down } => {
                if self.head != protocols::pattern_sha256(up) {
                    return Err("the remote's checksum differs".to_owned());
                }
                received.check_pattern(down)?;
            }
            Kind::DuplexOpener { down, .. } => received.check_pattern(down)?,
            Kind::DuplexAcceptor => received.check_pattern(self.header().0)?,
            Kind::ReportOpener => {
                remote = Some(serde_json::from_slice(&self.head).map_err(|e| e.to_string())?);
            }
            Kind::EchoAcceptor | Kind::ChecksumAcceptor | Kind::ReportAcceptor => {}
            Kind::ResetMeOpener
            | Kind::ExpectResetOpener
            | Kind::ResetMeAcceptor
            | Kind::ExpectResetAcceptor => return Err(format!("{:?}: no reset", self.kind)),
        }
        Ok(Outcome { bytes_received, remote })
    }

    fn header(&self) -> (u64, u64) {
        let number = |at: usize| {
            let bytes = self.head.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
            bytes.map_or(0, u64::from_be_bytes)
        };
        (number(0), number(8))
    }
}
