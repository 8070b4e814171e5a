//! [`ByteMux`]: a multiplexed, secured connection over any transport that carries bytes in order.
//!
//! Bytes on their way in pass, in this order:
//! - [`StreamLayer`], if there is one, in place ([`layer`]);
//! - multistream-select for the security protocol, then the handshake of Noise or TLS, then
//!   multistream-select for the muxer unless the handshake agreed on it early (`upgrade`,
//!   `security`);
//! - from then on records, decrypted in place (`records`), and Yamux frames (`receive`).
//!
//! `machine` is what drives them, `stream_side` the [`crate::mux::Mux`] that it offers; [`config`]
//! has its numbers.

pub mod config;
pub mod layer;
mod machine;
mod receive;
mod records;
mod security;
mod stream_side;
mod upgrade;

pub use config::ByteMuxConfig;
pub use layer::StreamLayer;
pub use machine::{ByteMux, ByteMuxSetup};
pub(crate) use records::Sealer;
pub use records::{MAX_RECORD_BYTES, RecordError};
pub use security::Security;

#[cfg(test)]
mod tests;
