//! Who wrote a message: [`Author`] signs, [`SignaturePolicy`] says what is accepted, and
//! [`SignatureCheck`] is what there is to verify.
//!
//! A check takes two steps. [`SignaturePolicy::check_fields`] looks at which fields are there, for
//! next to nothing. [`SignatureCheck::of`] prepares the work for a CPU, here or elsewhere
//! ([`crate::mailbox::ToConnection::Verify`]), which is only worth it for a message that was not
//! seen before.
//!
//! Specification: [pubsub, Message Signing](https://github.com/libp2p/specs/blob/master/pubsub/README.md#message-signing).
//! It leaves out the signature alone of what is signed. go-libp2p and rust-libp2p leave out the key
//! as well, and so do we.

use bytes::{BufMut, Bytes, BytesMut};
use libp2p_identity::PeerId;
use prost::encoding::{WireType, encode_key, encode_varint};
use serde::{Deserialize, Serialize};

use super::message::{MessageFields, RawMessage, WireMessage};
use super::rpc::wire;
use super::topic::Topic;
use crate::identity::{Identity, KeyError, KeyKind, decode_public_key};
use crate::protobuf::Fields;

/// What is signed begins so.
pub const SIGNATURE_PREFIX: &[u8] = b"libp2p-pubsub:";

/// What we say of the author of our messages, and what we want of others'. Whatever a message says
/// beyond its policy refuses it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SignaturePolicy {
    /// Every message has an author, a sequence number of eight bytes and a signature that holds.
    #[default]
    StrictSign,
    /// No message has an author, a sequence number, a signature or a key.
    StrictNoSign,
    /// We say nothing of ourselves, as with `StrictNoSign`. Others may name an author and a
    /// sequence number, as go-libp2p does unless told otherwise: nothing proves them, so nobody is
    /// told who it is. Signatures and keys are refused.
    Anonymous,
}

/// Why the fields of a message are not those of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FieldsError {
    /// There is no author.
    NoSource,
    /// The author is no peer id.
    Source,
    /// There is no sequence number.
    NoSequenceNumber,
    /// The sequence number has this many bytes, and not eight.
    SequenceNumber(usize),
    /// There is no signature.
    NoSignature,
    /// There is an author, where there must be none.
    UnexpectedSource,
    /// There is a sequence number, where there must be none.
    UnexpectedSequenceNumber,
    /// There is a signature, where there must be none.
    UnexpectedSignature,
    /// There is a key, where there must be none.
    UnexpectedKey,
}

/// Why a signed message is forged, or cannot be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignatureError {
    /// It lacks what is verified.
    Fields(FieldsError),
    /// There is no key, and the peer id of the author does not contain it.
    NoKey,
    /// The key is not acceptable.
    Key(KeyError),
    /// The key is not the author's.
    OtherKey,
    /// The author's key did not sign it.
    Signature,
}

/// Why a message could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignError {
    /// The key could not sign. Only RSA can fail so.
    Signing(KeyKind),
}

/// A signature to be verified. Plain bytes, so that it can go to where there is time for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureCheck {
    /// The author's key, as protobuf. If it came inside the peer id it is not decoded yet.
    pub public_key: Bytes,
    /// What was signed.
    pub message: Bytes,
    /// The signature.
    pub signature: Bytes,
}

/// Makes our messages. Each has the next sequence number.
#[derive(Clone, Debug)]
pub struct Author {
    identity: Identity,
    source: Bytes,
    /// The key, unless it is inside the peer id.
    key: Option<Bytes>,
    next: u64,
}

impl SignaturePolicy {
    /// Whether messages are signed, and signatures verified.
    pub fn signs(self) -> bool {
        match self {
            SignaturePolicy::StrictSign => true,
            SignaturePolicy::StrictNoSign | SignaturePolicy::Anonymous => false,
        }
    }

