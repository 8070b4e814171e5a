//! What the fuzz targets do: each module turns bytes into a structured `Input` and has a `run`
//! that drives the core with it and panics when something does not hold.
//!
//! The targets themselves are one line each (`fuzz_targets/`). This library does not need a
//! sanitizer, so that `cargo test` runs every seed on any toolchain.
//!
//! - [`identify`]: messages against `prost`, the machine against any node;
//! - [`frame_reader`]: length-delimited frames against a plain reader;
//! - [`gossip_machine`]: gossip under any inputs, with the checks of its property test;
//! - [`gossip_rpc`]: frames of gossip, decoded and said again;
//! - [`multistream`]: dialer and listener against each other, and each against arbitrary bytes;
//! - [`noise_payload`]: the handshake, its payloads made by `snow` and `prost`;
//! - [`certificate`]: arbitrary ones, changed ones, and changed ones that were signed again;
//! - [`tls`]: two sides against each other, one against bytes;
//! - [`envelope`]: signed envelopes, their payloads made by `prost`;
//! - [`yamux`]: two sessions against per-stream counters, one against a hostile remote;
//! - [`connection_pair`]: two whole connections with their Nodes, applications and a bad transport;
//! - [`quic_pair`]: two endpoints and a connection of theirs, over a bad link in virtual time;
//! - [`script`], [`change`], [`chunks`], [`pattern`], [`vectors`]: what they share; [`seeds`]: the
//!   inputs to begin with.

pub mod certificate;
pub mod change;
pub mod chunks;
pub mod connection_pair;
pub mod envelope;
pub mod frame_reader;
pub mod gossip_machine;
pub mod gossip_rpc;
pub mod identify;
pub mod multistream;
pub mod noise_payload;
pub mod pattern;
pub mod quic_pair;
pub mod script;
pub mod seeds;
pub mod tls;
pub mod vectors;
pub mod yamux;
