//! Connections that nobody uses.

use core::time::Duration;

use super::ids::ConnectionId;
use super::machine::Node;
use crate::close::CloseReason;
use crate::mailbox::Usage;
use crate::time::Timestamp;

/// The least time after which a connection counts as unused: what it reports of its use may be a
/// second old.
const MIN_IDLE: Duration = Duration::from_secs(2);

impl Node {
    /// A connection reports its totals.
    pub(super) fn handle_usage(&mut self, now: Timestamp, id: ConnectionId, usage: Usage) {
        let Some(open) = self.connections.open_mut(id) else { return };
        if usage.application_streams != open.usage.application_streams {
            // There were streams since the last report, even if they are gone.
            open.unused_since = None;
        }
        open.usage = usage;
        self.watch_use(now, id);
    }

    /// Looks whether a connection is used, and sets when it is closed otherwise.
    pub(super) fn watch_use(&mut self, now: Timestamp, id: ConnectionId) {
        let used = self.protocols.uses(id);
        let Some(open) = self.connections.open_mut(id) else { return };
        if used || open.usage.open_application_streams > 0 {
            open.unused_since = None;
        } else if open.unused_since.is_none() {
            open.unused_since = Some(now);
        }
        let (unused_since, closing) = (open.unused_since, open.closing);
        let deadline = match (unused_since, self.idle_time(id)) {
            (Some(since), Some(idle)) if !closing => Some(since.saturating_add(idle)),
            _ => None,
        };
        self.connections.set_deadline(id, deadline);
    }

    /// How long a connection may be unused; for ever if `None`.
    fn idle_time(&self, id: ConnectionId) -> Option<Duration> {
        let open = self.connections.open(id)?;
        let idle = if open.surplus && self.dials_win(&open.peer) {
            Some(self.config.surplus_grace)
        } else if self.protection.is_protected(&open.peer) {
            None
        } else {
            self.config.idle_timeout
        };
        idle.map(|idle| idle.max(MIN_IDLE))
    }

    /// Closes the connections that nobody has used for too long.
    pub(super) fn close_unused(&mut self, now: Timestamp) {
        while let Some((at, id)) = self.connections.first_deadline()
            && at <= now
        {
            self.connections.set_deadline(id, None);
            let surplus = self.connections.open(id).is_some_and(|open| open.surplus);
            let reason = if surplus { CloseReason::Surplus } else { CloseReason::Idle };
            self.close_connection(id, reason);
        }
    }
}
