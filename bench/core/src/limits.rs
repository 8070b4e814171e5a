//! What no implementation of the same protocols can beat: the primitives alone.

pub mod aead;
pub mod curve;
pub mod tls;
