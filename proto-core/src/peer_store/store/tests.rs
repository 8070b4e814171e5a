//! Tests of the bounds of the peer store, and the table of its skip rules.

use core::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::close::{CloseReason, RefuseReason};
use crate::identity::Identity;
use crate::node::DialFailure;
use crate::rng::Seed;

const START: Timestamp = Timestamp::from_secs(1000);
const REFUSED: DialError = DialError::Failed(DialFailure::Refused);

fn peer(number: u64) -> PeerId {
    Identity::ed25519(&Seed::from_u64(number)).peer_id()
}

fn address(text: &str) -> Multiaddr {
    text.parse().expect(text)
}

fn tcp(port: u16) -> Multiaddr {
    address(&format!("/ip4/8.8.8.8/tcp/{port}"))
}

fn after(seconds: u64) -> Timestamp {
    START.saturating_add(Duration::from_secs(seconds))
}

fn store() -> PeerStore {
    PeerStore::new(peer(0), PeerStoreConfig::default())
}

fn small(max_peers: usize, max_addresses: usize, max_addresses_disconnected: usize) -> PeerStore {
    let backoff = Backoff::default();
    let config = PeerStoreConfig { max_peers, max_addresses, max_addresses_disconnected, backoff };
    PeerStore::new(peer(0), config)
}

fn ports(store: &PeerStore, peer: &PeerId) -> Vec<String> {
    let known = store.get(peer).expect("a known peer");
    let last = |address: &Multiaddr| address.to_string().rsplit('/').next().map(str::to_owned);
    known.addresses().filter_map(|(address, _)| last(address)).collect()
}

fn info(ports: &[u16]) -> PeerInfo {
    PeerInfo { addresses: ports.iter().copied().map(tcp).collect(), ..PeerInfo::default() }
}

#[test]
fn an_address_that_cannot_be_dialled_is_refused() {
    let mut store = store();
    let long = format!("/dns4/{0}/tcp/1/p2p/{1}/p2p-circuit", "a".repeat(253), peer(9));
    let long = long.repeat(2);
    let long = address(&long);
    let cases = [
        (peer(0), tcp(1), AddressError::Ourselves),
        (peer(1), tcp(1).with_p2p(peer(2)).expect("no peer yet"), AddressError::OtherPeer(peer(2))),
        (peer(1), long.clone(), AddressError::TooLong(long.len())),
        (peer(1), address("/ip4/8.8.8.8/udp/1"), AddressError::UnknownKind),
        (peer(1), Multiaddr::empty(), AddressError::UnknownKind),
        (peer(1), tcp(0), AddressError::NobodyThere),
        (peer(1), address("/ip4/0.0.0.0/tcp/1"), AddressError::NobodyThere),
        (peer(1), address("/ip4/224.0.0.1/udp/1/quic-v1"), AddressError::NobodyThere),
    ];
    for (peer, address, error) in cases {
        assert_eq!(store.add(peer, &address, Source::Configured, START), Err(error));
    }
    assert!(store.is_empty());
}

#[test]
fn one_address_has_one_spelling() {
    let mut store = store();
    let named = tcp(1).with_p2p(peer(1)).expect("no peer yet");
    let mapped = address("/ip6/::ffff:8.8.8.8/tcp/1");
    for address in [tcp(1), named, mapped] {
        assert_eq!(store.add(peer(1), &address, Source::Identify, START), Ok(()));
    }
    assert_eq!(store.addresses_to_dial(&peer(1), START), [tcp(1)]);
}

