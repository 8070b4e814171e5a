//! [`PeerStore`]: peers and their addresses, and who makes room for whom.

use std::collections::BTreeMap;

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use super::known::{Backoff, DialHistory, KnownAddress, Source, found_instead};
use super::skip::{AddressError, SkipReason, check_address};
use crate::address::{Endpoint, Scope};
use crate::identify::PeerInfo;
use crate::node::DialError;
use crate::protocol::ProtocolId;
use crate::time::Timestamp;

/// The longest agent string that is kept, in bytes; of a longer one, its beginning.
pub const MAX_AGENT_BYTES: usize = 256;

/// How many bytes of protocol ids are kept of a peer: those that come first.
pub const MAX_PROTOCOL_BYTES: usize = 4096;

/// Bounds of a [`PeerStore`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStoreConfig {
    /// Peers, beside those that are connected or configured. Default: 2,000, which take some 3 MiB
    /// with a handful of common addresses each, and 40 MiB with as many and as long ones as there
    /// can be.
    pub max_peers: usize,
    /// Addresses of a connected peer, beside configured ones. Default: 64.
    pub max_addresses: usize,
    /// Addresses of a peer that is not connected, beside configured ones. Default: 20.
    pub max_addresses_disconnected: usize,
    /// How long addresses that failed are left alone.
    pub backoff: Backoff,
}

impl Default for PeerStoreConfig {
    fn default() -> Self {
        PeerStoreConfig {
            max_peers: 2000,
            max_addresses: 64,
            max_addresses_disconnected: 20,
            backoff: Backoff::default(),
        }
    }
}

/// What is known of peers.
#[derive(Debug)]
pub struct PeerStore {
    own: PeerId,
    config: PeerStoreConfig,
    peers: BTreeMap<PeerId, KnownPeer>,
}

/// What is known of a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownPeer {
    addresses: BTreeMap<Multiaddr, KnownAddress>,
    is_connected: bool,
    record_seq: Option<u64>,
    agent: Option<String>,
    protocols: Vec<ProtocolId>,
    heard_at: Timestamp,
}

impl PeerStore {
    /// Nobody is known yet. `own` is never kept.
    pub fn new(own: PeerId, config: PeerStoreConfig) -> Self {
        PeerStore { own, config, peers: BTreeMap::new() }
    }

    /// Who we are.
    pub fn own(&self) -> PeerId {
        self.own
    }

    /// Remembers an address of a peer. What is known of it stays; a worthier source replaces the
    /// one that was known.
    pub fn add(
        &mut self,
        peer: PeerId,
        address: &Multiaddr,
        source: Source,
        now: Timestamp,
    ) -> Result<(), AddressError> {
        if peer == self.own {
            return Err(AddressError::Ourselves);
        }
        let (address, _) = check_address(Some(peer), address)?;
        if !self.make_room_for(peer, source == Source::Configured) {
            return Err(AddressError::NoRoom);
        }
        let config = &self.config;
        let known = self.peers.entry(peer).or_default();
        known.heard_at = now;
        known.add(&address, source, now);
        known.push_out_addresses(config);
        if known.addresses.contains_key(&address) { Ok(()) } else { Err(AddressError::NoRoom) }
    }

    /// What is known of a peer.
    pub fn get(&self, peer: &PeerId) -> Option<&KnownPeer> {
        self.peers.get(peer)
    }

