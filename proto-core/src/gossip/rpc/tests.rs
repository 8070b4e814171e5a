use bytes::Bytes;
use libp2p_identity::PeerId;
use proptest::prelude::*;
use prost::Message as _;

use super::super::message::{MAX_FROM_BYTES, MAX_SEQNO_BYTES, MessageFields, WireMessage};
use super::super::message_id::{MAX_MESSAGE_ID_BYTES, MessageId};
use super::super::topic::{MAX_TOPIC_BYTES, Topic};
use super::*;
use crate::identity::Identity;
use crate::mailbox::Frame;
use crate::record::MAX_ENVELOPE_BYTES;
use crate::rng::Seed;

fn topic(text: &str) -> Topic {
    Topic::new(text).unwrap()
}

fn id(bytes: &[u8]) -> MessageId {
    MessageId::new(bytes).unwrap()
}

fn peer(number: u64) -> PeerId {
    Identity::ed25519(&Seed::from_u64(number)).peer_id()
}

fn decode(frame: impl Into<Bytes>) -> Result<Rpc, RpcError> {
    Rpc::decode(&frame.into(), &RpcLimits::default())
}

/// A frame in one piece.
fn joined(frame: &Frame) -> Bytes {
    [&frame.head[..], &frame.body[..]].concat().into()
}

fn control(change: impl FnOnce(&mut Control)) -> Outgoing {
    let mut outgoing = Outgoing::default();
    change(&mut outgoing.control);
    outgoing
}

/// The only frame of `outgoing`.
fn frame(outgoing: &Outgoing) -> Bytes {
    let frames = outgoing.frames(&SendLimits::default());
    assert_eq!(frames.len(), 1, "{outgoing:?}");
    joined(&frames[0])
}

fn wire(change: impl FnOnce(&mut wire::Rpc)) -> Bytes {
    let mut rpc = wire::Rpc::default();
    change(&mut rpc);
    rpc.encode_to_vec().into()
}

// The bytes of the specification, each written down by hand.

#[test]
fn a_subscription_is_field_1_with_a_flag_and_a_topic() {
    let outgoing = Outgoing {
        subscriptions: vec![(true, topic("ab")), (false, topic("c"))],
        ..Outgoing::default()
    };
    let bytes = b"\x0a\x06\x08\x01\x12\x02ab\x0a\x05\x08\x00\x12\x01c";
    assert_eq!(frame(&outgoing), &bytes[..]);
    let rpc = decode(&bytes[..]).unwrap();
    assert_eq!(rpc.to_outgoing(), outgoing);
    assert_eq!((rpc.subscriptions.len(), rpc.invalid), (2, 0));
}

#[test]
fn a_message_is_field_2_and_its_bytes_are_shared() {
    let mut fields = MessageFields::new(topic("t"), "hi");
    fields.from = Some(Bytes::from_static(b"F"));
    fields.seqno = Some(Bytes::from_static(b"\0\0\0\0\0\0\0\x01"));
    fields.signature = Some(Bytes::from_static(b"S"));
    fields.key = Some(Bytes::from_static(b"K"));
    let message = fields.encode();
    let frame = publish_frame(&message);
    assert_eq!(frame.head, &b"\x12\x1a"[..]);
    let body = b"\x0a\x01F\x12\x02hi\x1a\x08\0\0\0\0\0\0\0\x01\x22\x01t\x2a\x01S\x32\x01K";
    assert_eq!(frame.body, &body[..]);
    assert_eq!(frame.body.as_ptr(), message.encoded.as_ptr());
    assert_eq!(frame.len(), publish_frame_bytes(message.encoded.len()));
    let rpc = decode(joined(&frame)).unwrap();
    let received: Vec<WireMessage> = rpc.messages.iter().collect();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].encoded, message.encoded);
    assert_eq!(received[0].sequence_number(), Some(1));
    assert_eq!(received[0].clone().into_kept().encoded.as_ptr(), received[0].encoded.as_ptr());
}

