//! `Gossip` alone: the machine, without connections, Node and sockets.
//!
//! [`neighbourhood`] plays the peers of a machine, [`minip2p`] those of another one; [`work`] is what
//! is measured.

mod minip2p;
mod neighbourhood;
mod work;

use anyhow::Result;
use sanspeer_core::gossip::{GossipConfig, SignaturePolicy, VerifyWhere};

use crate::Options;
use crate::meter::Cost;
use crate::report::{Suite, Unit};
use crate::rounds::{self, Entry, Role};
use minip2p::Agent;
use neighbourhood::Neighbourhood;
use work::{heartbeats, publishing, receiving, receiving_copies, signatures, verifications};

/// Bytes of data of every message.
const MESSAGE_BYTES: usize = 1024;
/// D: so many neighbours there are, and all are in the mesh. For heartbeats there are more.
const MESH: usize = 6;

const MINIP2P: &str = "minip2p-pubsub, signed and checked";

/// Signatures are made, and checked in the machine.
fn signed() -> GossipConfig {
    GossipConfig::default()
}

/// Signatures are checked by somebody who says at once that they hold: what is left is the machine.
fn checked_elsewhere() -> GossipConfig {
    GossipConfig { verify: VerifyWhere::Connection { max_in_flight: 1 }, ..signed() }
}

/// There are none. The id of a message is a hash over it.
fn unsigned() -> GossipConfig {
    GossipConfig { signatures: SignaturePolicy::StrictNoSign, ..signed() }
}

fn neighbourhood(config: GossipConfig, peers: usize) -> Result<Neighbourhood> {
    let is_checked = config.verify == VerifyWhere::Inline;
    Neighbourhood::new(config, peers, is_checked)
}

/// All tests of the machine.
pub fn suites(options: &Options) -> Result<Vec<Suite>> {
    Ok(vec![
        publishing_suite(options)?,
        receiving_suite(options)?,
        copies_suite(options)?,
        heartbeat_suite(options)?,
    ])
}

fn suite(title: &str, mut entries: Vec<Entry<'_>>, grain: u64, options: &Options) -> Result<Suite> {
    entries.retain(|entry| options.wants_contender(&entry.name));
    let series = rounds::run(entries, options.schedule(grain))?;
    Ok(Suite::new(format!("Gossip: {title}"), Unit::Operation, series, options.clock))
}

fn ours<'a>(name: &str, run: impl FnMut(u64) -> Result<Cost> + 'a) -> Entry<'a> {
    Entry::new(Role::Ours, name, run)
}

fn publishing_suite(options: &Options) -> Result<Suite> {
    let mut signed = neighbourhood(signed(), MESH)?;
    let mut unsigned = neighbourhood(unsigned(), MESH)?;
    let mut agent = Agent::new()?;
    let entries = vec![
        ours("ours, signed", |count| publishing(&mut signed, count)),
        ours("ours, without signatures", |count| publishing(&mut unsigned, count)),
        Entry::new(Role::Peer, MINIP2P, |count| publishing(&mut agent, count)),
        Entry::new(Role::Limit, "one signature", signatures),
    ];
    let title = format!("publishing {MESSAGE_BYTES} bytes to {MESH} peers");
    suite(&title, entries, 1000, options)
}

fn receiving_suite(options: &Options) -> Result<Suite> {
    let mut inside = neighbourhood(signed(), MESH)?;
    let mut elsewhere = neighbourhood(checked_elsewhere(), MESH)?;
    let mut unsigned = neighbourhood(unsigned(), MESH)?;
    let mut agent = Agent::new()?;
    let entries = vec![
        ours("ours, signature checked in the machine", |count| receiving(&mut inside, count)),
        ours("ours, checked elsewhere, which is not counted", |count| {
            receiving(&mut elsewhere, count)
        }),
        ours("ours, without signatures", |count| receiving(&mut unsigned, count)),
        Entry::new(Role::Peer, MINIP2P, |count| receiving(&mut agent, count)),
        Entry::new(Role::Limit, "one signature checked", verifications),
    ];
    let others = MESH - 1;
    let title = format!("a new message of {MESSAGE_BYTES} bytes, passed on to {others} peers");
    suite(&title, entries, 1000, options)
}

fn copies_suite(options: &Options) -> Result<Suite> {
    let mut signed = neighbourhood(checked_elsewhere(), MESH)?;
    let mut unsigned = neighbourhood(unsigned(), MESH)?;
    let mut agent = Agent::new()?;
    let entries = vec![
        ours("ours, signed", |count| receiving_copies(&mut signed, count)),
        ours("ours, without signatures", |count| receiving_copies(&mut unsigned, count)),
        Entry::new(Role::Peer, MINIP2P, |count| receiving_copies(&mut agent, count)),
    ];
    suite(&format!("a duplicate of {MESSAGE_BYTES} bytes"), entries, 5000, options)
}

fn heartbeat_suite(options: &Options) -> Result<Suite> {
    let mut all = Vec::new();
    for peers in [100, 1000] {
        for messages in [0, 50] {
            all.push((peers, messages, neighbourhood(checked_elsewhere(), peers)?));
        }
    }
    let entries = all.iter_mut().map(|(peers, messages, around)| {
        let messages = *messages;
        let name = match messages {
            0 => format!("ours, {peers} peers, nothing to gossip about"),
            count => format!("ours, {peers} peers, {count} messages since the last"),
        };
        ours(&name, move |count| heartbeats(around, messages, count))
    });
    suite("a heartbeat, one topic", entries.collect(), 10, options)
}
