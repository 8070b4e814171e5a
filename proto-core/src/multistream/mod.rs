//! multistream-select 1.0: how the two ends of a stream, or of a bare connection, agree on the
//! protocol that it carries.
//!
//! Each message is a line: an unsigned varint that counts the bytes behind it, a text, and a line
//! feed. Both sides open with [`MULTISTREAM_HEADER`]. The dialer then proposes protocols one after
//! the other; the listener answers a proposal with the same line when it speaks that protocol, and
//! everything behind that line is the protocol's own, or with `na`. `ls` in place of a proposal
//! asks for a list of all protocols.
//!
//! ```text
//! dialer                               listener
//! /multistream/1.0.0  /ipfs/kad/1.1.0  →
//!                                      ←  /multistream/1.0.0  na
//! /ipfs/kad/1.0.0                      →
//!                                      ←  /ipfs/kad/1.0.0
//! ```
//!
//! [`Dialer`] and [`Listener`] are pure: bytes go in, bytes to send are appended to a `Vec` of the
//! caller, and no outcome depends on how the bytes were cut. Neither holds memory while lines
//! arrive whole; a line that was cut is kept, at most [`MAX_LINE_BYTES`] of it.
//!
//! **Neither knows the time.** A remote that stays silent or sends a byte a second is bounded in
//! memory here, and in time only by the owner, [`crate::connection`], which gives every negotiation
//! a deadline.
//!
//! Specification: <https://github.com/multiformats/multistream-select>.

mod dialer;
mod error;
mod line;
mod list;
mod listener;
mod proposals;

pub use dialer::Dialer;
pub use error::NegotiationError;
pub use line::{LineError, MAX_LINE_BYTES};
pub use list::{ListError, MAX_LIST_BYTES, MAX_LIST_PROTOCOLS, decode_list, request_list};
pub use listener::{
    Listener, MAX_ATTEMPTS, MAX_LIST_REQUESTS, MAX_LISTENER_OUTPUT_BYTES, SupportedProtocols,
};
pub use proposals::{MAX_PROPOSALS, Proposals, ProposalsError};

use crate::protocol::ProtocolId;

/// The line with which both sides begin (section "Protocol").
pub const MULTISTREAM_HEADER: &str = "/multistream/1.0.0";

/// The answer to a proposal that the listener does not speak (section "Protocol").
pub(crate) const NOT_AVAILABLE: &str = "na";

/// The request for a list of protocols (section "Listing").
pub(crate) const LIST: &str = "ls";

/// How far a negotiation came with the bytes that it was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Step {
    /// Bytes of the input that belonged to the negotiation: all of them, unless a protocol was
    /// agreed. What is behind them belongs to the agreed protocol.
    pub consumed: usize,
    /// The protocol that both sides agreed on. The negotiation is over when it is there.
    pub agreed: Option<ProtocolId>,
}
