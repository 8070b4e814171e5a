//! The answering side of `/interop/echo/1.0.0`.

use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use sanspeer_core::protocol::ProtocolId;
use sanspeer_driver::runtime::Runtime;
use sanspeer_driver::{Acceptor, AppStream};

use super::report::EventLine;

/// The protocol: whoever accepts a stream answers with what it reads, as it reads it, and finishes
/// when the remote has.
pub const ECHO: &str = "/interop/echo/1.0.0";

/// What is read at once, in bytes.
const BUFFER_BYTES: usize = 64 * 1024;

/// The id of [`ECHO`].
pub fn protocol() -> ProtocolId {
    ProtocolId::new(ECHO).expect("a valid protocol id")
}

/// Answers every stream in a task of its own until the node is gone, and tells `ended` of each.
pub async fn serve<R: Runtime>(
    runtime: R,
    mut acceptor: Acceptor,
    ended: impl Fn(EventLine) + Clone + Send + Sync + 'static,
) {
    while let Some(stream) = acceptor.accept().await {
        let ended = ended.clone();
        runtime.spawn(async move { ended(answer(stream).await) });
    }
}

async fn answer(mut stream: AppStream) -> EventLine {
    let peer = stream.peer().to_string();
    let mut bytes = 0;
    let error = echo(&mut stream, &mut bytes).await.err().map(|error| error.to_string());
    EventLine::Echo { peer, bytes, ok: error.is_none(), error }
}

async fn echo(stream: &mut AppStream, bytes: &mut u64) -> futures::io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return stream.close().await,
            n => {
                stream.write_all(&buffer[..n]).await?;
                *bytes += n as u64;
            }
        }
    }
}
