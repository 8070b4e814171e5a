//! [`Dialer`]: all races, under the bounds that they share.

use std::collections::{BTreeMap, VecDeque};

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use super::config::DialConfig;
use super::race::{Attempt, Name, Offer, Race, Target};
use crate::address::peer_of;
use crate::node::command::{CommandError, DialError};
use crate::node::ids::{ConnectionId, DialId, Ids, LookupId};
use crate::node::input::DialFailure;
use crate::peer_store::{PeerStore, SkipReason, Source, check_address};
use crate::time::{Clock, Deadline, Timestamp};

/// Reaches peers. After every call, take outputs until there are none.
///
/// What came of each address is kept in the [`PeerStore`], which also says which ones are skipped.
/// Nothing is kept of targets without a peer id until it is known.
#[derive(Debug)]
pub struct Dialer {
    config: DialConfig,
    clock: Clock,
    /// By the first request of each, so that older ones go first. At most
    /// [`DialConfig::max_dials`], and those that nobody waits for any more, each with an attempt.
    races: BTreeMap<DialId, Race>,
    deadline: Option<Deadline>,
    /// A few for each attempt, lookup and request that began or ended since it was last emptied.
    outputs: VecDeque<DialOutput>,
}

/// What a [`Dialer`] works with and its owner shares with others.
#[derive(Debug)]
pub struct DialContext<'a> {
    /// The time of the call.
    pub now: Timestamp,
    /// Where ids come from.
    pub ids: &'a mut Ids,
    /// What is known of peers.
    pub peers: &'a mut PeerStore,
}

/// Somebody wants a peer to be connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialRequest {
    /// The peer; the one that the addresses name, or anybody, if `None`.
    pub peer: Option<PeerId>,
    /// Where it may be found, beside what is known of it.
    pub addresses: Vec<Multiaddr>,
    /// Who says so.
    pub source: Source,
}

/// What a [`Dialer`] wants done, or tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialOutput {
    /// Dials an address, which names no lookup and no peer. Answered by
    /// [`Dialer::handle_established`] or [`Dialer::handle_failed`].
    Dial {
        /// The connection that it becomes.
        connection: ConnectionId,
        /// The address.
        address: Multiaddr,
        /// Who must be there; anybody if `None`.
        peer: Option<PeerId>,
    },
    /// Gives a dial up.
    Cancel(ConnectionId),
    /// Looks a name up. Answered by [`Dialer::handle_looked_up`].
    LookUp {
        /// The lookup.
        lookup: LookupId,
        /// The name, without a peer.
        address: Multiaddr,
    },
    /// A request is over. There is one for each that was taken.
    Done {
        /// The request.
        dial: DialId,
        /// The connection, or why each address failed, in the order of failing; those that were
        /// given up follow.
        result: Result<ConnectionId, Vec<(Multiaddr, DialError)>>,
    },
}

impl Dialer {
    /// Nothing is dialled yet. With a bound of 0 no dial would end, or would end without a
    /// reason: at least 1 counts.
    pub fn new(config: DialConfig) -> Self {
        let config = DialConfig {
            max_attempts_per_peer: config.max_attempts_per_peer.max(1),
            max_attempts: config.max_attempts.max(1),
            max_lookups: config.max_lookups.max(1),
            max_addresses: config.max_addresses.max(1),
            ..config
        };
        Dialer {
            config,
            clock: Clock::default(),
            races: BTreeMap::new(),
            deadline: None,
            outputs: VecDeque::new(),
        }
    }

