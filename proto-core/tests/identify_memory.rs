//! What a message of identify allocates, and what a peer that was identified costs.

use std::alloc::System;

use bytes::Bytes;
use multiaddr::{Multiaddr, Protocol as Part};
use sanspeer_core::identify::{Identify, IdentifyConfig, Message};
use sanspeer_core::identity::{Identity, PeerId};
use sanspeer_core::mux::{Role, StreamId};
use sanspeer_core::node::{ConnectionId, Protocol, ProtocolInput, ProtocolOutput, StreamRef};
use sanspeer_core::protocol::ProtocolId;
use sanspeer_core::rng::Seed;
use sanspeer_core::time::Timestamp;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Tests that count must not run at once.
static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// Ten frames of fields `tag`, each of the content that `content` makes of its number.
fn frames(tag: u8, content: impl Fn(u16) -> Vec<u8>) -> Vec<Bytes> {
    let mut number = 0;
    let mut frame = || {
        let mut frame = Vec::new();
        loop {
            let content = content(number);
            if frame.len() + 2 + content.len() > 8 * 1024 {
                return Bytes::from(frame);
            }
            frame.extend([tag, u8::try_from(content.len()).expect("short")]);
            frame.extend(content);
            number += 1;
        }
    };
    (0..10).map(|_| frame()).collect()
}

fn allocated_by_decoding(frames: &[Bytes]) -> usize {
    let region = Region::new(ALLOCATOR);
    let _decoded = Message::decode(frames);
    region.change().bytes_allocated
}

#[test]
fn identify_bloat_80_kib_of_small_fields_allocate_no_more_than_they_are() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    const ADDRESS: u8 = 0x12;
    const PROTOCOL: u8 = 0x1a;
    let port = |number: u16| Multiaddr::from(Part::Tcp(number)).to_vec();
    for (name, frames, most) in [
        ("empty addresses", frames(ADDRESS, |_| Vec::new()), 1_024),
        ("addresses", frames(ADDRESS, port), 32 * 1024),
        ("empty protocols", frames(PROTOCOL, |_| Vec::new()), 0),
        ("protocols", frames(PROTOCOL, |number| format!("/{number}").into_bytes()), 0),
        ("long protocols", frames(PROTOCOL, |_| vec![b'x'; 120]), 0),
        ("unknown fields", frames(0x7a, |_| Vec::new()), 0),
    ] {
        let bytes = allocated_by_decoding(&frames);
        println!("{name}: {bytes} bytes");
        assert!(bytes <= most, "{name}: {bytes} bytes");
    }
    // As many protocols as are taken, in the text that is taken.
    let protocols: Vec<ProtocolId> =
        (0..1_024).map(|n| ProtocolId::new(&format!("/{n:06}")).expect("a valid id")).collect();
    let message = Message { protocols, ..Message::default() }.encode();
    let (first, second) = message.split_at(512 * 9);
    let frames = [first, second].map(Bytes::copy_from_slice);
    let bytes = allocated_by_decoding(&frames);
    println!("all protocols: {bytes} bytes");
    assert!(bytes <= 128 * 1024, "{bytes} bytes");
}

fn identify(identify: &mut Identify, number: u64, peer: PeerId, message: Bytes) {
    let connection = ConnectionId(number);
    let stream = StreamRef { connection, stream: StreamId(1) };
    let mut give = |input| {
        identify.handle(Timestamp::ZERO, input);
        let outputs: Vec<ProtocolOutput> = std::iter::from_fn(|| identify.poll()).collect();
        while identify.poll_event().is_some() {}
        outputs
    };
    let address = Multiaddr::from(Part::Tcp(9));
    let (role, first) = (Role::Listener, true);
    let opened = give(ProtocolInput::ConnectionOpened { peer, connection, role, address, first });
    let ProtocolOutput::Open { request, protocols, .. } = &opened[0] else {
        panic!("{opened:?}");
    };
    let (request, protocol) = (*request, protocols[0].clone());
    give(ProtocolInput::StreamOpened { request, peer, stream, protocol });
    give(ProtocolInput::Frame { stream, frame: message });
    give(ProtocolInput::StreamFinished(stream));
}

#[test]
fn an_identified_peer_costs_two_kibibytes() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    const PEERS: u64 = 200;
    let peer = |number| Identity::ed25519(&Seed::from_u64(number)).peer_id();
    let peers: Vec<PeerId> = (1..=PEERS).map(peer).collect();
    let own = Identity::ed25519(&Seed::from_u64(0));
    let mut machine = Identify::new(IdentifyConfig::default(), own);
    // What a usual peer says: 20 protocols and 6 addresses.
    let protocol = |n| ProtocolId::new(&format!("/network/protocol-{n}/1.0.0")).expect("valid");
    let message = Message {
        protocol_version: Some("ipfs/0.1.0".into()),
        agent: Some("other/1.2.3/0123abc".into()),
        protocols: (0..20).map(protocol).collect(),
        addresses: (1..7).map(|port| Multiaddr::from(Part::Tcp(port))).collect(),
        ..Message::default()
    };
    let message = message.encode();
    identify(&mut machine, 0, peers[0], Bytes::copy_from_slice(&message));
    let region = Region::new(ALLOCATOR);
    for (number, peer) in (1..).zip(&peers[1..]) {
        identify(&mut machine, number, *peer, Bytes::copy_from_slice(&message));
    }
    let change = region.change();
    let each = (change.bytes_allocated - change.bytes_deallocated) / (peers.len() - 1);
    println!("an identified peer costs {each} bytes");
    assert!(each <= 2 * 1024, "{each} bytes");
    let info = |peer| machine.info(peer).expect("identified");
    let texts = |peer| info(peer).protocols[0].as_str().as_ptr();
    assert_eq!(texts(&peers[1]), texts(&peers[2]), "names are not shared");
}
