//! The Noise handshake with payloads and messages that the input makes.
//!
//! The payload decoder is private; it is reached through the public [`Handshake`], whose remote is
//! `snow` driven by hand, so that whatever payload the input says arrives encrypted and authentic.
//! Nothing is opened in the core for fuzzing, and what is fuzzed is what a remote can reach.

use std::sync::OnceLock;

use arbitrary::{Arbitrary, Result, Unstructured};
use prost::Message as _;
use sanspeer_core::identity::Identity;
use sanspeer_core::mux::Role;
use sanspeer_core::noise::{
    Handshake, HandshakeConfig, MAX_CERTHASHES, MAX_HANDSHAKE_MESSAGE_BYTES, MAX_MUXERS,
    MAX_PAYLOAD_BYTES, NoiseError, PayloadError,
};
use sanspeer_core::protocol::{MAX_PROTOCOL_ID_BYTES, ProtocolId};
use sanspeer_core::rng::Seed;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};

use crate::chunks::{Chunks, scaled};
use crate::script::{Operation, Script};

const REMOTE_STATIC: [u8; 32] = [5; 32];
const REMOTE_EPHEMERAL: [u8; 32] = [6; 32];
const LENGTH_BYTES: usize = 2;

/// `payload` bytes are encrypted as they are; `script` builds a payload or changes messages.
#[derive(Clone, Debug)]
pub struct Input {
    mode: Mode,
    role: Role,
    ours: Vec<ProtocolId>,
    theirs: Vec<ProtocolId>,
    chunks: Chunks,
    script: Script<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    /// A payload of fields goes through a genuine handshake.
    Payload,
    /// Genuine messages are changed on their way.
    Messages,
    /// The bytes of the operations, as they are, are all that comes.
    Raw,
}

/// A field of the payload, or a change of a message.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    kind: u8,
    a: u8,
    b: u8,
    c: u8,
}

impl Step {
    /// The kind is one of [`KEY`] to [`RAW`], or which message is changed how.
    pub fn new(kind: u8, a: u8, b: u8, c: u8) -> Self {
        Step { kind, a, b, c }
    }
}

impl Operation for Step {
    fn decode([kind, a, b, c]: [u8; 4]) -> Self {
        Step { kind, a, b, c }
    }

    fn encode(&self) -> [u8; 4] {
        [self.kind, self.a, self.b, self.c]
    }
}

/// The genuine identity key.
pub const KEY: u8 = 0;
/// Its genuine signature, or, if `a` is not 0, one with a byte changed.
pub const SIGNATURE: u8 = 1;
/// An extension with `a` (at most 31) multiplexers of length `b` as [`scaled`], or named by `b`.
pub const MUXERS: u8 = 2;
/// An extension with `a` certificate hashes of `b` bytes.
pub const CERTHASHES: u8 = 3;
/// An unknown field.
pub const UNKNOWN: u8 = 4;
/// The bytes `a`, `b`, `c` as they are.
pub const RAW: u8 = 5;
const KINDS: u8 = 6;

const MUXER_NAMES: [&str; 4] = ["/yamux/1.0.0", "/mplex/6.7.0", "/m", "/quic"];

impl<'a> Arbitrary<'a> for Input {
    /// The script's four settings: mode, role (bit 0), our offer and the remote's as masks of
    /// [`MUXER_NAMES`]; then chunks, then steps.
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let settings: [u8; 4] = u.arbitrary()?;
        let chunks = Chunks::arbitrary(u)?;
        let rest = u.bytes(u.len())?;
        let steps = [&settings[..], rest].concat();
        let script = Script::arbitrary(&mut Unstructured::new(&steps))?;
        let mode = match settings[0] % 3 {
            0 => Mode::Payload,
            1 => Mode::Messages,
            _ => Mode::Raw,
        };
        let role = if settings[1] & 1 == 0 { Role::Dialer } else { Role::Listener };
        let (ours, theirs) = (offer(settings[2]), offer(settings[3]));
        Ok(Input { mode, role, ours, theirs, chunks, script })
    }
}

