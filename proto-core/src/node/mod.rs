//! [`Node`]: the control plane. It decides who is dialled and who is let in, and runs the protocols
//! that peers speak about themselves; application streams never pass through it.
//!
//! What goes in and comes out:
//! - [`input`] and [`output`]: all of it, plain values that can be logged and replayed;
//! - [`command`] and [`event`]: what an application asks, and what it is told;
//! - [`protocol`]: [`Protocol`], through which an application adds its own;
//! - [`ids`]: names of connections, listeners, lookups and commands; [`config`]: numbers.
//!
//! What is inside:
//! - `machine`: where inputs go;
//! - `connections`: what is known of each connection and peer; `admission`: who is let in, and the
//!   ends of connections, under [`limits`]; `peers`: which connection of a peer is preferred; `lease`: the windows
//!   that connections share; `idle` and `protect`: which unused ones are closed;
//! - `dialling`: connections that we begin, as [`dial`] races them; `replenish`: known peers that are
//!   dialled while too few are connected;
//! - `listeners`: what is listened on, and what is announced;
//! - `protocols`: whose a stream is, and what each protocol is told; `identified`: what identify
//!   says of us and hears of others; `gossiped`: what gossip says;
//! - `commands`: what is asked and answered.

mod admission;
pub mod command;
mod commands;
pub mod config;
mod connections;
pub mod dial;
mod dialling;
pub mod event;
mod gossiped;
mod identified;
mod idle;
pub mod ids;
pub mod input;
mod lease;
pub mod limits;
mod listeners;
pub mod machine;
pub mod output;
mod peers;
mod protect;
pub mod protocol;
mod protocols;
mod replenish;
mod words;

pub use command::{Answer, Command, CommandError, DialError, PeerSummary};
pub use config::NodeConfig;
pub use dial::{DialConfig, DialContext, DialOutput, DialRequest, Dialer};
pub use event::{Connected, NodeEvent};
pub use ids::{ArrivalId, CommandId, ConnectionId, DialId, Ids, ListenerId, LookupId, StreamRef};
pub use input::{DialFailure, Input, ListenFailure};
pub use limits::{ConnectionCounts, ConnectionLimits, Limits};
pub use machine::Node;
pub use output::Output;
pub use protocol::{Accepted, Protocol, ProtocolInput, ProtocolOutput};
pub use protocols::AddProtocolError;
