//! A network of our peers and rust-libp2p's that are all in one topic.
//!
//! - [`inbox`]: what arrived at a peer, and how often;
//! - [`ours`] and [`theirs`]: a peer of each kind; [`peer`]: either of them;
//! - [`network`]: peers in a fixed graph, and what must arrive where.

mod inbox;
mod network;
mod ours;
mod peer;
mod theirs;

use std::time::Duration;

use sanspeer_core::gossip::{MessageId, WireMessage};

pub(crate) use network::{Network, data, until};
pub(crate) use ours::Ours;
pub(crate) use peer::Peer;
pub(crate) use theirs::Theirs;

/// The topic.
pub(crate) const TOPIC: &str = "interop";

/// How long anything may take. Generous: it only bounds a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Longer than any message waits for a busy machine: what is lost in a test is lost on the wire.
pub(crate) const QUEUE_TIME: Duration = Duration::from_secs(60);

/// How the id of a message is made. All peers of a topic must agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ids {
    /// The specification's: the author's bytes, then the sequence number's.
    Specified,
    /// rust-libp2p's default: the author in base 58, then the sequence number in decimal digits.
    RustLibp2p,
}

impl Ids {
    /// For our side.
    pub(crate) fn of_ours(self) -> fn(&WireMessage) -> MessageId {
        match self {
            Ids::Specified => sanspeer_core::gossip::source_and_sequence,
            Ids::RustLibp2p => sanspeer_core::gossip::source_base58_and_sequence_decimal,
        }
    }

    /// For theirs; `None` is what they do by themselves.
    pub(crate) fn of_theirs(
        self,
    ) -> Option<fn(&libp2p::gossipsub::Message) -> libp2p::gossipsub::MessageId> {
        match self {
            Ids::Specified => Some(|message| {
                let mut id = message.source.map(|author| author.to_bytes()).unwrap_or_default();
                id.extend(message.sequence_number.unwrap_or_default().to_be_bytes());
                id.into()
            }),
            Ids::RustLibp2p => None,
        }
    }
}