    /// Begins to dial a peer, or joins those who wait for it already. The addresses are added to
    /// the peer store, if the peer is known.
    pub fn connect(
        &mut self,
        cx: &mut DialContext<'_>,
        request: DialRequest,
    ) -> Result<DialId, CommandError> {
        let now = self.clock.advance(cx.now);
        let target = self.check(cx, &request)?;
        let mut addresses = request.addresses;
        if let Target::Peer(peer) = target {
            for address in &addresses {
                // What cannot be dialled is told at the end, with everything that failed.
                let _ = cx.peers.add(peer, address, request.source, now);
            }
            let is_hopeless = addresses.is_empty()
                && cx.peers.skip_peer(&peer, now) == Some(SkipReason::OnlyLoopback);
            if !is_hopeless && let Some(known) = cx.peers.get(&peer) {
                addresses.extend(known.by_worth());
            }
        }
        if addresses.is_empty() {
            return Err(CommandError::NoAddresses);
        }
        let dial = cx.ids.dial();
        let config = &self.config;
        let existing = self.races.values_mut().find(|race| race.target == target);
        let race = match existing {
            Some(race) => race,
            None => self.races.entry(dial).or_insert_with(|| Race::new(target, now, config)),
        };
        race.waiters.push(dial);
        for address in &addresses {
            // Those beyond the bound are not tried.
            let _ = race.offer(now, config, cx.peers, address, None);
        }
        self.advance(cx, now);
        Ok(dial)
    }

    /// A name was looked up. Of what it stands for, what names another peer is left out.
    pub fn handle_looked_up(
        &mut self,
        cx: &mut DialContext<'_>,
        lookup: LookupId,
        addresses: &[Multiaddr],
    ) {
        let now = self.clock.advance(cx.now);
        let config = &self.config;
        let race = self.races.values_mut().find(|race| race.lookups.contains_key(&lookup));
        let Some(race) = race else { return };
        let Some((name, _)) = race.lookups.remove(&lookup) else { return };
        let peer = race.target.peer();
        let (mut is_found, mut error) = (false, DialError::NameNotFound);
        for address in addresses.iter().take(config.max_lookup_results) {
            let Ok((_, endpoint)) = check_address(peer, address) else { continue };
            if endpoint.is_name() && name.depth >= config.max_name_depth.saturating_sub(1) {
                continue;
            }
            match race.offer(now, config, cx.peers, address, Some(&name)) {
                Offer::Taken => is_found = true,
                // Names in a circle stand for nothing.
                Offer::Known => is_found |= !endpoint.is_name(),
                Offer::NoRoom => error = DialError::Cancelled,
            }
        }
        if !is_found {
            fail_lookup(race, cx, now, name, error);
        }
        self.advance(cx, now);
    }

    /// An attempt failed: no connection came to be, or it ended before it was admitted, or it was
    /// not admitted.
    pub fn handle_failed(
        &mut self,
        cx: &mut DialContext<'_>,
        connection: ConnectionId,
        error: DialError,
    ) {
        let now = self.clock.advance(cx.now);
        let race = self.races.values_mut().find(|race| race.attempts.contains_key(&connection));
        let Some(race) = race else { return };
        fail_attempt(race, cx, now, connection, error);
        self.advance(cx, now);
    }

    /// An attempt led to a connection that proved to be `peer`'s, and that was admitted. It wins:
    /// the other attempts at this peer are given up.
    pub fn handle_established(
        &mut self,
        cx: &mut DialContext<'_>,
        connection: ConnectionId,
        peer: PeerId,
    ) {
        let now = self.clock.advance(cx.now);
        let won = |race: &Race| race.attempts.contains_key(&connection);
        let Some(race) = self.races.values_mut().find(|race| won(race)) else { return };
        if race.target.peer().is_some_and(|wanted| wanted != peer) {
            let found = Box::new(peer);
            let error = DialError::Failed(DialFailure::WrongPeer { found });
            fail_attempt(race, cx, now, connection, error);
            return self.advance(cx, now);
        }
        if let Some(attempt) = race.attempts.get(&connection) {
            let candidate = &attempt.candidate;
            for address in core::iter::once(&candidate.address).chain(&candidate.via) {
                cx.peers.dial_succeeded(peer, address, now);
            }
        }
        let of_peer = |race: &Race| won(race) || race.target == Target::Peer(peer);
        let over: Vec<_> =
            self.races.iter().filter(|(_, race)| of_peer(race)).map(|(id, _)| *id).collect();
        for id in over {
            self.end(id, Some(connection));
        }
        self.advance(cx, now);
    }

