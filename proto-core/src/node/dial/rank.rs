//! [`Lanes`]: which address of a peer is dialled next, and when.

use core::time::Duration;

use multiaddr::Multiaddr;

use super::config::DialConfig;
use crate::address::{Endpoint, Scope, Transport};
use crate::time::Timestamp;

/// An address that waits for its turn.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate {
    pub(super) address: Multiaddr,
    /// The name that stood for it, as it was given.
    pub(super) via: Option<Multiaddr>,
    pub(super) lane: Lane,
    kind: Kind,
    /// The lower one is the more likely to be listened on.
    port: u16,
}

/// The queues of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    /// This machine and local networks.
    Private,
    Public,
    Relay,
}

/// What takes turns within a lane: IPv6 and IPv4 over QUIC, then the same over TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    QuicV6,
    QuicV4,
    TcpV6,
    TcpV4,
}

/// All queues of a peer.
#[derive(Debug)]
pub(super) struct Lanes {
    private: Queue,
    public: Queue,
    relay: Queue,
    public_delay: Duration,
    private_delay: Duration,
}

/// One queue.
#[derive(Debug)]
struct Queue {
    /// Bounded by [`DialConfig::max_addresses`].
    waiting: Vec<Candidate>,
    /// The kinds that began, each once for each address.
    begun: Vec<Kind>,
    next_at: Timestamp,
}

impl Candidate {
    /// `None` for what has to be looked up first.
    pub(super) fn new(
        address: Multiaddr,
        endpoint: &Endpoint,
        via: Option<Multiaddr>,
    ) -> Option<Candidate> {
        let lane = match endpoint.scope() {
            Some(Scope::Public) => Lane::Public,
            Some(Scope::Loopback | Scope::Private | Scope::Unspecified | Scope::Multicast)
            | None => Lane::Private,
        };
        let candidate = |lane, kind, port| Some(Candidate { address, via, lane, kind, port });
        match endpoint {
            Endpoint::Quic(socket) if socket.is_ipv6() => {
                candidate(lane, Kind::QuicV6, socket.port())
            }
            Endpoint::Quic(socket) => candidate(lane, Kind::QuicV4, socket.port()),
            Endpoint::Tcp(socket) if socket.is_ipv6() => {
                candidate(lane, Kind::TcpV6, socket.port())
            }
            Endpoint::Tcp(socket) => candidate(lane, Kind::TcpV4, socket.port()),
            Endpoint::Memory(_) => candidate(lane, Kind::QuicV6, 0),
            Endpoint::Circuit { .. } => candidate(Lane::Relay, Kind::TcpV4, 0),
            Endpoint::Name { .. } | Endpoint::Dnsaddr { .. } => None,
        }
    }

    /// How long it may take.
    pub(super) fn timeout(&self, config: &DialConfig) -> Duration {
        match (self.lane, self.kind.transport()) {
            (Lane::Public, Transport::Tcp) => config.public_tcp_timeout,
            (Lane::Private | Lane::Relay, Transport::Tcp) | (_, Transport::Quic) => config.timeout,
        }
    }
}

impl Kind {
    fn transport(self) -> Transport {
        match self {
            Kind::QuicV6 | Kind::QuicV4 => Transport::Quic,
            Kind::TcpV6 | Kind::TcpV4 => Transport::Tcp,
        }
    }
}

impl Lanes {
    /// Of a race that begins now.
    pub(super) fn new(now: Timestamp, config: &DialConfig) -> Self {
        let queue = |next_at| Queue { waiting: Vec::new(), begun: Vec::new(), next_at };
        Lanes {
            private: queue(now),
            public: queue(now),
            relay: queue(now.saturating_add(config.relay_delay)),
            public_delay: config.public_delay,
            private_delay: config.private_delay,
        }
    }

    pub(super) fn push(&mut self, candidate: Candidate) {
        self.queue(candidate.lane).waiting.push(candidate);
    }

    /// When the next address is due. The first relayed one is due at once when it is the
    /// `last_resort`: no other is being dialled or looked up.
    pub(super) fn next_at(&self, last_resort: bool) -> Option<Timestamp> {
        let is_last = last_resort
            && self.private.waiting.is_empty()
            && self.public.waiting.is_empty()
            && self.relay.begun.is_empty();
        let relay_at = if is_last { Timestamp::ZERO } else { self.relay.next_at };
        [
            (&self.private, self.private.next_at),
            (&self.public, self.public.next_at),
            (&self.relay, relay_at),
        ]
        .into_iter()
        .filter(|(queue, _)| !queue.waiting.is_empty())
        .map(|(_, at)| at)
        .min()
    }

    /// Takes the next address if it is due.
    pub(super) fn take(&mut self, now: Timestamp, last_resort: bool) -> Option<Candidate> {
        if self.next_at(last_resort)? > now {
            return None;
        }
        let is_due = |queue: &Queue| !queue.waiting.is_empty() && queue.next_at <= now;
        let (queue, delay) = if is_due(&self.private) {
            (&mut self.private, self.private_delay)
        } else if is_due(&self.public) {
            (&mut self.public, self.public_delay)
        } else {
            (&mut self.relay, self.public_delay)
        };
        queue.next_at = now.saturating_add(delay);
        queue.take()
    }

    /// An address of this lane failed: the next one need not wait.
    pub(super) fn hurry(&mut self, lane: Lane, now: Timestamp) {
        let queue = self.queue(lane);
        queue.next_at = queue.next_at.min(now);
    }

    /// Forgets all that wait.
    pub(super) fn clear(&mut self) {
        for queue in [&mut self.private, &mut self.public, &mut self.relay] {
            queue.waiting.clear();
        }
    }

