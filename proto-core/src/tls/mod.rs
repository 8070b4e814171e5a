//! TLS 1.3 as libp2p speaks it: each side shows a certificate of its own making, in which its
//! identity vouches for the certificate's key.
//!
//! In the order of data flow:
//! - [`TlsIdentity`]: the certificate of a node with its key, made once;
//! - [`verify`]: whose certificate one is, after every check;
//! - `engine`: rustls, with randomness from our seed; its types are named there only;
//! - [`Handshake`]: from the first byte to the keys;
//! - [`Sealer`] and [`Opener`]: the records that follow;
//! - `post_handshake`: the messages that may come between records of data.
//!
//! Tickets and resumption are off, and so is early data.
//!
//! ```
//! use sanspeer_core::identity::Identity;
//! use sanspeer_core::mux::Role;
//! use sanspeer_core::rng::Seed;
//! use sanspeer_core::tls::{HEADER_BYTES, Handshake, HandshakeConfig, Opened, TlsIdentity};
//!
//! let (alice, bob) = (Identity::ed25519(&Seed::from_u64(1)), Identity::ed25519(&Seed::from_u64(2)));
//! let alice = TlsIdentity::new(&alice, &Seed::from_u64(3))?;
//! let bob = TlsIdentity::new(&bob, &Seed::from_u64(4))?;
//!
//! let anybody = HandshakeConfig { unix_seconds: 1_800_000_000, ..Default::default() };
//! let config = HandshakeConfig { expected_peer: Some(bob.peer_id()), ..anybody.clone() };
//! let mut dialer = Handshake::new(Role::Dialer, &alice, &Seed::from_u64(5), config);
//! let mut listener = Handshake::new(Role::Listener, &bob, &Seed::from_u64(6), anybody);
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
//! dialer.sealer.seal(b"hello", &mut wire)?;
//! assert_eq!(listener.opener.open(&mut wire)?, Opened::Data(5));
//! assert_eq!(&wire[HEADER_BYTES..HEADER_BYTES + 5], b"hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Specifications: [tls](https://github.com/libp2p/specs/blob/master/tls/tls.md) and
//! [inlined muxer negotiation](https://github.com/libp2p/specs/blob/master/connections/inlined-muxer-negotiation.md).

mod certificate;
mod engine;
mod error;
mod handshake;
mod identity;
mod post_handshake;
mod record;

pub(crate) use self::engine::quic::{Outcome, QUIC_V1, Setup};

pub use self::certificate::{CertificateError, MAX_CERTIFICATE_BYTES, verify};
pub use self::error::TlsError;
pub use self::handshake::{Handshake, HandshakeConfig, MAX_HANDSHAKE_BYTES, MAX_MUXERS, Secured};
pub use self::identity::TlsIdentity;
pub use self::record::{
    HEADER_BYTES, MAX_PLAINTEXT_BYTES, MAX_RECORD_BYTES, Opened, Opener, RecordError, Sealer,
    TRAILER_BYTES, record_bytes,
};

/// The id of this protocol in multistream-select.
pub const TLS_PROTOCOL: &str = "/tls/1.0.0";
