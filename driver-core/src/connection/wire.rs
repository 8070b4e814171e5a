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
    /// Something is there that the connection does not take before more of what it has is read.
    Paused,
}

/// What carries a connection's bytes. Each call does a bounded amount of work, and leaves a waker
/// for what it waits for.
pub(crate) trait Wire: Send + 'static {
    /// Prepares a round, before the connection is locked.
    fn prepare(&mut self);

    /// Gives the connection what has arrived.
    fn receive(
        &mut self,
        cx: &mut Context<'_>,
        connection: &mut Connection,
        now: Timestamp,
    ) -> Received;

    /// Sends what the connection has. Whether that was anything.
    fn transmit(
        &mut self,
        cx: &mut Context<'_>,
        connection: &mut Connection,
        now: Timestamp,
    ) -> bool;

    /// Ends a round, after the connection is unlocked.
    fn settle(&mut self);

    /// The connection is over: ready once the wire has nothing left to do for it. Called again
    /// after each round until then.
    fn poll_over(&mut self, cx: &mut Context<'_>, now: Timestamp) -> Poll<()>;

    /// When [`Wire::poll_over`] should be called at the latest.
    fn over_deadline(&self) -> Option<Timestamp>;

    /// Whether it is to end at once when the node stops, though it is not over.
    fn stops_at_once(&self) -> bool;
}
