//! Tests of the limits, by cases and against a model that counts anew each time.

use core::net::Ipv6Addr;

use proptest::prelude::*;

use super::*;
use crate::identity::Identity;
use crate::rng::Seed;

const START: Timestamp = Timestamp::from_secs(1000);

fn peer(number: u64) -> PeerId {
    Identity::ed25519(&Seed::from_u64(number)).peer_id()
}

fn ip(text: &str) -> Option<IpAddr> {
    Some(text.parse().expect(text))
}

/// So many arrivals of `ip`, at once, until one is refused.
fn arrivals(limits: &mut Limits, ip: Option<IpAddr>) -> (u64, RefuseReason) {
    for n in 0..1000 {
        if let Err(reason) = limits.arrive(START, ConnectionId(n), ip) {
            return (n, reason);
        }
    }
    panic!("there are limits");
}

#[test]
fn each_limit_has_its_reason() {
    let few = ConnectionLimits {
        max_connections: 5,
        max_inbound: 4,
        max_outbound: 3,
        max_pending_inbound: 6,
        max_per_peer: 2,
        ..ConnectionLimits::default()
    };
    let mut limits = Limits::new(few);
    let mut establish =
        |connection, role, of| limits.establish(ConnectionId(connection), role, peer(of), None);
    assert_eq!(establish(0, Role::Dialer, 1), Ok(()));
    assert_eq!(establish(1, Role::Dialer, 1), Ok(()));
    assert_eq!(
        establish(2, Role::Listener, 1),
        Err(RefuseReason::TooManyConnectionsOfPeer(2)),
        "whoever opened them"
    );
    assert_eq!(establish(2, Role::Dialer, 2), Ok(()));
    assert_eq!(establish(3, Role::Dialer, 3), Err(RefuseReason::TooManyOutbound(3)));
    assert_eq!(establish(3, Role::Listener, 3), Ok(()));
    assert_eq!(establish(4, Role::Listener, 4), Ok(()));
    assert_eq!(establish(5, Role::Listener, 5), Err(RefuseReason::TooManyConnections(5)));
    assert_eq!(limits.check_dial(), Err(RefuseReason::TooManyConnections(5)));
    limits.close(ConnectionId(4));
    assert_eq!(limits.check_dial(), Err(RefuseReason::TooManyOutbound(3)));
    limits.close(ConnectionId(0));
    assert_eq!(limits.check_dial(), Ok(()));
    for n in 10..14 {
        limits.close(ConnectionId(n - 10));
        let admitted = limits.establish(ConnectionId(n), Role::Listener, peer(n), None);
        assert_eq!(admitted, Ok(()));
    }
    let refused = limits.establish(ConnectionId(14), Role::Listener, peer(14), None);
    assert_eq!(refused, Err(RefuseReason::TooManyInbound(4)));
    assert_eq!(arrivals(&mut limits, None), (6, RefuseReason::TooManyPending(6)));
}

#[test]
fn a_refused_arrival_stays_pending_until_it_is_over() {
    let mut limits =
        Limits::new(ConnectionLimits { max_inbound: 0, ..ConnectionLimits::default() });
    let connection = ConnectionId(1);
    assert_eq!(limits.arrive(START, connection, ip("8.8.8.8")), Ok(()));
    let refused = limits.establish(connection, Role::Listener, peer(1), None);
    assert_eq!(refused, Err(RefuseReason::TooManyInbound(0)));
    assert_eq!(limits.counts().pending_inbound, 1);
    limits.close(connection);
    limits.close(connection);
    assert_eq!(limits.counts(), ConnectionCounts::default());
}

#[test]
fn an_address_has_eight_connections_in_either_direction() {
    let mut limits = Limits::new(ConnectionLimits::default());
    for n in 0..4 {
        let admitted =
            limits.establish(ConnectionId(1000 + n), Role::Dialer, peer(n), ip("8.8.8.8"));
        assert_eq!(admitted, Ok(()));
    }
    assert_eq!(arrivals(&mut limits, ip("8.8.8.8")), (4, RefuseReason::TooManyFromHost(8)));
    let mapped = limits.arrive(START, ConnectionId(4), ip("::ffff:8.8.8.8"));
    assert_eq!(mapped, Err(RefuseReason::TooManyFromHost(8)));
    let dialled = limits.establish(ConnectionId(4), Role::Dialer, peer(9), ip("8.8.8.8"));
    assert_eq!(dialled, Err(RefuseReason::TooManyFromHost(8)));
    assert_eq!(limits.arrive(START, ConnectionId(4), ip("8.8.8.9")), Ok(()));
}

