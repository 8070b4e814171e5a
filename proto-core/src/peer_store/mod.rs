//! [`PeerStore`]: what is known of peers, whether or not they are connected. It is bounded, and no
//! remote can push out what the operator configured or who is connected.
//!
//! - [`known`]: an address with where it is from and what came of it, and when it may be dialled
//!   again;
//! - [`skip`]: why a peer or an address is not dialled;
//! - [`store`]: all peers.

pub mod known;
pub mod skip;
pub mod store;

pub use known::{Backoff, DialHistory, KnownAddress, Source};
pub use skip::{AddressError, SkipReason, check_address};
pub use store::{KnownPeer, PeerStore, PeerStoreConfig};
