//! Length-delimited frames: an unsigned varint that counts bytes, then as many bytes. Most libp2p
//! protocols wrap their messages so.
//!
//! [`FrameReader`] assembles frames from a stream and trusts no length: a frame over the bound is
//! refused at its prefix, and memory grows with what has arrived and not with what was announced.
//! [`encode_frame_prefix`] is all that writing takes.
//!
//! Specification: each protocol's own, for instance "RPC messages" in
//! <https://github.com/libp2p/specs/blob/master/kad-dht/README.md>, and
//! <https://github.com/multiformats/unsigned-varint> for the prefix.

use bytes::Bytes;

use crate::mux::{ReadError, ResetCode};
use crate::varint::{self, MAX_VARINT_BYTES, VarintError};

/// A frame that arrived whole and has at least this many bytes is handed out as a slice of the
/// buffer that it arrived in. A smaller one is copied, so that it pins no more than itself.
pub const MIN_SHARED_FRAME_BYTES: usize = 16 * 1024;

/// Frames up to this many bytes are read through a buffer on the stack, which spares them the
/// bookkeeping of a shared slice that would be copied anyway.
const SCRATCH_BYTES: usize = 4 * 1024;

/// Where a [`FrameReader`] reads from: one direction of one stream.
pub trait ByteSource {
    /// Takes at most `max` bytes, without copying where it can. Empty means that the stream has
    /// ended.
    ///
    /// # Errors
    ///
    /// As [`crate::mux::Mux::read`].
    fn read(&mut self, max: usize) -> Result<Bytes, ReadError>;

    /// Takes as many bytes as there are and `buffer` holds; 0 means that the stream has ended.
    ///
    /// # Errors
    ///
    /// As [`crate::mux::Mux::read_into`].
    fn read_into(&mut self, buffer: &mut [u8]) -> Result<usize, ReadError>;
}

/// What a [`FrameReader`] came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameStep {
    /// A frame, without its prefix; it may be empty.
    Frame(Bytes),
    /// Nothing more is there yet. Poll again when the stream is readable.
    Blocked,
    /// The stream ended between two frames.
    End,
}

/// Why there are no more frames. The stream is of no more use then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// A prefix announces more bytes than allowed. None of them were read.
    TooLong {
        /// Bytes announced.
        length: u64,
        /// Bytes allowed.
        max: usize,
    },
    /// A prefix is malformed.
    Varint(VarintError),
    /// The stream ended inside a frame.
    Truncated,
    /// The stream was reset with this code.
    Reset(ResetCode),
    /// There is no such stream.
    UnknownStream,
    /// The connection is over.
    ConnectionClosed,
    /// The remote does not speak the protocol that the stream was opened for.
    UnsupportedProtocol,
}

/// Reads frames from a stream.
///
/// It reads nothing behind the frame that it assembles, so that the stream can be handed on
/// between two frames. A frame over the bound is refused when its prefix is read. Between frames it
/// has no memory of its own; inside of one, at most twice the bytes that have arrived.
#[derive(Clone, Debug)]
pub struct FrameReader {
    max_bytes: usize,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Prefix {
        bytes: [u8; MAX_VARINT_BYTES],
        /// How many of `bytes` have arrived.
        len: u8,
    },
    Body {
        /// Bytes of the frame, from 1 to the reader's `max_bytes`.
        length: usize,
        /// What has arrived of them.
        arrived: Vec<u8>,
    },
}

impl State {
    const BETWEEN_FRAMES: State = State::Prefix { bytes: [0; MAX_VARINT_BYTES], len: 0 };
}

impl FrameReader {
    /// A reader of frames of at most `max_bytes`, the prefix not counted.
    pub const fn new(max_bytes: usize) -> Self {
        FrameReader { max_bytes, state: State::BETWEEN_FRAMES }
    }

