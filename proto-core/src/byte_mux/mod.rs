//! [`ByteMux`]: a multiplexed, secured connection over any transport that carries bytes in order.
//!
//! Bytes on their way in pass, in this order:
//! - [`StreamLayer`], if there is one, in place ([`layer`]);
//! - multistream-select for the security protocol, then the Noise handshake, then
//!   multistream-select for the muxer unless Noise agreed on it early (`upgrade`);
//! - from then on Noise records, decrypted in place, and Yamux frames (`machine`).
//!
//! `stream_side` is the [`crate::mux::Mux`] that this offers; [`config`] has its numbers.

pub mod config;
pub mod layer;
mod machine;
mod stream_side;
mod upgrade;

pub use config::ByteMuxConfig;
pub use layer::StreamLayer;
pub use machine::{ByteMux, ByteMuxSetup};
