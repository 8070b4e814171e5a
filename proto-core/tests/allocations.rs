//! What is allocated: by a steady transfer, for what is kept, and for a connection that is idle.

mod common;

use std::alloc::System;
use std::time::Duration;

use bytes::Bytes;
use common::*;
use sanspeer_core::connection::{Connection, ConnectionConfig};
use sanspeer_core::mux::{Mux, ReadError, Role, StreamId, WriteError};
use sanspeer_core::time::Timestamp;
use sanspeer_core::yamux::MIN_SLICE_BYTES;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Tests that count must not run at once.
static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// A pipe that allocates nothing while it is used.
struct Pipe {
    bytes: Vec<u8>,
    taken: usize,
}

fn two(secured: Secured) -> (Pair, StreamId, StreamId, [Pipe; 2]) {
    let mut pair = Pair::established_over(1, secured);
    let (ours, theirs) = pair.open_echo();
    let pipe = || Pipe { bytes: Vec::with_capacity(1 << 20), taken: 0 };
    (pair, ours, theirs, [pipe(), pipe()])
}

fn transmit(connection: &mut Connection, pipe: &mut Pipe) -> usize {
    let mut counted = 0;
    while pipe.bytes.len() < 600_000
        && let Some(bytes) = connection.poll_transmit(Timestamp::ZERO)
    {
        let n = bytes.len();
        pipe.bytes.extend_from_slice(bytes);
        connection.handle_transmitted(n);
        while connection.poll_event().is_some() {}
        counted += n;
    }
    counted
}

/// Receives one piece; the space that it came into, as addresses.
fn receive(connection: &mut Connection, pipe: &mut Pipe) -> Option<(usize, usize)> {
    if pipe.taken == pipe.bytes.len() {
        return None;
    }
    let space = connection.recv_buf()?;
    let begin = space.as_ptr() as usize;
    let n = space.len().min(pipe.bytes.len() - pipe.taken);
    space[..n].copy_from_slice(&pipe.bytes[pipe.taken..pipe.taken + n]);
    pipe.taken += n;
    if pipe.taken == pipe.bytes.len() {
        pipe.bytes.clear();
        pipe.taken = 0;
    }
    connection.handle_recv(Timestamp::ZERO, n);
    while connection.poll_event().is_some() {}
    Some((begin, begin + n))
}

/// What a transfer allocated, in bytes per byte of payload.
#[derive(Clone, Copy, Debug)]
struct Cost {
    sender: f64,
    receiver: f64,
}

/// Sends `total` bytes in writes of `size`. What is read is kept if `keep`.
fn transfer(
    secured: Secured,
    total: usize,
    size: usize,
    at_once: bool,
    keep: bool,
) -> (Cost, Vec<Bytes>) {
    let (mut pair, ours, theirs, [mut there, mut back]) = two(secured);
    let data = vec![7; size];
    let mut kept = Vec::with_capacity(if keep { total / 512 } else { 0 });
    let mut received = 0;
    let mut cost = [0, 0];
    // The first part lets buffers and windows grow, and is not counted.
    let warm_up = total / 4;
    let mut written = 0;
    while received < total {
        let region = Region::new(ALLOCATOR);
        loop {
            match pair.dialer.connection.stream(ours).write(&data) {
                Ok(n) => written += n,
                Err(WriteError::Blocked) => break,
                Err(error) => panic!("write: {error:?}"),
            }
            if at_once {
                break;
            }
        }
        transmit(&mut pair.dialer.connection, &mut there);
        while receive(&mut pair.dialer.connection, &mut back).is_some() {}
        if received > warm_up {
            cost[0] += region.change().bytes_allocated;
        }
        let region = Region::new(ALLOCATOR);
        loop {
            let any = receive(&mut pair.listener.connection, &mut there).is_some();
            loop {
                match pair.listener.connection.stream(theirs).read(usize::MAX) {
                    Ok(bytes) => {
                        received += bytes.len();
                        if keep {
                            kept.push(bytes);
                        }
                    }
                    Err(ReadError::Blocked) => break,
                    Err(error) => panic!("read: {error:?}"),
                }
            }
            if !any {
                break;
            }
        }
        transmit(&mut pair.listener.connection, &mut back);
        if received > warm_up {
            cost[1] += region.change().bytes_allocated;
        }
    }
    assert!(written >= received);
    #[expect(clippy::cast_precision_loss, reason = "a ratio")]
    let per_byte = |bytes: usize| bytes as f64 / (received - warm_up) as f64;
    let cost = Cost { sender: per_byte(cost[0]), receiver: per_byte(cost[1]) };
    println!("{secured:?}, writes of {size}, each sent at once: {at_once}, kept: {keep}: {cost:?}");
    (cost, kept)
}