    /// The next frame, as far as `source` has it: one frame a call.
    ///
    /// # Errors
    ///
    /// When the remote breaks the framing or the bound, and when the stream fails. The same error
    /// comes again when polled again.
    pub fn poll(&mut self, source: &mut impl ByteSource) -> Result<FrameStep, FrameError> {
        let polled = loop {
            match &mut self.state {
                State::Prefix { bytes, len } => {
                    match read_prefix(bytes, len, self.max_bytes, source) {
                        Ok(Prefix::Length(0)) => {
                            self.state = State::BETWEEN_FRAMES;
                            break Ok(FrameStep::Frame(Bytes::new()));
                        }
                        Ok(Prefix::Length(length)) => {
                            self.state = State::Body { length, arrived: Vec::new() };
                        }
                        Ok(Prefix::End) => break Ok(FrameStep::End),
                        Err(stop) => break Err(stop),
                    }
                }
                State::Body { length, arrived } => match read_body(*length, arrived, source) {
                    Ok(frame) => {
                        self.state = State::BETWEEN_FRAMES;
                        break Ok(FrameStep::Frame(frame));
                    }
                    Err(stop) => break Err(stop),
                },
            }
        };
        match polled {
            Ok(step) => Ok(step),
            Err(Stop::Blocked) => Ok(FrameStep::Blocked),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    /// Bytes of memory that are held for a frame that is not complete, by capacity.
    pub fn held_bytes(&self) -> usize {
        match &self.state {
            State::Prefix { .. } => 0,
            State::Body { arrived, .. } => arrived.capacity(),
        }
    }

    /// Whether nothing of the next frame has been read.
    pub fn is_between_frames(&self) -> bool {
        match &self.state {
            State::Prefix { len, .. } => *len == 0,
            State::Body { .. } => false,
        }
    }
}

/// Writes the prefix of a frame of `length` bytes and returns the part of `out` that was used.
pub fn encode_frame_prefix(length: usize, out: &mut [u8; MAX_VARINT_BYTES]) -> &[u8] {
    varint::encode(length as u64, out)
}

/// Why reading goes no further for now, or ever.
enum Stop {
    Blocked,
    Failed(FrameError),
}

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Blocked => Stop::Blocked,
            ReadError::Reset(code) => Stop::Failed(FrameError::Reset(code)),
            ReadError::UnknownStream => Stop::Failed(FrameError::UnknownStream),
            ReadError::ConnectionClosed => Stop::Failed(FrameError::ConnectionClosed),
            ReadError::UnsupportedProtocol => Stop::Failed(FrameError::UnsupportedProtocol),
        }
    }
}

enum Prefix {
    Length(usize),
    End,
}

fn read_prefix(
    bytes: &mut [u8; MAX_VARINT_BYTES],
    len: &mut u8,
    max: usize,
    source: &mut impl ByteSource,
) -> Result<Prefix, Stop> {
    loop {
        let (arrived, rest) = bytes.split_at_mut(usize::from(*len));
        let decoded = varint::decode(arrived);
        if let Some((length, _)) = decoded.map_err(|e| Stop::Failed(FrameError::Varint(e)))? {
            return match usize::try_from(length) {
                Ok(length) if length <= max => Ok(Prefix::Length(length)),
                Ok(_) | Err(_) => Err(Stop::Failed(FrameError::TooLong { length, max })),
            };
        }
        // Byte by byte, because only its last byte tells where the prefix ends. Undecided, it has
        // fewer than nine, so `rest` is not empty.
        match source.read_into(&mut rest[..1])? {
            0 if *len == 0 => return Ok(Prefix::End),
            0 => return Err(Stop::Failed(FrameError::Truncated)),
            _ => *len += 1,
        }
    }
}

/// Reads a frame of `length` bytes to its end.
fn read_body(
    length: usize,
    arrived: &mut Vec<u8>,
    source: &mut impl ByteSource,
) -> Result<Bytes, Stop> {
    if length <= SCRATCH_BYTES {
        let mut scratch = [0; SCRATCH_BYTES];
        loop {
            let missing = &mut scratch[..length - arrived.len()];
            let count = source.read_into(missing)?;
            let count = count.min(missing.len());
            if let Some(frame) = append(length, arrived, &missing[..count])? {
                return Ok(frame);
            }
        }
    }
    loop {
        let chunk = source.read(length - arrived.len())?;
        if chunk.len() == length && length >= MIN_SHARED_FRAME_BYTES {
            return Ok(chunk);
        }
        if let Some(frame) = append(length, arrived, &chunk)? {
            return Ok(frame);
        }
    }
}

/// Adds a chunk to what has arrived, and returns the frame, of exact capacity, when that
/// completes it.
fn append(length: usize, arrived: &mut Vec<u8>, chunk: &[u8]) -> Result<Option<Bytes>, Stop> {
    if chunk.is_empty() {
        return Err(Stop::Failed(FrameError::Truncated));
    }
    // No source gives more than it was asked for; one that does cannot make a frame overflow.
    let chunk = &chunk[..chunk.len().min(length - arrived.len())];
    let len = arrived.len() + chunk.len();
    if len == length && arrived.is_empty() {
        return Ok(Some(Bytes::copy_from_slice(chunk)));
    }
    if len > arrived.capacity() {
        // Doubling keeps the copies linear; what was announced caps it, so that the last step
        // leaves a buffer that is exactly full.
        let capacity = len.max(arrived.capacity().saturating_mul(2)).min(length);
        arrived.reserve_exact(capacity - arrived.len());
    }
    arrived.extend_from_slice(chunk);
    Ok((len == length).then(|| Bytes::from(core::mem::take(arrived))))
}

