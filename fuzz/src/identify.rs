//! Identify: its messages against what `prost` makes of them, and the machine against a node that
//! says anything at any time.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use arbitrary::{Arbitrary, Result, Unstructured};
use bytes::Bytes;
use prost::Message as _;
use sanspeer_core::identify::message::{
    MAX_FRAME_BYTES, MAX_FRAMES, MAX_PROTOCOLS, MAX_TEXT_BYTES,
};
use sanspeer_core::identify::{
    IDENTIFY, IDENTIFY_PUSH, Identify, IdentifyConfig, IdentifyEvent, Message,
};
use sanspeer_core::identity::Identity;
use sanspeer_core::mailbox::{OpenFailure, RequestId, StreamEnd};
use sanspeer_core::mux::{Role, StreamId};
use sanspeer_core::node::{ConnectionId, Protocol, ProtocolInput, ProtocolOutput, StreamRef};
use sanspeer_core::protocol::ProtocolId;
use sanspeer_core::record::{MAX_ADDRESSES, RecordFormat, SignedPeerRecord};
use sanspeer_core::rng::Seed;
use sanspeer_core::time::{Clock, Timestamp};

use crate::chunks::scaled;
use crate::script::{Operation, Script};

/// The first setting is even: the steps are fields of a message. Odd: inputs of a machine.
#[derive(Clone, Debug)]
pub struct Input(Script<Step>);

/// A field, or an input.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    kind: u8,
    a: u8,
    b: u8,
    c: u8,
}

impl Step {
    /// The kind is one of [`KEY`] to [`RAW`], or one of [`OPENED`] to [`TIME`].
    pub const fn new(kind: u8, a: u8, b: u8, c: u8) -> Self {
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

impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Script::arbitrary(u).map(Input)
    }
}

/// Runs one input.
pub fn run(input: &Input) {
    let Input(script) = input;
    if script.settings[0].is_multiple_of(2) {
        message(&script.operations);
    } else {
        assert_eq!(machine(&script.operations), machine(&script.operations), "not the same twice");
    }
}

// Messages.

/// The key of identity `a`, cut by `b` bytes.
pub const KEY: u8 = 0;
/// `b` addresses with ports from `c` on; with an odd `a`, of a kind that nobody has.
pub const ADDRESS: u8 = 1;
/// `b` protocols of `a` bytes as [`scaled`], of the character `c`.
pub const PROTOCOL: u8 = 2;
/// The observed address, with port `c`.
pub const OBSERVED: u8 = 3;
/// A protocol version of `a` bytes as [`scaled`].
pub const VERSION: u8 = 4;
/// An agent of `a` bytes as [`scaled`].
pub const AGENT: u8 = 5;
/// A record of the bytes `a` and `b`, or of none if `c` is 0.
pub const RECORD: u8 = 6;
/// What follows is in the next frame.
pub const FRAME: u8 = 7;
/// The bytes `a`, `b`, `c` as they are.
pub const RAW: u8 = 8;
const FIELD_KINDS: u8 = 9;

#[derive(Clone, PartialEq, prost::Message)]
struct Wire {
    #[prost(bytes = "vec", optional, tag = "1")]
    public_key: Option<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    listen_addrs: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "3")]
    protocols: Vec<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "4")]
    observed_addr: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "5")]
    protocol_version: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "6")]
    agent_version: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "8")]
    signed_peer_record: Option<Vec<u8>>,
}

fn field(step: &Step) -> Vec<u8> {
    let Step { kind, a, b, c } = *step;
    let count = usize::from(b);
    let mut wire = Wire::default();
    match kind % FIELD_KINDS {
        KEY => {
            let mut key = identity(a).public_key().encode_protobuf();
            key.truncate(key.len().saturating_sub(b.into()));
            wire.public_key = Some(key);
        }
        ADDRESS => {
            let code = if a & 1 == 0 { 6 } else { 0x7f };
            let port = |n: usize| (usize::from(c) + n) as u8;
            wire.listen_addrs = (0..count).map(|n| vec![code, 0, port(n)]).collect();
        }
        PROTOCOL => wire.protocols = vec![vec![c; scaled(a)]; count % 64],
        OBSERVED => wire.observed_addr = Some(vec![6, 0, c]),
        VERSION => wire.protocol_version = Some(vec![c; scaled(a)]),
        AGENT => wire.agent_version = Some(vec![c; scaled(a)]),
        RECORD => wire.signed_peer_record = Some(if c == 0 { vec![] } else { vec![a, b] }),
        _ => return vec![a, b, c],
    }
    wire.encode_to_vec()
}

