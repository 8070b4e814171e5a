//! Changes of bytes that somebody else made.

use crate::chunks::scaled;
use crate::script::Operation;

/// One change, at a place that is taken modulo the length.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    kind: u8,
    at: u16,
    value: u8,
}

const KINDS: u8 = 8;

impl Change {
    /// Flips bit `bit` modulo 8 of a byte.
    pub fn flip(at: u16, bit: u8) -> Self {
        Change { kind: 0, at, value: bit }
    }

    /// What `kind` modulo 8 says.
    pub fn new(kind: u8, at: u16, value: u8) -> Self {
        Change { kind: kind % KINDS, at, value }
    }

    /// Changes `bytes`; it may leave them as they are.
    pub fn apply(self, bytes: &mut Vec<u8>) {
        let at = usize::from(self.at) % bytes.len().max(1);
        let end = (at + 1 + usize::from(self.value)).min(bytes.len());
        match self.kind {
            0 | 1 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << (self.value % 8);
                }
            }
            2 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = self.value;
                }
            }
            3 => bytes.insert(at, self.value),
            4 => drop(bytes.drain(at.min(end)..end)),
            5 => bytes.truncate(at),
            6 => {
                let copy = bytes[at.min(end)..end].to_vec();
                bytes.splice(end..end, copy);
            }
            _ => bytes.resize(bytes.len() + scaled(self.value), at.to_le_bytes()[0]),
        }
    }
}

impl Operation for Change {
    fn decode([kind, high, low, value]: [u8; 4]) -> Self {
        Change::new(kind, u16::from_be_bytes([high, low]), value)
    }

    fn encode(&self) -> [u8; 4] {
        let [high, low] = self.at.to_be_bytes();
        [self.kind, high, low, self.value]
    }
}
