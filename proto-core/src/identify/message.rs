//! [`Message`]: what one side says of itself, as protobuf, within bounds.
//!
//! A message may come in several frames, which are merged as protobuf merges messages: of a single
//! field the last counts, repeated fields follow each other. go-libp2p sends its signed record in a
//! frame of its own once its message gets long. We send one frame, since rust-libp2p and js-libp2p
//! read no more.
//!
//! Specification: [identify, The Identify Message](https://github.com/libp2p/specs/blob/master/identify/README.md#the-identify-message).

use std::collections::BTreeSet;

use bytes::Bytes;
use libp2p_identity::PublicKey;
use multiaddr::Multiaddr;
use prost::Message as _;
use serde::{Deserialize, Serialize};

use crate::identity::{KeyError, decode_public_key};
use crate::protobuf::{Fields, Malformed, Value};
use crate::protocol::ProtocolId;
use crate::record::{MAX_ADDRESS_BYTES, MAX_ADDRESSES};

/// The longest message that is sent, in bytes: rust-libp2p reads no longer one.
pub const MAX_SENT_BYTES: usize = 4_096;

/// The longest frame that is received, in bytes, as in go-libp2p.
pub const MAX_FRAME_BYTES: u32 = 8 * 1024;

/// The most frames of one message, as in go-libp2p.
pub const MAX_FRAMES: usize = 10;

/// The longest text of a message, in bytes: protocol version, agent and protocols together.
pub const MAX_TEXT_BYTES: usize = 8 * 1024;

/// The most protocols of a message.
pub const MAX_PROTOCOLS: usize = 1_024;

/// What one side says of itself. Nobody has compared it with who is at the other end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The network that it takes part in.
    pub protocol_version: Option<String>,
    /// The program that it runs.
    pub agent: Option<String>,
    /// Its key.
    pub public_key: Option<PublicKey>,
    /// Where it listens, unsigned; at most [`MAX_ADDRESSES`], each once.
    pub addresses: Vec<Multiaddr>,
    /// How the reader's address looks from there.
    pub observed_address: Option<Multiaddr>,
    /// What it speaks; at most [`MAX_PROTOCOLS`], each once.
    pub protocols: Vec<ProtocolId>,
    /// The envelope of its signed record, neither decoded nor verified.
    pub signed_record: Option<Bytes>,
}

/// Why a message of a remote is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MessageError {
    /// It has more than [`MAX_FRAMES`]. How many.
    TooManyFrames(usize),
    /// A frame is longer than [`MAX_FRAME_BYTES`]. Its length, in bytes.
    FrameTooLong(usize),
    /// It is no protobuf message of the specification.
    Malformed,
    /// It has more than [`MAX_PROTOCOLS`]. How many.
    TooManyProtocols(usize),
    /// It has more than [`MAX_TEXT_BYTES`] of text. How many bytes.
    TooMuchText(usize),
    /// Its public key is not acceptable.
    PublicKey(KeyError),
}

/// `Identify` of the specification, with the signed record that it leaves out.
#[derive(Clone, PartialEq, prost::Message)]
struct Wire {
    #[prost(bytes = "vec", optional, tag = "1")]
    public_key: Option<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    listen_addrs: Vec<Vec<u8>>,
    #[prost(string, repeated, tag = "3")]
    protocols: Vec<String>,
    #[prost(bytes = "vec", optional, tag = "4")]
    observed_addr: Option<Vec<u8>>,
    #[prost(string, optional, tag = "5")]
    protocol_version: Option<String>,
    #[prost(string, optional, tag = "6")]
    agent_version: Option<String>,
    #[prost(bytes = "bytes", optional, tag = "8")]
    signed_peer_record: Option<Bytes>,
}

const PUBLIC_KEY: u32 = 1;
const LISTEN_ADDRS: u32 = 2;
const PROTOCOLS: u32 = 3;
const OBSERVED_ADDR: u32 = 4;
const PROTOCOL_VERSION: u32 = 5;
const AGENT_VERSION: u32 = 6;
const SIGNED_PEER_RECORD: u32 = 8;

