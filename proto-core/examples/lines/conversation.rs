//! [`converse`]: the application of this example, over any [`Driver`].
//!
//! The dialer opens one stream of [`LINES`]. Each line travels as a frame: its length as an
//! unsigned varint, then its bytes, without a line feed. Either side ends its direction when it
//! has nothing more to say; when both have, they say goodbye.
#![allow(dead_code, unreachable_pub, reason = "whoever includes this file uses a part of it")]

use std::io;
use std::time::Duration;

use sanspeer_core::close::CloseReason;
use sanspeer_core::connection::{ConnectionEvent, OpenError};
use sanspeer_core::frame::{FrameError, FrameReader, FrameStep, encode_frame_prefix};
use sanspeer_core::identity::PeerId;
use sanspeer_core::mailbox::{OpenFailure, ProtocolTable, StreamEnd};
use sanspeer_core::mux::{Role, StreamId, WriteError};
use sanspeer_core::protocol::ProtocolId;
use sanspeer_core::varint::MAX_VARINT_BYTES;

use super::driver::Driver;

/// The protocol of this example.
pub const LINES: &str = "/sanspeer/lines/1.0.0";

/// The longest line, in bytes. Checked before any of it is buffered.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// How long a turn may wait for the socket: the longest that a line typed here waits to leave.
const TURN_WAIT: Duration = Duration::from_millis(20);

/// Lines are taken from [`Local`] while fewer bytes than this wait to be written.
const MAX_UNSENT_BYTES: usize = 64 * 1024;

/// What this side has to say next.
pub enum Next {
    /// A line, without its line feed.
    Line(Vec<u8>),
    /// Nothing yet.
    Nothing,
    /// Nothing any more.
    End,
}

/// Whoever speaks and listens on this side.
pub trait Local {
    /// The remote has proved who it is.
    fn connected(&mut self, peer: PeerId);
    /// What to say next; asked again and again, so it must not block.
    fn next(&mut self) -> Next;
    /// The remote said this.
    fn received(&mut self, line: &[u8]);
    /// The remote has nothing more to say.
    fn remote_finished(&mut self);
}

/// Why a conversation failed.
#[derive(Debug)]
pub enum Failure {
    /// The connection ended before both sides had finished.
    Closed(CloseReason),
    /// The remote does not speak [`LINES`].
    Unsupported,
    /// The stream could not be opened, for another reason.
    Open(OpenError),
    /// The remote did not answer the proposal as it should.
    Negotiation(OpenFailure),
    /// The stream ended before both sides had finished.
    Ended(StreamEnd),
    /// What came was no line.
    Frame(FrameError),
    /// A line of so many bytes is longer than [`MAX_LINE_BYTES`].
    LineTooLong(usize),
    /// The operating system refused something.
    Io(io::Error),
}

/// The protocols of this example: [`LINES`], and ping, which every connection answers.
pub fn protocols() -> ProtocolTable {
    ProtocolTable::new().with_application(lines_id())
}

fn lines_id() -> ProtocolId {
    ProtocolId::new(LINES).expect("a valid protocol id")
}

/// Exchanges lines until both sides have finished and the connection is over.
///
/// A listener whose dialer has finished sends what is there to be said and finishes too, as a
/// server does whose client has hung up.
pub fn converse(driver: &mut dyn Driver, local: &mut dyn Local) -> Result<(), Failure> {
    let mut conversation = Conversation::new(local);
    loop {
        // First what the remote did: every event, then the answers.
        while let Some(event) = driver.poll_event() {
            conversation.handle(driver, event)?;
        }
        conversation.advance(driver)?;
        if !driver.turn(TURN_WAIT).map_err(Failure::Io)? {
            break;
        }
    }
    conversation.end(driver)
}

struct Conversation<'a> {
    local: &'a mut dyn Local,
    stream: Option<StreamId>,
    reader: FrameReader,
    /// Frames that wait to be written: at most [`MAX_UNSENT_BYTES`] and one more.
    unsent: Vec<u8>,
    said_all: bool,
    /// Our direction of the stream has ended.
    finished: bool,
    heard_all: bool,
    closed: Option<CloseReason>,
}

impl<'a> Conversation<'a> {
    fn new(local: &'a mut dyn Local) -> Self {
        Conversation {
            local,
            stream: None,
            reader: FrameReader::new(MAX_LINE_BYTES),
            unsent: Vec::new(),
            said_all: false,
            finished: false,
            heard_all: false,
            closed: None,
        }
    }

