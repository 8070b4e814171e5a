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
        Ok(run_on(runtime, future))
    }

    fn spawn<F>(future: F) -> impl Future<Output = Result<F::Output>> + Send
    where
        F: Future<Output: Send> + Send + 'static,
    {
        spawn_on_tokio(future)
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

/// The thread that asks is the only one, whatever number is asked for.
#[cfg(feature = "ours")]
pub struct TokioOnOneThread;

#[cfg(feature = "ours")]
impl Executor for TokioOnOneThread {
    fn block_on<F: Future>(_threads: usize, future: F) -> Result<F::Output> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(run_on(runtime, future))
    }

    fn spawn<F>(future: F) -> impl Future<Output = Result<F::Output>> + Send
    where
        F: Future<Output: Send> + Send + 'static,
    {
        spawn_on_tokio(future)
    }

    fn sleep(time: Duration) -> impl Future<Output = ()> + Send {
        Tokio::sleep(time)
    }

    fn timeout<F: Future<Output: Send> + Send>(
        time: Duration,
        future: F,
    ) -> impl Future<Output = Option<F::Output>> + Send {
        Tokio::timeout(time, future)
    }
}

fn run_on<F: Future>(runtime: tokio::runtime::Runtime, future: F) -> F::Output {
    let output = runtime.block_on(future);
    runtime.shutdown_background();
    output
}

fn spawn_on_tokio<F>(future: F) -> impl Future<Output = Result<F::Output>> + Send
where
    F: Future<Output: Send> + Send + 'static,
{
    let task = tokio::spawn(future);
    async { Ok(task.await?) }
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
