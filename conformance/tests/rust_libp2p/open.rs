//! The opener's side of every protocol (conformance/interop/PROTOCOLS.md).

use std::fmt::Display;
use std::sync::Arc;

use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::{PeerId, Stream, StreamProtocol};
use tokio::sync::{Barrier, mpsc, oneshot};
use tokio::task::JoinSet;

use super::Command;
use super::behaviour::OpenRequest;
use super::protocols::{self, Counters, Received, pattern, pattern_sha256};
use super::serve::{End, receive_all, send_pattern, which_end};

/// A report is one short line; more is not a report.
const REPORT_MAX_BYTES: u64 = 64 * 1024;

/// What a peer can be asked to do as the opener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// `count` streams, all open at once, each sending `bytes` and reading them back.
    Echo { count: usize, bytes: u64 },
    /// Upload, half-close, then SHA-256 and download.
    Checksum { up: u64, down: u64 },
    /// Upload and download at once on one stream.
    Duplex { up: u64, down: u64 },
    /// The acceptor resets; ends well when that was seen and the connection lived on.
    ResetMe,
    /// The opener resets; ends well when the acceptor's report counts it.
    ExpectReset,
    /// Asks for the acceptor's counters.
    Report,
}

/// What a task that ended well has moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TaskReport {
    /// Streams of the task's own protocol.
    pub(crate) streams: usize,
    /// Payload sent, without headers.
    pub(crate) bytes_sent: u64,
    /// Payload received, without checksums.
    pub(crate) bytes_received: u64,
    /// The acceptor's counters, after the tasks that ask for them.
    pub(crate) remote: Option<Counters>,
}

/// Opens streams to one connected peer.
#[derive(Clone)]
pub(super) struct Opener {
    pub(super) commands: mpsc::UnboundedSender<Command>,
    pub(super) peer: PeerId,
}

impl Opener {
    pub(super) async fn run(self, task: Task) -> Result<TaskReport, String> {
        match task {
            Task::Echo { count, bytes } => self.echo(count, bytes).await,
            Task::Checksum { up, down } => self.checksum(up, down).await,
            Task::Duplex { up, down } => self.duplex(up, down).await,
            Task::ResetMe => self.reset_me().await,
            Task::ExpectReset => self.expect_reset().await,
            Task::Report => {
                let remote = Some(self.report().await?);
                Ok(TaskReport { streams: 1, remote, ..TaskReport::default() })
            }
        }
        .map_err(|reason| format!("{task:?}: {reason}"))
    }

    async fn open(&self, protocol: StreamProtocol) -> Result<Stream, String> {
        let (reply, opened) = oneshot::channel();
        let request = OpenRequest { protocol, reply };
        self.commands
            .send(Command::Open { peer: self.peer, request })
            .map_err(|_| "the peer has shut down".to_owned())?;
        opened.await.map_err(|_| format!("no connection to {}", self.peer))?
    }

    async fn echo(self, count: usize, bytes: u64) -> Result<TaskReport, String> {
        let all_open = Arc::new(Barrier::new(count));
        let mut streams = JoinSet::new();
        for index in 0..count {
            let (opener, all_open) = (self.clone(), Arc::clone(&all_open));
            streams.spawn(async move {
                let result = opener.echo_one(bytes, &all_open).await;
                result.map_err(|reason| format!("stream {index}: {reason}"))
            });
        }
        // The first failure drops the set, so that nobody waits at the barrier for it.
        while let Some(ended) = streams.join_next().await {
            ended.map_err(text)??;
        }
        let total = bytes.saturating_mul(count as u64);
        Ok(TaskReport { streams: count, bytes_sent: total, bytes_received: total, remote: None })
    }

    async fn echo_one(&self, bytes: u64, all_open: &Barrier) -> Result<(), String> {
        let mut stream = self.open(protocols::ECHO).await?;
        let mut received = Received::new();
        if bytes > 0 {
            let mut back = [0; 1];
            stream.write_all(pattern(0, 1)).await.map_err(text)?;
            stream.flush().await.map_err(text)?;
            stream.read_exact(&mut back).await.map_err(text)?;
            received.update(&back);
        }
        all_open.wait().await;
        let (mut reader, mut writer) = stream.split();
        futures::try_join!(receive_all(&mut reader, &mut received, |_| ()), async {
            send_pattern(&mut writer, 1, bytes).await?;
            writer.close().await
        })
        .map_err(text)?;
        received.check_pattern(bytes)
    }

