//! [`Colocation`]: how many peers are at an IP address (P6).

use core::net::IpAddr;
use std::collections::BTreeMap;

use super::ip_range::IpRange;
use super::params::ScoreConfig;
use crate::address::{Scope, scope};

/// How much of an IPv6 address is one place: whoever has one address has all of its /64.
const IPV6_PLACE_BITS: u8 = 64;

/// An IPv4 address or an IPv6 /64, of which peers are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(IpRange);

/// How many peers are at each place. It holds no more places than there are connections and
/// retained peers, and no zeros.
#[derive(Clone, Debug, Default)]
pub(super) struct Colocation(BTreeMap<Place, u32>);

impl Place {
    /// The place of `ip`, if peers at it are counted.
    pub(super) fn of(ip: IpAddr, config: &ScoreConfig) -> Option<Place> {
        let ip = ip.to_canonical();
        let is_local = match scope(ip) {
            Scope::Loopback | Scope::Private => true,
            Scope::Public | Scope::Unspecified | Scope::Multicast => false,
        };
        let is_exempt = config.ip_colocation_exempt.iter().any(|range| range.contains(ip));
        if (is_local && !config.ip_colocation_local) || is_exempt {
            return None;
        }
        let bits = if ip.is_ipv4() { 32 } else { IPV6_PLACE_BITS };
        IpRange::new(ip, bits).ok().map(Place)
    }
}

impl Colocation {
    /// One more peer is there.
    pub(super) fn add(&mut self, place: Place) {
        let peers = self.0.entry(place).or_insert(0);
        *peers = peers.saturating_add(1);
    }

    /// One peer less is there.
    pub(super) fn remove(&mut self, place: Place) {
        let Some(peers) = self.0.get_mut(&place) else { return };
        *peers = peers.saturating_sub(1);
        if *peers == 0 {
            self.0.remove(&place);
        }
    }

    /// Whether nobody is anywhere.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// P6 of a peer at `place`: the square of the peers there above the threshold.
    pub(super) fn surplus(&self, place: Place, threshold: u32) -> f64 {
        let peers = self.0.get(&place).copied().unwrap_or(0);
        let surplus = f64::from(peers.saturating_sub(threshold));
        surplus * surplus
    }
}
