//! [`Limits`]: how many connections there may be, in all, with one peer and from one place, and how
//! often one place may come.

mod rate;

use core::net::IpAddr;
use core::time::Duration;
use std::collections::BTreeMap;

use libp2p_identity::PeerId;

use self::rate::ArrivalRate;
use super::ids::ConnectionId;
use crate::address::{Scope, scope};
use crate::close::RefuseReason;
use crate::mux::Role;
use crate::time::{Clock, Timestamp};

/// How many connections there may be. A connection counts from its arrival, or from the moment that
/// a dial is established, until it is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Established connections in all. Default: 192.
    pub max_connections: u32,
    /// Established connections that remotes opened. Default: 128.
    pub max_inbound: u32,
    /// Established connections that we opened. Default: 128.
    pub max_outbound: u32,
    /// Connections of remotes whose handshake is not over. Default: 64.
    pub max_pending_inbound: u32,
    /// Established connections with one peer. Default: 8.
    pub max_per_peer: u32,
    /// Connections with one IPv4 address or one IPv6 /56, established or arrived. Default: 8.
    pub max_per_host: u32,
    /// Connections with one IPv6 /48, established or arrived. Default: 64.
    pub max_per_site: u32,
    /// One IPv4 address or IPv6 /56 may come once in this time, once it has used up its burst.
    /// Default: 5 s.
    pub arrival_interval: Duration,
    /// So often it may come at once. Default: 16.
    pub arrival_burst: u32,
    /// Of how many such places it is remembered when they came. When there are more, the one that
    /// has used up least is forgotten. Default: 4,096, which take about 500 KiB.
    pub max_arrival_places: usize,
    /// Whether loopback and private addresses are limited like others. Default: no. Everybody
    /// behind one such address may be an honest neighbour.
    pub limit_local: bool,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        ConnectionLimits {
            max_connections: 192,
            max_inbound: 128,
            max_outbound: 128,
            max_pending_inbound: 64,
            max_per_peer: 8,
            max_per_host: 8,
            max_per_site: 64,
            arrival_interval: Duration::from_secs(5),
            arrival_burst: 16,
            max_arrival_places: 4096,
            limit_local: false,
        }
    }
}

/// How many connections there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionCounts {
    /// Established ones that remotes opened.
    pub inbound: u32,
    /// Established ones that we opened.
    pub outbound: u32,
    /// Those of remotes whose handshake is not over.
    pub pending_inbound: u32,
}

/// Counts connections and refuses those above the limits. It holds as much as there are
/// connections, and [`ConnectionLimits::max_arrival_places`].
#[derive(Debug)]
pub struct Limits {
    limits: ConnectionLimits,
    clock: Clock,
    connections: BTreeMap<ConnectionId, Counted>,
    counts: ConnectionCounts,
    peers: Tally<PeerId>,
    networks: Tally<Network>,
    arrivals: ArrivalRate,
}

/// What a connection counts as.
#[derive(Clone, Copy, Debug)]
struct Counted {
    role: Role,
    place: Option<Place>,
    /// Who it is with, once it is established.
    peer: Option<PeerId>,
}

/// Where a connection comes from or goes to, if that is limited.
#[derive(Clone, Copy, Debug)]
struct Place {
    host: Network,
    site: Option<Network>,
}

/// An IP network. The bits that are not its prefix are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

/// How many there are of each. Holds no zeros.
#[derive(Debug)]
struct Tally<K>(BTreeMap<K, u32>);

impl Limits {
    /// No connections yet.
    pub fn new(limits: ConnectionLimits) -> Self {
        let arrivals = ArrivalRate::new(
            limits.arrival_interval,
            limits.arrival_burst,
            limits.max_arrival_places,
        );
        Limits {
            limits,
            clock: Clock::default(),
            connections: BTreeMap::new(),
            counts: ConnectionCounts::default(),
            peers: Tally(BTreeMap::new()),
            networks: Tally(BTreeMap::new()),
            arrivals,
        }
    }

    /// How many connections there are.
    pub fn counts(&self) -> ConnectionCounts {
        self.counts
    }

    /// Takes somebody who wants to connect: it counts as pending until [`Limits::establish`] or
    /// [`Limits::close`]. The total is not looked at: who he is may matter, and he is to hear the
    /// reason. Over QUIC, call this once his address is validated; a forged one would use up what
    /// is another's.
    pub fn arrive(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        ip: Option<IpAddr>,
    ) -> Result<(), RefuseReason> {
        let now = self.clock.advance(now);
        if self.connections.contains_key(&connection) {
            return Ok(());
        }
        let max = self.limits.max_pending_inbound;
        if self.counts.pending_inbound >= max {
            return Err(RefuseReason::TooManyPending(max));
        }
        let place = self.place(ip);
        if let Some(place) = place {
            self.check_place(place)?;
            if !self.arrivals.take(now, place.host) {
                return Err(RefuseReason::TooOften(self.limits.arrival_burst));
            }
        }
        self.count(connection, Counted { role: Role::Listener, place, peer: None });
        Ok(())
    }

    /// Whether a dial could lead to a connection that is admitted.
    pub fn check_dial(&self) -> Result<(), RefuseReason> {
        self.check_role(Role::Dialer)
    }