fn offer(mask: u8) -> Vec<ProtocolId> {
    let chosen = MUXER_NAMES.iter().enumerate().filter(|(bit, _)| mask >> bit & 1 == 1);
    chosen.map(|(_, name)| ProtocolId::new(name).expect("a valid id")).collect()
}

/// Runs one input.
pub fn run(input: &Input) {
    match input.mode {
        Mode::Payload => payload_arrives(input),
        Mode::Messages => messages_are_changed(input),
        Mode::Raw => bytes_arrive(input),
    }
}

fn us() -> &'static Identity {
    static IDENTITY: OnceLock<Identity> = OnceLock::new();
    IDENTITY.get_or_init(|| Identity::ed25519(&Seed::from_u64(1)))
}

fn them() -> &'static Identity {
    static IDENTITY: OnceLock<Identity> = OnceLock::new();
    IDENTITY.get_or_init(|| Identity::ed25519(&Seed::from_u64(2)))
}

/// Their identity key and its signature of [`REMOTE_STATIC`].
fn credentials() -> &'static (Vec<u8>, Vec<u8>) {
    static CREDENTIALS: OnceLock<(Vec<u8>, Vec<u8>)> = OnceLock::new();
    CREDENTIALS.get_or_init(|| {
        let mut dh = DefaultResolver.resolve_dh(&DHChoice::Curve25519).expect("built in");
        dh.set(&REMOTE_STATIC);
        let signed = [b"noise-libp2p-static-key:", dh.pubkey()].concat();
        let signature = them().keypair().sign(&signed).expect("an Ed25519 key signs");
        (them().public_key().encode_protobuf(), signature)
    })
}

// Payloads.

#[derive(Clone, PartialEq, prost::Message)]
struct Payload {
    #[prost(bytes = "vec", optional, tag = "1")]
    identity_key: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "2")]
    identity_sig: Option<Vec<u8>>,
    #[prost(message, optional, tag = "4")]
    extensions: Option<Extensions>,
    /// Not of the specification.
    #[prost(uint64, optional, tag = "200")]
    unknown: Option<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Extensions {
    #[prost(bytes = "vec", repeated, tag = "1")]
    certhashes: Vec<Vec<u8>>,
    #[prost(string, repeated, tag = "2")]
    muxers: Vec<String>,
}

/// The payload as bytes and, unless the input wrote raw bytes into it, what it says.
fn build(steps: &[Step]) -> (Vec<u8>, Option<Payload>) {
    let (key, signature) = credentials();
    let mut bytes = Vec::new();
    let mut whole = Some(Payload::default());
    for step in steps {
        if bytes.len() > 2 * MAX_PAYLOAD_BYTES {
            break;
        }
        let mut part = Payload::default();
        let mut extensions = Extensions::default();
        match step.kind % KINDS {
            KEY => part.identity_key = Some(key.clone()),
            SIGNATURE => {
                let mut signature = signature.clone();
                let at = usize::from(step.b) % signature.len();
                signature[at] ^= step.a;
                part.identity_sig = Some(signature);
            }
            MUXERS => {
                let name = match MUXER_NAMES.get(usize::from(step.b)) {
                    Some(name) => (*name).to_owned(),
                    None => "m".repeat(scaled(step.b)),
                };
                extensions.muxers = vec![name; usize::from(step.a % 32)];
                part.extensions = Some(extensions);
            }
            CERTHASHES => {
                extensions.certhashes = vec![vec![step.c; step.b.into()]; step.a.into()];
                part.extensions = Some(extensions);
            }
            UNKNOWN => part.unknown = Some(u64::from_be_bytes([step.a; 8])),
            _ => {
                bytes.extend_from_slice(&[step.a, step.b, step.c]);
                whole = None;
                continue;
            }
        }
        let encoded = part.encode_to_vec();
        bytes.extend_from_slice(&encoded);
        if let Some(whole) = &mut whole {
            whole.merge(&encoded[..]).expect("what prost encoded");
        }
    }
    (bytes, whole)
}