    /// Looks at which fields a message has. Computes nothing.
    ///
    /// # Errors
    ///
    /// When one is missing, not valid, or there against the policy.
    pub fn check_fields(self, message: &WireMessage) -> Result<(), FieldsError> {
        match self {
            SignaturePolicy::StrictSign => signed_source(message).map(|_| ()),
            SignaturePolicy::StrictNoSign => match (&message.from, &message.seqno) {
                (Some(_), _) => Err(FieldsError::UnexpectedSource),
                (None, Some(_)) => Err(FieldsError::UnexpectedSequenceNumber),
                (None, None) => unsigned(message),
            },
            SignaturePolicy::Anonymous => unsigned(message),
        }
    }
}

/// The author of a message that has all that `StrictSign` wants.
fn signed_source(message: &WireMessage) -> Result<PeerId, FieldsError> {
    if message.from.is_none() {
        return Err(FieldsError::NoSource);
    }
    let source = message.source().ok().flatten().ok_or(FieldsError::Source)?;
    match &message.seqno {
        None => return Err(FieldsError::NoSequenceNumber),
        Some(seqno) if seqno.len() != 8 => return Err(FieldsError::SequenceNumber(seqno.len())),
        Some(_) => {}
    }
    match &message.signature {
        Some(signature) if !signature.is_empty() => Ok(source),
        Some(_) | None => Err(FieldsError::NoSignature),
    }
}

fn unsigned(message: &WireMessage) -> Result<(), FieldsError> {
    match (&message.signature, &message.key) {
        (Some(_), _) => Err(FieldsError::UnexpectedSignature),
        (None, Some(_)) => Err(FieldsError::UnexpectedKey),
        (None, None) => Ok(()),
    }
}

impl SignatureCheck {
    /// What there is to verify of a message: the key, which is the one that the message brings or
    /// else the one inside its author's peer id, what was signed, and the signature. A key that is
    /// brought is decoded and compared with the author.
    ///
    /// # Errors
    ///
    /// When a field is missing, or the key is missing, not valid or another's.
    pub fn of(message: &WireMessage) -> Result<SignatureCheck, SignatureError> {
        let source = signed_source(message).map_err(SignatureError::Fields)?;
        let public_key = match &message.key {
            Some(key) => {
                let decoded = decode_public_key(key).map_err(SignatureError::Key)?;
                if decoded.to_peer_id() != source {
                    return Err(SignatureError::OtherKey);
                }
                key.clone()
            }
            None => inlined_key(message, source).ok_or(SignatureError::NoKey)?,
        };
        let signature = message.signature.clone().unwrap_or_default();
        Ok(SignatureCheck { public_key, message: signing_input(message), signature })
    }

    /// Verifies it: microseconds for most keys, more for RSA.
    ///
    /// # Errors
    ///
    /// When the key is not valid or did not sign it.
    pub fn verify(&self) -> Result<(), SignatureError> {
        let key = decode_public_key(&self.public_key).map_err(SignatureError::Key)?;
        match key.verify(&self.message, &self.signature) {
            true => Ok(()),
            false => Err(SignatureError::Signature),
        }
    }
}

/// The multihash code of a peer id that contains the key (peer-ids, Peer Ids).
const IDENTITY_CODE: u64 = 0;

/// The key inside of the author's peer id, if there is one: a slice of the message.
fn inlined_key(message: &WireMessage, source: PeerId) -> Option<Bytes> {
    let multihash = source.as_ref();
    if multihash.code() != IDENTITY_CODE {
        return None;
    }
    // The peer id was parsed from these bytes, so its digest is their end.
    let from = message.from.as_ref()?;
    Some(from.slice(from.len().checked_sub(multihash.digest().len())?..))
}

/// What the author of a message signs: [`SIGNATURE_PREFIX`], then the message without signature
/// and key, its fields in the order of their numbers, those that the specification does not know
/// behind them as they came.
///
/// A field that occurs several times is there once, as whoever decodes the message has it.
pub fn signing_input(message: &WireMessage) -> Bytes {
    let raw = RawMessage::read(&message.encoded).unwrap_or_default();
    let mut signed =
        BytesMut::with_capacity(SIGNATURE_PREFIX.len().saturating_add(message.encoded.len()));
    signed.put_slice(SIGNATURE_PREFIX);
    let topic = message.topic.as_str().as_bytes();
    let fields = [
        (wire::FROM, raw.from),
        (wire::DATA, raw.data),
        (wire::SEQNO, raw.seqno),
        (wire::TOPIC, Some(topic)),
    ];
    for (number, content) in fields {
        if let Some(content) = content {
            encode_key(number, WireType::LengthDelimited, &mut signed);
            encode_varint(content.len() as u64, &mut signed);
            signed.put_slice(content);
        }
    }
    let mut fields = Fields::new(&message.encoded);
    loop {
        let before = fields.rest();
        let Some(Ok((number, _))) = fields.next() else { break };
        if !(wire::FROM..=wire::KEY).contains(&number) {
            let length = before.len().saturating_sub(fields.rest().len());
            signed.put_slice(before.get(..length).unwrap_or_default());
        }
    }
    signed.freeze()
}