#[test]
fn a_56_counts_as_one_address_and_a_48_has_its_own_limit() {
    let mut limits =
        Limits::new(ConnectionLimits { max_pending_inbound: 1000, ..ConnectionLimits::default() });
    let mut connection = 0;
    let mut arrive = |ip| {
        connection += 1;
        limits.arrive(START, ConnectionId(connection), Some(IpAddr::V6(ip)))
    };
    let at = |net_56: u16, net_64: u16, host: u16| {
        Ipv6Addr::new(0x2001, 0xdb8, 1, net_56 << 8 | net_64, 0, 0, 0, host)
    };
    for n in 0..8 {
        assert_eq!(arrive(at(0, n, n)), Ok(()));
    }
    assert_eq!(arrive(at(0, 9, 9)), Err(RefuseReason::TooManyFromHost(8)));
    for net_56 in 1..8 {
        for n in 0..8 {
            assert_eq!(arrive(at(net_56, n, n)), Ok(()));
        }
    }
    assert_eq!(arrive(at(8, 0, 0)), Err(RefuseReason::TooManyFromSite(64)));
    assert_eq!(arrive("2001:db8:2::1".parse().expect("an address")), Ok(()));
}

#[test]
fn an_address_comes_sixteen_times_at_once_and_then_every_five_seconds() {
    let many = ConnectionLimits { max_per_host: 100, ..ConnectionLimits::default() };
    let mut limits = Limits::new(many);
    let from = ip("8.8.8.8");
    assert_eq!(arrivals(&mut limits, from), (16, RefuseReason::TooOften(16)));
    let mut arrive = |millis, connection| {
        let now = START.saturating_add(Duration::from_millis(millis));
        limits.arrive(now, ConnectionId(connection), from)
    };
    assert_eq!(arrive(4_999, 100), Err(RefuseReason::TooOften(16)));
    assert_eq!(arrive(5_000, 100), Ok(()));
    assert_eq!(arrive(5_000, 101), Err(RefuseReason::TooOften(16)));
    assert_eq!(arrive(0, 101), Err(RefuseReason::TooOften(16)), "the clock does not go back");
    assert_eq!(arrive(10_000, 101), Ok(()));
}

#[test]
fn loopback_and_private_addresses_are_limited_only_on_request() {
    for from in ["127.0.0.1", "192.168.1.1", "::1", "fe80::1"] {
        let mut limits = Limits::new(ConnectionLimits::default());
        assert_eq!(arrivals(&mut limits, ip(from)), (64, RefuseReason::TooManyPending(64)));
        let all = ConnectionLimits { limit_local: true, ..ConnectionLimits::default() };
        let mut limits = Limits::new(all);
        assert_eq!(arrivals(&mut limits, ip(from)), (8, RefuseReason::TooManyFromHost(8)));
    }
}

#[test]
fn many_places_do_not_take_more_memory_than_they_may() {
    let few = ConnectionLimits { max_arrival_places: 3, ..ConnectionLimits::default() };
    let mut limits = Limits::new(few);
    let from = |n: u8| Some(IpAddr::from([8, 8, 8, n]));
    let connection = ConnectionId(0);
    for n in [1, 1, 2, 3, 3, 4, 5, 6] {
        assert_eq!(limits.arrive(START, connection, from(n)), Ok(()));
        limits.close(connection);
        assert!(limits.arrivals.len() <= 3);
    }
    let remembered: Vec<_> = limits.arrivals.networks().map(|network| network.address).collect();
    assert!(remembered.contains(&from(1).expect("an address")), "it used up most");
    assert!(remembered.contains(&from(3).expect("an address")), "it used up most");
    let later = START.saturating_add(Duration::from_secs(10));
    assert_eq!(limits.arrive(later, connection, from(9)), Ok(()));
    assert_eq!(limits.arrivals.len(), 1, "the others are full again");
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Arrive { connection: u64, ip: usize },
    Establish { connection: u64, role: Role, peer: usize, ip: usize },
    Close { connection: u64 },
    Wait { millis: u64 },
}