    /// A connection of `peer` was admitted that we did not dial. It answers those who wait for this
    /// peer. Attempts that are under way go on, since the peer may be giving up its own dial for
    /// ours at this moment.
    pub fn handle_connected(
        &mut self,
        cx: &mut DialContext<'_>,
        connection: ConnectionId,
        peer: PeerId,
    ) {
        let now = self.clock.advance(cx.now);
        for race in self.races.values_mut().filter(|race| race.target == Target::Peer(peer)) {
            for dial in &race.waiters {
                self.outputs.push_back(DialOutput::Done { dial: *dial, result: Ok(connection) });
            }
            race.stop();
        }
        self.advance(cx, now);
    }

    /// Gives a request up. The race goes on for others who wait.
    pub fn cancel(&mut self, cx: &mut DialContext<'_>, dial: DialId) {
        let now = self.clock.advance(cx.now);
        let waits = |race: &Race| race.waiters.contains(&dial);
        let Some((id, race)) = self.races.iter_mut().find(|(_, race)| waits(race)) else { return };
        if race.waiters == [dial] {
            let id = *id;
            self.end(id, None);
        } else {
            race.waiters.retain(|waiter| *waiter != dial);
            self.outputs.push_back(DialOutput::Done { dial, result: Err(race.report()) });
        }
        self.advance(cx, now);
    }

    /// Gives everything up.
    pub fn cancel_all(&mut self) {
        for id in self.races.keys().copied().collect::<Vec<_>>() {
            self.end(id, None);
        }
        self.deadline = None;
    }

