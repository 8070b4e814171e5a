//! What ends a command that would run for ever.

use std::future::Future;
use std::io;

/// Ctrl-C, or what a service manager sends. It is listened for from this call on.
pub(crate) fn end_of_run() -> io::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        Ok(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        })
    }
    #[cfg(not(unix))]
    Ok(async {
        // Without the signal there is nothing to wait for.
        let _ = tokio::signal::ctrl_c().await;
    })
}