const IPS: [Option<&str>; 7] = [
    None,
    Some("127.0.0.1"),
    Some("8.8.8.8"),
    Some("::ffff:8.8.8.8"),
    Some("2606:4700:0:0::1"),
    Some("2606:4700:0:1::1"),
    Some("2606:4700:0:100::1"),
];

fn step() -> impl Strategy<Value = Step> {
    let (connection, ip) = (0..40u64, 0..IPS.len());
    let role = prop_oneof![Just(Role::Dialer), Just(Role::Listener)];
    prop_oneof![
        3 => (connection.clone(), ip.clone())
            .prop_map(|(connection, ip)| Step::Arrive { connection, ip }),
        3 => (connection.clone(), role, 0..3usize, ip)
            .prop_map(|(connection, role, peer, ip)| Step::Establish { connection, role, peer, ip }),
        2 => connection.prop_map(|connection| Step::Close { connection }),
        1 => (0..20_000u64).prop_map(|millis| Step::Wait { millis }),
    ]
}

fn small() -> impl Strategy<Value = ConnectionLimits> {
    let counts = (0..12u32, 0..12u32, 0..12u32, 0..12u32, 0..5u32, 0..5u32, 0..8u32);
    (counts, 0..5u32, 0..6_000u64, any::<bool>()).prop_map(
        |((all, inbound, outbound, pending, peer, host, site), burst, millis, local)| {
            ConnectionLimits {
                max_connections: all,
                max_inbound: inbound,
                max_outbound: outbound,
                max_pending_inbound: pending,
                max_per_peer: peer,
                max_per_host: host,
                max_per_site: site,
                arrival_interval: Duration::from_millis(millis),
                arrival_burst: burst,
                max_arrival_places: 16,
                limit_local: local,
            }
        },
    )
}

/// What a connection counts as, in the model.
#[derive(Clone, Copy)]
struct Known {
    role: Role,
    peer: Option<usize>,
    ip: Option<IpAddr>,
}

/// All connections, counted anew for each question.
struct Model {
    limits: ConnectionLimits,
    connections: BTreeMap<u64, Known>,
    /// Who arrived when, among those that are limited.
    arrived: Vec<(IpAddr, u64)>,
}

impl Model {
    fn count(&self, is_counted: impl Fn(&Known) -> bool) -> u32 {
        self.connections.values().filter(|known| is_counted(known)).count() as u32
    }

    fn same_prefix(a: Option<IpAddr>, b: IpAddr, bits: u32) -> bool {
        match (a, b) {
            (Some(IpAddr::V4(a)), IpAddr::V4(b)) => a == b,
            (Some(IpAddr::V6(a)), IpAddr::V6(b)) => {
                (a.to_bits() ^ b.to_bits()).leading_zeros() >= bits
            }
            _ => false,
        }
    }

    fn limited(&self, ip: usize) -> Option<IpAddr> {
        let ip = IPS[ip].map(|text| text.parse::<IpAddr>().expect(text).to_canonical())?;
        (self.limits.limit_local || !ip.is_loopback()).then_some(ip)
    }

    fn has_room_at(&self, ip: Option<IpAddr>) -> bool {
        let Some(ip) = ip else { return true };
        let at_host = self.count(|known| Self::same_prefix(known.ip, ip, 56));
        let at_site = self.count(|known| Self::same_prefix(known.ip, ip, 48));
        at_host < self.limits.max_per_host && (ip.is_ipv4() || at_site < self.limits.max_per_site)
    }

    fn may_establish(&self, connection: u64, role: Role, peer: usize, ip: Option<IpAddr>) -> bool {
        let limits = &self.limits;
        let established = |role| self.count(|known| known.peer.is_some() && role == known.role);
        let (inbound, outbound) = (established(Role::Listener), established(Role::Dialer));
        let has_room_in_role = match role {
            Role::Listener => inbound < limits.max_inbound,
            Role::Dialer => outbound < limits.max_outbound,
        };
        inbound + outbound < limits.max_connections
            && has_room_in_role
            && self.count(|known| known.peer == Some(peer)) < limits.max_per_peer
            && (self.connections.contains_key(&connection) || self.has_room_at(ip))
    }

