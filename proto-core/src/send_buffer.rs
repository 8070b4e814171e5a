//! Bytes for the transport: frames are appended where they will be encrypted and sent from.

use crate::byte_mux::{RecordError, Sealer, StreamLayer};
use crate::noise;
use crate::tls;

/// Bytes that may be queued for the transport before streams must wait: three full records of
/// Noise, twelve of TLS.
pub const MAX_QUEUED_DATA_BYTES: usize = 192 * 1024;

/// Bytes that may be queued with the frames that keep a session going: window updates,
/// acknowledgements, resets, pings.
pub const MAX_QUEUED_BYTES: usize = 256 * 1024;

/// Buffers of this size, in bytes, are not kept while nothing is queued.
const MAX_RESTING_BYTES: usize = 8 * 1024;

/// The last data frame of the open record, which more data of the same stream may extend.
#[derive(Clone, Copy, Debug)]
struct LastFrame {
    stream: u32,
    length_at: usize,
    payload_bytes: u32,
}

/// The send side of one connection's byte stream.
///
/// `open` is written to, `ready` is sent from; when `ready` is through, the record that is open is
/// sealed in place and the two swap. Until it is given a sealer, bytes go out as they are.
#[derive(Debug, Default)]
pub struct SendBuffer {
    ready: Vec<u8>,
    sent: usize,
    open: Vec<u8>,
    /// Where the open record begins in `open`.
    record: Option<usize>,
    sealer: Option<Sealer>,
    last_frame: Option<LastFrame>,
    /// The last words were said: nothing may be appended any more.
    closed: bool,
    /// Nothing can be sealed any more; what is appended from then on is dropped.
    failed: Option<RecordError>,
}

impl SendBuffer {
    /// A buffer whose first bytes are these, outside of any layer.
    pub fn with_preamble(preamble: Vec<u8>) -> Self {
        SendBuffer { ready: preamble, ..SendBuffer::default() }
    }

    /// Bytes that wait for the transport.
    pub fn queued(&self) -> usize {
        self.ready.len() - self.sent + self.open.len()
    }

    /// How many bytes of stream data there is room for.
    pub fn data_room(&self) -> usize {
        MAX_QUEUED_DATA_BYTES.saturating_sub(self.queued())
    }

    /// How many bytes of control frames there is room for.
    pub fn control_room(&self) -> usize {
        MAX_QUEUED_BYTES.saturating_sub(self.queued())
    }

    /// Capacity in bytes that is held.
    pub fn held_bytes(&self) -> usize {
        self.ready.capacity() + self.open.capacity()
    }

