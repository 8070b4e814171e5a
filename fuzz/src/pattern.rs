//! Contents of streams that anybody can check without keeping them.

use std::sync::OnceLock;

/// A prime: no period of the protocols' own meets it.
const TABLE_BYTES: usize = 65_521;

/// `length` bytes from `offset` on of direction `direction` of stream `stream`.
pub fn bytes(stream: u64, direction: u8, offset: u64, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length);
    let mut at = position(stream, direction, offset);
    while bytes.len() < length {
        let piece = &table()[at..];
        bytes.extend_from_slice(&piece[..piece.len().min(length - bytes.len())]);
        at = 0;
    }
    bytes
}

/// Panics unless `found` is what belongs at `offset`.
pub fn check(stream: u64, direction: u8, offset: u64, found: &[u8]) {
    let expected = bytes(stream, direction, offset, found.len());
    assert!(found == expected, "stream {stream}, direction {direction}: wrong from {offset} on");
}

/// Where in the table that is.
fn position(stream: u64, direction: u8, offset: u64) -> usize {
    let start = stream.wrapping_mul(7_919).wrapping_add(u64::from(direction) * 31_337);
    (start.wrapping_add(offset) % TABLE_BYTES as u64) as usize
}

fn table() -> &'static [u8] {
    static TABLE: OnceLock<Vec<u8>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut state = 1u32;
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..TABLE_BYTES).map(next).collect()
    })
}
