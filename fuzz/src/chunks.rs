//! How a transport cuts bytes.

use arbitrary::{Result, Unstructured};

/// Sizes of pieces, taken in turn for as long as they are needed.
#[derive(Clone, Debug)]
pub struct Chunks {
    sizes: Vec<u8>,
    next: usize,
}

impl Chunks {
    /// A count of at most 15, then so many sizes. Without sizes nothing is cut.
    pub fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        let count = u.arbitrary::<u8>()? % 16;
        let sizes = (0..count).map(|_| u.arbitrary()).collect::<Result<_>>()?;
        Ok(Chunks { sizes, next: 0 })
    }

    /// How long the next piece is at most: 1 to 128, or 256 to 32,512 bytes, or everything.
    pub fn next_bytes(&mut self) -> usize {
        let Some(size) = self.sizes.get(self.next).copied() else { return usize::MAX };
        self.next = (self.next + 1) % self.sizes.len();
        scaled(size).max(1)
    }

    /// Cuts the front off `bytes`.
    pub fn take<'a>(&mut self, bytes: &mut &'a [u8]) -> &'a [u8] {
        let (piece, rest) = bytes.split_at(self.next_bytes().min(bytes.len()));
        *bytes = rest;
        piece
    }
}

/// A byte that stands for a length: up to 128 itself, above that steps of 256, up to 32,512.
pub fn scaled(size: u8) -> usize {
    match size {
        0..=128 => usize::from(size),
        129..=255 => usize::from(size - 128) * 256,
    }
}
