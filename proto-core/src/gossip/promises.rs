//! [`Promises`]: what was asked for by IWANT, of whom, and who did not send it (gossipsub v1.1,
//! Peer Scoring, P7).

use std::collections::BTreeMap;

use super::message_id::MessageId;
use super::peers::PeerKey;
use crate::time::Timestamp;

/// The most ids that are kept. Beyond it ids are asked for all the same, and a remote that does not
/// send them goes unpunished.
pub(super) const MAX_ASKED_IDS: usize = 64 * 1024;

/// Of so many peers an id is asked at once, in case the first do not have it.
pub(super) const MAX_ASKED_PEERS: usize = 3;

/// One question.
#[derive(Clone, Copy, Debug)]
struct Asked {
    peer: PeerKey,
    until: Timestamp,
    /// Whether it counts if the peer does not answer: of each IWANT one id does.
    promise: bool,
}

/// What was asked for and did not come yet.
#[derive(Default)]
pub(super) struct Promises {
    /// At most [`MAX_ASKED_IDS`], each asked of at most [`MAX_ASKED_PEERS`].
    ids: BTreeMap<MessageId, Vec<Asked>>,
}

impl Promises {
    /// Whether to ask `peer` for this message, if it is not seen.
    pub(super) fn should_ask(&self, id: &[u8], peer: PeerKey) -> bool {
        self.ids.get(id).is_none_or(|asked| {
            asked.len() < MAX_ASKED_PEERS && asked.iter().all(|asked| asked.peer != peer)
        })
    }

    /// A peer was asked for these, and should have answered by `until`. The first of them, which
    /// was chosen at random, counts if it does not.
    pub(super) fn add(&mut self, peer: PeerKey, ids: &[MessageId], until: Timestamp) {
        for (place, id) in ids.iter().enumerate() {
            if self.ids.len() >= MAX_ASKED_IDS && !self.ids.contains_key(id) {
                return;
            }
            let asked = self.ids.entry(id.clone()).or_default();
            if asked.len() < MAX_ASKED_PEERS {
                asked.push(Asked { peer, until, promise: place == 0 });
            }
        }
    }

    /// The message is there, whoever sent it.
    pub(super) fn fulfil(&mut self, id: &MessageId) {
        self.ids.remove(id);
    }

    /// Nobody is held to what was asked for so far.
    pub(super) fn forgive(&mut self) {
        self.ids.values_mut().flatten().for_each(|asked| asked.promise = false);
    }

    /// Nobody waits for a peer that is gone.
    pub(super) fn remove_peer(&mut self, peer: PeerKey) {
        self.ids.retain(|_, asked| {
            asked.retain(|asked| asked.peer != peer);
            !asked.is_empty()
        });
    }

    /// Forgets what should have come by now, and counts the broken promises of each peer.
    pub(super) fn take_broken(&mut self, now: Timestamp) -> BTreeMap<PeerKey, u32> {
        let mut broken = BTreeMap::new();
        self.ids.retain(|_, asked| {
            asked.retain(|asked| {
                if asked.until <= now && asked.promise {
                    *broken.entry(asked.peer).or_insert(0u32) += 1;
                }
                now < asked.until
            });
            !asked.is_empty()
        });
        broken
    }

    /// How many ids there are.
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: PeerKey = PeerKey(1);

    fn id(number: u32) -> MessageId {
        MessageId::new(&number.to_be_bytes()).unwrap()
    }

    #[test]
    fn of_each_question_one_message_is_a_promise() {
        let mut promises = Promises::default();
        promises.add(PEER, &[id(1), id(2), id(3)], Timestamp::from_secs(3));
        promises.add(PEER, &[id(4)], Timestamp::from_secs(3));
        promises.fulfil(&id(2));
        assert!(promises.take_broken(Timestamp::from_secs(2)).is_empty());
        assert_eq!(promises.take_broken(Timestamp::from_secs(3)), BTreeMap::from([(PEER, 2)]));
        assert_eq!(promises.len(), 0);
    }

    #[test]
    fn a_message_that_came_from_anybody_fulfils_every_promise_of_it() {
        let mut promises = Promises::default();
        promises.add(PEER, &[id(1)], Timestamp::from_secs(3));
        promises.add(PeerKey(2), &[id(1)], Timestamp::from_secs(3));
        promises.fulfil(&id(1));
        assert!(promises.take_broken(Timestamp::MAX).is_empty());
    }

    #[test]
    fn a_few_peers_are_asked_for_the_same_message() {
        let mut promises = Promises::default();
        for peer in 0..MAX_ASKED_PEERS as u64 {
            assert!(promises.should_ask(id(1).as_bytes(), PeerKey(peer)));
            promises.add(PeerKey(peer), &[id(1)], Timestamp::from_secs(3));
            assert!(!promises.should_ask(id(1).as_bytes(), PeerKey(peer)), "not twice the same");
        }
        assert!(!promises.should_ask(id(1).as_bytes(), PeerKey(9)));
        promises.remove_peer(PeerKey(0));
        assert!(promises.should_ask(id(1).as_bytes(), PeerKey(9)));
    }

    #[test]
    fn the_table_is_bounded() {
        let mut promises = Promises::default();
        let ids: Vec<MessageId> = (0..).map(id).take(MAX_ASKED_IDS + 5).collect();
        promises.add(PEER, &ids, Timestamp::from_secs(3));
        assert_eq!(promises.len(), MAX_ASKED_IDS);
    }
}