fn message(steps: &[Step]) {
    let mut frames = vec![Vec::new()];
    let mut genuine = true;
    for step in steps {
        if step.kind % FIELD_KINDS == FRAME {
            frames.push(Vec::new());
        } else if frames.iter().map(Vec::len).sum::<usize>() < 256 * 1024 {
            genuine &= step.kind % FIELD_KINDS != RAW;
            frames.last_mut().expect("one at least").extend(field(step));
        }
    }
    let frames: Vec<Bytes> = frames.into_iter().map(Bytes::from).collect();
    let decoded = Message::decode(&frames);
    if let Ok(message) = &decoded {
        assert!(message.addresses.len() <= MAX_ADDRESSES);
        assert!(message.protocols.len() <= MAX_PROTOCOLS);
        assert!(message.encoded_len() <= frames.iter().map(Bytes::len).sum());
        let again: Vec<Bytes> =
            message.encode().chunks(MAX_FRAME_BYTES as usize).map(Bytes::copy_from_slice).collect();
        if again.len() <= 1 {
            assert_eq!(Message::decode(&again).as_ref(), Ok(message));
        }
    }
    if genuine {
        let mut wire = Wire::default();
        frames.iter().for_each(|frame| wire.merge(&frame[..]).expect("what prost encoded"));
        compare(&frames, &wire, decoded.ok());
    }
}

/// What must have come of `wire`.
fn compare(frames: &[Bytes], wire: &Wire, decoded: Option<Message>) {
    let length = |text: &Option<Vec<u8>>| text.as_ref().map_or(0, Vec::len);
    let text = wire.protocols.iter().map(Vec::len).sum::<usize>()
        + length(&wire.protocol_version)
        + length(&wire.agent_version);
    let keys: Vec<Vec<u8>> =
        (0..3).map(|number| identity(number).public_key().encode_protobuf()).collect();
    let key = wire.public_key.as_ref().filter(|key| !key.is_empty());
    let acceptable = frames.len() <= MAX_FRAMES
        && frames.iter().all(|frame| frame.len() <= MAX_FRAME_BYTES as usize)
        && wire.protocols.len() <= MAX_PROTOCOLS
        && text <= MAX_TEXT_BYTES
        && key.is_none_or(|key| keys.contains(key));
    assert_eq!(decoded.is_some(), acceptable, "{wire:?}");
    let Some(message) = decoded else { return };

    let mut seen = BTreeSet::new();
    let looked_at = wire.listen_addrs.iter().take(MAX_ADDRESSES);
    let addresses: Vec<&Vec<u8>> =
        looked_at.filter(|address| address[0] == 6 && seen.insert(*address)).collect();
    let found: Vec<Vec<u8>> = message.addresses.iter().map(|address| address.to_vec()).collect();
    assert_eq!(found.iter().collect::<Vec<_>>(), addresses);

    let mut seen = BTreeSet::new();
    let valid =
        |id: &&Vec<u8>| core::str::from_utf8(id).is_ok_and(|text| ProtocolId::new(text).is_ok());
    let ids = wire.protocols.iter().filter(valid).filter(|id| seen.insert(*id));
    let found: Vec<&[u8]> = message.protocols.iter().map(|id| id.as_str().as_bytes()).collect();
    assert_eq!(found, ids.map(Vec::as_slice).collect::<Vec<_>>());

    let utf8 = |text: &Option<Vec<u8>>| String::from_utf8(text.clone()?).ok();
    assert_eq!(message.protocol_version, utf8(&wire.protocol_version));
    assert_eq!(message.agent, utf8(&wire.agent_version));
    assert_eq!(message.observed_address.map(|address| address.to_vec()), wire.observed_addr);
    let record = wire.signed_peer_record.as_deref().filter(|record| !record.is_empty());
    assert_eq!(message.signed_record.as_deref(), record);
    assert_eq!(message.public_key.map(|key| key.encode_protobuf()).as_ref(), key);
}

// The machine.

