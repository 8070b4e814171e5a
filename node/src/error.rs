//! [`Error`]: what goes wrong with what a person gave us. Each is one line that names it.

use std::path::PathBuf;

use sanspeer_core::identity::KeyError;

use crate::config::SettingError;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Error {
    /// A file or folder could not be read, written or made.
    File { what: &'static str, path: PathBuf, source: std::io::Error },
    /// The configuration file is no JSON object.
    Json { path: PathBuf, source: serde_json::Error },
    /// A setting is not what it must be.
    Setting(SettingError),
    /// The key file holds no key.
    Key { path: PathBuf, source: KeyError },
    /// The operating system gave no randomness.
    Randomness(getrandom::Error),
    /// There is nothing that could be removed.
    NotListed { key: &'static str, address: String },
    /// A key file is there and must not be replaced.
    KeyExists(PathBuf),
}

impl Error {
    pub(crate) fn file(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Error {
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
            Error::Key { path, source } => write!(f, "key file {}: {source}", path.display()),
            Error::Randomness(source) => write!(f, "no randomness for a new key: {source}"),
            Error::NotListed { key, address } => write!(f, "{key} has no {address}"),
            Error::KeyExists(path) => {
                write!(f, "key file {} is there already and is not replaced", path.display())
            }
        }
    }
}
