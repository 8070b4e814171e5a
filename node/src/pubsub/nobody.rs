//! [`Nobody`]: that nobody came.

use core::time::Duration;

use sanspeer_core::gossip::Topic;

/// Nobody came who is in any of some topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Nobody {
    pub(crate) topics: Vec<Topic>,
    /// How long they were waited for.
    pub(crate) patience: Duration,
    /// Peers that are connected, and in none of them.
    pub(crate) connected: usize,
    /// Why a peer is not, if that is known.
    pub(crate) why: Option<String>,
}

impl core::fmt::Display for Nobody {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let topics: Vec<_> = self.topics.iter().map(|topic| format!("{topic:?}")).collect();
        write!(f, "nobody is in {}", topics.join(" or "))?;
        write!(f, " after {} s, of {} connected peers", self.patience.as_secs(), self.connected)?;
        self.why.as_ref().map_or(Ok(()), |why| write!(f, ": {why}"))
    }
}
