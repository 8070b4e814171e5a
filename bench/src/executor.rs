//! What the harness asks of a runtime, so that each stack runs on its own.

use std::future::Future;
#[cfg(feature = "ours")]
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Result;

/// A runtime with as many worker threads as asked.
pub trait Executor: Send + Sync + 'static {
    /// Makes the runtime, runs `future`, and leaves other tasks behind.
    fn block_on<F: Future>(threads: usize, future: F) -> Result<F::Output>;

    /// Runs a task. Its panic is an error.
    fn spawn<F>(future: F) -> impl Future<Output = Result<F::Output>> + Send
    where
        F: Future<Output: Send> + Send + 'static;

    fn sleep(time: Duration) -> impl Future<Output = ()> + Send;

    /// `None` if `future` takes longer than `time`.
    fn timeout<F: Future<Output: Send> + Send>(
        time: Duration,
        future: F,
    ) -> impl Future<Output = Option<F::Output>> + Send;
}

pub struct Tokio;

impl Executor for Tokio {
    fn block_on<F: Future>(threads: usize, future: F) -> Result<F::Output> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_all()
            .build()?;
        let output = runtime.block_on(future);
        runtime.shutdown_background();
        Ok(output)
    }

    fn spawn<F>(future: F) -> impl Future<Output = Result<F::Output>> + Send
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let task = tokio::spawn(future);
        async { Ok(task.await?) }
    }

    fn sleep(time: Duration) -> impl Future<Output = ()> + Send {
        tokio::time::sleep(time)
    }

    async fn timeout<F: Future<Output: Send> + Send>(
        time: Duration,
        future: F,
    ) -> Option<F::Output> {
        tokio::time::timeout(time, future).await.ok()
    }
}

/// An executor of smol's, one in the process.
#[cfg(feature = "ours")]
pub struct Smol;

#[cfg(feature = "ours")]
impl Smol {
    pub fn executor() -> &'static Arc<smol::Executor<'static>> {
        static EXECUTOR: OnceLock<Arc<smol::Executor<'static>>> = OnceLock::new();
        EXECUTOR.get_or_init(Arc::default)
    }
}

#[cfg(feature = "ours")]
impl Executor for Smol {
    fn block_on<F: Future>(threads: usize, future: F) -> Result<F::Output> {
        for _ in 0..threads {
            std::thread::spawn(|| {
                smol::block_on(Smol::executor().run(std::future::pending::<()>()))
            });
        }
        Ok(smol::block_on(future))
    }

    fn spawn<F>(future: F) -> impl Future<Output = Result<F::Output>> + Send
    where
        F: Future<Output: Send> + Send + 'static,
    {
        // A task that nobody waits for goes on, as with tokio.
        let (done, result) = tokio::sync::oneshot::channel();
        Smol::executor()
            .spawn(async {
                let _ = done.send(future.await);
            })
            .detach();
        async { Ok(result.await?) }
    }

    async fn sleep(time: Duration) {
        smol::Timer::after(time).await;
    }

    async fn timeout<F: Future<Output: Send> + Send>(
        time: Duration,
        future: F,
    ) -> Option<F::Output> {
        smol::future::or(async { Some(future.await) }, async {
            smol::Timer::after(time).await;
            None
        })
        .await
    }
}
