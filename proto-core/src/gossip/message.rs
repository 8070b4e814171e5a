//! [`WireMessage`]: a message as peers pass it on. [`Message`]: what an application gets of it.
//!
//! Specification: [pubsub, The Message](https://github.com/libp2p/specs/blob/master/pubsub/README.md#the-message).

use bytes::Bytes;
use libp2p_identity::PeerId;
use prost::Message as _;
use serde::{Deserialize, Serialize};

use super::message_id::MessageId;
use super::rpc::wire;
use super::topic::{Topic, TopicError};
use crate::protobuf::{Fields, Malformed, Value};

/// The longest author that is looked at, in bytes. A peer id takes at most 44.
pub const MAX_FROM_BYTES: usize = 128;

/// The longest sequence number that is looked at, in bytes. The specification has 8.
pub const MAX_SEQNO_BYTES: usize = 64;

/// A message as it came or as it will go: the encoded `Message`, which is passed on unchanged, and
/// the fields in it, slices of the same buffer.
///
/// Its length is bounded by the frame that it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WireMessage {
    /// All of it.
    pub encoded: Bytes,
    /// Its author, if it names one: a peer id, not checked. At most [`MAX_FROM_BYTES`].
    pub from: Option<Bytes>,
    /// Its sequence number, if it has one; not checked. At most [`MAX_SEQNO_BYTES`].
    pub seqno: Option<Bytes>,
    /// Its topic.
    pub topic: Topic,
    /// What it says; empty if the field is absent.
    pub data: Bytes,
    /// The author's signature, if it has one; not checked.
    pub signature: Option<Bytes>,
    /// The author's key, if it has one; not checked.
    pub key: Option<Bytes>,
    /// Bytes of the buffer that the slices keep in memory.
    buffer_bytes: usize,
}

/// What a message is made of.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MessageFields {
    /// Its author.
    pub from: Option<Bytes>,
    /// Its sequence number.
    pub seqno: Option<Bytes>,
    /// Its topic.
    pub topic: Topic,
    /// What it says.
    pub data: Bytes,
    /// The author's signature.
    pub signature: Option<Bytes>,
    /// The author's key.
    pub key: Option<Bytes>,
}

/// A message as an application gets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// Who wrote it, if that is proven.
    pub source: Option<PeerId>,
    /// Its author's sequence number, if the author is proven.
    pub sequence_number: Option<u64>,
    /// Its topic.
    pub topic: Topic,
    /// What it says.
    pub data: Bytes,
}

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MessageError {
    /// It is no protobuf message of the specification.
    Malformed,
    /// Its topic is missing or not acceptable.
    Topic(TopicError),
    /// Its author takes more than [`MAX_FROM_BYTES`]. How many bytes.
    FromTooLong(usize),
    /// Its sequence number takes more than [`MAX_SEQNO_BYTES`]. How many bytes.
    SeqnoTooLong(usize),
    /// Its author is no peer id.
    Source,
}

impl MessageFields {
    /// A message of nothing but a topic and data.
    pub fn new(topic: Topic, data: impl Into<Bytes>) -> Self {
        let data = data.into();
        MessageFields { from: None, seqno: None, topic, data, signature: None, key: None }
    }

    /// The message, encoded with its fields in the order of their numbers. The data field is there
    /// even if it is empty, as rust-libp2p has it.
    pub fn encode(self) -> WireMessage {
        let wire = wire::Message {
            from: self.from,
            data: Some(self.data),
            seqno: self.seqno,
            topic: Some(Bytes::copy_from_slice(self.topic.as_str().as_bytes())),
            signature: self.signature,
            key: self.key,
        };
        let encoded = Bytes::from(wire.encode_to_vec());
        WireMessage::in_own_buffer(encoded, self.topic)
    }
}

/// The fields of an encoded message, as they are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RawMessage<'a> {
    pub(super) from: Option<&'a [u8]>,
    pub(super) data: Option<&'a [u8]>,
    pub(super) seqno: Option<&'a [u8]>,
    pub(super) topic: &'a [u8],
    pub(super) signature: Option<&'a [u8]>,
    pub(super) key: Option<&'a [u8]>,
}

impl<'a> RawMessage<'a> {
    /// Reads an encoded message; of a field that occurs more than once the last counts. Allocates
    /// nothing.
    pub(super) fn read(encoded: &'a [u8]) -> Result<Self, Malformed> {
        let mut raw = RawMessage::default();
        for field in Fields::new(encoded) {
            match field? {
                (wire::FROM, Value::Bytes(bytes)) => raw.from = Some(bytes),
                (wire::DATA, Value::Bytes(bytes)) => raw.data = Some(bytes),
                (wire::SEQNO, Value::Bytes(bytes)) => raw.seqno = Some(bytes),
                (wire::TOPIC, Value::Bytes(bytes)) => raw.topic = bytes,
                (wire::SIGNATURE, Value::Bytes(bytes)) => raw.signature = Some(bytes),
                (wire::KEY, Value::Bytes(bytes)) => raw.key = Some(bytes),
                (wire::FROM..=wire::KEY, Value::Varint(_) | Value::Fixed) => return Err(Malformed),
                (_, Value::Bytes(_) | Value::Varint(_) | Value::Fixed) => {}
            }
        }
        Ok(raw)
    }