    /// All peers, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (&PeerId, &KnownPeer)> {
        self.peers.iter()
    }

    /// How many peers are known.
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether nobody is known.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// The addresses at which a peer may be dialled now, the worthiest first. None if the peer is
    /// to be skipped.
    pub fn addresses_to_dial(&self, peer: &PeerId, now: Timestamp) -> Vec<Multiaddr> {
        if self.skip_peer(peer, now).is_some() {
            return Vec::new();
        }
        let Some(known) = self.peers.get(peer) else { return Vec::new() };
        let mut addresses = known.by_worth();
        addresses.retain(|address| self.skip_address(peer, address, now).is_none());
        addresses
    }

    /// Peers that may be dialled now, at most `max`: who was reached before first, then who failed
    /// least, then who was heard of last.
    pub fn peers_to_dial(&self, now: Timestamp, max: usize) -> Vec<PeerId> {
        let mut peers: Vec<_> =
            self.peers.iter().filter(|(peer, _)| self.skip_peer(peer, now).is_none()).collect();
        peers.sort_by_key(|(_, known)| known.turn());
        peers.into_iter().take(max).map(|(peer, _)| *peer).collect()
    }

    /// Why a peer is not dialled at what is known of it, if there is a reason.
    pub fn skip_peer(&self, peer: &PeerId, now: Timestamp) -> Option<SkipReason> {
        if *peer == self.own {
            return Some(SkipReason::Ourselves);
        }
        let Some(known) = self.peers.get(peer) else { return Some(SkipReason::NoAddress) };
        if known.is_connected {
            return Some(SkipReason::Connected);
        }
        if known.has_only_loopback() {
            return Some(SkipReason::OnlyLoopback);
        }
        let mut first = SkipReason::NoAddress;
        for known in known.addresses.values() {
            // One address without a reason is enough.
            let reason = self.skip_known(known, now)?;
            if is_sooner(&reason, &first) {
                first = reason;
            }
        }
        Some(first)
    }

    /// Why an address of a peer is not dialled, if there is a reason. One that is not known may be.
    pub fn skip_address(
        &self,
        peer: &PeerId,
        address: &Multiaddr,
        now: Timestamp,
    ) -> Option<SkipReason> {
        if *peer == self.own {
            return Some(SkipReason::Ourselves);
        }
        let address = match check_address(Some(*peer), address) {
            Ok((address, _)) => address,
            Err(error) => return Some(SkipReason::Address(error)),
        };
        let known = self.peers.get(peer)?.addresses.get(&address)?;
        self.skip_known(known, now)
    }

    /// A dial to this address led to a connection that was admitted.
    pub fn dial_succeeded(&mut self, peer: PeerId, address: &Multiaddr, now: Timestamp) {
        if let Some(known) = self.address_mut(peer, address, Source::Connected, now) {
            known.connected(now);
        }
    }

    /// A dial to this address failed. One that was given up, or not begun, does not count.
    pub fn dial_failed(
        &mut self,
        peer: PeerId,
        address: &Multiaddr,
        error: &DialError,
        now: Timestamp,
    ) {
        match error {
            DialError::Cancelled | DialError::BackedOff => return,
            DialError::Failed(_) | DialError::Closed(_) | DialError::NameNotFound => {}
        }
        if let Some(known) = self.address_mut(peer, address, Source::Lookup, now) {
            known.failed(now, error.clone());
        }
    }

    /// A peer's first connection is there, or its last is over. One that is connected is kept,
    /// whoever else comes.
    pub fn set_connected(&mut self, peer: PeerId, is_connected: bool, now: Timestamp) {
        if peer == self.own || !(is_connected || self.peers.contains_key(&peer)) {
            return;
        }
        self.make_room_for(peer, true);
        let known = self.peers.entry(peer).or_default();
        known.is_connected = is_connected;
        known.heard_at = now;
        known.push_out_addresses(&self.config);
        if self.peers.len() > self.config.max_peers {
            self.push_out();
        }
    }

    /// A peer said who it is. What it says replaces what it said before, if `record_seq`, the
    /// number of its signed record, is higher than the last; without a record, it replaces only
    /// what was not signed. An address that led to a connection stays.
    pub fn set_identified(
        &mut self,
        peer: PeerId,
        info: &PeerInfo,
        record_seq: Option<u64>,
        now: Timestamp,
    ) {
        if peer == self.own || !self.make_room_for(peer, false) {
            return;
        }
        let known = self.peers.entry(peer).or_default();
        known.heard_at = now;
        known.agent = Some(beginning(&info.agent, MAX_AGENT_BYTES).to_owned());
        known.protocols = first_protocols(&info.protocols);
        if record_seq.is_some() && record_seq <= known.record_seq {
            return;
        }
        known.record_seq = record_seq.max(known.record_seq);
        let source = if record_seq.is_some() { Source::SignedRecord } else { Source::Identify };
        known.forget_said(source);
        for address in &info.addresses {
            if let Ok((address, _)) = check_address(Some(peer), address) {
                known.add(&address, source, now);
            }
        }
        known.push_out_addresses(&self.config);
    }

    fn address_mut(
        &mut self,
        peer: PeerId,
        address: &Multiaddr,
        source: Source,
        now: Timestamp,
    ) -> Option<&mut KnownAddress> {
        let (address, _) = check_address(Some(peer), address).ok()?;
        let is_known =
            self.peers.get(&peer).is_some_and(|known| known.addresses.contains_key(&address));
        if !is_known {
            self.add(peer, &address, source, now).ok()?;
        }
        let known = self.peers.get_mut(&peer)?;
        known.heard_at = now;
        known.addresses.get_mut(&address)
    }

    fn skip_known(&self, known: &KnownAddress, now: Timestamp) -> Option<SkipReason> {
        let DialHistory::Failed { at, failures, error } = &known.history else { return None };
        if let Some(found) = found_instead(error) {
            return Some(SkipReason::WrongPeer { found });
        }
        let until = at.saturating_add(self.config.backoff.after(*failures, known.source));
        (now < until).then_some(SkipReason::BackedOff { until, failures: *failures })
    }

    /// Whether there is room for `peer`, after somebody was pushed out for it. For one that `must`
    /// be there, there always is.
    fn make_room_for(&mut self, peer: PeerId, must: bool) -> bool {
        self.peers.contains_key(&peer)
            || self.peers.len() < self.config.max_peers
            || self.push_out()
            || must
    }

    /// Pushes out the peer that is worth least, if one may be.
    fn push_out(&mut self) -> bool {
        let least = self
            .peers
            .iter()
            .filter(|(_, known)| known.may_be_pushed_out())
            .min_by_key(|(_, known)| known.worth())
            .map(|(peer, _)| *peer);
        least.is_some_and(|peer| self.peers.remove(&peer).is_some())
    }
}

