//! Tests of the dialer under virtual time, by scenarios.

mod model;

use core::time::Duration;

use super::*;
use crate::close::{CloseReason, RefuseReason};
use crate::identity::Identity;
use crate::peer_store::{KnownPeer, PeerStoreConfig};
use crate::rng::Seed;
use crate::time::DeadlineReason;

const START: Timestamp = Timestamp::from_secs(1000);
const REFUSED: DialError = DialError::Failed(DialFailure::Refused);
const TIMED_OUT: DialError = DialError::Failed(DialFailure::TimedOut);
const UNSUPPORTED: DialError = DialError::Failed(DialFailure::Unsupported);

/// A dialer with what it works with.
struct World {
    dialer: Dialer,
    ids: Ids,
    peers: PeerStore,
    now: Timestamp,
}

fn peer(number: u64) -> PeerId {
    Identity::ed25519(&Seed::from_u64(number)).peer_id()
}

fn address(text: &str) -> Multiaddr {
    text.parse().expect(text)
}

fn tcp(host: u8) -> Multiaddr {
    address(&format!("/ip4/8.8.8.{host}/tcp/1"))
}

fn named(address: &Multiaddr, number: u64) -> Multiaddr {
    crate::address::with_peer(address, peer(number))
}

impl World {
    fn new(config: DialConfig) -> Self {
        World {
            dialer: Dialer::new(config),
            ids: Ids::default(),
            peers: PeerStore::new(peer(0), PeerStoreConfig::default()),
            now: START,
        }
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut Dialer, &mut DialContext<'_>) -> T) -> T {
        let cx = &mut DialContext { now: self.now, ids: &mut self.ids, peers: &mut self.peers };
        act(&mut self.dialer, cx)
    }

    fn connect(
        &mut self,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
    ) -> Result<DialId, CommandError> {
        let addresses = addresses.to_vec();
        let request = DialRequest { peer, addresses, source: Source::Command };
        self.with(|dialer, cx| dialer.connect(cx, request))
    }

    fn begin(&mut self, number: u64, addresses: &[Multiaddr]) -> DialId {
        self.connect(Some(peer(number)), addresses).expect("there is room")
    }

    fn fail(&mut self, connection: ConnectionId, error: DialError) {
        self.with(|dialer, cx| dialer.handle_failed(cx, connection, error));
    }

    fn establish(&mut self, connection: ConnectionId, number: u64) {
        self.with(|dialer, cx| dialer.handle_established(cx, connection, peer(number)));
    }

    fn look_up(&mut self, lookup: LookupId, addresses: &[Multiaddr]) {
        self.with(|dialer, cx| dialer.handle_looked_up(cx, lookup, addresses));
    }

    /// Lets time pass, with every timeout at its time.
    fn pass(&mut self, millis: u64) {
        let end = self.now.saturating_add(Duration::from_millis(millis));
        while let Some(deadline) = self.dialer.poll_timeout()
            && deadline.at <= end
        {
            assert!(deadline.at > self.now, "a deadline in the past");
            self.now = deadline.at;
            self.with(|dialer, cx| dialer.handle_timeout(cx));
        }
        self.now = end;
    }

    fn outputs(&mut self) -> Vec<DialOutput> {
        core::iter::from_fn(|| self.dialer.poll()).collect()
    }

    /// The connections that were begun since the last time, with their addresses. Nothing else
    /// happened.
    fn dials(&mut self) -> Vec<(ConnectionId, Multiaddr)> {
        let dial = |output| {
            let DialOutput::Dial { connection, address, .. } = output else { panic!("{output:?}") };
            (connection, address)
        };
        self.outputs().into_iter().map(dial).collect()
    }

    fn only_dial(&mut self) -> (ConnectionId, Multiaddr) {
        let dials = self.dials();
        assert_eq!(dials.len(), 1, "{dials:?}");
        dials[0].clone()
    }

    fn only_lookup(&mut self) -> (LookupId, Multiaddr) {
        match self.outputs().as_slice() {
            [DialOutput::LookUp { lookup, address }] => (*lookup, address.clone()),
            other => panic!("{other:?}"),
        }
    }
}

impl Default for World {
    fn default() -> Self {
        World::new(DialConfig::default())
    }
}