#[test]
fn a_steady_transfer_allocates_what_is_kept_and_next_to_nothing_else() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for (size, at_once) in [(64 * 1024, false), (64 * 1024, true), (1024, false), (1024, true)] {
        for (keep, secured) in
            [false, true].into_iter().flat_map(|keep| SECURED.map(|secured| (keep, secured)))
        {
            let (cost, kept) = transfer(secured, 16 << 20, size, at_once, keep);
            let what = format!("{secured:?}, writes of {size}, kept: {keep}: {cost:?}");
            assert!(cost.receiver <= 1.1, "{what}");
            assert!(cost.sender <= 0.01, "{what}");
            assert!(kept.iter().flatten().all(|byte| *byte == 7));
        }
    }
}

/// Sends three times 64 KiB and returns how much came in pieces that are no copies.
fn slices(secured: Secured) -> usize {
    let (mut pair, ours, theirs, [mut there, _]) = two(secured);
    let mut regions = Vec::new();
    let mut large = 0;
    for _ in 0..3 {
        assert_eq!(pair.dialer.write(ours, &[3; 64 * 1024]), 64 * 1024);
        transmit(&mut pair.dialer.connection, &mut there);
        while let Some(region) = receive(&mut pair.listener.connection, &mut there) {
            regions.push(region);
            loop {
                match pair.listener.connection.stream(theirs).read(usize::MAX) {
                    Ok(bytes) if bytes.len() >= MIN_SLICE_BYTES => {
                        let end = bytes.as_ptr() as usize + bytes.len();
                        // Its beginning may have moved, when a record did not fit in a block.
                        let high = regions.iter().any(|(low, high)| *low < end && end <= *high);
                        assert!(high, "{} bytes are a copy", bytes.len());
                        large += bytes.len();
                    }
                    Ok(bytes) => assert!(bytes.len() < MIN_SLICE_BYTES),
                    Err(ReadError::Blocked) => break,
                    Err(error) => panic!("read: {error:?}"),
                }
            }
        }
    }
    large
}

#[test]
fn read_data_in_large_pieces_points_into_the_receive_buffer() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for secured in SECURED {
        let large = slices(secured);
        assert!(large >= 3 * 60_000, "{secured:?}: {large} bytes in large pieces");
    }
}

#[test]
fn small_pieces_that_are_kept_pin_no_block() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (mut pair, ours, theirs, [mut there, mut back]) = two(Secured::Noise);
    let mut kept = Vec::with_capacity(512);
    let mut region = Region::new(ALLOCATOR);
    while kept.len() < 512 {
        // One that is kept, among much that is not.
        for part in [&[1; 1024][..], &[2; 60_000][..]] {
            let mut written = 0;
            while written < part.len() {
                written += pair.dialer.write(ours, &part[written..]);
                transmit(&mut pair.dialer.connection, &mut there);
                while receive(&mut pair.listener.connection, &mut there).is_some() {}
                transmit(&mut pair.listener.connection, &mut back);
                while receive(&mut pair.dialer.connection, &mut back).is_some() {}
            }
            let mut read = 0;
            while read < part.len() {
                let max = if part.len() == 1024 { 1024 } else { usize::MAX };
                let bytes = pair.listener.connection.stream(theirs).read(max).expect("data");
                read += bytes.len();
                if part.len() == 1024 {
                    kept.push(bytes);
                }
            }
        }
        if kept.len() == 1 {
            // What is used by and by was allocated by now.
            region = Region::new(ALLOCATOR);
        }
    }
    assert!(kept.iter().all(|bytes| bytes[..] == [1; 1024]));
    let change = region.change();
    let live = change.bytes_allocated - change.bytes_deallocated;
    println!("512 pieces of 1 KiB hold {live} bytes");
    assert!(live <= 1 << 20, "{live} bytes for 512 KiB");
}