impl KnownPeer {
    /// Its addresses, without its id, in the order of their bytes.
    pub fn addresses(&self) -> impl Iterator<Item = (&Multiaddr, &KnownAddress)> {
        self.addresses.iter()
    }

    /// Whether it is connected.
    pub fn is_connected(&self) -> bool {
        self.is_connected
    }

    /// The number of its latest signed record.
    pub fn record_seq(&self) -> Option<u64> {
        self.record_seq
    }

    /// What it said it runs, at most [`MAX_AGENT_BYTES`].
    pub fn agent(&self) -> Option<&str> {
        self.agent.as_deref()
    }

    /// What it said it speaks, at most [`MAX_PROTOCOL_BYTES`].
    pub fn protocols(&self) -> &[ProtocolId] {
        &self.protocols
    }

    /// When it was last heard of.
    pub fn heard_at(&self) -> Timestamp {
        self.heard_at
    }

    fn add(&mut self, address: &Multiaddr, source: Source, now: Timestamp) {
        let known =
            self.addresses.entry(address.clone()).or_insert_with(|| KnownAddress::new(source, now));
        known.source = known.source.max(source);
        known.heard_at = now;
    }

    /// Its addresses, the worthiest first.
    pub(crate) fn by_worth(&self) -> Vec<Multiaddr> {
        let mut addresses: Vec<_> = self.addresses.iter().collect();
        addresses.sort_by_key(|(_, known)| core::cmp::Reverse(known.worth()));
        addresses.into_iter().map(|(address, _)| address.clone()).collect()
    }

    /// Forgets what the peer said before it said more, from `source`.
    fn forget_said(&mut self, source: Source) {
        self.addresses.retain(|_, known| {
            let was_said = matches!(known.source, Source::Identify | Source::SignedRecord);
            !was_said || known.source > source || known.is_proven()
        });
    }

    /// Pushes out the addresses that are worth least, down to the bound.
    fn push_out_addresses(&mut self, config: &PeerStoreConfig) {
        let max = if self.is_connected {
            config.max_addresses
        } else {
            config.max_addresses_disconnected
        };
        let replaceable =
            self.addresses.values().filter(|known| known.source != Source::Configured).count();
        for _ in max..replaceable {
            let least = self.addresses.iter().min_by_key(|(_, known)| known.worth());
            let Some(address) = least.map(|(address, _)| address.clone()) else { return };
            self.addresses.remove(&address);
        }
    }

    fn may_be_pushed_out(&self) -> bool {
        let is_configured = self.addresses.values().any(|known| known.source == Source::Configured);
        !self.is_connected && !is_configured
    }

    /// What it is worth beside other peers: who was reached before who was met, and who was met
    /// before who was only heard of.
    fn worth(&self) -> impl Ord + use<> {
        let was_reached = self.addresses.values().any(KnownAddress::is_proven);
        (was_reached, self.agent.is_some(), self.heard_at)
    }

    /// Its place among those that may be dialled.
    fn turn(&self) -> impl Ord + use<> {
        let was_reached = self.addresses.values().any(KnownAddress::is_proven);
        let failures = self.addresses.values().map(KnownAddress::failures).min();
        (!was_reached, failures, core::cmp::Reverse(self.heard_at))
    }

    /// Whether the one address that is left is of this machine, was not given by hand, and failed.
    fn has_only_loopback(&self) -> bool {
        let mut addresses = self.addresses.iter();
        let (Some((address, known)), None) = (addresses.next(), addresses.next()) else {
            return false;
        };
        let scope = Endpoint::parse(address).and_then(|endpoint| endpoint.scope());
        scope == Some(Scope::Loopback) && known.source < Source::Connected && known.failures() > 0
    }
}

/// Whether an address with reason `a` may be dialled before one with reason `b`.
fn is_sooner(a: &SkipReason, b: &SkipReason) -> bool {
    match (a, b) {
        (SkipReason::BackedOff { until: a, .. }, SkipReason::BackedOff { until: b, .. }) => a < b,
        (SkipReason::BackedOff { .. }, _) => true,
        (_, b) => *b == SkipReason::NoAddress,
    }
}

fn first_protocols(protocols: &[ProtocolId]) -> Vec<ProtocolId> {
    let mut bytes = 0;
    let fits = |protocol: &&ProtocolId| {
        bytes += protocol.as_str().len();
        bytes <= MAX_PROTOCOL_BYTES
    };
    protocols.iter().take_while(fits).cloned().collect()
}

/// The beginning of `text` that has at most `max_bytes`, ending between two characters.
fn beginning(text: &str, max_bytes: usize) -> &str {
    let end = (0..=max_bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
