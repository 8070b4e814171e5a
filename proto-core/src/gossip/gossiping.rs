//! Gossip proper: peers outside the mesh hear which messages went through it, and ask for those
//! that they missed (gossipsub v1.0, IHAVE and IWANT; v1.1, Adaptive Gossip; v1.2, IDONTWANT).

use super::machine::Gossip;
use super::message_cache::Wanted;
use super::message_id::MessageId;
use super::outbox::Parcel;
use super::peers::PeerKey;
use super::random;
use super::rpc::{List, ReceivedIHave};
use super::send_queue::Lane;
use super::topic::Topic;
use crate::time::Timestamp;

impl Gossip {
    /// Tells some peers outside the mesh which messages of a topic there were of late.
    pub(super) fn gossip_about(&mut self, now: Timestamp, topic: &Topic) {
        let ids: Vec<MessageId> = self.cache.gossip_ids(topic).cloned().collect();
        if ids.is_empty() {
            return;
        }
        let Some(state) = self.topics.get(topic) else { return };
        let inside = |key: &PeerKey| {
            state.in_mesh(*key)
                || state.fanout.as_ref().is_some_and(|fanout| fanout.peers.contains(key))
        };
        let mut peers: Vec<PeerKey> = state
            .subscribers
            .iter()
            .copied()
            .filter(|key| !inside(key))
            .filter(|key| self.peers.get(*key).is_some_and(|peer| peer.has_mesh() && !peer.direct))
            .filter(|key| self.may_gossip(*key))
            .collect();
        let lazy = self.mesh_params(topic).degree_lazy;
        let share = share(peers.len(), self.config.gossip_factor);
        random::keep(&mut self.rng, &mut peers, lazy.max(share));
        for key in peers {
            // Each hears others, if there are too many for one.
            let mut ids = ids.clone();
            random::keep(&mut self.rng, &mut ids, self.config.max_ihave_ids);
            let limits = self.config.control_queue;
            let Some(peer) = self.peers.get_mut(key) else { continue };
            let lost = peer.backlog.ihave(now, limits, topic, ids);
            peer.queue.lose_control(lost);
            self.dirty.insert(key);
        }
    }

    /// A peer has messages: asks for those that we did not see.
    pub(super) fn handle_ihave(
        &mut self,
        now: Timestamp,
        key: PeerKey,
        ihave: &List<ReceivedIHave>,
    ) {
        if ihave.is_empty() || !self.may_gossip(key) {
            return;
        }
        let (max_messages, max_ids) = (self.config.max_ihave_messages, self.config.max_ihave_ids);
        // Without a stream it could not be asked.
        let Some(peer) = self.peers.get_mut(key).filter(|peer| peer.has_mesh()) else { return };
        peer.used.ihave_messages = peer.used.ihave_messages.saturating_add(1);
        if peer.used.ihave_messages > max_messages || peer.used.asked_ids >= max_ids {
            return;
        }
        let room = max_ids - peer.used.asked_ids;
        let mut wanted: std::collections::BTreeSet<MessageId> = Default::default();
        for ReceivedIHave { topic, ids, .. } in ihave {
            if self.topics.is_joined(&topic) {
                let unseen =
                    |id: &&[u8]| !self.seen.knows(now, id) && self.promises.should_ask(id, key);
                for id in ids.slices().filter(unseen) {
                    // Built once, however often the frame names it.
                    if !wanted.contains(id) {
                        wanted.extend(MessageId::new(id));
                    }
                }
            }
        }
        let mut wanted: Vec<MessageId> = wanted.into_iter().collect();
        random::keep(&mut self.rng, &mut wanted, room);
        if wanted.is_empty() {
            return;
        }
        let limits = self.config.control_queue;
        let Some(peer) = self.peers.get_mut(key) else { return };
        peer.used.asked_ids = peer.used.asked_ids.saturating_add(wanted.len());
        let until = now.saturating_add(self.config.iwant_followup);
        let lost = peer.backlog.iwant(now, limits, wanted.clone());
        peer.queue.lose_control(lost);
        if lost == 0 {
            self.promises.add(key, &wanted, until);
        }
        self.dirty.insert(key);
    }

    /// A peer asks for messages.
    pub(super) fn handle_iwant(&mut self, now: Timestamp, key: PeerKey, iwant: &List<MessageId>) {
        if iwant.is_empty() || !self.may_gossip(key) {
            return;
        }
        let Some(peer) = self.peers.get_mut(key) else { return };
        let room = self.config.max_iwant_ids.saturating_sub(peer.used.iwant_ids);
        // What is asked for in vain counts too.
        peer.used.iwant_ids = peer.used.iwant_ids.saturating_add(iwant.len());
        for wanted in iwant.iter().take(room) {
            let parcel = match self.cache.get_for_iwant(wanted.as_bytes(), key) {
                Wanted::Message(message) => Parcel::new(wanted, message, Lane::Forward),
                Wanted::Unknown | Wanted::TooOften => continue,
            };
            self.enqueue(now, key, &parcel);
        }
    }

    /// A peer does not want messages: those that it has, or that are on the way to it.
    pub(super) fn handle_dont_want(&mut self, key: PeerKey, ids: &List<MessageId>) {
        let until = self.tick.saturating_add(self.config.dont_want_ticks);
        let max = self.config.max_dont_want_ids;
        let Some(peer) = self.peers.get_mut(key) else { return };
        let room = self.config.max_ihave_ids.saturating_sub(peer.used.dont_want_ids);
        for id in ids.iter().take(room) {
            peer.used.dont_want_ids = peer.used.dont_want_ids.saturating_add(1);
            peer.dont_want.insert(id, until, max);
        }
    }

    /// Tells the mesh that a long message is here, so that it is not sent once more. Not those who
    /// sent it.
    pub(super) fn announce(
        &mut self,
        now: Timestamp,
        topic: &Topic,
        id: &MessageId,
        except: impl Fn(PeerKey) -> bool,
    ) {
        let limits = self.config.control_queue;
        for key in self.mesh_of(topic) {
            let Some(peer) = self.peers.get_mut(key) else { continue };
            if except(key) || !peer.version().is_some_and(|version| version.has_dont_want()) {
                continue;
            }
            let lost = peer.backlog.dont_want(now, limits, id.clone());
            peer.queue.lose_control(lost);
            self.dirty.insert(key);
        }
    }
}

/// This share of `count`, rounded down.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn share(count: usize, factor: f64) -> usize {
    (count as f64 * factor) as usize
}
