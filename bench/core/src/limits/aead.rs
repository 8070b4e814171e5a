//! Sealing and opening with ring's ChaCha20-Poly1305, in place, without framing.

use std::hint::black_box;

use anyhow::{Result, anyhow, ensure};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, MAX_TAG_LEN, Nonce, UnboundKey};

use crate::contender::{PIPE_BYTES, READ_BYTES};
use crate::meter::{Cost, Meter};
use crate::payload::Payload;

/// Plaintext of the longest Noise message: 65,535 bytes less the tag.
pub const FULL_RECORD_BYTES: usize = 65_535 - MAX_TAG_LEN;

/// A Yamux header, with which a write of its own record leaves.
pub const YAMUX_HEADER_BYTES: usize = 12;

/// What is done to each record besides the cipher.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Copies {
    None,
    /// From the application into the record, and from the record to the
    /// application: what a `write(&[u8])` and a `read_into(&mut [u8])` cost.
    OneEachWay,
}

/// The same key at both ends, its schedule made once.
pub struct Aead {
    seal_key: LessSafeKey,
    open_key: LessSafeKey,
    payload: Payload,
}

impl Aead {
    pub fn new() -> Result<Self> {
        let key = || UnboundKey::new(&CHACHA20_POLY1305, &[7; 32]).map(LessSafeKey::new);
        let (seal_key, open_key) = (key().map_err(unspecified)?, key().map_err(unspecified)?);
        Ok(Self { seal_key, open_key, payload: Payload::new() })
    }

    /// Seals and opens `total_bytes`, rounded up to whole rounds. A round seals
    /// as many records as a pipe holds and then opens them, so that the working
    /// set is that of a connection.
    pub fn run(&self, total_bytes: u64, record_bytes: usize, copies: Copies) -> Result<Cost> {
        let sealed_bytes = record_bytes + MAX_TAG_LEN;
        let records_per_round = (PIPE_BYTES / sealed_bytes).max(1);
        let rounds = total_bytes.div_ceil((records_per_round * record_bytes) as u64);
        let mut records = vec![vec![0; sealed_bytes]; records_per_round];
        for record in &mut records {
            record[..record_bytes].copy_from_slice(self.payload.at(0, record_bytes));
        }
        let mut application = vec![0; READ_BYTES];
        let mut counter = 0;

        let meter = Meter::start();
        for _ in 0..rounds {
            for (record, counter) in records.iter_mut().zip(counter..) {
                let (plaintext, tag) = record.split_at_mut(record_bytes);
                if copies == Copies::OneEachWay {
                    let position = counter * record_bytes as u64;
                    plaintext.copy_from_slice(self.payload.at(position, record_bytes));
                }
                let sealed = self
                    .seal_key
                    .seal_in_place_separate_tag(nonce(counter), Aad::empty(), plaintext)
                    .map_err(unspecified)?;
                tag.copy_from_slice(sealed.as_ref());
            }
            for (record, counter) in records.iter_mut().zip(counter..) {
                let plaintext = self
                    .open_key
                    .open_in_place(nonce(counter), Aad::empty(), record)
                    .map_err(unspecified)?;
                if copies == Copies::OneEachWay {
                    application[..record_bytes].copy_from_slice(plaintext);
                    black_box(&mut application);
                }
            }
            counter += records_per_round as u64;
        }
        let cost = meter.stop();

        let last = if copies == Copies::None { 0 } else { (counter - 1) * record_bytes as u64 };
        let expected = self.payload.at(last, record_bytes);
        let last = records.last().map_or(&[][..], |record| &record[..record_bytes]);
        ensure!(last == expected, "the last record opened differs from what was sealed");
        // The clock ran for the rounded-up amount; charge only what was asked for.
        Ok(cost.scaled(total_bytes, rounds * (records_per_round * record_bytes) as u64))
    }
}

fn nonce(counter: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&counter.to_le_bytes());
    Nonce::assume_unique_for_key(bytes)
}

fn unspecified(_: ring::error::Unspecified) -> anyhow::Error {
    anyhow!("ring refused a record")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_opened_is_what_was_sealed() -> Result<()> {
        let aead = Aead::new()?;
        for record_bytes in [FULL_RECORD_BYTES, (1 << 10) + YAMUX_HEADER_BYTES] {
            for copies in [Copies::None, Copies::OneEachWay] {
                aead.run(1 << 20, record_bytes, copies)?;
            }
        }
        Ok(())
    }
}
