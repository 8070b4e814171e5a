//! What a connection and Node say to each other, and the queues that carry it.
//!
//! - [`messages`]: [`ToNode`] and [`ToConnection`], with the [`Frame`]s of Node's streams;
//! - [`lease`]: limits that Node grants; [`usage`]: totals that the connection reports;
//! - [`table`]: which protocols there are, and whose they are;
//! - [`queue`]: [`Mailbox`], bounded, with places that are kept for messages that must not be lost.

pub mod lease;
pub mod messages;
pub mod queue;
pub mod table;
pub mod usage;

pub use lease::{Lease, StreamRate};
pub use messages::{Frame, OpenFailure, PingFailure, RequestId, StreamEnd, ToConnection, ToNode};
pub use queue::{Mailbox, Message, Slot};
pub use table::{Builtin, Owner, ProtocolEntry, ProtocolTable};
pub use usage::Usage;
