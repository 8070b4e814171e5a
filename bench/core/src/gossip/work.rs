//! What is measured of a machine. Each batch of messages is made before its measurement, and a
//! second passes after it, so that a machine sees about a thousand messages a second.

use std::hint::black_box;

use anyhow::{Result, anyhow, ensure};
use bytes::Bytes;
use libp2p_identity::{Keypair, PublicKey};
use sanspeer_core::node::{Protocol as _, ProtocolInput};

use super::neighbourhood::Neighbourhood;
use super::{MESH, MESSAGE_BYTES};
use crate::meter::{Cost, Meter};

/// A machine that gossips, with neighbours who are all in its mesh. What it sends leaves within the
/// call.
pub trait Machine {
    /// Data that no other message has.
    fn data(&mut self) -> Bytes;

    /// Frames with a new message each, by somebody who is no neighbour.
    fn messages(&mut self, count: u64) -> Result<Vec<Bytes>>;

    fn publish(&mut self, data: Bytes) -> Result<()>;

    /// A neighbour sends a frame.
    fn bring(&mut self, neighbour: usize, frame: Bytes);

    /// Lets a second pass.
    fn second(&mut self);

    fn tally(&self) -> Tally;
}

/// What a machine did so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    /// Messages that the application was told.
    pub delivered: u64,
    /// Frames.
    pub sent: u64,
}

/// The data of message `next`, which counts on.
pub fn numbered(next: &mut u64) -> Vec<u8> {
    let mut data = vec![7; MESSAGE_BYTES];
    data[..8].copy_from_slice(&next.to_be_bytes());
    *next += 1;
    data
}

/// A thousand operations or so.
const BATCH: u64 = 1000;

/// Calls `batch` with the sizes of batches that make `count` together, and adds up what they cost.
fn batches(count: u64, size: u64, mut batch: impl FnMut(u64) -> Result<Cost>) -> Result<Cost> {
    let (mut left, mut cost) = (count, Cost::default());
    while left > 0 {
        let part = left.min(size);
        cost += batch(part)?;
        left -= part;
    }
    Ok(cost)
}

/// Measures `work`, and checks how many messages it delivered and frames it sent.
fn measured<M: Machine>(
    machine: &mut M,
    expected: Tally,
    work: impl FnOnce(&mut M) -> Result<()>,
) -> Result<Cost> {
    let before = machine.tally();
    let meter = Meter::start();
    work(machine)?;
    let cost = meter.stop();
    let after = machine.tally();
    let did =
        Tally { delivered: after.delivered - before.delivered, sent: after.sent - before.sent };
    ensure!(did == expected, "{did:?} instead of {expected:?}");
    machine.second();
    Ok(cost)
}

/// From the call until the frames have left.
pub fn publishing(machine: &mut impl Machine, count: u64) -> Result<Cost> {
    batches(count, BATCH, |count| {
        let data: Vec<_> = (0..count).map(|_| machine.data()).collect();
        let expected = Tally { delivered: 0, sent: count * MESH as u64 };
        measured(machine, expected, |machine| {
            data.into_iter().try_for_each(|data| machine.publish(data))
        })
    })
}

/// From a frame with a new message until it was told and has left.
pub fn receiving(machine: &mut impl Machine, count: u64) -> Result<Cost> {
    batches(count, BATCH, |count| {
        let frames = machine.messages(count)?;
        let expected = Tally { delivered: count, sent: count * (MESH as u64 - 1) };
        measured(machine, expected, |machine| {
            for (number, frame) in frames.into_iter().enumerate() {
                machine.bring(number % MESH, frame);
            }
            Ok(())
        })
    })
}

/// A frame with a message that another neighbour brought just before.
pub fn receiving_copies(machine: &mut impl Machine, count: u64) -> Result<Cost> {
    let others = MESH as u64 - 1;
    batches(count, BATCH * others, |count| {
        let frames = machine.messages(count.div_ceil(others))?;
        frames.iter().for_each(|frame| machine.bring(0, frame.clone()));
        let copies = frames.iter().flat_map(|frame| (1..MESH).map(move |by| (by, frame)));
        let copies = copies.take(usize::try_from(count)?);
        measured(machine, Tally::default(), |machine| {
            copies.for_each(|(by, frame)| machine.bring(by, frame.clone()));
            Ok(())
        })
    })
}

/// A heartbeat, after so many new messages, until what it caused has left.
pub fn heartbeats(around: &mut Neighbourhood, messages: u64, count: u64) -> Result<Cost> {
    batches(count, 1, |_| {
        for frame in around.messages(messages)? {
            around.bring(0, frame);
        }
        let due = around.gossip.poll_timeout().map(|deadline| deadline.at);
        around.now = due.ok_or_else(|| anyhow!("no heartbeat is due"))?;
        let before = around.tally();
        let meter = Meter::start();
        around.gossip.handle(around.now, ProtocolInput::Timeout);
        around.settle();
        let cost = meter.stop();
        ensure!(around.tally().sent > before.sent || messages == 0, "nobody was told");
        Ok(cost)
    })
}

/// `count` signatures over a message, as `libp2p-identity` makes them.
pub fn signatures(count: u64) -> Result<Cost> {
    let (key, message) = (Keypair::generate_ed25519(), [7; MESSAGE_BYTES]);
    let meter = Meter::start();
    for _ in 0..count {
        black_box(key.sign(black_box(&message))?);
    }
    Ok(meter.stop())
}

/// `count` checks of such a signature. The key is decoded each time, as a message brings it.
pub fn verifications(count: u64) -> Result<Cost> {
    let (key, message) = (Keypair::generate_ed25519(), [7; MESSAGE_BYTES]);
    let (encoded, signature) = (key.public().encode_protobuf(), key.sign(&message)?);
    let meter = Meter::start();
    for _ in 0..count {
        let key = PublicKey::try_decode_protobuf(black_box(&encoded))?;
        ensure!(key.verify(black_box(&message), &signature), "the signature holds");
    }
    Ok(meter.stop())
}

#[cfg(test)]
mod tests {
    use super::super::minip2p::Agent;
    use super::super::{checked_elsewhere, neighbourhood, signed, unsigned};
    use super::*;

    fn works(machine: &mut impl Machine) -> Result<()> {
        publishing(machine, 3)?;
        receiving(machine, MESH as u64 + 1)?;
        receiving_copies(machine, MESH as u64 + 1).map(|_| ())
    }

    #[test]
    fn every_work_checks_what_came_of_it() -> Result<()> {
        for config in [signed(), checked_elsewhere(), unsigned()] {
            works(&mut neighbourhood(config.clone(), MESH)?)?;
            for messages in [0, 2] {
                heartbeats(&mut neighbourhood(config.clone(), 20)?, messages, 4)?;
            }
        }
        works(&mut Agent::new()?)?;
        signatures(1)?;
        verifications(1).map(|_| ())
    }
}