    /// Whether it can be a [`WireMessage`]: the text of its topic. Allocates nothing.
    pub(super) fn check(&self) -> Result<&'a str, MessageError> {
        match (self.from, self.seqno) {
            (Some(from), _) if from.len() > MAX_FROM_BYTES => {
                Err(MessageError::FromTooLong(from.len()))
            }
            (_, Some(seqno)) if seqno.len() > MAX_SEQNO_BYTES => {
                Err(MessageError::SeqnoTooLong(seqno.len()))
            }
            (_, _) => Topic::check(self.topic).map_err(MessageError::Topic),
        }
    }
}

impl WireMessage {
    /// Reads an encoded message.
    ///
    /// # Errors
    ///
    /// When it is malformed, or a field is not within its bounds.
    pub fn decode(encoded: &Bytes) -> Result<Self, MessageError> {
        WireMessage::in_buffer(encoded, encoded.len())
    }

    /// Reads a message that is a part of a buffer of `buffer_bytes`.
    pub(super) fn in_buffer(encoded: &Bytes, buffer_bytes: usize) -> Result<Self, MessageError> {
        let raw = RawMessage::read(encoded).map_err(|Malformed| MessageError::Malformed)?;
        raw.check()?;
        let topic = Topic::from_bytes(raw.topic).map_err(MessageError::Topic)?;
        Ok(WireMessage::of(encoded, &raw, topic, buffer_bytes))
    }

    /// A message that was checked before, now in a buffer of its own.
    fn in_own_buffer(encoded: Bytes, topic: Topic) -> Self {
        let raw = RawMessage::read(&encoded).unwrap_or_default();
        WireMessage::of(&encoded, &raw, topic, encoded.len())
    }

    fn of(encoded: &Bytes, raw: &RawMessage<'_>, topic: Topic, buffer_bytes: usize) -> Self {
        let slice = |bytes: &[u8]| encoded.slice_ref(bytes);
        WireMessage {
            encoded: encoded.clone(),
            from: raw.from.map(slice),
            seqno: raw.seqno.map(slice),
            topic,
            data: raw.data.map(slice).unwrap_or_default(),
            signature: raw.signature.map(slice),
            key: raw.key.map(slice),
            buffer_bytes,
        }
    }

    /// The message for keeping: in a buffer of its own, if it would keep more than twice its own
    /// length in memory otherwise.
    #[must_use]
    pub fn into_kept(self) -> Self {
        if self.kept_bytes() == self.buffer_bytes {
            return self;
        }
        WireMessage::in_own_buffer(Bytes::copy_from_slice(&self.encoded), self.topic)
    }

    /// What [`WireMessage::held_bytes`] will be of [`WireMessage::into_kept`].
    pub fn kept_bytes(&self) -> usize {
        match self.encoded.len() {
            own if self.buffer_bytes > own.saturating_mul(2) => own,
            _ => self.buffer_bytes,
        }
    }

    /// Bytes that it keeps in memory: those of the buffer that it is a part of.
    pub fn held_bytes(&self) -> usize {
        self.buffer_bytes
    }

    /// Who it says wrote it. Only a signature proves it.
    ///
    /// # Errors
    ///
    /// When what it says is no peer id.
    pub fn source(&self) -> Result<Option<PeerId>, MessageError> {
        let source = self.from.as_deref().map(PeerId::from_bytes);
        source.transpose().map_err(|_| MessageError::Source)
    }

    /// Its sequence number, if it has one of eight bytes, as the specification wants it.
    pub fn sequence_number(&self) -> Option<u64> {
        self.seqno.as_deref()?.try_into().ok().map(u64::from_be_bytes)
    }
}

impl core::fmt::Display for MessageError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            MessageError::Malformed => f.write_str("malformed message"),
            MessageError::Topic(error) => write!(f, "message: {error}"),
            MessageError::FromTooLong(length) => {
                write!(f, "author of {length} bytes, more than {MAX_FROM_BYTES}")
            }
            MessageError::SeqnoTooLong(length) => {
                write!(f, "sequence number of {length} bytes, more than {MAX_SEQNO_BYTES}")
            }
            MessageError::Source => f.write_str("the author is no peer id"),
        }
    }
}