impl core::fmt::Display for FrameError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            FrameError::TooLong { length, max } => {
                write!(f, "frame of {length} bytes, more than {max}")
            }
            FrameError::Varint(error) => write!(f, "length of a frame: {error}"),
            FrameError::Truncated => f.write_str("stream ended inside a frame"),
            FrameError::Reset(code) => write!(f, "stream was reset with code {code}"),
            FrameError::ConnectionClosed => f.write_str("the connection is over"),
            FrameError::UnknownStream => f.write_str("no such stream"),
            FrameError::UnsupportedProtocol => {
                f.write_str("the remote does not speak the protocol of the stream")
            }
        }
    }
}

impl core::error::Error for FrameError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            FrameError::Varint(error) => Some(error),
            FrameError::TooLong { .. }
            | FrameError::Truncated
            | FrameError::Reset(_)
            | FrameError::ConnectionClosed
            | FrameError::UnknownStream
            | FrameError::UnsupportedProtocol => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use proptest::prelude::*;

    /// Chunks as a stream gives them; empty ones block once.
    struct Chunks {
        chunks: VecDeque<Bytes>,
        /// What follows the last chunk.
        last: Result<(), ReadError>,
    }

    impl Chunks {
        fn new(chunks: impl IntoIterator<Item = Bytes>, last: Result<(), ReadError>) -> Self {
            Chunks { chunks: chunks.into_iter().collect(), last }
        }

        fn left(&self) -> usize {
            self.chunks.iter().map(Bytes::len).sum()
        }
    }

    impl ByteSource for Chunks {
        fn read(&mut self, max: usize) -> Result<Bytes, ReadError> {
            let Some(chunk) = self.chunks.front_mut() else {
                return self.last.map(|()| Bytes::new());
            };
            let piece = chunk.split_to(max.min(chunk.len()));
            if chunk.is_empty() {
                self.chunks.pop_front();
            }
            if piece.is_empty() { Err(ReadError::Blocked) } else { Ok(piece) }
        }

        fn read_into(&mut self, buffer: &mut [u8]) -> Result<usize, ReadError> {
            let piece = self.read(buffer.len())?;
            buffer[..piece.len()].copy_from_slice(&piece);
            Ok(piece.len())
        }
    }

    const BLOCKED: Result<(), ReadError> = Err(ReadError::Blocked);

    fn prefix(length: usize) -> Vec<u8> {
        encode_frame_prefix(length, &mut [0; 9]).to_vec()
    }

    fn framed(body: &[u8]) -> Vec<u8> {
        [&prefix(body.len()), body].concat()
    }

    fn points_into(inner: &[u8], outer: &[u8]) -> bool {
        outer.as_ptr_range().contains(&inner.as_ptr())
    }

    fn frame(step: Result<FrameStep, FrameError>) -> Bytes {
        match step.unwrap() {
            FrameStep::Frame(frame) => frame,
            other @ (FrameStep::Blocked | FrameStep::End) => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_oversize_frame_is_refused_before_it_is_buffered() {
        let mut bytes = prefix(1_001);
        let prefix_bytes = bytes.len();
        bytes.extend([7; 500]);
        let total = bytes.len();
        let mut source = Chunks::new([bytes.into()], BLOCKED);
        let mut reader = FrameReader::new(1_000);
        let refused = Err(FrameError::TooLong { length: 1_001, max: 1_000 });
        assert_eq!(reader.poll(&mut source), refused);
        assert_eq!(source.left(), total - prefix_bytes);
        assert_eq!(reader.held_bytes(), 0);
        // It stays refused, and nothing more is read.
        assert_eq!(reader.poll(&mut source), refused);
        assert_eq!(source.left(), total - prefix_bytes);
        // The bound itself passes.
        let mut source = Chunks::new([framed(&[7; 1_000]).into()], BLOCKED);
        assert_eq!(frame(FrameReader::new(1_000).poll(&mut source)), [7; 1_000][..]);
    }

    #[test]
    fn a_claim_of_a_million_bytes_costs_what_has_arrived() {
        for claim in [100, 1_000_000, 16 << 20] {
            let mut bytes = prefix(claim);
            bytes.extend([7; 10]);
            let mut source = Chunks::new([bytes.into()], BLOCKED);
            let mut reader = FrameReader::new(16 << 20);
            assert_eq!(reader.poll(&mut source), Ok(FrameStep::Blocked));
            assert!(reader.held_bytes() <= 20, "{} bytes held", reader.held_bytes());
            assert!(!reader.is_between_frames());
        }
        let mut source = Chunks::new([prefix(1_000_000).into()], BLOCKED);
        let mut reader = FrameReader::new(1_000_000);
        assert_eq!(reader.poll(&mut source), Ok(FrameStep::Blocked));
        assert_eq!(reader.held_bytes(), 0);
    }

    #[test]
    fn a_byte_at_a_time_never_holds_twice_what_has_arrived() {
        let body: Vec<u8> = (0..20_000u32).map(|n| n.to_le_bytes()[0]).collect();
        let bytes = framed(&body);
        let mut reader = FrameReader::new(body.len());
        for (index, &byte) in bytes.iter().enumerate() {
            let mut source = Chunks::new([Bytes::copy_from_slice(&[byte])], BLOCKED);
            match reader.poll(&mut source).unwrap() {
                FrameStep::Frame(frame) => {
                    assert_eq!(index, bytes.len() - 1);
                    assert_eq!(frame, body);
                }
                FrameStep::Blocked => assert!(reader.held_bytes() <= 2 * (index + 1)),
                FrameStep::End => panic!("end at byte {index}"),
            }
        }
        assert!(reader.is_between_frames());
        assert_eq!(reader.held_bytes(), 0);
    }

    #[test]
    fn a_large_frame_in_one_chunk_is_not_copied() {
        let body = vec![7; MIN_SHARED_FRAME_BYTES];
        let chunk = Bytes::from([framed(&body), framed(b"next")].concat());
        let mut source = Chunks::new([chunk.clone()], BLOCKED);
        let mut reader = FrameReader::new(1 << 20);
        let large = frame(reader.poll(&mut source));
        assert_eq!(large, body);
        assert_eq!(large.as_ptr(), chunk[prefix(body.len()).len()..].as_ptr());
        assert_eq!(frame(reader.poll(&mut source)), &b"next"[..]);
    }

    #[test]
    fn small_frames_do_not_pin_the_chunk_that_they_came_in() {
        for body_bytes in [1, 1_024, SCRATCH_BYTES, SCRATCH_BYTES + 1, MIN_SHARED_FRAME_BYTES - 1] {
            let body = vec![7; body_bytes];
            let chunk = Bytes::from(framed(&body).repeat(32));
            let mut source = Chunks::new([chunk.clone()], BLOCKED);
            let mut reader = FrameReader::new(1 << 20);
            let kept: Vec<_> = (0..32).map(|_| frame(reader.poll(&mut source))).collect();
            assert!(kept.iter().all(|kept| kept == &body && !points_into(kept, &chunk)));
            assert_eq!(reader.poll(&mut source), Ok(FrameStep::Blocked));
            assert!(chunk.is_unique());
        }
    }

    #[test]
    fn a_large_frame_in_pieces_does_not_pin_them_and_fits_exactly() {
        let body = vec![7; 100_000];
        let bytes = Bytes::from(framed(&body));
        let pieces = [bytes.slice(..40_000), bytes.slice(40_000..70_000), bytes.slice(70_000..)];
        let mut source = Chunks::new(pieces, BLOCKED);
        let frame = frame(FrameReader::new(1 << 20).poll(&mut source));
        drop(source);
        assert_eq!(frame, body);
        assert!(bytes.is_unique());
        assert_eq!(Vec::from(frame).capacity(), body.len());
    }

    #[test]
    fn nothing_behind_a_frame_is_read() {
        for body in [&b""[..], b"a", &[7; 5_000], &[7; 20_000]] {
            let bytes = [&framed(body), &b"raw"[..]].concat();
            let mut source = Chunks::new([bytes.into()], BLOCKED);
            let mut reader = FrameReader::new(1 << 20);
            assert_eq!(frame(reader.poll(&mut source)), body);
            assert!(reader.is_between_frames());
            assert_eq!(source.left(), 3);
        }
    }

    #[test]
    fn the_end_is_clean_only_between_frames() {
        let end = |bytes: &[u8]| {
            let mut source = Chunks::new([Bytes::copy_from_slice(bytes)], Ok(()));
            let mut reader = FrameReader::new(1 << 20);
            loop {
                match reader.poll(&mut source) {
                    Ok(FrameStep::Frame(_)) => {}
                    other => break other,
                }
            }
        };
        assert_eq!(end(&framed(b"body")), Ok(FrameStep::End));
        assert_eq!(end(&[0]), Ok(FrameStep::End));
        assert_eq!(end(&[0x80]), Err(FrameError::Truncated));
        assert_eq!(end(&[2]), Err(FrameError::Truncated));
        assert_eq!(end(&[2, 7]), Err(FrameError::Truncated));
        assert_eq!(end(&prefix(20_000)), Err(FrameError::Truncated));
        assert_eq!(end(&[0x80, 0]), Err(FrameError::Varint(VarintError::NotMinimal)));
        assert_eq!(end(&[0xff; 9]), Err(FrameError::Varint(VarintError::TooLong)));
    }

    #[test]
    fn a_stream_that_fails_says_why() {
        let failed = |error| {
            let mut source = Chunks::new([Bytes::from_static(&[2, 7])], Err(error));
            FrameReader::new(10).poll(&mut source)
        };
        assert_eq!(failed(ReadError::Blocked), Ok(FrameStep::Blocked));
        assert_eq!(failed(ReadError::Reset(5)), Err(FrameError::Reset(5)));
        assert_eq!(failed(ReadError::UnknownStream), Err(FrameError::UnknownStream));
        let unsupported = Err(FrameError::UnsupportedProtocol);
        assert_eq!(failed(ReadError::UnsupportedProtocol), unsupported);
    }

    #[test]
    fn an_idle_reader_is_small() {
        assert!(size_of::<FrameReader>() <= 48);
        let reader = FrameReader::new(1 << 20);
        assert_eq!(reader.held_bytes(), 0);
        assert!(reader.is_between_frames());
    }

    #[test]
    fn a_bound_of_nothing_still_admits_empty_frames() {
        let mut source = Chunks::new([Bytes::from_static(&[0, 0, 1])], Ok(()));
        let mut reader = FrameReader::new(0);
        assert_eq!(frame(reader.poll(&mut source)), Bytes::new());
        assert_eq!(frame(reader.poll(&mut source)), Bytes::new());
        assert_eq!(reader.poll(&mut source), Err(FrameError::TooLong { length: 1, max: 0 }));
    }

    /// The frames of `bytes` when it is all there, and how it ends.
    fn reference(mut bytes: &[u8], max: usize) -> (Vec<Bytes>, Result<(), FrameError>) {
        let mut frames = Vec::new();
        loop {
            let (length, prefix) = match varint::decode(bytes) {
                Ok(Some(decoded)) => decoded,
                Ok(None) if bytes.is_empty() => return (frames, Ok(())),
                Ok(None) => return (frames, Err(FrameError::Truncated)),
                Err(error) => return (frames, Err(FrameError::Varint(error))),
            };
            if length > max as u64 {
                return (frames, Err(FrameError::TooLong { length, max }));
            }
            let length = usize::try_from(length).unwrap();
            let Some(body) = bytes.get(prefix..prefix + length) else {
                return (frames, Err(FrameError::Truncated));
            };
            frames.push(Bytes::copy_from_slice(body));
            bytes = &bytes[prefix + body.len()..];
        }
    }

    proptest! {
        #[test]
        fn frames_do_not_depend_on_how_the_bytes_are_cut(
            bodies in prop::collection::vec((any::<u8>(), prop_oneof![
                4 => 0..300usize, 1 => 4_000..4_200usize, 1 => 16_000..40_000usize]), 0..6),
            tail in prop::collection::vec(any::<u8>(), 0..12),
            cuts in prop::collection::vec(prop_oneof![0..20usize, 0..20_000usize], 1..30),
        ) {
            let mut bytes = Vec::new();
            for (fill, length) in bodies {
                bytes.extend(framed(&vec![fill; length]));
            }
            bytes.extend(tail);
            let bytes = Bytes::from(bytes);
            let (mut chunks, mut rest) = (Vec::new(), bytes.clone());
            for cut in cuts {
                chunks.push(rest.split_to(cut.min(rest.len())));
            }
            chunks.push(rest);
            let max = 39_000;
            let mut source = Chunks::new(chunks, Ok(()));
            let (mut reader, mut frames) = (FrameReader::new(max), Vec::new());
            let end = loop {
                match reader.poll(&mut source) {
                    Ok(FrameStep::Frame(frame)) => frames.push(frame),
                    Ok(FrameStep::Blocked) => {
                        let arrived = bytes.len() - source.left();
                        prop_assert!(reader.held_bytes() <= 2 * arrived);
                    }
                    Ok(FrameStep::End) => break Ok(()),
                    Err(error) => break Err(error),
                }
            };
            prop_assert_eq!((frames, end), reference(&bytes, max));
        }
    }
}