/// What an idle end costs at most, in bytes.
fn idle_end_bytes(secured: Secured) -> usize {
    const PAIRS: usize = 20;
    let table = table();
    // What identities and the harness allocate is subtracted by dropping the connections.
    let mut pairs: Vec<Pair> = (0..PAIRS)
        .map(|seed| {
            let mut pair = Pair::offering(seed as u64, &[secured], &[secured]);
            for end in [&mut pair.dialer, &mut pair.listener] {
                end.admit = Some((sanspeer_core::mailbox::Lease::default(), table.clone()));
            }
            pair.run();
            // Used both ways once, by a stream that is gone.
            let (ours, theirs) = pair.open_echo();
            for (end, stream) in [(&mut pair.dialer, ours), (&mut pair.listener, theirs)] {
                assert_eq!(end.write(stream, b"there"), 5);
                end.connection.stream(stream).finish().expect("an open stream");
            }
            pair.run();
            assert_eq!(pair.dialer.read(ours), (b"there".to_vec(), true));
            assert_eq!(pair.listener.read(theirs), (b"there".to_vec(), true));
            pair.advance(Duration::from_secs(5));
            assert_eq!(pair.dialer.connection.buffer_bytes(), (0, 0));
            assert_eq!(pair.listener.connection.buffer_bytes(), (0, 0));
            pair
        })
        .collect();
    let mut spare: Vec<Connection> = (0..2 * PAIRS)
        .map(|_| End::new(Role::Dialer, 1, None, ConnectionConfig::default()).connection)
        .collect();
    let mut old = Vec::with_capacity(2 * PAIRS);
    for pair in &mut pairs {
        for end in [&mut pair.dialer, &mut pair.listener] {
            let spare = spare.pop().expect("enough");
            old.push(std::mem::replace(&mut end.connection, spare));
        }
    }
    let mailboxes =
        2 * size_of::<sanspeer_core::mailbox::Mailbox<sanspeer_core::mailbox::ToNode>>();
    let mut costs = Vec::with_capacity(old.len());
    for connection in old {
        let region = Region::new(ALLOCATOR);
        drop(connection);
        let change = region.change();
        let live = change.bytes_deallocated - change.bytes_allocated;
        costs.push(live + size_of::<Connection>() + mailboxes);
    }
    let most = costs.iter().max().expect("some");
    println!(
        "ByteMux {}, Yamux {}, ConnectionConfig {}, ByteMuxConfig {}, ConnectionEvent {}, MuxEvent {}",
        size_of::<sanspeer_core::byte_mux::ByteMux>(),
        size_of::<sanspeer_core::yamux::Yamux>(),
        size_of::<ConnectionConfig>(),
        size_of::<sanspeer_core::byte_mux::ByteMuxConfig>(),
        size_of::<sanspeer_core::connection::ConnectionEvent>(),
        size_of::<sanspeer_core::mux::MuxEvent>(),
    );
    println!(
        "an idle end over {secured:?} costs {most} bytes: Connection {}, two mailboxes {mailboxes}",
        size_of::<Connection>()
    );
    *most
}

#[test]
fn an_idle_end_costs_three_kibibytes_over_noise_and_seven_over_tls() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let [noise, tls] = SECURED.map(idle_end_bytes);
    assert!(noise <= 3 * 1024, "{noise} bytes over Noise");
    assert!(tls <= 7 * 1024, "{tls} bytes over TLS");
}

/// The heap tells what a connection holds, whatever it counts itself (CVE-2022-23486,
/// CVE-2022-23492: no account of memory).
#[test]
fn streams_that_are_filled_and_not_read_hold_a_mebibyte_and_the_leases() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (mut remote, mut end) = Remote::dialing(9);
    let streams: Vec<_> = (0..256).map(|_| remote.mux.open().expect("room")).collect();
    for stream in &streams {
        assert!(remote.mux.write(*stream, &proposal(ECHO)).is_ok());
        remote.exchange(&mut end, Timestamp::ZERO);
    }
    let held = |end: &mut End| {
        let config = ConnectionConfig::default();
        let spare = End::new(Role::Dialer, 1, None, config).connection;
        let old = std::mem::replace(&mut end.connection, spare);
        let region = Region::new(ALLOCATOR);
        drop(old);
        let change = region.change();
        change.bytes_deallocated - change.bytes_allocated
    };
    let data = [9; 250_000];
    let mut written = 0;
    for stream in &streams {
        let mut left = &data[..];
        while !left.is_empty() {
            match remote.mux.write(*stream, left) {
                Ok(n) => {
                    left = &left[n..];
                    written += n;
                }
                Err(_) if remote.wire.is_empty() => remote.exchange(&mut end, Timestamp::ZERO),
                Err(_) => break,
            }
        }
    }
    remote.exchange(&mut end, Timestamp::ZERO);
    assert!(!remote.wire.is_empty(), "more was to come");
    let leased = end.connection.window_use().leased_bytes;
    let held = held(&mut end) as u64;
    println!(
        "256 streams, {written} bytes written, {leased} leased: {held} bytes of heap are held"
    );
    // The block that is received into, and what 256 streams are kept in.
    let besides = 260 * 1024 + 256 * 256;
    assert!(held <= (1 << 20) + leased + besides, "{held} bytes");
}
