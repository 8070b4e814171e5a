//! Identify: each side says who it is, what it speaks, and where it listens.
//!
//! - [`machine`]: [`Identify`], which asks, answers and pushes;
//! - [`config`] and [`event`]: what it is made with, and what it tells its owner;
//! - [`message`]: what one side says, as protobuf, within bounds;
//! - [`info`]: what a peer said so far.
//!
//! Inside: what we say (`own`), what a peer said (`known`, `interner`), what is under way on a
//! connection (`link`), and when something is due (`timers`).
//!
//! Specification: [identify](https://github.com/libp2p/specs/blob/master/identify/README.md).

pub mod config;
pub mod event;
pub mod info;
mod interner;
mod known;
mod link;
pub mod machine;
pub mod message;
mod own;
mod timers;

pub use config::IdentifyConfig;
pub use event::{IdentifyEvent, IdentifyFailure};
pub use info::PeerInfo;
pub use machine::Identify;
pub use message::{Message, MessageError};

/// The protocol by which a peer is asked.
pub const IDENTIFY: &str = "/ipfs/id/1.0.0";

/// The protocol by which a peer says unasked what has changed.
pub const IDENTIFY_PUSH: &str = "/ipfs/id/push/1.0.0";

/// Streams of [`IDENTIFY`] that a remote may have open at once on one connection.
pub const MAX_INBOUND_ASKS: u32 = 4;

/// Streams of [`IDENTIFY_PUSH`] that a remote may have open at once on one connection. Each may
/// hold [`message::MAX_FRAMES`] of [`message::MAX_FRAME_BYTES`] until it ends.
pub const MAX_INBOUND_PUSHES: u32 = 2;

/// How bad it is to break the protocol, or to say something that is forged.
pub const PENALTY_POINTS: u32 = 20;