/// What must come of a payload of `length` bytes: the multiplexer, or the error.
fn reference(
    input: &Input,
    payload: &Payload,
    length: usize,
) -> core::result::Result<Option<ProtocolId>, NoiseError> {
    let (key, signature) = credentials();
    if length > MAX_PAYLOAD_BYTES {
        let (message, overhead) = match input.role {
            Role::Dialer => (2, 32 + 32 + 16 + 16),
            Role::Listener => (3, 32 + 16 + 16),
        };
        return Err(NoiseError::MessageLength {
            message,
            length: length + overhead,
            min: overhead,
            max: MAX_PAYLOAD_BYTES + overhead,
        });
    }
    let extensions = payload.extensions.clone().unwrap_or_default();
    let longest = extensions.muxers.iter().map(String::len);
    if let Some(length) = longest.into_iter().find(|length| *length > MAX_PROTOCOL_ID_BYTES) {
        return Err(PayloadError::MuxerTooLong(length).into());
    }
    if extensions.muxers.len() > MAX_MUXERS {
        return Err(PayloadError::TooManyMuxers.into());
    }
    if extensions.certhashes.len() > MAX_CERTHASHES {
        return Err(PayloadError::TooManyCertHashes.into());
    }
    if payload.identity_key.is_none() {
        return Err(PayloadError::NoIdentityKey.into());
    }
    match &payload.identity_sig {
        None => return Err(PayloadError::NoSignature.into()),
        Some(found) if found != signature => return Err(NoiseError::Signature),
        Some(_) => assert_eq!(payload.identity_key.as_ref(), Some(key)),
    }
    let theirs: Vec<&str> = extensions.muxers.iter().map(String::as_str).collect();
    let ours: Vec<&str> = input.ours.iter().map(ProtocolId::as_str).collect();
    first_common(input.role, &ours, &theirs)
}

/// The first of the dialer's offer that is in the listener's, if both made one.
fn first_common(
    role: Role,
    ours: &[&str],
    theirs: &[&str],
) -> core::result::Result<Option<ProtocolId>, NoiseError> {
    if ours.is_empty() || theirs.is_empty() {
        return Ok(None);
    }
    let (dialer, listener) = match role {
        Role::Dialer => (ours, theirs),
        Role::Listener => (theirs, ours),
    };
    match dialer.iter().find(|name| listener.contains(name)) {
        Some(name) => Ok(Some(ProtocolId::new(name).expect("it is one of ours"))),
        None => Err(NoiseError::NoCommonMuxer),
    }
}

fn payload_arrives(input: &Input) {
    let (bytes, payload) = build(&input.script.operations);
    if bytes.len() > 32 * 1024 {
        return;
    }
    let found = match input.role {
        Role::Dialer => dial_snow(input, &bytes),
        Role::Listener => accept_snow(input, &bytes),
    };
    match payload {
        Some(payload) => assert_eq!(found, reference(input, &payload, bytes.len())),
        None => {
            let contains = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
            let (key, signature) = credentials();
            assert!(found.is_err() || contains(key) && contains(signature));
        }
    }
}

/// Our dialer against a listener of snow that sends `payload`.
fn dial_snow(
    input: &Input,
    payload: &[u8],
) -> core::result::Result<Option<ProtocolId>, NoiseError> {
    let mut remote = snow_builder().build_responder().expect("all that XX needs");
    let mut dialer = ours(input, Role::Dialer);
    let mut buffer = vec![0; 65_535];
    let first = sent(&mut dialer);
    remote.read_message(&first[LENGTH_BYTES..], &mut buffer).expect("our own message");
    let length = remote.write_message(payload, &mut buffer).expect("it fits");
    receive(&mut dialer, &framed(&buffer[..length]), input)?;
    let third = sent(&mut dialer);
    remote.read_message(&third[LENGTH_BYTES..], &mut buffer).expect("our own message");
    finish(dialer, remote.get_handshake_hash())
}