#[test]
fn each_skip_rule_has_its_reason() {
    let found = peer(7);
    let backed_off = |seconds, failures| SkipReason::BackedOff { until: after(seconds), failures };
    let wrong = [
        DialError::Failed(DialFailure::WrongPeer { found: Box::new(found) }),
        DialError::Closed(CloseReason::WrongPeer {
            expected: Box::new(peer(1)),
            found: Box::new(found),
        }),
    ];
    let policy = DialError::Closed(CloseReason::Refused(RefuseReason::Policy));
    let year = 365 * 86_400;
    let cases: [(&[DialError], u64, Option<SkipReason>); 12] = [
        (&[], 0, None),
        (&[REFUSED], 0, Some(backed_off(5, 1))),
        (&[REFUSED], 4, Some(backed_off(5, 1))),
        (&[REFUSED], 5, None),
        (&[REFUSED, policy], 5, Some(backed_off(6, 2))),
        (&[REFUSED, REFUSED, DialError::NameNotFound], 8, Some(backed_off(9, 3))),
        (&[REFUSED, REFUSED, REFUSED], 9, None),
        (&[DialError::Cancelled, DialError::BackedOff], 0, None),
        (&wrong[..1], 0, Some(SkipReason::WrongPeer { found })),
        (&wrong[..1], year, Some(SkipReason::WrongPeer { found })),
        (&wrong[1..], year, Some(SkipReason::WrongPeer { found })),
        (&vec![REFUSED; 100], 299, Some(backed_off(300, 100))),
    ];
    for (errors, seconds, expected) in cases {
        let mut store = store();
        store.add(peer(1), &tcp(1), Source::Identify, START).expect("a good address");
        for error in errors {
            store.dial_failed(peer(1), &tcp(1), error, START);
        }
        let now = after(seconds);
        assert_eq!(store.skip_address(&peer(1), &tcp(1), now), expected, "{errors:?}");
        assert_eq!(store.skip_peer(&peer(1), now), expected, "it has no other");
        assert_eq!(store.skip_address(&peer(1), &tcp(2), now), None);
        assert_eq!(store.addresses_to_dial(&peer(1), now).is_empty(), expected.is_some());
    }
}

#[test]
fn a_peer_is_skipped_for_its_own_reasons() {
    let mut store = store();
    assert_eq!(store.skip_peer(&peer(0), START), Some(SkipReason::Ourselves));
    assert_eq!(store.skip_address(&peer(0), &tcp(1), START), Some(SkipReason::Ourselves));
    assert_eq!(store.skip_peer(&peer(1), START), Some(SkipReason::NoAddress));
    store.set_connected(peer(1), true, START);
    assert_eq!(store.skip_peer(&peer(1), START), Some(SkipReason::Connected));
    store.set_connected(peer(1), false, START);
    assert_eq!(store.skip_peer(&peer(1), START), Some(SkipReason::NoAddress));
    let bad = address("/ip4/8.8.8.8/udp/1");
    let reason = SkipReason::Address(AddressError::UnknownKind);
    assert_eq!(store.skip_address(&peer(1), &bad, START), Some(reason));
}

#[test]
fn the_first_address_that_may_be_tried_again_decides() {
    let mut store = store();
    for port in [1, 2, 3] {
        store.dial_failed(peer(1), &tcp(port), &REFUSED, START);
    }
    store.dial_failed(peer(1), &tcp(1), &REFUSED, START);
    let wrong = DialError::Failed(DialFailure::WrongPeer { found: Box::new(peer(7)) });
    store.dial_failed(peer(1), &tcp(3), &wrong, START);
    let reason = SkipReason::BackedOff { until: after(5), failures: 1 };
    assert_eq!(store.skip_peer(&peer(1), START), Some(reason));
    assert_eq!(store.addresses_to_dial(&peer(1), after(5)), [tcp(2)]);
}

#[test]
fn a_lone_loopback_address_of_hearsay_is_tried_once() {
    let loopback = address("/ip4/127.0.0.1/tcp/1");
    for (source, expected) in
        [(Source::Identify, Some(SkipReason::OnlyLoopback)), (Source::Command, None)]
    {
        let mut store = store();
        store.add(peer(1), &loopback, source, START).expect("a good address");
        assert_eq!(store.skip_peer(&peer(1), START), None);
        store.dial_failed(peer(1), &loopback, &REFUSED, START);
        assert_eq!(store.skip_peer(&peer(1), after(1000)), expected);
        store.add(peer(1), &tcp(1), Source::Protocol, START).expect("a good address");
        assert_eq!(store.skip_peer(&peer(1), after(1000)), None);
    }
}

#[test]
fn success_resets_the_backoff() {
    let mut store = store();
    for _ in 0..10 {
        store.dial_failed(peer(1), &tcp(1), &REFUSED, START);
    }
    store.dial_succeeded(peer(1), &tcp(1), START);
    assert_eq!(store.skip_address(&peer(1), &tcp(1), START), None);
    store.dial_failed(peer(1), &tcp(1), &REFUSED, START);
    let reason = SkipReason::BackedOff { until: after(5), failures: 1 };
    assert_eq!(store.skip_address(&peer(1), &tcp(1), START), Some(reason));
}