    async fn checksum(self, up: u64, down: u64) -> Result<TaskReport, String> {
        let mut stream = self.open(protocols::CHECKSUM).await?;
        stream.write_all(&header(up, down)).await.map_err(text)?;
        send_pattern(&mut stream, 0, up).await.map_err(text)?;
        stream.close().await.map_err(text)?;
        let mut answered = [0; 32];
        stream.read_exact(&mut answered).await.map_err(|e| format!("checksum: {e}"))?;
        if answered != pattern_sha256(up) {
            return Err(format!("the acceptor hashed other than the {up} bytes sent"));
        }
        let mut received = Received::new();
        receive_all(&mut stream, &mut received, |_| ()).await.map_err(text)?;
        received.check_pattern(down)?;
        Ok(TaskReport { streams: 1, bytes_sent: up, bytes_received: down, remote: None })
    }

    async fn duplex(self, up: u64, down: u64) -> Result<TaskReport, String> {
        let mut stream = self.open(protocols::DUPLEX).await?;
        stream.write_all(&header(up, down)).await.map_err(text)?;
        let mut received = Received::new();
        let (mut reader, mut writer) = stream.split();
        futures::try_join!(receive_all(&mut reader, &mut received, |_| ()), async {
            send_pattern(&mut writer, 0, up).await?;
            writer.close().await
        })
        .map_err(text)?;
        received.check_pattern(down)?;
        // The acceptor's end says nothing of the upload, which a test that drops this peer next would
        // cut off. The answer to a report, which was sent behind the upload, says that all arrived.
        let remote = Some(self.report().await?);
        Ok(TaskReport { streams: 1, bytes_sent: up, bytes_received: down, remote })
    }

    async fn reset_me(self) -> Result<TaskReport, String> {
        let mut stream = self.open(protocols::RESET_ME).await?;
        let mut byte = [1];
        stream.write_all(&byte).await.map_err(text)?;
        stream.flush().await.map_err(text)?;
        stream.read_exact(&mut byte).await.map_err(text)?;
        stream.write_all(&byte).await.map_err(text)?;
        stream.flush().await.map_err(text)?;
        match stream.read(&mut byte).await {
            Ok(0) => match which_end(&mut stream).await {
                End::Reset => {}
                End::HalfClose => return Err("an end where a reset was due".to_owned()),
            },
            Ok(_) => return Err("a byte where a reset was due".to_owned()),
            Err(_) => {}
        }
        // A lost connection looks the same from here; a report shows that it lives.
        let remote = Some(self.report().await?);
        Ok(TaskReport { streams: 1, bytes_sent: 2, bytes_received: 1, remote })
    }

    async fn expect_reset(self) -> Result<TaskReport, String> {
        let before = self.report().await?;
        let mut stream = self.open(protocols::EXPECT_RESET).await?;
        let mut byte = [1; 1];
        stream.write_all(&byte).await.map_err(text)?;
        stream.flush().await.map_err(text)?;
        stream.read_exact(&mut byte).await.map_err(|e| format!("echo: {e}"))?;
        // Dropping the stream, which is still open both ways, is what resets it.
        drop(stream);
        loop {
            let after = self.report().await?;
            if after.resets_seen > before.resets_seen {
                let remote = Some(after);
                return Ok(TaskReport { streams: 1, bytes_sent: 1, bytes_received: 1, remote });
            }
        }
    }

    async fn report(&self) -> Result<Counters, String> {
        let mut stream = self.open(protocols::REPORT).await?;
        stream.close().await.map_err(text)?;
        let mut line = Vec::new();
        stream.take(REPORT_MAX_BYTES).read_to_end(&mut line).await.map_err(text)?;
        serde_json::from_slice(&line)
            .map_err(|e| format!("report {:?}: {e}", String::from_utf8_lossy(&line)))
    }
}

fn header(up: u64, down: u64) -> [u8; 16] {
    let mut header = [0; 16];
    header[..8].copy_from_slice(&up.to_be_bytes());
    header[8..].copy_from_slice(&down.to_be_bytes());
    header
}

fn text(error: impl Display) -> String {
    error.to_string()
}
