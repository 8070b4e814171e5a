//! The lines of multistream-select: written by [`write_line`], read by [`LineReader`].

use serde::{Deserialize, Serialize};
use std::borrow::Cow;

use crate::protocol::MAX_PROTOCOL_ID_BYTES;
use crate::varint::{self, MAX_VARINT_BYTES, VarintError};

/// What a length prefix may announce, in bytes: the longest protocol id and its line feed.
const MAX_COUNTED_BYTES: usize = MAX_PROTOCOL_ID_BYTES + 1;

/// The longest line that is sent or accepted, in bytes, with its length prefix of two bytes and its
/// line feed: 1,026.
pub const MAX_LINE_BYTES: usize = MAX_COUNTED_BYTES + 2;

/// What is wrong with a line (section "Protocol", notes 1 and 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LineError {
    /// Its prefix announces this many bytes, more than the longest protocol id with its line feed.
    /// Nothing of it was buffered.
    TooLong(u64),
    /// Its length prefix is malformed.
    Prefix(VarintError),
    /// It does not end in a line feed.
    NoLineFeed,
    /// It is not UTF-8.
    NotUtf8,
}

impl core::fmt::Display for LineError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            LineError::TooLong(bytes) => {
                write!(f, "line of {bytes} bytes, more than {MAX_COUNTED_BYTES}")
            }
            LineError::Prefix(error) => write!(f, "length of a line: {error}"),
            LineError::NoLineFeed => f.write_str("line without a line feed at its end"),
            LineError::NotUtf8 => f.write_str("line that is not UTF-8"),
        }
    }
}

impl core::error::Error for LineError {}

/// Appends `text` as a line.
pub(super) fn write_line(text: &str, out: &mut Vec<u8>) {
    let counted = text.len() + 1;
    let mut prefix = [0; MAX_VARINT_BYTES];
    let prefix = varint::encode(counted as u64, &mut prefix);
    out.reserve(prefix.len() + counted);
    out.extend_from_slice(prefix);
    out.extend_from_slice(text.as_bytes());
    out.push(b'\n');
}

/// Reads lines from bytes that were cut anywhere.
#[derive(Clone, Debug, Default)]
pub(super) struct LineReader {
    /// The beginning of a line whose end has not arrived, with its prefix: less than
    /// [`MAX_LINE_BYTES`]. Without an allocation while nothing is cut.
    partial: Vec<u8>,
}

impl LineReader {
    /// Takes bytes up to the end of the line at most. Returns how many it took, and the text of
    /// the line without its line feed, or `None` when all bytes were taken and its end is not
    /// among them.
    pub(super) fn read<'a>(
        &mut self,
        input: &'a [u8],
    ) -> Result<(usize, Option<Cow<'a, str>>), LineError> {
        if self.partial.is_empty() {
            if let Some((prefix, end)) = extent(input)?
                && let Some(counted) = input.get(prefix..end)
            {
                return Ok((end, Some(Cow::Borrowed(text(counted)?))));
            }
            self.partial.extend_from_slice(input);
            return Ok((input.len(), None));
        }
        self.resume(input)
    }

    fn resume(&mut self, input: &[u8]) -> Result<(usize, Option<Cow<'static, str>>), LineError> {
        let mut taken = 0;
        loop {
            let wanted = match extent(&self.partial)? {
                Some((prefix, end)) if self.partial.len() >= end => {
                    let counted = self.partial.get(prefix..end).unwrap_or_default();
                    let line = text(counted)?.to_owned();
                    self.partial = Vec::new();
                    return Ok((taken, Some(Cow::Owned(line))));
                }
                Some((_, end)) => end - self.partial.len(),
                // Where the prefix ends is known only from its last byte.
                None => 1,
            };
            let rest = &input[taken..];
            if rest.is_empty() {
                return Ok((taken, None));
            }
            let more = &rest[..wanted.min(rest.len())];
            self.partial.extend_from_slice(more);
            taken += more.len();
        }
    }
}

/// Where the text of the first line of `bytes` begins and where it ends, line feed included, or
/// `None` when the prefix is not complete.
fn extent(bytes: &[u8]) -> Result<Option<(usize, usize)>, LineError> {
    let Some((counted, prefix)) = varint::decode(bytes).map_err(LineError::Prefix)? else {
        return Ok(None);
    };
    match usize::try_from(counted) {
        Ok(length) if length <= MAX_COUNTED_BYTES => Ok(Some((prefix, prefix + length))),
        Ok(_) | Err(_) => Err(LineError::TooLong(counted)),
    }
}

