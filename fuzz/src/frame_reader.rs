//! [`FrameReader`] over a source that gives bytes in arbitrary pieces, against a reader that has
//! them all at once.

use std::collections::VecDeque;

use arbitrary::{Arbitrary, Result, Unstructured};
use bytes::Bytes;
use sanspeer_core::frame::{ByteSource, FrameError, FrameReader, FrameStep, encode_frame_prefix};
use sanspeer_core::mux::ReadError;
use sanspeer_core::varint::{MAX_VARINT_BYTES, VarintError};

use crate::chunks::{Chunks, scaled};

/// A stream of frames, or of anything, and how it is cut.
#[derive(Clone, Debug)]
pub struct Input {
    max_bytes: usize,
    /// The stream ends behind its last byte; otherwise it stays open.
    ends: bool,
    chunks: Chunks,
    stream: Vec<u8>,
}

impl<'a> Arbitrary<'a> for Input {
    /// The bound, flags (bit 0: the stream ends; bit 1: what follows are frames, each a length as
    /// in [`scaled`]), chunks, then a count and lengths, and the rest as raw bytes.
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let max_bytes = match u.arbitrary::<u8>()? {
            255 => 1024 * 1024,
            size => scaled(size),
        };
        let flags = u.arbitrary::<u8>()?;
        let chunks = Chunks::arbitrary(u)?;
        let mut stream = Vec::new();
        if flags & 2 != 0 {
            for _ in 0..u.arbitrary::<u8>()? % 6 {
                // Two of them, so that frames can be longer than what is read at a time.
                let length = scaled(u.arbitrary()?) + 3 * scaled(u.arbitrary()?);
                let mut buffer = [0; MAX_VARINT_BYTES];
                stream.extend_from_slice(encode_frame_prefix(length, &mut buffer));
                stream.extend((0..length).map(|at| at as u8));
            }
        }
        stream.extend_from_slice(u.bytes(u.len())?);
        Ok(Input { max_bytes, ends: flags & 1 != 0, chunks, stream })
    }
}

/// Pieces of a stream; between two of them a read would block.
struct Pieces {
    pieces: VecDeque<Bytes>,
    ends: bool,
    /// Bytes that were read.
    taken: usize,
}

impl Pieces {
    fn front(&mut self) -> core::result::Result<Option<&mut Bytes>, ReadError> {
        if self.pieces.front().is_some_and(Bytes::is_empty) {
            self.pieces.pop_front();
            return Err(ReadError::Blocked);
        }
        match self.pieces.front_mut() {
            Some(piece) => Ok(Some(piece)),
            None if self.ends => Ok(None),
            None => Err(ReadError::Blocked),
        }
    }
}

impl ByteSource for Pieces {
    fn read(&mut self, max: usize) -> core::result::Result<Bytes, ReadError> {
        assert!(max > 0, "a read of nothing");
        let Some(piece) = self.front()? else { return Ok(Bytes::new()) };
        let read = piece.split_to(max.min(piece.len()));
        self.taken += read.len();
        Ok(read)
    }

    fn read_into(&mut self, buffer: &mut [u8]) -> core::result::Result<usize, ReadError> {
        assert!(!buffer.is_empty(), "a read of nothing");
        let Some(piece) = self.front()? else { return Ok(0) };
        let read = piece.split_to(buffer.len().min(piece.len()));
        buffer[..read.len()].copy_from_slice(&read);
        self.taken += read.len();
        Ok(read.len())
    }
}

/// Runs one input.
pub fn run(input: &Input) {
    let (expected, ended) = reference(input);
    let mut chunks = input.chunks.clone();
    let mut pieces = VecDeque::new();
    let mut rest = &input.stream[..];
    while !rest.is_empty() {
        pieces.push_back(Bytes::copy_from_slice(chunks.take(&mut rest)));
    }
    let mut polls_left = input.stream.len() + pieces.len() + 2;
    let mut source = Pieces { pieces, ends: input.ends, taken: 0 };
    let mut reader = FrameReader::new(input.max_bytes);
    let mut frames = Vec::new();
    // Up to where all was handed out as frames.
    let mut handed_out = 0;
    let found = loop {
        polls_left = polls_left.checked_sub(1).expect("polling ends");
        let step = reader.poll(&mut source);
        let held = reader.held_bytes();
        // No allocation is smaller than eight bytes.
        let most = input.max_bytes.max(8);
        assert!(held <= most, "{held} bytes held, {most} allowed");
        match step {
            Ok(FrameStep::Frame(frame)) => {
                assert!(frame.len() <= input.max_bytes);
                assert_eq!(held, 0);
                handed_out = source.taken;
                frames.push(frame);
            }
            Ok(FrameStep::Blocked) => {
                let arrived = source.taken - handed_out;
                assert!(held <= 2 * arrived.max(8), "{held} bytes held for {arrived}");
                if source.pieces.is_empty() && !source.ends {
                    break Ended::Open;
                }
            }
            Ok(FrameStep::End) => break Ended::Whole,
            Err(error) => break Ended::Error(error),
        }
    };
    assert_eq!(frames, expected);
    assert_eq!(found, ended);
}

#[derive(Debug, PartialEq)]
enum Ended {
    Open,
    Whole,
    Error(FrameError),
}

fn reference(input: &Input) -> (Vec<Bytes>, Ended) {
    let mut frames = Vec::new();
    let mut rest = &input.stream[..];
    loop {
        let cut = if input.ends { Ended::Error(FrameError::Truncated) } else { Ended::Open };
        if rest.is_empty() {
            return (frames, if input.ends { Ended::Whole } else { Ended::Open });
        }
        let (length, prefix) = match prefix(rest) {
            Ok(Some(found)) => found,
            Ok(None) => return (frames, cut),
            Err(error) => return (frames, Ended::Error(FrameError::Varint(error))),
        };
        if length > input.max_bytes as u64 {
            let error = FrameError::TooLong { length, max: input.max_bytes };
            return (frames, Ended::Error(error));
        }
        let Some(frame) = rest[prefix..].get(..length as usize) else { return (frames, cut) };
        frames.push(Bytes::copy_from_slice(frame));
        rest = &rest[prefix + length as usize..];
    }
}

/// An unsigned varint of the multiformats specification: at most nine bytes, none too many.
fn prefix(bytes: &[u8]) -> core::result::Result<Option<(u64, usize)>, VarintError> {
    match bytes.iter().take(MAX_VARINT_BYTES).position(|byte| byte & 0x80 == 0) {
        Some(last) if last > 0 && bytes[last] == 0 => Err(VarintError::NotMinimal),
        Some(last) => {
            let value = bytes[..=last]
                .iter()
                .rev()
                .fold(0, |value: u64, byte| value << 7 | u64::from(byte & 0x7f));
            Ok(Some((value, last + 1)))
        }
        None if bytes.len() >= MAX_VARINT_BYTES => Err(VarintError::TooLong),
        None => Ok(None),
    }
}
