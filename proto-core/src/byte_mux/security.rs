//! The security protocols of a connection: which are offered, and the handshake of either.

use libp2p_identity::PeerId;

use super::records::{Opener, Sealer};
use crate::close::CloseReason;
use crate::identity::Identity;
use crate::mux::Role;
use crate::noise::{self, NOISE_PROTOCOL, NoiseError};
use crate::protocol::ProtocolId;
use crate::rng::Seed;
use crate::tls::{self, TLS_PROTOCOL, TlsError, TlsIdentity};

/// A security protocol, with who we are in it.
#[derive(Clone, Copy, Debug)]
pub enum Security<'a> {
    /// `/noise`.
    Noise(&'a Identity),
    /// `/tls/1.0.0`.
    Tls {
        /// The certificate of who we are.
        identity: &'a TlsIdentity,
        /// What time it is, in seconds since 1970-01-01 UTC: the remote's certificate must be
        /// valid.
        unix_seconds: u64,
    },
}

/// The same, kept until it is agreed on.
enum Credentials {
    Noise(Identity),
    Tls { identity: TlsIdentity, unix_seconds: u64 },
}

/// What the handshake of one connection begins with, whichever it will be.
pub(super) struct Offer {
    pub(super) role: Role,
    pub(super) seed: Seed,
    pub(super) expected_peer: Option<PeerId>,
    /// The muxers to offer early.
    pub(super) muxers: Vec<ProtocolId>,
    /// In order of preference. At most one of each protocol.
    credentials: Vec<Credentials>,
}

/// A handshake in progress.
pub(super) enum Handshake {
    Noise(Box<noise::Handshake>),
    Tls(Box<tls::Handshake>),
}

/// What is known after a handshake.
pub(super) struct Secured {
    pub(super) peer: PeerId,
    pub(super) sealer: Sealer,
    pub(super) opener: Opener,
    /// Whether the muxer was agreed on too.
    pub(super) has_muxer: bool,
}

impl Security<'_> {
    fn to_credentials(self) -> Credentials {
        match self {
            Security::Noise(identity) => Credentials::Noise(identity.clone()),
            Security::Tls { identity, unix_seconds } => {
                Credentials::Tls { identity: identity.clone(), unix_seconds }
            }
        }
    }
}

impl Credentials {
    fn protocol(&self) -> ProtocolId {
        ProtocolId::well_known(match self {
            Credentials::Noise(_) => NOISE_PROTOCOL,
            Credentials::Tls { .. } => TLS_PROTOCOL,
        })
    }
}

impl Offer {
    /// Offers these, the preferred first; the first of each protocol counts.
    pub(super) fn new(
        security: &[Security<'_>],
        role: Role,
        seed: Seed,
        expected_peer: Option<PeerId>,
        muxers: Vec<ProtocolId>,
    ) -> Self {
        let mut credentials: Vec<Credentials> = Vec::new();
        for new in security.iter().map(|security| security.to_credentials()) {
            if credentials.iter().all(|known| known.protocol() != new.protocol()) {
                credentials.push(new);
            }
        }
        Offer { role, seed, expected_peer, muxers, credentials }
    }

    /// The names of what is offered, in order of preference.
    pub(super) fn protocols(&self) -> Vec<ProtocolId> {
        self.credentials.iter().map(Credentials::protocol).collect()
    }

    /// Begins the handshake of `protocol`, if it is offered.
    pub(super) fn begin(&self, protocol: &ProtocolId) -> Option<Handshake> {
        let credentials = self.credentials.iter().find(|known| known.protocol() == *protocol)?;
        let (expected_peer, muxers) = (self.expected_peer, self.muxers.clone());
        Some(match credentials {
            Credentials::Noise(identity) => {
                let config = noise::HandshakeConfig { expected_peer, muxers };
                let handshake = noise::Handshake::new(self.role, identity, &self.seed, config);
                Handshake::Noise(Box::new(handshake))
            }
            Credentials::Tls { identity, unix_seconds } => {
                let unix_seconds = *unix_seconds;
                let config = tls::HandshakeConfig { expected_peer, muxers, unix_seconds };
                let handshake = tls::Handshake::new(self.role, identity, &self.seed, config);
                Handshake::Tls(Box::new(handshake))
            }
        })
    }
}

impl Handshake {
    /// Takes bytes of the remote and returns how many: none behind the last message. An error is
    /// final; what [`Handshake::transmit`] has then tells the remote.
    pub(super) fn handle(&mut self, input: &[u8]) -> Result<usize, CloseReason> {
        match self {
            Handshake::Noise(handshake) => handshake.handle(input).map_err(noise_reason),
            Handshake::Tls(handshake) => handshake.handle(input).map_err(tls_reason),
        }
    }

    /// Appends what is to be sent.
    pub(super) fn transmit(&mut self, out: &mut Vec<u8>) {
        match self {
            Handshake::Noise(handshake) => handshake.transmit(out),
            Handshake::Tls(handshake) => handshake.transmit(out),
        }
    }

    /// Whether every message was received and taken by [`Handshake::transmit`].
    pub(super) fn is_finished(&self) -> bool {
        match self {
            Handshake::Noise(handshake) => handshake.is_finished(),
            Handshake::Tls(handshake) => handshake.is_finished(),
        }
    }

    /// The keys and the remote, once [`Handshake::is_finished`].
    pub(super) fn finish(self) -> Result<Secured, CloseReason> {
        match self {
            Handshake::Noise(handshake) => {
                let secured = handshake.finish().map_err(noise_reason)?;
                Ok(Secured {
                    peer: secured.peer,
                    sealer: Sealer::Noise(secured.sealer),
                    opener: Opener::Noise(secured.opener),
                    has_muxer: secured.muxer.is_some(),
                })
            }
            Handshake::Tls(handshake) => {
                let secured = handshake.finish().map_err(tls_reason)?;
                Ok(Secured {
                    peer: secured.peer,
                    sealer: Sealer::Tls(Box::new(secured.sealer)),
                    opener: Opener::Tls(Box::new(secured.opener)),
                    has_muxer: secured.muxer.is_some(),
                })
            }
        }
    }
}

/// The wrong peer is a reason of its own.
fn noise_reason(error: NoiseError) -> CloseReason {
    if let NoiseError::WrongPeer { expected, found } = error {
        CloseReason::WrongPeer { expected, found }
    } else {
        CloseReason::Noise(error)
    }
}

/// The wrong peer is a reason of its own.
fn tls_reason(error: TlsError) -> CloseReason {
    if let TlsError::WrongPeer { expected, found } = error {
        CloseReason::WrongPeer { expected, found }
    } else {
        CloseReason::Tls(error)
    }
}
