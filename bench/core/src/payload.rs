//! Bytes whose every position can be recognised.

/// Prime, so that no power-of-two shift of the stream looks like another.
const PERIOD_BYTES: usize = 65_521;

/// Longest slice that [`Payload::at`] can give.
const MAX_SLICE_BYTES: usize = 64 << 10;

/// An endless stream of bytes, of which any short part is one slice.
pub struct Payload {
    bytes: Vec<u8>,
}

impl Payload {
    pub fn new() -> Self {
        // xorshift64: any sequence without short repeats will do.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let period: Vec<u8> = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[0]
        })
        .take(PERIOD_BYTES)
        .collect();
        // Its start again after its end, so that no slice has to wrap around.
        let bytes = period.iter().copied().cycle().take(PERIOD_BYTES + MAX_SLICE_BYTES).collect();
        Self { bytes }
    }

    /// The next `len` bytes at `position`, fewer when `len` is over 64 KiB.
    pub fn at(&self, position: u64, len: usize) -> &[u8] {
        let start = (position % PERIOD_BYTES as u64) as usize;
        &self.bytes[start..start + len.min(MAX_SLICE_BYTES)]
    }
}

/// The receiving application's check.
pub struct Receiver<'a> {
    payload: &'a Payload,
    pub received_bytes: u64,
    thoroughness: Thoroughness,
}

/// How much of what was received is compared with what was sent.
#[derive(Clone, Copy, Debug)]
pub enum Thoroughness {
    /// Every byte.
    All,
    /// Up to 8 bytes at both ends of every read, which costs next to nothing
    /// and still finds bytes that were lost, repeated or swapped.
    Edges,
}

impl<'a> Receiver<'a> {
    pub fn new(payload: &'a Payload, thoroughness: Thoroughness) -> Self {
        Self { payload, received_bytes: 0, thoroughness }
    }

    /// # Panics
    ///
    /// When the bytes are not what was sent.
    pub fn take(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(MAX_SLICE_BYTES) {
            let expected = self.payload.at(self.received_bytes, part.len());
            let edge = match self.thoroughness {
                Thoroughness::All => part.len(),
                Thoroughness::Edges => part.len().min(8),
            };
            let tail = part.len() - edge;
            assert!(
                part[..edge] == expected[..edge] && part[tail..] == expected[tail..],
                "the {} bytes received at {} are not those sent",
                part.len(),
                self.received_bytes
            );
            self.received_bytes += part.len() as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_cut_anywhere_is_recognised() {
        let payload = Payload::new();
        let mut receiver = Receiver::new(&payload, Thoroughness::All);
        for len in [1, 7, 65_521, 65_536, 13, 40_000] {
            receiver.take(payload.at(receiver.received_bytes, len));
        }
        assert_eq!(receiver.received_bytes, 171_078);
    }

    #[test]
    #[should_panic(expected = "received at 100")]
    fn a_repeated_part_is_found_by_its_edges() {
        let payload = Payload::new();
        let mut receiver = Receiver::new(&payload, Thoroughness::Edges);
        receiver.take(payload.at(0, 100));
        receiver.take(payload.at(0, 100));
    }
}
