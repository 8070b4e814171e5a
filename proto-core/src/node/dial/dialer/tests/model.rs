//! Whatever happens, what a dialer promises holds.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Connect { peer: Option<u64>, addresses: Vec<usize> },
    Failed { nth: usize, error: usize },
    Established { nth: usize, peer: u64 },
    LookedUp { nth: usize, addresses: Vec<usize> },
    Connected { peer: u64 },
    Cancel { nth: usize },
    Pass { millis: u64 },
    Stray { id: u64 },
}

/// Every kind of address, some with peers.
fn addresses() -> Vec<Multiaddr> {
    let mut addresses: Vec<_> = [
        "/ip4/8.8.8.8/tcp/1",
        "/ip4/8.8.8.8/tcp/2",
        "/ip6/::ffff:8.8.8.8/tcp/1",
        "/ip6/2606:4700::1/tcp/1",
        "/ip6/2606:4700::1/udp/1/quic-v1",
        "/ip4/8.8.8.8/udp/1/quic-v1",
        "/ip4/8.8.8.8/udp/1",
        "/ip4/127.0.0.1/tcp/1",
        "/ip4/192.168.0.1/tcp/1",
        "/ip4/0.0.0.0/tcp/1",
        "/memory/1",
        "/dns/example.org/tcp/1",
        "/dns4/example.org/tcp/1",
        "/dnsaddr/example.org",
        "/dnsaddr/example.net",
    ]
    .into_iter()
    .map(address)
    .collect();
    addresses.push(named(&tcp(1), 1));
    addresses.push(named(&tcp(2), 2));
    addresses.push(named(&addresses[13].clone(), 1));
    addresses.push(named(&tcp(9), 3).with(multiaddr::Protocol::P2pCircuit));
    addresses
}

fn step() -> impl Strategy<Value = Step> {
    let some = proptest::collection::vec(0..addresses().len(), 0..6);
    prop_oneof![
        4 => (proptest::option::of(0..4u64), some.clone())
            .prop_map(|(peer, addresses)| Step::Connect { peer, addresses }),
        3 => (any::<usize>(), 0..6usize).prop_map(|(nth, error)| Step::Failed { nth, error }),
        2 => (any::<usize>(), 1..4u64).prop_map(|(nth, peer)| Step::Established { nth, peer }),
        3 => (any::<usize>(), some)
            .prop_map(|(nth, addresses)| Step::LookedUp { nth, addresses }),
        1 => (1..4u64).prop_map(|peer| Step::Connected { peer }),
        1 => any::<usize>().prop_map(|nth| Step::Cancel { nth }),
        4 => (0..8_000u64).prop_map(|millis| Step::Pass { millis }),
        1 => any::<u64>().prop_map(|id| Step::Stray { id }),
    ]
}

fn errors() -> [DialError; 6] {
    [
        REFUSED,
        DialError::Closed(CloseReason::TransportEnded),
        DialError::Failed(DialFailure::WrongPeer { found: Box::new(peer(9)) }),
        DialError::Cancelled,
        UNSUPPORTED,
        DialError::Closed(CloseReason::Refused(RefuseReason::Policy)),
    ]
}

/// What can be seen of a dialer from outside.
#[derive(Default)]
struct Seen {
    waiting: BTreeSet<DialId>,
    attempts: BTreeMap<ConnectionId, (Option<PeerId>, Multiaddr)>,
    lookups: BTreeMap<LookupId, Multiaddr>,
    used: BTreeSet<ConnectionId>,
}

impl Seen {
    /// Takes all outputs, and looks whether they keep what was promised.
    fn take(&mut self, world: &mut World, config: &DialConfig) {
        for output in world.outputs() {
            match output {
                DialOutput::Dial { connection, address, peer } => {
                    assert!(self.used.insert(connection), "an id comes once");
                    let dialled = (peer, address);
                    if let (Some(peer), address) = &dialled {
                        let reason = world.peers.skip_address(peer, address, world.now);
                        assert_eq!(reason, None, "{address}");
                        let is_once = self.attempts.values().all(|other| *other != dialled);
                        assert!(is_once, "one dial for each peer and address");
                    }
                    assert!(peer_of(&dialled.1).is_none());
                    self.attempts.insert(connection, dialled);
                }
                DialOutput::Cancel(connection) => {
                    assert!(self.attempts.remove(&connection).is_some(), "it was under way");
                }
                DialOutput::LookUp { lookup, address } => {
                    assert!(self.lookups.insert(lookup, address).is_none());
                }
                DialOutput::Done { dial, result } => {
                    assert!(self.waiting.remove(&dial), "one end for each request");
                    assert_ne!(result, Err(Vec::new()), "no failure without a reason");
                }
            }
        }
        assert!(self.attempts.len() <= config.max_attempts);
        let mut of_peer = BTreeMap::new();
        for peer in self.attempts.values().filter_map(|(peer, _)| *peer) {
            *of_peer.entry(peer).or_insert(0) += 1;
        }
        assert!(of_peer.values().all(|count| *count <= config.max_attempts_per_peer));
        assert!(self.waiting.len() <= config.max_dials);
    }

