//! [`Dialer`]: reaches a peer at the first of its addresses that answers.
//!
//! The addresses of one peer race. After Happy Eyeballs (RFC 8305) they do not start together: QUIC
//! goes before TCP and IPv6 before IPv4, taking turns, and each next one starts when the ones before
//! had some time, or as soon as one fails. Local and public addresses are two queues side by side;
//! relayed ones follow behind both. The first that is admitted wins, and the rest are given up.
//!
//! - [`config`]: its numbers, such as how long each waits;
//! - `rank`: which address is next;
//! - `race`: the addresses of one peer, the names among them, and those that are being dialled;
//! - [`dialer`]: all races, under the bounds that they share.

pub mod config;
pub mod dialer;
mod race;
mod rank;

pub use config::DialConfig;
pub use dialer::{DialContext, DialOutput, DialRequest, Dialer};