fn text(counted: &[u8]) -> Result<&str, LineError> {
    let text = counted.strip_suffix(b"\n").ok_or(LineError::NoLineFeed)?;
    core::str::from_utf8(text).map_err(|_| LineError::NotUtf8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_whole_line_is_read_in_place_and_what_follows_is_left() {
        let mut reader = LineReader::default();
        let input = b"\x03na\n\x03ls\n";
        let (taken, line) = reader.read(input).unwrap();
        assert_eq!((taken, &line), (4, &Some(Cow::Borrowed("na"))));
        assert!(matches!(line, Some(Cow::Borrowed(_))));
        assert_eq!(reader.partial.capacity(), 0);
    }

    #[test]
    fn a_line_that_came_in_pieces_leaves_no_memory_behind() {
        let mut reader = LineReader::default();
        assert_eq!(reader.read(b"").unwrap(), (0, None));
        assert_eq!(reader.partial.capacity(), 0);
        assert_eq!(reader.read(b"\x03").unwrap(), (1, None));
        assert_eq!(reader.read(b"").unwrap(), (0, None));
        assert_eq!(reader.read(b"n").unwrap(), (1, None));
        assert_eq!(reader.read(b"a\nx").unwrap(), (2, Some("na".into())));
        assert_eq!(reader.partial.capacity(), 0);
    }

    #[test]
    fn a_line_over_the_bound_is_refused_at_its_prefix() {
        let mut prefix = [0; MAX_VARINT_BYTES];
        let prefix = varint::encode(1025, &mut prefix);
        assert_eq!(LineReader::default().read(prefix), Err(LineError::TooLong(1025)));
        // Cut inside the prefix, it is refused just there, with one byte held.
        let mut reader = LineReader::default();
        assert_eq!(reader.read(&prefix[..1]), Ok((1, None)));
        assert_eq!(reader.read(&prefix[1..]), Err(LineError::TooLong(1025)));
        assert!(reader.partial.len() <= MAX_VARINT_BYTES);
        // The largest number that a prefix can hold is just as long.
        let mut prefix = [0; MAX_VARINT_BYTES];
        let prefix = varint::encode(varint::MAX_VARINT, &mut prefix);
        let expected = Err(LineError::TooLong(varint::MAX_VARINT));
        assert_eq!(LineReader::default().read(prefix), expected);
    }

    #[test]
    fn the_longest_line_passes() {
        let longest = "x".repeat(MAX_PROTOCOL_ID_BYTES);
        let mut line = Vec::new();
        write_line(&longest, &mut line);
        assert_eq!(line.len(), MAX_LINE_BYTES);
        let read = LineReader::default().read(&line).unwrap();
        assert_eq!(read, (MAX_LINE_BYTES, Some(longest.into())));
    }

    #[test]
    fn malformed_lines_are_refused() {
        let refused = |bytes: &[u8]| LineReader::default().read(bytes).unwrap_err();
        assert_eq!(refused(b"\x00"), LineError::NoLineFeed);
        assert_eq!(refused(b"\x02na"), LineError::NoLineFeed);
        assert_eq!(refused(b"\x03n\nx"), LineError::NoLineFeed);
        assert_eq!(refused(b"\x02\xff\n"), LineError::NotUtf8);
        assert_eq!(refused(b"\x83\x00na\n"), LineError::Prefix(VarintError::NotMinimal));
        assert_eq!(refused(&[0xff; 9]), LineError::Prefix(VarintError::TooLong));
    }

    /// Every line in `input` cut at `cuts`, and the error that ended it, if any.
    fn lines(input: &[u8], chunk: usize) -> (Vec<String>, Option<LineError>, usize) {
        let mut reader = LineReader::default();
        let (mut lines, mut held) = (Vec::new(), 0);
        for mut piece in input.chunks(chunk) {
            while !piece.is_empty() {
                match reader.read(piece) {
                    Ok((taken, line)) => {
                        piece = &piece[taken..];
                        lines.extend(line.map(Cow::into_owned));
                    }
                    Err(error) => return (lines, Some(error), held),
                }
                held = held.max(reader.partial.capacity());
            }
        }
        (lines, None, held)
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_how_the_bytes_are_cut(
            texts in prop::collection::vec("[a-z/\u{e9}]{0,150}", 0..6),
            tail in prop::collection::vec(any::<u8>(), 0..40),
            chunk in 1usize..300,
        ) {
            let mut input = Vec::new();
            texts.iter().for_each(|text| write_line(text, &mut input));
            input.extend(tail);
            let whole = lines(&input, usize::MAX);
            let cut = lines(&input, chunk);
            prop_assert_eq!((&whole.0, whole.1), (&cut.0, cut.1));
            prop_assert!(whole.0.starts_with(&texts));
            prop_assert!(cut.2 <= 2 * MAX_LINE_BYTES);
        }
    }
}