#[test]
fn an_ihave_is_control_1_with_a_topic_and_ids() {
    let ids = vec![id(b"x"), id(&[0xff, 0])];
    let outgoing = control(|control| control.ihave = vec![IHave { topic: topic("t"), ids }]);
    let bytes = b"\x1a\x0c\x0a\x0a\x0a\x01t\x12\x01x\x12\x02\xff\0";
    assert_eq!(frame(&outgoing), &bytes[..]);
    assert_eq!(decode(&bytes[..]).unwrap().to_outgoing(), outgoing);
}

#[test]
fn an_iwant_is_control_2_with_ids() {
    let outgoing = control(|control| control.iwant = vec![id(b"x"), id(b"yz")]);
    let bytes = b"\x1a\x09\x12\x07\x0a\x01x\x0a\x02yz";
    assert_eq!(frame(&outgoing), &bytes[..]);
    assert_eq!(decode(&bytes[..]).unwrap().to_outgoing(), outgoing);
}

#[test]
fn a_graft_is_control_3_with_a_topic() {
    let outgoing = control(|control| control.graft = vec![topic("t")]);
    let bytes = b"\x1a\x05\x1a\x03\x0a\x01t";
    assert_eq!(frame(&outgoing), &bytes[..]);
    assert_eq!(decode(&bytes[..]).unwrap().to_outgoing(), outgoing);
}

#[test]
fn a_prune_is_control_4_with_a_topic_peers_and_a_backoff() {
    let peer = PeerId::from_bytes(&[0, 2, 8, 1]).unwrap();
    let with = PeerInfo { peer, signed_record: Some(Bytes::from_static(b"R")) };
    let without = PeerInfo { peer, signed_record: None };
    let peers = vec![with, without];
    let outgoing = control(|control| {
        control.prune = vec![Prune { topic: topic("t"), peers, backoff_secs: Some(300) }];
    });
    let bytes =
        b"\x1a\x1b\x22\x19\x0a\x01t\x12\x09\x0a\x04\0\x02\x08\x01\x12\x01R\x12\x06\x0a\x04\0\x02\x08\x01\x18\xac\x02";
    assert_eq!(frame(&outgoing), &bytes[..]);
    assert_eq!(decode(&bytes[..]).unwrap().to_outgoing(), outgoing);
    let bare = control(|control| {
        control.prune = vec![Prune { topic: topic("t"), peers: vec![], backoff_secs: None }];
    });
    assert_eq!(frame(&bare), &b"\x1a\x05\x22\x03\x0a\x01t"[..]);
}

#[test]
fn an_idontwant_is_control_5_with_ids() {
    let outgoing = control(|control| control.idontwant = vec![id(b"x")]);
    let bytes = b"\x1a\x05\x2a\x03\x0a\x01x";
    assert_eq!(frame(&outgoing), &bytes[..]);
    assert_eq!(decode(&bytes[..]).unwrap().to_outgoing(), outgoing);
}

#[test]
fn extensions_are_control_6_and_the_test_extension_field_6492434() {
    let test = control(|control| control.extensions = Some(Extensions { test: true }));
    // 6492434 << 3 | 0, as a varint.
    let bytes = b"\x1a\x07\x32\x05\x90\x91\xe2\x18\x01";
    assert_eq!(frame(&test), &bytes[..]);
    assert_eq!(decode(&bytes[..]).unwrap().to_outgoing(), test);
    let none = control(|control| control.extensions = Some(Extensions::default()));
    assert_eq!(frame(&none), &b"\x1a\x02\x32\x00"[..]);
    assert_eq!(decode(frame(&none)).unwrap().to_outgoing(), none);
    let message = Outgoing { test_extension: true, ..Outgoing::default() };
    assert_eq!(frame(&message), &b"\x92\x91\xe2\x18\x00"[..]);
    assert!(decode(frame(&message)).unwrap().test_extension);
}

// What is taken, and what is not.

#[test]
fn nothing_said_is_an_rpc_and_takes_no_frame() {
    let rpc = decode(Bytes::new()).unwrap();
    assert!(rpc.subscriptions.is_empty() && rpc.messages.is_empty() && rpc.control.is_empty());
    assert_eq!(rpc.to_outgoing(), Outgoing::default());
    let nothing = control(|control| {
        control.ihave = vec![IHave { topic: topic("t"), ids: vec![] }];
    });
    assert!(nothing.is_empty() && Outgoing::default().is_empty());
    assert_eq!(nothing.frames(&SendLimits::default()), []);
}

