//! [`Cli`]: what can be typed.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use multiaddr::Multiaddr;

use crate::error::Error;

/// A libp2p node for chain networks.
#[derive(Debug, Parser)]
#[command(name = "sanspeer", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Spelling,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Common {
    /// Folder of configuration, key and state
    #[arg(long, global = true, value_name = "DIR", default_value = "data", env = "SANSPEER_DATA")]
    pub(crate) data: PathBuf,
    /// Sets a setting for this run, ahead of environment and file; lists are comma-separated
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) set: Vec<(String, String)>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs the node until Ctrl-C
    Start(StartArgs),
    /// Shows the configuration and, while the node runs, its peers
    Status {
        /// Prints JSON
        #[arg(long)]
        json: bool,
    },
    /// Shows or changes the configuration
    Config(ConfigArgs),
    /// Shows the peer id, or makes a key
    #[command(subcommand)]
    Key(KeyCommand),
    /// Publishes messages in a topic: each line of stdin, or a given one
    Pub(PubArgs),
    /// Prints the messages of topics, a line each, until Ctrl-C
    Sub(SubArgs),
    /// Dials a peer, as nobody in particular, and pings it
    Ping {
        /// Where it is
        address: Multiaddr,
        /// How many times
        #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
        count: u32,
    },
    /// Dials a peer, as nobody in particular, and measures its connection with `/perf/1.0.0`
    Perf {
        /// Where it is
        address: Multiaddr,
        /// Bytes to send
        #[arg(long, value_name = "BYTES", default_value_t = 64 * 1024 * 1024)]
        upload: u64,
        /// Bytes to ask for
        #[arg(long, value_name = "BYTES", default_value_t = 64 * 1024 * 1024)]
        download: u64,
    },
}

/// Both ways to name a command.
#[derive(Debug, Subcommand)]
pub(crate) enum Spelling {
    #[command(flatten)]
    Short(Command),
    /// The same commands, as `sanspeer p2p …`
    #[command(subcommand)]
    P2p(Command),
}

/// A list that is given replaces that list for this run.
#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// An address to listen on; may be repeated
    #[arg(long, short, value_name = "MULTIADDR")]
    pub(crate) listen: Vec<Multiaddr>,
    /// A bootstrap peer; may be repeated
    #[arg(long, short, value_name = "MULTIADDR")]
    pub(crate) bootstrap: Vec<Multiaddr>,
    /// A topic to be in; may be repeated
    #[arg(long, short, value_name = "TOPIC")]
    pub(crate) topic: Vec<String>,
}

/// With the node of the data folder if it runs, otherwise with one that lasts as long as the command.
#[derive(Debug, Args)]
pub(crate) struct PubArgs {
    /// The topic
    pub(crate) topic: String,
    /// Publishes this message alone
    #[arg(long, value_name = "TEXT", conflicts_with = "file")]
    pub(crate) message: Option<String>,
    /// Publishes what is in this file as one message
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Prints a JSON object for each message that was published
    #[arg(long)]
    pub(crate) json: bool,
    /// How long a message waits for a peer in the topic
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) wait: u32,
    #[command(flatten)]
    pub(crate) meeting: MeetingArgs,
}

/// With the node of the data folder if it runs, otherwise with one that lasts as long as the command.
#[derive(Debug, Args)]
pub(crate) struct SubArgs {
    /// The topics
    #[arg(required = true, value_name = "TOPIC")]
    pub(crate) topics: Vec<String>,
    /// Prints a JSON object for each message
    #[arg(long)]
    pub(crate) json: bool,
    /// Ends after so many messages
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// How long to wait for a peer in a topic [default: 30, or for ever with --listen]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) wait: Option<u32>,
    #[command(flatten)]
    pub(crate) meeting: MeetingArgs,
}

/// How a node that lasts as long as the command meets others.
#[derive(Debug, Args)]
pub(crate) struct MeetingArgs {
    /// A peer to connect to, instead of the bootstrap peers; may be repeated
    #[arg(long, value_name = "MULTIADDR")]
    pub(crate) peer: Vec<Multiaddr>,
    /// An address to listen on, which is printed on stderr; may be repeated
    #[arg(long, short, value_name = "MULTIADDR")]
    pub(crate) listen: Vec<Multiaddr>,
}

/// A list that is given replaces that list and leaves the others.
#[derive(Debug, Default, Args)]
pub(crate) struct ConfigArgs {
    /// Replaces the addresses to listen on; may be repeated
    #[arg(long, short, value_name = "MULTIADDR")]
    pub(crate) listen: Vec<Multiaddr>,
    /// Replaces the bootstrap peers; may be repeated
    #[arg(long, short, value_name = "MULTIADDR")]
    pub(crate) bootstrap: Vec<Multiaddr>,
    /// Replaces the topics to be in; may be repeated
    #[arg(long, short, value_name = "TOPIC")]
    pub(crate) topic: Vec<String>,
    /// Adds an address to listen on
    #[arg(long, value_name = "MULTIADDR")]
    pub(crate) add_listen: Vec<Multiaddr>,
    /// Adds a bootstrap peer
    #[arg(long, value_name = "MULTIADDR")]
    pub(crate) add_bootstrap: Vec<Multiaddr>,
    /// Adds a topic
    #[arg(long, value_name = "TOPIC")]
    pub(crate) add_topic: Vec<String>,
    /// Removes an address to listen on
    #[arg(long, value_name = "MULTIADDR")]
    pub(crate) remove_listen: Vec<Multiaddr>,
    /// Removes a bootstrap peer
    #[arg(long, value_name = "MULTIADDR")]
    pub(crate) remove_bootstrap: Vec<Multiaddr>,
    /// Removes a topic
    #[arg(long, value_name = "TOPIC")]
    pub(crate) remove_topic: Vec<String>,
    /// Prints the settings that would be in force, from flags, environment, file and defaults
    #[arg(long)]
    pub(crate) show: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Makes an Ed25519 key file; an existing one is never replaced
    Generate,
    /// Prints the peer id of the key
    Show,
}

impl MeetingArgs {
    /// Fails if there are any: the node that runs in `data` has its own ways.
    pub(crate) fn must_be_empty(&self, data: &Path) -> Result<(), Error> {
        match self.peer.is_empty() && self.listen.is_empty() {
            true => Ok(()),
            false => Err(Error::NodeRuns(data.to_owned())),
        }
    }
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err("no `=` in it".to_owned()),
    }
}