    /// Admits a connection whose handshake proved `peer`. One that arrived counts as established
    /// from now on; if it is refused, it stays pending until it is over. One that we dialled counts
    /// from now on, and not at all if it is refused.
    pub fn establish(
        &mut self,
        connection: ConnectionId,
        role: Role,
        peer: PeerId,
        ip: Option<IpAddr>,
    ) -> Result<(), RefuseReason> {
        let arrived = self.connections.get(&connection).copied();
        if arrived.is_some_and(|counted| counted.peer.is_some()) {
            return Ok(());
        }
        let role = arrived.map_or(role, |counted| counted.role);
        self.check_role(role)?;
        let max = self.limits.max_per_peer;
        if self.peers.get(&peer) >= max {
            return Err(RefuseReason::TooManyConnectionsOfPeer(max));
        }
        let place = match arrived {
            Some(counted) => counted.place,
            None => self.place(ip),
        };
        if arrived.is_none()
            && let Some(place) = place
        {
            self.check_place(place)?;
        }
        self.close(connection);
        self.count(connection, Counted { role, place, peer: Some(peer) });
        Ok(())
    }

    /// A connection is over. One that does not count changes nothing.
    pub fn close(&mut self, connection: ConnectionId) {
        let Some(counted) = self.connections.remove(&connection) else { return };
        let count = self.counts.of(counted);
        *count = count.saturating_sub(1);
        if let Some(peer) = counted.peer {
            self.peers.take(&peer);
        }
        for network in counted.networks() {
            self.networks.take(&network);
        }
    }

    fn count(&mut self, connection: ConnectionId, counted: Counted) {
        let count = self.counts.of(counted);
        *count = count.saturating_add(1);
        if let Some(peer) = counted.peer {
            self.peers.add(peer);
        }
        for network in counted.networks() {
            self.networks.add(network);
        }
        self.connections.insert(connection, counted);
    }

    fn check_role(&self, role: Role) -> Result<(), RefuseReason> {
        let ConnectionCounts { inbound, outbound, .. } = self.counts;
        let max = self.limits.max_connections;
        if inbound.saturating_add(outbound) >= max {
            return Err(RefuseReason::TooManyConnections(max));
        }
        match role {
            Role::Listener if inbound >= self.limits.max_inbound => {
                Err(RefuseReason::TooManyInbound(self.limits.max_inbound))
            }
            Role::Dialer if outbound >= self.limits.max_outbound => {
                Err(RefuseReason::TooManyOutbound(self.limits.max_outbound))
            }
            Role::Listener | Role::Dialer => Ok(()),
        }
    }

    fn check_place(&self, place: Place) -> Result<(), RefuseReason> {
        if self.networks.get(&place.host) >= self.limits.max_per_host {
            return Err(RefuseReason::TooManyFromHost(self.limits.max_per_host));
        }
        let at_site = place.site.map_or(0, |site| self.networks.get(&site));
        if place.site.is_some() && at_site >= self.limits.max_per_site {
            return Err(RefuseReason::TooManyFromSite(self.limits.max_per_site));
        }
        Ok(())
    }

    /// The place of `ip`, if it is limited.
    fn place(&self, ip: Option<IpAddr>) -> Option<Place> {
        let ip = ip?.to_canonical();
        let is_local = match scope(ip) {
            Scope::Loopback | Scope::Private => true,
            Scope::Public | Scope::Unspecified | Scope::Multicast => false,
        };
        (self.limits.limit_local || !is_local).then(|| Place::of(ip))
    }
}

impl ConnectionCounts {
    /// The count that `counted` is part of.
    fn of(&mut self, counted: Counted) -> &mut u32 {
        match (counted.role, counted.peer) {
            (Role::Dialer, _) => &mut self.outbound,
            (Role::Listener, Some(_)) => &mut self.inbound,
            (Role::Listener, None) => &mut self.pending_inbound,
        }
    }
}

impl Counted {
    fn networks(&self) -> impl Iterator<Item = Network> + use<> {
        self.place.into_iter().flat_map(|place| core::iter::once(place.host).chain(place.site))
    }
}

impl Place {
    fn of(ip: IpAddr) -> Place {
        match ip {
            IpAddr::V4(_) => Place { host: Network::of(ip, 32), site: None },
            IpAddr::V6(_) => Place { host: Network::of(ip, 56), site: Some(Network::of(ip, 48)) },
        }
    }
}

impl Network {
    fn of(ip: IpAddr, prefix_bits: u8) -> Network {
        let address = match ip {
            IpAddr::V4(ip) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix_bits.min(32))).unwrap_or(0);
                IpAddr::V4((ip.to_bits() & mask).into())
            }
            IpAddr::V6(ip) => {
                let mask =
                    u128::MAX.checked_shl(128 - u32::from(prefix_bits.min(128))).unwrap_or(0);
                IpAddr::V6((ip.to_bits() & mask).into())
            }
        };
        Network { address, prefix_bits }
    }
}

impl<K: Ord> Tally<K> {
    fn get(&self, key: &K) -> u32 {
        self.0.get(key).copied().unwrap_or(0)
    }

    fn add(&mut self, key: K) {
        let count = self.0.entry(key).or_insert(0);
        *count = count.saturating_add(1);
    }

    fn take(&mut self, key: &K) {
        let Some(count) = self.0.get_mut(key) else { return };
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.0.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