#[test]
fn entries_of_several_control_messages_are_merged_in_their_order() {
    let part = |graft: &str, want: &[u8]| {
        let iwant = vec![id(want)];
        let control = Control { graft: vec![topic(graft)], iwant, ..Control::default() };
        frame(&Outgoing { control, ..Outgoing::default() })
    };
    let rpc = decode([part("a", b"x"), part("b", b"y")].concat()).unwrap();
    assert_eq!(rpc.control.graft.iter().collect::<Vec<_>>(), [topic("a"), topic("b")]);
    assert_eq!(rpc.control.iwant.iter().collect::<Vec<_>>(), [id(b"x"), id(b"y")]);
    let slices: Vec<&[u8]> = rpc.control.iwant.slices().collect();
    assert_eq!(slices, [b"x", b"y"]);
}

#[test]
fn one_invalid_item_does_not_spoil_the_rest() {
    let long = "x".repeat(MAX_TOPIC_BYTES + 1);
    let bytes = wire(|rpc| {
        for topic_id in [None, Some(""), Some(&long[..]), Some("good")] {
            let topic_id = topic_id.map(|text| Bytes::copy_from_slice(text.as_bytes()));
            rpc.subscriptions.push(wire::SubOpts { subscribe: None, topic_id: topic_id.clone() });
            let control = rpc.control.get_or_insert_default();
            control.graft.push(wire::ControlGraft { topic_id: topic_id.clone() });
            let ids = [vec![], vec![1; MAX_MESSAGE_ID_BYTES + 1], vec![1; MAX_MESSAGE_ID_BYTES]];
            let message_ids: Vec<Bytes> = ids.into_iter().map(Bytes::from).collect();
            control.iwant.push(wire::ControlIds { message_ids: message_ids.clone() });
            control.ihave.push(wire::ControlIHave { topic_id: topic_id.clone(), message_ids });
            let record = Bytes::from(vec![7; MAX_ENVELOPE_BYTES + 1]);
            let info = |peer_id, signed_peer_record| wire::PeerInfo { peer_id, signed_peer_record };
            let peer_id = Some(Bytes::from(peer(1).to_bytes()));
            let peers = vec![
                info(None, None),
                info(peer_id.clone(), Some(record)),
                info(peer_id, Some(Bytes::new())),
            ];
            control.prune.push(wire::ControlPrune { topic_id, peers, backoff: Some(u64::MAX) });
        }
    });
    let rpc = decode(bytes).unwrap();
    // Of each entry three of a bad topic; of four times three ids, and so for peers, two each.
    assert_eq!(rpc.invalid, 3 + 3 + 8 + 3 + 8 + 3 + 8);
    let good = topic("good");
    assert_eq!(rpc.subscriptions.iter().collect::<Vec<_>>(), [(false, good.clone())]);
    assert_eq!(rpc.control.graft.iter().collect::<Vec<_>>(), std::slice::from_ref(&good));
    let longest = id(&[1; MAX_MESSAGE_ID_BYTES]);
    assert_eq!(rpc.control.iwant.iter().collect::<Vec<_>>(), vec![longest.clone(); 4]);
    let ihave: Vec<_> = rpc.control.ihave.iter().map(|entry| entry.to_owned()).collect();
    assert_eq!(ihave, [IHave { topic: good.clone(), ids: vec![longest] }]);
    let prune: Vec<_> = rpc.control.prune.iter().map(|entry| entry.to_owned()).collect();
    let peers = vec![PeerInfo { peer: peer(1), signed_record: None }];
    assert_eq!(prune, [Prune { topic: good, peers, backoff_secs: Some(u64::MAX) }]);
}

