//! One peer that stops reading while fifty others work.
#![allow(clippy::wildcard_enum_match_arm, reason = "a case looks at some events")]

use std::cell::Cell;
use std::pin::pin;

use bytes::Bytes;
use futures::AsyncWriteExt;
use futures::future::{Either, join_all, pending, select};
use sanspeer_core::identity::PeerId;
use sanspeer_core::node::NodeEvent;
use sanspeer_driver::runtime::Runtime;
use sanspeer_driver::{Events, Handle};

use super::feed::{FEED, Feed};
use super::stalling::Stalling;
use super::world::{
    ECHO, a_moment, echo, exchange, in_time, listen, node_with, pattern, protocol, until, wait_for,
};

/// How many go on.
const OTHERS: usize = 50;

/// What everybody is told, in bytes.
const MESSAGE_BYTES: usize = 16 * 1024;

/// How often, and how many at once.
const ROUNDS: u64 = 10;
const MESSAGES_AT_ONCE: u64 = 10;

/// What each of the others sends and gets back meanwhile, in bytes, and how often.
const ECHO_BYTES: usize = 30_000;
const ECHOES: u64 = 5;

/// What all connections of the one in the middle together may lease.
const BUDGET_BYTES: usize = 16 * 1024 * 1024;

/// What connections may hold without a lease: a MiB each, see the book's page of limits.
const FIRST_LEASES_BYTES: usize = (OTHERS + 1) * 1024 * 1024;

/// What may be held for the slow one when the others are done: what waits in its queues. Everybody
/// else's buffers are given back then.
const MAX_HELD_BYTES: usize = 3 * 1024 * 1024;

/// What the slow one does not read.
const BULK: &str = "/contract/bulk";

/// The one who stops is written to, by Node and by the application, for as long as anything goes;
/// everybody else hears all of it. What all of them allocate, at both ends, stays under what the
/// one in the middle alone may; and when the others are done, little is left. Nothing else may go on
/// in the process. `live_bytes` counts what is allocated.
pub async fn one_that_stops_reading_delays_nobody<R: Runtime>(
    runtime: R,
    live_bytes: impl Fn() -> usize,
) {
    in_time(&runtime, async {
        for transport in ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"] {
            let middle = node_with(&runtime, |config| {
                config.protocols = vec![Feed::boxed()];
                config.node.window_budget_bytes = BUDGET_BYTES as u64;
            });
            echo(&runtime, &middle).await;
            let (_, address) = listen(&middle, transport).await;
            let (mut others, mut events) = (Vec::new(), Vec::new());
            for _ in 0..OTHERS {
                let other = node_with(&runtime, |config| config.protocols = vec![Feed::boxed()]);
                events.push(other.events());
                let peer = other.dial(address.clone()).await.expect("a connection");
                others.push((other, peer));
            }
            let stalling = Stalling::new(runtime.clone());
            let slow = node_with(&stalling, |config| config.protocols = vec![Feed::boxed()]);
            let acceptor = slow.accept(protocol(BULK)).await.expect("a free protocol");
            slow.dial(address).await.expect("a connection");
            // All streams of the feed are there.
            while tell(&middle, Bytes::new()).await < OTHERS as u64 + 1 {
                a_moment(&runtime).await;
            }
            // Over TCP the slow one's socket is read no more, over QUIC its stream.
            stalling.stop_reading();

            let most = Cell::new(0);
            let before = live_bytes();
            let look = || most.set(most.get().max(live_bytes().saturating_sub(before)));
            let filling = pin!(fill(&middle, slow.peer_id()));
            let working = pin!(async {
                futures::join!(feed(&middle, &mut events, look), work(&others));
                until(&runtime, || live_bytes() < before + MAX_HELD_BYTES).await;
            });
            match select(filling, working).await {
                Either::Left(_) => unreachable!("nobody reads that"),
                Either::Right(_) => {}
            }
            let budget = FIRST_LEASES_BYTES + BUDGET_BYTES;
            assert!(most.get() < budget, "{transport}: {} of {budget} bytes", most.get());

            drop(acceptor);
            futures::join!(
                middle.shutdown(),
                slow.shutdown(),
                join_all(others.iter().map(|(other, _)| other.shutdown()))
            );
        }
    })
    .await;
}

/// Tells everybody, and returns how many there was room for.
async fn tell(middle: &Handle, message: Bytes) -> u64 {
    let reply = middle.protocol(FEED, message).await.expect("a reply");
    u64::from_le_bytes(reply[..].try_into().expect("eight bytes"))
}

/// Tells everybody, round by round, as soon as the others have heard the last one.
async fn feed(middle: &Handle, events: &mut [Events], look: impl Fn()) {
    for round in 0..ROUNDS {
        let messages: Vec<Bytes> = (0..MESSAGES_AT_ONCE)
            .map(|number| pattern(MESSAGE_BYTES, round * MESSAGES_AT_ONCE + number).into())
            .collect();
        for message in &messages {
            let told = tell(middle, message.clone()).await;
            assert!(told >= OTHERS as u64, "there was room for {told}");
            look();
        }
        join_all(events.iter_mut().map(|events| hear(events, &messages))).await;
        look();
    }
}

/// Each message comes once, in order.
async fn hear(events: &mut Events, messages: &[Bytes]) {
    for message in messages {
        let heard = wait_for(events, |event| match event {
            NodeEvent::Protocol { event, .. } if !event.is_empty() => Some(event.clone()),
            _ => None,
        })
        .await;
        assert!(heard == *message, "another message");
    }
}

/// All of the others exchange something with the one in the middle.
async fn work(others: &[(Handle, PeerId)]) {
    join_all(others.iter().map(|(other, middle)| async {
        for number in 0..ECHOES {
            let stream = other.open_stream(*middle, &[protocol(ECHO)]).await.expect("a stream");
            let sent = pattern(ECHO_BYTES, number);
            assert!(exchange(stream, &sent).await == sent, "what came back is something else");
        }
    }))
    .await;
}

/// Writes to somebody who does not read, and never ends.
async fn fill(middle: &Handle, slow: PeerId) {
    let mut stream = middle.open_stream(slow, &[protocol(BULK)]).await.expect("a stream");
    let piece = pattern(MESSAGE_BYTES, 1);
    // In the end it may be closed as one who does not answer.
    while stream.write_all(&piece).await.is_ok() {}
    pending().await
}
