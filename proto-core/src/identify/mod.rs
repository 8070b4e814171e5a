//! Identify: each side says who it is, what it speaks, and where it listens.
//!
//! Specification: [identify](https://github.com/libp2p/specs/blob/master/identify/README.md).

pub mod info;

pub use info::PeerInfo;
