//! Frames that are small on the wire and large in memory, or half valid.

use bytes::Bytes;
use sanspeer_core::gossip::{Control, GossipConfig, Outgoing, SendLimits};
use sanspeer_core::node::{Protocol, ProtocolInput, ProtocolOutput};
use sanspeer_core::varint::{self, MAX_VARINT_BYTES};

use crate::gossip_world::{Kind, World, secs, topic};
use crate::{alone, count, node_with};

fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut buffer = [0; MAX_VARINT_BYTES];
    let length = varint::encode(content.len() as u64, &mut buffer);
    [&[number << 3 | 2], length, content].concat()
}

/// Everything that repeats, as small as it can be, and small things that are valid.
fn repeated() -> Vec<Vec<u8>> {
    let control = |number, entry: &[u8]| field(3, &field(number, entry));
    vec![
        field(1, b""),
        field(1, &[&[8, 1], &field(2, b"t")[..]].concat()),
        field(2, b""),
        field(2, &field(4, b"t")),
        field(3, b""),
        control(1, b""),
        control(1, &field(1, b"t")),
        control(1, &[field(1, b"t"), field(2, b"x").repeat(100)].concat()),
        control(2, &field(1, b"x").repeat(100)),
        control(3, &field(1, b"t")),
        control(4, &field(1, b"t")),
        control(4, &[field(1, b"t"), field(2, b"").repeat(60)].concat()),
        control(5, &field(1, b"x").repeat(100)),
        control(6, b""),
        field(15, b""),
    ]
}

/// What handling a frame allocated, and what it led to.
fn handled(frame: Bytes) -> (usize, Vec<ProtocolOutput>) {
    let mut world = World::new(1);
    let (node, _, puppets) = node_with(&mut world, GossipConfig::default(), 1);
    world.run_for(secs(1));
    let stream = world.stream_between(puppets[0], node).expect("it spoke");
    let now = world.now;
    let Kind::Node(gossip) = &mut world.sides[node].kind else { panic!("a node") };
    let region = count();
    gossip.handle(now, ProtocolInput::Frame { stream, frame });
    let allocated = region.change().bytes_allocated;
    (allocated, core::iter::from_fn(|| gossip.poll()).collect())
}

#[test]
fn cve_2026_46679_a_mebibyte_of_repeated_fields_allocates_four_times_itself_at_most() {
    let _alone = alone();
    const BYTES: usize = 1 << 20;
    for part in repeated() {
        let frame = Bytes::from_owner(part.repeat(BYTES / part.len()));
        let (allocated, outputs) = handled(frame.clone());
        assert!(allocated <= 4 * frame.len(), "{allocated} bytes for {part:?}");
        let refused = outputs.iter().any(|output| matches!(output, ProtocolOutput::Reset { .. }));
        let unknown = part[0] >> 3 == 15;
        assert_eq!(refused, !unknown, "{part:?}");
    }
}

#[test]
fn cve_2026_86040_as_many_as_the_limits_allow_allocate_four_times_their_frame_at_most() {
    let _alone = alone();
    // The bound is for frames that matter: each turn has a little of its own.
    const LITTLE: usize = 64 * 1024;
    for part in repeated() {
        for count in [4_900, 250] {
            let frame = Bytes::from_owner(part.repeat(count));
            if frame.len() > 1 << 20 {
                continue;
            }
            let (allocated, _) = handled(frame.clone());
            let most = 4 * frame.len() + LITTLE;
            assert!(allocated <= most, "{allocated} bytes of {} for {part:?}", frame.len());
        }
    }
}

#[test]
fn cve_2026_86040_a_frame_of_four_megabytes_costs_its_stream_unseen() {
    let _alone = alone();
    let part = field(1, &[&[8, 1], &field(2, b"t")[..]].concat());
    let (allocated, outputs) = handled(Bytes::from_owner(part.repeat(4_000_000 / part.len())));
    assert!(allocated < 4_096, "{allocated} bytes");
    assert!(matches!(outputs[..], [ProtocolOutput::Penalty { .. }, ProtocolOutput::Reset { .. }]));
}

#[test]
fn a_frame_that_is_refused_changes_nothing() {
    let _alone = alone();
    let mut world = World::new(2);
    let (node, t, puppets) = node_with(&mut world, GossipConfig::default(), 2);
    world.run_for(secs(1));
    world.take_events(node);
    let before = (world.gossip(node).usage(), world.mesh(node, &t));
    let id = sanspeer_core::gossip::MessageId::new(b"some").expect("an id");
    let control = Control {
        iwant: vec![id.clone()],
        graft: vec![topic("novel")],
        prune: vec![sanspeer_core::gossip::Prune {
            topic: t.clone(),
            peers: Vec::new(),
            backoff_secs: Some(9),
        }],
        idontwant: vec![id],
        ..Control::default()
    };
    let subscriptions = vec![(true, topic("another")), (false, t.clone())];
    let said = Outgoing { subscriptions, control, ..Outgoing::default() };
    let mut bytes: Vec<u8> =
        said.frames(&SendLimits::default()).iter().flat_map(|frame| frame.body.to_vec()).collect();
    let message = world.signed(puppets[0], 1, &t, "m");
    bytes.extend(field(2, &message.encoded));
    // All of it is good but the end, which is cut off.
    bytes.extend([0x0a, 0x7f]);
    world.say_bytes(puppets[0], node, bytes);
    world.run_for(crate::gossip_world::millis(10));
    assert_eq!((world.gossip(node).usage(), world.mesh(node, &t)), before);
    assert!(world.take_events(node).is_empty());
    assert_eq!(world.sides[node].penalties.len(), 1);
    assert!(world.stream_between(puppets[0], node).is_none(), "its stream is reset");
}
