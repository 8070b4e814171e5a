//! [`ConfigFile`]: the settings as they are spelt in JSON.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::settings::SettingError;
use crate::error::Error;
use crate::private_file;

const FILE_NAME: &str = "p2p_config.json";

/// The settings, unchecked. The defaults are the preset of a validator network.
///
/// A key that is absent has its default; one that is unknown is an error.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub(crate) struct ConfigFile {
    /// Multiaddrs to listen on; port 0 is any.
    pub(crate) listen_addresses: Vec<String>,
    /// Multiaddrs with `/p2p/<peer id>`, dialled at the start and again until they answer.
    pub(crate) bootstrap_peers: Vec<String>,
    /// Topics of gossip to be in: messages are passed on, and logged.
    pub(crate) topics: Vec<String>,
    /// The key, in protobuf; empty is `p2p_key` in the data folder.
    pub(crate) private_key_file: String,
    /// An Ed25519 key in hex, instead of the file; empty is none. It is never shown.
    pub(crate) private_key: String,
    /// Multiaddrs that are announced beside those that are listened on.
    pub(crate) announce_addresses: Vec<String>,
    /// `name/version`, shown to peers.
    pub(crate) agent_version: String,
    /// The network's name, shown to peers.
    pub(crate) protocol_version: String,
    /// While fewer peers are connected, those that are known are dialled.
    pub(crate) low_connections: u32,
    /// No more connections than these.
    pub(crate) high_connections: u32,
    /// No more of them than these that others opened.
    pub(crate) max_inbound_connections: u32,
    /// No more of them than these that we opened.
    pub(crate) max_outbound_connections: u32,
    /// Seconds after which a connection that nobody uses is closed; 0 is never.
    pub(crate) idle_connection_seconds: u64,
    /// Seconds between pings of a connection; 0 is never.
    pub(crate) ping_interval_seconds: u64,
    /// Whether to answer `sanspeer perf` of others, which sends them as many bytes as they like.
    pub(crate) serve_perf: bool,
    /// Where a running node answers `status`, `pub` and `sub`: a loopback address and port; port 0 is any.
    pub(crate) admin_address: String,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub(crate) log_level: String,
}

impl core::fmt::Debug for ConfigFile {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.without_secrets().to_json())
    }
}

impl Default for ConfigFile {
    fn default() -> Self {
        ConfigFile {
            listen_addresses: vec![
                "/ip4/0.0.0.0/tcp/9000".to_owned(),
                "/ip4/0.0.0.0/udp/9000/quic-v1".to_owned(),
            ],
            bootstrap_peers: Vec::new(),
            topics: Vec::new(),
            private_key_file: String::new(),
            private_key: String::new(),
            announce_addresses: Vec::new(),
            agent_version: concat!("sanspeer/", env!("CARGO_PKG_VERSION")).to_owned(),
            protocol_version: "sanspeer/1".to_owned(),
            low_connections: 160,
            high_connections: 192,
            max_inbound_connections: 128,
            max_outbound_connections: 128,
            idle_connection_seconds: 0,
            ping_interval_seconds: 15,
            serve_perf: false,
            admin_address: "127.0.0.1:0".to_owned(),
            log_level: "info".to_owned(),
        }
    }
}

impl ConfigFile {
    /// Where it is in a data folder.
    pub(crate) fn path(data: &Path) -> PathBuf {
        data.join(FILE_NAME)
    }

    /// Reads the file; one that is absent is written with the defaults.
    pub(crate) fn read_or_write(data: &Path) -> Result<ConfigFile, Error> {
        match ConfigFile::read(data)? {
            Some(config) => Ok(config),
            None => {
                let config = ConfigFile::default();
                config.write(data)?;
                Ok(config)
            }
        }
    }

    /// Reads the file; `None` if there is none.
    pub(crate) fn read(data: &Path) -> Result<Option<ConfigFile>, Error> {
        let path = ConfigFile::path(data);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::file("read", path)(error)),
        };
        serde_json::from_str(&text).map(Some).map_err(|source| Error::Json { path, source })
    }

    /// Writes the file, whole or not at all.
    pub(crate) fn write(&self, data: &Path) -> Result<(), Error> {
        let path = ConfigFile::path(data);
        let mut text = self.to_json();
        text.push('\n');
        private_file::replace(&path, text.as_bytes()).map_err(Error::file("write", path))
    }

    /// The same without the key that is in it, to be shown.
    pub(crate) fn without_secrets(&self) -> ConfigFile {
        let mut shown = self.clone();
        if !shown.private_key.is_empty() {
            shown.private_key = "(hidden)".to_owned();
        }
        shown
    }

    /// As it is written.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("strings, numbers, truths and lists of strings")
    }

    /// Its keys with their values.
    pub(super) fn to_object(&self) -> serde_json::Map<String, serde_json::Value> {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(object)) => object,
            Ok(_) | Err(_) => {
                unreachable!("a struct of strings, numbers, truths and lists of strings")
            }
        }
    }

    /// The settings of an object of its keys.
    pub(super) fn from_object(
        object: serde_json::Map<String, serde_json::Value>,
    ) -> Result<ConfigFile, SettingError> {
        serde_json::from_value(serde_json::Value::Object(object))
            .map_err(|error| SettingError::Override(error.to_string()))
    }
}