#[test]
fn messages_out_of_bounds_are_left_out() {
    let message = |from: usize, seqno: usize, topic: &str| {
        wire::Message {
            from: Some(vec![1; from].into()),
            seqno: Some(vec![1; seqno].into()),
            topic: Some(Bytes::copy_from_slice(topic.as_bytes())),
            ..wire::Message::default()
        }
        .encode_to_vec()
        .into()
    };
    let bytes = wire(|rpc| {
        rpc.publish = vec![
            message(MAX_FROM_BYTES + 1, 8, "t"),
            message(1, MAX_SEQNO_BYTES + 1, "t"),
            message(1, 8, ""),
            Bytes::new(),
            message(MAX_FROM_BYTES, MAX_SEQNO_BYTES, "t"),
        ];
    });
    let rpc = decode(bytes).unwrap();
    assert_eq!((rpc.messages.len(), rpc.invalid), (1, 4));
    assert_eq!(rpc.messages.iter().count(), 1);
}

#[test]
fn what_is_malformed_anywhere_refuses_the_frame() {
    for bytes in [
        &b"\x0a"[..],
        b"\x0a\x02\x08",
        b"\x08\x01",
        b"\x10\x01",
        b"\x18\x01",
        b"\x90\x91\xe2\x18\x01",
        b"\x0a\x02\x0a\x00",
        b"\x0a\x02\x10\x00",
        b"\x12\x02\x08\x00",
        b"\x12\x02\x22\x01",
        b"\x1a\x02\x08\x01",
        b"\x1a\x02\x30\x01",
        b"\x1a\x04\x0a\x02\x08\x00",
        b"\x1a\x04\x0a\x02\x10\x00",
        b"\x1a\x04\x12\x02\x08\x00",
        b"\x1a\x04\x1a\x02\x08\x00",
        b"\x1a\x04\x22\x02\x10\x00",
        b"\x1a\x04\x22\x02\x1a\x00",
        b"\x1a\x06\x22\x04\x12\x02\x08\x00",
        b"\x1a\x06\x22\x04\x12\x02\x12\x01",
        b"\x1a\x07\x32\x05\x92\x91\xe2\x18\x00",
        b"\x0b",
    ] {
        assert_eq!(decode(bytes), Err(RpcError::Malformed), "{bytes:?}");
    }
    // Numbers that nobody has may have any wire type, and go-libp2p's partial messages are such.
    for bytes in [&b"\x38\x01"[..], b"\x1a\x02\x38\x01", b"\x52\x01\xff", b"\x0a\x02\x18\x01"] {
        assert!(decode(bytes).is_ok(), "{bytes:?}");
    }
}

#[test]
fn cve_2026_46679_each_count_has_its_limit() {
    type Limit = fn(&mut RpcLimits) -> &mut usize;
    type Error = fn(Excess) -> RpcError;
    let entry = |number: u8, content: &[u8]| {
        let mut bytes = vec![number << 3 | 2, u8::try_from(content.len()).unwrap()];
        bytes.extend_from_slice(content);
        bytes
    };
    let ids = entry(2, &entry(1, b"x").repeat(3));
    let peers = entry(4, &entry(2, b"").repeat(3));
    let cases: [(Vec<u8>, Limit, Error); 9] = [
        (entry(1, b"").repeat(3), |limits| &mut limits.max_subscriptions, RpcError::Subscriptions),
        (entry(1, b"").repeat(3), |limits| &mut limits.max_topics, RpcError::Topics),
        (entry(2, b"").repeat(3), |limits| &mut limits.max_messages, RpcError::Messages),
        (
            entry(3, &entry(3, b"").repeat(2)),
            |limits| &mut limits.max_control_entries,
            RpcError::ControlEntries,
        ),
        (
            [entry(3, &entry(5, b"")), entry(3, b"")].concat(),
            |limits| &mut limits.max_control_entries,
            RpcError::ControlEntries,
        ),
        (entry(3, &entry(1, b"").repeat(3)), |limits| &mut limits.max_topics, RpcError::Topics),
        (entry(3, &ids), |limits| &mut limits.max_ids_per_entry, RpcError::IdsPerEntry),
        (entry(3, &ids), |limits| &mut limits.max_ids, RpcError::Ids),
        (entry(3, &peers), |limits| &mut limits.max_peers_per_prune, RpcError::PeersPerPrune),
    ];
    for (bytes, limit, error) in cases {
        let bytes = Bytes::from(bytes);
        let mut limits = RpcLimits::default();
        *limit(&mut limits) = 3;
        assert!(Rpc::decode(&bytes, &limits).is_ok(), "{bytes:?}");
        *limit(&mut limits) = 2;
        assert_eq!(Rpc::decode(&bytes, &limits), Err(error(Excess { found: 3, max: 2 })));
    }
    let limits = RpcLimits { max_frame_bytes: 3, ..RpcLimits::default() };
    let excess = Excess { found: 4, max: 3 };
    assert_eq!(
        Rpc::decode(&Bytes::from_static(b"\x0a\x00\x0a\x00"), &limits),
        Err(RpcError::TooLong(excess))
    );
}

