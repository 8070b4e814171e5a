//! [`ConnectionTask`]: what drives one connection.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use sanspeer_core::mailbox::ToConnection;
use sanspeer_core::time::Timestamp;

use super::link::{Aftermath, Link};
use super::wire::{Received, Sent, Wire};
use crate::acceptor::Waiting;
use crate::alarm::Alarm;
use crate::control::inbox::Report;
use crate::runtime::Runtime;
use crate::shared::Shared;

/// Rounds of one turn; then others have theirs.
const MAX_ROUNDS: usize = 8;

/// Messages of Node's that one round takes.
const MAX_MESSAGES: usize = 32;

/// Drives one connection until it is over and its wire has nothing left to do.
pub(crate) struct ConnectionTask<R: Runtime, W> {
    link: Arc<Link>,
    wire: W,
    shared: Arc<Shared<R>>,
    /// Streams for which their acceptors have no room.
    waiting: Waiting,
    alarm: Alarm<R>,
    /// Whether the connection is over.
    over: bool,
}

/// What a round came to.
enum Round {
    /// Something moved, so something else may now.
    Moved,
    /// As much was sent or received as one turn may.
    Spent,
    /// Nothing is left to do until something happens, or until a deadline.
    Idle { deadline: Option<Timestamp> },
    /// The connection is over, and its wire is too.
    Over,
}

/// What a turn came to.
pub(crate) enum Turn {
    /// The task is woken when there is something to do.
    Idle,
    /// There is more to do, after others had their turn.
    Unfinished,
    /// Nothing is left to do, ever.
    Last,
}

impl<R: Runtime, W: Wire> ConnectionTask<R, W> {
    pub(crate) fn new(link: Arc<Link>, wire: W, shared: Arc<Shared<R>>) -> Self {
        ConnectionTask {
            link,
            wire,
            shared,
            waiting: Waiting::default(),
            alarm: Alarm::default(),
            over: false,
        }
    }

    fn round(&mut self, cx: &mut Context<'_>) -> Round {
        let mut messages: Vec<ToConnection> = Vec::new();
        let mut aftermath = Aftermath::default();
        self.link.take_from_node(MAX_MESSAGES, &mut messages);
        let room = self.link.node_room();
        self.wire.prepare();
        let now = self.shared.runtime.now();
        let mut moved = !messages.is_empty();
        let sent;
        let received;
        let (starved, deadline) = {
            let mut state = self.link.lock();
            for message in messages {
                state.handle_node(now, message, &mut aftermath);
            }
            received = self.wire.receive(cx, &mut state.connection, now);
            state.paused = received == Received::Paused;
            moved |= matches!(received, Received::Something | Received::Most);
            if state.connection.poll_timeout().is_some_and(|deadline| deadline.at <= now) {
                state.connection.handle_timeout(now);
                state.release();
                moved = true;
            }
            let starved = state.take_events(self.link.id, room, &mut aftermath);
            sent = self.wire.transmit(cx, &mut state.connection, now);
            state.retry_openers(&mut aftermath);
            self.over = state.connection.is_closed();
            (starved, state.connection.poll_timeout().map(|deadline| deadline.at))
        };
        self.link.settle(&mut aftermath);
        // There may be room again since it was looked for.
        moved |= starved && self.link.set_starved();
        self.wire.settle();
        self.offer(&mut aftermath);
        match sent {
            Sent::Most => return Round::Spent,
            Sent::Some | Sent::Nothing if received == Received::Most => return Round::Spent,
            Sent::Some => return Round::Moved,
            Sent::Nothing if moved => return Round::Moved,
            Sent::Nothing => {}
        }
        if !self.over {
            return Round::Idle { deadline };
        }
        if starved {
            // Node is told of the end first.
            return Round::Idle { deadline: None };
        }
        match self.wire.poll_over(cx, now) {
            Poll::Ready(()) => Round::Over,
            Poll::Pending => {
                let deadline = match (deadline, self.wire.over_deadline()) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
                Round::Idle { deadline }
            }
        }
    }

    /// Offers the streams that the remote opened to those who accept their protocols.
    fn offer(&mut self, aftermath: &mut Aftermath) {
        for (stream, protocol) in aftermath.inbound.drain(..) {
            self.waiting.push(stream, protocol);
        }
        self.waiting.offer(&self.shared.acceptors, &self.link);
    }

    /// Takes a turn. `cx` is of the task that is to have the next one.
    pub(crate) fn turn(&mut self, cx: &mut Context<'_>) -> Turn {
        self.link.notify.begin_turn(cx);
        for _ in 0..MAX_ROUNDS {
            if self.link.is_stopped() && (!self.over || W::STOPS_AT_ONCE) {
                return Turn::Last;
            }
            match self.round(cx) {
                Round::Moved => {}
                Round::Spent => break,
                Round::Over => return Turn::Last,
                Round::Idle { deadline } => {
                    if !self.alarm.poll_due(cx, &self.shared.runtime, deadline) {
                        return Turn::Idle;
                    }
                }
            }
        }
        Turn::Unfinished
    }

    /// Lets others have their turn before the task of `cx` has the next one.
    pub(crate) fn yield_turn(&self, cx: &mut Context<'_>) {
        self.shared.runtime.yield_turn(cx);
    }
}

impl<R: Runtime, W: Wire + Unpin> Future for ConnectionTask<R, W> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        match this.turn(cx) {
            Turn::Idle => Poll::Pending,
            Turn::Unfinished => {
                this.yield_turn(cx);
                Poll::Pending
            }
            Turn::Last => Poll::Ready(()),
        }
    }
}

/// However it ends, those who wait for the connection hear of it.
impl<R: Runtime, W> Drop for ConnectionTask<R, W> {
    fn drop(&mut self) {
        self.link.abandon();
        self.shared.reports.push(Report::Ended(self.link.id));
    }
}
