//! What a stream has received and nobody has read yet.
//!
//! Large pieces stay where they were decrypted, as slices of a receive block. Small ones are copied
//! out when they arrive, so that nothing small pins a large block. Memory is counted by the
//! capacity that is held, not by the length that is used.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

use super::pinned::PinnedBlocks;
use crate::recv_buffer::BlockId;

/// Pieces of at least this many bytes are handed out as slices of the receive block. A record of TLS
/// holds 16 KiB with the frames' headers: those that are full, or nearly so, should pass.
pub const MIN_SLICE_BYTES: usize = 15 * 1024;

/// The largest buffer that small pieces are gathered in, in bytes.
const MAX_GATHER_BYTES: usize = 16 * 1024;

#[derive(Debug)]
enum Chunk {
    /// A slice of a receive block.
    Slice { bytes: Bytes, block: BlockId },
    /// A copy of small pieces; `capacity` is what it was allocated with.
    Copied { bytes: BytesMut, capacity: usize },
}

/// Received bytes in order.
#[derive(Debug, Default)]
pub(super) struct RecvQueue {
    /// The oldest, here so that a message at a time needs no queue.
    front: Option<Chunk>,
    /// What came behind it.
    rest: VecDeque<Chunk>,
    len: usize,
}

impl RecvQueue {
    /// Bytes that can be read.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends a piece that was received in `block`.
    pub(super) fn push(&mut self, piece: Bytes, block: BlockId, pinned: &mut PinnedBlocks) {
        self.len += piece.len();
        if piece.len() >= MIN_SLICE_BYTES {
            pinned.pin(block);
            self.push_chunk(Chunk::Slice { bytes: piece, block });
            return;
        }
        if let Some(Chunk::Copied { bytes, .. }) = self.rest.back_mut().or(self.front.as_mut())
            && bytes.capacity() - bytes.len() >= piece.len()
        {
            bytes.extend_from_slice(&piece);
            return;
        }
        // A lone message, or the rest behind a large one, gets what it needs; a backlog of small
        // ones is gathered in buffers that grow with it.
        let backlog = match self.rest.back().or(self.front.as_ref()) {
            Some(Chunk::Copied { capacity, .. }) => capacity.saturating_mul(2),
            Some(Chunk::Slice { .. }) | None => 0,
        };
        let capacity = piece.len().max(backlog.min(MAX_GATHER_BYTES));
        let mut bytes = BytesMut::with_capacity(capacity);
        bytes.extend_from_slice(&piece);
        let capacity = bytes.capacity();
        pinned.add_copied(capacity);
        self.push_chunk(Chunk::Copied { bytes, capacity });
    }

    fn push_chunk(&mut self, chunk: Chunk) {
        if self.front.is_none() {
            self.front = Some(chunk);
        } else {
            self.rest.push_back(chunk);
        }
    }

    /// Takes at most `max` bytes from the front; empty when there is nothing.
    pub(super) fn read(&mut self, max: usize, pinned: &mut PinnedBlocks) -> Bytes {
        let taken = match &mut self.front {
            None => return Bytes::new(),
            Some(Chunk::Slice { bytes, .. }) => {
                let n = bytes.len().min(max);
                if n >= MIN_SLICE_BYTES {
                    bytes.split_to(n)
                } else {
                    let copy = Bytes::copy_from_slice(&bytes[..n]);
                    bytes.advance(n);
                    copy
                }
            }
            Some(Chunk::Copied { bytes, capacity }) => {
                let n = bytes.len().min(max);
                if n == bytes.len() && *capacity <= n.saturating_mul(2) {
                    bytes.split().freeze()
                } else {
                    let copy = Bytes::copy_from_slice(&bytes[..n]);
                    bytes.advance(n);
                    copy
                }
            }
        };
        self.len -= taken.len();
        self.drop_front_if_empty(pinned);
        taken
    }

    /// Copies into `buffer` as much as fits, and returns how much that was.
    pub(super) fn read_into(&mut self, buffer: &mut [u8], pinned: &mut PinnedBlocks) -> usize {
        let mut filled = 0;
        while filled < buffer.len() {
            let chunk: &mut dyn Buf = match &mut self.front {
                None => break,
                Some(Chunk::Slice { bytes, .. }) => bytes,
                Some(Chunk::Copied { bytes, .. }) => bytes,
            };
            let n = chunk.remaining().min(buffer.len() - filled);
            chunk.copy_to_slice(&mut buffer[filled..filled + n]);
            filled += n;
            self.drop_front_if_empty(pinned);
        }
        self.len -= filled;
        filled
    }

