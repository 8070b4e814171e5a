//! [`Race`]: the addresses of one peer, on their way to the first connection.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use super::config::DialConfig;
use super::rank::{Candidate, Lane, Lanes};
use crate::address::Endpoint;
use crate::node::command::DialError;
use crate::node::ids::{ConnectionId, DialId, LookupId};
use crate::node::input::DialFailure;
use crate::peer_store::{PeerStore, SkipReason, check_address};
use crate::time::{Deadline, DeadlineReason, Timestamp};

/// Whom a race is to reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// This peer.
    Peer(PeerId),
    /// Whoever is at this address, the first of the request.
    Anybody(Multiaddr),
}

/// The addresses of one target. Every address has one of these places at a time, and comes back to
/// none that it left: waiting (as a name or in the lanes), under way (as a lookup or an attempt),
/// failed.
#[derive(Debug)]
pub(super) struct Race {
    pub(super) target: Target,
    /// Who waits for the end. Empty once the peer connected to us meanwhile: what is under way goes
    /// on, since the peer may be giving up its own dial for ours at this moment.
    pub(super) waiters: Vec<DialId>,
    /// Whatever was offered; at most [`DialConfig::max_addresses`].
    offered: BTreeSet<Multiaddr>,
    names: VecDeque<Name>,
    lanes: Lanes,
    pub(super) lookups: BTreeMap<LookupId, (Name, Timestamp)>,
    pub(super) attempts: BTreeMap<ConnectionId, Attempt>,
    /// In the order of failing.
    failed: Vec<(Multiaddr, DialError)>,
}

/// What becomes of an address that is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// It is in the race from now on, or has failed.
    Taken,
    /// It was offered before.
    Known,
    /// There are as many as may be.
    NoRoom,
}

/// A name that stands for addresses.
#[derive(Clone, Debug)]
pub(super) struct Name {
    pub(super) address: Multiaddr,
    /// The first of the names that stand behind each other.
    pub(super) via: Option<Multiaddr>,
    /// How many names stand before it.
    pub(super) depth: u32,
}

/// An address that is being dialled.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) candidate: Candidate,
    pub(super) deadline: Timestamp,
}

impl Target {
    pub(super) fn peer(&self) -> Option<PeerId> {
        match self {
            Target::Peer(peer) => Some(*peer),
            Target::Anybody(_) => None,
        }
    }
}

impl Name {
    /// The name that was given.
    pub(super) fn origin(&self) -> &Multiaddr {
        self.via.as_ref().unwrap_or(&self.address)
    }
}

impl Race {
    pub(super) fn new(target: Target, now: Timestamp, config: &DialConfig) -> Self {
        Race {
            target,
            waiters: Vec::new(),
            offered: BTreeSet::new(),
            names: VecDeque::new(),
            lanes: Lanes::new(now, config),
            lookups: BTreeMap::new(),
            attempts: BTreeMap::new(),
            failed: Vec::new(),
        }
    }

    /// Takes an address, which `before` stood for, into the race. One that is not to be dialled has
    /// failed at once.
    pub(super) fn offer(
        &mut self,
        now: Timestamp,
        config: &DialConfig,
        peers: &PeerStore,
        address: &Multiaddr,
        before: Option<&Name>,
    ) -> Offer {
        let checked = check_address(self.target.peer(), address);
        let one_spelling = checked.as_ref().map_or(address, |(address, _)| address);
        if self.offered.contains(one_spelling) {
            return Offer::Known;
        }
        if self.offered.len() >= config.max_addresses {
            return Offer::NoRoom;
        }
        self.offered.insert(one_spelling.clone());
        match checked {
            Ok((address, endpoint)) => self.enter(now, peers, address, &endpoint, before),
            Err(_) => {
                let unsupported = DialError::Failed(DialFailure::Unsupported);
                self.failed.push((address.clone(), unsupported));
            }
        }
        Offer::Taken
    }

