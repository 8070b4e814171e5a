//! [`Error`]: why a command failed. Each is one line that names what it is about.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use multiaddr::Multiaddr;
use sanspeer_core::identity::{IdentityError, KeyError};
use sanspeer_tokio::{OpenStreamError, RequestError, StartError};

use crate::config::SettingError;

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
    NotListed { key: &'static str, address: String },
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
            Error::NotListed { key, address } => write!(f, "{key} has no {address}"),
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
        }
    }
}
