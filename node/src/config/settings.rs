//! [`Settings`]: what is in force, checked.

use core::time::Duration;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use multiaddr::{Multiaddr, Protocol};
use sanspeer_core::gossip::{GossipConfig, Topic};

use super::file::ConfigFile;
use crate::identity::SuppliedKey;

/// How much of a topic is shown that is none, in characters.
const MAX_SHOWN_CHARACTERS: usize = 64;

const KEY_FILE_NAME: &str = "p2p_key";

/// The longest agent or protocol version, in bytes: with it an identify message keeps room for
/// addresses and protocols.
const MAX_VERSION_BYTES: usize = 256;

/// Settings, each one checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) listen_addresses: Vec<Multiaddr>,
    /// Each names its peer.
    pub(crate) bootstrap_peers: Vec<Multiaddr>,
    /// Each once.
    pub(crate) topics: Vec<Topic>,
    pub(crate) private_key_file: PathBuf,
    pub(crate) private_key: Option<SuppliedKey>,
    pub(crate) announce_addresses: Vec<Multiaddr>,
    pub(crate) agent_version: String,
    pub(crate) protocol_version: String,
    pub(crate) low_connections: u32,
    pub(crate) high_connections: u32,
    pub(crate) max_inbound_connections: u32,
    pub(crate) max_outbound_connections: u32,
    pub(crate) idle_connection: Option<Duration>,
    pub(crate) ping_interval: Option<Duration>,
    pub(crate) serve_perf: bool,
    pub(crate) admin_address: SocketAddr,
    pub(crate) log_level: LogLevel,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// What is wrong with a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SettingError {
    /// There is no such key.
    UnknownKey(String),
    /// A value is not what it must be.
    Value { key: String, value: String, problem: String },
    /// What flags or environment set does not fit.
    Override(String),
}

impl Settings {
    /// Checks every value of `config`, whose relative paths are those of the data folder.
    pub(crate) fn check(config: &ConfigFile, data: &Path) -> Result<Settings, SettingError> {
        let listen_addresses = addresses("ListenAddresses", &config.listen_addresses)?;
        let bootstrap_peers = addresses("BootstrapPeers", &config.bootstrap_peers)?;
        for (address, text) in bootstrap_peers.iter().zip(&config.bootstrap_peers) {
            if !names_peer(address) {
                return Err(wrong("BootstrapPeers", text, "it does not end in /p2p/<peer id>"));
            }
        }
        Ok(Settings {
            listen_addresses,
            bootstrap_peers,
            topics: topics("Topics", &config.topics)?,
            private_key_file: key_file(data, &config.private_key_file),
            private_key: supplied_key(&config.private_key)?,
            announce_addresses: addresses("AnnounceAddresses", &config.announce_addresses)?,
            agent_version: version("AgentVersion", &config.agent_version)?,
            protocol_version: version("ProtocolVersion", &config.protocol_version)?,
            // Who allows fewer than the default of the other means just that.
            low_connections: config.low_connections.min(config.high_connections),
            high_connections: config.high_connections,
            max_inbound_connections: config.max_inbound_connections,
            max_outbound_connections: config.max_outbound_connections,
            idle_connection: seconds(config.idle_connection_seconds),
            ping_interval: seconds(config.ping_interval_seconds),
            serve_perf: config.serve_perf,
            admin_address: admin_address(&config.admin_address)?,
            log_level: log_level(&config.log_level)?,
        })
    }
}

fn addresses(key: &str, list: &[String]) -> Result<Vec<Multiaddr>, SettingError> {
    list.iter()
        .map(|text| text.parse().map_err(|error: multiaddr::Error| wrong(key, text, &error)))
        .collect()
}

fn names_peer(address: &Multiaddr) -> bool {
    matches!(address.iter().last(), Some(Protocol::P2p(_)))
}

/// A topic that is `key`'s.
pub(crate) fn topic(key: &str, text: &str) -> Result<Topic, SettingError> {
    Topic::new(text).map_err(|error| {
        let mut characters = text.escape_debug();
        let mut shown: String = characters.by_ref().take(MAX_SHOWN_CHARACTERS).collect();
        if characters.next().is_some() {
            shown.push('…');
        }
        wrong(key, &shown, error)
    })
}

fn topics(key: &str, list: &[String]) -> Result<Vec<Topic>, SettingError> {
    let mut topics: Vec<Topic> = Vec::new();
    for text in list {
        let topic = topic(key, text)?;
        if !topics.contains(&topic) {
            topics.push(topic);
        }
    }
    let most = GossipConfig::default().max_topics;
    if topics.len() > most {
        return Err(wrong(key, &format!("{} topics", topics.len()), format!("more than {most}")));
    }
    Ok(topics)
}

fn key_file(data: &Path, text: &str) -> PathBuf {
    // Joining an absolute path gives that path.
    data.join(if text.is_empty() { KEY_FILE_NAME } else { text })
}