    /// The deadline of [`Dialer::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, cx: &mut DialContext<'_>) {
        let now = self.clock.advance(cx.now);
        for race in self.races.values_mut() {
            time_out(race, cx, now, &mut self.outputs);
        }
        self.advance(cx, now);
    }

    /// The next thing to be done or told.
    pub fn poll(&mut self) -> Option<DialOutput> {
        let output = self.outputs.pop_front();
        if self.outputs.is_empty() {
            self.outputs = VecDeque::new();
        }
        output
    }

    /// When [`Dialer::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        self.deadline
    }

    /// Whether a dial to this peer is under way.
    pub fn is_dialling(&self, peer: &PeerId) -> bool {
        self.races.values().any(|race| race.target.peer() == Some(*peer))
    }

    /// Whom a request is for.
    fn check(&self, cx: &DialContext<'_>, request: &DialRequest) -> Result<Target, CommandError> {
        let mut peer = request.peer;
        for named in request.addresses.iter().filter_map(peer_of) {
            if *peer.get_or_insert(named) != named {
                return Err(CommandError::PeersDiffer);
            }
        }
        if peer == Some(cx.peers.own()) {
            return Err(CommandError::Ourselves);
        }
        let waiting: usize = self.races.values().map(|race| race.waiters.len()).sum();
        if waiting >= self.config.max_dials {
            return Err(CommandError::TooManyDials(saturated(self.config.max_dials)));
        }
        if request.addresses.len() > self.config.max_addresses {
            return Err(CommandError::Limit(saturated(self.config.max_addresses)));
        }
        if let Some(peer) = peer {
            return Ok(Target::Peer(peer));
        }
        let first = request.addresses.first().ok_or(CommandError::NoAddresses)?;
        let one_spelling = check_address(None, first).map(|(address, _)| address);
        Ok(Target::Anybody(one_spelling.unwrap_or_else(|_| first.clone())))
    }

    /// Begins whatever may begin, ends what is over, and looks what is due next.
    fn advance(&mut self, cx: &mut DialContext<'_>, now: Timestamp) {
        let mut lookups: usize = self.races.values().map(|race| race.lookups.len()).sum();
        let mut attempts: usize = self.races.values().map(|race| race.attempts.len()).sum();
        for race in self.races.values_mut() {
            while lookups < self.config.max_lookups
                && let Some(name) = race.next_name()
            {
                let (lookup, address) = (cx.ids.lookup(), name.address.clone());
                let deadline = now.saturating_add(self.config.lookup_timeout);
                race.lookups.insert(lookup, (name, deadline));
                self.outputs.push_back(DialOutput::LookUp { lookup, address });
                lookups += 1;
            }
            while attempts < self.config.max_attempts
                && race.attempts.len() < self.config.max_attempts_per_peer
                && let Some(candidate) = race.next_candidate(now)
            {
                let (connection, address) = (cx.ids.connection(), candidate.address.clone());
                let deadline = now.saturating_add(candidate.timeout(&self.config));
                race.attempts.insert(connection, Attempt { candidate, deadline });
                let peer = race.target.peer();
                self.outputs.push_back(DialOutput::Dial { connection, address, peer });
                attempts += 1;
            }
        }
        let is_over = |(id, race): (&DialId, &Race)| race.is_over().then_some(*id);
        for id in self.races.iter().filter_map(is_over).collect::<Vec<_>>() {
            self.end(id, None);
        }
        let has_room = |race: &Race| {
            attempts < self.config.max_attempts
                && race.attempts.len() < self.config.max_attempts_per_peer
        };
        let deadlines = self.races.values().map(|race| race.deadline(has_room(race)));
        self.deadline = deadlines.fold(None, Deadline::earlier);
    }

    /// Ends a race: everybody who waits is told, and what is under way is given up.
    fn end(&mut self, id: DialId, won: Option<ConnectionId>) {
        let Some(race) = self.races.remove(&id) else { return };
        for connection in race.attempts.keys().filter(|connection| Some(**connection) != won) {
            self.outputs.push_back(DialOutput::Cancel(*connection));
        }
        for dial in &race.waiters {
            let result = won.ok_or_else(|| race.report());
            self.outputs.push_back(DialOutput::Done { dial: *dial, result });
        }
    }
}

/// Ends attempts and lookups that take too long.
fn time_out(
    race: &mut Race,
    cx: &mut DialContext<'_>,
    now: Timestamp,
    outputs: &mut VecDeque<DialOutput>,
) {
    let late = race.attempts.iter().filter(|(_, attempt)| attempt.deadline <= now);
    for connection in late.map(|(id, _)| *id).collect::<Vec<_>>() {
        outputs.push_back(DialOutput::Cancel(connection));
        fail_attempt(race, cx, now, connection, DialError::Failed(DialFailure::TimedOut));
    }
    let late = race.lookups.iter().filter(|(_, (_, deadline))| *deadline <= now);
    for lookup in late.map(|(id, _)| *id).collect::<Vec<_>>() {
        if let Some((name, _)) = race.lookups.remove(&lookup) {
            fail_lookup(race, cx, now, name, DialError::Failed(DialFailure::TimedOut));
        }
    }
}

fn fail_attempt(
    race: &mut Race,
    cx: &mut DialContext<'_>,
    now: Timestamp,
    connection: ConnectionId,
    error: DialError,
) {
    let Some(Attempt { candidate, .. }) = race.attempts.remove(&connection) else { return };
    if let Some(peer) = race.target.peer() {
        cx.peers.dial_failed(peer, &candidate.address, &error, now);
    }
    race.attempt_failed(now, candidate, error);
}

fn fail_lookup(
    race: &mut Race,
    cx: &mut DialContext<'_>,
    now: Timestamp,
    name: Name,
    error: DialError,
) {
    if let Some(peer) = race.target.peer() {
        cx.peers.dial_failed(peer, &name.address, &error, now);
    }
    race.lookup_failed(name, error);
}

fn saturated(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
