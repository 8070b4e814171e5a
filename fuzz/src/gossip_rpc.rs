//! The RPC of gossip: frames of anything that repeats, decoded, said again within arbitrary limits,
//! and decoded again.
//!
//! Where the counting allocator is installed, as in the target, decoding may allocate four times
//! the frame at most.

use arbitrary::{Arbitrary, Result, Unstructured};
use bytes::Bytes;
use sanspeer_core::gossip::rpc::MIN_SPLIT_BYTES;
use sanspeer_core::gossip::signature::{SIGNATURE_PREFIX, signing_input};
use sanspeer_core::gossip::{
    MessageIdFn, Outgoing, Rpc, RpcError, RpcLimits, SendLimits, SignatureCheck, SignaturePolicy,
    WireMessage, data_digest, publish_frame, source_and_sequence, topic_and_data_digest,
};
use sanspeer_core::mailbox::Frame;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region};

use crate::chunks::scaled;
use crate::script::{Operation, Script};

/// The first two settings are the limits of what is sent, in steps of 256 bytes; the third, if not
/// 0, is the limit of every count of what is accepted.
#[derive(Clone, Debug)]
pub struct Input(Script<Step>);

/// A part of a frame.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    kind: u8,
    a: u8,
    b: u8,
    c: u8,
}

/// A subscription to topic `a`, `b`, or with an odd `c` the end of it.
pub const SUBSCRIPTION: u8 = 0;
/// A message of topic `a`, `b`, with data of `c` bytes as [`scaled`] and all other fields.
pub const MESSAGE: u8 = 1;
/// A message of the fields that the bits of `a` say, each of `c` bytes as [`scaled`].
pub const PARTS: u8 = 2;
/// A GRAFT of topic `a`, `b`.
pub const GRAFT: u8 = 3;
/// A PRUNE of topic `a`, `b`, with `c % 16` peers, and a record of 256 bytes times `c / 16` each.
pub const PRUNE: u8 = 4;
/// An IHAVE of topic `a`, `b`, with `c` ids.
pub const IHAVE: u8 = 5;
/// An IWANT with `a` ids of `b` bytes as [`scaled`].
pub const IWANT: u8 = 6;
/// An IDONTWANT with `a` ids of `b` bytes as [`scaled`].
pub const IDONTWANT: u8 = 7;
/// Extensions, with the test extension if `a` is odd.
pub const EXTENSIONS: u8 = 8;
/// The message of the test extension.
pub const TEST_EXTENSION: u8 = 9;
/// All until here, `a` times again.
pub const AGAIN: u8 = 10;
/// The bytes `a`, `b`, `c` as they are.
pub const RAW: u8 = 11;
const KINDS: u8 = 12;

/// No frame is longer, in bytes.
const MAX_BYTES: usize = 2 * 1024 * 1024;

impl Step {
    /// The kind is one of [`SUBSCRIPTION`] to [`RAW`].
    pub const fn new(kind: u8, a: u8, b: u8, c: u8) -> Self {
        Step { kind, a, b, c }
    }

    /// A text of `a` times the character `b`, which need not be one.
    fn topic(self) -> Vec<u8> {
        vec![self.b; scaled(self.a)]
    }