impl core::error::Error for MessageError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            MessageError::Topic(error) => Some(error),
            MessageError::Malformed
            | MessageError::FromTooLong(_)
            | MessageError::SeqnoTooLong(_)
            | MessageError::Source => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn topic() -> Topic {
        Topic::new("t").unwrap()
    }

    #[test]
    fn the_fields_are_slices_of_the_encoding() {
        let mut fields = MessageFields::new(topic(), "data");
        fields.from = Some(Bytes::from_static(b"from"));
        let message = fields.encode();
        let encoded = &message.encoded;
        for field in [&message.data, message.from.as_ref().unwrap()] {
            let (begin, end) = (encoded.as_ptr() as usize, field.as_ptr() as usize);
            assert!((begin..begin + encoded.len()).contains(&end));
        }
        assert_eq!(WireMessage::decode(encoded).as_ref(), Ok(&message));
        assert_eq!((message.held_bytes(), message.kept_bytes()), (encoded.len(), encoded.len()));
    }

    #[test]
    fn of_a_field_that_is_there_twice_the_last_counts_and_the_bytes_stay() {
        let bytes = Bytes::from_static(b"\x22\x01a\x12\x01x\x22\x01b\x12\x01y\x3a\x01?");
        let message = WireMessage::decode(&bytes).unwrap();
        assert_eq!((message.topic.as_str(), &message.data[..]), ("b", &b"y"[..]));
        assert_eq!(message.encoded, bytes);
        let empty = WireMessage::decode(&Bytes::from_static(b"\x22\x01a")).unwrap();
        assert_eq!((empty.data.len(), empty.from, empty.seqno), (0, None, None));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let refused = |bytes: &'static [u8]| WireMessage::decode(&Bytes::from_static(bytes));
        assert_eq!(refused(b"\x22"), Err(MessageError::Malformed));
        assert_eq!(refused(b"\x20\x01"), Err(MessageError::Malformed));
        assert_eq!(refused(b""), Err(MessageError::Topic(TopicError::Empty)));
        assert_eq!(refused(b"\x22\x01\xff"), Err(MessageError::Topic(TopicError::NotUtf8)));
        let mut fields = MessageFields::new(topic(), "");
        fields.from = Some(vec![0; 129].into());
        let from = WireMessage::decode(&fields.clone().encode().encoded);
        assert_eq!(from, Err(MessageError::FromTooLong(129)));
        (fields.from, fields.seqno) = (None, Some(vec![0; 65].into()));
        let seqno = WireMessage::decode(&fields.encode().encoded);
        assert_eq!(seqno, Err(MessageError::SeqnoTooLong(65)));
    }

    #[test]
    fn sources_and_sequence_numbers_are_read_if_they_are_such() {
        let peer = PeerId::from_bytes(&[0, 2, 8, 1]).unwrap();
        let mut fields = MessageFields::new(topic(), "");
        assert_eq!(fields.clone().encode().source(), Ok(None));
        fields.from = Some(peer.to_bytes().into());
        fields.seqno = Some(vec![0, 0, 0, 0, 0, 0, 1, 2].into());
        let message = fields.clone().encode();
        assert_eq!((message.source(), message.sequence_number()), (Ok(Some(peer)), Some(258)));
        (fields.from, fields.seqno) = (Some(vec![1].into()), Some(vec![1].into()));
        let message = fields.encode();
        assert_eq!(message.source(), Err(MessageError::Source));
        assert_eq!(message.sequence_number(), None);
    }

    #[test]
    fn what_is_kept_is_copied_out_of_a_much_larger_buffer_only() {
        let encoded = MessageFields::new(topic(), vec![7; 93]).encode().encoded;
        assert_eq!(encoded.len(), 98);
        for (buffer_bytes, kept_bytes) in [(98, 98), (196, 196), (197, 98), (1 << 20, 98)] {
            let message = WireMessage::in_buffer(&encoded, buffer_bytes).unwrap();
            assert_eq!((message.held_bytes(), message.kept_bytes()), (buffer_bytes, kept_bytes));
            let kept = message.clone().into_kept();
            assert_eq!(kept.held_bytes(), kept_bytes);
            assert_eq!((&kept.encoded, &kept.data), (&message.encoded, &message.data));
            let same = kept.encoded.as_ptr() == encoded.as_ptr();
            assert_eq!(same, buffer_bytes <= 196);
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes(
            from in prop::option::of(prop::collection::vec(any::<u8>(), 0..60)),
            seqno in prop::option::of(prop::collection::vec(any::<u8>(), 0..10)),
            name in "\\PC{1,40}",
            data in prop::collection::vec(any::<u8>(), 0..300),
            signature in prop::option::of(prop::collection::vec(any::<u8>(), 0..70)),
            key in prop::option::of(prop::collection::vec(any::<u8>(), 0..40)),
        ) {
            let mut fields = MessageFields::new(Topic::new(&name).unwrap(), data);
            fields.from = from.map(Bytes::from);
            fields.seqno = seqno.map(Bytes::from);
            fields.signature = signature.map(Bytes::from);
            fields.key = key.map(Bytes::from);
            let message = fields.clone().encode();
            prop_assert_eq!(WireMessage::decode(&message.encoded), Ok(message.clone()));
            prop_assert_eq!((message.from, message.seqno), (fields.from, fields.seqno));
            prop_assert_eq!((message.topic, message.data), (fields.topic, fields.data));
            prop_assert_eq!((message.signature, message.key), (fields.signature, fields.key));
        }

        #[test]
        fn decoding_is_total(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(message) = WireMessage::decode(&Bytes::from(bytes.clone())) {
                prop_assert_eq!(message.encoded, bytes);
            }
        }
    }
}
