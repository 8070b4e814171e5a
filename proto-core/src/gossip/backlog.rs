//! [`Backlog`]: control that a peer is to be told, not yet encoded.
//!
//! It leaves as soon as the peer's stream has credit, all of one turn together. While there is
//! none, what is said of a topic replaces what was to be said before, so that a peer that does not
//! read misses nothing that matters and costs little.

use std::collections::BTreeMap;

use super::config::QueueLimits;
use super::message_id::MessageId;
use super::rpc::{Control, Extensions, IHave, Prune};
use super::topic::Topic;
use crate::time::Timestamp;

/// The most topics of which a peer is to be told that it is grafted or pruned. A remote makes at
/// most one for each topic that we are in; those that we left meanwhile come on top.
pub(super) const MAX_MESH_NOTICES: usize = 1024;

/// What a peer is to be told about our mesh of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum MeshNotice {
    /// It is in it.
    Graft,
    /// It is not in it.
    Prune(Prune),
}

/// Control that waits for a peer.
#[derive(Default)]
pub(super) struct Backlog {
    /// It is the first that is said on the stream, and the peer knows extensions.
    extensions: bool,
    /// At most [`MAX_MESH_NOTICES`].
    mesh: BTreeMap<Topic, MeshNotice>,
    /// By topic, the latest. With `iwant` and `dont_want` bounded by
    /// [`super::GossipConfig::control_queue`].
    ihave: BTreeMap<Topic, Vec<MessageId>>,
    iwant: Vec<MessageId>,
    dont_want: Vec<MessageId>,
    /// Bytes of the ids.
    bytes: usize,
    /// When the oldest of the ids came.
    since: Option<Timestamp>,
}

impl Backlog {
    /// What is said first on a stream.
    pub(super) fn greet(&mut self) {
        self.extensions = true;
    }

    /// Tells that the peer is in our mesh, or not; instead of what was to be said of this topic.
    /// False if there is no room.
    pub(super) fn mesh(&mut self, topic: &Topic, notice: MeshNotice) -> bool {
        if self.mesh.len() >= MAX_MESH_NOTICES && !self.mesh.contains_key(topic) {
            return false;
        }
        self.mesh.insert(topic.clone(), notice);
        true
    }

    /// Tells no more that the peer is in our mesh, if that was to be said: it is not.
    pub(super) fn forget_graft(&mut self, topic: &Topic) {
        if self.mesh.get(topic) == Some(&MeshNotice::Graft) {
            self.mesh.remove(topic);
        }
    }

    /// Tells which messages of a topic we have; instead of those that were to be told. Returns how
    /// many do not fit.
    pub(super) fn ihave(
        &mut self,
        now: Timestamp,
        limits: QueueLimits,
        topic: &Topic,
        ids: Vec<MessageId>,
    ) -> u64 {
        if let Some(before) = self.ihave.remove(topic) {
            self.bytes = self.bytes.saturating_sub(bytes_of(&before));
        }
        let mut kept = Vec::with_capacity(ids.len());
        let lost = self.admit(now, limits, ids, &mut kept);
        if !kept.is_empty() {
            self.ihave.insert(topic.clone(), kept);
        }
        lost
    }

    /// Asks for messages. Returns how many do not fit.
    pub(super) fn iwant(
        &mut self,
        now: Timestamp,
        limits: QueueLimits,
        ids: Vec<MessageId>,
    ) -> u64 {
        let mut iwant = core::mem::take(&mut self.iwant);
        let lost = self.admit(now, limits, ids, &mut iwant);
        self.iwant = iwant;
        lost
    }

    /// Tells that a message is not wanted. Returns how many do not fit, at most one.
    pub(super) fn dont_want(&mut self, now: Timestamp, limits: QueueLimits, id: MessageId) -> u64 {
        let mut ids = core::mem::take(&mut self.dont_want);
        let lost = self.admit(now, limits, vec![id], &mut ids);
        self.dont_want = ids;
        lost
    }

    fn admit(
        &mut self,
        now: Timestamp,
        limits: QueueLimits,
        ids: Vec<MessageId>,
        into: &mut Vec<MessageId>,
    ) -> u64 {
        let mut lost = 0;
        for id in ids {
            let bytes = self.bytes.saturating_add(id.as_bytes().len());
            if bytes > limits.max_bytes {
                lost += 1;
                continue;
            }
            self.bytes = bytes;
            self.since.get_or_insert(now);
            into.push(id);
        }
        lost
    }

