//! Signatures that are being checked: here, or on the connection that a message came by.

use std::collections::BTreeMap;

use super::config::VerifyWhere;
use super::machine::Gossip;
use super::message_id::MessageId;
use super::signature::SignatureCheck;
use crate::mailbox::RequestId;
use crate::node::{ConnectionId, ProtocolOutput};
use crate::time::Timestamp;

/// Signatures that connections check.
#[derive(Default)]
pub(super) struct Verifications {
    /// Bounded by [`VerifyWhere::Connection`].
    requests: BTreeMap<RequestId, (ConnectionId, MessageId)>,
}

impl Gossip {
    /// Has the signature of the copy checked that the seen cache holds of this id, and of those
    /// that wait behind it, as long as they are forged.
    pub(super) fn verify(&mut self, now: Timestamp, connection: ConnectionId, id: MessageId) {
        loop {
            let Some(message) = self.seen.verifying(&id) else { return };
            let valid = match SignatureCheck::of(message) {
                Err(_) => false,
                Ok(check) if self.may_delegate() => {
                    return self.delegate(connection, id, check);
                }
                Ok(check) => check.verify().is_ok(),
            };
            if !self.verified(now, &id, valid) {
                return;
            }
        }
    }

    fn may_delegate(&self) -> bool {
        match self.config.verify {
            VerifyWhere::Inline => false,
            VerifyWhere::Connection { max_in_flight } => {
                self.verifications.requests.len() < max_in_flight
            }
        }
    }

    fn delegate(&mut self, connection: ConnectionId, id: MessageId, check: SignatureCheck) {
        let request = self.peers.next_request();
        self.verifications.requests.insert(request, (connection, id));
        let SignatureCheck { public_key, message, signature } = check;
        self.output(ProtocolOutput::Verify { request, connection, public_key, message, signature });
    }

    /// A connection has checked a signature.
    pub(super) fn handle_verified(&mut self, now: Timestamp, request: RequestId, valid: bool) {
        let Some((connection, id)) = self.verifications.requests.remove(&request) else { return };
        if self.verified(now, &id, valid) {
            self.verify(now, connection, id);
        }
    }

    /// A connection is over, and with it its answers: checks here what it was asked.
    pub(super) fn verify_here(&mut self, now: Timestamp, connection: ConnectionId) {
        let asked: Vec<RequestId> = self
            .verifications
            .requests
            .iter()
            .filter(|(_, (asked, _))| *asked == connection)
            .map(|(request, _)| *request)
            .collect();
        for request in asked {
            let Some((_, id)) = self.verifications.requests.remove(&request) else { continue };
            self.verify_inline(now, &id);
        }
    }

    fn verify_inline(&mut self, now: Timestamp, id: &MessageId) {
        while let Some(message) = self.seen.verifying(id) {
            let valid = SignatureCheck::of(message).is_ok_and(|check| check.verify().is_ok());
            if !self.verified(now, id, valid) {
                return;
            }
        }
    }
}
