//! Standard output for what comes by and by.

use std::future::pending;
use std::io::{self, BufWriter, ErrorKind, Write as _};

use tokio::sync::{mpsc, oneshot};

/// Lines that may wait for whoever reads them.
const MAX_WAITING_LINES: usize = 16;

/// Prints what is sent to it, on a thread of its own: whoever reads slowly holds up nothing else.
/// It ends when its sender is dropped, and then says what came of it. A reader that went away is no
/// error.
pub(crate) fn printer() -> (mpsc::Sender<Vec<u8>>, oneshot::Receiver<io::Result<()>>) {
    let (to, mut lines) = mpsc::channel::<Vec<u8>>(MAX_WAITING_LINES);
    let (done, printed) = oneshot::channel();
    std::thread::spawn(move || {
        let mut out = BufWriter::new(io::stdout().lock());
        let mut print = || -> io::Result<()> {
            while let Some(line) = lines.blocking_recv() {
                out.write_all(&line)?;
                if lines.is_empty() {
                    out.flush()?;
                }
            }
            Ok(())
        };
        let result = match print() {
            Err(error) if is_reader_gone(&error) => Ok(()),
            result => result,
        };
        // Nobody may want to know.
        let _ = done.send(result);
    });
    (to, printed)
}

/// Whether a write failed because nobody reads any more.
pub(crate) fn is_reader_gone(error: &io::Error) -> bool {
    error.kind() == ErrorKind::BrokenPipe
}

/// Returns when whoever reads standard output has gone, although nothing is written; never where
/// that cannot be known, as with a file.
pub(crate) async fn reader_gone() {
    let (tell, gone) = oneshot::channel();
    // A thread, because nothing waits for its end.
    std::thread::spawn(move || {
        if await_no_reader() {
            // Nobody may want to know.
            let _ = tell.send(());
        }
    });
    if gone.await.is_err() {
        pending().await
    }
}

/// Returns true when there is no reader, and false if that cannot be known.
#[cfg(unix)]
fn await_no_reader() -> bool {
    use rustix::event::{PollFd, PollFlags, poll};
    let stdout = io::stdout();
    // Of errors and of the end one always hears.
    let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
    let waited = rustix::io::retry_on_intr(|| poll(&mut watched, None));
    waited.is_ok() && watched[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

#[cfg(not(unix))]
fn await_no_reader() -> bool {
    false
}
