//! Noise as libp2p speaks it: `Noise_XX_25519_ChaChaPoly_SHA256`, in which each side proves with a
//! signature that its Noise key belongs to its libp2p identity, then records of up to 65,535 bytes.
//!
//! In the order of data flow:
//! - [`NoiseKeys`]: the static key of a node with its signature, made once;
//! - `resolver`: the primitives that `snow` runs on, their randomness from our seed;
//! - `payload`: what the second and third messages carry, bounded before it is decoded;
//! - [`Handshake`]: the three messages;
//! - [`Sealer`] and [`Opener`]: the records that follow.
//!
//! ```
//! use sanspeer_core::identity::Identity;
//! use sanspeer_core::mux::Role;
//! use sanspeer_core::noise::{Handshake, HandshakeConfig, NoiseError};
//! use sanspeer_core::rng::Seed;
//!
//! let (alice, bob) = (Identity::ed25519(&Seed::from_u64(1)), Identity::ed25519(&Seed::from_u64(2)));
//! let config = HandshakeConfig { expected_peer: Some(bob.peer_id()), ..Default::default() };
//! let mut dialer = Handshake::new(Role::Dialer, &alice, &Seed::from_u64(3), config);
//! let anybody = HandshakeConfig::default();
//! let mut listener = Handshake::new(Role::Listener, &bob, &Seed::from_u64(4), anybody);
//!
//! let mut wire = Vec::new();
//! while !(dialer.is_finished() && listener.is_finished()) {
//!     dialer.transmit(&mut wire);
//!     let taken = listener.handle(&wire)?;
//!     wire.drain(..taken);
//!     listener.transmit(&mut wire);
//!     let taken = dialer.handle(&wire)?;
//!     wire.drain(..taken);
//! }
//! let (mut dialer, mut listener) = (dialer.finish()?, listener.finish()?);
//! assert_eq!(listener.peer, alice.peer_id());
//!
//! let mut record = b"hello".to_vec();
//! let tag = dialer.sealer.seal(&mut record).expect("a short record");
//! record.extend_from_slice(&tag);
//! let length = listener.opener.open(&mut record).expect("an authentic record");
//! assert_eq!(&record[..length], b"hello");
//! # Ok::<(), NoiseError>(())
//! ```
//!
//! Specifications: [noise](https://github.com/libp2p/specs/blob/master/noise/README.md) and
//! [inlined muxer negotiation](https://github.com/libp2p/specs/blob/master/connections/inlined-muxer-negotiation.md).

mod error;
mod handshake;
mod keys;
mod payload;
mod record;
mod resolver;
#[cfg(test)]
mod vectors;

pub use self::error::NoiseError;
pub use self::handshake::{Handshake, HandshakeConfig, MAX_HANDSHAKE_MESSAGE_BYTES, Secured};
pub use self::keys::NoiseKeys;
pub use self::payload::{
    MAX_CERTHASHES, MAX_MUXER_LIST_BYTES, MAX_MUXERS, MAX_PAYLOAD_BYTES, PayloadError,
};
pub use self::record::{
    MAX_PLAINTEXT_BYTES, MAX_RECORD_BYTES, Opener, RecordError, Sealer, TAG_BYTES,
};

/// The id of this protocol in multistream-select.
pub const NOISE_PROTOCOL: &str = "/noise";
