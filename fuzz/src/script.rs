//! Lists of operations, four bytes each: changing one leaves the others what they were.

use arbitrary::{Arbitrary, Result, Unstructured};

/// More operations than this tell nothing new and take long.
pub const MAX_OPERATIONS: usize = 512;

/// Something that four bytes stand for. Any four bytes stand for something.
pub trait Operation: Sized {
    /// What these bytes stand for.
    fn decode(bytes: [u8; 4]) -> Self;

    /// Bytes that stand for this.
    fn encode(&self) -> [u8; 4];
}

/// Four bytes that are taken as they are.
#[derive(Clone, Copy, Debug)]
pub struct Raw(pub [u8; 4]);

impl Operation for Raw {
    fn decode(bytes: [u8; 4]) -> Self {
        Raw(bytes)
    }

    fn encode(&self) -> [u8; 4] {
        self.0
    }
}

impl Raw {
    /// `bytes`, and zeros up to a multiple of four.
    pub fn all(bytes: &[u8]) -> Vec<Raw> {
        let raw = |piece: &[u8]| {
            let mut bytes = [0; 4];
            bytes[..piece.len()].copy_from_slice(piece);
            Raw(bytes)
        };
        bytes.chunks(4).map(raw).collect()
    }
}

/// The bytes of `operations` without the last few, modulo 4, and all of that so many times.
pub fn raw_bytes<O: Operation>(operations: &[O], without: u8, times: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = operations.iter().flat_map(O::encode).collect();
    bytes.truncate(bytes.len().saturating_sub(usize::from(without % 4)));
    bytes.repeat(times)
}

/// Four bytes of settings, then operations to the end of the input.
#[derive(Clone, Debug)]
pub struct Script<O> {
    /// What they mean is the target's.
    pub settings: [u8; 4],
    /// At most [`MAX_OPERATIONS`].
    pub operations: Vec<O>,
}

impl<O: Operation> Script<O> {
    /// The input that stands for this script.
    pub fn encode(&self) -> Vec<u8> {
        let operations = self.operations.iter().flat_map(O::encode);
        self.settings.into_iter().chain(operations).collect()
    }
}

impl<'a, O: Operation> Arbitrary<'a> for Script<O> {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let settings = u.arbitrary()?;
        let mut operations = Vec::new();
        while !u.is_empty() && operations.len() < MAX_OPERATIONS {
            operations.push(O::decode(u.arbitrary()?));
        }
        Ok(Script { settings, operations })
    }
}
