//! Runs two futures on this thread by polling them in turn.
//!
//! Wakers do nothing: there is always either something to do at one of the two
//! ends or a bug. This spares the async contenders the cost of wake-ups.

use std::cell::Cell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use anyhow::{Result, bail};

/// Turns without a byte moving after which both ends wait for each other.
const STALLED_TURNS: u32 = 100_000;

thread_local! {
    static MOVED_BYTES: Cell<u64> = const { Cell::new(0) };
}

/// Called by whatever moves bytes between the two ends.
pub fn note_progress(bytes: usize) {
    MOVED_BYTES.set(MOVED_BYTES.get().wrapping_add(bytes as u64));
}

/// Polls both until both are done.
pub fn run_both<A, B>(
    a: impl Future<Output = Result<A>>,
    b: impl Future<Output = Result<B>>,
) -> Result<(A, B)> {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut a_done, mut b_done) = (None, None);
    let (mut moved_bytes, mut idle_turns) = (MOVED_BYTES.get(), 0);
    loop {
        poll_into(&mut a_done, a.as_mut())?;
        poll_into(&mut b_done, b.as_mut())?;
        if a_done.is_some() && b_done.is_some() {
            break;
        }
        idle_turns = if MOVED_BYTES.get() == moved_bytes { idle_turns + 1 } else { 0 };
        moved_bytes = MOVED_BYTES.get();
        if idle_turns == STALLED_TURNS {
            bail!("both ends wait for each other");
        }
    }
    match (a_done, b_done) {
        (Some(a), Some(b)) => Ok((a, b)),
        (None, _) | (_, None) => bail!("left the loop before both were done"),
    }
}

fn poll_into<T>(
    done: &mut Option<T>,
    future: Pin<&mut impl Future<Output = Result<T>>>,
) -> Result<()> {
    if done.is_none()
        && let Poll::Ready(result) = future.poll(&mut Context::from_waker(Waker::noop()))
    {
        *done = Some(result?);
    }
    Ok(())
}
