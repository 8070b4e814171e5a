//! Known peers that are dialled while too few are connected.
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks at some events")]

mod host_world;

use std::time::Duration;

use host_world::*;
use sanspeer_core::host::{HostConfig, HostOutput};
use sanspeer_core::node::{Answer, Command};

const LOOK: Duration = Duration::from_secs(30);

/// A world of five, whose first keeps two others connected, and knows all of them.
fn world() -> World {
    let mut configs: Vec<_> = (1..=5).map(|number| (number, HostConfig::default())).collect();
    configs[0].1.node.low_connections = 2;
    for (_, config) in &mut configs {
        config.node.idle_timeout = None;
    }
    let mut world = World::with_configs(configs);
    for side in 1..5_u32 {
        let address = world.listen(side as usize, u64::from(side));
        let addresses = vec![address.parse().expect("an address")];
        let peer = world.sides[side as usize].peer_id;
        let answer = world.ask(0, Command::AddAddresses { peer, addresses });
        assert_eq!(answer, Answer::Done);
    }
    world
}

#[test]
fn as_many_known_peers_are_dialled_as_are_missing() {
    let mut world = world();
    world.advance(LOOK - Duration::from_nanos(1));
    assert_eq!(world.peers(0), []);
    world.advance(Duration::from_nanos(1));
    let first = world.peers(0);
    assert_eq!(first.len(), 2);
    world.advance(10 * LOOK);
    assert_eq!(world.peers(0), first, "that is enough");
    // One of them is gone for good; another takes its place.
    let gone = (1..5).find(|side| world.sides[*side].peer_id == first[0]).expect("a side");
    world.ask(gone, Command::Shutdown);
    world.advance(2 * LOOK);
    let second = world.peers(0);
    assert_eq!(second.len(), 2);
    assert!(second.contains(&first[1]) && !second.contains(&first[0]), "{second:?}");
}

#[test]
fn who_is_not_there_is_dialled_less_and_less_and_nobody_after_the_end() {
    let mut world = world();
    for side in 1..5 {
        world.ask(side, Command::Shutdown);
    }
    let dials = |world: &World| {
        world.outputs.iter().filter(|(_, output)| matches!(output, HostOutput::Dial { .. })).count()
    };
    world.advance(LOOK);
    assert_eq!(dials(&world), 2, "as many as are missing");
    world.advance(LOOK);
    assert_eq!(dials(&world), 4, "the other two");
    world.advance(120 * LOOK);
    let in_an_hour = dials(&world);
    assert!((8..120).contains(&in_an_hour), "{in_an_hour} dials in an hour");
    world.ask(0, Command::Shutdown);
    world.advance(120 * LOOK);
    assert_eq!(dials(&world), in_an_hour);
    assert_eq!(world.sides[0].host.poll_timeout(), None);
}
