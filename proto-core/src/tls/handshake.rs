//! [`Handshake`]: TLS 1.3 from the first byte to the keys of the records, and what both sides know
//! after it.
//!
//! Each side proves with its certificate who it is; the dialer checks the listener before it sends
//! its own. Which multiplexer both take is negotiated in the same messages.
//!
//! Specifications: [tls](https://github.com/libp2p/specs/blob/master/tls/tls.md#handshake-protocol) and
//! [inlined muxer negotiation](https://github.com/libp2p/specs/blob/master/connections/inlined-muxer-negotiation.md#multiplexer-negotiation-over-tls).

use libp2p_identity::{PeerId, PublicKey};

use super::certificate;
use super::engine::config::Terms;
use super::engine::negotiation::{Keys, Negotiation};
use super::error::TlsError;
use super::identity::TlsIdentity;
use super::record::{self, HEADER_BYTES, Opener, Sealer};
use crate::mux::Role;
use crate::protocol::ProtocolId;
use crate::rng::{Rng, Seed};

/// How many bytes of a remote are taken before the handshake is over. One with RSA keys of 8,192
/// bits takes about 6,000.
pub const MAX_HANDSHAKE_BYTES: usize = 32 * 1024;

/// How many multiplexers are offered.
pub const MAX_MUXERS: usize = 16;

/// The protocol that leaves the multiplexer to multistream-select. It is always offered, last.
const LIBP2P: &[u8] = b"libp2p";

/// The longest name of a protocol, in bytes (RFC 7301, section 3.1).
const MAX_NAME_BYTES: usize = 255;

/// What a handshake should reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandshakeConfig {
    /// Who the remote must be; `None` accepts anybody.
    pub expected_peer: Option<PeerId>,
    /// The multiplexers to offer early, the preferred first; empty offers none. What exceeds
    /// [`MAX_MUXERS`], or 255 bytes, is not offered.
    pub muxers: Vec<ProtocolId>,
    /// What time it is, in seconds since 1970-01-01 UTC: the remote's certificate must be valid.
    pub unix_seconds: u64,
}

/// What both sides know after a handshake.
#[derive(Debug)]
pub struct Secured {
    /// The remote's peer id, from [`Secured::public_key`].
    pub peer: PeerId,
    /// The key that the remote proved to hold.
    pub public_key: PublicKey,
    /// Encrypts what we send.
    pub sealer: Sealer,
    /// Decrypts what we receive.
    pub opener: Opener,
    /// The multiplexer that both sides take: the first of the listener's that the dialer offered
    /// too. (The specification would rather have the first of the dialer's; rustls cannot choose
    /// so, and among implementations that all prefer Yamux it is the same.) `None` when there is
    /// none; multistream-select decides then.
    pub muxer: Option<ProtocolId>,
}

/// A TLS handshake in progress.
///
/// Bytes of the remote go into [`Handshake::handle`], bytes for it come from
/// [`Handshake::transmit`]; when [`Handshake::is_finished`], [`Handshake::finish`] gives the keys.
/// Holds at most [`MAX_HANDSHAKE_BYTES`] of the remote's.
pub struct Handshake {
    role: Role,
    muxers: Vec<ProtocolId>,
    negotiation: Option<Negotiation>,
    rng: Rng,
    /// Records that are not dealt with yet, or not all of them. The last may be a part of one.
    inbox: Vec<u8>,
    /// How much of `inbox` is whole records, which have been seen.
    whole_bytes: usize,
    /// What is to be sent.
    outbox: Vec<u8>,
    received_bytes: usize,
    is_done: bool,
    failed: Option<TlsError>,
}

impl Handshake {
    /// Starts a handshake. `seed` is this connection's: everything random comes from its child
    /// `tls`, so no two connections may have the same.
    pub fn new(role: Role, identity: &TlsIdentity, seed: &Seed, config: HandshakeConfig) -> Self {
        let HandshakeConfig { expected_peer, mut muxers, unix_seconds } = config;
        muxers.retain(|muxer| (1..=MAX_NAME_BYTES).contains(&muxer.as_str().len()));
        muxers.truncate(MAX_MUXERS);
        let mut alpn: Vec<_> = muxers.iter().map(|muxer| muxer.as_str().into()).collect();
        alpn.push(LIBP2P.to_vec());
        let mut rng = seed.derive("tls", 0).rng();
        let terms = Terms { expected_peer, alpn, unix_seconds };
        let negotiation = Negotiation::new(role, identity.base(), terms, &mut rng);
        let mut handshake = Handshake {
            role,
            muxers,
            negotiation: None,
            rng,
            inbox: Vec::new(),
            whole_bytes: 0,
            outbox: Vec::new(),
            received_bytes: 0,
            is_done: false,
            failed: None,
        };
        let started = negotiation.and_then(|negotiation| {
            handshake.negotiation = Some(negotiation);
            handshake.process()
        });
        if let Err(error) = started {
            handshake.fail(error);
        }
        handshake
    }