impl Message {
    /// Decodes the frames of one message. Total; builds nothing before everything was counted.
    ///
    /// What one entry gets wrong does not spoil the others: an address or a protocol id that is
    /// not valid is skipped, and so is one that was there before; of the addresses the first
    /// [`MAX_ADDRESSES`] are looked at. A text that is not UTF-8, and a key, record or observed
    /// address without a byte, are as good as absent.
    pub fn decode(frames: &[Bytes]) -> Result<Message, MessageError> {
        let outline = Outline::of(frames)?;
        let public_key = match outline.public_key {
            Some(key) => Some(decode_public_key(key).map_err(MessageError::PublicKey)?),
            None => None,
        };
        let observed_address = outline.observed_address.and_then(address);
        let mut message = Message {
            protocol_version: outline.protocol_version.and_then(text),
            agent: outline.agent.and_then(text),
            public_key,
            addresses: Vec::new(),
            observed_address,
            protocols: Vec::new(),
            signed_record: outline.signed_record,
        };
        message.build_lists(frames)?;
        Ok(message)
    }

    fn build_lists(&mut self, frames: &[Bytes]) -> Result<(), MessageError> {
        let mut addresses = BTreeSet::new();
        let mut protocols = BTreeSet::new();
        let mut looked_at = 0;
        for field in frames.iter().flat_map(|frame| Fields::new(frame)) {
            match field.map_err(malformed)? {
                (LISTEN_ADDRS, Value::Bytes(bytes)) if looked_at < MAX_ADDRESSES => {
                    looked_at += 1;
                    if addresses.insert(bytes) {
                        self.addresses.extend(address(bytes));
                    }
                }
                (PROTOCOLS, Value::Bytes(bytes)) if protocols.insert(bytes) => {
                    self.protocols.extend(protocol(bytes));
                }
                (_, Value::Bytes(_) | Value::Varint(_) | Value::Fixed) => {}
            }
        }
        Ok(())
    }

    /// The encoding, of any length.
    pub fn encode(&self) -> Vec<u8> {
        self.wire().encode_to_vec()
    }

    /// The length of [`Message::encode`], in bytes.
    pub fn encoded_len(&self) -> usize {
        self.wire().encoded_len()
    }

    fn wire(&self) -> Wire {
        Wire {
            public_key: self.public_key.as_ref().map(PublicKey::encode_protobuf),
            listen_addrs: self.addresses.iter().map(Multiaddr::to_vec).collect(),
            protocols: self.protocols.iter().map(|id| id.as_str().to_owned()).collect(),
            observed_addr: self.observed_address.as_ref().map(Multiaddr::to_vec),
            protocol_version: self.protocol_version.clone(),
            agent_version: self.agent.clone(),
            signed_peer_record: self.signed_record.clone(),
        }
    }
}

/// What a walk over the frames finds without building anything: the single fields, of each the
/// last, and that the rest is within bounds.
#[derive(Default)]
struct Outline<'a> {
    public_key: Option<&'a [u8]>,
    observed_address: Option<&'a [u8]>,
    protocol_version: Option<&'a [u8]>,
    agent: Option<&'a [u8]>,
    signed_record: Option<Bytes>,
}