    /// All that wait.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Candidate> {
        [&self.private, &self.public, &self.relay].into_iter().flat_map(|queue| &queue.waiting)
    }

    fn queue(&mut self, lane: Lane) -> &mut Queue {
        match lane {
            Lane::Private => &mut self.private,
            Lane::Public => &mut self.public,
            Lane::Relay => &mut self.relay,
        }
    }
}

impl Queue {
    fn take(&mut self) -> Option<Candidate> {
        let turns = |kind| self.begun.iter().filter(|begun| **begun == kind).count();
        let rank = |candidate: &Candidate| {
            let Candidate { kind, port, address, .. } = candidate;
            (kind.transport() == Transport::Tcp, turns(*kind), *kind, *port, address.clone())
        };
        let first = (0..self.waiting.len()).min_by_key(|i| self.waiting.get(*i).map(rank))?;
        let candidate = self.waiting.swap_remove(first);
        self.begun.push(candidate.kind);
        Some(candidate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_secs(1000);

    fn lanes(addresses: &[&str]) -> Lanes {
        let mut lanes = Lanes::new(START, &DialConfig::default());
        for text in addresses {
            let address: Multiaddr = text.parse().expect(text);
            let endpoint = Endpoint::parse(&address).expect(text);
            lanes.push(Candidate::new(address, &endpoint, None).expect("no name"));
        }
        lanes
    }

    /// When each address begins, in milliseconds, if none of them ever ends.
    fn schedule(addresses: &[&str]) -> Vec<(u128, String)> {
        let mut lanes = lanes(addresses);
        let (mut schedule, mut busy) = (Vec::new(), false);
        while let Some(at) = lanes.next_at(!busy) {
            let at = at.max(START);
            let candidate = lanes.take(at, !busy).expect("it is due");
            let millis = at.saturating_since(START).as_millis();
            schedule.push((millis, candidate.address.to_string()));
            busy = true;
        }
        schedule
    }

    fn assert_schedule(expected: &[(u128, &str)]) {
        let mut addresses: Vec<_> = expected.iter().map(|(_, address)| *address).collect();
        let expected: Vec<_> =
            expected.iter().map(|(at, text)| (*at, (*text).to_owned())).collect();
        assert_eq!(schedule(&addresses), expected);
        addresses.reverse();
        assert_eq!(schedule(&addresses), expected, "whatever the order in which they came");
    }

    #[test]
    fn quic_goes_before_tcp_and_ipv6_before_ipv4_in_turns() {
        assert_schedule(&[
            (0, "/ip6/2606:4700::1/udp/1/quic-v1"),
            (250, "/ip4/8.8.8.8/udp/1/quic-v1"),
            (500, "/ip6/2606:4700::1/udp/2/quic-v1"),
            (750, "/ip4/8.8.8.8/udp/2/quic-v1"),
            (1000, "/ip4/8.8.8.8/udp/3/quic-v1"),
            (1250, "/ip6/2606:4700::1/tcp/1"),
            (1500, "/ip4/8.8.8.8/tcp/1"),
            (1750, "/ip6/2606:4700::1/tcp/9"),
            (2000, "/ip6/2606:4700::2/tcp/9"),
        ]);
    }

    #[test]
    fn local_addresses_go_beside_public_ones_and_faster() {
        assert_schedule(&[
            (0, "/ip4/192.168.0.1/udp/1/quic-v1"),
            (0, "/ip4/8.8.8.8/udp/1/quic-v1"),
            (30, "/ip4/127.0.0.1/tcp/1"),
            (60, "/ip4/192.168.0.1/tcp/1"),
            (250, "/ip4/8.8.8.8/tcp/1"),
        ]);
    }

    #[test]
    fn relayed_addresses_come_later_unless_there_is_nothing_else() {
        const RELAYED: &str = "/ip4/8.8.8.8/tcp/1/p2p/12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA/p2p-circuit";
        const OTHER: &str = "/ip4/9.9.9.9/tcp/1/p2p/12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA/p2p-circuit";
        assert_schedule(&[
            (0, "/ip4/8.8.8.8/udp/1/quic-v1"),
            (250, "/ip4/8.8.8.8/tcp/1"),
            (500, RELAYED),
            (750, OTHER),
        ]);
        assert_schedule(&[(0, RELAYED), (250, OTHER)]);
    }

    #[test]
    fn a_failure_hands_over_its_turn() {
        let mut lanes = lanes(&["/ip4/8.8.8.8/tcp/1", "/ip4/8.8.8.8/tcp/2", "/ip4/8.8.8.8/tcp/3"]);
        assert!(lanes.take(START, true).is_some());
        let now = Timestamp::from_millis(1_000_010);
        assert_eq!(lanes.take(now, false), None);
        lanes.hurry(Lane::Public, now);
        assert!(lanes.take(now, false).is_some());
        assert_eq!(lanes.next_at(false), Some(Timestamp::from_millis(1_000_260)));
    }

    #[test]
    fn only_tcp_to_a_public_address_has_longer() {
        let config = DialConfig::default();
        let timeout = |text: &str| {
            lanes(&[text]).take(START, true).expect("it is due").timeout(&config).as_secs()
        };
        assert_eq!(timeout("/ip4/8.8.8.8/tcp/1"), 15);
        assert_eq!(timeout("/ip4/8.8.8.8/udp/1/quic-v1"), 10);
        assert_eq!(timeout("/ip4/10.0.0.1/tcp/1"), 10);
        assert_eq!(timeout("/memory/1"), 10);
    }
}