// Splitting.

fn any_topic() -> impl Strategy<Value = Topic> {
    prop_oneof![
        4 => "[a-c]{1,3}",
        1 => "[a-c]{200,1024}",
    ]
    .prop_map(|text| topic(&text))
}

fn any_ids() -> impl Strategy<Value = Vec<MessageId>> {
    let id = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 1..50),
        1 => prop::collection::vec(any::<u8>(), MAX_MESSAGE_ID_BYTES),
    ];
    prop::collection::vec(id.prop_map(|bytes| self::id(&bytes)), 0..200)
}

fn any_peer() -> impl Strategy<Value = PeerInfo> {
    let record = prop::collection::vec(any::<u8>(), 1..20);
    let record = prop_oneof![record, Just(vec![7; MAX_ENVELOPE_BYTES]), Just(vec![7; 700]),];
    (0u64..4, prop::option::of(record)).prop_map(|(number, record)| PeerInfo {
        peer: peer(number),
        signed_record: record.map(Bytes::from),
    })
}

prop_compose! {
    fn any_prune()(
        topic in any_topic(),
        peers in prop::collection::vec(any_peer(), 0..20),
        backoff_secs in prop::option::of(any::<u64>()),
    ) -> Prune {
        Prune { topic, peers, backoff_secs }
    }
}

prop_compose! {
    fn any_outgoing()(
        subscriptions in prop::collection::vec((any::<bool>(), any_topic()), 0..60),
        ihave in prop::collection::vec((any_topic(), any_ids()), 0..4),
        iwant in any_ids(),
        graft in prop::collection::vec(any_topic(), 0..60),
        prune in prop::collection::vec(any_prune(), 0..6),
        idontwant in any_ids(),
        extensions in prop::option::of(any::<bool>()),
        test_extension: bool,
    ) -> Outgoing {
        let ihave = ihave.into_iter().map(|(topic, ids)| IHave { topic, ids }).collect();
        let extensions = extensions.map(|test| Extensions { test });
        Outgoing {
            subscriptions,
            control: Control { ihave, iwant, graft, prune, idontwant, extensions },
            test_extension,
        }
    }
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn splitting_keeps_everything_and_respects_the_limits(
        outgoing in any_outgoing(),
        max_frame_bytes in 0usize..70_000,
        max_control_bytes in 0usize..70_000,
    ) {
        let limits = SendLimits { max_frame_bytes, max_control_bytes };
        let mut all = Outgoing::default();
        for (at, frame) in outgoing.frames(&limits).iter().enumerate() {
            let most = max_frame_bytes.min(max_control_bytes).max(MIN_SPLIT_BYTES);
            prop_assert!(frame.len() <= most, "{} bytes", frame.len());
            let part = decode(joined(frame)).unwrap();
            prop_assert_eq!(part.invalid, 0);
            let mut part = part.to_outgoing();
            prop_assert!(!part.is_empty());
            prop_assert!(at == 0 || part.control.extensions.is_none(), "extensions come first");
            all.subscriptions.append(&mut part.subscriptions);
            all.control.ihave.append(&mut part.control.ihave);
            all.control.iwant.append(&mut part.control.iwant);
            all.control.graft.append(&mut part.control.graft);
            all.control.prune.append(&mut part.control.prune);
            all.control.idontwant.append(&mut part.control.idontwant);
            all.control.extensions = all.control.extensions.or(part.control.extensions);
            all.test_extension |= part.test_extension;
        }
        prop_assert_eq!(merged(all), merged(outgoing));
    }

    #[test]
    fn frames_are_filled_before_another_is_begun(outgoing in any_outgoing()) {
        let frames = outgoing.frames(&SendLimits::default());
        // What does not fit together is nearly a frame, headers being guessed at.
        for pair in frames.windows(2) {
            let bytes = pair[0].len() + pair[1].len();
            prop_assert!(bytes + 100 > 16 * 1024, "{} bytes", bytes);
        }
    }

    #[test]
    fn it_reads_what_prost_reads(outgoing in any_outgoing(), at: prop::sample::Index, byte: u8) {
        for frame in outgoing.frames(&SendLimits::default()) {
            let mut bytes = joined(&frame).to_vec();
            compare_with_prost(&bytes.clone().into())?;
            let at = at.index(bytes.len());
            bytes[at] = byte;
            compare_with_prost(&bytes.into())?;
        }
    }

    #[test]
    fn decoding_is_total(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        compare_with_prost(&bytes.into())?;
    }
}