fn done(dial: DialId, connection: ConnectionId) -> DialOutput {
    DialOutput::Done { dial, result: Ok(connection) }
}

fn failed(dial: DialId, errors: &[(Multiaddr, DialError)]) -> DialOutput {
    DialOutput::Done { dial, result: Err(errors.to_vec()) }
}

#[test]
fn the_first_that_is_established_wins_and_the_rest_is_given_up() {
    let mut world = World::default();
    let dial = world.begin(1, &[tcp(1), tcp(2), tcp(3), tcp(4)]);
    let (first, at) = world.only_dial();
    assert_eq!(at, tcp(1));
    assert_eq!(world.dialer.poll_timeout().map(|due| due.reason), Some(DeadlineReason::DialNext));
    world.pass(500);
    let [(second, _), (third, _)] = world.dials()[..] else { panic!("250 ms each") };
    world.establish(second, 1);
    let outputs = world.outputs();
    assert_eq!(outputs, [DialOutput::Cancel(first), DialOutput::Cancel(third), done(dial, second)]);
    assert_eq!(world.dialer.poll_timeout(), None);
    world.fail(first, REFUSED);
    world.establish(third, 1);
    world.pass(100_000);
    assert_eq!(world.outputs(), [], "what is late changes nothing");
    let known = world.peers.get(&peer(1)).expect("it was added");
    let proven: Vec<_> = known.addresses().filter(|(_, known)| known.is_proven()).collect();
    assert_eq!(proven.len(), 1);
    assert_eq!(known.addresses().map(|(_, known)| known.failures()).sum::<u32>(), 0);
}

#[test]
fn requests_for_one_peer_share_a_dial() {
    let mut world = World::default();
    let one = world.begin(1, &[tcp(1)]);
    let (connection, _) = world.only_dial();
    let two = world.begin(1, &[tcp(1), tcp(2)]);
    let other = world.begin(2, &[tcp(1)]);
    assert_eq!(world.only_dial().1, tcp(1), "another peer is another matter");
    world.establish(connection, 1);
    assert_eq!(world.outputs(), [done(one, connection), done(two, connection)]);
    world.with(|dialer, cx| dialer.cancel(cx, other));
    assert_eq!(world.outputs().len(), 2);
}

#[test]
fn failures_are_told_in_the_order_in_which_they_came() {
    let mut world = World::default();
    let dial = world.begin(1, &[tcp(1), tcp(2), address("/ip4/8.8.8.8/udp/1"), tcp(3)]);
    let (first, _) = world.only_dial();
    world.pass(250);
    let (second, _) = world.only_dial();
    world.fail(second, REFUSED);
    let (third, at) = world.only_dial();
    assert_eq!(at, tcp(3), "a failure hands over its turn");
    let refused = DialError::Closed(CloseReason::Refused(RefuseReason::Policy));
    world.fail(third, refused.clone());
    world.fail(first, REFUSED);
    let errors = [
        (address("/ip4/8.8.8.8/udp/1"), UNSUPPORTED),
        (tcp(2), REFUSED),
        (tcp(3), refused),
        (tcp(1), REFUSED),
    ];
    assert_eq!(world.outputs(), [failed(dial, &errors)]);
}

#[test]
fn an_attempt_ends_after_ten_seconds_and_over_tcp_to_a_public_address_after_fifteen() {
    let mut world = World::default();
    let quic = address("/ip4/8.8.8.8/udp/1/quic-v1");
    let dial = world.begin(1, &[quic.clone(), tcp(1)]);
    world.pass(250);
    let [(first, _), (second, _)] = world.dials()[..] else { panic!("QUIC and then TCP") };
    world.pass(9_749);
    assert_eq!(world.outputs(), []);
    world.pass(1);
    assert_eq!(world.outputs(), [DialOutput::Cancel(first)]);
    world.pass(5_249);
    assert_eq!(world.outputs(), []);
    let deadline = world.dialer.poll_timeout().expect("one is under way");
    assert_eq!(deadline.reason, DeadlineReason::DialAttempt);
    world.pass(1);
    let errors = [(quic, TIMED_OUT), (tcp(1), TIMED_OUT)];
    assert_eq!(world.outputs(), [DialOutput::Cancel(second), failed(dial, &errors)]);
}