/// Connection `a` to peer `b` opens.
pub const OPENED: u8 = 0;
/// Connection `a` closes.
pub const CLOSED: u8 = 1;
/// Request `c` is now stream `b` of connection `a`.
pub const STREAM: u8 = 2;
/// Request `c` failed, for the reason `a`.
pub const FAILED: u8 = 3;
/// The remote opens stream `b` of connection `a`; with an odd `c`, to push.
pub const INBOUND: u8 = 4;
/// A frame of kind `c` on stream `b` of connection `a`.
pub const CONTENT: u8 = 5;
/// Stream `b` of connection `a` is finished.
pub const FINISHED: u8 = 6;
/// Stream `b` of connection `a` is gone, for the reason `c`.
pub const GONE: u8 = 7;
/// We listen on port `b`, or, with an odd `a`, nowhere; with an odd `c` it is time `b`.
pub const OURS: u8 = 8;
/// `a` seconds and `b` milliseconds pass, and with an odd `c` the machine is told.
pub const TIME: u8 = 9;
const INPUT_KINDS: u8 = 10;

fn identity(number: u8) -> &'static Identity {
    static IDENTITIES: OnceLock<[Identity; 3]> = OnceLock::new();
    let made = || [0, 1, 2].map(|number| Identity::ed25519(&Seed::from_u64(number)));
    &IDENTITIES.get_or_init(made)[usize::from(number % 3)]
}

/// A message of a remote: of one, of another, of neither.
fn content(kind: u8) -> Vec<u8> {
    let speaks = [IDENTIFY, IDENTIFY_PUSH].map(|id| ProtocolId::new(id).expect("a valid id"));
    let mut message = Message {
        agent: Some(format!("a/{}", kind >> 4)),
        protocols: speaks[usize::from(kind >> 2 & 1)..].to_vec(),
        addresses: vec!["/tcp/1".parse().expect("an address")],
        observed_address: "/tcp/2".parse().ok(),
        ..Message::default()
    };
    match kind % 4 {
        0 => {}
        1 => message.public_key = Some(identity(kind >> 4).public_key().clone()),
        2 => {
            let (signer, seq) = (identity(kind >> 3), u64::from(kind >> 5));
            let addresses = message.addresses.clone();
            let record = SignedPeerRecord::sign(signer, RecordFormat::PeerRecord, seq, addresses);
            message.signed_record = Some(record.expect("an Ed25519 key signs").encode().into());
        }
        _ => return vec![kind; usize::from(kind) * 40],
    }
    message.encode()
}

/// Everything that came of the steps.
fn machine(steps: &[Step]) -> (Vec<ProtocolOutput>, Vec<IdentifyEvent>) {
    let mut identify = Identify::new(IdentifyConfig::default(), identity(0).clone());
    let mut peers = [None; 4];
    let (mut outputs, mut events) = (Vec::new(), Vec::new());
    let (mut now, mut clock) = (Timestamp::ZERO, Clock::default());
    for Step { kind, a, b, c } in steps.iter().copied() {
        let connection = ConnectionId(u64::from(a % 4));
        let stream = StreamRef { connection, stream: StreamId(u64::from(b % 16)) };
        let request = RequestId(u64::from(c));
        let peer = peers[usize::from(a % 4)].unwrap_or(identity(1).peer_id());
        let speaks = ProtocolId::new(if c & 1 == 0 { IDENTIFY } else { IDENTIFY_PUSH });
        let protocol = speaks.expect("a valid id");
        let input = match kind % INPUT_KINDS {
            OPENED => {
                let peer = identity(1 + b % 2).peer_id();
                peers[usize::from(a % 4)].get_or_insert(peer);
                let address = "/ip4/192.0.2.1/tcp/9".parse().expect("an address");
                let (role, first) = (Role::Listener, false);
                ProtocolInput::ConnectionOpened { peer, connection, role, address, first }
            }
            CLOSED => {
                peers[usize::from(a % 4)] = None;
                ProtocolInput::ConnectionClosed { peer, connection, last: false }
            }
            STREAM => ProtocolInput::StreamOpened { request, peer, stream, protocol },
            FAILED => {
                let failure = match a % 3 {
                    0 => OpenFailure::UnsupportedProtocol,
                    1 => OpenFailure::TimedOut,
                    _ => OpenFailure::Limit(1),
                };
                ProtocolInput::OpenFailed { request, peer, failure }
            }
            INBOUND => ProtocolInput::InboundStream { peer, stream, protocol },
            CONTENT => ProtocolInput::Frame { stream, frame: content(c).into() },
            FINISHED => ProtocolInput::StreamFinished(stream),
            GONE => {
                let end = match c % 3 {
                    0 => StreamEnd::Reset(1),
                    1 => StreamEnd::TruncatedFrame,
                    _ => StreamEnd::ConnectionClosed,
                };
                ProtocolInput::StreamClosed { stream, end }
            }
            OURS => {
                let listen = format!("/tcp/{b}").parse().expect("an address");
                identify.set_listen_addresses(now, if a & 1 == 0 { vec![listen] } else { vec![] });
                if c & 1 == 1 {
                    identify.set_unix_time(now, b.into());
                }
                ProtocolInput::DialFailed(peer)
            }
            _ => {
                let millis = u64::from(a) * 1_000 + u64::from(b);
                now = Timestamp(now.0.saturating_add(millis * 1_000_000));
                if a == 255 && b == 255 {
                    now = Timestamp::MAX;
                }
                if c & 1 == 0 {
                    continue;
                }
                ProtocolInput::Timeout
            }
        };
        clock.advance(now);
        let timeout = input == ProtocolInput::Timeout;
        identify.handle(now, input);
        outputs.extend(core::iter::from_fn(|| identify.poll()));
        events.extend(core::iter::from_fn(|| identify.poll_event()));
        let due = identify.poll_timeout().map(|deadline| deadline.at);
        assert!(!timeout || due.is_none_or(|at| at > clock.now()), "a deadline in the past");
        for peer in [1, 2].map(|number| identity(number).peer_id()) {
            assert!(peers.contains(&Some(peer)) || identify.info(&peer).is_none());
        }
    }
    assert!(outputs.len() <= steps.len() * 64, "{} outputs", outputs.len());
    (outputs, events)
}