    /// Takes bytes of the remote, in pieces of any size, and returns how many it took. It never
    /// takes any after the record that ends the handshake, since those are for [`Opener`].
    ///
    /// An error is final: once what [`Handshake::transmit`] has was sent, the connection must be
    /// closed.
    pub fn handle(&mut self, input: &[u8]) -> Result<usize, TlsError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let taken = self.take_records(input);
        if let Err(error) = &taken {
            self.fail(error.clone());
        }
        taken
    }

    /// Appends what is to be sent to `out`: the dialer has its first message at once, and one that
    /// failed may have an alert, which says why.
    pub fn transmit(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.outbox);
    }

    /// Whether every message was received, verified and taken by [`Handshake::transmit`].
    ///
    /// The dialer is finished when it has sent its certificate, before the listener can have
    /// verified it: a refusal comes as [`record::RecordError::Alert`] instead of data.
    pub fn is_finished(&self) -> bool {
        self.is_done && self.failed.is_none() && self.outbox.is_empty()
    }

    /// The keys and the remote, or [`TlsError::Unfinished`] when not [`Handshake::is_finished`],
    /// or the error that the handshake failed with.
    pub fn finish(self) -> Result<Secured, TlsError> {
        if !self.is_finished() {
            return Err(self.failed.unwrap_or(TlsError::Unfinished));
        }
        let negotiation = self.negotiation.ok_or(TlsError::Unfinished)?;
        let certificate = negotiation.certificate().ok_or(TlsError::NoCertificate)?;
        let public_key = certificate::identity_key(certificate)?;
        let muxer = negotiation
            .alpn()
            .and_then(|chosen| self.muxers.iter().find(|id| id.as_str().as_bytes() == chosen))
            .cloned();
        let Keys { sealing, opening, schedule } = negotiation.into_keys()?;
        let (sealer, opener) = record::split(self.role, sealing, opening, schedule);
        Ok(Secured { peer: public_key.to_peer_id(), public_key, sealer, opener, muxer })
    }

    /// Record by record, so that nothing behind the last one of the handshake is taken.
    fn take_records(&mut self, input: &[u8]) -> Result<usize, TlsError> {
        let mut rest = input;
        while !self.is_done && !rest.is_empty() {
            let begun = self.inbox.len() - self.whole_bytes;
            let missing = match self.inbox[self.whole_bytes..] {
                [_, _, _, high, low, ..] => {
                    HEADER_BYTES + usize::from(u16::from_be_bytes([high, low])) - begun
                }
                _ => HEADER_BYTES - begun,
            };
            let (piece, after) = rest.split_at(missing.min(rest.len()));
            self.received_bytes += piece.len();
            if self.received_bytes > MAX_HANDSHAKE_BYTES {
                return Err(TlsError::TooLong);
            }
            self.inbox.extend_from_slice(piece);
            rest = after;
            if let [_, _, _, high, low, ref content @ ..] = self.inbox[self.whole_bytes..]
                && content.len() == usize::from(u16::from_be_bytes([high, low]))
            {
                self.process()?;
            }
        }
        Ok(input.len() - rest.len())
    }

    /// Gives rustls the whole records that are there.
    fn process(&mut self) -> Result<(), TlsError> {
        let negotiation = self.negotiation.as_mut().ok_or(TlsError::Internal)?;
        self.is_done = negotiation.process(&mut self.inbox, &mut self.outbox, &mut self.rng)?;
        self.whole_bytes = self.inbox.len();
        if self.is_done {
            self.inbox = Vec::new();
        }
        Ok(())
    }

    fn fail(&mut self, error: TlsError) {
        self.failed = Some(error);
        self.negotiation = None;
        self.inbox = Vec::new();
        self.whole_bytes = 0;
    }
}

impl core::fmt::Debug for Handshake {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Handshake")
            .field("role", &self.role)
            .field("is_done", &self.is_done)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}