    /// Replaces everything by copies of exactly its length, so that it pins no receive block.
    pub(super) fn compact(&mut self, pinned: &mut PinnedBlocks) {
        if self.front.iter().chain(&self.rest).all(|chunk| match chunk {
            Chunk::Slice { .. } => false,
            Chunk::Copied { bytes, capacity } => bytes.len() == *capacity,
        }) {
            return;
        }
        let mut all = BytesMut::with_capacity(self.len);
        for chunk in self.front.iter().chain(&self.rest) {
            match chunk {
                Chunk::Slice { bytes, .. } => all.extend_from_slice(bytes),
                Chunk::Copied { bytes, .. } => all.extend_from_slice(bytes),
            }
        }
        self.clear(pinned);
        if !all.is_empty() {
            self.len = all.len();
            let capacity = all.capacity();
            pinned.add_copied(capacity);
            self.front = Some(Chunk::Copied { bytes: all, capacity });
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self, pinned: &mut PinnedBlocks) {
        let rest = core::mem::take(&mut self.rest);
        for chunk in self.front.take().into_iter().chain(rest) {
            release(chunk, pinned);
        }
        self.len = 0;
    }

    fn drop_front_if_empty(&mut self, pinned: &mut PinnedBlocks) {
        let empty = match &self.front {
            None => false,
            Some(Chunk::Slice { bytes, .. }) => bytes.is_empty(),
            Some(Chunk::Copied { bytes, .. }) => bytes.is_empty(),
        };
        if empty && let Some(chunk) = self.front.take() {
            release(chunk, pinned);
            self.front = self.rest.pop_front();
        }
        // An idle stream holds no buffer.
        if self.rest.is_empty() {
            self.rest = VecDeque::new();
        }
    }
}

fn release(chunk: Chunk, pinned: &mut PinnedBlocks) {
    match chunk {
        Chunk::Slice { block, .. } => pinned.unpin(block),
        Chunk::Copied { capacity, .. } => pinned.sub_copied(capacity),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BLOCK: BlockId = BlockId { number: 1, bytes: 256 * 1024 };

    #[test]
    fn small_pieces_do_not_pin_the_block_they_came_in() {
        // 512 kept messages of 1 KiB must not keep 512 blocks of 64 KiB alive.
        let mut queue = RecvQueue::default();
        let mut pinned = PinnedBlocks::default();
        let block = Bytes::from(vec![7; 64 * 1024]);
        for _ in 0..512 {
            queue.push(block.slice(..1024), BLOCK, &mut pinned);
        }
        assert!(block.is_unique());
        assert!(pinned.held_bytes() <= 2 * 512 * 1024, "{} bytes held", pinned.held_bytes());
        let mut kept = Vec::new();
        while !queue.is_empty() {
            kept.push(queue.read(1024, &mut pinned));
        }
        assert_eq!(kept.iter().map(Bytes::len).sum::<usize>(), 512 * 1024);
        assert_eq!(pinned.held_bytes(), 0);
    }

    #[test]
    fn a_large_piece_is_the_same_memory() {
        let mut queue = RecvQueue::default();
        let mut pinned = PinnedBlocks::default();
        let piece = Bytes::from(vec![7; MIN_SLICE_BYTES]);
        queue.push(piece.clone(), BLOCK, &mut pinned);
        assert_eq!(pinned.held_bytes(), BLOCK.bytes as u64);
        assert_eq!(queue.read(usize::MAX, &mut pinned).as_ptr(), piece.as_ptr());
        assert_eq!(pinned.held_bytes(), 0);
    }

    #[test]
    fn what_a_read_leaves_of_a_large_piece_is_copied_when_it_is_small() {
        let mut queue = RecvQueue::default();
        let mut pinned = PinnedBlocks::default();
        let piece = Bytes::from(vec![7; 2 * MIN_SLICE_BYTES - 1]);
        queue.push(piece.clone(), BLOCK, &mut pinned);
        let first = queue.read(MIN_SLICE_BYTES, &mut pinned);
        assert_eq!(first.as_ptr(), piece.as_ptr());
        assert_eq!(pinned.held_bytes(), BLOCK.bytes as u64);
        let rest = queue.read(usize::MAX, &mut pinned);
        assert_eq!(rest.len(), MIN_SLICE_BYTES - 1);
        assert!(rest.is_unique(), "a copy, while the piece is still there");
        assert!(!piece.is_unique());
        assert_eq!(pinned.held_bytes(), 0);
        drop(first);
        assert!(piece.is_unique());
    }

    #[test]
    fn compaction_frees_the_block_and_keeps_the_bytes() {
        let mut queue = RecvQueue::default();
        let mut pinned = PinnedBlocks::default();
        let piece = Bytes::from([1, 2, 3, 4].repeat(MIN_SLICE_BYTES / 4));
        queue.push(piece.clone(), BLOCK, &mut pinned);
        queue.compact(&mut pinned);
        assert!(piece.is_unique());
        assert_eq!(pinned.held_bytes(), MIN_SLICE_BYTES as u64);
        assert_eq!(queue.read(usize::MAX, &mut pinned), piece);
    }

    proptest! {
        #[test]
        fn bytes_come_out_in_order_and_nothing_stays_counted(
            pieces in proptest::collection::vec((1usize..40_000, any::<u8>()), 1..20),
            reads in proptest::collection::vec((1usize..50_000, any::<bool>()), 1..60),
            compact_at in 0usize..60,
        ) {
            let mut queue = RecvQueue::default();
            let mut pinned = PinnedBlocks::default();
            let mut expected = Vec::new();
            for (len, byte) in pieces {
                let piece = vec![byte; len];
                expected.extend_from_slice(&piece);
                queue.push(piece.into(), BLOCK, &mut pinned);
            }
            prop_assert!(queue.len() == expected.len());
            let mut got = Vec::new();
            for (index, (max, into)) in reads.into_iter().enumerate() {
                if index == compact_at {
                    queue.compact(&mut pinned);
                }
                if into {
                    let mut buffer = vec![0; max];
                    let n = queue.read_into(&mut buffer, &mut pinned);
                    got.extend_from_slice(&buffer[..n]);
                } else {
                    got.extend_from_slice(&queue.read(max, &mut pinned));
                }
            }
            prop_assert_eq!(&got[..], &expected[..got.len()]);
            prop_assert_eq!(queue.len(), expected.len() - got.len());
            queue.clear(&mut pinned);
            prop_assert_eq!(pinned.held_bytes(), 0);
        }
    }
}
