//! [`MessageId`]: by what copies of a message are told to be one, and how it is computed.
//!
//! Specification: [pubsub, Message Identification](https://github.com/libp2p/specs/blob/master/pubsub/README.md#message-identification).
//! rust-libp2p and js-libp2p compute other ids by default; peers that share a topic must agree.

use std::sync::Arc;

use libp2p_identity::PeerId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::message::WireMessage;

/// The longest id, in bytes, that is sent or accepted. The default one takes 42 to 52.
pub const MAX_MESSAGE_ID_BYTES: usize = 256;

/// The id of a message: 1 to [`MAX_MESSAGE_ID_BYTES`] bytes, in memory of its own, so that one that
/// is kept pins no frame. Cloning shares it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(Arc<[u8]>);

/// Why bytes are no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MessageIdError {
    /// There are none.
    Empty,
    /// There are this many, more than [`MAX_MESSAGE_ID_BYTES`].
    TooLong(usize),
}

/// How the id of a message is computed: a pure function, the same at every peer of a topic. Here
/// are [`source_and_sequence`], the default, [`source_base58_and_sequence_decimal`], [`data_digest`]
/// and [`topic_and_data_digest`].
pub type MessageIdFn = fn(&WireMessage) -> MessageId;

impl MessageId {
    /// An id of these bytes, copied.
    ///
    /// # Errors
    ///
    /// When there are none, or too many.
    pub fn new(bytes: &[u8]) -> Result<Self, MessageIdError> {
        MessageId::check(bytes).map(|bytes| MessageId(bytes.into()))
    }

    /// `bytes`, if they are an id. Allocates nothing.
    ///
    /// # Errors
    ///
    /// When there are none, or too many.
    pub fn check(bytes: &[u8]) -> Result<&[u8], MessageIdError> {
        match bytes.len() {
            0 => Err(MessageIdError::Empty),
            1..=MAX_MESSAGE_ID_BYTES => Ok(bytes),
            length => Err(MessageIdError::TooLong(length)),
        }
    }

    /// The SHA-256 of `parts`, one after the other: 32 bytes.
    pub fn digest(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        parts.iter().for_each(|part| hash.update(part));
        MessageId(hash.finalize().as_slice().into())
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The specification's default: the author, then the sequence number, as they are in the message.
/// Of a message with neither, and of one where both together are too long to be an id, it is
/// [`topic_and_data_digest`].
pub fn source_and_sequence(message: &WireMessage) -> MessageId {
    let from = message.from.as_deref().unwrap_or_default();
    let seqno = message.seqno.as_deref().unwrap_or_default();
    let length = from.len().saturating_add(seqno.len());
    if length == 0 || length > MAX_MESSAGE_ID_BYTES {
        return topic_and_data_digest(message);
    }
    MessageId(from.iter().chain(seqno).copied().collect())
}

/// rust-libp2p's default: the author in base58, then the sequence number in decimal digits. For topics
/// whose peers are mostly of its kind. Without an author there is the peer id of one zero byte, as
/// there, and without a sequence number zero.
pub fn source_base58_and_sequence_decimal(message: &WireMessage) -> MessageId {
    /// An identity multihash of one zero byte.
    const NOBODY: [u8; 3] = [0, 1, 0];
    let source = message.source().ok().flatten();
    let author = source.or_else(|| PeerId::from_bytes(&NOBODY).ok()).map(|peer| peer.to_base58());
    let number = message.sequence_number().unwrap_or_default();
    // At most 58 characters of a peer id and 20 digits.
    MessageId(format!("{}{number}", author.unwrap_or_default()).into_bytes().into())
}

/// The SHA-256 of the data: the common choice where messages have no author. The same data in two
/// topics is one message.
pub fn data_digest(message: &WireMessage) -> MessageId {
    MessageId::digest(&[&message.data])
}

/// The SHA-256 of the topic's length (eight bytes, big endian), the topic, and the data: like
/// [`data_digest`], but each topic's messages are its own.
pub fn topic_and_data_digest(message: &WireMessage) -> MessageId {
    let topic = message.topic.as_str().as_bytes();
    MessageId::digest(&[&(topic.len() as u64).to_be_bytes(), topic, &message.data])
}

/// Lets a map keyed by `MessageId` be asked for bytes.
impl core::borrow::Borrow<[u8]> for MessageId {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

/// In hexadecimal.
impl core::fmt::Display for MessageId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl core::fmt::Debug for MessageId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "MessageId({self})")
    }
}

