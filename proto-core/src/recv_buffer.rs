//! Bytes from the transport, in blocks that are decrypted in place and sliced without copying.

use bytes::BytesMut;

/// The smallest block, in bytes: what a connection with little traffic reads into.
const MIN_BLOCK_BYTES: usize = 4 * 1024;

/// The largest block, in bytes: four full Noise records with their length prefixes, each with a
/// small one behind it. That is what a write of 64 KiB becomes, and what does not fit in a block
/// wastes the rest of it.
pub const MAX_BLOCK_BYTES: usize = 4 * (2 + 65_535 + 128);

/// Names a block, and says how much memory it holds. Numbers grow with age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockId {
    /// Which block of this connection.
    pub number: u64,
    /// Its capacity in bytes.
    pub bytes: usize,
}

/// The receive side of one connection's byte stream.
///
/// A block is filled from its front and taken apart from its front; what was taken lives on as
/// slices. When nothing points into it any more it is used again, otherwise the next one is made.
#[derive(Debug)]
pub struct RecvBuffer {
    /// What was received and not taken, then, where that was asked for, initialised space.
    block: BytesMut,
    id: BlockId,
    filled: usize,
    /// How far the space went that was given last.
    offered: usize,
    next_bytes: usize,
}

impl Default for RecvBuffer {
    fn default() -> Self {
        RecvBuffer {
            block: BytesMut::new(),
            id: BlockId { number: 0, bytes: 0 },
            filled: 0,
            offered: 0,
            next_bytes: MIN_BLOCK_BYTES,
        }
    }
}

impl RecvBuffer {
    /// Bytes that were received and not taken.
    pub fn filled(&self) -> &[u8] {
        &self.block[..self.filled]
    }

    /// The same, to be changed in place.
    pub fn filled_mut(&mut self) -> &mut [u8] {
        &mut self.block[..self.filled]
    }

    /// The block that [`RecvBuffer::take`] takes from.
    pub fn block_id(&self) -> BlockId {
        self.id
    }

    /// Capacity in bytes that is held, whether filled or not, or taken from already.
    pub fn held_bytes(&self) -> usize {
        self.id.bytes
    }

    /// Space to receive into: at least one byte, and so much that `needed` bytes (from the front of
    /// what is filled) fit in one piece. A new block is no larger than `max` if that is enough.
    pub fn space(&mut self, needed: usize, max: usize) -> &mut [u8] {
        let least = needed.max(self.filled + 1);
        if self.block.len() < least {
            let bytes = self.renew(least, max);
            self.block.resize(bytes, 0);
        }
        self.offered = self.block.len();
        &mut self.block[self.filled..]
    }

    /// The same as capacity behind what is filled, which nobody has initialised: what is received is
    /// appended.
    pub fn spare(&mut self, needed: usize, max: usize) -> &mut BytesMut {
        let least = needed.max(self.filled + 1);
        self.block.truncate(self.filled);
        if self.block.capacity() < least {
            self.renew(least, max);
        }
        self.offered = self.block.capacity();
        &mut self.block
    }

    /// Counts `n` bytes that were received into [`RecvBuffer::space`] or appended to
    /// [`RecvBuffer::spare`]; more than there are count as that.
    pub fn received(&mut self, n: usize) -> &mut [u8] {
        let filled = self.filled.saturating_add(n).min(self.block.len());
        let start = self.filled.min(filled);
        self.filled = filled;
        // Reads that fill the space ask for a larger block next time.
        if self.filled == self.offered {
            self.next_bytes =
                self.id.bytes.saturating_mul(4).clamp(MIN_BLOCK_BYTES, MAX_BLOCK_BYTES);
        }
        &mut self.block[start..self.filled]
    }

    /// Takes the first `n` bytes that were received.
    pub fn take(&mut self, n: usize) -> BytesMut {
        let n = n.min(self.filled);
        self.filled -= n;
        self.offered = self.offered.saturating_sub(n);
        self.block.split_to(n)
    }

    /// Gives a block of the smallest size back when nothing is buffered.
    pub fn rest(&mut self) {
        if self.filled == 0 && (1..=MIN_BLOCK_BYTES).contains(&self.id.bytes) {
            let next_bytes = self.next_bytes;
            self.release();
            self.next_bytes = next_bytes;
        }
    }

    /// Gives memory back: all of it when nothing is buffered, all but what is buffered otherwise.
    pub fn release(&mut self) {
        let kept = BytesMut::from(self.filled());
        self.next_block_id(kept.len());
        self.block = kept;
        self.next_bytes = MIN_BLOCK_BYTES;
    }