#[test]
fn the_worthiest_addresses_stay_and_come_first() {
    let mut store = small(10, 4, 3);
    let known = peer(1);
    store.set_connected(known, true, START);
    store.add(known, &tcp(1), Source::Configured, START).expect("room");
    store.dial_succeeded(known, &tcp(2), START);
    store.add(known, &tcp(3), Source::SignedRecord, START).expect("room");
    store.add(known, &tcp(4), Source::Protocol, START).expect("room");
    store.add(known, &tcp(5), Source::Identify, START).expect("room");
    assert_eq!(ports(&store, &known), ["1", "2", "3", "4", "5"], "a configured one is extra");
    store.dial_failed(known, &tcp(5), &REFUSED, START);
    store
        .add(known, &tcp(6), Source::Protocol, after(1))
        .expect("it is worth more than one that failed");
    assert_eq!(ports(&store, &known), ["1", "2", "3", "4", "6"]);
    store.dial_failed(known, &tcp(1), &REFUSED, START);
    store.set_connected(known, false, START);
    assert_eq!(ports(&store, &known), ["1", "2", "3", "6"], "one that is configured is extra");
    assert_eq!(store.addresses_to_dial(&known, after(5)), [tcp(1), tcp(2), tcp(3), tcp(6)]);
    let late = store.add(known, &tcp(7), Source::Protocol, START);
    assert_eq!(late, Err(AddressError::NoRoom), "it is as old as the one that was pushed out");
}

#[test]
fn hearsay_pushes_out_neither_who_is_connected_nor_who_is_configured_nor_who_was_met() {
    let mut store = small(5, 64, 20);
    store.add(peer(1), &tcp(1), Source::Configured, START).expect("room");
    store.set_connected(peer(2), true, START);
    store.set_identified(peer(3), &info(&[1]), None, START);
    store.dial_succeeded(peer(4), &tcp(1), START);
    for n in 5..100 {
        store.add(peer(n), &tcp(1), Source::Protocol, after(n)).expect("the last one goes");
        assert_eq!(store.len(), 5);
    }
    for n in [1, 2, 3, 4, 99] {
        assert!(store.get(&peer(n)).is_some(), "{n}");
    }
    for n in 100..110 {
        store.set_connected(peer(n), true, START);
    }
    assert_eq!(store.len(), 12, "who is connected or configured is always known");
    let refused = store.add(peer(200), &tcp(1), Source::Protocol, START);
    assert_eq!(refused, Err(AddressError::NoRoom));
    for n in 100..110 {
        store.set_connected(peer(n), false, START);
    }
    assert_eq!(store.len(), 5);
}

#[test]
fn a_newer_record_replaces_what_the_peer_said_and_an_older_one_nothing() {
    let mut store = store();
    let known = peer(1);
    store.set_identified(known, &info(&[1, 2]), None, START);
    assert_eq!(ports(&store, &known), ["1", "2"]);
    store.add(known, &tcp(9), Source::Command, START).expect("a good address");
    store.dial_succeeded(known, &tcp(2), START);
    store.set_identified(known, &info(&[3, 4]), Some(5), START);
    assert_eq!(ports(&store, &known), ["2", "3", "4", "9"]);
    store.set_identified(known, &info(&[5]), Some(5), START);
    store.set_identified(known, &info(&[5]), Some(4), START);
    assert_eq!(ports(&store, &known), ["2", "3", "4", "9"]);
    store.set_identified(known, &info(&[6]), None, START);
    assert_eq!(ports(&store, &known), ["2", "3", "4", "6", "9"], "what is signed stays");
    store.set_identified(known, &info(&[4]), Some(6), START);
    assert_eq!(ports(&store, &known), ["2", "4", "9"]);
    assert_eq!(store.get(&known).and_then(KnownPeer::record_seq), Some(6));
}