impl Serialize for MessageId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for MessageId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = bytes::Bytes::deserialize(deserializer)?;
        MessageId::new(&bytes).map_err(serde::de::Error::custom)
    }
}

impl core::fmt::Display for MessageIdError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            MessageIdError::Empty => f.write_str("message id is empty"),
            MessageIdError::TooLong(length) => {
                write!(f, "message id of {length} bytes, more than {MAX_MESSAGE_ID_BYTES}")
            }
        }
    }
}

impl core::error::Error for MessageIdError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gossip::message::MessageFields;
    use crate::gossip::topic::Topic;

    fn message(from: Option<&'static [u8]>, seqno: Option<&'static [u8]>) -> WireMessage {
        let mut fields = MessageFields::new(Topic::new("t").unwrap(), "data");
        fields.from = from.map(Into::into);
        fields.seqno = seqno.map(Into::into);
        fields.encode()
    }

    #[test]
    fn the_default_is_the_author_and_then_the_sequence_number() {
        let id = source_and_sequence(&message(Some(b"author"), Some(&[0, 0, 0, 0, 0, 0, 1, 2])));
        assert_eq!(id.as_bytes(), b"author\0\0\0\0\0\0\x01\x02");
        assert_eq!(source_and_sequence(&message(Some(b"a"), None)).as_bytes(), b"a");
        assert_eq!(source_and_sequence(&message(None, Some(b"s"))).as_bytes(), b"s");
    }

    #[test]
    fn rust_libp2ps_default_is_text() {
        // The peer id of the specification's example of an Ed25519 key.
        let text = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";
        let author: PeerId = text.parse().unwrap();
        let mut fields = MessageFields::new(Topic::new("t").unwrap(), "data");
        fields.from = Some(author.to_bytes().into());
        fields.seqno = Some(vec![0, 0, 0, 0, 0, 0, 1, 2].into());
        let id = source_base58_and_sequence_decimal(&fields.encode());
        assert_eq!(id.as_bytes(), format!("{text}258").as_bytes());
        let nobody = source_base58_and_sequence_decimal(&message(None, None));
        assert_eq!(nobody.as_bytes(), b"15R0");
    }

    #[test]
    fn messages_without_an_author_are_told_apart_by_content() {
        let nameless = message(None, None);
        assert_eq!(source_and_sequence(&nameless), topic_and_data_digest(&nameless));
        let empty = message(Some(b""), Some(b""));
        assert_eq!(source_and_sequence(&empty), topic_and_data_digest(&empty));
    }

    #[test]
    fn digests_are_those_of_sha_256() {
        // printf data | sha256sum
        let expected = "3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7";
        assert_eq!(data_digest(&message(None, None)).to_string(), expected);
        // The same data, and a data that begins with the end of the topic.
        let other = |topic: &str, data: &'static str| {
            topic_and_data_digest(&MessageFields::new(Topic::new(topic).unwrap(), data).encode())
        };
        assert_ne!(other("t", "data"), other("u", "data"));
        assert_ne!(other("t", "data"), other("td", "ata"));
        assert_eq!(other("t", "data"), topic_and_data_digest(&message(Some(b"a"), None)));
    }

    #[test]
    fn bounds_hold_at_both_ends_and_when_read() {
        assert_eq!(MessageId::new(&[]), Err(MessageIdError::Empty));
        assert_eq!(MessageId::new(&[0; 257]), Err(MessageIdError::TooLong(257)));
        let id = MessageId::new(&[7; 256]).unwrap();
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(serde_json::from_str::<MessageId>(&json).unwrap(), id);
        assert!(serde_json::from_str::<MessageId>("[]").is_err());
    }
}