    /// Forgets ids that have waited too long. Returns how many.
    pub(super) fn expire(&mut self, now: Timestamp, limits: QueueLimits) -> u64 {
        let old = self.since.is_some_and(|since| now.saturating_since(since) >= limits.max_age);
        if !old {
            return 0;
        }
        let ids = |list: &Vec<MessageId>| list.len() as u64;
        let lost =
            self.ihave.values().map(ids).sum::<u64>() + ids(&self.iwant) + ids(&self.dont_want);
        self.ihave = BTreeMap::new();
        self.iwant = Vec::new();
        self.dont_want = Vec::new();
        self.bytes = 0;
        self.since = None;
        lost
    }

    /// Bytes of the ids.
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there is nothing to be said.
    pub(super) fn is_empty(&self) -> bool {
        !self.extensions && self.mesh.is_empty() && self.since.is_none()
    }

    /// All of it.
    pub(super) fn take(&mut self) -> Control {
        let Backlog { extensions, mesh, ihave, iwant, dont_want, bytes: _, since: _ } =
            core::mem::take(self);
        let mut control = Control {
            extensions: extensions.then(Extensions::default),
            iwant,
            idontwant: dont_want,
            ihave: ihave.into_iter().map(|(topic, ids)| IHave { topic, ids }).collect(),
            ..Control::default()
        };
        for (topic, notice) in mesh {
            match notice {
                MeshNotice::Graft => control.graft.push(topic),
                MeshNotice::Prune(prune) => control.prune.push(prune),
            }
        }
        control
    }
}

fn bytes_of(ids: &[MessageId]) -> usize {
    ids.iter().map(|id| id.as_bytes().len()).sum()
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    const LIMITS: QueueLimits = QueueLimits { max_bytes: 40, max_age: Duration::from_secs(3) };

    fn topic(name: &str) -> Topic {
        Topic::new(name).unwrap()
    }

    fn ids(numbers: core::ops::Range<u32>) -> Vec<MessageId> {
        numbers.map(|number| MessageId::new(&number.to_be_bytes()).unwrap()).collect()
    }

    fn prune(name: &str) -> MeshNotice {
        MeshNotice::Prune(Prune { topic: topic(name), peers: Vec::new(), backoff_secs: Some(60) })
    }

    #[test]
    fn the_latest_of_a_topic_is_said() {
        let mut backlog = Backlog::default();
        let now = Timestamp::ZERO;
        assert!(backlog.is_empty());
        assert!(backlog.mesh(&topic("a"), prune("a")));
        assert!(backlog.mesh(&topic("a"), MeshNotice::Graft));
        assert!(backlog.mesh(&topic("b"), MeshNotice::Graft));
        assert!(backlog.mesh(&topic("b"), prune("b")));
        assert_eq!(backlog.ihave(now, LIMITS, &topic("a"), ids(0..10)), 0);
        assert_eq!(backlog.ihave(now, LIMITS, &topic("a"), ids(5..7)), 0);
        assert_eq!(backlog.iwant(now, LIMITS, ids(0..3)), 0);
        backlog.greet();
        let control = backlog.take();
        assert_eq!(control.graft, [topic("a")]);
        assert_eq!(control.prune.len(), 1);
        assert_eq!(control.ihave, [IHave { topic: topic("a"), ids: ids(5..7) }]);
        assert_eq!(control.iwant, ids(0..3));
        assert!(control.extensions.is_some());
        assert!(backlog.is_empty());
    }

    #[test]
    fn ids_are_bounded_together_and_age() {
        let mut backlog = Backlog::default();
        let (start, later) = (Timestamp::ZERO, Timestamp::from_secs(3));
        assert_eq!(backlog.iwant(start, LIMITS, ids(0..6)), 0);
        assert_eq!(backlog.ihave(start, LIMITS, &topic("a"), ids(0..6)), 2);
        assert_eq!(backlog.dont_want(start, LIMITS, ids(9..10).remove(0)), 1);
        assert!(backlog.mesh(&topic("a"), MeshNotice::Graft));
        assert_eq!(backlog.expire(Timestamp::from_secs(2), LIMITS), 0);
        assert_eq!(backlog.expire(later, LIMITS), 10);
        assert!(!backlog.is_empty(), "a GRAFT does not age");
        assert_eq!(backlog.iwant(later, LIMITS, ids(0..10)), 0, "there is room again");
    }

    #[test]
    fn notices_of_meshes_are_bounded() {
        let mut backlog = Backlog::default();
        for number in 0..MAX_MESH_NOTICES {
            assert!(backlog.mesh(&topic(&number.to_string()), MeshNotice::Graft));
        }
        assert!(!backlog.mesh(&topic("more"), MeshNotice::Graft));
        assert!(backlog.mesh(&topic("0"), prune("0")));
    }
}
