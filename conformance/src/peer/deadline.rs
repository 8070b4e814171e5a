//! Waiting, but not for ever.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use sanspeer_driver::runtime::{Runtime, Timer};

/// Runs `work`; `None` if it is not over within `patience`, and it is dropped then.
pub async fn within<R: Runtime, T>(
    runtime: &R,
    patience: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut timer = runtime.sleep_until(runtime.now().saturating_add(patience));
    let mut work = pin!(work);
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => timer.poll_due(cx).map(|()| None),
    })
    .await
}

/// Waits for `time`.
pub async fn pause<R: Runtime>(runtime: &R, time: Duration) {
    let mut timer = runtime.sleep_until(runtime.now().saturating_add(time));
    poll_fn(|cx| timer.poll_due(cx)).await;
}
