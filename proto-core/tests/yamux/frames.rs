//! Frames of protocols, over a stream with a window.

use bytes::Bytes;
use sanspeer_core::frame::{ByteSource, FrameReader, FrameStep, encode_frame_prefix};
use sanspeer_core::mux::{ReadError, StreamId};
use sanspeer_core::yamux::INITIAL_WINDOW_BYTES;

use crate::side::{Side, connected, exchange};

struct Source<'a>(&'a mut Side, StreamId);

impl ByteSource for Source<'_> {
    fn read(&mut self, max: usize) -> Result<Bytes, ReadError> {
        self.0.session.read(self.1, max)
    }

    fn read_into(&mut self, buffer: &mut [u8]) -> Result<usize, ReadError> {
        self.0.session.read_into(self.1, buffer)
    }
}

#[test]
fn a_frame_larger_than_the_window_arrives_because_it_is_read_as_it_comes() {
    let (mut a, mut b, id) = connected();
    let payload: Vec<u8> = (0..4 * INITIAL_WINDOW_BYTES + 17).map(|n| n.to_le_bytes()[1]).collect();
    let mut wire = encode_frame_prefix(payload.len(), &mut [0; 9]).to_vec();
    wire.extend_from_slice(&payload);
    let mut rest = &wire[..];
    let mut reader = FrameReader::new(payload.len());
    loop {
        let before = rest.len();
        while let Ok(n) = a.write(id, rest)
            && n > 0
        {
            rest = &rest[n..];
        }
        exchange(&mut a, &mut b);
        assert!(b.session.unread_bytes(id) <= u64::from(INITIAL_WINDOW_BYTES));
        match reader.poll(&mut Source(&mut b, id)) {
            Ok(FrameStep::Frame(frame)) => {
                assert!(frame == payload);
                break;
            }
            Ok(FrameStep::Blocked) => assert!(rest.len() < before, "nothing moves"),
            other => panic!("{other:?}"),
        }
        exchange(&mut a, &mut b);
    }
    assert!(rest.is_empty());
    assert_eq!(b.session.window_use().unread_bytes, 0);
}