    fn nth<K: Copy, V>(map: &BTreeMap<K, V>, nth: usize) -> Option<K> {
        map.keys().nth(nth.checked_rem(map.len())?).copied()
    }
}

fn act(
    world: &mut World,
    seen: &mut Seen,
    addresses: &[Multiaddr],
    config: &DialConfig,
    step: Step,
) {
    let pick = |picked: Vec<usize>| -> Vec<Multiaddr> {
        picked.into_iter().map(|i| addresses[i].clone()).collect()
    };
    match step {
        Step::Connect { peer: number, addresses } => {
            if let Ok(dial) = world.connect(number.map(peer), &pick(addresses)) {
                assert!(seen.waiting.insert(dial), "an id comes once");
            }
        }
        Step::Failed { nth, error } => {
            if let Some(connection) = Seen::nth(&seen.attempts, nth) {
                seen.attempts.remove(&connection);
                world.fail(connection, errors()[error].clone());
            }
        }
        Step::Established { nth, peer } => {
            if let Some(connection) = Seen::nth(&seen.attempts, nth) {
                seen.attempts.remove(&connection);
                world.establish(connection, peer);
            }
        }
        Step::LookedUp { nth, addresses } => {
            if let Some(lookup) = Seen::nth(&seen.lookups, nth) {
                seen.lookups.remove(&lookup);
                world.look_up(lookup, &pick(addresses));
            }
        }
        Step::Connected { peer: number } => {
            let connection = world.ids.connection();
            seen.used.insert(connection);
            world.with(|dialer, cx| dialer.handle_connected(cx, connection, peer(number)));
        }
        Step::Cancel { nth } => {
            let nth = nth.checked_rem(seen.waiting.len()).and_then(|i| seen.waiting.iter().nth(i));
            if let Some(dial) = nth.copied() {
                world.with(|dialer, cx| dialer.cancel(cx, dial));
            }
        }
        Step::Pass { millis } => pass(world, seen, config, millis),
        Step::Stray { id } => {
            // Ids count up from 1, so that this one was not given out.
            let id = id | 1 << 63;
            world.fail(ConnectionId(id), REFUSED);
            world.establish(ConnectionId(id), 1);
            world.look_up(LookupId(id), &[tcp(1)]);
            world.with(|dialer, cx| dialer.cancel(cx, DialId(id)));
            world.with(|dialer, cx| dialer.handle_timeout(cx));
        }
    }
    seen.take(world, config);
}

/// Like [`World::pass`], with a look at what happened after each timeout.
fn pass(world: &mut World, seen: &mut Seen, config: &DialConfig, millis: u64) {
    let end = world.now.saturating_add(Duration::from_millis(millis));
    while let Some(deadline) = world.dialer.poll_timeout().filter(|deadline| deadline.at <= end) {
        assert!(deadline.at > world.now, "a deadline in the past");
        world.now = deadline.at;
        world.with(|dialer, cx| dialer.handle_timeout(cx));
        seen.take(world, config);
    }
    world.now = end;
}

proptest! {
    #[test]
    fn every_request_ends_once_and_bounds_hold(
        steps in proptest::collection::vec(step(), 0..80),
        (per_peer, in_all, dials) in (0..4usize, 0..6usize, 0..6usize),
        (offered, depth, lookups) in (0..8usize, 0..4u32, 0..3usize),
        delays in (0..300u64, 0..40u64, 0..600u64),
    ) {
        let config = DialConfig {
            public_delay: Duration::from_millis(delays.0),
            private_delay: Duration::from_millis(delays.1),
            relay_delay: Duration::from_millis(delays.2),
            max_attempts_per_peer: per_peer.max(1),
            max_attempts: in_all.max(1),
            max_lookups: lookups.max(1),
            max_dials: dials,
            max_addresses: offered,
            max_name_depth: depth,
            max_lookup_results: 4,
            ..DialConfig::default()
        };
        let addresses = addresses();
        let mut world = World::new(config.clone());
        let mut seen = Seen::default();
        for step in steps {
            act(&mut world, &mut seen, &addresses, &config, step);
        }
        // Nobody answers any more. All there may be take 15 s each, one after the other.
        let longest = 15_000 * 2 * (dials as u64 + 10) * (offered as u64 + 1);
        pass(&mut world, &mut seen, &config, longest);
        prop_assert!(seen.waiting.is_empty(), "{:?}", seen.waiting);
        prop_assert!(seen.attempts.is_empty());
        prop_assert_eq!(world.dialer.poll_timeout(), None);
        prop_assert!(world.dialer.races.is_empty());
    }
}