    fn handle(&mut self, driver: &mut dyn Driver, event: ConnectionEvent) -> Result<(), Failure> {
        match event {
            ConnectionEvent::Secured { peer } => self.local.connected(peer),
            ConnectionEvent::Inbound { .. } => {
                let connection = driver.connection();
                while let Some((stream, _)) = connection.accept() {
                    if self.stream.is_none() {
                        self.stream = Some(stream);
                    } else {
                        // One conversation is enough.
                        connection.stream(stream).reset(0);
                    }
                }
            }
            ConnectionEvent::OpenFailed { failure: OpenFailure::UnsupportedProtocol, .. } => {
                return Err(Failure::Unsupported);
            }
            ConnectionEvent::OpenFailed { failure, .. } if self.closed.is_none() => {
                return Err(Failure::Negotiation(failure));
            }
            ConnectionEvent::Ended { stream, end } if self.stream == Some(stream) => {
                return Err(Failure::Ended(end));
            }
            ConnectionEvent::Closed { reason } => self.closed = Some(reason),
            // `advance` reads and writes in every turn as far as it can.
            ConnectionEvent::OpenFailed { .. }
            | ConnectionEvent::Ended { .. }
            | ConnectionEvent::Opened { .. }
            | ConnectionEvent::Readable(_)
            | ConnectionEvent::Writable(_)
            | ConnectionEvent::Finished(_)
            | ConnectionEvent::Stopped { .. }
            | ConnectionEvent::Perf(_) => {}
        }
        Ok(())
    }

    /// Does what can be done now.
    fn advance(&mut self, driver: &mut dyn Driver) -> Result<(), Failure> {
        let now = driver.now();
        let connection = driver.connection();
        if self.closed.is_some() {
            return Ok(());
        }
        if self.stream.is_none() && connection.role() == Role::Dialer && connection.peer().is_some()
        {
            let stream = connection.open(now, &[lines_id()]).map_err(Failure::Open)?;
            self.stream = Some(stream);
        }
        let Some(stream) = self.stream else { return Ok(()) };
        self.hear(driver, stream)?;
        self.speak(driver, stream)?;
        if self.finished && self.heard_all {
            driver.connection().close(now, CloseReason::Requested);
        }
        Ok(())
    }

    /// Reads the lines that are there.
    fn hear(&mut self, driver: &mut dyn Driver, stream: StreamId) -> Result<(), Failure> {
        while !self.heard_all {
            match driver.connection().stream(stream).read_frame(&mut self.reader) {
                Ok(FrameStep::Frame(line)) => self.local.received(&line),
                Ok(FrameStep::Blocked) => return Ok(()),
                Ok(FrameStep::End) => {
                    self.heard_all = true;
                    self.local.remote_finished();
                }
                Err(FrameError::UnsupportedProtocol) => {
                    return Err(Failure::Unsupported);
                }
                Err(error) => return Err(Failure::Frame(error)),
            }
        }
        Ok(())
    }

    /// Writes the lines that this side has to say, as far as there is room, and the end after the
    /// last.
    fn speak(&mut self, driver: &mut dyn Driver, stream: StreamId) -> Result<(), Failure> {
        let hung_up = self.heard_all && driver.connection().role() == Role::Listener;
        while !self.said_all && self.unsent.len() < MAX_UNSENT_BYTES {
            match self.local.next() {
                Next::Line(line) if line.len() > MAX_LINE_BYTES => {
                    return Err(Failure::LineTooLong(line.len()));
                }
                Next::Line(line) => {
                    self.unsent.extend_from_slice(encode_frame_prefix(
                        line.len(),
                        &mut [0; MAX_VARINT_BYTES],
                    ));
                    self.unsent.extend_from_slice(&line);
                }
                Next::Nothing if hung_up => self.said_all = true,
                Next::Nothing => break,
                Next::End => self.said_all = true,
            }
        }
        let mut stream = driver.connection().stream(stream);
        let mut written = 0;
        while written < self.unsent.len() {
            match stream.write(&self.unsent[written..]) {
                Ok(n) => written += n,
                Err(WriteError::Blocked) => break,
                // The event that says why is on its way.
                Err(_) => return Ok(()),
            }
        }
        self.unsent.drain(..written);
        if self.said_all && self.unsent.is_empty() && !self.finished {
            self.finished = stream.finish().is_ok();
        }
        Ok(())
    }

    /// The connection is over: reads the rest, and says whether that was all.
    fn end(&mut self, driver: &mut dyn Driver) -> Result<(), Failure> {
        if let Some(stream) = self.stream {
            match self.hear(driver, stream) {
                Ok(())
                | Err(Failure::Frame(FrameError::ConnectionClosed | FrameError::UnknownStream)) => {
                }
                Err(failure) => return Err(failure),
            }
        }
        match self.closed.take() {
            Some(_) if self.finished && self.heard_all => Ok(()),
            Some(reason) => Err(Failure::Closed(reason)),
            None => Ok(()),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Closed(reason) => write!(f, "{reason}"),
            Failure::Unsupported => write!(f, "the other side does not speak {LINES}"),
            Failure::Open(error) => write!(f, "no stream could be opened: {error}"),
            Failure::Negotiation(failure) => {
                write!(f, "the other side did not agree on {LINES}: {failure:?}")
            }
            Failure::Ended(end) => write!(f, "the stream ended early: {end:?}"),
            Failure::Frame(error) => write!(f, "the other side sent no line: {error}"),
            Failure::LineTooLong(length) => {
                write!(f, "line of {length} bytes, more than {MAX_LINE_BYTES}")
            }
            Failure::Io(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Failure {}
