//! Private networks: nodes that share a key understand each other's first byte, and nobody else
//! does.
//!
//! - [`key`]: the key, its file `swarm.key`, and a fingerprint that can be shown;
//! - [`layer`]: what the key does to the bytes of a connection, in [`crate::byte_mux`]'s slot.
//!
//! Specification: [Private Networks, PSK v1](https://github.com/libp2p/specs/blob/master/pnet/Private-Networks-PSK-V1.md).

pub mod key;
pub mod layer;

pub use key::{Fingerprint, KeyFileError, PSK_BYTES, PreSharedKey};
pub use layer::{NONCE_BYTES, PskLayer};
