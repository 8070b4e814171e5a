//! [`Wire`]: what carries a connection's bytes.

use std::task::{Context, Poll};

use sanspeer_core::connection::Connection;
use sanspeer_core::time::Timestamp;

/// What came of receiving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// Nothing is there.
    Nothing,
    /// The connection was given something.
    Something,
    /// It was given as much as one turn may; those who read it go first.
    Most,
    /// Something is there that the connection does not take before more of what it has is read.
    Paused,
}

/// What came of sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Nothing, for want of something to send or of room.
    Nothing,
    /// Something.
    Some,
    /// As much as one turn may; others go first.
    Most,
}

/// What carries a connection's bytes. Each call does a bounded amount of work, and leaves a waker
/// for what it waits for.
pub(crate) trait Wire: Send + 'static {
    /// Whether nothing is lost when a connection that is over is not waited for.
    const STOPS_AT_ONCE: bool;

    /// Prepares a round, before the connection is locked.
    fn prepare(&mut self);

    /// Gives the connection what has arrived.
    fn receive(
        &mut self,
        cx: &mut Context<'_>,
        connection: &mut Connection,
        now: Timestamp,
    ) -> Received;

    /// Sends what the connection has.
    fn transmit(
        &mut self,
        cx: &mut Context<'_>,
        connection: &mut Connection,
        now: Timestamp,
    ) -> Sent;

    /// Ends a round, after the connection is unlocked.
    fn settle(&mut self);

    /// The connection is over: ready once the wire has nothing left to do for it. Called again
    /// after each round until then.
    fn poll_over(&mut self, cx: &mut Context<'_>, now: Timestamp) -> Poll<()>;

    /// When [`Wire::poll_over`] should be called at the latest.
    fn over_deadline(&self) -> Option<Timestamp>;
}
