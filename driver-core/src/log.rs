//! The log of a Node: every input with its time, and a digest of the outputs.
//!
//! A Node reads nothing but its inputs, so a fresh one with the same configuration, identity, seed
//! and protocols, given the same inputs, says the same again, and [`replay`] finds the same digest.
//!
//! Which Node that is, [`crate::config::make_node`] says, for a node that was started with a seed.
//!
//! A log is a sequence of [`LogRecord`]s in postcard's format, each behind its length in bytes
//! (32 bits, little-endian). Records are appended to [`LogRecord`], never changed.

use std::io::{self, ErrorKind, Read, Write};

use sanspeer_core::node::{Input, Node, Output};
use sanspeer_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The largest record, in bytes: several times the largest frame of a protocol of Node's.
const MAX_RECORD_BYTES: usize = 64 * 1024 * 1024;

/// One record of a log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum LogRecord {
    /// Node was made. The first record.
    Start {
        /// When.
        at: Timestamp,
    },
    /// Node was given an input.
    Input {
        /// When.
        at: Timestamp,
        /// What.
        input: Input,
    },
    /// The outputs up to here.
    Outputs(OutputDigest),
}

/// What Node said so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputDigest {
    /// How many outputs.
    pub count: u64,
    /// SHA-256 over all of them, each in postcard's format behind its length in bytes (64 bits,
    /// little-endian).
    pub digest: [u8; 32],
}

/// Why a log was not replayed.
#[derive(Debug)]
pub enum LogError {
    /// It could not be read.
    Io(io::Error),
    /// A record is not one of this version's.
    Malformed(postcard::Error),
    /// A record says that it has so many bytes.
    TooLong(u64),
    /// The first record does not say when Node was made, or another one does.
    Start,
}

/// Writes the log of one Node.
pub(crate) struct NodeLog {
    /// `None` once writing has failed: the node goes on without.
    writer: Option<Box<dyn Write + Send>>,
    outputs: Outputs,
}

/// The digest of outputs, as they come.
#[derive(Default)]
struct Outputs {
    count: u64,
    hash: Sha256,
}

impl NodeLog {
    /// The log of a Node that was made at `at`.
    pub(crate) fn new(writer: Box<dyn Write + Send>, at: Timestamp) -> Self {
        let mut log = NodeLog { writer: Some(writer), outputs: Outputs::default() };
        log.write(&LogRecord::Start { at });
        log
    }

    pub(crate) fn input(&mut self, at: Timestamp, input: &Input) {
        self.write(&LogRecord::Input { at, input: input.clone() });
    }

    pub(crate) fn output(&mut self, output: &Output) {
        if self.outputs.add(output).is_err() {
            self.writer = None;
        }
    }

    /// Writes the digest, and what is buffered.
    pub(crate) fn finish(&mut self) {
        let digest = self.outputs.digest();
        self.write(&LogRecord::Outputs(digest));
        if let Some(mut writer) = self.writer.take() {
            // The node is gone already.
            let _ = writer.flush();
        }
    }

    fn write(&mut self, record: &LogRecord) {
        if let Some(writer) = &mut self.writer
            && write_record(writer, record).is_err()
        {
            self.writer = None;
        }
    }
}

impl Outputs {
    fn add(&mut self, output: &Output) -> Result<(), postcard::Error> {
        let bytes = postcard::to_stdvec(output)?;
        self.count += 1;
        self.hash.update((bytes.len() as u64).to_le_bytes());
        self.hash.update(&bytes);
        Ok(())
    }

    fn digest(&self) -> OutputDigest {
        OutputDigest { count: self.count, digest: self.hash.clone().finalize().into() }
    }
}

fn write_record(writer: &mut dyn Write, record: &LogRecord) -> io::Result<()> {
    let bytes = postcard::to_stdvec(record).map_err(io::Error::other)?;
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    writer.write_all(&length.to_le_bytes())?;
    writer.write_all(&bytes)
}

/// The next record of a log; `None` at its end, also inside a record that was cut off.
pub fn read_record(reader: &mut impl Read) -> Result<Option<LogRecord>, LogError> {
    let mut length = [0; 4];
    if !read_or_end(reader, &mut length)? {
        return Ok(None);
    }
    let length = u32::from_le_bytes(length);
    let bytes = usize::try_from(length).ok().filter(|bytes| *bytes <= MAX_RECORD_BYTES);
    let mut record = vec![0; bytes.ok_or(LogError::TooLong(length.into()))?];
    if !read_or_end(reader, &mut record)? {
        return Ok(None);
    }
    postcard::from_bytes(&record).map(Some).map_err(LogError::Malformed)
}

/// What a replay came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replay {
    /// Inputs that were given to the Node.
    pub inputs: u64,
    /// What it said.
    pub outputs: OutputDigest,
    /// What it had said when the log was written; `None` if the log was cut off before its end.
    pub recorded: Option<OutputDigest>,
}

impl Replay {
    /// Whether the Node said the same again.
    pub fn is_equal(&self) -> bool {
        self.recorded == Some(self.outputs)
    }
}

