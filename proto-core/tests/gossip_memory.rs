//! What decoding an RPC allocates, and what is kept of what it brought.

use std::alloc::System;

use bytes::Bytes;
use sanspeer_core::gossip::{
    MessageCache, MessageCacheConfig, MessageId, Rpc, RpcError, RpcLimits, SeenCache,
    SeenCacheConfig, Sight, Wanted,
};
use sanspeer_core::rng::Seed;
use sanspeer_core::time::Timestamp;
use sanspeer_core::varint::{self, MAX_VARINT_BYTES};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Tests that count must not run at once.
static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut buffer = [0; MAX_VARINT_BYTES];
    let length = varint::encode(content.len() as u64, &mut buffer);
    [&[number << 3 | 2], length, content].concat()
}

/// As many copies of `part` as fit into `bytes`, in a frame that is shared already.
fn filled(bytes: usize, part: &[u8]) -> Bytes {
    Bytes::from_owner(part.repeat(bytes / part.len()))
}

/// What comes of a frame, and how many bytes its decoding allocated: the least of several times,
/// since the test harness allocates beside.
fn decode(frame: &Bytes, limits: &RpcLimits) -> (Result<Rpc, RpcError>, usize) {
    let once = |_| {
        let region = Region::new(ALLOCATOR);
        let decoded = Rpc::decode(frame, limits);
        (decoded, region.change().bytes_allocated)
    };
    let tried = (0..20).map(once).min_by_key(|(_, allocated)| *allocated);
    let (decoded, allocated) = tried.expect("several times");
    assert!(allocated <= 4 * frame.len(), "{allocated} bytes for {}", frame.len());
    (decoded, allocated)
}

/// Every kind of thing that repeats, as small as it can be.
fn repeated() -> Vec<(&'static str, Vec<u8>)> {
    let control = |number, entry: &[u8]| field(3, &field(number, entry));
    vec![
        ("subscriptions", field(1, b"")),
        ("subscriptions of a topic", field(1, &field(2, b"t"))),
        ("messages", field(2, b"")),
        ("messages of a topic", field(2, &field(4, b"t"))),
        ("control messages", field(3, b"")),
        ("ihave", control(1, b"")),
        ("ids of ihave", control(1, &[field(1, b"t"), field(2, b"").repeat(50)].concat())),
        ("iwant", control(2, b"")),
        ("ids of iwant", control(2, &field(1, b"x").repeat(40))),
        ("grafts", control(3, b"")),
        ("grafts of a topic", control(3, &field(1, b"t"))),
        ("prunes", control(4, b"")),
        ("peers of prunes", control(4, &[field(1, b"t"), field(2, b"").repeat(50)].concat())),
        ("idontwant", control(5, b"")),
        ("ids of idontwant", control(5, &field(1, b"x").repeat(40))),
        ("extensions", control(6, b"")),
        ("unknown fields", field(15, b"")),
    ]
}

#[test]
fn cve_2026_46679_a_mebibyte_of_empty_repeated_fields_allocates_nothing() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut refused = 0;
    for (name, part) in repeated() {
        let frame = filled(1 << 20, &part);
        let (decoded, allocated) = decode(&frame, &RpcLimits::default());
        println!("{name}: {decoded:.60?}", decoded = decoded.as_ref().map(|rpc| rpc.invalid));
        assert_eq!(allocated, 0, "{name}");
        refused += usize::from(decoded.is_err());
    }
    // All but what nobody knows, which is skipped.
    assert_eq!(refused, repeated().len() - 1);
}

#[test]
fn cve_2026_86040_a_frame_of_four_megabytes_is_refused_unseen_and_allocates_nothing() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let wide = RpcLimits { max_frame_bytes: 4_000_000, ..RpcLimits::default() };
    for (name, part) in repeated() {
        let frame = filled(4_000_000, &part);
        let (decoded, allocated) = decode(&frame, &RpcLimits::default());
        assert!(matches!(decoded, Err(RpcError::TooLong(_))), "{name}: {decoded:?}");
        assert_eq!(allocated, 0, "{name}");
        assert_eq!(decode(&frame, &wide).1, 0, "{name}");
    }
}

#[test]
fn what_is_within_every_limit_is_decoded_without_allocation_and_read_item_by_item() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let limits = RpcLimits::default();
    let graft = field(3, &field(3, &field(1, b"t")));
    let want = field(3, &field(2, &field(1, b"x").repeat(1_000)));
    let message = field(2, &field(4, b"t"));
    let parts =
        [graft.repeat(2_000), want.repeat(5), message.repeat(5_000), field(1, &field(2, b"t"))];
    let frame = Bytes::from_owner(parts.concat());
    let (decoded, allocated) = decode(&frame, &limits);
    assert_eq!(allocated, 0);
    let rpc = decoded.expect("within the limits");
    let region = Region::new(ALLOCATOR);
    let counts = [
        rpc.control.graft.iter().count(),
        rpc.control.iwant.iter().count(),
        rpc.messages.iter().count(),
        rpc.subscriptions.iter().count(),
        rpc.control.iwant.slices().count(),
    ];
    assert_eq!(counts, [2_000, 5_000, 5_000, 1, 5_000]);
    let change = region.change();
    // Each item goes before the next one comes. The test harness allocates a little beside.
    let left = change.bytes_allocated.saturating_sub(change.bytes_deallocated);
    assert!(left <= 1_024, "{left} bytes are left");
}

#[test]
fn a_message_that_is_kept_pins_no_frame_that_is_much_larger() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut seen = SeenCache::new(SeenCacheConfig::default(), &Seed::from_u64(1));
    let mut cache = MessageCache::new(MessageCacheConfig::default(), &Seed::from_u64(1));
    let region = Region::new(ALLOCATOR);
    for number in 0u32..64 {
        let small = field(2, &[field(2, &[7; 100]), field(4, b"t")].concat());
        let junk = field(15, &vec![0; 256 * 1024]);
        let frame = Bytes::from([small, junk].concat());
        let rpc = Rpc::decode(&frame, &RpcLimits::default()).expect("within the limits");
        let id = MessageId::new(&number.to_be_bytes()).expect("four bytes");
        let message = rpc.messages.iter().next().expect("one");
        assert_eq!(seen.check(Timestamp::ZERO, &id, message.clone(), 1u32), Sight::New);
        assert!(cache.put(&id, message));
        assert!(matches!(cache.get_for_iwant(id.as_bytes(), 1u32), Wanted::Message(_)));
    }
    let change = region.change();
    let live = change.bytes_allocated - change.bytes_deallocated;
    println!("64 messages of 100 bytes, kept twice, hold {live} bytes");
    assert!(live <= 64 * 2 * 1_024, "{live} bytes");
    let charged = cache.held_bytes() + seen.verifying_bytes();
    assert!(live <= 2 * charged, "{live} bytes, charged {charged}");
}
