//! [`Link`]: what identify keeps of one connection.

use std::collections::BTreeMap;

use bytes::Bytes;
use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use super::message::{MAX_FRAME_BYTES, MAX_FRAMES, MessageError};
use crate::mailbox::RequestId;
use crate::mux::StreamId;

/// One connection. Its streams are at most one of [`Purpose::Ask`], one of [`Purpose::Push`], and
/// what [`super::MAX_INBOUND_ASKS`] and [`super::MAX_INBOUND_PUSHES`] allow.
pub(super) struct Link {
    pub(super) peer: PeerId,
    /// The remote's address, as it is told.
    pub(super) address: Multiaddr,
    pub(super) ask: Ask,
    pub(super) streams: BTreeMap<StreamId, Purpose>,
}

/// How far we are with asking on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// Until the next time.
    Waiting,
    /// A stream is being opened.
    Opening(RequestId),
    /// On this stream.
    Open(StreamId),
}

/// What a stream is for.
pub(super) enum Purpose {
    /// We asked, and the answer comes.
    Ask(Collected),
    /// The remote asked, and was answered.
    Answer,
    /// We pushed.
    Push,
    /// The remote pushes.
    Pushed(Collected),
}

/// The frames of a message that is not complete yet: at most [`MAX_FRAMES`] of at most
/// [`MAX_FRAME_BYTES`].
#[derive(Default)]
pub(super) struct Collected(Vec<Bytes>);

impl Link {
    pub(super) fn new(peer: PeerId, address: Multiaddr) -> Self {
        Link { peer, address, ask: Ask::Waiting, streams: BTreeMap::new() }
    }

    /// Takes a stream out.
    pub(super) fn remove(&mut self, stream: StreamId) -> Option<Purpose> {
        let purpose = self.streams.remove(&stream);
        if self.streams.is_empty() {
            // An empty map may keep its memory, a new one has none.
            self.streams = BTreeMap::new();
        }
        purpose
    }

    /// How many streams of a purpose there are.
    pub(super) fn count(&self, is_it: impl Fn(&Purpose) -> bool) -> usize {
        self.streams.values().filter(|purpose| is_it(purpose)).count()
    }
}

impl Collected {
    /// Takes one more frame, within the bounds.
    pub(super) fn push(&mut self, frame: Bytes) -> Result<(), MessageError> {
        if frame.len() > MAX_FRAME_BYTES as usize {
            return Err(MessageError::FrameTooLong(frame.len()));
        }
        if self.0.len() >= MAX_FRAMES {
            return Err(MessageError::TooManyFrames(self.0.len().saturating_add(1)));
        }
        self.0.push(frame);
        Ok(())
    }

    pub(super) fn frames(&self) -> &[Bytes] {
        &self.0
    }
}
