//! Known failures of other implementations of gossip, each with a test that ours does not have it,
//! named by its id where there is one. The classes without an id are those that were seen in code
//! of this kind more than once.

#[path = "../gossip_world/mod.rs"]
mod gossip_world;

mod backoffs;
mod bounds;
mod frames;
mod messages;
mod queues;
mod scores;
mod time;
mod topics;

use std::alloc::System;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gossip_world::{LATEST, World, node_with};
use sanspeer_core::gossip::{Outgoing, SendLimits, WireMessage};
use sanspeer_core::node::{ProtocolInput, ProtocolOutput};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Tests that count must not run beside any other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts what is allocated from now on.
fn count() -> Region<'static, System> {
    Region::new(ALLOCATOR)
}

/// Bytes that were allocated since and not given back.
fn left(region: &Region<'static, System>) -> usize {
    let change = region.change();
    change.bytes_allocated.saturating_sub(change.bytes_deallocated)
}

/// A puppet's frames come at once, without a copy of theirs being kept anywhere.
fn tell(world: &mut World, puppet: usize, node: usize, said: &Outgoing) {
    let stream = world.stream_between(puppet, node).expect("it spoke before");
    let limits = SendLimits { max_frame_bytes: 1 << 20, max_control_bytes: 1 << 20 };
    for frame in said.frames(&limits) {
        world.tell(node, ProtocolInput::Frame { stream, frame: frame.body });
    }
}

/// Signatures that connections were asked to check, since the node's outputs are recorded.
fn verifications(world: &World, node: usize) -> usize {
    let outputs = world.sides[node].outputs.iter();
    outputs.filter(|output| matches!(output, ProtocolOutput::Verify { .. })).count()
}

/// A message that says something else than what its author signed.
fn forged(message: &WireMessage) -> WireMessage {
    let mut bytes = message.encoded.to_vec();
    let at = bytes.windows(message.data.len()).position(|part| part == message.data);
    bytes[at.expect("the data is in it")] ^= 1;
    WireMessage::decode(&bytes.into()).expect("a well-formed message")
}
