//! One side of a session with its buffers, fed with bytes or frames.

use std::time::Duration;

use sanspeer_core::mux::{MuxEvent, MuxLimits, ReadError, Role, StreamId};
use sanspeer_core::recv_buffer::{MAX_BLOCK_BYTES, RecvBuffer};
use sanspeer_core::send_buffer::SendBuffer;
use sanspeer_core::time::Timestamp;
use sanspeer_core::yamux::header::{Flags, FrameType, HEADER_BYTES, Header};
use sanspeer_core::yamux::{Yamux, YamuxConfig, YamuxError};

/// A session and its buffers.
pub(crate) struct Side {
    pub(crate) session: Yamux,
    pub(crate) out: SendBuffer,
    recv: RecvBuffer,
    /// Everything that was polled and not taken by [`Side::events`].
    events: Vec<MuxEvent>,
    pub(crate) now: Timestamp,
}

/// A frame with its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) header: Header,
    pub(crate) payload: Vec<u8>,
}

impl Side {
    pub(crate) fn new(role: Role) -> Self {
        Side::with(role, YamuxConfig::default(), MuxLimits::default())
    }

    pub(crate) fn with(role: Role, config: YamuxConfig, limits: MuxLimits) -> Self {
        let now = Timestamp::ZERO;
        Side {
            session: Yamux::new(role, config, limits, now),
            out: SendBuffer::default(),
            recv: RecvBuffer::default(),
            events: Vec::new(),
            now,
        }
    }

    /// Takes bytes from the remote, and polls events as they come.
    pub(crate) fn receive(&mut self, mut bytes: &[u8]) -> Result<(), YamuxError> {
        while !bytes.is_empty() {
            let space = self.recv.space(bytes.len().min(MAX_BLOCK_BYTES), MAX_BLOCK_BYTES);
            let n = space.len().min(bytes.len());
            space[..n].copy_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
            self.recv.received(n);
            self.session.received();
            let block = self.recv.block_id();
            let mut input = self.recv.take(n).freeze();
            self.poll();
            while !input.is_empty() {
                self.session.handle(&mut input, block)?;
                self.poll();
            }
        }
        Ok(())
    }

    /// Takes one frame from the remote.
    pub(crate) fn frame(
        &mut self,
        kind: FrameType,
        flags: Flags,
        stream: u32,
        length: u32,
    ) -> Result<(), YamuxError> {
        self.receive(&Header::new(kind, flags, stream, length).encode())
    }

    /// Takes a data frame from the remote.
    pub(crate) fn data(
        &mut self,
        flags: Flags,
        stream: u32,
        payload: &[u8],
    ) -> Result<(), YamuxError> {
        let length = u32::try_from(payload.len()).expect("a payload of less than 4 GiB");
        self.frame(FrameType::Data, flags, stream, length)?;
        self.receive(payload)
    }

    fn poll(&mut self) {
        while let Some(event) = self.session.poll_event() {
            self.events.push(event);
        }
    }

    /// The events since the last call.
    pub(crate) fn events(&mut self) -> Vec<MuxEvent> {
        self.poll();
        core::mem::take(&mut self.events)
    }

    /// Sends at most `max` bytes.
    pub(crate) fn transmit(&mut self, max: usize) -> Vec<u8> {
        self.session.flush(&mut self.out);
        let bytes = self.out.transmit(None).expect("nothing is sealed");
        let bytes = bytes[..bytes.len().min(max)].to_vec();
        self.out.transmitted(bytes.len());
        self.session.flush(&mut self.out);
        self.poll();
        bytes
    }

    /// Sends everything.
    pub(crate) fn transmit_all(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let bytes = self.transmit(usize::MAX);
            if bytes.is_empty() {
                return all;
            }
            all.extend_from_slice(&bytes);
        }
    }

    /// Sends everything, as frames.
    pub(crate) fn frames(&mut self) -> Vec<Frame> {
        parse(&self.transmit_all())
    }

    pub(crate) fn open(&mut self) -> StreamId {
        self.session.open().expect("room for a stream")
    }

    pub(crate) fn accept(&mut self) -> StreamId {
        self.session.accept().expect("a stream that waits")
    }

    pub(crate) fn write(
        &mut self,
        stream: StreamId,
        data: &[u8],
    ) -> Result<usize, sanspeer_core::mux::WriteError> {
        self.session.write(stream, data, &mut self.out)
    }

    /// Writes all of `data`, for which there must be room.
    pub(crate) fn write_all(&mut self, stream: StreamId, data: &[u8]) {
        assert_eq!(self.write(stream, data), Ok(data.len()));
    }

    /// Reads all there is; true if the end was reached.
    pub(crate) fn read_all(&mut self, stream: StreamId) -> (Vec<u8>, bool) {
        let mut all = Vec::new();
        loop {
            match self.session.read(stream, usize::MAX) {
                Ok(bytes) if bytes.is_empty() => return (all, true),
                Ok(bytes) => all.extend_from_slice(&bytes),
                Err(ReadError::Blocked) => return (all, false),
                Err(error) => panic!("stream {stream} cannot be read: {error:?}"),
            }
        }
    }

    /// Lets time pass.
    pub(crate) fn advance(&mut self, duration: Duration) -> Result<(), YamuxError> {
        self.now = self.now.saturating_add(duration);
        self.session.handle_timeout(self.now)?;
        if let Some(deadline) = self.session.poll_timeout() {
            assert!(deadline.at > self.now, "{deadline:?} is not after {:?}", self.now);
        }
        self.poll();
        Ok(())
    }
}

/// Takes whole frames apart.
pub(crate) fn parse(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (head, rest) = bytes.split_first_chunk::<HEADER_BYTES>().expect("a whole header");
        let header = Header::decode(head).expect("a header");
        let payload_bytes = if header.kind == FrameType::Data { header.length as usize } else { 0 };
        let (payload, rest) = rest.split_at(payload_bytes);
        frames.push(Frame { header, payload: payload.to_vec() });
        bytes = rest;
    }
    frames
}

/// A frame without payload.
pub(crate) fn bare(kind: FrameType, flags: Flags, stream: u32, length: u32) -> Frame {
    Frame { header: Header::new(kind, flags, stream, length), payload: Vec::new() }
}

/// Moves bytes until both sides have nothing to send.
pub(crate) fn exchange(a: &mut Side, b: &mut Side) {
    loop {
        let (to_b, to_a) = (a.transmit_all(), b.transmit_all());
        if to_b.is_empty() && to_a.is_empty() {
            return;
        }
        b.receive(&to_b).expect("frames of ours");
        a.receive(&to_a).expect("frames of ours");
    }
}

/// A dialer and a listener.
pub(crate) fn pair() -> (Side, Side) {
    (Side::new(Role::Dialer), Side::new(Role::Listener))
}

/// A stream of the dialer's that the listener has taken and acknowledged, with nothing left to
/// send or poll.
pub(crate) fn connected() -> (Side, Side, StreamId) {
    let (mut a, mut b) = pair();
    let id = a.open();
    a.write_all(id, b"x");
    exchange(&mut a, &mut b);
    assert_eq!(b.accept(), id);
    assert_eq!(b.read_all(id), (b"x".to_vec(), false));
    exchange(&mut a, &mut b);
    a.events();
    b.events();
    (a, b, id)
}
