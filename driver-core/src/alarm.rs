//! [`Alarm`]: the timer of a task whose deadline moves.

use std::task::Context;

use sanspeer_core::time::Timestamp;

use crate::runtime::{Runtime, Timer};

/// A timer that follows a deadline: set anew when that moves closer; one that moved away is looked at
/// when the timer is due, since deadlines move far more often than they are reached.
pub(crate) struct Alarm<R: Runtime> {
    /// None as long as there was no deadline.
    timer: Option<R::Timer>,
    /// When the timer is due; it was not since it was set.
    armed: Option<Timestamp>,
}

impl<R: Runtime> Default for Alarm<R> {
    fn default() -> Self {
        Alarm { timer: None, armed: None }
    }
}

impl<R: Runtime> Alarm<R> {
    /// Whether the timer is due. Otherwise the task of `cx` is woken at the deadline, or before.
    pub(crate) fn poll_due(
        &mut self,
        cx: &mut Context<'_>,
        runtime: &R,
        deadline: Option<Timestamp>,
    ) -> bool {
        if let Some(at) = deadline
            && self.armed.is_none_or(|armed| at < armed)
        {
            match &mut self.timer {
                Some(timer) => timer.set(at),
                None => self.timer = Some(runtime.sleep_until(at)),
            }
            self.armed = Some(at);
        }
        if self.armed.is_none() {
            return false;
        }
        let due = self.timer.as_mut().is_some_and(|timer| timer.poll_due(cx).is_ready());
        if due {
            self.armed = None;
        }
        due
    }
}