    /// Appends bytes that a negotiation writes itself.
    pub fn append_with<T>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        if self.sealer.is_none() {
            self.last_frame = None;
            return write(&mut self.open);
        }
        let mut bytes = Vec::new();
        let result = write(&mut bytes);
        self.append(&bytes);
        result
    }

    /// From here on bytes are sealed into records.
    pub(crate) fn start_sealing(&mut self, sealer: Sealer) {
        self.sealer = Some(sealer);
        self.last_frame = None;
    }

    /// Appends bytes, over as many records as they need.
    pub fn append(&mut self, mut bytes: &[u8]) {
        self.last_frame = None;
        while !bytes.is_empty() {
            if self.record_room() == 0 {
                self.seal_record();
            }
            self.begin_record();
            let (now, later) = bytes.split_at(bytes.len().min(self.record_room()));
            self.open.extend_from_slice(now);
            bytes = later;
        }
    }

    /// Appends a frame's header and as much of `payload` as fits behind it in one record, or
    /// extends the last frame, if it was this stream's. The header's last four bytes are its
    /// length, big-endian, and are written here. Returns how much of the payload that was.
    pub fn append_data_frame<const HEADER: usize>(
        &mut self,
        stream: u32,
        extend: bool,
        header: [u8; HEADER],
        payload: &[u8],
    ) -> usize {
        if extend
            && let Some(last) = self.last_frame
            && last.stream == stream
        {
            let n = payload.len().min(self.record_room());
            if n > 0 {
                let total = last.payload_bytes + u32::try_from(n).unwrap_or(u32::MAX);
                self.open.extend_from_slice(&payload[..n]);
                self.open[last.length_at..last.length_at + 4].copy_from_slice(&total.to_be_bytes());
                self.last_frame = Some(LastFrame { payload_bytes: total, ..last });
                return n;
            }
        }
        // A frame stays within one record, so that the remote finds its payload in one piece; a
        // sliver at the end of a record is not worth a header.
        if self.record_room() < HEADER + payload.len().min(1024) {
            self.seal_record();
        }
        self.begin_record();
        let n = payload.len().min(self.record_room() - HEADER);
        let length = u32::try_from(n).unwrap_or(u32::MAX);
        let length_at = self.open.len() + HEADER - 4;
        self.open.extend_from_slice(&header[..HEADER - 4]);
        self.open.extend_from_slice(&length.to_be_bytes());
        self.open.extend_from_slice(&payload[..n]);
        self.last_frame = Some(LastFrame { stream, length_at, payload_bytes: length });
        n
    }

    /// Ends what is sent as the security protocol does: because of `error`, or in the normal way.
    /// Nothing may be appended afterwards.
    pub(crate) fn close(&mut self, error: Option<tls::RecordError>) {
        if core::mem::replace(&mut self.closed, true) {
            return;
        }
        self.seal_record();
        if let Some(sealer) = &mut self.sealer
            && let Err(error) = sealer.close(error, &mut self.open)
        {
            self.failed = Some(error);
        }
    }

    /// Whether [`SendBuffer::close`] was called.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// What is to be sent, sealed and passed through `layer`. The same bytes again until
    /// [`SendBuffer::transmitted`] counts them. Empty when there is nothing.
    pub fn transmit(
        &mut self,
        layer: Option<&mut Box<dyn StreamLayer>>,
    ) -> Result<&[u8], RecordError> {
        if self.sent == self.ready.len() && !self.open.is_empty() {
            self.seal_record();
            if let Some(error) = self.failed {
                return Err(error);
            }
            self.ready.clear();
            self.sent = 0;
            core::mem::swap(&mut self.ready, &mut self.open);
            if let Some(layer) = layer {
                layer.encrypt(&mut self.ready);
            }
        }
        Ok(&self.ready[self.sent..])
    }

    /// Counts bytes that the transport took; more than there were count as all.
    pub fn transmitted(&mut self, n: usize) {
        self.sent = self.sent.saturating_add(n).min(self.ready.len());
    }

    /// Whether everything was sent.
    pub fn is_empty(&self) -> bool {
        self.queued() == 0
    }

    /// Gives small buffers back when nothing is queued.
    pub fn rest(&mut self) {
        if self.is_empty() && self.held_bytes() <= MAX_RESTING_BYTES {
            self.ready = Vec::new();
            self.sent = 0;
            self.open = Vec::new();
        }
    }

    /// Gives memory back where nothing is queued.
    pub fn release(&mut self) {
        if self.sent == self.ready.len() {
            self.ready = Vec::new();
            self.sent = 0;
        }
        if self.open.is_empty() {
            self.open = Vec::new();
        }
        if let Some(sealer) = &mut self.sealer {
            sealer.release();
        }
    }

    fn record_room(&self) -> usize {
        let (header_bytes, max_bytes) = match &self.sealer {
            None => (0, noise::MAX_PLAINTEXT_BYTES),
            Some(sealer) => (sealer.header_bytes(), sealer.max_plaintext_bytes()),
        };
        match self.record {
            None => max_bytes,
            Some(start) => max_bytes.saturating_sub(self.open.len() - start - header_bytes),
        }
    }

    fn begin_record(&mut self) {
        if let (Some(sealer), None) = (&mut self.sealer, self.record) {
            self.record = Some(sealer.begin_record(&mut self.open));
        }
    }

    fn seal_record(&mut self) {
        self.last_frame = None;
        if let (Some(start), Some(sealer)) = (self.record.take(), &mut self.sealer)
            && let Err(error) = sealer.end_record(&mut self.open, start)
        {
            self.failed = Some(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::{MAX_PLAINTEXT_BYTES, Opener};

    const HEADER: [u8; 12] = [0; 12];

    fn sealed() -> (SendBuffer, Opener) {
        let mut buffer = SendBuffer::default();
        buffer.start_sealing(Sealer::Noise(noise::Sealer::new([7; 32])));
        (buffer, Opener::new([7; 32]))
    }

    fn open_all(buffer: &mut SendBuffer, opener: &mut Opener) -> Vec<Vec<u8>> {
        let mut wire = buffer.transmit(None).unwrap().to_vec();
        buffer.transmitted(wire.len());
        let mut records = Vec::new();
        let mut rest = &mut wire[..];
        while !rest.is_empty() {
            let length = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
            let (record, later) = rest[2..].split_at_mut(length);
            let n = opener.open(record).unwrap();
            records.push(record[..n].to_vec());
            rest = later;
        }
        records
    }

    #[test]
    fn consecutive_writes_of_one_stream_share_a_frame() {
        let (mut buffer, mut opener) = sealed();
        for _ in 0..3 {
            assert_eq!(buffer.append_data_frame(1, true, HEADER, &[5; 1000]), 1000);
        }
        buffer.append_data_frame(3, true, HEADER, &[6; 10]);
        let records = open_all(&mut buffer, &mut opener);
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].len(), 12 + 3000 + 12 + 10);
        assert_eq!(records[0][8..12], 3000u32.to_be_bytes());
    }

    #[test]
    fn records_are_filled_and_frames_stay_within_them() {
        let (mut buffer, mut opener) = sealed();
        let mut written = 0;
        while written < 150_000 {
            written += buffer.append_data_frame(1, true, HEADER, &vec![5; 150_000 - written]);
        }
        let records = open_all(&mut buffer, &mut opener);
        assert_eq!(records.len(), 3);
        assert_eq!(records[0].len(), MAX_PLAINTEXT_BYTES);
        assert_eq!(records[1].len(), MAX_PLAINTEXT_BYTES);
        for record in records {
            let length = u32::from_be_bytes(record[8..12].try_into().unwrap());
            assert_eq!(length as usize, record.len() - 12);
        }
    }

    #[test]
    fn the_same_bytes_are_offered_until_they_are_counted() {
        let (mut buffer, _) = sealed();
        buffer.append(&[1; 100]);
        let first = buffer.transmit(None).unwrap().to_vec();
        buffer.append(&[2; 100]);
        assert_eq!(buffer.transmit(None).unwrap(), &first[..]);
        buffer.transmitted(10);
        assert_eq!(buffer.transmit(None).unwrap(), &first[10..]);
        buffer.transmitted(usize::MAX);
        assert_eq!(buffer.transmit(None).unwrap().len(), 2 + 100 + 16);
    }

    #[test]
    fn small_buffers_go_at_once_and_large_ones_when_idle() {
        let (mut buffer, _) = sealed();
        buffer.append(&[1; 100]);
        buffer.rest();
        let n = buffer.transmit(None).unwrap().len();
        assert_eq!(n, 2 + 100 + 16, "what is queued stays");
        buffer.transmitted(n);
        buffer.rest();
        assert_eq!(buffer.held_bytes(), 0);
        buffer.append(&[1; 10_000]);
        let n = buffer.transmit(None).unwrap().len();
        buffer.transmitted(n);
        buffer.rest();
        assert!(buffer.held_bytes() > 0);
    }

    #[test]
    fn an_idle_buffer_holds_nothing() {
        let (mut buffer, _) = sealed();
        buffer.append(&[1; 100]);
        let n = buffer.transmit(None).unwrap().len();
        buffer.transmitted(n);
        buffer.release();
        assert_eq!(buffer.held_bytes(), 0);
    }
}
