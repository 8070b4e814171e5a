//! Records that prove who wrote them, whoever hands them on.
//!
//! - [`envelope`]: any payload with the key that signed it, and what it was signed for;
//! - [`peer_record`]: the addresses of a peer, with a sequence number, in such an envelope.

pub mod envelope;
pub mod peer_record;

pub use envelope::{EnvelopeError, MAX_ENVELOPE_BYTES, OpenError, SealError, SignedEnvelope};
pub use peer_record::{
    MAX_ADDRESS_BYTES, MAX_ADDRESSES, PeerRecord, PeerRecordError, RecordFormat, RecordSignError,
    SignedPeerRecord,
};
