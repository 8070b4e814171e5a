//! What stands between us and rustls: its types are named in this folder and nowhere else.
//!
//! - [`seed_scope`]: where rustls draws its randomness from;
//! - [`provider`]: the primitives that it runs on;
//! - [`signer`]: the key that our certificate is signed with;
//! - [`verifier`]: who may be at the other end;
//! - [`config`]: all of these put together, for one connection;
//! - [`negotiation`]: a handshake over bytes, from the first to the keys of the records;
//! - [`key_schedule`]: the keys that follow those;
//! - [`quic`]: a handshake inside QUIC.

pub(super) mod config;
pub(super) mod key_schedule;
pub(super) mod negotiation;
pub(super) mod provider;
pub(super) mod quic;
pub(super) mod seed_scope;
pub(super) mod signer;
pub(super) mod verifier;