#[test]
fn eight_of_a_peer_are_dialled_at_once_and_no_more_than_may_be_in_all() {
    let mut world = World::new(DialConfig { max_attempts: 10, ..DialConfig::default() });
    let addresses: Vec<_> = (1..=12).map(tcp).collect();
    world.begin(1, &addresses);
    world.pass(5_000);
    let first = world.dials();
    assert_eq!(first.len(), 8);
    world.begin(2, &addresses);
    world.pass(5_000);
    assert_eq!(world.dials().len(), 2);
    world.fail(first[3].0, REFUSED);
    assert_eq!(world.only_dial().1, tcp(9), "the older race goes first");
    for (connection, _) in &first[4..] {
        world.fail(*connection, REFUSED);
    }
    let later: Vec<_> = world.dials().into_iter().map(|(_, address)| address).collect();
    assert_eq!(later, [tcp(10), tcp(11), tcp(12), tcp(3)]);
}

#[test]
fn an_address_that_failed_is_left_alone_and_one_of_somebody_else_for_ever() {
    let mut world = World::default();
    let stranger = DialError::Failed(DialFailure::WrongPeer { found: Box::new(peer(9)) });
    world.begin(1, &[tcp(1), tcp(2)]);
    let (first, _) = world.only_dial();
    world.fail(first, stranger.clone());
    let (second, _) = world.only_dial();
    world.fail(second, REFUSED);
    assert_eq!(world.outputs().len(), 1);
    world.pass(4_999);
    let dial = world.begin(1, &[]);
    let errors = [(tcp(1), stranger.clone()), (tcp(2), DialError::BackedOff)];
    assert_eq!(world.outputs(), [failed(dial, &errors)]);
    world.pass(1);
    let dial = world.begin(1, &[tcp(1), tcp(2)]);
    let (again, at) = world.only_dial();
    assert_eq!(at, tcp(2));
    world.fail(again, REFUSED);
    assert_eq!(world.outputs(), [failed(dial, &[(tcp(1), stranger), (tcp(2), REFUSED)])]);
    world.begin(2, &[tcp(1)]);
    assert_eq!(world.only_dial().1, tcp(1), "of another peer nothing is known");
}

#[test]
fn a_request_that_leads_nowhere_is_refused_at_once() {
    let config = DialConfig { max_dials: 1, max_addresses: 3, ..DialConfig::default() };
    let mut world = World::new(config);
    assert_eq!(world.connect(Some(peer(1)), &[]), Err(CommandError::NoAddresses));
    assert_eq!(world.connect(None, &[]), Err(CommandError::NoAddresses));
    assert_eq!(world.connect(Some(peer(0)), &[tcp(1)]), Err(CommandError::Ourselves));
    assert_eq!(world.connect(None, &[named(&tcp(1), 0)]), Err(CommandError::Ourselves));
    let differing = world.connect(Some(peer(1)), &[tcp(1), named(&tcp(2), 2)]);
    assert_eq!(differing, Err(CommandError::PeersDiffer));
    let differing = world.connect(None, &[named(&tcp(1), 1), named(&tcp(2), 2)]);
    assert_eq!(differing, Err(CommandError::PeersDiffer));
    let many: Vec<_> = (0..4).map(tcp).collect();
    assert_eq!(world.connect(Some(peer(1)), &many), Err(CommandError::Limit(3)));
    assert_eq!(world.outputs(), []);
    let loopback = address("/ip4/127.0.0.1/tcp/1");
    world.peers.dial_failed(peer(3), &loopback, &REFUSED, START);
    assert_eq!(world.connect(Some(peer(3)), &[]), Err(CommandError::NoAddresses));
    world.begin(1, &[tcp(1)]);
    assert_eq!(world.connect(Some(peer(1)), &[tcp(1)]), Err(CommandError::TooManyDials(1)));
}