#[test]
fn what_a_peer_says_of_itself_is_kept_within_bounds() {
    let mut store = store();
    let protocols = (0..200).map(|n| ProtocolId::new(&format!("/x/{n:0>97}")).expect("valid"));
    let info = PeerInfo {
        agent: "é".repeat(MAX_AGENT_BYTES),
        protocols: protocols.collect(),
        addresses: (1..=100).map(tcp).collect(),
        ..PeerInfo::default()
    };
    store.set_connected(peer(1), true, START);
    store.set_identified(peer(1), &info, None, START);
    let known = store.get(&peer(1)).expect("a known peer");
    assert_eq!(known.agent().map(str::len), Some(MAX_AGENT_BYTES));
    assert_eq!(known.protocols(), &info.protocols[..40], "100 bytes each");
    assert_eq!(known.addresses().count(), 64);
    store.set_connected(peer(1), false, START);
    let known = store.get(&peer(1)).expect("a known peer");
    assert_eq!(known.addresses().count(), 20);
    assert_eq!(known.protocols().len(), 40);
}

#[derive(Clone, Debug)]
enum Step {
    Add(u64, u16, Source),
    Succeeded(u64, u16),
    Failed(u64, u16),
    Connected(u64, bool),
    Identified(u64, Vec<u16>, Option<u64>),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let (peer, port) = (0..12u64, 0..8u16);
    let source = proptest::sample::select(vec![
        Source::Protocol,
        Source::Lookup,
        Source::Identify,
        Source::SignedRecord,
        Source::Connected,
        Source::Command,
        Source::Configured,
    ]);
    let ports = proptest::collection::vec(port.clone(), 0..8);
    prop_oneof![
        (peer.clone(), port.clone(), source).prop_map(|(n, port, from)| Step::Add(n, port, from)),
        (peer.clone(), port.clone()).prop_map(|(n, port)| Step::Succeeded(n, port)),
        (peer.clone(), port).prop_map(|(n, port)| Step::Failed(n, port)),
        (peer.clone(), any::<bool>()).prop_map(|(n, is)| Step::Connected(n, is)),
        (peer, ports, proptest::option::of(0..5u64))
            .prop_map(|(n, ports, seq)| Step::Identified(n, ports, seq)),
        (0..20u64).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn bounds_hold_and_nobody_who_must_stay_goes(
        steps in proptest::collection::vec(step(), 0..150),
        max_peers in 0..6usize,
        max_connected in 0..5usize,
        max_disconnected in 0..5usize,
    ) {
        let peers: Vec<_> = (0..12).map(peer).collect();
        let of = |n: u64| peers[usize::try_from(n).expect("small")];
        let mut store = small(max_peers, max_connected, max_disconnected);
        let mut connected = std::collections::BTreeSet::new();
        let mut configured = std::collections::BTreeSet::new();
        let mut now = START;
        for step in steps {
            match step {
                Step::Add(n, port, source) => {
                    let added = store.add(of(n), &tcp(port), source, now);
                    if source == Source::Configured && n != 0 && port != 0 {
                        prop_assert_eq!(added, Ok(()));
                        configured.insert((of(n), tcp(port)));
                    }
                }
                Step::Succeeded(n, port) => store.dial_succeeded(of(n), &tcp(port), now),
                Step::Failed(n, port) => store.dial_failed(of(n), &tcp(port), &REFUSED, now),
                Step::Connected(n, is_connected) => {
                    store.set_connected(of(n), is_connected, now);
                    if is_connected && n != 0 { connected.insert(of(n)); } else { connected.remove(&of(n)); }
                }
                Step::Identified(n, ports, seq) => {
                    store.set_identified(of(n), &info(&ports), seq, now);
                }
                Step::Wait(seconds) => now = now.saturating_add(Duration::from_secs(seconds)),
            }
            prop_assert!(store.get(&of(0)).is_none());
            let mut replaceable = 0;
            for (_, known) in store.iter() {
                let extra = known.addresses().filter(|(_, known)| known.source == Source::Configured).count();
                let max = if known.is_connected() { max_connected } else { max_disconnected };
                prop_assert!(known.addresses().count() <= max + extra);
                replaceable += usize::from(!known.is_connected() && extra == 0);
            }
            prop_assert!(store.len() <= max_peers || replaceable == 0);
            for peer in &connected {
                prop_assert!(store.get(peer).is_some_and(KnownPeer::is_connected));
            }
            for (peer, address) in &configured {
                prop_assert!(store.get(peer).is_some_and(|known| known.addresses.contains_key(address)));
            }
        }
    }
}
