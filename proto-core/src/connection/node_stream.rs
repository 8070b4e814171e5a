//! One stream of Node's: frames in, frames out, and credit.

use std::collections::VecDeque;

use crate::frame::{FrameReader, encode_frame_prefix};
use crate::mailbox::{Frame, RequestId};
use crate::mux::{Mux, StreamId, WriteError};
use crate::varint::MAX_VARINT_BYTES;

/// What Node may have sent on a stream without having been told that it went out, in bytes of
/// frames. A frame may be sent while less than this is under way, however large it is itself.
pub const SEND_CREDIT_BYTES: usize = 64 * 1024;

/// Credit comes back when so many bytes went out, or the stream ends: for the frames of a quarter of
/// it together, since each message wakes Node. Whoever has less than that under way need not wait.
pub(super) const CREDIT_STEP_BYTES: u64 = SEND_CREDIT_BYTES as u64 / 4;

/// How Node has to be told of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Announcement {
    Inbound,
    Opened(RequestId),
}

/// One stream of Node's.
pub(super) struct NodeStream {
    pub(super) reader: FrameReader,
    pub(super) max_frame_bytes: u32,
    /// Node was not told of the stream yet.
    pub(super) announcement: Option<Announcement>,
    /// Bounded by the credit, plus one frame.
    sending: VecDeque<Frame>,
    sending_bytes: usize,
    /// How much of the first frame, with its prefix, was written.
    written: usize,
    /// Bytes that went out and that Node was not told of.
    pub(super) sent_bytes: u64,
    /// Node finished; our direction ends behind `sending`.
    pub(super) finish: bool,
    /// Node was told that the remote finished.
    pub(super) end_told: bool,
    /// The stream is in the queue of those that have something for Node.
    pub(super) ready: bool,
}

impl NodeStream {
    pub(super) fn inbound(max_frame_bytes: u32) -> Self {
        NodeStream::new(Announcement::Inbound, max_frame_bytes)
    }

    pub(super) fn outbound(request: RequestId, max_frame_bytes: u32) -> Self {
        NodeStream::new(Announcement::Opened(request), max_frame_bytes)
    }

    fn new(announcement: Announcement, max_frame_bytes: u32) -> Self {
        NodeStream {
            reader: FrameReader::new(max_frame_bytes as usize),
            max_frame_bytes,
            announcement: Some(announcement),
            sending: VecDeque::new(),
            sending_bytes: 0,
            written: 0,
            sent_bytes: 0,
            finish: false,
            end_told: false,
            ready: false,
        }
    }

    /// Takes a frame of Node's; false when that goes beyond the credit.
    pub(super) fn push(&mut self, frame: Frame) -> bool {
        let unreported = usize::try_from(self.sent_bytes).unwrap_or(usize::MAX);
        if self.sending_bytes.saturating_add(unreported) >= SEND_CREDIT_BYTES {
            return false;
        }
        self.sending_bytes = self.sending_bytes.saturating_add(frame.len());
        self.sending.push_back(frame);
        true
    }

    /// Whether frames wait to be written.
    pub(super) fn has_frames(&self) -> bool {
        !self.sending.is_empty()
    }

    /// Writes frames until none is left or there is no room. Returns how many went out whole.
    pub(super) fn write_frames(
        &mut self,
        id: StreamId,
        mux: &mut dyn Mux,
    ) -> Result<u64, WriteError> {
        let mut frames = 0;
        while let Some(frame) = self.sending.front() {
            let mut buffer = [0; MAX_VARINT_BYTES];
            let prefix = encode_frame_prefix(frame.len(), &mut buffer);
            let mut begin = 0;
            for part in [prefix, &frame.head, &frame.body] {
                while self.written < begin + part.len() {
                    match mux.write(id, &part[self.written - begin..]) {
                        Ok(n) => self.written += n,
                        Err(WriteError::Blocked) => return Ok(frames),
                        Err(error) => return Err(error),
                    }
                }
                begin += part.len();
            }
            self.sending_bytes -= frame.len();
            self.sent_bytes += frame.len() as u64;
            self.written = 0;
            self.sending.pop_front();
            frames += 1;
        }
        // A stream at rest holds no queue.
        self.sending = VecDeque::new();
        Ok(frames)
    }
}