/// Our listener against a dialer of snow that sends `payload`.
fn accept_snow(
    input: &Input,
    payload: &[u8],
) -> core::result::Result<Option<ProtocolId>, NoiseError> {
    let mut remote = snow_builder().build_initiator().expect("all that XX needs");
    let mut listener = ours(input, Role::Listener);
    let mut buffer = vec![0; 65_535];
    let length = remote.write_message(&[], &mut buffer).expect("it fits");
    receive(&mut listener, &framed(&buffer[..length]), input).expect("a genuine first message");
    let second = sent(&mut listener);
    remote.read_message(&second[LENGTH_BYTES..], &mut buffer).expect("our own message");
    let length = remote.write_message(payload, &mut buffer).expect("it fits");
    receive(&mut listener, &framed(&buffer[..length]), input)?;
    finish(listener, remote.get_handshake_hash())
}

fn finish(
    handshake: Handshake,
    hash: &[u8],
) -> core::result::Result<Option<ProtocolId>, NoiseError> {
    assert!(handshake.is_finished());
    let secured = handshake.finish()?;
    assert_eq!(secured.peer, them().peer_id());
    assert_eq!(secured.handshake_hash, hash);
    Ok(secured.muxer)
}

// Messages.

fn messages_are_changed(input: &Input) {
    let mut dialer = ours(input, Role::Dialer);
    let config = HandshakeConfig { expected_peer: None, muxers: input.theirs.clone() };
    let mut listener = Handshake::new(Role::Listener, them(), &Seed::from_u64(4), config);

    let genuine = sent(&mut dialer);
    let (first, changed_first) = change(genuine.clone(), 0, &input.script.operations);
    // What follows the first message is the beginning of the third; behind the others are records.
    let extended_first = first != genuine;
    let _ = receive(&mut listener, &first, input);
    let (second, changed_second) = change(sent(&mut listener), 1, &input.script.operations);
    let dialled = receive(&mut dialer, &second, input);
    let (third, changed_third) = change(sent(&mut dialer), 2, &input.script.operations);
    let dialer_done = dialer.is_finished();
    if changed_first || changed_second {
        assert!(!dialer_done, "a changed message was taken for genuine");
    }
    let _ = receive(&mut listener, &third, input);
    let listener_done = listener.is_finished();
    if extended_first || changed_second || changed_third {
        assert!(!listener_done, "a changed message was taken for genuine");
        return;
    }
    let names = |ids: &[ProtocolId]| ids.iter().map(|id| id.to_string()).collect::<Vec<_>>();
    let (ours, theirs) = (names(&input.ours), names(&input.theirs));
    let ours: Vec<&str> = ours.iter().map(String::as_str).collect();
    let theirs: Vec<&str> = theirs.iter().map(String::as_str).collect();
    match first_common(Role::Dialer, &ours, &theirs) {
        Ok(muxer) => {
            let (dialer, listener) =
                (dialer.finish().expect("genuine"), listener.finish().expect("genuine"));
            assert_eq!(dialer.handshake_hash, listener.handshake_hash);
            assert_eq!((dialer.peer, listener.peer), (them().peer_id(), us().peer_id()));
            assert_eq!((&dialer.muxer, &listener.muxer), (&muxer, &muxer));
        }
        Err(error) => {
            assert_eq!(dialled, Err(error));
            assert!(!listener_done);
        }
    }
}

