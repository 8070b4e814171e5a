//! [`Wildcards`]: listeners on every interface, as interfaces come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use sanspeer_core::address::Endpoint;
use sanspeer_core::node::{Input, ListenerId};
use sanspeer_core::time::Timestamp;

use crate::sockets::reachable_at;

/// How often the addresses of the interfaces are looked at.
const INTERVAL: Duration = Duration::from_secs(10);

/// Listeners on every interface.
#[derive(Default)]
pub(super) struct Wildcards {
    /// Bounded by the listeners.
    listeners: BTreeMap<ListenerId, Wildcard>,
    next_look: Option<Timestamp>,
}

struct Wildcard {
    bound: SocketAddr,
    /// What an address of a socket is to Node: TCP or QUIC.
    endpoint: fn(SocketAddr) -> Endpoint,
    known: BTreeSet<SocketAddr>,
}

impl Wildcards {
    /// A listener is bound. Returns the addresses at which it is reached.
    pub(super) fn add(
        &mut self,
        now: Timestamp,
        listener: ListenerId,
        bound: SocketAddr,
        endpoint: fn(SocketAddr) -> Endpoint,
    ) -> Vec<Endpoint> {
        let known = reachable_at(bound);
        let endpoints = known.iter().copied().map(endpoint).collect();
        if bound.ip().is_unspecified() {
            let known = known.into_iter().collect();
            self.listeners.insert(listener, Wildcard { bound, endpoint, known });
            self.next_look.get_or_insert(now.saturating_add(INTERVAL));
        }
        endpoints
    }

    pub(super) fn remove(&mut self, listener: ListenerId) {
        self.listeners.remove(&listener);
        if self.listeners.is_empty() {
            self.next_look = None;
        }
    }

    /// When to look again.
    pub(super) fn next_look(&self) -> Option<Timestamp> {
        self.next_look
    }

    /// Looks, if it is time. Returns what has changed.
    pub(super) fn look(&mut self, now: Timestamp) -> Vec<Input> {
        if self.next_look.is_none_or(|at| now < at) {
            return Vec::new();
        }
        self.next_look = Some(now.saturating_add(INTERVAL));
        self.listeners
            .iter_mut()
            .flat_map(|(listener, wildcard)| {
                let found = reachable_at(wildcard.bound).into_iter().collect();
                wildcard.update(*listener, found)
            })
            .collect()
    }
}

impl Wildcard {
    fn update(&mut self, listener: ListenerId, found: BTreeSet<SocketAddr>) -> Vec<Input> {
        let address = |socket: &SocketAddr| (self.endpoint)(*socket).to_multiaddr();
        let gone = self
            .known
            .difference(&found)
            .map(|socket| Input::AddressGone { listener, address: address(socket) });
        let new = found
            .difference(&self.known)
            .map(|socket| Input::Listening { listener, address: address(socket) });
        let changes = gone.chain(new).collect();
        self.known = found;
        changes
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn interfaces_that_come_and_go_are_told_of() {
        let socket = |last| SocketAddr::from(([192, 0, 2, last], 4001));
        let bound = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 4001));
        let known = [socket(1), socket(2)].into();
        let mut wildcard = Wildcard { bound, endpoint: Endpoint::Tcp, known };
        let listener = ListenerId(1);
        let address = |last| Endpoint::Tcp(socket(last)).to_multiaddr();
        let changes = wildcard.update(listener, [socket(2), socket(3)].into());
        let expected = [
            Input::AddressGone { listener, address: address(1) },
            Input::Listening { listener, address: address(3) },
        ];
        assert_eq!(changes, expected);
        assert!(wildcard.update(listener, [socket(2), socket(3)].into()).is_empty());
    }

    #[test]
    fn only_wildcards_are_looked_at_again() {
        let mut wildcards = Wildcards::default();
        let now = Timestamp::ZERO;
        let one = SocketAddr::from((Ipv4Addr::LOCALHOST, 4001));
        assert_eq!(wildcards.add(now, ListenerId(1), one, Endpoint::Tcp), [Endpoint::Tcp(one)]);
        assert_eq!(wildcards.next_look(), None);
        let every = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 4001));
        wildcards.add(now, ListenerId(2), every, Endpoint::Quic);
        let later = wildcards.next_look().unwrap();
        assert!(wildcards.look(now).is_empty());
        wildcards.look(later);
        assert!(wildcards.next_look().unwrap() > later);
        wildcards.remove(ListenerId(2));
        assert_eq!(wildcards.next_look(), None);
    }
}