/// Inputs to begin with, each with its name.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let encode = |mode, steps: &[Step]| {
        Script { settings: [mode, 0, 0, 0], operations: steps.to_vec() }.encode()
    };
    let whole = [
        Step::new(KEY, 1, 0, 0),
        Step::new(ADDRESS, 0, 3, 1),
        Step::new(PROTOCOL, 9, 2, b'p'),
        Step::new(OBSERVED, 0, 0, 7),
        Step::new(VERSION, 3, 0, b'v'),
        Step::new(AGENT, 4, 0, b'a'),
        Step::new(FRAME, 0, 0, 0),
        Step::new(RECORD, 1, 2, 3),
    ];
    let bloat = [
        Step::new(PROTOCOL, 1, 63, b'p'),
        Step::new(ADDRESS, 0, 200, 1),
        Step::new(FRAME, 0, 0, 0),
        Step::new(PROTOCOL, 150, 2, b'q'),
        Step::new(AGENT, 140, 0, 0xff),
    ];
    let broken = [Step::new(KEY, 1, 1, 0), Step::new(RAW, 0x12, 0x7f, 0)];
    let asked_and_pushed = [
        Step::new(OPENED, 0, 0, 0),
        Step::new(STREAM, 0, 1, 1),
        Step::new(CONTENT, 0, 1, 0),
        Step::new(FINISHED, 0, 1, 0),
        Step::new(INBOUND, 0, 2, 0),
        Step::new(OURS, 0, 80, 1),
        Step::new(TIME, 1, 0, 1),
        Step::new(STREAM, 0, 3, 2),
        Step::new(FINISHED, 0, 3, 0),
        Step::new(CLOSED, 0, 0, 0),
    ];
    let forged = [
        Step::new(OPENED, 0, 0, 0),
        Step::new(OPENED, 1, 0, 0),
        Step::new(INBOUND, 0, 2, 1),
        Step::new(CONTENT, 0, 2, 0x32),
        Step::new(FINISHED, 0, 2, 0),
        Step::new(STREAM, 1, 1, 2),
        Step::new(CONTENT, 1, 1, 0x21),
        Step::new(FINISHED, 1, 1, 0),
        Step::new(TIME, 60, 1, 1),
        Step::new(TIME, 255, 255, 1),
    ];
    vec![
        ("a_whole_message_in_two_frames", encode(0, &whole)),
        ("bloat", encode(0, &bloat)),
        ("a_broken_message", encode(0, &broken)),
        ("asked_and_pushed", encode(1, &asked_and_pushed)),
        ("forged_and_late", encode(1, &forged)),
    ]
}