    fn encoded(self) -> Vec<u8> {
        let Step { kind, a, b, c } = self;
        let control = |number, entry: &[u8]| field(3, &field(number, entry));
        let ids = |number: u32, count: u8, length: usize| -> Vec<u8> {
            (0..count).flat_map(|id| field(number, &vec![id; length])).collect()
        };
        match kind % KINDS {
            SUBSCRIPTION => field(1, &[vec![0x08, 1 - c % 2], field(2, &self.topic())].concat()),
            MESSAGE => {
                let source = [0, 36, 8, 1, 18, 32].into_iter().chain([c; 32]).collect::<Vec<_>>();
                let parts = [
                    field(1, &source),
                    field(2, &vec![c; scaled(c)]),
                    field(3, &[b; 8]),
                    field(4, &self.topic()),
                    field(5, &[c; 64]),
                ];
                field(2, &parts.concat())
            }
            PARTS => {
                let parts = (1..8).filter(|number| a >> number & 1 == 1);
                let parts: Vec<u8> =
                    parts.flat_map(|number| field(number, &vec![b; scaled(c)])).collect();
                field(2, &parts)
            }
            GRAFT => control(3, &field(1, &self.topic())),
            PRUNE => {
                let record = vec![c; usize::from(c / 16) * 256];
                let peer = [field(1, &[0, 2, b, c]), field(2, &record)].concat();
                let peers = field(2, &peer).repeat(usize::from(c % 16));
                control(4, &[field(1, &self.topic()), peers, vec![0x18, a % 128]].concat())
            }
            IHAVE => control(1, &[field(1, &self.topic()), ids(2, c, 40)].concat()),
            IWANT => control(2, &ids(1, a, scaled(b))),
            IDONTWANT => control(5, &ids(1, a, scaled(b))),
            EXTENSIONS => control(6, &[0x90, 0x91, 0xe2, 0x18, a % 2]),
            TEST_EXTENSION => field(6_492_434, b""),
            _ => vec![a, b, c],
        }
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

/// A length-delimited field.
fn field(number: u32, content: &[u8]) -> Vec<u8> {
    let mut field = Vec::new();
    prost::encoding::encode_key(number, prost::encoding::WireType::LengthDelimited, &mut field);
    prost::encoding::encode_varint(content.len() as u64, &mut field);
    field.extend_from_slice(content);
    field
}

/// Runs one input.
pub fn run(input: &Input) {
    let Input(Script { settings: [frame, control, most, _], operations }) = input;
    let mut bytes = Vec::new();
    for step in operations {
        let more = match step.kind % KINDS {
            AGAIN => bytes.repeat(usize::from(step.a).min(MAX_BYTES / bytes.len().max(1))),
            _ => step.encoded(),
        };
        if bytes.len() + more.len() <= MAX_BYTES {
            bytes.extend_from_slice(&more);
        }
    }
    let limits = accepted(*most);
    let frame_limit = usize::from(*frame) * 256;
    let send =
        SendLimits { max_frame_bytes: frame_limit, max_control_bytes: usize::from(*control) * 256 };
    // Shared already, so that sharing it is not what is counted.
    let bytes = Bytes::from_owner(bytes);
    match decode(&bytes, &limits) {
        Ok(rpc) => {
            within(&rpc, &limits);
            rpc.messages.iter().for_each(|message| look_at(&message));
            say_again(&rpc, &send);
        }
        Err(RpcError::TooLong(excess)) => assert_eq!(excess.found, bytes.len()),
        Err(RpcError::Malformed) => {}
        Err(
            RpcError::Messages(excess)
            | RpcError::Subscriptions(excess)
            | RpcError::ControlEntries(excess)
            | RpcError::Topics(excess)
            | RpcError::IdsPerEntry(excess)
            | RpcError::Ids(excess)
            | RpcError::PeersPerPrune(excess),
        ) => assert!(excess.found > excess.max),
    }
}

fn accepted(most: u8) -> RpcLimits {
    let defaults = RpcLimits::default();
    match usize::from(most) {
        0 => defaults,
        most => RpcLimits {
            max_messages: most,
            max_subscriptions: most,
            max_control_entries: most,
            max_topics: most,
            max_ids_per_entry: most,
            max_ids: most,
            max_peers_per_prune: most,
            ..defaults
        },
    }
}

fn decode(frame: &Bytes, limits: &RpcLimits) -> core::result::Result<Rpc, RpcError> {
    let region = Region::new(&INSTRUMENTED_SYSTEM);
    let decoded = Rpc::decode(frame, limits);
    let allocated = region.change().bytes_allocated;
    assert!(allocated <= 4 * frame.len(), "{allocated} bytes for {}", frame.len());
    decoded
}

fn within(rpc: &Rpc, limits: &RpcLimits) {
    let control = &rpc.control;
    assert_eq!(rpc.subscriptions.iter().count(), rpc.subscriptions.len());
    assert_eq!(rpc.messages.iter().count(), rpc.messages.len());
    assert_eq!(control.graft.iter().count(), control.graft.len());
    assert_eq!(control.prune.iter().count(), control.prune.len());
    assert_eq!(control.ihave.iter().count(), control.ihave.len());
    for ids in [&control.iwant, &control.idontwant] {
        assert_eq!(ids.iter().count(), ids.len());
        assert!(ids.iter().map(|id| id.as_bytes().to_vec()).eq(ids.slices()));
        assert!(ids.len() <= limits.max_ids);
    }
    for entry in &control.ihave {
        assert_eq!(entry.ids.iter().count(), entry.ids.len());
        assert!(entry.ids.len() <= limits.max_ids_per_entry);
    }
    for entry in &control.prune {
        assert_eq!(entry.peers.iter().count(), entry.peers.len());
        assert!(entry.peers.len() <= limits.max_peers_per_prune);
    }
    assert!(rpc.subscriptions.len() <= limits.max_subscriptions);
    assert!(rpc.messages.len() <= limits.max_messages);
    let entries = control.graft.len() + control.prune.len() + control.ihave.len();
    assert!(entries <= limits.max_control_entries);
}

/// What is done with a message before anybody believes it.
fn look_at(message: &WireMessage) {
    const IDS: [MessageIdFn; 3] = [source_and_sequence, data_digest, topic_and_data_digest];
    let kept = message.clone().into_kept();
    assert_eq!(kept.encoded, message.encoded);
    assert_eq!(kept.held_bytes(), message.kept_bytes());
    assert!(kept.held_bytes() <= 2 * kept.encoded.len());
    for id in IDS {
        assert_eq!(id(&kept), id(message));
    }
    assert!(signing_input(message).starts_with(SIGNATURE_PREFIX));
    let signed = SignaturePolicy::StrictSign.check_fields(message);
    let prepared = SignatureCheck::of(message);
    assert!(signed.is_ok() || prepared.is_err());
    if signed.is_ok() {
        assert!(SignaturePolicy::StrictNoSign.check_fields(message).is_err());
        assert!(SignaturePolicy::Anonymous.check_fields(message).is_err());
    }
}

fn joined(frame: &Frame) -> Bytes {
    Bytes::from_owner([&frame.head[..], &frame.body[..]].concat())
}

/// What was understood, said again.
fn say_again(rpc: &Rpc, limits: &SendLimits) {
    for message in &rpc.messages {
        let frame = joined(&publish_frame(&message));
        if frame.len() > RpcLimits::default().max_frame_bytes {
            continue;
        }
        let again = decode(&frame, &RpcLimits::default()).expect("one message");
        let encoded: Vec<Bytes> = again.messages.iter().map(|message| message.encoded).collect();
        assert_eq!(encoded, [message.encoded]);
    }
    let outgoing = rpc.to_outgoing();
    let most = limits.max_frame_bytes.min(limits.max_control_bytes).max(MIN_SPLIT_BYTES);
    let mut all = Outgoing::default();
    for frame in outgoing.frames(limits) {
        assert!(frame.len() <= most, "{} bytes, {most} allowed", frame.len());
        let part = decode(&joined(&frame), &RpcLimits::default()).expect("within our own limits");
        assert_eq!(part.invalid, 0);
        let mut part = part.to_outgoing();
        all.subscriptions.append(&mut part.subscriptions);
        all.control.ihave.append(&mut part.control.ihave);
        all.control.iwant.append(&mut part.control.iwant);
        all.control.graft.append(&mut part.control.graft);
        all.control.prune.append(&mut part.control.prune);
        all.control.idontwant.append(&mut part.control.idontwant);
        all.control.extensions = all.control.extensions.or(part.control.extensions);
        all.test_extension |= part.test_extension;
    }
    assert_eq!(merged(all), merged(outgoing));
}

/// `outgoing` with what splitting may do undone: neighbours of a topic in one, and no empty entry.
fn merged(mut outgoing: Outgoing) -> Outgoing {
    let control = &mut outgoing.control;
    control.ihave.retain(|entry| !entry.ids.is_empty());
    control.ihave.dedup_by(|next, before| {
        let same = next.topic == before.topic;
        if same {
            before.ids.append(&mut next.ids);
        }
        same
    });
    control.prune.dedup_by(|next, before| {
        let same = next.topic == before.topic && next.backoff_secs == before.backoff_secs;
        if same {
            before.peers.append(&mut next.peers);
        }
        same
    });
    outgoing
}

/// Inputs to begin with, each with its name.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let encode =
        |settings, steps: &[Step]| Script { settings, operations: steps.to_vec() }.encode();
    let everything = [
        Step::new(EXTENSIONS, 1, 0, 0),
        Step::new(SUBSCRIPTION, 4, b't', 0),
        Step::new(SUBSCRIPTION, 5, b'u', 1),
        Step::new(MESSAGE, 4, b't', 20),
        Step::new(GRAFT, 4, b't', 0),
        Step::new(PRUNE, 4, b't', 0x23),
        Step::new(IHAVE, 4, b't', 5),
        Step::new(IWANT, 3, 20, 0),
        Step::new(IDONTWANT, 2, 20, 0),
        Step::new(TEST_EXTENSION, 0, 0, 0),
    ];
    let split = [
        Step::new(SUBSCRIPTION, 132, b's', 0),
        Step::new(AGAIN, 12, 0, 0),
        Step::new(IHAVE, 10, b't', 250),
        Step::new(IHAVE, 10, b't', 250),
        Step::new(PRUNE, 10, b'p', 0xff),
        Step::new(PRUNE, 10, b'p', 0xff),
    ];
    let invalid = [
        Step::new(SUBSCRIPTION, 0, 0, 0),
        Step::new(GRAFT, 255, b'g', 0),
        Step::new(GRAFT, 3, 0xff, 0),
        Step::new(IWANT, 3, 0, 0),
        Step::new(IWANT, 3, 130, 0),
        Step::new(PARTS, 0b1_1110, b'p', 129),
        Step::new(PARTS, 0b1001_0010, b'p', 3),
    ];
    let empty = [Step::new(RAW, 0x0a, 0x00, 0x12), Step::new(RAW, 0x00, 0x1a, 0x00)];
    let flood: Vec<Step> = empty
        .into_iter()
        .chain([Step::new(AGAIN, 255, 0, 0), Step::new(AGAIN, 20, 0, 0)])
        .collect();
    let broken = [Step::new(GRAFT, 4, b't', 0), Step::new(RAW, 0x1a, 0x7f, 0)];
    vec![
        ("everything_once", encode([0, 0, 0, 0], &everything)),
        ("split_into_several", encode([40, 64, 0, 0], &split)),
        ("items_that_are_not_valid", encode([0, 0, 0, 0], &invalid)),
        ("a_flood_of_empty_fields", encode([0, 0, 0, 0], &flood)),
        ("over_small_limits", encode([0, 0, 2, 0], &split)),
        ("a_broken_frame", encode([0, 0, 0, 0], &broken)),
    ]
}
