//! `/perf/1.0.0`: how fast a connection carries bytes.
//!
//! The client sends how many bytes it wants back (u64, big-endian), then as many as it likes, and
//! finishes; the server then sends what was asked for and finishes.
//!
//! Specification: <https://github.com/libp2p/specs/blob/master/perf/perf.md>.

use super::entry::{Entry, Opener, Phase};
use super::event::{OpenError, PerfReport};
use super::machine::Connection;
use crate::mailbox::StreamEnd;
use crate::mux::{Mux, ReadError, StreamId, WriteError};
use crate::protocol::ProtocolId;
use crate::time::Timestamp;

/// The protocol's id.
pub const PERF: &str = "/perf/1.0.0";

/// Measurements that the remote may run at once.
pub const MAX_INBOUND_PERF_STREAMS: u32 = 4;

const HEADER_BYTES: usize = 8;

/// What is sent: its content does not matter.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// Whether a stream goes on.
enum Step {
    Waiting,
    Done,
    Failed,
}

/// The server's side.
pub(super) enum PerfServer {
    Header { bytes: [u8; HEADER_BYTES], filled: usize },
    Upload { download_bytes: u64 },
    Download { left: u64 },
}

/// The client's side.
pub(super) struct PerfClient {
    header: [u8; HEADER_BYTES],
    header_written: usize,
    upload_bytes: u64,
    upload_left: u64,
    finished: bool,
    download_bytes: u64,
    downloaded: u64,
    opened_at: Timestamp,
}

impl PerfServer {
    pub(super) fn new() -> Self {
        PerfServer::Header { bytes: [0; HEADER_BYTES], filled: 0 }
    }

    fn drive(&mut self, id: StreamId, entry: &mut Entry, mux: &mut dyn Mux) -> Step {
        loop {
            match self {
                PerfServer::Header { bytes, filled } => {
                    match entry.read_into(id, mux, &mut bytes[*filled..]) {
                        Ok(0) => return Step::Failed,
                        Ok(n) => *filled += n,
                        Err(ReadError::Blocked) => return Step::Waiting,
                        Err(_) => return Step::Failed,
                    }
                    if *filled == HEADER_BYTES {
                        *self = PerfServer::Upload { download_bytes: u64::from_be_bytes(*bytes) };
                    }
                }
                PerfServer::Upload { download_bytes } => match entry.read(id, mux, usize::MAX) {
                    Ok(bytes) if bytes.is_empty() => {
                        *self = PerfServer::Download { left: *download_bytes }
                    }
                    Ok(_) => {}
                    Err(ReadError::Blocked) => return Step::Waiting,
                    Err(_) => return Step::Failed,
                },
                PerfServer::Download { left } => {
                    if let Some(step) = write_zeros(id, mux, left) {
                        return step;
                    }
                    return if mux.finish(id).is_ok() { Step::Done } else { Step::Failed };
                }
            }
        }
    }
}

impl PerfClient {
    fn drive(&mut self, id: StreamId, entry: &mut Entry, mux: &mut dyn Mux) -> Step {
        while self.header_written < HEADER_BYTES {
            match mux.write(id, &self.header[self.header_written..]) {
                Ok(n) => self.header_written += n,
                Err(WriteError::Blocked) => return Step::Waiting,
                Err(_) => return Step::Failed,
            }
        }
        if !self.finished {
            match write_zeros(id, mux, &mut self.upload_left) {
                Some(Step::Waiting) | None => {}
                Some(step) => return step,
            }
            if self.upload_left == 0 {
                self.finished = true;
                if mux.finish(id).is_err() {
                    return Step::Failed;
                }
            }
        }
        loop {
            match entry.read(id, mux, usize::MAX) {
                Ok(bytes) if bytes.is_empty() => return Step::Done,
                Ok(bytes) => self.downloaded += bytes.len() as u64,
                Err(ReadError::Blocked) => return Step::Waiting,
                Err(_) => return Step::Failed,
            }
        }
    }

    pub(super) fn report(&self, stream: StreamId, now: Timestamp, ended: bool) -> PerfReport {
        PerfReport {
            stream,
            uploaded_bytes: self.upload_bytes - self.upload_left,
            downloaded_bytes: self.downloaded,
            duration: now.saturating_since(self.opened_at),
            complete: ended && self.upload_left == 0 && self.downloaded == self.download_bytes,
        }
    }
}

/// Writes zeros until `left` is 0 (`None`) or the stream stops it.
fn write_zeros(id: StreamId, mux: &mut dyn Mux, left: &mut u64) -> Option<Step> {
    while *left > 0 {
        let n = usize::try_from(*left).unwrap_or(usize::MAX).min(ZEROS.len());
        match mux.write(id, &ZEROS[..n]) {
            Ok(n) => *left -= n as u64,
            Err(WriteError::Blocked) => return Some(Step::Waiting),
            Err(_) => return Some(Step::Failed),
        }
    }
    None
}

impl Connection {
    pub(super) fn open_perf(
        &mut self,
        now: Timestamp,
        upload_bytes: u64,
        download_bytes: u64,
    ) -> Result<StreamId, OpenError> {
        let client = PerfClient {
            header: download_bytes.to_be_bytes(),
            header_written: 0,
            upload_bytes,
            upload_left: upload_bytes,
            finished: false,
            download_bytes,
            downloaded: 0,
            opened_at: now,
        };
        let id =
            self.open_for(vec![ProtocolId::well_known(PERF)], Opener::Perf(Box::new(client)))?;
        self.flush_proposal(id);
        Ok(id)
    }

    pub(super) fn drive_perf_server(&mut self, id: StreamId) {
        let Some(entry) = self.streams.get_mut(&id) else { return };
        let Phase::PerfServer(mut server) = core::mem::replace(&mut entry.phase, Phase::Refused)
        else {
            return;
        };
        let step = server.drive(id, entry, self.transport.mux());
        entry.phase = Phase::PerfServer(server);
        match step {
            Step::Waiting => {}
            Step::Done => {
                self.forget_stream(id);
            }
            Step::Failed => self.reset_stream(id, StreamEnd::ResetByUs),
        }
    }

    pub(super) fn drive_perf_client(&mut self, id: StreamId) {
        let now = self.clock.now();
        let Some(entry) = self.streams.get_mut(&id) else { return };
        let Phase::PerfClient(mut client) = core::mem::replace(&mut entry.phase, Phase::Refused)
        else {
            return;
        };
        let step = client.drive(id, entry, self.transport.mux());
        let ended = matches!(step, Step::Done);
        let report = client.report(id, now, ended);
        entry.phase = Phase::PerfClient(client);
        match step {
            Step::Waiting => {}
            Step::Done => {
                self.transport.mux().reset(id, 0);
                self.forget_stream(id);
                self.report_perf(report);
            }
            Step::Failed => self.reset_stream(id, StreamEnd::ResetByUs),
        }
    }
}
