//! [`Inbox`]: what arrived at a peer, and how often.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use sanspeer_core::identity::PeerId;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

/// A message, as it is told from all others: who wrote it, and what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Letter {
    pub(crate) author: PeerId,
    bytes: usize,
    sha256: [u8; 32],
}

/// What arrived at a peer.
pub(crate) struct Inbox {
    came: Mutex<Came>,
    /// How many different letters there are.
    different: watch::Sender<usize>,
}

#[derive(Default)]
struct Came {
    /// How often each came.
    letters: BTreeMap<Letter, u32>,
    /// What else happened that may explain a failure.
    notes: Vec<String>,
}

impl Letter {
    pub(crate) fn new(author: PeerId, data: &[u8]) -> Self {
        Letter { author, bytes: data.len(), sha256: Sha256::digest(data).into() }
    }
}

impl Default for Inbox {
    fn default() -> Self {
        Inbox { came: Mutex::default(), different: watch::channel(0).0 }
    }
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Came> {
        self.came.lock().expect("no panic while the letters are locked")
    }

    pub(crate) fn put(&self, letter: Letter) {
        let different = {
            let mut came = self.lock();
            *came.letters.entry(letter).or_default() += 1;
            came.letters.len()
        };
        self.different.send_replace(different);
    }

    pub(crate) fn note(&self, what: String) {
        self.lock().notes.push(what);
    }

    pub(crate) fn notes(&self) -> Vec<String> {
        self.lock().notes.clone()
    }

    /// Waits until there are so many different letters.
    pub(crate) async fn wait(&self, count: usize) {
        let mut different = self.different.subscribe();
        different.wait_for(|different| *different >= count).await.expect("the sender is ours");
    }

    /// Whatever did not come exactly once, although it should, or came and should not.
    pub(crate) fn amiss(&self, wanted: &BTreeSet<Letter>) -> Vec<(Letter, u32)> {
        let came = self.lock();
        let often = |letter: &Letter| came.letters.get(letter).copied().unwrap_or(0);
        let missing = wanted.iter().map(|letter| (*letter, often(letter)));
        let strange = came.letters.iter().map(|(letter, count)| (*letter, *count));
        let missing = missing.filter(|(_, count)| *count != 1);
        missing.chain(strange.filter(|(letter, _)| !wanted.contains(letter))).collect()
    }
}
