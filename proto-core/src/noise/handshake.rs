//! [`Handshake`]: the three messages of Noise XX, and what both sides know after them.
//!
//! ```text
//! dialer                                              listener
//!   1  ── e ──────────────────────────────────────────▶
//!      ◀──────────────── e, ee, s, es, payload ──────  2
//!   3  ── s, se, payload ─────────────────────────────▶
//! ```
//!
//! Each message has a length of two bytes before it. A payload holds the sender's identity key,
//! its signature of the sender's Noise key, and, early, the multiplexers that the sender offers.
//! The dialer checks who the listener is before it sends message 3, which says who it is itself.
//!
//! Specification: [noise](https://github.com/libp2p/specs/blob/master/noise/README.md#the-noise-handshake).

use libp2p_identity::{PeerId, PublicKey};
use snow::params::{
    BaseChoice, CipherChoice, DHChoice, HandshakeChoice, HandshakeModifierList, HandshakePattern,
    HashChoice, NoiseParams,
};
use snow::{Builder, HandshakeState};

use super::error::NoiseError;
use super::keys;
use super::payload::{self, MAX_PAYLOAD_BYTES, PayloadError};
use super::record::{Opener, Sealer, TAG_BYTES};
use super::resolver::Resolver;
use crate::identity::{Identity, decode_public_key};
use crate::mux::Role;
use crate::protocol::ProtocolId;
use crate::rng::Seed;

/// The longest handshake message that is buffered, in bytes, without its length prefix: the
/// second, with the longest payload.
pub const MAX_HANDSHAKE_MESSAGE_BYTES: usize =
    KEY_BYTES + KEY_BYTES + TAG_BYTES + MAX_PAYLOAD_BYTES + TAG_BYTES;

const KEY_BYTES: usize = 32;
const LENGTH_BYTES: usize = 2;

/// What a handshake should reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandshakeConfig {
    /// Who the remote must be; `None` accepts anybody.
    pub expected_peer: Option<PeerId>,
    /// The multiplexers to offer early, the preferred first; empty offers none. What exceeds
    /// [`super::MAX_MUXERS`] or [`super::MAX_MUXER_LIST_BYTES`] is not offered.
    pub muxers: Vec<ProtocolId>,
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
    /// The hash of the whole handshake, the same on both sides and unique to this connection.
    pub handshake_hash: [u8; 32],
    /// The multiplexer that both sides take: the first in the dialer's offer that the listener
    /// offered too. `None` when one side offered none; multistream-select decides then.
    pub muxer: Option<ProtocolId>,
}

/// A Noise handshake in progress.
///
/// Bytes of the remote go into [`Handshake::handle`], bytes for it come from
/// [`Handshake::transmit`]; when [`Handshake::is_finished`], [`Handshake::finish`] gives the keys.
/// Holds at most one message of [`MAX_HANDSHAKE_MESSAGE_BYTES`] each way.
pub struct Handshake {
    noise: HandshakeState,
    role: Role,
    identity: Identity,
    config: HandshakeConfig,
    /// The message that the remote sends next.
    awaits: Option<Message>,
    /// A part of it, with its length prefix, when the transport delivered it in pieces.
    inbox: Vec<u8>,
    /// What is to be sent, with length prefixes.
    outbox: Vec<u8>,
    remote: Option<Remote>,
    failed: Option<NoiseError>,
}

/// The remote, once it has proved who it is.
struct Remote {
    peer: PeerId,
    public_key: PublicKey,
    muxer: Option<ProtocolId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    One,
    Two,
    Three,
}

impl Handshake {
    /// Starts a handshake. `seed` is this connection's: its child `noise` gives the ephemeral key,
    /// so no two connections may have the same.
    pub fn new(role: Role, identity: &Identity, seed: &Seed, config: HandshakeConfig) -> Self {
        let mut config = config;
        payload::limit(&mut config.muxers);
        let keys = identity.noise_keys();
        let resolver = Box::new(Resolver::new(seed.derive("noise", 0), keys));
        let noise = Builder::with_resolver(params(), resolver)
            .local_private_key(keys.secret())
            .and_then(|builder| match role {
                Role::Dialer => builder.build_initiator(),
                Role::Listener => builder.build_responder(),
            })
            .expect("the static key is all that XX needs, and the resolver has its primitives");
        let mut handshake = Handshake {
            noise,
            role,
            identity: identity.clone(),
            config,
            awaits: Some(Message::One),
            inbox: Vec::new(),
            outbox: Vec::new(),
            remote: None,
            failed: None,
        };
        match role {
            Role::Dialer => {
                handshake
                    .write(Message::One, &[])
                    .expect("the generator does not fail, and 32 bytes fit a message");
                handshake.awaits = Some(Message::Two);
            }
            Role::Listener => {}
        }
        handshake
    }