#[test]
fn whoever_is_at_an_address_can_be_dialled() {
    let mut world = World::default();
    let one = world.connect(None, &[tcp(1)]).expect("there is room");
    let two = world.connect(None, &[tcp(1), tcp(2)]).expect("there is room");
    let (connection, at) = world.only_dial();
    assert_eq!(at, tcp(1));
    world.establish(connection, 5);
    assert_eq!(world.outputs(), [done(one, connection), done(two, connection)]);
    assert_eq!(world.peers.addresses_to_dial(&peer(5), world.now), [tcp(1)]);
    let dial = world.connect(None, &[named(&tcp(2), 5)]).expect("there is room");
    let dialled = world.outputs();
    let [DialOutput::Dial { connection, peer: Some(named), .. }] = dialled[..] else {
        panic!("{dialled:?}")
    };
    assert_eq!(named, peer(5), "an address may name the peer");
    world.establish(connection, 6);
    let found = DialError::Failed(DialFailure::WrongPeer { found: Box::new(peer(6)) });
    let (next, at) = world.only_dial();
    assert_eq!(at, tcp(2));
    world.fail(next, REFUSED);
    assert_eq!(world.outputs(), [failed(dial, &[(tcp(1), found), (tcp(2), REFUSED)])]);
}

#[test]
fn names_are_looked_up_and_what_stands_for_others_is_left_out() {
    let mut world = World::default();
    let dnsaddr = address("/dnsaddr/example.org");
    let dial = world.begin(1, &[named(&dnsaddr, 1)]);
    let (lookup, at) = world.only_lookup();
    assert_eq!(at, dnsaddr);
    let host = address("/dns4/host.example.org/tcp/1");
    let results = [named(&tcp(9), 2), named(&host, 1), tcp(0), address("/ip4/8.8.8.8/udp/1")];
    world.look_up(lookup, &results);
    let outputs = world.outputs();
    let [
        DialOutput::LookUp { lookup: next, address: ref at },
        DialOutput::Dial { connection: first, address: ref dialled, .. },
    ] = outputs[..]
    else {
        panic!("{outputs:?}")
    };
    assert_eq!((at, dialled), (&host, &tcp(0)));
    world.look_up(lookup, &[tcp(3)]);
    assert_eq!(world.outputs(), [], "it was answered");
    world.look_up(next, &[tcp(2)]);
    world.fail(first, REFUSED);
    let (second, at) = world.only_dial();
    assert_eq!(at, tcp(2));
    world.establish(second, 1);
    assert_eq!(world.outputs(), [done(dial, second)]);
    let known = world.peers.get(&peer(1)).expect("it was added");
    let proven: Vec<_> = known
        .addresses()
        .filter_map(|(address, known)| known.is_proven().then_some(address))
        .collect();
    assert_eq!(proven, [&tcp(2), &dnsaddr], "the name that was given, and where it led");
}

#[test]
fn a_name_that_stands_for_nothing_fails() {
    let mut world = World::default();
    let host = address("/dns/example.org/tcp/1");
    let dial = world.begin(1, core::slice::from_ref(&host));
    let (lookup, _) = world.only_lookup();
    world.look_up(lookup, &[named(&tcp(1), 2)]);
    assert_eq!(world.outputs(), [failed(dial, &[(host.clone(), DialError::NameNotFound)])]);
    let dial = world.begin(1, core::slice::from_ref(&host));
    assert_eq!(world.outputs(), [failed(dial, &[(host.clone(), DialError::BackedOff)])]);
    let dial = world.begin(2, core::slice::from_ref(&host));
    let (late, _) = world.only_lookup();
    world.pass(10_000);
    assert_eq!(world.outputs(), [failed(dial, &[(host, TIMED_OUT)])]);
    world.look_up(late, &[tcp(1)]);
    assert_eq!(world.outputs(), []);
}

#[test]
fn names_behind_names_end() {
    let mut world = World::default();
    let name = |n: u32| address(&format!("/dnsaddr/{n}.example.org"));
    let dial = world.begin(1, &[name(0)]);
    for n in 0..3 {
        let (lookup, at) = world.only_lookup();
        assert_eq!(at, name(n));
        world.look_up(lookup, &[name(n), name(n + 1)]);
    }
    let (lookup, _) = world.only_lookup();
    world.look_up(lookup, &[name(4)]);
    assert_eq!(world.outputs(), [failed(dial, &[(name(3), DialError::NameNotFound)])]);
}

#[test]
fn a_name_brings_no_more_addresses_than_may_be() {
    let mut world = World::new(DialConfig { max_addresses: 5, ..DialConfig::default() });
    world.begin(1, &[address("/dnsaddr/example.org")]);
    let (lookup, _) = world.only_lookup();
    world.look_up(lookup, &(0..=255).map(tcp).collect::<Vec<_>>());
    world.pass(5_000);
    assert_eq!(world.dials().len(), 4);
}