    /// Has a block with room for `needed` bytes, what is filled among them, and returns how many it
    /// should be used for.
    fn renew(&mut self, needed: usize, max: usize) -> usize {
        let bytes = self.next_bytes.min(max).max(needed);
        self.block.truncate(self.filled);
        // The old block serves again if nothing else points into it.
        if self.id.bytes >= bytes && self.block.try_reclaim(bytes - self.filled) {
            let capacity = self.id.bytes;
            self.next_block_id(capacity);
            return bytes;
        }
        let mut block = BytesMut::with_capacity(bytes);
        block.extend_from_slice(&self.block);
        self.block = block;
        self.next_block_id(bytes);
        bytes
    }

    fn next_block_id(&mut self, bytes: usize) {
        self.id = BlockId { number: self.id.number + 1, bytes };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    fn receive(buffer: &mut RecvBuffer, bytes: &[u8], needed: usize) {
        let space = buffer.space(needed, MAX_BLOCK_BYTES);
        space[..bytes.len()].copy_from_slice(bytes);
        buffer.received(bytes.len());
    }

    #[test]
    fn a_block_that_nobody_points_into_serves_again() {
        let mut buffer = RecvBuffer::default();
        receive(&mut buffer, &[1; 4096], 4096);
        let first = buffer.take(4096).as_ptr();
        buffer.next_bytes = 4096;
        receive(&mut buffer, &[2; 10], 10);
        assert_eq!(buffer.filled().as_ptr(), first);
        let kept = buffer.take(10).freeze();
        assert_eq!(buffer.space(4096, 4096).len(), 4096);
        assert_eq!(kept, [2; 10][..]);
    }

    #[test]
    fn blocks_grow_while_reads_fill_them_and_go_when_idle() {
        let mut buffer = RecvBuffer::default();
        for _ in 0..6 {
            let space = buffer.space(1, MAX_BLOCK_BYTES).len();
            buffer.received(space);
            buffer.take(space);
        }
        assert_eq!(buffer.space(1, MAX_BLOCK_BYTES).len(), MAX_BLOCK_BYTES);
        buffer.received(3);
        buffer.release();
        assert_eq!(buffer.held_bytes(), 3);
        buffer.take(3);
        buffer.release();
        assert_eq!(buffer.held_bytes(), 0);
        assert_eq!(buffer.space(1, MAX_BLOCK_BYTES).len(), MIN_BLOCK_BYTES);
    }

    #[test]
    fn at_rest_the_smallest_block_goes_and_a_larger_one_stays() {
        let mut buffer = RecvBuffer::default();
        receive(&mut buffer, &[1; 10], 10);
        buffer.rest();
        assert_eq!(buffer.held_bytes(), MIN_BLOCK_BYTES, "something is buffered");
        buffer.take(10);
        buffer.rest();
        assert_eq!(buffer.held_bytes(), 0);
        receive(&mut buffer, &[1; MIN_BLOCK_BYTES], MIN_BLOCK_BYTES);
        buffer.take(MIN_BLOCK_BYTES);
        buffer.rest();
        assert_eq!(buffer.space(1, MAX_BLOCK_BYTES).len(), 4 * MIN_BLOCK_BYTES, "it still grows");
        buffer.rest();
        assert_eq!(buffer.held_bytes(), 4 * MIN_BLOCK_BYTES);
    }

    #[test]
    fn what_is_appended_to_spare_capacity_is_received() {
        let mut buffer = RecvBuffer::default();
        receive(&mut buffer, &[1; 10], 10);
        let spare = buffer.spare(20, MAX_BLOCK_BYTES);
        assert_eq!(spare.len(), 10);
        spare.extend_from_slice(&[2; 5]);
        assert_eq!(buffer.received(5), [2; 5]);
        assert_eq!(buffer.filled(), [[1; 10].as_slice(), &[2; 5]].concat());
        // A caller that takes away what was there loses it, and no more.
        buffer.spare(20, MAX_BLOCK_BYTES).clear();
        assert_eq!(buffer.received(3).len(), 0);
        assert_eq!(buffer.filled().len(), 0);
        receive(&mut buffer, &[3; 4], 4);
        assert_eq!(buffer.take(4), [3; 4][..]);
    }

    #[test]
    fn spare_capacity_that_is_filled_grows_and_serves_again() {
        let mut buffer = RecvBuffer::default();
        for _ in 0..6 {
            let spare = buffer.spare(1, MAX_BLOCK_BYTES);
            let room = spare.capacity() - spare.len();
            spare.resize(spare.capacity(), 7);
            assert_eq!(buffer.received(room).len(), room);
            buffer.take(room);
        }
        let first = buffer.spare(1, MAX_BLOCK_BYTES).as_ptr();
        assert!(buffer.spare(1, MAX_BLOCK_BYTES).capacity() >= MAX_BLOCK_BYTES);
        buffer.spare(1, MAX_BLOCK_BYTES).extend_from_slice(&[1; 9]);
        buffer.received(9);
        drop(buffer.take(9));
        let spare = buffer.spare(MAX_BLOCK_BYTES, MAX_BLOCK_BYTES);
        assert_eq!(spare.as_ptr(), first);
    }

    #[test]
    fn a_started_record_moves_with_the_block() {
        let mut buffer = RecvBuffer::default();
        receive(&mut buffer, &[9; 4000], 1);
        buffer.take(3990);
        let space = buffer.space(5000, MAX_BLOCK_BYTES);
        assert!(space.len() >= 4990);
        assert_eq!(buffer.filled(), [9; 10]);
    }

    #[test]
    fn a_block_is_held_whole_until_it_is_released() {
        let mut buffer = RecvBuffer::default();
        assert_eq!(buffer.held_bytes(), 0);
        receive(&mut buffer, &[1; 3000], 3000);
        assert_eq!(buffer.held_bytes(), MIN_BLOCK_BYTES);
        // Taking bytes, and dropping them, frees nothing of it.
        drop(buffer.take(3000));
        assert_eq!(buffer.held_bytes(), MIN_BLOCK_BYTES);
        assert_eq!(buffer.block_id().bytes, MIN_BLOCK_BYTES);
        buffer.release();
        assert_eq!(buffer.held_bytes(), 0);
    }

    #[test]
    fn more_than_there_was_counts_as_all() {
        let mut buffer = RecvBuffer::default();
        let space = buffer.space(1, MAX_BLOCK_BYTES).len();
        assert_eq!(buffer.received(usize::MAX).len(), space);
        assert_eq!(buffer.take(usize::MAX).len(), space);
        assert_eq!(buffer.received(1).len(), 0);
        assert_eq!(buffer.take(1).len(), 0);
    }

    #[test]
    fn a_block_is_no_larger_than_allowed_unless_more_is_needed() {
        let mut buffer = RecvBuffer { next_bytes: MAX_BLOCK_BYTES, ..RecvBuffer::default() };
        assert_eq!(buffer.space(10, 70_000).len(), 70_000);
        let mut buffer = RecvBuffer { next_bytes: MAX_BLOCK_BYTES, ..RecvBuffer::default() };
        assert_eq!(buffer.space(80_000, 70_000).len(), 80_000);
    }

    #[test]
    fn a_block_that_serves_again_has_a_new_name() {
        let mut buffer = RecvBuffer::default();
        receive(&mut buffer, &[1; 4096], 4096);
        let first = buffer.block_id();
        drop(buffer.take(4096));
        buffer.next_bytes = 4096;
        buffer.space(4096, 4096);
        assert_eq!(buffer.block_id(), BlockId { number: first.number + 1, bytes: 4096 });
    }

    proptest! {
        #[test]
        fn bytes_stay_in_order_and_what_was_taken_never_changes(
            steps in proptest::collection::vec((0usize..9000, 0usize..9000, 0u8..8), 1..80),
        ) {
            let mut buffer = RecvBuffer::default();
            let mut next_byte = 0u8;
            let mut filled = VecDeque::new();
            let mut kept: Vec<(Bytes, Vec<u8>)> = Vec::new();
            for (receive, take, what) in steps {
                let (before, before_filled) = (buffer.block_id(), buffer.filled().len());
                let bytes: Vec<u8> = (0..receive)
                    .map(|_| {
                        next_byte = next_byte.wrapping_add(1);
                        next_byte
                    })
                    .collect();
                if receive % 2 == 0 {
                    buffer.space(before_filled + receive, MAX_BLOCK_BYTES)[..receive]
                        .copy_from_slice(&bytes);
                } else {
                    buffer.spare(before_filled + receive, MAX_BLOCK_BYTES).extend_from_slice(&bytes);
                }
                filled.extend(&bytes);
                buffer.received(receive);
                prop_assert!(buffer.block_id().number >= before.number);
                prop_assert!(buffer.filled().iter().eq(filled.iter()));
                prop_assert!(buffer.held_bytes() >= filled.len());
                let taken = buffer.take(take).freeze();
                let expected: Vec<u8> = filled.drain(..take.min(filled.len())).collect();
                prop_assert_eq!(&taken, &expected);
                match what {
                    0 => kept.push((taken, expected)),
                    1 => kept.clear(),
                    2 => buffer.release(),
                    _ => {}
                }
                for (taken, expected) in &kept {
                    prop_assert_eq!(taken, expected);
                }
                prop_assert!(buffer.filled().iter().eq(filled.iter()));
            }
        }
    }
}