impl<'a> Outline<'a> {
    fn of(frames: &'a [Bytes]) -> Result<Self, MessageError> {
        if frames.len() > MAX_FRAMES {
            return Err(MessageError::TooManyFrames(frames.len()));
        }
        let mut outline = Outline::default();
        let (mut protocols, mut text_bytes) = (0, 0);
        for frame in frames {
            if frame.len() > MAX_FRAME_BYTES as usize {
                return Err(MessageError::FrameTooLong(frame.len()));
            }
            for field in Fields::new(frame) {
                match field.map_err(malformed)? {
                    (PUBLIC_KEY, Value::Bytes(key)) => outline.public_key = present(key),
                    (LISTEN_ADDRS, Value::Bytes(_)) => {}
                    (PROTOCOLS, Value::Bytes(id)) => {
                        protocols += 1;
                        text_bytes += id.len();
                    }
                    (OBSERVED_ADDR, Value::Bytes(address)) => {
                        outline.observed_address = present(address);
                    }
                    (PROTOCOL_VERSION, Value::Bytes(text)) => outline.protocol_version = Some(text),
                    (AGENT_VERSION, Value::Bytes(text)) => outline.agent = Some(text),
                    (SIGNED_PEER_RECORD, Value::Bytes(envelope)) => {
                        outline.signed_record =
                            present(envelope).map(|envelope| frame.slice_ref(envelope));
                    }
                    (PUBLIC_KEY..=AGENT_VERSION | SIGNED_PEER_RECORD, _) => {
                        return Err(MessageError::Malformed);
                    }
                    (_, Value::Bytes(_) | Value::Varint(_) | Value::Fixed) => {}
                }
            }
        }
        for text in [outline.protocol_version, outline.agent] {
            text_bytes += text.map_or(0, <[u8]>::len);
        }
        if protocols > MAX_PROTOCOLS {
            return Err(MessageError::TooManyProtocols(protocols));
        }
        if text_bytes > MAX_TEXT_BYTES {
            return Err(MessageError::TooMuchText(text_bytes));
        }
        Ok(outline)
    }
}

/// `bytes`, if there are any.
fn present(bytes: &[u8]) -> Option<&[u8]> {
    (!bytes.is_empty()).then_some(bytes)
}

fn text(bytes: &[u8]) -> Option<String> {
    core::str::from_utf8(bytes).ok().map(str::to_owned)
}

fn protocol(bytes: &[u8]) -> Option<ProtocolId> {
    ProtocolId::new(core::str::from_utf8(bytes).ok()?).ok()
}

fn address(bytes: &[u8]) -> Option<Multiaddr> {
    if bytes.is_empty() || bytes.len() > MAX_ADDRESS_BYTES {
        return None;
    }
    Multiaddr::try_from(bytes.to_vec()).ok()
}

fn malformed(Malformed: Malformed) -> MessageError {
    MessageError::Malformed
}

impl core::fmt::Display for MessageError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            MessageError::TooManyFrames(count) => {
                write!(f, "message of {count} frames, more than {MAX_FRAMES}")
            }
            MessageError::FrameTooLong(length) => {
                write!(f, "frame of {length} bytes, more than {MAX_FRAME_BYTES}")
            }
            MessageError::Malformed => f.write_str("malformed message"),
            MessageError::TooManyProtocols(count) => {
                write!(f, "message with {count} protocols, more than {MAX_PROTOCOLS}")
            }
            MessageError::TooMuchText(length) => {
                write!(f, "message with {length} bytes of text, more than {MAX_TEXT_BYTES}")
            }
            MessageError::PublicKey(error) => write!(f, "public key of a message: {error}"),
        }
    }
}