    /// Takes bytes of the remote, in pieces of any size, and returns how many it took. It never
    /// takes any after the last handshake message, since those are records.
    ///
    /// An error is final: the connection must be closed, and nothing more is to be sent.
    pub fn handle(&mut self, input: &[u8]) -> Result<usize, NoiseError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let taken = self.take_messages(input);
        if let Err(error) = &taken {
            self.failed = Some(error.clone());
            self.inbox = Vec::new();
            self.outbox = Vec::new();
        }
        taken
    }

    /// Appends what is to be sent to `out`. The dialer has its first message at once.
    pub fn transmit(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.outbox);
    }

    /// Whether every message was received, verified and taken by [`Handshake::transmit`].
    pub fn is_finished(&self) -> bool {
        self.remote.is_some() && self.awaits.is_none() && self.outbox.is_empty()
    }

    /// The keys and the remote, or [`NoiseError::Unfinished`] when not [`Handshake::is_finished`],
    /// or the error that the handshake failed with.
    pub fn finish(mut self) -> Result<Secured, NoiseError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let finished = self.is_finished();
        let Some(Remote { peer, public_key, muxer }) = self.remote.filter(|_| finished) else {
            return Err(NoiseError::Unfinished);
        };
        let mut handshake_hash = [0; 32];
        handshake_hash.copy_from_slice(self.noise.get_handshake_hash());
        // The first key is for what the initiator sends (Noise, 5.2, Split).
        let (from_dialer, from_listener) = self.noise.dangerously_get_raw_split();
        let (sealing, opening) = match self.role {
            Role::Dialer => (from_dialer, from_listener),
            Role::Listener => (from_listener, from_dialer),
        };
        Ok(Secured {
            peer,
            public_key,
            sealer: Sealer::new(sealing),
            opener: Opener::new(opening),
            handshake_hash,
            muxer,
        })
    }

    fn take_messages(&mut self, input: &[u8]) -> Result<usize, NoiseError> {
        let mut rest = input;
        while let Some(awaited) = self.awaits.filter(|_| !rest.is_empty()) {
            if self.inbox.is_empty() {
                // The usual case: a whole message, read where it lies.
                if let Some((prefix, after)) = rest.split_first_chunk() {
                    let length = message_length(awaited, *prefix)?;
                    if let Some((message, after)) = after.split_at_checked(length) {
                        self.receive(awaited, message)?;
                        rest = after;
                        continue;
                    }
                }
            }
            let missing = match self.inbox.first_chunk() {
                None => LENGTH_BYTES - self.inbox.len(),
                Some(prefix) => LENGTH_BYTES + message_length(awaited, *prefix)? - self.inbox.len(),
            };
            let (piece, after) = rest.split_at(missing.min(rest.len()));
            self.inbox.reserve_exact(missing);
            self.inbox.extend_from_slice(piece);
            rest = after;
            if piece.len() == missing && self.inbox.len() > LENGTH_BYTES {
                let message = core::mem::take(&mut self.inbox);
                self.receive(awaited, &message[LENGTH_BYTES..])?;
            }
        }
        Ok(input.len() - rest.len())
    }

    fn receive(&mut self, awaited: Message, message: &[u8]) -> Result<(), NoiseError> {
        // Also the error when our answer cannot be made: then a key in this message is at fault.
        let refused = NoiseError::Message { message: awaited.number() };
        let mut payload = vec![0; message.len()];
        let length = self.noise.read_message(message, &mut payload).map_err(|_| refused.clone())?;
        payload.truncate(length);
        match awaited {
            Message::One => {
                if length > 0 {
                    return Err(PayloadError::Unexpected(length).into());
                }
                self.write_payload(Message::Two).map_err(|_| refused)?;
                self.awaits = Some(Message::Three);
            }
            Message::Two => {
                self.remote = Some(self.verify(&payload)?);
                self.write_payload(Message::Three).map_err(|_| refused)?;
                self.awaits = None;
            }
            Message::Three => {
                self.remote = Some(self.verify(&payload)?);
                self.awaits = None;
            }
        }
        Ok(())
    }

    /// Who the remote is, and the multiplexer. What it offered counts only after its signature.
    fn verify(&self, payload: &[u8]) -> Result<Remote, NoiseError> {
        let payload = payload::decode(payload)?;
        let key = payload.identity_key.ok_or(PayloadError::NoIdentityKey)?;
        let signature = payload.identity_sig.ok_or(PayloadError::NoSignature)?;
        let public_key = decode_public_key(&key).map_err(NoiseError::IdentityKey)?;
        let signed = self
            .noise
            .get_remote_static()
            .and_then(|remote_static| remote_static.first_chunk())
            .is_some_and(|remote_static| keys::verify(&public_key, remote_static, &signature));
        if !signed {
            return Err(NoiseError::Signature);
        }
        let peer = public_key.to_peer_id();
        if let Some(expected) = self.config.expected_peer.filter(|expected| *expected != peer) {
            let (expected, found) = (Box::new(expected), Box::new(peer));
            return Err(NoiseError::WrongPeer { expected, found });
        }
        let theirs = payload.extensions.map(|extensions| extensions.stream_muxers);
        let muxer = self.choose_muxer(&theirs.unwrap_or_default())?;
        Ok(Remote { peer, public_key, muxer })
    }

    /// The first multiplexer of the dialer's offer that is in the listener's too. An offer that is
    /// missing or empty leaves the choice to multistream-select.
    fn choose_muxer(&self, theirs: &[String]) -> Result<Option<ProtocolId>, NoiseError> {
        let ours = &self.config.muxers;
        if ours.is_empty() || theirs.is_empty() {
            return Ok(None);
        }
        let common = match self.role {
            Role::Dialer => ours.iter().find(|our| theirs.iter().any(|id| id == our.as_str())),
            Role::Listener => {
                theirs.iter().find_map(|id| ours.iter().find(|our| our.as_str() == id))
            }
        };
        common.cloned().map(Some).ok_or(NoiseError::NoCommonMuxer)
    }

    fn write_payload(&mut self, message: Message) -> Result<(), snow::Error> {
        let payload = payload::encode(self.identity.noise_keys().payload(), &self.config.muxers);
        self.write(message, &payload)
    }

    fn write(&mut self, message: Message, payload: &[u8]) -> Result<(), snow::Error> {
        // `snow` wants room for a tag in the first message too, although it has none.
        let room = message.overhead() + payload.len() + TAG_BYTES;
        let start = self.outbox.len();
        self.outbox.resize(start + LENGTH_BYTES + room, 0);
        let (prefix, body) = self.outbox[start..].split_at_mut(LENGTH_BYTES);
        let length = self.noise.write_message(payload, body)?;
        let length_field = u16::try_from(length).map_err(|_| snow::Error::Input)?;
        prefix.copy_from_slice(&length_field.to_be_bytes());
        self.outbox.truncate(start + LENGTH_BYTES + length);
        Ok(())
    }
}

