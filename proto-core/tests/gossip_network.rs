//! A network of a thousand nodes in one process, on virtual time.

mod gossip_world;

use gossip_world::{World, millis, secs, topic};
use sanspeer_core::gossip::{GossipConfig, SignaturePolicy};
use sanspeer_core::rng::Seed;

const NODES: usize = 1_000;
const DIALS: usize = 10;
const MESSAGES: usize = 5;

/// What came of one run.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    digest: [u8; 32],
    /// At how many nodes each message arrived, once.
    delivered: Vec<usize>,
    /// Copies that were sent from publishing on.
    copies: u64,
}

fn run(seed: u64) -> Outcome {
    let config =
        GossipConfig { signatures: SignaturePolicy::StrictNoSign, ..GossipConfig::default() };
    let mut world = World::new(seed).with_delay(millis(22), millis(28));
    let (t, nodes) = (topic("t"), world.add_many(NODES, &config));
    let mut rng = Seed::from_u64(seed).derive("graph", 0).rng();
    for node in nodes {
        world.subscribe(node, &t);
        for _ in 0..DIALS {
            let other = usize::try_from(rng.next_u64() % NODES as u64).expect("small");
            if other != node && world.connections_of(node, other).is_empty() {
                world.connect(node, other);
            }
        }
    }
    world.run_for(secs(3));
    let before = world.copies_sent;
    for number in 0..MESSAGES {
        world.publish(number * 7, &t, format!("message {number}"));
        world.run_for(millis(200));
    }
    world.run_for(secs(3));
    let mut delivered = vec![0; MESSAGES];
    for node in 0..NODES {
        let mut seen = [false; MESSAGES];
        for message in world.messages(node) {
            let number = usize::from(message.data[message.data.len() - 1] - b'0');
            assert!(!core::mem::replace(&mut seen[number], true), "a second time at {node}");
            delivered[number] += 1;
        }
    }
    Outcome { digest: world.digest(), delivered, copies: world.copies_sent - before }
}

#[test]
fn in_a_thousand_nodes_a_message_reaches_all_and_two_runs_are_equal() {
    let outcome = run(1);
    assert_eq!(outcome.delivered, [NODES - 1; MESSAGES]);
    let deliveries = (MESSAGES * (NODES - 1)) as u64;
    let degree = GossipConfig::default().mesh.degree as u64;
    assert!(
        outcome.copies <= degree * deliveries,
        "{} copies for {deliveries} deliveries",
        outcome.copies
    );
    assert_eq!(run(1), outcome);
}
