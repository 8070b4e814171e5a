//! [`Node`]: the control plane. It decides who is dialled and who is let in, and runs the protocols
//! that peers speak about themselves; application streams never pass through it.
//!
//! - [`input`] and [`output`]: all that goes in and comes out, plain values that can be logged and
//!   replayed;
//! - [`command`] and [`event`]: what an application asks, and what it is told;
//! - [`protocol`]: [`Protocol`], through which an application adds its own;
//! - [`limits`]: how many connections there may be;
//! - [`ids`]: names of connections, listeners, lookups and commands.

pub mod command;
pub mod event;
pub mod ids;
pub mod input;
pub mod limits;
pub mod output;
pub mod protocol;

pub use command::{Answer, Command, CommandError, DialError, PeerSummary};
pub use event::{Connected, NodeEvent};
pub use ids::{ArrivalId, CommandId, ConnectionId, DialId, Ids, ListenerId, LookupId, StreamRef};
pub use input::{DialFailure, Input, ListenFailure};
pub use limits::{ConnectionCounts, ConnectionLimits, Limits};
pub use output::Output;
pub use protocol::{Accepted, Protocol, ProtocolInput, ProtocolOutput};
