//! Windows beyond the first lease: granted from one budget, and given back to it.

use super::ids::ConnectionId;
use super::machine::Node;
use crate::mailbox::{Lease, ToConnection};

impl Node {
    /// A connection could use more window. It gets what the budget has, at once or when another
    /// one gives some back.
    pub(super) fn handle_lease_request(&mut self, id: ConnectionId, window_bytes: u64) {
        let Some(open) = self.connections.open_mut(id) else { return };
        if open.closing || window_bytes <= open.window_bytes {
            return;
        }
        open.wanted_window_bytes = Some(window_bytes);
        self.grant(id);
    }

    /// Doubles the window of a connection that asked, as far as its wish and the budget go.
    fn grant(&mut self, id: ConnectionId) {
        let left = self.config.window_budget_bytes.saturating_sub(self.leased_bytes);
        let Some(open) = self.connections.open_mut(id) else { return };
        let Some(wanted) = open.wanted_window_bytes else { return };
        let extra = wanted.min(open.window_bytes.max(1).saturating_mul(2)) - open.window_bytes;
        let extra = extra.min(left);
        if extra == 0 {
            return;
        }
        open.wanted_window_bytes = None;
        open.window_bytes += extra;
        let window_bytes = open.window_bytes;
        self.leased_bytes += extra;
        self.send_lease(id, window_bytes);
    }

    /// A connection has reduced its window. The answer settles what counts, since a grant may have
    /// been on its way to it.
    pub(super) fn handle_lease_return(&mut self, id: ConnectionId, window_bytes: u64) {
        let first = self.config.lease.window_bytes;
        let Some(open) = self.connections.open_mut(id) else { return };
        if open.closing || window_bytes >= open.window_bytes {
            return;
        }
        let kept = window_bytes.max(first).min(open.window_bytes);
        let returned = open.window_bytes - kept;
        open.window_bytes = kept;
        open.wanted_window_bytes = None;
        self.leased_bytes = self.leased_bytes.saturating_sub(returned);
        self.send_lease(id, kept);
        self.grant_waiting();
    }

    /// A connection is over.
    pub(super) fn return_lease(&mut self, id: ConnectionId) {
        let first = self.config.lease.window_bytes;
        let Some(open) = self.connections.open_mut(id) else { return };
        let returned = open.window_bytes.saturating_sub(first);
        open.window_bytes = first;
        open.wanted_window_bytes = None;
        if returned > 0 {
            self.leased_bytes = self.leased_bytes.saturating_sub(returned);
            self.grant_waiting();
        }
    }

    /// Grants what came back to those who wait, in the order of their ids.
    fn grant_waiting(&mut self) {
        let waiting: Vec<ConnectionId> = self
            .connections
            .all_open()
            .filter(|(_, open)| open.wanted_window_bytes.is_some() && !open.closing)
            .map(|(id, _)| id)
            .collect();
        for id in waiting {
            self.grant(id);
        }
    }

    fn send_lease(&mut self, id: ConnectionId, window_bytes: u64) {
        let lease = Lease { window_bytes, ..self.config.lease };
        self.tell_connection(id, ToConnection::Lease(lease));
    }
}