/// Applies the changes of message `number`. Whether the message itself, as opposed to what
/// follows it, is another one now.
fn change(message: Vec<u8>, number: u8, steps: &[Step]) -> (Vec<u8>, bool) {
    let mut changed = message.clone();
    for step in steps.iter().filter(|step| step.kind % 3 == number) {
        let at = usize::from(u16::from_be_bytes([step.b, step.c]));
        match step.kind / 3 % 6 {
            // One bit.
            0 | 1 => {
                if let Some(byte) = changed.get_mut(at) {
                    *byte ^= 1 << (step.a % 8);
                }
            }
            // A whole byte.
            2 => {
                if let Some(byte) = changed.get_mut(at) {
                    *byte = step.a;
                }
            }
            3 => changed.truncate(at),
            4 => changed.insert(at.min(changed.len()), step.a),
            _ => {
                let end = changed.len().min(at + usize::from(step.a));
                if at < end {
                    changed.drain(at..end);
                }
            }
        }
    }
    let is_changed = !changed.starts_with(&message);
    (changed, is_changed)
}

// Raw bytes.

fn bytes_arrive(input: &Input) {
    let bytes = input.script.operations.iter().flat_map(Step::encode).collect::<Vec<u8>>();
    for role in [Role::Dialer, Role::Listener] {
        let mut whole = ours(input, role);
        let mut cut = ours(input, role);
        sent(&mut whole);
        sent(&mut cut);
        let at_once = whole.handle(&bytes).map(|_| ());
        let in_pieces = receive(&mut cut, &bytes, input);
        assert_eq!(at_once, in_pieces, "the outcome depends on how bytes are cut");
        assert_eq!(sent(&mut whole), sent(&mut cut));
        assert!(!whole.is_finished() && !cut.is_finished(), "nobody signed anything");
        assert!(whole.finish().is_err());
    }
}

// Both.

fn ours(input: &Input, role: Role) -> Handshake {
    let config = HandshakeConfig { expected_peer: None, muxers: input.ours.clone() };
    Handshake::new(role, us(), &Seed::from_u64(3), config)
}

/// Gives `bytes` in pieces, for as long as any are taken.
fn receive(
    handshake: &mut Handshake,
    bytes: &[u8],
    input: &Input,
) -> core::result::Result<(), NoiseError> {
    let mut chunks = input.chunks.clone();
    let mut rest = bytes;
    while !rest.is_empty() {
        let piece = chunks.take(&mut rest);
        let taken = match handshake.handle(piece) {
            Ok(taken) => taken,
            Err(error) => {
                assert_eq!(handshake.handle(piece), Err(error.clone()), "an error is final");
                assert!(sent(handshake).is_empty(), "something was said after an error");
                return Err(error);
            }
        };
        assert!(taken <= piece.len());
        if taken < piece.len() {
            break;
        }
    }
    Ok(())
}

fn sent(from: &mut Handshake) -> Vec<u8> {
    let mut bytes = Vec::new();
    from.transmit(&mut bytes);
    assert!(bytes.len() <= LENGTH_BYTES + MAX_HANDSHAKE_MESSAGE_BYTES);
    bytes
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).expect("messages are shorter than 64 KiB");
    [&length.to_be_bytes()[..], message].concat()
}

struct Plain;

struct NoRandomness;

impl Random for NoRandomness {
    fn try_fill_bytes(&mut self, _: &mut [u8]) -> core::result::Result<(), snow::Error> {
        Err(snow::Error::Rng)
    }
}

impl CryptoResolver for Plain {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(NoRandomness))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        DefaultResolver.resolve_dh(choice)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

fn snow_builder() -> snow::Builder<'static> {
    let params = "Noise_XX_25519_ChaChaPoly_SHA256".parse().expect("a valid name");
    snow::Builder::with_resolver(params, Box::new(Plain))
        .local_private_key(&REMOTE_STATIC)
        .expect("set once")
        .fixed_ephemeral_key_for_testing_only(&REMOTE_EPHEMERAL)
}