impl Author {
    /// An author whose first message has the sequence number `first`. It must be larger than any
    /// that this identity used before: Unix time in nanoseconds is, as others do it; where nobody
    /// knows the time, a random number with its highest bits 0.
    pub fn new(identity: Identity, first: u64) -> Self {
        let source = Bytes::from(identity.peer_id().to_bytes());
        let inlined = identity.peer_id().as_ref().code() == IDENTITY_CODE;
        let key = (!inlined).then(|| identity.public_key().encode_protobuf().into());
        Author { identity, source, key, next: first }
    }

    /// Who it is.
    pub fn peer_id(&self) -> PeerId {
        self.identity.peer_id()
    }

    /// The next message. Without signing under the policies that do not sign, and then without a
    /// sequence number.
    ///
    /// # Errors
    ///
    /// When the key cannot sign.
    pub fn message(
        &mut self,
        policy: SignaturePolicy,
        topic: Topic,
        data: impl Into<Bytes>,
    ) -> Result<WireMessage, SignError> {
        let mut fields = MessageFields::new(topic, data);
        if !policy.signs() {
            return Ok(fields.encode());
        }
        fields.from = Some(self.source.clone());
        fields.seqno = Some(Bytes::copy_from_slice(&self.next.to_be_bytes()));
        let input = signing_input(&fields.clone().encode());
        let keypair = self.identity.keypair();
        let signature =
            keypair.sign(&input).map_err(|_| SignError::Signing(KeyKind::of(keypair)))?;
        self.next = self.next.wrapping_add(1);
        fields.signature = Some(signature.into());
        fields.key = self.key.clone();
        Ok(fields.encode())
    }
}

impl core::fmt::Display for FieldsError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            FieldsError::NoSource => f.write_str("a message without an author"),
            FieldsError::Source => f.write_str("the author of a message is no peer id"),
            FieldsError::NoSequenceNumber => f.write_str("a message without a sequence number"),
            FieldsError::SequenceNumber(length) => {
                write!(f, "sequence number of {length} bytes instead of 8")
            }
            FieldsError::NoSignature => f.write_str("a message without a signature"),
            FieldsError::UnexpectedSource => f.write_str("a message with an author"),
            FieldsError::UnexpectedSequenceNumber => {
                f.write_str("a message with a sequence number")
            }
            FieldsError::UnexpectedSignature => f.write_str("a message with a signature"),
            FieldsError::UnexpectedKey => f.write_str("a message with a key"),
        }
    }
}

impl core::error::Error for FieldsError {}

impl core::fmt::Display for SignatureError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            SignatureError::Fields(error) => write!(f, "{error}"),
            SignatureError::NoKey => f.write_str("a message without its author's key"),
            SignatureError::Key(error) => write!(f, "key of a message: {error}"),
            SignatureError::OtherKey => f.write_str("the key of a message is not its author's"),
            SignatureError::Signature => f.write_str("the author of a message did not sign it"),
        }
    }
}

impl core::error::Error for SignatureError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            SignatureError::Fields(error) => Some(error),
            SignatureError::Key(error) => Some(error),
            SignatureError::NoKey | SignatureError::OtherKey | SignatureError::Signature => None,
        }
    }
}

impl core::fmt::Display for SignError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            SignError::Signing(kind) => write!(f, "the {kind} key could not sign"),
        }
    }
}

impl core::error::Error for SignError {}

#[cfg(test)]
mod tests;