impl core::fmt::Debug for Handshake {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Handshake")
            .field("role", &self.role)
            .field("awaits", &self.awaits)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

impl Message {
    fn number(self) -> u8 {
        match self {
            Message::One => 1,
            Message::Two => 2,
            Message::Three => 3,
        }
    }

    /// What it has besides its payload and the payload's tag, in bytes.
    fn overhead(self) -> usize {
        match self {
            Message::One => KEY_BYTES,
            Message::Two => KEY_BYTES + KEY_BYTES + TAG_BYTES,
            Message::Three => KEY_BYTES + TAG_BYTES,
        }
    }

    /// The lengths that it can have, in bytes. A payload in the first is read, in order to name
    /// what is wrong with it.
    fn lengths(self) -> (usize, usize) {
        match self {
            Message::One => (KEY_BYTES, KEY_BYTES + MAX_PAYLOAD_BYTES),
            Message::Two | Message::Three => {
                let min = self.overhead() + TAG_BYTES;
                (min, min + MAX_PAYLOAD_BYTES)
            }
        }
    }
}

fn message_length(awaited: Message, prefix: [u8; LENGTH_BYTES]) -> Result<usize, NoiseError> {
    let length = usize::from(u16::from_be_bytes(prefix));
    let (min, max) = awaited.lengths();
    if (min..=max).contains(&length) {
        Ok(length)
    } else {
        Err(NoiseError::MessageLength { message: awaited.number(), length, min, max })
    }
}

/// `Noise_XX_25519_ChaChaPoly_SHA256`, without parsing it at each handshake.
pub(super) fn params() -> NoiseParams {
    NoiseParams::new(
        "Noise_XX_25519_ChaChaPoly_SHA256".to_owned(),
        BaseChoice::Noise,
        HandshakeChoice {
            pattern: HandshakePattern::XX,
            modifiers: HandshakeModifierList { list: Vec::new() },
        },
        DHChoice::Curve25519,
        CipherChoice::ChaChaPoly,
        HashChoice::SHA256,
    )
}