#[test]
fn a_peer_that_connects_to_us_answers_and_our_own_attempts_go_on() {
    let mut world = World::default();
    let dial = world.begin(1, &[tcp(1), tcp(2)]);
    let (ours, _) = world.only_dial();
    let theirs = world.ids.connection();
    world.with(|dialer, cx| dialer.handle_connected(cx, theirs, peer(1)));
    assert_eq!(world.outputs(), [done(dial, theirs)]);
    world.pass(5_000);
    assert_eq!(world.outputs(), [], "nothing new is begun");
    assert!(world.dialer.is_dialling(&peer(1)));
    let again = world.begin(1, &[tcp(2)]);
    let (next, at) = world.only_dial();
    assert_eq!(at, tcp(2), "what was not begun may be");
    world.establish(ours, 1);
    assert_eq!(world.outputs(), [DialOutput::Cancel(next), done(again, ours)]);
    assert!(!world.dialer.is_dialling(&peer(1)));
}

#[test]
fn a_request_can_be_given_up_and_others_go_on() {
    let mut world = World::default();
    let host = address("/dns/example.org/tcp/1");
    let one = world.begin(1, &[tcp(1), tcp(2), host.clone()]);
    let outputs = world.outputs();
    let [DialOutput::LookUp { .. }, DialOutput::Dial { connection, .. }] = outputs[..] else {
        panic!("{outputs:?}")
    };
    let two = world.begin(1, &[]);
    world.with(|dialer, cx| dialer.cancel(cx, one));
    let errors = [tcp(1), host, tcp(2)].map(|address| (address, DialError::Cancelled));
    assert_eq!(world.outputs(), [failed(one, &errors)]);
    world.with(|dialer, cx| dialer.cancel(cx, one));
    assert_eq!(world.outputs(), []);
    world.with(|dialer, cx| dialer.cancel(cx, two));
    assert_eq!(world.outputs(), [DialOutput::Cancel(connection), failed(two, &errors)]);
    assert_eq!(world.peers.skip_address(&peer(1), &tcp(1), world.now), None, "it did not fail");
    let three = world.begin(2, &[tcp(1)]);
    let (connection, _) = world.only_dial();
    world.dialer.cancel_all();
    let errors = [(tcp(1), DialError::Cancelled)];
    assert_eq!(world.outputs(), [DialOutput::Cancel(connection), failed(three, &errors)]);
    assert_eq!(world.dialer.poll_timeout(), None);
}

#[test]
fn what_the_peer_store_knows_is_dialled_too() {
    let mut world = World::default();
    for host in 1..=3 {
        world.peers.add(peer(1), &tcp(host), Source::Identify, START).expect("room");
    }
    world.begin(1, &[tcp(9)]);
    world.pass(2_000);
    let addresses: Vec<_> = world.dials().into_iter().map(|(_, address)| address).collect();
    assert_eq!(addresses, [tcp(1), tcp(2), tcp(3), tcp(9)]);
    let known = world.peers.get(&peer(1)).map(KnownPeer::addresses);
    assert_eq!(known.map(Iterator::count), Some(4));
}

#[test]
fn a_name_for_which_there_is_no_room_is_given_up() {
    let mut world = World::new(DialConfig { max_addresses: 1, ..DialConfig::default() });
    let host = address("/dns/example.org/tcp/1");
    let dial = world.begin(1, core::slice::from_ref(&host));
    let (lookup, _) = world.only_lookup();
    world.look_up(lookup, &[tcp(1)]);
    assert_eq!(world.outputs(), [failed(dial, &[(host, DialError::Cancelled)])]);
}

#[test]
fn names_in_a_circle_stand_for_nothing() {
    let mut world = World::default();
    let (one, two) = (address("/dnsaddr/one.example"), address("/dnsaddr/two.example"));
    let dial = world.begin(1, core::slice::from_ref(&one));
    let (lookup, _) = world.only_lookup();
    world.look_up(lookup, core::slice::from_ref(&two));
    let (lookup, _) = world.only_lookup();
    world.look_up(lookup, &[one]);
    assert_eq!(world.outputs(), [failed(dial, &[(two, DialError::NameNotFound)])]);
}