/// What is decoded, `prost` decodes too, and to the same valid items.
fn compare_with_prost(bytes: &Bytes) -> Result<(), TestCaseError> {
    let Ok(rpc) = decode(bytes.clone()) else { return Ok(()) };
    let prost = wire::Rpc::decode(bytes.clone());
    prop_assert!(prost.is_ok(), "{:?}", prost);
    let prost = prost.unwrap();
    let text = |topic: &Option<Bytes>| Topic::from_bytes(topic.as_deref().unwrap_or_default()).ok();
    let ids = |ids: &[Bytes]| -> Vec<MessageId> {
        ids.iter().filter_map(|bytes| MessageId::new(bytes).ok()).collect()
    };
    let subscriptions = prost.subscriptions.iter();
    let control = prost.control.clone().unwrap_or_default();
    let expected = Outgoing {
        subscriptions: subscriptions
            .filter_map(|entry| Some((entry.subscribe.unwrap_or_default(), text(&entry.topic_id)?)))
            .collect(),
        control: Control {
            ihave: control
                .ihave
                .iter()
                .filter_map(|entry| {
                    Some(IHave { topic: text(&entry.topic_id)?, ids: ids(&entry.message_ids) })
                })
                .collect(),
            iwant: control.iwant.iter().flat_map(|entry| ids(&entry.message_ids)).collect(),
            graft: control.graft.iter().filter_map(|entry| text(&entry.topic_id)).collect(),
            prune: control.prune.iter().filter_map(|entry| prost_prune(entry, text)).collect(),
            idontwant: control.idontwant.iter().flat_map(|entry| ids(&entry.message_ids)).collect(),
            extensions: control.extensions.map(|extensions| Extensions {
                test: extensions.test_extension.unwrap_or_default(),
            }),
        },
        test_extension: prost.test_extension.is_some(),
    };
    prop_assert_eq!(rpc.to_outgoing(), expected);
    let messages = prost.publish.iter().filter_map(|bytes| WireMessage::decode(bytes).ok());
    let messages: Vec<Bytes> = messages.map(|message| message.encoded).collect();
    let found: Vec<Bytes> = rpc.messages.iter().map(|message| message.encoded).collect();
    prop_assert_eq!(found, messages);
    Ok(())
}

fn prost_prune(
    entry: &wire::ControlPrune,
    text: impl Fn(&Option<Bytes>) -> Option<Topic>,
) -> Option<Prune> {
    let peers = entry.peers.iter().filter_map(|info| {
        let record = info.signed_peer_record.clone().filter(|record| !record.is_empty());
        if record.as_ref().is_some_and(|record| record.len() > MAX_ENVELOPE_BYTES) {
            return None;
        }
        let peer = PeerId::from_bytes(info.peer_id.as_deref().unwrap_or_default()).ok()?;
        Some(PeerInfo { peer, signed_record: record })
    });
    let peers = peers.collect();
    Some(Prune { topic: text(&entry.topic_id)?, peers, backoff_secs: entry.backoff })
}