    /// How often one place came in each window of time, against burst and rate.
    fn assert_rate(&self) {
        let interval = self.limits.arrival_interval.as_millis() as u64;
        for (i, (ip, from)) in self.arrived.iter().enumerate() {
            let mut came = 0;
            for (other, at) in &self.arrived[i..] {
                if !Self::same_prefix(Some(*other), *ip, 56) {
                    continue;
                }
                came += 1;
                if let Some(more) = (at - from).checked_div(interval) {
                    assert!(came <= u64::from(self.limits.arrival_burst) + more);
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn limits_are_never_exceeded_and_every_open_has_its_close(
        config in small(),
        steps in proptest::collection::vec(step(), 0..200),
    ) {
        let peers: Vec<_> = (0..3).map(peer).collect();
        let mut limits = Limits::new(config.clone());
        let mut model = Model { limits: config.clone(), connections: BTreeMap::new(), arrived: Vec::new() };
        let mut millis = 0;
        for step in steps {
            match step {
                Step::Wait { millis: more } => millis += more,
                Step::Close { connection } => {
                    limits.close(ConnectionId(connection));
                    model.connections.remove(&connection);
                }
                Step::Arrive { connection, ip } => {
                    let is_new = !model.connections.contains_key(&connection);
                    let limited = model.limited(ip);
                    let pending = model.count(|known| known.peer.is_none());
                    let has_room = pending < config.max_pending_inbound && model.has_room_at(limited);
                    let from = IPS[ip].map(|text| text.parse().expect(text));
                    let taken = limits.arrive(Timestamp::from_millis(millis), ConnectionId(connection), from);
                    if !is_new {
                        prop_assert_eq!(taken, Ok(()));
                    } else if taken.is_ok() {
                        prop_assert!(has_room);
                        let known = Known { role: Role::Listener, peer: None, ip: limited };
                        model.connections.insert(connection, known);
                        model.arrived.extend(limited.map(|ip| (ip, millis)));
                    } else {
                        prop_assert!(!has_room || taken == Err(RefuseReason::TooOften(config.arrival_burst)));
                    }
                }
                Step::Establish { connection, role, peer, ip } => {
                    let before = model.connections.get(&connection).copied();
                    let role_before = before.map_or(role, |known| known.role);
                    let limited = before.map_or(model.limited(ip), |known| known.ip);
                    let is_new = before.is_none_or(|known| known.peer.is_none());
                    let may = !is_new || model.may_establish(connection, role_before, peer, limited);
                    let to = IPS[ip].map(|text| text.parse().expect(text));
                    let done = limits.establish(ConnectionId(connection), role, peers[peer], to);
                    prop_assert_eq!(done.is_ok(), may, "{:?}", done);
                    if is_new && may {
                        let known = Known { role: role_before, peer: Some(peer), ip: limited };
                        model.connections.insert(connection, known);
                    }
                }
            }
            let counts = limits.counts();
            let count = |role, is_established| {
                model.count(|known| known.role == role && known.peer.is_some() == is_established)
            };
            prop_assert_eq!(counts.inbound, count(Role::Listener, true));
            prop_assert_eq!(counts.outbound, count(Role::Dialer, true));
            prop_assert_eq!(counts.pending_inbound, count(Role::Listener, false));
            prop_assert!(counts.inbound <= config.max_inbound);
            prop_assert!(counts.outbound <= config.max_outbound);
            prop_assert!(counts.inbound + counts.outbound <= config.max_connections);
            prop_assert!(counts.pending_inbound <= config.max_pending_inbound);
            prop_assert!(limits.arrivals.len() <= config.max_arrival_places);
        }
        model.assert_rate();
        for connection in 0..40 {
            limits.close(ConnectionId(connection));
        }
        prop_assert_eq!(limits.counts(), ConnectionCounts::default());
        prop_assert!(limits.peers.0.is_empty() && limits.networks.0.is_empty());
    }
}