/// Gives the inputs of a log to a fresh Node, which `make` makes as of the time it is given.
pub fn replay(
    log: &mut impl Read,
    make: impl FnOnce(Timestamp) -> Node,
) -> Result<Replay, LogError> {
    let Some(LogRecord::Start { at }) = read_record(log)? else { return Err(LogError::Start) };
    let mut node = make(at);
    let mut outputs = Outputs::default();
    let (mut inputs, mut recorded) = (0, None);
    while let Some(record) = read_record(log)? {
        match record {
            LogRecord::Start { .. } => return Err(LogError::Start),
            LogRecord::Input { at, input } => {
                inputs += 1;
                node.handle(at, input);
                while let Some(output) = node.poll() {
                    outputs.add(&output).map_err(LogError::Malformed)?;
                }
            }
            LogRecord::Outputs(digest) => recorded = Some(digest),
        }
    }
    Ok(Replay { inputs, outputs: outputs.digest(), recorded })
}

/// Fills a buffer; false if the end comes first.
fn read_or_end(reader: &mut impl Read, buffer: &mut [u8]) -> Result<bool, LogError> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(LogError::Io(error)),
    }
}

impl core::fmt::Display for LogError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            LogError::Io(error) => write!(f, "{error}"),
            LogError::Malformed(error) => write!(f, "a record that is none of ours: {error}"),
            LogError::TooLong(bytes) => {
                write!(f, "a record of {bytes} bytes, more than {MAX_RECORD_BYTES}")
            }
            LogError::Start => f.write_str("the log does not begin, or begins twice"),
        }
    }
}

impl core::error::Error for LogError {}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use sanspeer_core::close::CloseReason;
    use sanspeer_core::identity::Identity;
    use sanspeer_core::mailbox::ToNode;
    use sanspeer_core::mux::Role;
    use sanspeer_core::node::{
        ArrivalId, Command, CommandId, ConnectionId, ListenerId, NodeConfig,
    };
    use sanspeer_core::rng::Seed;

    use super::*;

    const FIRST_ID: u64 = 1;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn node_of(identity: u64) -> impl FnOnce(Timestamp) -> Node {
        let identity = Identity::ed25519(&Seed::from_u64(identity));
        move |now| Node::new(NodeConfig::default(), identity, Seed::from_u64(1), now)
    }

    fn inputs() -> Vec<Input> {
        // The first that a node names.
        let connection = ConnectionId(FIRST_ID);
        let peer = Identity::ed25519(&Seed::from_u64(2)).peer_id();
        let usage = sanspeer_core::mailbox::Usage::default();
        vec![
            Input::UnixTime { seconds: 1_800_000_000 },
            Input::Command {
                id: CommandId(0),
                command: Command::Listen("/ip4/0.0.0.0/tcp/4001".parse().unwrap()),
            },
            Input::Arrival {
                arrival: ArrivalId(0),
                listener: ListenerId(FIRST_ID),
                remote: "/ip4/192.0.2.1/tcp/1234".parse().unwrap(),
                validated: true,
            },
            Input::Connection {
                connection,
                message: ToNode::Established { peer, role: Role::Listener },
            },
            Input::Connection { connection, message: ToNode::Rtt(Duration::from_millis(3)) },
            Input::Connection {
                connection,
                message: ToNode::Closed { reason: CloseReason::TransportEnded, usage },
            },
        ]
    }

    fn record() -> Vec<u8> {
        let buffer = Buffer::default();
        let mut log = NodeLog::new(Box::new(buffer.clone()), Timestamp(7));
        let mut node = node_of(1)(Timestamp(7));
        for (number, input) in inputs().into_iter().enumerate() {
            let at = Timestamp::from_millis(number as u64);
            log.input(at, &input);
            node.handle(at, input);
            while let Some(output) = node.poll() {
                log.output(&output);
            }
        }
        log.finish();
        let bytes = buffer.0.lock().unwrap();
        bytes.clone()
    }

    #[test]
    fn a_fresh_node_says_the_same_again() {
        let log = record();
        let replayed = replay(&mut &log[..], node_of(1)).unwrap();
        assert_eq!(replayed.inputs, inputs().len() as u64);
        assert!(replayed.outputs.count > 0);
        assert!(replayed.is_equal(), "{replayed:?}");
    }

    #[test]
    fn another_node_does_not() {
        let log = record();
        // The peer of the log is now this node itself.
        assert!(!replay(&mut &log[..], node_of(2)).unwrap().is_equal());
    }

    #[test]
    fn a_log_that_was_cut_off_replays_as_far_as_it_goes() {
        let log = record();
        let replayed = replay(&mut &log[..log.len() - 1], node_of(1)).unwrap();
        assert_eq!((replayed.inputs, replayed.recorded), (inputs().len() as u64, None));
        let garbage = [3, 0, 0, 0, 0xff, 0xff, 0xff];
        assert!(matches!(replay(&mut &garbage[..], node_of(1)), Err(LogError::Malformed(_))));
        let headless = &log[4 + usize::from(log[0])..];
        assert!(matches!(replay(&mut &*headless, node_of(1)), Err(LogError::Start)));
        let long = [0xff; 8];
        assert!(matches!(replay(&mut &long[..], node_of(1)), Err(LogError::TooLong(_))));
    }
}