/// An error does not repeat what was given: it may be a key with a mistake in it.
fn supplied_key(text: &str) -> Result<Option<SuppliedKey>, SettingError> {
    if text.is_empty() {
        return Ok(None);
    }
    let key = SuppliedKey::from_hex(text);
    key.map(Some).ok_or_else(|| {
        wrong("PrivateKey", "(hidden)", "neither 32 nor 64 bytes of an Ed25519 key in hex")
    })
}

fn seconds(number: u64) -> Option<Duration> {
    (number > 0).then(|| Duration::from_secs(number))
}

fn version(key: &str, text: &str) -> Result<String, SettingError> {
    if text.is_empty() || text.len() > MAX_VERSION_BYTES {
        let problem = format!("not between 1 and {MAX_VERSION_BYTES} bytes long");
        return Err(wrong(key, text, &problem));
    }
    Ok(text.to_owned())
}

/// The admin routes are for this machine alone.
fn admin_address(text: &str) -> Result<SocketAddr, SettingError> {
    let address: SocketAddr =
        text.parse().map_err(|_| wrong("AdminAddress", text, "no IP address with a port"))?;
    if !address.ip().is_loopback() {
        return Err(wrong("AdminAddress", text, "not a loopback address"));
    }
    Ok(address)
}

fn log_level(text: &str) -> Result<LogLevel, SettingError> {
    match text {
        "error" => Ok(LogLevel::Error),
        "warn" => Ok(LogLevel::Warn),
        "info" => Ok(LogLevel::Info),
        "debug" => Ok(LogLevel::Debug),
        "trace" => Ok(LogLevel::Trace),
        _ => Err(wrong("LogLevel", text, "none of error, warn, info, debug, trace")),
    }
}

fn wrong(key: &str, value: &str, problem: impl ToString) -> SettingError {
    SettingError::Value {
        key: key.to_owned(),
        value: value.to_owned(),
        problem: problem.to_string(),
    }
}

impl core::fmt::Display for SettingError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            SettingError::UnknownKey(key) => write!(f, "there is no setting `{key}`"),
            SettingError::Value { key, value, problem } => {
                write!(f, "{key} \"{value}\": {problem}")
            }
            SettingError::Override(problem) => f.write_str(problem),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut ConfigFile)) -> Result<Settings, String> {
        let mut config = ConfigFile::default();
        change(&mut config);
        Settings::check(&config, Path::new("data")).map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_those_of_a_validator_network() {
        let settings = check(|_| {}).unwrap();
        let listen: Vec<_> = settings.listen_addresses.iter().map(ToString::to_string).collect();
        assert_eq!(listen, ["/ip4/0.0.0.0/tcp/9000", "/ip4/0.0.0.0/udp/9000/quic-v1"]);
        assert_eq!((settings.low_connections, settings.high_connections), (160, 192));
        assert_eq!(settings.idle_connection, None);
        assert_eq!(settings.private_key_file, Path::new("data/p2p_key"));
    }

    #[test]
    fn old_peer_ids_can_be_read() {
        let old = "/ip4/10.0.0.1/tcp/1/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N";
        let settings = check(|config| config.bootstrap_peers = vec![old.to_owned()]).unwrap();
        assert_eq!(settings.bootstrap_peers[0].to_string(), old);
    }

    #[test]
    fn a_topic_that_is_listed_twice_is_one() {
        let settings = check(|config| config.topics = ["a", "b", "a"].map(String::from).into());
        let topics = settings.unwrap().topics;
        assert_eq!(topics.iter().map(Topic::as_str).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_key() {
        type Change = fn(&mut ConfigFile);
        let cases: [(Change, &str, &str); 10] = [
            (|c| c.listen_addresses.push("/ip4/1.2.3".into()), "ListenAddresses", "/ip4/1.2.3"),
            (|c| c.bootstrap_peers.push("/memory/1".into()), "BootstrapPeers", "/p2p/"),
            (|c| c.admin_address = "0.0.0.0:1".into(), "AdminAddress", "loopback"),
            (|c| c.admin_address = "localhost".into(), "AdminAddress", "localhost"),
            (|c| c.log_level = "loud".into(), "LogLevel", "loud"),
            (|c| c.announce_addresses.push("/ip4/x".into()), "AnnounceAddresses", "/ip4/x"),
            (|c| c.private_key = "c0ffee".into(), "PrivateKey", "(hidden)"),
            (|c| c.topics.push(String::new()), "Topics", "empty"),
            (|c| c.topics.push("x".repeat(1025)), "Topics", "1025 bytes"),
            (|c| c.topics = (0..101).map(|n| n.to_string()).collect(), "Topics", "101 topics"),
        ];
        for (change, key, problem) in cases {
            let error = check(change).unwrap_err();
            assert!(error.contains(key) && error.contains(problem), "{error}");
        }
    }
}