    fn enter(
        &mut self,
        now: Timestamp,
        peers: &PeerStore,
        address: Multiaddr,
        endpoint: &Endpoint,
        before: Option<&Name>,
    ) {
        let reason = self.target.peer().and_then(|peer| peers.skip_address(&peer, &address, now));
        if let Some(reason) = reason {
            return self.failed.push((address, error_of(reason)));
        }
        let via = before.map(|name| name.origin().clone());
        match Candidate::new(address.clone(), endpoint, via.clone()) {
            Some(candidate) => self.lanes.push(candidate),
            None => {
                let depth = before.map_or(0, |name| name.depth.saturating_add(1));
                self.names.push_back(Name { address, via, depth });
            }
        }
    }

    /// The next name to look up.
    pub(super) fn next_name(&mut self) -> Option<Name> {
        self.names.pop_front()
    }

    /// The next address to dial, if one is due.
    pub(super) fn next_candidate(&mut self, now: Timestamp) -> Option<Candidate> {
        let last_resort = self.has_last_resort();
        self.lanes.take(now, last_resort)
    }

    pub(super) fn lookup_failed(&mut self, name: Name, error: DialError) {
        self.failed.push((name.address, error));
    }

    pub(super) fn attempt_failed(
        &mut self,
        now: Timestamp,
        candidate: Candidate,
        error: DialError,
    ) {
        self.lanes.hurry(candidate.lane, now);
        self.failed.push((candidate.address, error));
    }

    /// Lets nobody wait any more. Only attempts go on; whatever else was offered is forgotten, so
    /// that it may be offered again.
    pub(super) fn stop(&mut self) {
        self.waiters.clear();
        self.names.clear();
        self.lookups.clear();
        self.lanes.clear();
        self.failed.clear();
        let attempts = self.attempts.values().map(|attempt| &attempt.candidate.address);
        self.offered = attempts.cloned().collect();
    }

    /// Whether every address has failed.
    pub(super) fn is_over(&self) -> bool {
        self.names.is_empty()
            && self.lookups.is_empty()
            && self.attempts.is_empty()
            && self.lanes.waiting().next().is_none()
    }

    /// What failed, and what is given up if the race ends now.
    pub(super) fn report(&self) -> Vec<(Multiaddr, DialError)> {
        let attempts = self.attempts.values().map(|attempt| &attempt.candidate.address);
        let lookups = self.lookups.values().map(|(name, _)| &name.address);
        let waiting = self.lanes.waiting().map(|candidate| &candidate.address);
        let names = self.names.iter().map(|name| &name.address);
        let given_up = attempts.chain(lookups).chain(waiting).chain(names);
        let given_up = given_up.map(|address| (address.clone(), DialError::Cancelled));
        self.failed.iter().cloned().chain(given_up).collect()
    }

    /// When something is due. `has_room` says whether one more address may be dialled.
    pub(super) fn deadline(&self, has_room: bool) -> Option<Deadline> {
        let attempts = self.attempts.values().map(|attempt| attempt.deadline);
        let lookups = self.lookups.values().map(|(_, deadline)| *deadline);
        let timeout = attempts.chain(lookups).min();
        let next = if has_room { self.lanes.next_at(self.has_last_resort()) } else { None };
        Deadline::earlier(
            timeout.map(|at| Deadline::new(at, DeadlineReason::DialAttempt)),
            next.map(|at| Deadline::new(at, DeadlineReason::DialNext)),
        )
    }

    /// Whether nothing but a relay may be left to try.
    fn has_last_resort(&self) -> bool {
        self.names.is_empty()
            && self.lookups.is_empty()
            && self.attempts.values().all(|attempt| attempt.candidate.lane == Lane::Relay)
    }
}

/// How the request is told that an address was skipped.
fn error_of(reason: SkipReason) -> DialError {
    match reason {
        SkipReason::BackedOff { .. } => DialError::BackedOff,
        SkipReason::WrongPeer { found } => {
            DialError::Failed(DialFailure::WrongPeer { found: Box::new(found) })
        }
        SkipReason::Ourselves
        | SkipReason::Connected
        | SkipReason::NoAddress
        | SkipReason::OnlyLoopback
        | SkipReason::Address(_) => DialError::Failed(DialFailure::Unsupported),
    }
}
