//! The acceptor's side of every protocol (conformance/interop/PROTOCOLS.md).

use std::io;
use std::sync::Arc;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::{Stream, StreamProtocol};

use super::protocols::{self, Received, SharedCounters, pattern};

/// Size of one read, and at most that of one write.
pub(super) const BUFFER_BYTES: usize = 64 * 1024;

/// Serves one accepted stream to its end. Dropping the stream before its half-close resets it.
pub(super) async fn serve(stream: Stream, protocol: StreamProtocol, counters: Arc<SharedCounters>) {
    let mut accepted = Accepted { stream, counters: Arc::clone(&counters) };
    let result = match &protocol {
        p if *p == protocols::ECHO => accepted.echo().await,
        p if *p == protocols::CHECKSUM => accepted.checksum().await,
        p if *p == protocols::DUPLEX => accepted.duplex().await,
        p if *p == protocols::RESET_ME => accepted.reset_me().await,
        p if *p == protocols::EXPECT_RESET => accepted.expect_reset().await,
        p if *p == protocols::REPORT => accepted.report().await,
        _ => Err("not a protocol that was offered".to_owned()),
    };
    drop(accepted);
    counters.ended(result.map_err(|reason| format!("{protocol}: {reason}")));
}

struct Accepted {
    stream: Stream,
    counters: Arc<SharedCounters>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    HalfClose,
    Reset,
}

/// Which end a read of nothing was, asked while our own direction is open.
///
/// rust-libp2p's yamux reads a reset as an end, but refuses to write after it, even nothing.
pub(super) async fn which_end(stream: &mut (impl AsyncWrite + Unpin)) -> End {
    match stream.write(&[]).await {
        Ok(_) => End::HalfClose,
        Err(_) => End::Reset,
    }
}

/// Sends the pattern's bytes from `at` to `end`.
pub(super) async fn send_pattern(
    to: &mut (impl AsyncWrite + Unpin),
    mut at: u64,
    end: u64,
) -> io::Result<()> {
    while at < end {
        let run = pattern(at, end);
        to.write_all(run).await?;
        at += run.len() as u64;
    }
    to.flush().await
}

/// Reads to the end, telling `seen` of each piece.
pub(super) async fn receive_all(
    from: &mut (impl AsyncRead + Unpin),
    received: &mut Received,
    mut seen: impl FnMut(usize),
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match from.read(&mut buffer).await? {
            0 => return Ok(()),
            n => {
                seen(n);
                received.update(&buffer[..n]);
            }
        }
    }
}

impl Accepted {
    async fn echo(&mut self) -> Result<(), String> {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            match self.read(&mut buffer).await? {
                0 => break,
                n => {
                    self.stream.write_all(&buffer[..n]).await.map_err(text)?;
                    self.stream.flush().await.map_err(text)?;
                }
            }
        }
        self.expect_half_close().await?;
        self.stream.close().await.map_err(text)
    }

    async fn checksum(&mut self) -> Result<(), String> {
        let (up, down) = self.read_header().await?;
        let mut received = Received::new();
        let read = receive_all(&mut self.stream, &mut received, |n| self.counters.received(n));
        if let Err(error) = read.await {
            return Err(self.read_failed(&error));
        }
        self.expect_half_close().await?;
        if received.bytes() != up {
            return Err(format!("received {} bytes of {up}", received.bytes()));
        }
        self.stream.write_all(&received.sha256()).await.map_err(text)?;
        send_pattern(&mut self.stream, 0, down).await.map_err(text)?;
        self.stream.close().await.map_err(text)
    }

    async fn duplex(&mut self) -> Result<(), String> {
        let (up, down) = self.read_header().await?;
        let mut received = Received::new();
        let counters = &self.counters;
        let (read, sent) = {
            let (mut reader, mut writer) = (&mut self.stream).split();
            futures::join!(
                receive_all(&mut reader, &mut received, |n| counters.received(n)),
                async {
                    send_pattern(&mut writer, 0, down).await?;
                    writer.close().await
                }
            )
        };
        if let Err(error) = read {
            return Err(self.read_failed(&error));
        }
        // After our own half-close nothing but the length tells an end from a reset.
        if received.bytes() < up {
            self.counters.reset_seen();
            return Err(format!("received {} bytes of {up}", received.bytes()));
        }
        self.counters.half_close_seen();
        sent.map_err(text)?;
        received.check_pattern(up)
    }

    async fn reset_me(&mut self) -> Result<(), String> {
        let mut byte = [0; 1];
        self.read_exact(&mut byte).await?;
        self.stream.write_all(&byte).await.map_err(text)?;
        self.stream.flush().await.map_err(text)?;
        // Dropping the stream, which is still open both ways, is what resets it.
        self.read_exact(&mut byte).await
    }

    async fn expect_reset(&mut self) -> Result<(), String> {
        let mut byte = [0; 1];
        self.read_exact(&mut byte).await?;
        self.stream.write_all(&byte).await.map_err(text)?;
        self.stream.flush().await.map_err(text)?;
        match self.stream.read(&mut byte).await {
            Ok(0) => match which_end(&mut self.stream).await {
                End::Reset => {
                    self.counters.reset_seen();
                    Ok(())
                }
                End::HalfClose => {
                    self.counters.half_close_seen();
                    Err("an end where a reset was due".to_owned())
                }
            },
            Ok(_) => Err("a byte where a reset was due".to_owned()),
            Err(_) => {
                self.counters.reset_seen();
                Ok(())
            }
        }
    }

    async fn report(&mut self) -> Result<(), String> {
        if self.read(&mut [0; 1]).await? != 0 {
            return Err("a request that is not empty".to_owned());
        }
        self.expect_half_close().await?;
        let mut line = serde_json::to_vec(&self.counters.snapshot()).map_err(text)?;
        line.push(b'\n');
        self.stream.write_all(&line).await.map_err(text)?;
        self.stream.close().await.map_err(text)
    }

    async fn read_header(&mut self) -> Result<(u64, u64), String> {
        let (mut up, mut down) = ([0; 8], [0; 8]);
        self.read_exact(&mut up).await?;
        self.read_exact(&mut down).await?;
        Ok((u64::from_be_bytes(up), u64::from_be_bytes(down)))
    }

    async fn read_exact(&mut self, mut buffer: &mut [u8]) -> Result<(), String> {
        while !buffer.is_empty() {
            match self.read(buffer).await? {
                0 => {
                    self.expect_half_close().await?;
                    return Err(format!("ended {} bytes early", buffer.len()));
                }
                n => buffer = &mut buffer[n..],
            }
        }
        Ok(())
    }

    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, String> {
        match self.stream.read(buffer).await {
            Ok(n) => {
                self.counters.received(n);
                Ok(n)
            }
            Err(error) => Err(self.read_failed(&error)),
        }
    }

    fn read_failed(&self, error: &io::Error) -> String {
        self.counters.reset_seen();
        format!("read: {error}")
    }

    async fn expect_half_close(&mut self) -> Result<(), String> {
        match which_end(&mut self.stream).await {
            End::HalfClose => {
                self.counters.half_close_seen();
                Ok(())
            }
            End::Reset => {
                self.counters.reset_seen();
                Err("a reset where an end was due".to_owned())
            }
        }
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
