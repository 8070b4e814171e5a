//! [`Echo`]: the peer sends back what it is sent, on as many streams as asked.

use std::slice;
use std::time::Duration;

use data_encoding::HEXLOWER;
use futures::future::{try_join, try_join_all};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use sanspeer_core::identity::PeerId;
use sanspeer_driver::runtime::Runtime;
use sanspeer_driver::{AppStream, Handle};

use super::Got;
use crate::peer::echo::protocol;
use crate::peer::pattern::Pattern;

/// What is read at once, in bytes.
const BUFFER_BYTES: usize = 64 * 1024;

/// What to echo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// Bytes that each stream sends, and gets back.
    pub bytes: u64,
    /// Streams in all, at least one.
    pub streams: u32,
    /// Streams at once, at least one. More than there are in all are as many as there are.
    pub concurrency: u32,
}

impl Echo {
    /// One stream.
    pub fn one(bytes: u64) -> Self {
        Echo { bytes, streams: 1, concurrency: 1 }
    }

    /// Opens the streams and compares what comes back.
    ///
    /// So many as may be at once are opened first, and go on only when each has its first byte
    /// back; from then on another one is opened whenever one is over. A stream writes and reads at
    /// once, so that the peer can answer as it reads.
    pub async fn check<R: Runtime>(
        self,
        runtime: &R,
        node: &Handle,
        peer: PeerId,
    ) -> Result<Got, String> {
        let began = runtime.now();
        let at_once = self.concurrency.min(self.streams);
        let begin = |number| Begun::open(node, peer, number, self.bytes);
        let first = try_join_all((0..at_once).map(begin)).await?;
        let first = stream::iter(first).map(Ok);
        let rest = stream::iter(at_once..self.streams).map(Err);
        let room = usize::try_from(at_once).expect("32 bits fit");
        let results = first.chain(rest).map(|next| async {
            let begun = match next {
                Ok(begun) => begun,
                Err(number) => begin(number).await?,
            };
            begun.finish().await
        });
        let mut sha256 = None;
        let mut results = results.buffer_unordered(room);
        while let Some((number, sum)) = results.try_next().await? {
            if number == 0 {
                sha256 = Some(sum);
            }
        }
        let time = runtime.now().saturating_since(began);
        Ok(self.got(at_once, sha256.unwrap_or_default(), time))
    }

    fn got(self, at_once: u32, sha256: [u8; 32], time: Duration) -> Got {
        Got::Echo {
            streams: self.streams,
            at_once,
            bytes: self.bytes.saturating_mul(u64::from(self.streams)),
            sha256: HEXLOWER.encode(&sha256),
            seconds: time.as_secs_f64(),
        }
    }
}

/// A stream whose first byte came back.
struct Begun {
    number: u32,
    bytes: u64,
    stream: AppStream,
    sent: Pattern,
    received: Pattern,
}

impl Begun {
    async fn open(node: &Handle, peer: PeerId, number: u32, bytes: u64) -> Result<Self, String> {
        let fail = failed(number);
        let stream = node.open_stream(peer, slice::from_ref(&protocol())).await;
        let stream = stream.map_err(|error| fail(&error))?;
        let pattern = || Pattern::new(u64::from(number));
        let mut begun = Begun { number, bytes, stream, sent: pattern(), received: pattern() };
        if bytes > 0 {
            begun.stream.write_all(begun.sent.take(1)).await.map_err(|error| fail(&error))?;
            let mut back = [0; 1];
            begun.stream.read_exact(&mut back).await.map_err(|error| fail(&error))?;
            begun.received.check(&back).map_err(|error| fail(&error))?;
        }
        Ok(begun)
    }

    /// Sends and reads the rest; the stream's number, and the SHA-256 of what came back.
    async fn finish(self) -> Result<(u32, [u8; 32]), String> {
        let Begun { number, bytes, stream, mut sent, mut received } = self;
        let fail = failed(number);
        let (mut reader, mut writer) = stream.split();
        let write = async {
            while sent.position() < bytes {
                let left = bytes - sent.position();
                writer.write_all(sent.take(left)).await.map_err(|error| fail(&error))?;
            }
            writer.close().await.map_err(|error| fail(&error))
        };
        let read = async {
            let mut buffer = vec![0; BUFFER_BYTES];
            loop {
                match reader.read(&mut buffer).await.map_err(|error| fail(&error))? {
                    0 => return Ok(()),
                    n => received.check(&buffer[..n]).map_err(|error| fail(&error))?,
                }
            }
        };
        try_join(write, read).await?;
        let came = received.position();
        if came != bytes {
            return Err(format!("stream {number}: {came} bytes of {bytes} came back"));
        }
        let (sent, received) = (sent.sha256(), received.sha256());
        if sent != received {
            return Err(format!("stream {number}: the checksum of what came back is another"));
        }
        Ok((number, received))
    }
}

fn failed(number: u32) -> impl Fn(&dyn core::fmt::Display) -> String + Copy {
    move |error| format!("stream {number}: {error}")
}