impl core::error::Error for MessageError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            MessageError::PublicKey(error) => Some(error),
            MessageError::TooManyFrames(_)
            | MessageError::FrameTooLong(_)
            | MessageError::Malformed
            | MessageError::TooManyProtocols(_)
            | MessageError::TooMuchText(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;
    use crate::rng::Seed;
    use proptest::prelude::*;

    fn id(text: &str) -> ProtocolId {
        ProtocolId::new(text).unwrap()
    }

    fn message() -> Message {
        Message {
            protocol_version: Some("/test/1.0.0".into()),
            agent: Some("test/0.1.0".into()),
            public_key: Some(Identity::ed25519(&Seed::from_u64(1)).public_key().clone()),
            addresses: ["/ip4/192.0.2.0/tcp/42", "/ip6/2001:db8::1/udp/4001/quic-v1"]
                .map(|text| text.parse().unwrap())
                .to_vec(),
            observed_address: Some("/ip4/198.51.100.7/tcp/9".parse().unwrap()),
            protocols: vec![id("/ipfs/id/1.0.0"), id("/ipfs/ping/1.0.0")],
            signed_record: Some(Bytes::from_static(b"not looked at")),
        }
    }

    fn decode(bytes: &[u8]) -> Result<Message, MessageError> {
        Message::decode(&[Bytes::copy_from_slice(bytes)])
    }

    fn wire(change: impl FnOnce(&mut Wire)) -> Vec<u8> {
        let mut wire = Wire::default();
        change(&mut wire);
        wire.encode_to_vec()
    }

    #[test]
    fn the_fields_have_the_numbers_of_the_specification() {
        let mut message = message();
        message.public_key = None;
        message.addresses = vec!["/tcp/1".parse().unwrap()];
        message.observed_address = Some("/tcp/2".parse().unwrap());
        message.protocols = vec![id("/a")];
        message.protocol_version = Some("v".into());
        message.agent = Some("w".into());
        message.signed_record = Some(Bytes::from_static(b"r"));
        assert_eq!(
            message.encode(),
            b"\x12\x03\x06\x00\x01\x1a\x02/a\x22\x03\x06\x00\x02\x2a\x01v\x32\x01w\x42\x01r"
        );
        assert_eq!(decode(&message.encode()), Ok(message));
    }

    #[test]
    fn nothing_said_is_a_message() {
        assert_eq!(Message::decode(&[]), Ok(Message::default()));
        assert_eq!(decode(&[]), Ok(Message::default()));
    }

    #[test]
    fn one_invalid_entry_does_not_spoil_the_rest() {
        let good: Multiaddr = "/ip4/192.0.2.0/tcp/42".parse().unwrap();
        let long = Multiaddr::from(multiaddr::Protocol::Dns("x".repeat(600).into()));
        let mut bytes = wire(|wire| {
            wire.listen_addrs =
                vec![vec![0xff, 0xff, 0x7f], vec![], long.to_vec(), good.to_vec(), good.to_vec()];
            wire.protocols = vec!["".into(), "/a\n".into(), "x".repeat(1_024), "/a".into()];
            wire.protocols.push("/a".into());
            wire.observed_addr = Some(vec![4, 1]);
            wire.public_key = Some(vec![]);
            wire.signed_peer_record = Some(Bytes::new());
        });
        // Not UTF-8: a protocol, and the agent.
        bytes.extend_from_slice(&[0x1a, 1, 0xff, 0x32, 1, 0xff]);
        let expected =
            Message { addresses: vec![good], protocols: vec![id("/a")], ..Message::default() };
        assert_eq!(decode(&bytes), Ok(expected));
    }

    #[test]
    fn identify_bloat_thousands_of_protocols_are_refused_before_they_are_built() {
        let most = wire(|wire| {
            wire.protocols = (0..MAX_PROTOCOLS).map(|n| format!("/{n}")).collect();
        });
        assert_eq!(decode(&most).unwrap().protocols.len(), MAX_PROTOCOLS);
        let one_more = [Bytes::from(most), Bytes::from_static(&[0x1a, 0])];
        let refused = MessageError::TooManyProtocols(MAX_PROTOCOLS + 1);
        assert_eq!(Message::decode(&one_more), Err(refused));
    }

    #[test]
    fn identify_bloat_text_is_bounded_over_all_frames() {
        let half = Bytes::from(wire(|wire| wire.protocols = vec!["p".repeat(1_000); 4]));
        let agent = |bytes| Bytes::from(wire(|wire| wire.agent_version = Some("a".repeat(bytes))));
        assert!(Message::decode(&[half.clone(), half.clone(), agent(192)]).is_ok());
        assert_eq!(
            Message::decode(&[half.clone(), half, agent(193)]),
            Err(MessageError::TooMuchText(MAX_TEXT_BYTES + 1))
        );
        // Of a text that is said again only the last counts.
        assert!(Message::decode(&[agent(8_000), agent(8_000)]).is_ok());
    }

    #[test]
    fn identify_bloat_only_so_many_addresses_are_looked_at() {
        let bytes = wire(|wire| {
            wire.listen_addrs = (0..400u16)
                .map(|port| Multiaddr::from(multiaddr::Protocol::Tcp(port)).to_vec())
                .collect();
        });
        let addresses = decode(&bytes).unwrap().addresses;
        assert_eq!(addresses.len(), MAX_ADDRESSES);
        assert_eq!(addresses[0], "/tcp/0".parse().unwrap());
    }

    #[test]
    fn frames_are_bounded_in_number_and_length() {
        assert!(Message::decode(&vec![Bytes::new(); MAX_FRAMES]).is_ok());
        assert_eq!(
            Message::decode(&vec![Bytes::new(); MAX_FRAMES + 1]),
            Err(MessageError::TooManyFrames(MAX_FRAMES + 1))
        );
        let longest = MAX_FRAME_BYTES as usize;
        assert_eq!(decode(&vec![0; longest + 1]), Err(MessageError::FrameTooLong(longest + 1)));
    }

    #[test]
    fn of_a_single_field_the_last_frame_counts() {
        let first = message();
        let last = Message {
            agent: Some("later/2".into()),
            addresses: vec!["/tcp/3".parse().unwrap()],
            ..Message::default()
        };
        let merged = Message::decode(&[first.encode().into(), last.encode().into()]).unwrap();
        assert_eq!(merged.agent, last.agent);
        assert_eq!(merged.protocol_version, first.protocol_version);
        assert_eq!(merged.addresses, [first.addresses, last.addresses].concat());
    }

    #[test]
    fn a_broken_message_or_key_is_refused() {
        for bytes in [&[0x12, 5, 1][..], &[0x18, 1], &[0x0d, 0, 0, 0, 0], &[0x0b]] {
            assert_eq!(decode(bytes), Err(MessageError::Malformed), "{bytes:?}");
        }
        // A field number that is not ours may have any wire type.
        assert!(decode(&[0x38, 1]).is_ok());
        let key = wire(|wire| wire.public_key = Some(vec![8, 1]));
        assert_eq!(decode(&key), Err(MessageError::PublicKey(KeyError::Malformed)));
    }

    prop_compose! {
        fn any_message()(
            protocol_version in prop::option::of("[ -~]{0,40}"),
            agent in prop::option::of("\\PC{0,40}"),
            key in prop::option::of(0u64..4),
            ports in prop::collection::btree_set(any::<u16>(), 0..40),
            observed in prop::option::of(any::<u16>()),
            protocols in prop::collection::btree_set("/[a-z]{1,20}", 0..40),
            record in prop::option::of(prop::collection::vec(any::<u8>(), 1..200)),
        ) -> Message {
            let port = |port| Multiaddr::from(multiaddr::Protocol::Tcp(port));
            let key_of = |seed| Identity::ed25519(&Seed::from_u64(seed)).public_key().clone();
            Message {
                protocol_version,
                agent,
                public_key: key.map(key_of),
                addresses: ports.into_iter().map(port).collect(),
                observed_address: observed.map(port),
                protocols: protocols.iter().map(|text| id(text)).collect(),
                signed_record: record.map(Bytes::from),
            }
        }
    }

    /// The encoding of each field of `message`, one after the other.
    fn fields(message: &[u8]) -> Vec<Vec<u8>> {
        let field = |field| match field {
            Ok((number, Value::Bytes(bytes))) => {
                let mut field = Vec::new();
                prost::encoding::bytes::encode(number, &bytes.to_vec(), &mut field);
                field
            }
            other => panic!("{other:?}"),
        };
        Fields::new(message).map(field).collect()
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes(message in any_message()) {
            prop_assert_eq!(message.encode().len(), message.encoded_len());
            prop_assert_eq!(decode(&message.encode()), Ok(message));
        }

        #[test]
        fn a_message_may_be_split_between_any_two_fields(
            message in any_message(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..9),
        ) {
            let bytes = message.encode();
            let fields = fields(&bytes);
            let mut cuts: Vec<usize> = cuts.iter().map(|at| at.index(fields.len() + 1)).collect();
            cuts.extend([0, fields.len()]);
            cuts.sort_unstable();
            let frames: Vec<Bytes> =
                cuts.windows(2).map(|cut| fields[cut[0]..cut[1]].concat().into()).collect();
            prop_assert_eq!(Message::decode(&frames), Ok(message));
        }

        #[test]
        fn decoding_is_total_and_bounded(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..12),
        ) {
            let frames: Vec<Bytes> = frames.into_iter().map(Bytes::from).collect();
            if let Ok(message) = Message::decode(&frames) {
                let length: usize = frames.iter().map(Bytes::len).sum();
                prop_assert!(message.encoded_len() <= length);
            }
        }
    }
}
