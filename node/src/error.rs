//! [`Error`]: why a command failed. Each is one line that names what it is about.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use multiaddr::Multiaddr;
use sanspeer_core::gossip::Topic;
use sanspeer_core::identity::{IdentityError, KeyError};
use sanspeer_tokio::{GossipError, JoinError, OpenStreamError, RequestError, StartError};

use crate::config::SettingError;
use crate::pubsub::{Nobody, PublishFailure};

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Error {
    /// A file or folder could not be read, written or made.
    File { what: &'static str, path: PathBuf, source: io::Error },
    /// The configuration file is not what it must be.
    Json { path: PathBuf, source: serde_json::Error },
    /// A setting is not what it must be.
    Setting(SettingError),
    /// There is nothing that could be removed.
    NotListed { key: &'static str, entry: String },
    /// The key file holds no key.
    Key { path: PathBuf, source: KeyError },
    /// A key file is there and must not be replaced.
    KeyExists(PathBuf),
    /// The key cannot sign.
    Identity(IdentityError),
    /// The operating system gave no randomness.
    Randomness(getrandom::Error),
    /// No threads, or no signals.
    Runtime(io::Error),
    /// The node did not start.
    Start(StartError),
    /// An address cannot be listened on.
    Listen { address: Multiaddr, source: RequestError },
    /// The admin port cannot be listened on.
    Admin { address: SocketAddr, source: io::Error },
    /// A peer could not be connected.
    Dial { address: Multiaddr, source: RequestError },
    /// A stream could not be opened.
    OpenStream { address: Multiaddr, source: OpenStreamError },
    /// A stream failed.
    Stream { what: &'static str, address: Multiaddr, source: io::Error },
    /// A peer answered something else than it should.
    WrongAnswer(Multiaddr),
    /// A report could not be written.
    Output(serde_json::Error),
    /// A topic could not be joined.
    Join { topic: Topic, source: JoinError },
    /// Gossip did not do what it was asked.
    Gossip(GossipError),
    /// A message was not published.
    Publish(PublishFailure),
    /// Nobody came who is in a topic.
    Nobody(Nobody),
    /// A message is longer than may be, in bytes.
    MessageTooLong { what: String, max: usize },
    /// A node that is started for one command knows nobody and is not found.
    NobodyToMeet(PathBuf),
    /// A node runs, which has its own ways to meet others.
    NodeRuns(PathBuf),
    /// The running node said no, in its words.
    Refused(String),
    /// The running node did not answer, or answered something else than it should.
    NodeAnswer(String),
    /// The running node has ended.
    NodeEnded,
    /// Standard input could not be read.
    Stdin(io::Error),
    /// Standard output could not be written.
    Stdout(io::Error),
}

impl Error {
    pub(crate) fn file(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Error {
        let path = path.into();
        move |source| Error::File { what, path, source }
    }
}

impl From<SettingError> for Error {
    fn from(error: SettingError) -> Self {
        Error::Setting(error)
    }
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Error::File { what, path, source } => {
                write!(f, "cannot {what} {}: {source}", path.display())
            }
            Error::Json { path, source } => write!(f, "{}: {source}", path.display()),
            Error::Setting(error) => write!(f, "{error}"),
            Error::NotListed { key, entry } => write!(f, "{key} has no {entry}"),
            Error::Key { path, source } => write!(f, "key file {}: {source}", path.display()),
            Error::KeyExists(path) => {
                write!(f, "key file {} is there already and is not replaced", path.display())
            }
            Error::Identity(error) => write!(f, "{error}"),
            Error::Randomness(source) => write!(f, "no randomness: {source}"),
            Error::Runtime(source) => write!(f, "cannot start: {source}"),
            Error::Start(source) => write!(f, "cannot start: {source}"),
            Error::Listen { address, source } => write!(f, "cannot listen on {address}: {source}"),
            Error::Admin { address, source } => {
                write!(f, "cannot listen on AdminAddress {address}: {source}")
            }
            Error::Dial { address, source } => write!(f, "cannot connect to {address}: {source}"),
            Error::OpenStream { address, source } => {
                write!(f, "cannot open a stream to {address}: {source}")
            }
            Error::Stream { what, address, source } => {
                write!(f, "{what} of {address} failed: {source}")
            }
            Error::WrongAnswer(address) => write!(f, "{address} answered something else"),
            Error::Output(source) => write!(f, "cannot write a report: {source}"),
            Error::Join { topic, source } => write!(f, "cannot join {topic:?}: {source}"),
            Error::Gossip(source) => write!(f, "{source}"),
            Error::Publish(failure) => write!(f, "{failure}"),
            Error::Nobody(nobody) => write!(f, "{nobody}"),
            Error::MessageTooLong { what, max } => {
                write!(f, "{what} is longer than {max} bytes, the most of a message")
            }
            Error::NobodyToMeet(path) => {
                write!(
                    f,
                    "there is nobody to meet: no --peer, no --listen, and no BootstrapPeers in {}",
                    path.display()
                )
            }
            Error::NodeRuns(data) => {
                let data = data.display();
                write!(
                    f,
                    "a node runs in {data} and is used: --peer and --listen are for when none does"
                )
            }
            Error::Refused(why) => f.write_str(why),
            Error::NodeAnswer(what) => write!(f, "the running node: {what}"),
            Error::NodeEnded => f.write_str("the running node has ended"),
            Error::Stdin(source) => write!(f, "cannot read stdin: {source}"),
            Error::Stdout(source) => write!(f, "cannot write stdout: {source}"),
        }
    }
}
