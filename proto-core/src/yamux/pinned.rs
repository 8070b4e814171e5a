//! How much memory unread data holds: receive blocks that slices point into, and copies.

use std::collections::VecDeque;

use crate::recv_buffer::BlockId;

#[derive(Debug)]
struct Pinned {
    block: BlockId,
    slices: usize,
}

/// The count. A block is counted whole for as long as one unread slice points into it.
#[derive(Debug, Default)]
pub(super) struct PinnedBlocks {
    /// In order of age. Bounded: each counts against the receive budget, and a block is no smaller
    /// than the smallest slice.
    blocks: VecDeque<Pinned>,
    block_bytes: u64,
    copied_bytes: u64,
}

impl PinnedBlocks {
    /// Bytes of memory that unread data holds.
    pub(super) fn held_bytes(&self) -> u64 {
        self.block_bytes + self.copied_bytes
    }

    pub(super) fn pin(&mut self, block: BlockId) {
        match self.blocks.back_mut() {
            Some(last) if last.block == block => last.slices += 1,
            Some(_) | None => {
                self.block_bytes += block.bytes as u64;
                self.blocks.push_back(Pinned { block, slices: 1 });
            }
        }
    }

    pub(super) fn unpin(&mut self, block: BlockId) {
        let Ok(index) =
            self.blocks.binary_search_by_key(&block.number, |pinned| pinned.block.number)
        else {
            return;
        };
        let pinned = &mut self.blocks[index];
        pinned.slices -= 1;
        if pinned.slices == 0 {
            self.block_bytes -= pinned.block.bytes as u64;
            self.blocks.remove(index);
            if self.blocks.is_empty() {
                self.blocks = VecDeque::new();
            }
        }
    }

    pub(super) fn add_copied(&mut self, capacity: usize) {
        self.copied_bytes += capacity as u64;
    }

    pub(super) fn sub_copied(&mut self, capacity: usize) {
        self.copied_bytes -= capacity as u64;
    }
}
